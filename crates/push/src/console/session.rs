//! Who is logged in: a cookie that says until when, and by whose token. Nothing of it is kept here; taking the token out of the file ends it.

use std::num::NonZeroU32;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderValue, header};
use reveille_model::{Duration, Timestamp};
use reveille_service::auth::{Caller, Callers};

/// The cookie's name.
const NAME: &str = "reveille-console";
/// Where it is sent.
const PATH: &str = "/console";
/// How often a wrong token may be tried, in a minute, by all together. Tokens are beyond guessing anyhow.
const TRIES_PER_MINUTE: NonZeroU32 = NonZeroU32::new(30).unwrap();

/// Logs in and knows who is.
pub(super) struct Sessions {
    key: hmac::Key,
    operators: Callers,
    is_secure: bool,
    lasts: Duration,
    tries: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// Why nobody is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no operator's token.
    Unknown,
    /// It was tried too often.
    TooOften,
}

impl Sessions {
    pub(super) fn new(
        key: hmac::Key,
        operators: Callers,
        (is_secure, lasts): (bool, Duration),
    ) -> Self {
        let tries = RateLimiter::direct(Quota::per_minute(TRIES_PER_MINUTE));
        Self { key, operators, is_secure, lasts, tries }
    }

    /// The cookie for whoever has a token.
    pub(super) fn log_in(&self, token: &str, now: Timestamp) -> Result<HeaderValue, Refused> {
        // Only what is wrong is counted: nobody who guesses keeps operators out.
        let Some(Caller(operator)) = self.operators.holder(token) else {
            return Err(self.tries.check().map_or(Refused::TooOften, |()| Refused::Unknown));
        };
        let until = now.plus(self.lasts).as_ms().to_be_bytes();
        let mut value = [&until[..], &operator].concat();
        let tag = hmac::sign(&self.key, &value);
        value.extend_from_slice(tag.as_ref());
        Ok(self.cookie(URL_SAFE_NO_PAD.encode(value), self.lasts.as_s()))
    }

    /// The cookie that takes back the one there is.
    pub(super) fn log_out(&self) -> HeaderValue {
        self.cookie(String::new(), 0)
    }

    fn cookie(&self, value: String, seconds: u64) -> HeaderValue {
        let cookie = Cookie::build((NAME, value))
            .path(PATH)
            .http_only(true)
            .same_site(SameSite::Strict)
            .secure(self.is_secure)
            .build();
        let text = format!("{cookie}; Max-Age={seconds}");
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }

    /// Whether the caller is logged in.
    pub(super) fn knows(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut found = cookies.flat_map(Cookie::split_parse).filter_map(Result::ok);
        let Some(cookie) = found.find(|cookie| cookie.name() == NAME) else { return false };
        self.holds(cookie.value(), now).unwrap_or(false)
    }

    fn holds(&self, value: &str, now: Timestamp) -> Option<bool> {
        let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
        let (until, rest) = bytes.split_first_chunk::<8>()?;
        let (operator, tag) = rest.split_first_chunk::<32>()?;
        let signed = bytes.get(..40)?;
        hmac::verify(&self.key, signed, tag).ok()?;
        let is_open = now < Timestamp::from_ms(i64::from_be_bytes(*until));
        Some(is_open && self.operators.has(Caller(*operator)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Refused, Sessions};
    use aws_lc_rs::hmac;
    use http::{HeaderMap, HeaderValue, header};
    use reveille_model::{Duration, Timestamp};
    use reveille_service::auth::Callers;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    fn sessions(name: &str, tokens: &str, key: u8) -> Sessions {
        let path = std::env::temp_dir().join(format!("reveille-{}-{name}", std::process::id()));
        std::fs::write(&path, tokens).unwrap();
        let operators = Callers::from_file(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[key; 32]);
        Sessions::new(key, operators, (true, Duration::from_s(60)))
    }

    /// What a browser sends back.
    fn sent(cookie: &HeaderValue) -> HeaderMap {
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&pair).unwrap())])
    }

    #[test]
    fn a_login_lasts_and_ends() {
        let ours = sessions("first", "first-token-0123456789\n", 1);
        assert_eq!(ours.log_in("another-token-0123456789", NOW), Err(Refused::Unknown));
        let cookie = ours.log_in("first-token-0123456789", NOW).unwrap();
        let text = cookie.to_str().unwrap();
        for word in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/console", "Max-Age=60"] {
            assert!(text.contains(word), "{text}");
        }
        let headers = sent(&cookie);
        assert!(ours.knows(&headers, NOW.plus(Duration::from_s(59))));
        assert!(!ours.knows(&headers, NOW.plus(Duration::from_s(60))));
        assert!(!ours.knows(&HeaderMap::new(), NOW));
        assert!(!ours.knows(&sent(&ours.log_out()), NOW));
        // Another server's, or one whose token is gone.
        assert!(!sessions("second", "first-token-0123456789\n", 2).knows(&headers, NOW));
        assert!(!sessions("third", "other-token-0123456789\n", 1).knows(&headers, NOW));
    }

    #[test]
    fn a_cookie_that_was_changed_is_none() {
        let ours = sessions("changed", "first-token-0123456789\n", 1);
        let cookie = ours.log_in("first-token-0123456789", NOW).unwrap();
        let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
        for place in pair.find('=').unwrap() + 1..pair.len() {
            let mut bytes = pair.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let headers =
                HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_bytes(&bytes).unwrap())]);
            assert!(!ours.knows(&headers, NOW), "{place}");
        }
    }

    #[test]
    fn whoever_tries_too_often_has_to_wait() {
        let ours = sessions("often", "first-token-0123456789\n", 1);
        let tried: Vec<_> = (0..40).map(|_| ours.log_in("guess", NOW)).collect();
        assert_eq!(tried[0], Err(Refused::Unknown));
        assert_eq!(tried[39], Err(Refused::TooOften));
        assert!(ours.log_in("first-token-0123456789", NOW).is_ok(), "nobody is kept out by it");
    }
}
