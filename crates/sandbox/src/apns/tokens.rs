//! Provider tokens: verified once, then known; and what one connection may do with them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use reveille_model::{Duration, Timestamp};
use serde::Deserialize;

use super::App;
use super::refusal::Refusal;
use crate::bounded::Bounded;
use crate::es256::Jwt;

/// Most tokens known at once; the oldest are forgotten first, and verified anew when they come back.
const KNOWN_MAX: usize = 1_000;
/// Oldest token, in seconds.
const AGE_S_MAX: i64 = 3_600;
/// How far clocks may be apart, in seconds.
const SKEW_S_MAX: i64 = 60;

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
}

/// A token whose signature is good.
#[derive(Debug)]
pub(super) struct ProviderToken {
    text: String,
    team_id: String,
    pub(super) key_id: String,
    pub(super) topics: BTreeSet<String>,
    iat: i64,
}

/// All senders, and the tokens they were seen with.
#[derive(Debug)]
pub(crate) struct ProviderTokens {
    apps: Vec<App>,
    update_min: Duration,
    known: Mutex<Bounded<Arc<ProviderToken>>>,
}

/// The provider tokens of one connection.
#[derive(Debug, Default)]
pub(crate) struct Session(Mutex<Used>);

#[derive(Debug, Default)]
struct Used {
    current: Option<Arc<ProviderToken>>,
    /// Requests signed with it may still be on their way.
    previous: Option<Arc<ProviderToken>>,
    changed_at: Option<Timestamp>,
}

impl ProviderTokens {
    pub(crate) fn new(apps: Vec<App>, update_min_s: u32) -> Self {
        let known = Mutex::new(Bounded::new(KNOWN_MAX));
        Self { apps, update_min: Duration::from_s(update_min_s), known }
    }

    /// All topics there are, for those who show a certificate.
    pub(super) fn is_topic(&self, topic: &str) -> bool {
        self.apps.iter().any(|app| app.topics.contains(topic))
    }

    /// A token that may be used now on a connection.
    pub(super) fn admit(
        &self,
        session: &Session,
        authorization: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<ProviderToken>, Refusal> {
        let text = authorization.ok_or(Refusal::MissingProviderToken)?;
        let text = bearer(text).ok_or(Refusal::InvalidProviderToken)?;
        let mut used = session.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = [&used.current, &used.previous]
            .into_iter()
            .flatten()
            .find(|token| token.text == text)
            .map(Arc::clone);
        if let Some(token) = known {
            token.check_age(now)?;
            return Ok(token);
        }
        let token = self.verify(text)?;
        token.check_age(now)?;
        used.change(&token, self.update_min, now)?;
        Ok(token)
    }

    fn verify(&self, text: &str) -> Result<Arc<ProviderToken>, Refusal> {
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(token) = known.get(text) {
                return Ok(Arc::clone(token));
            }
        }
        let token = Arc::new(self.verify_new(text).ok_or(Refusal::InvalidProviderToken)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(text, Arc::clone(&token));
        Ok(token)
    }

    fn verify_new(&self, text: &str) -> Option<ProviderToken> {
        let jwt = Jwt::parse(text)?;
        let (header, claims): (Header, Claims) = (jwt.header()?, jwt.claims()?);
        let is_of = |app: &&App| app.key_id == header.kid && app.team_id == claims.iss;
        let signer = self.apps.iter().filter(is_of).find(|app| jwt.is_signed_by(&app.public_key));
        if header.alg != "ES256" {
            return None;
        }
        let public_key = &signer?.public_key;
        let same_key = self.apps.iter().filter(is_of).filter(|app| app.public_key == *public_key);
        Some(ProviderToken {
            text: text.to_owned(),
            topics: same_key.flat_map(|app| app.topics.iter().cloned()).collect(),
            team_id: claims.iss,
            key_id: header.kid,
            iat: claims.iat,
        })
    }
}

impl ProviderToken {
    fn check_age(&self, now: Timestamp) -> Result<(), Refusal> {
        let age_s = now.as_s().saturating_sub(self.iat);
        if age_s > AGE_S_MAX {
            Err(Refusal::ExpiredProviderToken)
        } else if age_s < -SKEW_S_MAX {
            Err(Refusal::InvalidProviderToken)
        } else {
            Ok(())
        }
    }
}

impl Used {
    /// One team and one key for ever; a new token seldom. The first change is always allowed, since it may follow soon after the
    /// connection was opened with a token near its end.
    fn change(
        &mut self,
        token: &Arc<ProviderToken>,
        min: Duration,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(current) = &self.current {
            if (&current.team_id, &current.key_id) != (&token.team_id, &token.key_id) {
                return Err(Refusal::UnrelatedKeyIdInToken);
            }
            if self.changed_at.is_some_and(|at| now.since(at) < min) {
                return Err(Refusal::TooManyProviderTokenUpdates);
            }
            self.changed_at = Some(now);
        }
        self.previous = self.current.replace(Arc::clone(token));
        Ok(())
    }
}

/// The token in `bearer <token>`.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

#[cfg(test)]
mod tests {
    use super::{App, ProviderTokens, Refusal, Session, Timestamp};
    use crate::es256::signing::{key, public, sign};
    use aws_lc_rs::signature::EcdsaKeyPair;
    use serde_json::{Value, json};

    const NOW_S: i64 = 1_795_254_000;

    fn now(after_s: i64) -> Timestamp {
        Timestamp::from_ms((NOW_S + after_s) * 1_000)
    }

    fn app(key: &EcdsaKeyPair, key_id: &str, team_id: &str, topic: &str) -> App {
        App {
            topics: [topic.to_owned()].into(),
            key_id: key_id.to_owned(),
            team_id: team_id.to_owned(),
            public_key: public(key),
        }
    }

    fn header(kid: &str) -> Value {
        json!({"alg": "ES256", "kid": kid})
    }

    fn claims(iss: &str, iat: i64) -> Value {
        json!({"iss": iss, "iat": iat})
    }

    fn bearer(key: &EcdsaKeyPair, header: &Value, claims: &Value) -> String {
        format!("bearer {}", sign(key, header, claims))
    }

    #[test]
    fn only_good_provider_tokens_are_admitted() {
        let (good, other) = (key(), key());
        let apps = vec![app(&good, "KEY", "TEAM", "a.b"), app(&good, "KEY", "TEAM", "c.d")];
        let tokens = ProviderTokens::new(apps, 1_200);
        let invalid = Err(Refusal::InvalidProviderToken);
        let right = claims("TEAM", NOW_S);
        for (what, authorization, expected) in [
            ("right", bearer(&good, &header("KEY"), &right), Ok("KEY".to_owned())),
            ("another's", bearer(&other, &header("KEY"), &right), invalid.clone()),
            ("another key", bearer(&good, &header("NEW"), &right), invalid.clone()),
            ("another team", bearer(&good, &header("KEY"), &claims("X", NOW_S)), invalid.clone()),
            (
                "another alg",
                bearer(&good, &json!({"alg": "ES384", "kid": "KEY"}), &right),
                invalid.clone(),
            ),
            ("no kid", bearer(&good, &json!({"alg": "ES256"}), &right), invalid.clone()),
            ("no iat", bearer(&good, &header("KEY"), &json!({"iss": "TEAM"})), invalid.clone()),
            ("no token", "bearer x".to_owned(), invalid.clone()),
            ("basic", "Basic eDp5".to_owned(), invalid.clone()),
            (
                "an hour",
                bearer(&good, &header("KEY"), &claims("TEAM", NOW_S - 3_600)),
                Ok("KEY".to_owned()),
            ),
            (
                "older",
                bearer(&good, &header("KEY"), &claims("TEAM", NOW_S - 3_601)),
                Err(Refusal::ExpiredProviderToken),
            ),
            (
                "a minute early",
                bearer(&good, &header("KEY"), &claims("TEAM", NOW_S + 60)),
                Ok("KEY".to_owned()),
            ),
            (
                "earlier",
                bearer(&good, &header("KEY"), &claims("TEAM", NOW_S + 61)),
                invalid.clone(),
            ),
        ] {
            let admitted = tokens.admit(&Session::default(), Some(&authorization), now(0));
            assert_eq!(admitted.map(|token| token.key_id.clone()), expected, "{what}");
        }
        let missing = tokens.admit(&Session::default(), None, now(0));
        assert_eq!(missing.err(), Some(Refusal::MissingProviderToken));
        let upper = bearer(&good, &header("KEY"), &right).replace("bearer", "Bearer");
        let token = tokens.admit(&Session::default(), Some(&upper), now(0)).unwrap();
        assert!(token.topics.contains("a.b") && token.topics.contains("c.d"), "one key, two apps");
        let nobody = ProviderTokens::new(Vec::new(), 1_200);
        let refused = nobody.admit(&Session::default(), Some(&upper), now(0));
        assert_eq!(refused.err(), Some(Refusal::InvalidProviderToken));
    }

    #[test]
    fn a_token_grows_old_on_its_connection() {
        let good = key();
        let tokens = ProviderTokens::new(vec![app(&good, "KEY", "TEAM", "a")], 1_200);
        let (session, text) =
            (Session::default(), bearer(&good, &header("KEY"), &claims("TEAM", NOW_S)));
        assert!(tokens.admit(&session, Some(&text), now(3_600)).is_ok());
        let late = tokens.admit(&session, Some(&text), now(3_601));
        assert_eq!(late.err(), Some(Refusal::ExpiredProviderToken));
    }

    #[test]
    fn a_connection_keeps_its_team_and_key() {
        let (one, other) = (key(), key());
        let apps = vec![app(&one, "KEY1", "TEAM", "a"), app(&other, "KEY2", "TEAM", "b")];
        let (tokens, session) = (ProviderTokens::new(apps, 1_200), Session::default());
        let first = bearer(&one, &header("KEY1"), &claims("TEAM", NOW_S));
        let second = bearer(&other, &header("KEY2"), &claims("TEAM", NOW_S));
        assert!(tokens.admit(&session, Some(&first), now(0)).is_ok());
        let refused = tokens.admit(&session, Some(&second), now(0));
        assert_eq!(refused.err(), Some(Refusal::UnrelatedKeyIdInToken));
        assert!(tokens.admit(&session, Some(&first), now(0)).is_ok());
        assert!(tokens.admit(&Session::default(), Some(&second), now(0)).is_ok());
    }

    #[test]
    fn a_second_change_of_the_token_must_wait() {
        let good = key();
        let tokens = ProviderTokens::new(vec![app(&good, "KEY", "TEAM", "a")], 1_200);
        let session = Session::default();
        let text = |iat| bearer(&good, &header("KEY"), &claims("TEAM", NOW_S + iat));
        let admit = |text: &str, at| tokens.admit(&session, Some(text), now(at)).err();
        let [first, second, third] = [0, 1, 2].map(text);
        assert_eq!(admit(&first, 0), None);
        assert_eq!(admit(&second, 1), None, "the first change is free");
        assert_eq!(admit(&first, 1), None, "sent before the change, arrived after it");
        assert_eq!(admit(&second, 2), None);
        assert_eq!(admit(&third, 1_200), Some(Refusal::TooManyProviderTokenUpdates));
        assert_eq!(admit(&second, 1_200), None, "the old one goes on");
        assert_eq!(admit(&third, 1_201), None);
    }
}
