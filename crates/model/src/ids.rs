//! One type for each id, so that mixed-up ids do not compile.

use std::fmt;

/// Text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 lower-case hexadecimal digits")]
pub struct IdError;

fn parse_hex_16(text: &str) -> Result<[u8; 16], IdError> {
    let digits = text.as_bytes();
    if digits.len() != 32 {
        return Err(IdError);
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        for digit in pair {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return Err(IdError),
            };
            *byte = *byte << 4 | value;
        }
    }
    Ok(bytes)
}

macro_rules! random_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// From 16 bytes that were drawn at random.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// From its text form, 32 lower-case hexadecimal digits.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse_hex_16(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    };
}

random_id! {
    /// What a device has to show to prove that it has its token. Random, and good for one device and one time.
    Nonce
}
random_id! {
    /// Names a notification and its trail. Random: it says nothing of when it was made.
    NotificationId
}
random_id! {
    /// Names a subscription. Random.
    SubscriptionId
}

/// Names a wake-up inside one store. Never leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WakeupId(pub i64);

/// Names a cohort inside one store. Never used twice, and never leaves the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CohortId(pub i64);

/// Names one claim. Random and never zero, so that a worker that lost its lease cannot settle by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(i64);

impl LeaseId {
    /// From random bits; zero stands for "no lease" in tables and becomes one.
    pub const fn from_random(bits: u64) -> Self {
        let id = (bits >> 1).cast_signed();
        Self(if id == 0 { 1 } else { id })
    }

    /// As kept in a table: positive.
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{IdError, NotificationId};

    #[test]
    fn text_and_bytes_agree() {
        let id = NotificationId::from_bytes([0xa5; 16]);
        assert_eq!(NotificationId::parse(&id.to_string()), Ok(id));
        let (long, upper) = ("0".repeat(33), "A".repeat(32));
        for bad in ["", "a5", long.as_str(), upper.as_str()] {
            assert_eq!(NotificationId::parse(bad), Err(IdError), "{bad}");
        }
    }
}
