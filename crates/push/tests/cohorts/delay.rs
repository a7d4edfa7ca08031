//! How long the company of others takes: the goal is a mean of 60 s and never more than 120 s at the usual length of windows.

use std::sync::Arc;

use reveille_model::{Duration, Rng, Timestamp};
use reveille_service::clock::Clock as _;
use reveille_store::memory::MemoryStore;
use reveille_testkit::{ManualClock, PushApp};

use super::{name, notify, phones, pushed};

const WINDOW_MS: u64 = 120_000;

async fn start(mix: &str) -> PushApp {
    let text = format!(
        "[push]\nstore = \"sqlite:unused\"\nintake.listen = \"127.0.0.1:0\"\n[push.mix]\n{mix}"
    );
    PushApp::start_on_text(Arc::new(MemoryStore::default()), &text).await
}

/// Goes to a moment, with a stop at the end of each window on the way: a server that sleeps through one has another reason to be late.
async fn go_to(clock: &ManualClock, moment: Timestamp) {
    loop {
        let into = clock.now().as_ms().rem_euclid(WINDOW_MS.cast_signed()).cast_unsigned();
        let next = clock.now().plus(Duration::from_ms(WINDOW_MS - into));
        if moment < next {
            return clock.set(moment);
        }
        PushApp::turns().await;
        clock.set(next);
        PushApp::turns().await;
    }
}

/// How long after each event, in seconds, the window ended that woke its user.
async fn delays(app: &PushApp, events: &[(Timestamp, usize)]) -> Vec<f64> {
    for (moment, user) in events {
        go_to(&app.clock, *moment).await;
        notify(app, &name(*user)).await;
    }
    for _ in 0..40 {
        let next = app.clock.now().plus(Duration::from_ms(WINDOW_MS));
        go_to(&app.clock, next).await;
    }
    PushApp::turns().await;
    let windows = pushed(app).await;
    let wait = |(moment, user): &(Timestamp, usize)| {
        let token = format!("phone-of-{}", name(*user));
        let mut after = windows.range(*moment..);
        let left = after.find(|(_, tokens)| tokens.binary_search(&token).is_ok());
        left.expect("it leaves").0.since(*moment).to_std().as_secs_f64()
    };
    events.iter().map(wait).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
fn mean(delays: &[f64]) -> f64 {
    delays.iter().sum::<f64>() / delays.len() as f64
}

/// At so many moments, so far apart on average, drawn at random.
fn moments(count: usize, apart_s: f64, rng: &mut Rng) -> Vec<Timestamp> {
    let mut at = PushApp::START.plus(Duration::from_ms(WINDOW_MS));
    let mut next = || {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an hour")]
        let gap = (-(1.0 - rng.unit()).ln() * apart_s * 1_000.0) as u64;
        at = at.plus(Duration::from_ms(gap));
        at
    };
    (0..count).map(|_| next()).collect()
}

#[tokio::test]
async fn the_mean_delay_is_a_minute_and_the_longest_two() {
    let app = start("wakeups_per_device_day_max = 1440\n").await;
    phones(&app, 0..32).await;
    let mut rng = Rng::from_number(11);
    let moments = moments(3_000, 10.0, &mut rng);
    let events: Vec<(Timestamp, usize)> =
        moments.into_iter().map(|moment| (moment, rng.index(32))).collect();
    let delays = delays(&app, &events).await;
    assert_eq!(delays.len(), 3_000);
    punctual(&delays).unwrap();
}

#[test]
fn a_timer_for_each_message_is_not_punctual() {
    // Planted: what leaves after an exponential delay of the same mean, or with the window after the next.
    let mut rng = Rng::from_number(13);
    let timers: Vec<f64> = (0..3_000).map(|_| -(1.0 - rng.unit()).ln() * 60.0).collect();
    assert!(punctual(&timers).is_err());
    let late: Vec<f64> = (0..3_000).map(|_| 120.0 + rng.unit() * 120.0).collect();
    assert!(punctual(&late).is_err());
}

/// Whether the goals are met.
fn punctual(delays: &[f64]) -> Result<(), String> {
    let (mean, longest) = (mean(delays), delays.iter().copied().fold(0.0, f64::max));
    // Uniform between 0 and 120 s, the standard error of the mean of 3,000 is 0.6 s.
    if (57.0..=63.0).contains(&mean) && longest <= 120.0 {
        Ok(())
    } else {
        Err(format!("{mean} s on average, {longest} s at the longest"))
    }
}

#[tokio::test]
async fn a_busy_cohort_is_late_by_itself() {
    let app = start("cohort_form = 4\ncohort_floor = 2\nbatch_devices_min = 0\n").await;
    phones(&app, 0..40).await;
    app.clock.set(PushApp::START.plus(Duration::from_ms(WINDOW_MS)));
    let mut rng = Rng::from_number(12);
    // One user to whom something happens every few minutes, and all others together now and then: their company is woken as well.
    let moments = moments(600, 120.0, &mut rng);
    let events: Vec<(Timestamp, usize)> = moments
        .into_iter()
        .map(|moment| (moment, if rng.index(7) > 0 { 0 } else { 1 + rng.index(39) }))
        .collect();
    let delays = delays(&app, &events).await;
    let longer = reveille_mixer::Budget::per_day(48).longer_window().to_std().as_secs_f64();
    assert!(delays.iter().all(|delay| *delay <= longer + 120.0), "no more than a longer window");
    let of = |busy: bool| -> Vec<f64> {
        let of_user = events.iter().zip(&delays).filter(|((_, user), _)| (*user == 0) == busy);
        of_user.map(|(_, delay)| *delay).collect()
    };
    assert!(mean(&of(true)) > 600.0, "it is capped: {}", mean(&of(true)));
    // Three of the others are in her cohort, and wait with her.
    let prompt = of(false).iter().filter(|delay| **delay <= 120.0).count();
    assert!(prompt * 100 >= of(false).len() * 80, "{prompt} of {}", of(false).len());
}
