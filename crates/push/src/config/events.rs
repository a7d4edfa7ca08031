//! `[push.events.*]` and `[push.limits.*]`: what is said about event types.

use std::collections::BTreeMap;

use reveille_model::limits::SPREAD_S_MAX;
use reveille_model::{Duration, EventType, Limit, MessageType};
use reveille_service::config::Section;

/// Most notifications a limit can allow.
const LIMIT_COUNT_MAX: u32 = 1_000_000;
/// The longest period of a limit, in seconds: a year.
const LIMIT_PER_S_MAX: u32 = 366 * 86_400;

/// What is said about an event type.
#[derive(Debug, Clone)]
pub struct EventConfig {
    /// What apps are told.
    pub message_type: MessageType,
    /// Whether it wakes users who have not said whether it shall.
    pub wakes: bool,
    /// Over how long its wake-ups are spread; nothing where all of them leave at once.
    pub spread: Option<Duration>,
}

/// How many notifications users get.
#[derive(Debug, Clone, Default)]
pub(crate) struct LimitsConfig {
    /// Of an event type that is not named.
    pub(crate) default: Option<Limit>,
    /// Of those that are.
    pub(crate) of: BTreeMap<EventType, Limit>,
}

impl LimitsConfig {
    pub(super) fn read(push: &mut Section) -> Self {
        let mut limits = Self::default();
        for (name, mut section) in push.section("limits").sections() {
            for key in ["count", "per_s"] {
                if !section.has(key) {
                    section.problem(
                        key,
                        "this is missing; a limit is so many (count) in so many seconds (per_s)",
                    );
                }
            }
            let count = section.number("count", 1..=LIMIT_COUNT_MAX);
            let per_s = section.number("per_s", 1..=LIMIT_PER_S_MAX);
            let event_type = EventType::parse(&name);
            if event_type.is_err() {
                section.problem("count", "an event type is 1 to 64 letters, digits, _ . or -");
            }
            section.finish();
            let (Some(count), Some(per_s), Ok(event_type)) = (count, per_s, event_type) else {
                continue;
            };
            let limit = Limit { count, per: Duration::from_s(per_s) };
            if name == "default" {
                limits.default = Some(limit);
            } else {
                limits.of.insert(event_type, limit);
            }
        }
        limits
    }
}

pub(super) fn read_events(
    push: &mut Section,
    known: &[MessageType],
) -> BTreeMap<EventType, EventConfig> {
    let mut events = BTreeMap::new();
    for (name, mut section) in push.section("events").sections() {
        let message_type = match section.string("message_type") {
            None => known.first().cloned(),
            Some(word) => {
                let found = known.iter().find(|each| each.as_str() == word).cloned();
                if found.is_none() {
                    section.problem("message_type", "this must be one of push.message_types");
                }
                found
            }
        };
        let wakes = section.boolean("wakes").unwrap_or(true);
        let spread = section.number("spread_s", 1..=SPREAD_S_MAX);
        let spread = spread.map(Duration::from_s);
        match (EventType::parse(&name), message_type) {
            (Ok(event_type), Some(message_type)) => {
                events.insert(event_type, EventConfig { message_type, wakes, spread });
            }
            (Ok(_), None) => {}
            (Err(_), _) => section
                .problem("message_type", "an event type is 1 to 64 letters, digits, _ . or -"),
        }
        section.finish();
    }
    events
}
