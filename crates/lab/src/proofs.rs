//! The lab against what is known without it: the closed forms of the model, floors that no evidence breaks, and bugs that were planted.

use reveille_mixer::Schedule;
use reveille_model::Rng;

use crate::check::judge;
use crate::design::Design;
use crate::population::Population;
use crate::sender::{Bench, Comparison, Sender, Transcript};
use crate::setting::{Setting, Streams};
use crate::statistics::{as_float, mean};
use crate::table::{Plan, Row, row, table};
use crate::watcher::{Evidence, presence};
use crate::world::{Ground, World};

/// Rates alike, and a window of 120 s at an event a second: privacy.md's self-test has N=20,000.
const DEVICES: usize = 4_000;

/// A world in which all devices are alike.
struct Alike {
    setting: Setting,
    population: Population,
}

impl Alike {
    fn new(rate: f64) -> Self {
        let setting = Setting { devices: DEVICES, rate, sigma: 0.0, ..Setting::REFERENCE };
        let population = Population::of(vec![rate / as_float(DEVICES); DEVICES]);
        // All are busy enough to be watched.
        assert_eq!(population.targets.len(), DEVICES);
        Self { setting, population }
    }

    fn ground(&self) -> Ground<'_> {
        Ground {
            setting: &self.setting,
            population: &self.population,
            streams: Streams::new(1),
            per_day: 48,
        }
    }

    fn row(&self, design: Design, events: &[usize], trials: usize) -> Row {
        self.row_of(design, &World::new(design, self.ground()), events, trials)
    }

    fn row_of(&self, design: Design, world: &World, events: &[usize], trials: usize) -> Row {
        let plan = plan(self.setting, vec![design], events, trials);
        row(&plan, design, world, self.ground(), &|| ())
    }
}

fn plan(setting: Setting, designs: Vec<Design>, events: &[usize], trials: usize) -> Plan {
    Plan {
        setting,
        designs,
        events: events.to_vec(),
        trials,
        seed: 1,
        threads: 2,
        per_day: 48,
        counted: Vec::new(),
    }
}

#[test]
fn one_event_on_a_grid_leaves_one_in_a_batch() {
    // B others of N-1 are in the window with p = 1-exp(-λW/N); the best guess is one of 1+B, which is one in (1-e^-λW)/λW on average.
    let alike = Alike::new(0.1);
    let row = alike.row(Design::Grid, &[1], 3_000);
    let expected = (1.0 - (-12.0_f64).exp()) / 12.0;
    let point = row.points[0];
    assert!((point.top1 - expected).abs() < 4.0 * point.top1_error + 0.001, "{point:?}");
}

#[test]
fn wrong_candidates_fall_geometrically() {
    // N pⁿ wrong candidates are left after n events; with a Poisson number of them the best guess is one in (1-e^-c)/c.
    let alike = Alike::new(1.0);
    let row = alike.row(Design::Grid, &[1, 2, 3], 3_000);
    let p = 1.0 - (-120.0 / as_float(DEVICES)).exp();
    for point in &row.points {
        let wrong = as_float(DEVICES) * p.powi(i32::try_from(point.events).unwrap());
        let expected = (1.0 - (-wrong).exp()) / wrong;
        // The floor of the evidence gives a thousandth, times N, to those who missed one.
        assert!(
            (point.top1 - expected).abs() < 4.0 * point.top1_error + 0.006,
            "{point:?} {expected}"
        );
    }
}

#[test]
fn exponential_delay_hides_among_e_lambda_d() {
    // privacy.md §4: EAS after one event is e·λ·D.
    let row = Alike::new(1.0).row(Design::Exponential, &[1], 2_000);
    let expected = std::f64::consts::E * 60.0;
    assert!((row.points[0].eas / expected - 1.0).abs() < 0.05, "{} {expected}", row.points[0].eas);
}

#[test]
fn cohorts_come_to_one_in_k_exactly_and_never_pass_it() {
    let row = Alike::new(1.0).row(Design::Cohort(8), &[1, 2, 3, 5, 20, 100], 200);
    for point in &row.points {
        assert!(point.top1 <= 0.125 + 1e-12, "{point:?}");
    }
    let last = row.points.last().unwrap();
    assert!((last.top1 - 0.125).abs() < 1e-12 && (last.hit - 0.125).abs() < 1e-12);
    assert!((last.eas - 8.0).abs() < 1e-9 && (last.rank - 4.5).abs() < 1e-9);
}

#[test]
fn a_beat_tells_nothing() {
    let row = Alike::new(1.0).row(Design::Sealed, &[1, 20], 4);
    for point in &row.points {
        assert!((point.top1 * as_float(DEVICES) - 1.0).abs() < 1e-9, "{point:?}");
        assert!((point.eas - as_float(DEVICES)).abs() < 0.01);
    }
}

#[test]
fn devices_are_in_batches_as_often_as_the_observer_believes() {
    let setting = Setting { devices: 3_000, rate: 0.5, ..Setting::REFERENCE };
    let population = Population::draw(&setting, &mut Rng::from_number(5));
    let ground = Ground {
        setting: &setting,
        population: &population,
        streams: Streams::new(2),
        per_day: 48,
    };
    for design in [Design::Grid, Design::Decoys(4), Design::Cohort(8)] {
        let world = World::new(design, ground);
        let Evidence::Presence(logs) = &world.watcher.evidence else { panic!("{design}") };
        let (mut bench, mut transcript) = (Bench::new(3_000), Transcript::default());
        bench.begin(Rng::from_number(6));
        let mut seen = vec![0_u32; 3_000];
        for _ in 0..3_000 {
            world.sender.snapshot(&population, 0, &mut bench, &mut transcript);
            transcript.pushes.iter().for_each(|push| seen[push.device] += 1);
        }
        // Device 0 and its company have the event. Of the others, how often each was seen, in standard deviations.
        let deviations = (0..3_000).filter(|device| seen[*device] < 3_000).map(|device| {
            let chance = (-logs[device]).exp();
            (f64::from(seen[device]) - 3_000.0 * chance)
                / (3_000.0 * chance * (1.0 - chance)).sqrt()
        });
        let deviations: Vec<f64> = deviations.collect();
        let known = mean(deviations.iter().copied());
        assert!(known.value.abs() < 0.25, "{design}: {known:?}");
        assert!((0.8..1.2).contains(&known.deviation), "{design}: {known:?}");
    }
}

#[test]
fn the_observer_is_as_often_right_as_it_believes() {
    let setting = Setting { devices: 5_000, rate: 0.5, ..Setting::REFERENCE };
    let designs = [
        Design::None,
        Design::Wikimedia,
        Design::WikimediaShuffled,
        Design::Grid,
        Design::Exponential,
        Design::Decoys(8),
        Design::Cohort(8),
        Design::Redrawn(8),
    ];
    let plan = plan(setting, designs.to_vec(), &[1, 2, 3], 1_500);
    for row in table(&plan, &|_, _| ()).unwrap() {
        for point in &row.points {
            let apart = (point.top1 - point.hit).abs();
            let error = point.top1_error.hypot(point.hit_error);
            assert!(apart < 4.0 * error + 0.002, "{} {point:?}", row.design);
        }
    }
}

#[test]
fn tables_repeat_exactly_on_any_number_of_threads() {
    let setting = Setting { devices: 2_000, rate: 0.2, ..Setting::REFERENCE };
    let plan = plan(setting, Design::DEFAULT.to_vec(), &[3, 1, 3], 40);
    let of =
        |threads, seed| format!("{:?}", table(&Plan { seed, threads, ..plan.clone() }, &|_, _| ()));
    assert_eq!(of(1, 1), of(1, 1));
    assert_eq!(of(1, 1), of(5, 1));
    assert_ne!(of(1, 1), of(1, 2));
    // A row does not depend on its neighbours.
    let all = table(&plan, &|_, _| ()).unwrap();
    let designs = vec![Design::Cohort(16)];
    let alone = table(&Plan { designs, ..plan.clone() }, &|_, _| ()).unwrap();
    assert_eq!(all.iter().find(|row| row.design == Design::Cohort(16)), alone.first());
}

#[test]
fn the_check_fails_where_cohorts_are_drawn_anew() {
    // The planted bug: companions are re-drawn in each window, and the table still says "cohort".
    let setting = Setting::REFERENCE;
    let population = Population::draw(&setting, &mut Rng::from_number(1));
    let ground = Ground {
        setting: &setting,
        population: &population,
        streams: Streams::new(1),
        per_day: 48,
    };
    let design = Design::Cohort(8);
    let plan = plan(setting, vec![design], &[1, 2, 3, 5, 20], 60);
    let plan = Plan { counted: vec![design], ..plan };
    let honest = World::new(design, ground);
    let failed = |world: &World| -> Vec<String> {
        let row = row(&plan, design, world, ground, &|| ());
        judge(&[row])
            .iter()
            .filter(|figure| !figure.is_ok())
            .map(|figure| figure.what.clone())
            .collect()
    };
    assert_eq!(failed(&honest), Vec::<String>::new());
    let schedule = Schedule::Fixed { length: setting.window() };
    let sender = Sender::Comparison(Comparison::Redrawn { schedule, size: 8 });
    let broken = failed(&World { sender, ..honest });
    assert!(broken.contains(&"top-1, n=3, %".to_owned()), "{broken:?}");
    assert!(broken.contains(&"G1, top-1 ever, %".to_owned()), "{broken:?}");
}

#[test]
fn the_check_fails_where_nothing_was_measured_or_the_order_is_that_of_arrival() {
    let setting = Setting { devices: 1_000, ..Setting::REFERENCE };
    let plan = plan(setting, vec![Design::Grid], &[1], 10);
    let mut rows = table(&plan, &|_, _| ()).unwrap();
    rows[0].order_rho = Some(0.99);
    let figures = judge(&rows);
    let is_ok = |what: &str| figures.iter().find(|figure| figure.what == what).unwrap().is_ok();
    assert!(!is_ok("order, |rho|"));
    assert!(!is_ok("top-1, n=2, %"), "two events were not looked at");
}

#[test]
fn an_observer_who_believes_in_chances_that_are_wrong_is_not_calibrated() {
    // The planted bug: half of the devices are taken to be in a thousandth of the windows, the others in a tenth. It shows that calibration is looked at in earnest.
    let setting = Setting { devices: 5_000, rate: 0.5, ..Setting::REFERENCE };
    let population = Population::draw(&setting, &mut Rng::from_number(1));
    let ground = Ground {
        setting: &setting,
        population: &population,
        streams: Streams::new(1),
        per_day: 48,
    };
    let mut world = World::new(Design::Grid, ground);
    world.watcher.evidence = presence(
        &(0..5_000).map(|device| if device % 2 == 0 { 1e-3 } else { 0.1 }).collect::<Vec<_>>(),
    );
    let plan = plan(setting, vec![Design::Grid], &[1], 1_500);
    let point = row(&plan, Design::Grid, &world, ground, &|| ()).points[0];
    let error = point.top1_error.hypot(point.hit_error);
    assert!((point.top1 - point.hit).abs() > 5.0 * error, "{point:?}");
}
