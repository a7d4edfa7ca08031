//! What does not change from seed to seed.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use reveille_model::{CredentialSet, Duration, MessageType, Provider as Kind, Timestamp};
use reveille_store::Sweep;

/// The memory store never waits.
pub(crate) fn done<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the memory store never waits"),
    }
}

pub(crate) fn set() -> CredentialSet {
    CredentialSet::new(Kind::Fcm, "default").unwrap()
}

pub(crate) fn message_type() -> MessageType {
    MessageType::parse("checkEchoV1").unwrap()
}

/// What is forgotten at this moment.
pub(crate) fn sweep(now: Timestamp) -> Sweep {
    let hour_ago = now.minus(Duration::from_s(3_600));
    Sweep {
        now,
        trails_before: hour_ago,
        idempotency_before: hour_ago,
        suspects_before: Timestamp::EPOCH,
        counters_before: now.minus(Duration::from_s(15)),
        inbox_before: Timestamp::EPOCH,
        limit: 10,
    }
}

/// Devices of users, by number. One is dead at its provider, one gone in guarded words.
pub(crate) fn device(number: u64) -> String {
    let fate = match number {
        0 => "dead",
        5 => "gone",
        _ => "alive",
    };
    format!("device-{number}-{fate}")
}
