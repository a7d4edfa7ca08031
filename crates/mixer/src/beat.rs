//! Wake-ups that nothing has caused: the constant beat of sealed devices, and decoys.

use reveille_model::limits::NOOPS_MAX;
use reveille_model::{Duration, Rng, Timestamp};

/// The last moment at or before `moment` at which sealed devices are due: multiples of the period since the Unix epoch, for all of them alike.
pub fn last_beat(moment: Timestamp, period: Duration) -> Timestamp {
    let period_ms = period.as_ms().max(1).cast_signed();
    Timestamp::from_ms(moment.as_ms().div_euclid(period_ms) * period_ms)
}

/// How many decoys go into a window of this length: as many as events of that rate would be, some windows more and some fewer (a Poisson draw).
pub fn noops(length: Duration, per_minute: u32, rng: &mut Rng) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "a length of days is exact")]
    let mut mean = length.as_ms() as f64 / 60_000.0 * f64::from(per_minute);
    let mut drawn = 0;
    // Events whose distances are exponential, until the time is over.
    while drawn < NOOPS_MAX {
        mean += (1.0 - rng.unit()).ln();
        if mean < 0.0 {
            break;
        }
        drawn += 1;
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::{last_beat, noops};
    use reveille_model::{Duration, Rng, Timestamp};

    #[test]
    fn all_sealed_devices_share_one_grid() {
        let hour = Duration::from_s(3_600);
        assert_eq!(last_beat(Timestamp::from_ms(7_200_000), hour), Timestamp::from_ms(7_200_000));
        assert_eq!(last_beat(Timestamp::from_ms(10_799_999), hour), Timestamp::from_ms(7_200_000));
    }

    #[test]
    fn decoys_are_as_many_as_events_of_their_rate_would_be() {
        let mut rng = Rng::from_number(4);
        let drawn: Vec<usize> =
            (0..4_000).map(|_| noops(Duration::from_s(120), 3, &mut rng)).collect();
        let mean = drawn.iter().sum::<usize>();
        // 4,000 windows of 6: standard deviation 155; five of them.
        assert!(mean.abs_diff(24_000) < 775, "{mean}");
        // Poisson: P(0) = e⁻⁶ = 0.0025, so about 10 of 4,000.
        let none = drawn.iter().filter(|count| **count == 0).count();
        assert!((1..30).contains(&none), "{none}");
        assert_eq!(noops(Duration::from_s(120), 0, &mut rng), 0);
    }
}
