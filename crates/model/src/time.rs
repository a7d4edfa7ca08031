//! Wall-clock time in milliseconds, constructible and printable, so that a failing test can be repeated.

use std::fmt;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The Unix epoch.
    pub const EPOCH: Self = Self(0);

    /// From milliseconds since the Unix epoch.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_s(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Whole days since the Unix epoch, rounded down.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(86_400_000)
    }

    /// This time and a while.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.0))
    }

    /// This time less a while.
    #[must_use]
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.0))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub const fn since(self, earlier: Self) -> Duration {
        let ms = self.0.saturating_sub(earlier.0);
        Duration(if ms < 0 { 0 } else { ms })
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// A non-negative length of time in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(i64);

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From milliseconds; what does not fit is cut to the longest there is.
    pub const fn from_ms(ms: u64) -> Self {
        Self(if ms > i64::MAX as u64 { i64::MAX } else { ms.cast_signed() })
    }

    /// From seconds.
    pub const fn from_s(s: u32) -> Self {
        Self(s as i64 * 1000)
    }

    /// Milliseconds.
    pub const fn as_ms(self) -> u64 {
        self.0.cast_unsigned()
    }

    /// Whole seconds, rounded down.
    pub const fn as_s(self) -> u64 {
        self.as_ms() / 1000
    }

    /// As the standard library's duration, for timers.
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.as_ms())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0)
    }
}
