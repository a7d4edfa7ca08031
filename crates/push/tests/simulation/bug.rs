//! Mistakes that are planted, each to prove one checker.

/// What can be wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    SendsEarly,
    SendsHalfABatch,
    ForgetsInFlightAtACrash,
    DropsOnServerErrors,
    DropsOnGuardedProof,
    IgnoresNamedTimes,
    SendsLate,
    GivesBackWhatIsHeld,
    ForgetsRetries,
    Miscounts,
    AcceptsRepeatsAnew,
    KeepsTheDead,
    TrustsBlindly,
    ForgetsPausesAtACrash,
}
