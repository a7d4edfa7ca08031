//! One more try, at another node. A coordinator that sees its peers as down, or is about to stop, is no reason to fail.

use scylla::policies::retry::{RequestInfo, RetryDecision, RetryPolicy, RetrySession};

/// What may be done twice is tried once more, at the next node.
#[derive(Debug)]
pub(crate) struct OnceElsewhere;

impl RetryPolicy for OnceElsewhere {
    fn new_session(&self) -> Box<dyn RetrySession> {
        Box::new(Tries { is_second: false })
    }
}

struct Tries {
    is_second: bool,
}

impl RetrySession for Tries {
    fn decide_should_retry(&mut self, request: RequestInfo<'_>) -> RetryDecision {
        if self.is_second || !request.is_idempotent {
            return RetryDecision::DontRetry;
        }
        self.is_second = true;
        RetryDecision::RetryNextTarget(None)
    }

    fn reset(&mut self) {
        self.is_second = false;
    }
}
