//! One content-free push to one device, and how it ends.

/// Whether a push is really delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DryRun {
    /// Delivered.
    No,
    /// Checked by the provider, or stopped before the network where it cannot check.
    Yes,
}

/// How a wake-up ended. Each one is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Settled {
    /// The provider took it. Nobody promises that the device did.
    Sent,
    /// The provider says the token is dead.
    Dead,
    /// Its time to live ran out.
    Expired,
    /// Taken back: its device or user is gone, or the user has looked.
    Cancelled,
    /// It could not be sent at all: an unusable token, or a message the provider refuses.
    PayloadError,
    /// It was a dry run.
    DryRun,
    /// Its user had had as many of its event type as a period allows.
    Limited,
}

impl Settled {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sent,
        Self::Dead,
        Self::Expired,
        Self::Cancelled,
        Self::PayloadError,
        Self::DryRun,
        Self::Limited,
    ];

    /// Its word in tables, metrics and the trail.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::PayloadError => "payload_error",
            Self::DryRun => "dry_run",
            Self::Limited => "limited",
        }
    }
}
