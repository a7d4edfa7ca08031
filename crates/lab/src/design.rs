//! The designs a table compares, and their names.

use std::fmt;
use std::str::FromStr;

/// How a push service decides when a push leaves, and in whose company.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Design {
    /// Each push leaves by itself, after a second or so.
    None,
    /// Wikimedia's service as built: a timer drawn once, armed by the first message; leaves in the order of arrival.
    Wikimedia,
    /// The same, shuffled.
    WikimediaShuffled,
    /// Windows on a fixed grid, shuffled: the production mixer in mode `batch`.
    Grid,
    /// Each push waits by itself, exponentially.
    Exponential,
    /// A grid with random decoys, so that there are so many times as many pushes: the production mixer.
    Decoys(u32),
    /// Cohorts of so many, woken whole: the production mixer in mode `cohort`.
    Cohort(u32),
    /// Every woken device drags companions along that are drawn anew each time. What cohorts are *not*.
    Redrawn(u32),
    /// Every device is woken at every beat: the production mixer's sealed mode.
    Sealed,
}

/// How many times as many pushes `decoys` stands for.
const DECOYS: u32 = 8;
/// The size `cohort` and `redrawn` stand for: what the default configuration forms.
const COHORT: u32 = 16;
/// Largest number behind a name.
const NUMBER_MAX: u32 = 10_000;

impl Design {
    /// What a table shows unless told otherwise.
    pub const DEFAULT: [Self; 8] = [
        Self::None,
        Self::Wikimedia,
        Self::Grid,
        Self::Exponential,
        Self::Decoys(8),
        Self::Cohort(8),
        Self::Cohort(16),
        Self::Sealed,
    ];

    /// A number of its own: what is drawn for a design does not depend on which others are in the table.
    pub(crate) const fn purpose(self) -> u32 {
        let (kind, number) = match self {
            Self::None => (1, 0),
            Self::Wikimedia => (2, 0),
            Self::WikimediaShuffled => (3, 0),
            Self::Grid => (4, 0),
            Self::Exponential => (5, 0),
            Self::Decoys(factor) => (6, factor),
            Self::Cohort(size) => (7, size),
            Self::Redrawn(size) => (8, size),
            Self::Sealed => (9, 0),
        };
        kind << 16 | number
    }
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Wikimedia => f.pad("wikimedia"),
            Self::WikimediaShuffled => f.pad("wikimedia-shuffled"),
            Self::Grid => f.pad("grid"),
            Self::Exponential => f.pad("exponential"),
            Self::Decoys(factor) => f.pad(&format!("decoys-{factor}")),
            Self::Cohort(size) => f.pad(&format!("cohort-{size}")),
            Self::Redrawn(size) => f.pad(&format!("redrawn-{size}")),
            Self::Sealed => f.pad("sealed"),
        }
    }
}

/// A name that is no design's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no design; there are none, wikimedia, wikimedia-shuffled, grid, exponential, decoys[-F], cohort[-K], redrawn[-K] and sealed, \
     with F and K from 2 to {NUMBER_MAX}"
)]
pub struct DesignError(String);

impl FromStr for Design {
    type Err = DesignError;

    fn from_str(name: &str) -> Result<Self, DesignError> {
        let numbered = |start: &str, standard: u32| {
            let rest = name.strip_prefix(start)?;
            if rest.is_empty() {
                return Some(standard);
            }
            let number = rest.strip_prefix('-')?.parse().ok()?;
            (2..=NUMBER_MAX).contains(&number).then_some(number)
        };
        match name {
            "none" => return Ok(Self::None),
            "wikimedia" => return Ok(Self::Wikimedia),
            "wikimedia-shuffled" => return Ok(Self::WikimediaShuffled),
            "grid" => return Ok(Self::Grid),
            "exponential" => return Ok(Self::Exponential),
            "sealed" => return Ok(Self::Sealed),
            _ => {}
        }
        numbered("decoys", DECOYS)
            .map(Self::Decoys)
            .or_else(|| numbered("cohort", COHORT).map(Self::Cohort))
            .or_else(|| numbered("redrawn", COHORT).map(Self::Redrawn))
            .ok_or_else(|| DesignError(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Design;

    #[test]
    fn names_are_read_as_they_are_written() {
        let others = [Design::WikimediaShuffled, Design::Decoys(2), Design::Redrawn(8)];
        for design in Design::DEFAULT.into_iter().chain(others) {
            assert_eq!(design.to_string().parse(), Ok(design));
        }
        assert_eq!("cohort".parse(), Ok(Design::Cohort(16)));
        assert_eq!("decoys".parse(), Ok(Design::Decoys(8)));
        for wrong in ["", "cohort-", "cohort-1", "cohort16", "cohort-99999", "pool"] {
            assert!(wrong.parse::<Design>().is_err(), "{wrong}");
        }
    }
}
