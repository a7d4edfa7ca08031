//! What push services demand of a request's headers and body.

use http::HeaderMap;

use super::Style;
use super::refusal::Refusal;

/// Longest body, in bytes.
const BODY_BYTES_MAX: usize = 4_096;
/// Longest topic, in characters.
const TOPIC_CHARS_MAX: usize = 32;
/// Longest time to live, in digits.
const TTL_DIGITS_MAX: usize = 10;

/// The time to live, in seconds.
pub(super) fn check_ttl(style: Style, headers: &HeaderMap) -> Result<u64, Refusal> {
    let text = headers.get("ttl").and_then(|value| value.to_str().ok()).ok_or(Refusal::BadTtl)?;
    let is_number = text.len() <= TTL_DIGITS_MAX && text.bytes().all(|each| each.is_ascii_digit());
    let ttl_s = text.parse().ok().filter(|_| is_number).ok_or(Refusal::BadTtl)?;
    let may_be_zero = headers.get("x-wns-cache-policy").is_some_and(|policy| policy == "no-cache");
    if style == Style::Microsoft && ttl_s == 0 && !may_be_zero {
        return Err(Refusal::ZeroTtl);
    }
    Ok(ttl_s)
}

/// The other headers and the length of the body.
pub(super) fn check(style: Style, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
    let rule = |holds: bool, refusal| if holds { Ok(()) } else { Err(refusal) };
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let urgencies = ["very-low", "low", "normal", "high"];
    rule(header("urgency").is_none_or(|word| urgencies.contains(&word)), Refusal::BadUrgency)?;
    rule(header("topic").is_none_or(|topic| is_topic(style, topic)), Refusal::BadTopic)?;
    rule(header("content-encoding") == Some("aes128gcm"), Refusal::BadEncoding)?;
    rule(body.len() <= BODY_BYTES_MAX, Refusal::TooLarge)
}

fn is_topic(style: Style, topic: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=TOPIC_CHARS_MAX).contains(&topic.len())
        && topic.bytes().all(is_plain)
        // Apple reads it as base64.
        && (style != Style::Apple || topic.len() % 4 != 1)
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Style, check, check_ttl};
    use http::{HeaderMap, HeaderName};

    fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_time_to_live_is_needed() {
        let ttl = |style, value| check_ttl(style, &headers(&[("ttl", value)]));
        assert_eq!(ttl(Style::Mozilla, "0"), Ok(0));
        assert_eq!(ttl(Style::Mozilla, "3600"), Ok(3_600));
        for bad in ["", "-1", "1.5", "soon", "+1", "99999999999"] {
            assert_eq!(ttl(Style::Mozilla, bad), Err(Refusal::BadTtl), "{bad}");
        }
        assert_eq!(check_ttl(Style::Google, &HeaderMap::new()), Err(Refusal::BadTtl));
        assert_eq!(ttl(Style::Microsoft, "0"), Err(Refusal::ZeroTtl));
        let uncached = headers(&[("ttl", "0"), ("x-wns-cache-policy", "no-cache")]);
        assert_eq!(check_ttl(Style::Microsoft, &uncached), Ok(0));
    }

    #[test]
    fn headers_and_body_are_checked_as_the_services_do() {
        let long = "x".repeat(33);
        for (style, name, value, expected) in [
            (Style::Mozilla, "urgency", "very-low", Ok(())),
            (Style::Mozilla, "urgency", "urgent", Err(Refusal::BadUrgency)),
            (Style::Mozilla, "topic", &long[..32], Ok(())),
            (Style::Mozilla, "topic", &long, Err(Refusal::BadTopic)),
            (Style::Mozilla, "topic", "a b", Err(Refusal::BadTopic)),
            (Style::Mozilla, "topic", "", Err(Refusal::BadTopic)),
            (Style::Mozilla, "topic", "a", Ok(())),
            (Style::Apple, "topic", "a", Err(Refusal::BadTopic)),
            (Style::Apple, "topic", "abcde", Err(Refusal::BadTopic)),
            (Style::Apple, "topic", "ab", Ok(())),
            (Style::Google, "content-encoding", "aesgcm", Err(Refusal::BadEncoding)),
        ] {
            let mut rows = headers(&[("content-encoding", "aes128gcm")]);
            rows.insert(name, value.parse().unwrap());
            assert_eq!(check(style, &rows, b"x"), expected, "{style:?} {name}: {value}");
        }
        assert_eq!(check(Style::UnifiedPush, &HeaderMap::new(), b"x"), Err(Refusal::BadEncoding));
        let right = headers(&[("content-encoding", "aes128gcm")]);
        assert_eq!(check(Style::Google, &right, &[0; 4_096]), Ok(()));
        assert_eq!(check(Style::Google, &right, &[0; 4_097]), Err(Refusal::TooLarge));
    }
}
