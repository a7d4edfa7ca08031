//! `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.

use std::time::UNIX_EPOCH;

use reveille_model::{Timestamp, retry_after};

/// The time a header names. What cannot be read names none.
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Timestamp> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(retry_after(now, seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let named = Timestamp::from_ms(i64::try_from(date.as_millis()).ok()?);
    Some(retry_after(now, named.since(now).as_s()))
}

#[cfg(test)]
mod tests {
    use super::parse_retry_after;
    use reveille_model::{Duration, Timestamp};

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        let now = Timestamp::from_ms(1_795_254_000_000);
        let after = |value| parse_retry_after(value, now).map(|named| named.since(now));
        assert_eq!(after("120"), Some(Duration::from_s(120)));
        assert_eq!(after(" 0 "), Some(Duration::ZERO));
        assert_eq!(after("Sat, 21 Nov 2026 09:41:30 GMT"), Some(Duration::from_s(90)));
        assert_eq!(after("Sat, 21 Nov 2020 09:41:30 GMT"), Some(Duration::ZERO));
        assert_eq!(after("99999999999999999999"), None);
        assert_eq!(after("18446744073709551615"), Some(Duration::from_s(86_400)), "cut to a day");
        for bad in ["", "soon", "-5", "1.5"] {
            assert_eq!(after(bad), None, "{bad}");
        }
    }
}
