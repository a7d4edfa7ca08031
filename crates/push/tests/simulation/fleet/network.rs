//! What is between a node and the store: a question may be answered, lost, carried out without an answer, twice, or long after.

use reveille_model::{Rng, Shuffle, Timestamp};
use reveille_store::{Acceptance, Claim, SettleBatch};

/// What a node asks of the store.
#[derive(Debug, Clone)]
pub(super) enum Question {
    Accept(Acceptance),
    Close(Timestamp),
    Expand(Timestamp, Shuffle),
    Claim(Claim),
    Settle(SettleBatch),
}

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Answered,
    /// Nobody hears of it.
    Lost,
    /// It is carried out, and the answer lost.
    Unanswered,
    /// It is carried out, the answer lost, and the driver asks again.
    Twice,
    /// It is carried out when nobody waits for it any more.
    Late,
}

impl Fate {
    /// Where there is trouble one question in four fares badly.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        match rng.below(16) {
            0 => Self::Lost,
            1 => Self::Unanswered,
            2 => Self::Twice,
            3 => Self::Late,
            _ => Self::Answered,
        }
    }
}
