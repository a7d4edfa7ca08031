//! The task: deaths go to the wiki as they come, some at a time, until it has done it.

use std::sync::Arc;

use metrics::counter;
use reveille_mixer::Backoff;
use reveille_model::{Duration, Provider, Rng, Timestamp};
use reveille_service::clock::Clock;
use reveille_service::lifecycle::Lifecycle;
use reveille_store::{Death, DeathId, Destination, Store, StoreError};
use tokio::sync::watch;

use super::account::{Account, MediaWikiConfig};
use crate::metrics::FEEDBACK;
use crate::wiki::Failure;

/// While the wiki is out of reach, read-only or busy nothing is asked for this long.
const OUT_OF_REACH: Backoff = Backoff { first: Duration::from_s(1), cap: Duration::from_s(300) };
/// After it has refused us: its throttle of logins counts five minutes.
const REFUSED: Backoff = Backoff { first: Duration::from_s(300), cap: Duration::from_s(3_600) };
/// A death that could not be told for so long is given up; if its token is named again it dies again.
const KEPT_FOR: Duration = Duration::from_s(7 * 86_400);
/// Deaths looked at for their age after each failure.
const PAGE: usize = 500;
/// How often it is looked for what nobody spoke of.
const LOOK_AGAIN: Duration = Duration::from_s(5);

/// The task that deletes.
pub(crate) struct MediaWiki {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: MediaWikiConfig,
    pub(crate) rng: Rng,
    /// Told when there are new deaths.
    pub(crate) deaths: watch::Receiver<()>,
}

/// Why some deaths are not told.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Wiki(#[from] Failure),
}

impl MediaWiki {
    /// Runs until the lifecycle stops.
    pub(crate) async fn run(mut self, lifecycle: Lifecycle) {
        let mut account = match Account::new(self.config.clone()) {
            Ok(account) => account,
            Err(error) => return tracing::error!(error, "cannot make an HTTP client"),
        };
        let mut failures = 0;
        while !lifecycle.is_stopping() {
            // What is cut off is asked for again after the next start; a wiki that hangs holds up no stop.
            let told = tokio::select! {
                told = self.tell(&mut account) => told,
                () = lifecycle.stopping() => return,
            };
            let wait = match told {
                Ok(true) => {
                    failures = 0;
                    continue;
                }
                Ok(false) => None,
                Err(Untold::Store(error)) => {
                    tracing::error!(%error, "deaths cannot be read; trying again");
                    Some(self.clock.now().plus(LOOK_AGAIN))
                }
                Err(Untold::Wiki(failure)) => {
                    failures += 1;
                    Some(self.after(&failure, failures))
                }
            };
            let look_again = wait.unwrap_or(self.clock.now().plus(LOOK_AGAIN));
            tokio::select! {
                () = lifecycle.stopping() => {}
                () = self.clock.sleep_until(look_again) => {}
                Ok(()) = self.deaths.changed(), if wait.is_none() => {}
            }
        }
    }

    /// When to ask again.
    fn after(&mut self, failure: &Failure, failures: u32) -> Timestamp {
        let now = self.clock.now();
        match failure {
            Failure::Later { until, .. } => {
                count("out_of_reach", 1);
                tracing::warn!(%failure, "the wiki does not delete dead tokens now; trying again");
                until.unwrap_or(now.plus(OUT_OF_REACH.delay(failures, &mut self.rng)))
            }
            Failure::Refused(_) | Failure::Lacks(_) => {
                count("refused", 1);
                tracing::error!(
                    %failure,
                    "the wiki refuses to delete dead tokens; see [push.feedback] and the rights of the account"
                );
                now.plus(REFUSED.delay_at_least(failures, &mut self.rng))
            }
        }
    }

    /// Tells of some. Returns whether there may be more.
    async fn tell(&self, account: &mut Account) -> Result<bool, Untold> {
        let now = self.clock.now();
        if self.store.untold(Destination::MediaWiki, now, 1).await?.is_empty() {
            return Ok(false);
        }
        let told = self.delete_some(account, now).await;
        if let Err(Untold::Wiki(_)) = &told {
            self.give_up(now).await?;
        }
        told.map(|()| true)
    }

    /// Deletes as many as go into one call.
    async fn delete_some(&self, account: &mut Account, now: Timestamp) -> Result<(), Untold> {
        // Logging in takes a while, in which a token may turn out to live.
        let values_max = account.values_max(now).await?;
        let due = self.store.untold(Destination::MediaWiki, now, values_max).await?;
        let (mut values, mut told): (Vec<String>, Vec<&Death>) = (Vec::new(), Vec::new());
        for death in &due {
            let named = values_of(death);
            if values.len() + named.len() > values_max {
                break;
            }
            values.extend(named);
            told.push(death);
        }
        let tokens: Vec<&str> = values.iter().map(String::as_str).collect();
        if !tokens.is_empty() {
            account.delete(&tokens, now).await?;
        }
        count("told", told.len());
        Ok(self.store.told(told.iter().map(|death| death.id).collect()).await?)
    }

    /// Forgets what was due for too long.
    async fn give_up(&self, now: Timestamp) -> Result<(), StoreError> {
        let due = self.store.untold(Destination::MediaWiki, now, PAGE).await?;
        let old = due.iter().filter(|death| now.since(death.at) > KEPT_FOR);
        let old: Vec<DeathId> = old.map(|death| death.id).collect();
        if !old.is_empty() {
            count("given_up", old.len());
            tracing::error!("dead tokens could not be deleted for a week and are given up");
        }
        self.store.told(old).await
    }
}

/// How the wiki may have written a token. It keeps what the app gave it, and tells what differs in case apart; Apple's tokens are hexadecimal numbers.
fn values_of(death: &Death) -> Vec<String> {
    let token = death.token.identity(death.set.provider());
    match death.set.provider() {
        Provider::Fcm => vec![token.to_owned()],
        Provider::Apns => {
            let mut both = vec![token.to_ascii_lowercase(), token.to_ascii_uppercase()];
            both.dedup();
            both
        }
        // It knows no browsers.
        Provider::WebPush => Vec::new(),
    }
}

fn count(result: &'static str, times: usize) {
    counter!(FEEDBACK, "destination" => "mediawiki", "result" => result).increment(times as u64);
}
