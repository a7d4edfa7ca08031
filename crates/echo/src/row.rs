//! One subscription as a wiki has it.

/// A row of `echo_push_subscription`, with the names of its provider and topic. Printing it shows nothing of its token.
#[derive(Clone, PartialEq, Eq)]
pub struct EchoRow {
    /// `eps_id`.
    pub id: u64,
    /// `eps_user`: the central user id, or the local one where the wiki has no central ones.
    pub user: u64,
    /// `eps_token`.
    pub token: Vec<u8>,
    /// `epp_name`: `fcm` or `apns`; nothing where no such number has a name.
    pub provider: Option<String>,
    /// `ept_text`: the bundle id.
    pub topic: Option<String>,
    /// `eps_updated`, in seconds since 1970: when it was registered. A wiki writes UTC, whatever its database's time zone is. Nothing where it is no time.
    pub updated_s: Option<i64>,
}

impl std::fmt::Debug for EchoRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EchoRow").field("id", &self.id).finish_non_exhaustive()
    }
}

impl EchoRow {
    /// `eps_token_sha256`: lower-case hexadecimal digits.
    pub(crate) fn sha256(&self) -> String {
        use sha2::Digest as _;
        let hash = sha2::Sha256::digest(&self.token);
        hash.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(digit).collect()
    }
}

fn digit(value: u8) -> Option<char> {
    char::from_digit(value.into(), 16)
}

/// A time as databases write it: `2026-11-21 07:37:30`, or `MediaWiki`'s `20261121073730`.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", digits.get(..14)?).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

/// `2026-11-21 07:37:30`.
pub(crate) fn format_time(at_s: i64) -> String {
    let at = jiff::Timestamp::from_second(at_s).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::{EchoRow, format_time, parse_time};

    #[test]
    fn times_are_read_as_databases_write_them() {
        for text in ["2026-11-21 09:40:00", "20261121094000", "2026-11-21 09:40:00.000000"] {
            assert_eq!(parse_time(text), Some(1_795_254_000), "{text}");
        }
        for bad in ["", "2026-11-21", "2026-13-21 09:40:00", "NULL"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
        assert_eq!(format_time(1_795_254_000), "2026-11-21 09:40:00");
    }

    #[test]
    fn a_hash_is_written_as_a_wiki_writes_it() {
        let row = EchoRow {
            id: 1,
            user: 1,
            token: b"abc".to_vec(),
            provider: None,
            topic: None,
            updated_s: None,
        };
        // FIPS 180-2, appendix B.1.
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(row.sha256(), hash);
        assert!(!format!("{row:?}").contains("97, 98"));
    }
}
