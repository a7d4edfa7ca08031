//! Headers that say on which condition, and for how long (RFC 9110 §13, RFC 9111 §5.2).

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reveille_model::{Duration, Timestamp, Ttl};
use reveille_store::{Condition, Entry, Etag};

use super::reference::Kind;
use super::refusal::{Refusal, condition_malformed};

/// Most tags of one condition.
const TAGS_MAX: usize = 16;

/// How long what is written lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// So long.
    For(Ttl),
    /// It is gone at once.
    None,
}

/// `Cache-Control: max-age` on a write shortens the time to live, and never lengthens it.
pub(super) fn life(headers: &HeaderMap, ttl: Ttl) -> Result<Life, Refusal> {
    let asked = max_age(headers)?;
    Ok(match (asked, ttl) {
        (None, ttl) => Life::For(ttl),
        (Some(0), _) => Life::None,
        (Some(asked), Ttl::Seconds(longest)) => Life::For(Ttl::Seconds(asked.min(longest))),
        (Some(asked), Ttl::Unlimited) => Life::For(Ttl::from_s(asked)),
    })
}

fn max_age(headers: &HeaderMap) -> Result<Option<u32>, Refusal> {
    let mut shortest: Option<u32> = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        let value = value.to_str().map_err(|_| Kind::BadRequest)?;
        for directive in value.split(',') {
            let Some((name, seconds)) = directive.split_once('=') else { continue };
            if !name.trim().eq_ignore_ascii_case("max-age") {
                continue;
            }
            let seconds = seconds.trim().trim_matches('"');
            if seconds.is_empty() || !seconds.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Kind::BadRequest.into());
            }
            // All digits: what does not fit is very long.
            let seconds = seconds.parse().unwrap_or(u32::MAX);
            shortest = Some(shortest.map_or(seconds, |other| other.min(seconds)));
        }
    }
    Ok(shortest)
}

/// What a write is to find.
pub(super) fn of_write(headers: &HeaderMap) -> Result<Condition, Refusal> {
    let matches = tags(headers, &header::IF_MATCH)?;
    let none_match = tags(headers, &header::IF_NONE_MATCH)?;
    match (matches, none_match) {
        (None, None) => Ok(Condition::None),
        (Some(Tags::Any), None) => Ok(Condition::Present),
        (Some(Tags::Some(tags)), None) => {
            // Only a strong tag says that the bytes are the same.
            Ok(Condition::Match(
                tags.into_iter().filter_map(|(tag, is_weak)| tag.filter(|_| !is_weak)).collect(),
            ))
        }
        (None, Some(Tags::Any)) => Ok(Condition::Absent),
        (None, Some(Tags::Some(_))) => Err(condition_malformed(
            "a write takes If-None-Match: * only; to replace a value that is known, send If-Match",
        )),
        (Some(_), Some(_)) => {
            Err(condition_malformed("a write takes either If-Match or If-None-Match"))
        }
    }
}

/// Whether whoever reads has this value already.
pub(super) fn is_known(headers: &HeaderMap, entry: Etag) -> Result<bool, Refusal> {
    Ok(match tags(headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::Some(tags)) => tags.iter().any(|(tag, _)| *tag == Some(entry)),
    })
}

enum Tags {
    Any,
    /// Each tag, if it can be one of ours, and whether it is weak.
    Some(Vec<(Option<Etag>, bool)>),
}

fn tags(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tags>, Refusal> {
    let malformed = || condition_malformed("a condition is * or tags in quotation marks, up to 16");
    let mut tags = Vec::new();
    for value in headers.get_all(name) {
        let value = value.to_str().map_err(|_| malformed())?;
        if value.trim() == "*" {
            return Ok(Some(Tags::Any));
        }
        for tag in value.split(',').map(str::trim) {
            let (tag, is_weak) = tag.strip_prefix("W/").map_or((tag, false), |tag| (tag, true));
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            tags.push((from_hex(tag.ok_or_else(malformed)?), is_weak));
        }
    }
    match tags.len() {
        0 => Ok(None),
        count if count > TAGS_MAX => Err(malformed()),
        _ => Ok(Some(Tags::Some(tags))),
    }
}

fn from_hex(text: &str) -> Option<Etag> {
    let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
    Some(Etag(number.to_be_bytes()))
}

/// `ETag`.
pub(super) fn etag(tag: Etag) -> HeaderValue {
    HeaderValue::try_from(format!("\"{:032x}\"", u128::from_be_bytes(tag.0)))
        .unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// `Cache-Control` of a value: nobody but the caller keeps it, and only asks again with its tag; `max-age` is what is left of its time, in seconds.
pub(super) fn cache_control(entry: &Entry, now: Timestamp) -> HeaderValue {
    match entry.expires_at {
        None => HeaderValue::from_static("private, no-cache"),
        Some(end) => {
            let left: Duration = end.since(now);
            HeaderValue::try_from(format!("private, no-cache, max-age={}", left.as_s()))
                .unwrap_or_else(|_| HeaderValue::from_static("private, no-cache"))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use reveille_model::Ttl;
    use reveille_store::{Condition, Etag};

    use super::{Life, etag, is_known, life, of_write};

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn max_age_shortens_and_never_lengthens() {
        let of = |value: &str, ttl| life(&headers(&[("cache-control", value)]), ttl).ok();
        let day = Ttl::Seconds(86_400);
        let for_s = |seconds| Some(Life::For(Ttl::Seconds(seconds)));
        assert_eq!(of("max-age=60", day), for_s(60));
        assert_eq!(of("private, Max-Age=\"60\" , x=1", day), for_s(60));
        assert_eq!(of("max-age=60, max-age=30", day), for_s(30));
        assert_eq!(of("max-age=86401", day), for_s(86_400));
        assert_eq!(of("max-age=99999999999999999999", day), for_s(86_400));
        assert_eq!(of("max-age=60", Ttl::Unlimited), for_s(60));
        assert_eq!(of("no-cache, s-maxage=5", Ttl::Unlimited), Some(Life::For(Ttl::Unlimited)));
        assert_eq!(of("max-age=0", Ttl::Unlimited), Some(Life::None));
        for bad in ["max-age=", "max-age=-1", "max-age=1s", "max-age=+1"] {
            assert_eq!(of(bad, day), None, "{bad}");
        }
        assert_eq!(life(&HeaderMap::new(), day).ok(), for_s(86_400));
    }

    #[test]
    fn conditions_are_read_as_the_rfc_has_them() {
        let tag = Etag::of(b"value");
        let text = etag(tag).to_str().unwrap().to_owned();
        let of = |lines: &[(&'static str, &str)]| of_write(&headers(lines)).ok();
        assert_eq!(of(&[]), Some(Condition::None));
        assert_eq!(of(&[("if-none-match", "*")]), Some(Condition::Absent));
        assert_eq!(of(&[("if-match", " * ")]), Some(Condition::Present));
        let list = format!("\"other\", {text}");
        assert_eq!(of(&[("if-match", &list)]), Some(Condition::Match(vec![tag])));
        assert_eq!(of(&[("if-match", &format!("W/{text}"))]), Some(Condition::Match(vec![])));
        assert_eq!(of(&[("if-match", "bare")]), None);
        assert_eq!(of(&[("if-match", "")]), None);
        assert_eq!(of(&[("if-none-match", &text)]), None);
        assert_eq!(of(&[("if-match", "*"), ("if-none-match", "*")]), None);
        assert_eq!(of(&[("if-match", &["\"a\""; 17].join(","))]), None);
        let known = |value: &str| is_known(&headers(&[("if-none-match", value)]), tag).ok();
        assert_eq!(known(&format!("W/{text}")), Some(true));
        assert_eq!(known("\"other\""), Some(false));
        assert_eq!(known("*"), Some(true));
    }
}
