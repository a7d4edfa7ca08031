//! Tries what a configuration names outside of this machine's files: the wikis.

use reveille_model::Timestamp;

use crate::config::{FeedbackConfig, PushConfig};
use crate::feedback;
use crate::identity::{AuthMode, wiki_of};

/// What came of a try: where it stands in the configuration, and what is well or wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The section.
    pub path: &'static str,
    /// Words for people.
    pub outcome: Result<String, String>,
}

impl PushConfig {
    /// Logs in to the wiki that dead tokens are deleted at, and asks the wiki that says who is calling what it is called.
    pub async fn try_wikis(&self, now: Timestamp) -> Vec<Tried> {
        let mut tried = Vec::new();
        if let Some(FeedbackConfig::MediaWiki(config)) = &self.feedback {
            let outcome = match feedback::try_account(config, now).await {
                Ok(values) => Ok(format!(
                    "the wiki knows {} and lets it delete {values} tokens in a call",
                    config.username
                )),
                Err(what) => Err(format!("the wiki does not let us delete dead tokens: {what}")),
            };
            tried.push(Tried { path: "push.feedback", outcome });
        }
        let auth = self.public.as_ref().map(|public| &public.auth);
        if let Some(AuthMode::MediaWiki(config)) = auth {
            let outcome = match wiki_of(config, now).await {
                Ok(id) if id == config.realm.as_str() => {
                    Ok(format!("the wiki {id} says who is calling"))
                }
                Ok(id) => Err(format!(
                    "the wiki says that it is {id}, and push.public.auth.wiki that it is {}",
                    config.realm
                )),
                Err(what) => Err(format!("the wiki cannot be asked who is calling: {what}")),
            };
            tried.push(Tried { path: "push.public.auth", outcome });
        }
        tried
    }
}
