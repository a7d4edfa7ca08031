//! What sends, made of the sections of providers, and what of those sections is read again under it.

use std::sync::Arc;

use reveille_providers::apns::{ApnsConnections, ApnsSender};
use reveille_providers::fcm::FcmSender;
use reveille_providers::webpush::{Service, WebPushSender};
use reveille_providers::{Current, Now, Sender};
use reveille_service::clock::Clock;
use reveille_service::config::Document;
use reveille_service::reload::Reloadable;

use crate::app::StartError;
use crate::config::{ApnsSection, BrowserKey, FcmSection, Providers, WebPushSection};
use crate::expiries::Expiries;
use crate::worker::DeliverySettings;

/// What sends, for each credential set.
pub type Senders = Vec<(DeliverySettings, Arc<dyn Sender>)>;

/// The senders of a configuration's sections, whose files are read again when they change, and when their credentials end.
pub fn senders(
    providers: Providers,
    clock: &Arc<dyn Clock>,
) -> Result<(Senders, Vec<Reloadable>, Expiries), StartError> {
    let expiries = Expiries::default();
    let Providers { fcm, apns, webpush, browser_key, document } = providers;
    let of_sender = Arc::clone(clock);
    let now: Now = Arc::new(move || of_sender.now());
    let (mut senders, mut reloads) = (Vec::new(), Vec::new());
    for section in fcm {
        let (sender, reload) = of_fcm(section, &now, &document)?;
        senders.push(sender);
        reloads.push(reload);
    }
    let connections = Arc::new(ApnsConnections::default());
    for section in apns {
        let (sender, reload) = of_apns(section, &now, (&connections, &document), &expiries);
        senders.push(sender);
        reloads.push(reload);
    }
    if let Some(section) = webpush {
        let (of_services, reload) = of_webpush(section, now, (browser_key, &document))?;
        senders.extend(of_services);
        reloads.push(reload);
    }
    Ok((senders, reloads, expiries))
}

type WithSettings = (DeliverySettings, Arc<dyn Sender>);

fn of_fcm(
    section: FcmSection,
    now: &Now,
    document: &Document,
) -> Result<(WithSettings, Reloadable), StartError> {
    let FcmSection { set, fcm, governor, retry } = section;
    let sender = FcmSender::new(fcm, Arc::clone(now))
        .map_err(|what| StartError::Sender(format!("{set}: {what}")))?;
    let sender = Arc::new(sender);
    let (renewed, of_section) = (Arc::clone(&sender), set.clone());
    let read = move |document: &Document| FcmSection::reread(&of_section, document);
    let take = move |section: FcmSection| renewed.renew(section.fcm);
    let reload = Reloadable::new(set.to_string(), document, read, take);
    let settings = DeliverySettings { set, topics: Vec::new(), governor, per_scope: None, retry };
    Ok(((settings, sender), reload))
}

fn of_apns(
    section: ApnsSection,
    now: &Now,
    (connections, document): (&Arc<ApnsConnections>, &Document),
    expiries: &Expiries,
) -> (WithSettings, Reloadable) {
    let ApnsSection { set, topics, apns, governor, retry, expires_at, .. } = section;
    if let Some(end) = expires_at {
        expiries.put(&set, end);
    }
    let expiries = expiries.clone();
    let sender = Arc::new(ApnsSender::new(apns, Arc::clone(now), connections));
    let (renewed, connections) = (Arc::clone(&sender), Arc::clone(connections));
    let of_section = set.clone();
    let read = move |document: &Document| ApnsSection::reread(&of_section, document);
    let take = move |section: ApnsSection| {
        if let Some(end) = section.expires_at {
            expiries.put(&section.set, end);
        }
        renewed.renew(section.apns, &connections);
        Ok(())
    };
    let reload = Reloadable::new(set.to_string(), document, read, take);
    // One topic may use all of its set's room.
    let settings = DeliverySettings { set, topics, governor, per_scope: Some(governor), retry };
    ((settings, sender), reload)
}

fn of_webpush(
    section: WebPushSection,
    now: Now,
    (browser_key, document): (Option<Arc<Current<BrowserKey>>>, &Document),
) -> Result<(Senders, Reloadable), StartError> {
    let WebPushSection { webpush, governor, per_host, retry } = section;
    let sender = WebPushSender::new(webpush, now)
        .map_err(|what| StartError::Sender(format!("webpush: {what}")))?;
    let sender = Arc::new(sender);
    let settings = Service::ALL.map(|service| {
        // Known services are few hosts; who runs the others we cannot know.
        let per_scope = match service {
            Service::Mozilla | Service::Google | Service::Apple => governor,
            Service::Microsoft | Service::Other => per_host,
        };
        let settings = DeliverySettings {
            set: service.set(),
            topics: Vec::new(),
            governor,
            per_scope: Some(per_scope),
            retry,
        };
        let sender: Arc<dyn Sender> = Arc::<WebPushSender>::clone(&sender);
        (settings, sender)
    });
    let take = move |section: WebPushSection| {
        let key = section.browser_key();
        sender.renew(section.webpush)?;
        // Once they can be woken with it.
        if let (Some(current), Some(key)) = (&browser_key, key) {
            current.put(key);
        }
        Ok(())
    };
    let reload = Reloadable::new("webpush", document, WebPushSection::read, take);
    Ok((settings.into(), reload))
}
