//! What of the push server's own sections is read again when its files change. Those of providers are in `senders.rs`.

use std::sync::Arc;

use reveille_providers::Current;
use reveille_service::config::{Document, ServerTls};
use reveille_service::reload::Reloadable;

use crate::config::{
    ConsoleConfig, FeedbackConfig, FeedbackSecret, IntakeSection, PublicConfig, PushConfig,
};
use crate::identity::{AuthMode, SessionSecrets};

impl PushConfig {
    /// Bearer tokens of callers, certificates of listeners, and what proves to whoever is told of deaths who we are.
    pub(crate) fn reloads(&self) -> Vec<Reloadable> {
        let public = self.public.as_ref().and_then(|public| public.tls.as_ref());
        let public = public.map(|tls| of_public(tls.clone(), &self.document));
        let sessions = self.public.as_ref().and_then(|public| match &public.auth {
            AuthMode::Sessions(config) => Some(of_sessions(&config.secrets, &self.document)),
            _ => None,
        });
        let feedback = self.feedback.as_ref().map(|config| of_feedback(config, &self.document));
        let console = self.console.as_ref().map(|console| {
            let operators = console.operators.clone();
            let take = move |read: ConsoleConfig| {
                operators.take(&read.operators);
                Ok(())
            };
            Reloadable::new("push.console", &self.document, ConsoleConfig::reread, take)
        });
        let all = [Some(self.of_intake()), public, sessions, console, feedback];
        all.into_iter().flatten().collect()
    }

    fn of_intake(&self) -> Reloadable {
        let (tls, callers) = (self.tls.clone(), self.callers.clone());
        let take = move |section: IntakeSection| {
            if let (Some(tls), Some(read)) = (&tls, &section.tls) {
                tls.take(read);
            }
            if let Some(read) = &section.callers {
                callers.take(read);
            }
            Ok(())
        };
        let read = |document: &Document| Some(IntakeSection::reread(document));
        Reloadable::new("push.intake", &self.document, read, take)
    }
}

fn of_public(tls: ServerTls, document: &Document) -> Reloadable {
    let take = move |read: ServerTls| {
        tls.take(&read);
        Ok(())
    };
    Reloadable::new("push.public", document, PublicConfig::reread_tls, take)
}

fn of_sessions(secrets: &Arc<Current<SessionSecrets>>, document: &Document) -> Reloadable {
    let secrets = Arc::clone(secrets);
    let take = move |read: SessionSecrets| {
        secrets.put(read);
        Ok(())
    };
    let read = |document: &Document| Some(PublicConfig::reread_session_secrets(document));
    Reloadable::new("push.public.auth", document, read, take)
}

fn of_feedback(config: &FeedbackConfig, document: &Document) -> Reloadable {
    let destination = config.destination();
    let config = config.clone();
    let read = move |document: &Document| FeedbackSecret::reread(document, destination);
    let take = move |read: FeedbackSecret| {
        match (&config, read) {
            (FeedbackConfig::Webhook(config), FeedbackSecret::Webhook(secret)) => {
                config.secret.put(secret);
            }
            (FeedbackConfig::MediaWiki(config), FeedbackSecret::MediaWiki(password)) => {
                config.password.put(password);
            }
            _ => return Err("its mode is another one".to_owned()),
        }
        Ok(())
    };
    Reloadable::new("push.feedback", document, read, take)
}
