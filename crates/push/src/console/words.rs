//! Numbers and times as people read them.

use reveille_model::{Duration, Timestamp};
use reveille_service::text_time;

/// What stands where there is nothing to say.
pub(super) const NOTHING: &str = "–";

/// `12,345`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `0.25`, `7.1`, `1,200`.
pub(super) fn rate(number: f64) -> String {
    if number == 0.0 {
        "0".to_owned()
    } else if number < 1.0 {
        format!("{number:.2}")
    } else if number < 100.0 {
        format!("{number:.1}")
    } else {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for reading")]
        count(number.round() as u64)
    }
}

/// A part of one, as `7.1 %`.
pub(super) fn percent(part: f64) -> String {
    format!("{} %", rate(part * 100.0))
}

/// So many of so many, as a part.
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { crate::metrics::float(part) / crate::metrics::float(whole) }
}

/// The bound that something took no longer than: `≤ 5 ms`.
pub(super) fn at_most(seconds: Option<f64>) -> String {
    match seconds {
        None => NOTHING.to_owned(),
        Some(seconds) if seconds.is_infinite() => "> 30 s".to_owned(),
        Some(seconds) if seconds < 1.0 => format!("≤ {} ms", (seconds * 1_000.0).round()),
        Some(seconds) => format!("≤ {seconds} s"),
    }
}

/// `1 h 5 min`, `42 s`: two units at the most.
pub(super) fn long(duration: Duration) -> String {
    let seconds = duration.as_ms() / 1_000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")];
    let from = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    let shown = parts.iter().skip(from).take(2).filter(|(number, _)| *number > 0 || from == 3);
    shown.map(|(number, unit)| format!("{number} {unit}")).collect::<Vec<_>>().join(" ")
}

/// A moment, in UTC: `2026-11-30 17:03:22`.
pub(super) fn moment(at: Timestamp) -> String {
    let text = text_time::format(at);
    let day = text.get(..10).unwrap_or_default();
    format!("{day} {}", text.get(11..19).unwrap_or_default())
}

/// `1 device`, `2 devices`.
pub(super) fn many(number: u64, one: &str, several: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { several })
}

#[cfg(test)]
mod tests {
    use super::{at_most, count, long, many, moment, percent, rate};
    use reveille_model::{Duration, Timestamp};

    #[test]
    fn numbers_are_read_easily() {
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [rate(0.0), rate(0.254), rate(7.14), rate(1_200.4)],
            ["0", "0.25", "7.1", "1,200"]
        );
        assert_eq!(percent(0.0714), "7.1 %");
        assert_eq!(
            [at_most(None), at_most(Some(0.005)), at_most(Some(2.0))],
            ["–", "≤ 5 ms", "≤ 2 s"]
        );
        assert_eq!(at_most(Some(f64::INFINITY)), "> 30 s");
        assert_eq!(
            [many(1, "device", "devices"), many(2, "device", "devices")],
            ["1 device", "2 devices"]
        );
    }

    #[test]
    fn times_are_read_easily() {
        let seconds = |s: u32| long(Duration::from_s(s));
        assert_eq!(
            [seconds(0), seconds(42), seconds(3_900), seconds(90_000)],
            ["0 s", "42 s", "1 h 5 min", "1 d 1 h"]
        );
        assert_eq!([seconds(3_600), seconds(60)], ["1 h", "1 min"]);
        assert_eq!(moment(Timestamp::EPOCH), "1970-01-01 00:00:00");
    }
}
