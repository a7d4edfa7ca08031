//! What a request shows to prove who sends it.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

/// The bearer token of a request (RFC 6750).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (only, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The value of a cookie (RFC 6265 §4.2). Nothing where it is sent twice: a neighbouring domain may have planted the other one.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    // Other cookies may hold anything.
    let pairs =
        headers.get_all(COOKIE).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs
        .filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
        .filter(|(each, _)| *each == name)
        .map(|(_, value)| value.trim_matches('"'));
    let only = values.next()?;
    values.next().is_none().then_some(only)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{bearer, cookie};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter();
        lines
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn credentials_are_read_once_or_not_at_all() {
        let one = headers(&[("cookie", "a=1; session=\"abc\""), ("authorization", "bearer  xyz ")]);
        assert_eq!((cookie(&one, "session"), bearer(&one)), (Some("abc"), Some("xyz")));
        assert_eq!(cookie(&one, "ession"), None);
        let mut beside = HeaderMap::new();
        let line = HeaderValue::from_bytes(b"x=\xff; session=abc").unwrap();
        beside.insert(http::header::COOKIE, line);
        assert_eq!(cookie(&beside, "session"), Some("abc"));
        let two = headers(&[
            ("cookie", "session=a"),
            ("cookie", "session=b"),
            ("authorization", "Bearer a"),
            ("authorization", "Bearer b"),
        ]);
        assert_eq!((cookie(&two, "session"), bearer(&two)), (None, None));
        assert_eq!(bearer(&headers(&[("authorization", "Basic abc")])), None);
    }
}
