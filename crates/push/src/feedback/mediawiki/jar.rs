//! The cookies of a wiki, all of them: which ones hold the session differs by how one has logged in.

use std::collections::BTreeMap;

use cookie::Cookie;
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue};

/// A wiki sets about six.
const COOKIES_MAX: usize = 64;
/// Bytes of one, name and value.
const COOKIE_BYTES_MAX: usize = 4_096;

/// What is sent to one address only, whatever a cookie says of where it belongs: behind a proxy that ends TLS a wiki marks its cookies `secure`, and is
/// reached by plain HTTP all the same.
#[derive(Default)]
pub(super) struct Jar(BTreeMap<String, String>);

impl std::fmt::Debug for Jar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Jar({} cookies)", self.0.len())
    }
}

impl Jar {
    /// Takes what an answer sets, and drops what it takes back (RFC 6265 §5.2: no lifetime left, which is how `MediaWiki` deletes).
    pub(super) fn keep(&mut self, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            let Some(cookie) = header.to_str().ok().and_then(|text| Cookie::parse(text).ok())
            else {
                continue;
            };
            let (name, value) = (cookie.name().to_owned(), cookie.value().to_owned());
            if cookie.max_age().is_some_and(|age| !age.is_positive()) {
                self.0.remove(&name);
            } else if name.len() + value.len() <= COOKIE_BYTES_MAX
                && (self.0.contains_key(&name) || self.0.len() < COOKIES_MAX)
            {
                self.0.insert(name, value);
            }
        }
    }

    /// The header that shows them.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let pairs: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut value = HeaderValue::from_str(&pairs.join("; ")).ok()?;
        value.set_sensitive(true);
        (!pairs.is_empty()).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Jar;
    use http::header::SET_COOKIE;
    use http::{HeaderMap, HeaderValue};

    fn headers(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (SET_COOKIE, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn a_whole_jar_is_kept_and_what_is_deleted_goes() {
        let mut jar = Jar::default();
        assert_eq!(jar.header(), None);
        jar.keep(&headers(&[
            "testwiki_session=ouks96; path=/; secure; HttpOnly",
            "testwikiUserName=Push%20Bot; expires=Mon, 21 Dec 2026 07:39:53 GMT; Max-Age=2592000; path=/",
            "UseDC=master; Max-Age=10; path=/; HttpOnly",
            "no cookie",
        ]));
        let shown = |jar: &Jar| jar.header().map(|value| value.to_str().unwrap().to_owned());
        let all = "UseDC=master; testwikiUserName=Push%20Bot; testwiki_session=ouks96";
        assert_eq!(shown(&jar).as_deref(), Some(all));
        jar.keep(&headers(&[
            "testwiki_session=deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; path=/; HttpOnly",
            "UseDC=replica; path=/",
        ]));
        let rest = "UseDC=replica; testwikiUserName=Push%20Bot";
        assert_eq!(shown(&jar).as_deref(), Some(rest));
    }
}
