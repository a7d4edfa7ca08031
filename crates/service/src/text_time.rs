//! Times as text (RFC 3339), for wires only.

use reveille_model::Timestamp;

/// `2026-11-21T10:00:00Z`, with milliseconds where there are any.
pub fn format(moment: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(moment.as_ms())
        .map_or_else(|_| String::new(), |each| each.to_string())
}

/// From RFC 3339.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|each| Timestamp::from_ms(each.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::{format, parse};
    use reveille_model::Timestamp;

    #[test]
    fn times_survive_the_wire() {
        assert_eq!(format(Timestamp::from_ms(1_795_254_000_000)), "2026-11-21T09:40:00Z");
        assert_eq!(
            parse("2026-11-21T10:40:00.5+01:00"),
            Some(Timestamp::from_ms(1_795_254_000_500))
        );
        for bad in ["", "tomorrow", "2026-11-21", "2026-13-01T00:00:00Z"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
