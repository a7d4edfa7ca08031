//! Provider tokens (Apple, *Establishing a token-based connection to APNs*): one for all workers, changed rarely, and never in a hurry.
//!
//! A token is good for 60 minutes and may be changed every 20. Its `iat` is the last half hour by the clock, so that every node of a fleet
//! says the same and changes at the same time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use reveille_model::{Duration, Timestamp};
use serde::Serialize;

use super::ProviderKey;

/// `iat` is a multiple of this, in seconds.
const STEP_S: i64 = 1800;
/// A clock may be behind ours by this much without seeing an `iat` of the future, in seconds.
const SKEW_S: i64 = 60;
/// Not changed sooner than this; sooner is answered 429 `TooManyProviderTokenUpdates`.
const CHANGE_MIN: Duration = Duration::from_s(20 * 60);
/// Changed after this, come what may; after 60 minutes it is answered 403 `ExpiredProviderToken`.
const AGE_S_MAX: i64 = 55 * 60;

/// The provider tokens of one key.
#[derive(Debug)]
pub struct ProviderTokens {
    key: ProviderKey,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    current: Option<Signed>,
    /// What it took the place of in turn; not one that was refused.
    previous: Option<Signed>,
    /// When a refused token was last replaced out of turn.
    refreshed_at: Option<Timestamp>,
    /// Apple said that we change too often: the old one stays until then.
    keep_until: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Signed {
    iat_s: i64,
    since: Timestamp,
    bearer: HeaderValue,
}

impl Signed {
    /// Whether it is neither too old nor, after a step of the clock, of the future.
    fn is_good(&self, now: Timestamp) -> bool {
        (-SKEW_S..AGE_S_MAX).contains(&(now.as_s() - self.iat_s))
    }
}

impl ProviderTokens {
    /// Signs with this key.
    pub fn new(key: ProviderKey) -> Self {
        Self { key, state: Mutex::default() }
    }

    /// The key.
    pub fn key(&self) -> &ProviderKey {
        &self.key
    }

    /// The `authorization` header for now.
    pub fn bearer(&self, now: Timestamp) -> HeaderValue {
        let mut state = self.state();
        let step = (now.as_s() - SKEW_S).div_euclid(STEP_S) * STEP_S;
        if let Some(current) = &state.current {
            let may = now.since(current.since) >= CHANGE_MIN
                && state.keep_until.is_none_or(|until| until <= now);
            let is_due = !current.is_good(now) || (may && step > current.iat_s);
            if !is_due {
                return current.bearer.clone();
            }
        }
        state.previous = state.current.take();
        self.sign(&mut state, step, now)
    }

    /// A token instead of one that was refused: what others have got in the meantime, or one signed now, which happens once in twenty minutes
    /// at the most. Nothing where that is not allowed.
    pub fn instead_of(&self, refused: &HeaderValue, now: Timestamp) -> Option<HeaderValue> {
        let mut state = self.state();
        match &state.current {
            Some(current) if current.bearer != *refused => return Some(current.bearer.clone()),
            _ => {}
        }
        if state.refreshed_at.is_some_and(|at| now.since(at) < CHANGE_MIN) {
            return None;
        }
        state.refreshed_at = Some(now);
        state.previous = None;
        Some(self.sign(&mut state, now.as_s(), now))
    }

    /// Apple said, to a push with the token `refused`, that tokens change too often: it goes back to the one before, if that is still good,
    /// and signs none for twenty minutes.
    pub fn keep(&self, refused: &HeaderValue, now: Timestamp) {
        let mut state = self.state();
        state.keep_until = Some(now.plus(CHANGE_MIN));
        let is_current = state.current.as_ref().is_some_and(|current| current.bearer == *refused);
        if is_current && let Some(previous) = state.previous.take_if(|each| each.is_good(now)) {
            state.current = Some(previous);
        }
    }

    fn sign(&self, state: &mut State, iat_s: i64, now: Timestamp) -> HeaderValue {
        #[derive(Serialize)]
        struct Header<'a> {
            alg: &'a str,
            kid: &'a str,
        }
        #[derive(Serialize)]
        struct Claims<'a> {
            iss: &'a str,
            iat: i64,
        }
        let header = Header { alg: "ES256", kid: &self.key.key_id };
        let claims = Claims { iss: &self.key.team_id, iat: iat_s };
        let token = self.key.key.sign(&header, &claims);
        let mut bearer =
            HeaderValue::try_from(format!("bearer {token}")).expect("base64 and dots are visible");
        bearer.set_sensitive(true);
        state.current = Some(Signed { iat_s, since: now, bearer: bearer.clone() });
        bearer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{ProviderKey, ProviderTokens};
    use crate::jwt::SigningKey;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use http::HeaderValue;
    use reveille_model::Timestamp;

    /// At a half hour by the clock.
    const START: Timestamp = Timestamp::from_ms(1_795_253_400_000);

    pub(crate) fn key() -> ProviderKey {
        let pair = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
            &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        );
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(pair.unwrap())
        );
        let key = SigningKey::from_pem(pem.as_bytes()).unwrap();
        ProviderKey { key, key_id: "ABC123DEFG".to_owned(), team_id: "DEF123GHIJ".to_owned() }
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_ms(START.as_ms() + minutes * 60_000)
    }

    fn parts(bearer: &HeaderValue) -> (serde_json::Value, serde_json::Value) {
        let token = bearer.to_str().unwrap().strip_prefix("bearer ").unwrap().to_owned();
        let part = |index| {
            let text = token.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        (part(0), part(1))
    }

    fn iat(bearer: &HeaderValue) -> i64 {
        (parts(bearer).1["iat"].as_i64().unwrap() - START.as_s()) / 60
    }

    #[test]
    fn a_token_says_who_we_are_and_is_the_same_for_all() {
        let tokens = ProviderTokens::new(key());
        let first = tokens.bearer(at(7));
        let (header, claims) = parts(&first);
        assert_eq!(header, serde_json::json!({"alg": "ES256", "kid": "ABC123DEFG"}));
        assert_eq!(claims, serde_json::json!({"iss": "DEF123GHIJ", "iat": START.as_s()}));
        assert_eq!(tokens.bearer(at(29)), first);
        assert!(first.is_sensitive());
        // Another node, started later, says the same.
        assert_eq!(iat(&ProviderTokens::new(key()).bearer(at(25))), 0);
    }

    #[test]
    fn tokens_change_no_sooner_than_twenty_minutes_and_no_later_than_an_hour() {
        for start in 0..60 {
            let tokens = ProviderTokens::new(key());
            let mut last = (tokens.bearer(at(start)), start);
            for minute in start..start + 400 {
                let bearer = tokens.bearer(at(minute));
                assert!((0..=55).contains(&(minute - iat(&bearer))), "its age");
                if bearer != last.0 {
                    assert!(minute - last.1 >= 20, "{start} {minute}");
                    last = (bearer, minute);
                }
            }
        }
    }

    #[test]
    fn a_refused_token_is_replaced_once_in_twenty_minutes() {
        let tokens = ProviderTokens::new(key());
        let first = tokens.bearer(at(10));
        let second = tokens.instead_of(&first, at(12)).unwrap();
        assert_eq!(iat(&second), 12, "signed now");
        assert_eq!(tokens.instead_of(&first, at(12)).as_ref(), Some(&second), "for the others too");
        assert_eq!(tokens.instead_of(&second, at(13)), None);
        assert_eq!(tokens.bearer(at(31)), second, "and is kept for its twenty minutes");
        assert!(tokens.instead_of(&second, at(33)).is_some());
    }

    #[test]
    fn told_that_it_changes_too_often_it_keeps_what_it_has() {
        let tokens = ProviderTokens::new(key());
        let first = tokens.bearer(at(10));
        tokens.keep(&first, at(31));
        assert_eq!(tokens.bearer(at(45)), first);
        assert_ne!(tokens.bearer(at(51)), first);
    }

    #[test]
    fn told_so_of_a_new_token_it_goes_back_to_the_old_one_while_that_is_good() {
        let tokens = ProviderTokens::new(key());
        let first = tokens.bearer(at(10));
        let second = tokens.bearer(at(35));
        assert_ne!(second, first);
        tokens.keep(&second, at(36));
        tokens.keep(&second, at(36));
        assert_eq!(tokens.bearer(at(54)), first, "said twice, gone back once");
        assert_ne!(tokens.bearer(at(55)), first, "Apple would call it expired");
        // One that was refused is none to go back to.
        let tokens = ProviderTokens::new(key());
        let first = tokens.bearer(at(10));
        let second = tokens.instead_of(&first, at(12)).unwrap();
        tokens.keep(&second, at(13));
        assert_eq!(tokens.bearer(at(14)), second);
    }

    #[test]
    fn a_clock_that_steps_back_signs_anew() {
        let tokens = ProviderTokens::new(key());
        tokens.bearer(at(300));
        assert_eq!(iat(&tokens.bearer(at(10))), 0);
    }
}
