//! Registering, showing, changing and deleting devices: the same for callers and for users. Tokens are never shown.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use metrics::counter;
use reveille_model::{
    CredentialSet, Mixed, NewSubscription, Nonce, Provider, Subscription, SubscriptionChange,
    SubscriptionId, Timestamp, Token, Topic, User,
};
use reveille_providers::webpush::Target;
use reveille_service::body::BodyLimits;
use reveille_service::text_time;
use reveille_store::{Asked, Proved, Put};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;
use utoipa::ToSchema;

use super::body::{Field, Media, is_flag, is_text, media, parse};
use super::error::ApiError;
use super::user_error::UserError;
use crate::intake::{Intake, NO_APP};
use crate::metrics::{SUBSCRIPTIONS_DELETED, SUBSCRIPTIONS_PUT};

/// A device to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct SubscriptionRequest<'a> {
    /// `apns`, `fcm` or `webpush`.
    #[serde(borrow)]
    #[schema(value_type = String, example = "fcm")]
    provider: Cow<'a, str>,
    /// What the provider gave the device (APNs, FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    token: Option<Cow<'a, str>>,
    /// Instead of a token: the Firebase Installation ID (FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    fid: Option<Cow<'a, str>>,
    /// What `PushSubscription.toJSON()` gives (Web Push).
    #[serde(default)]
    subscription: Option<Value>,
    /// The app's bundle id (APNs); one of the topics of an `[apns.*]` section.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    topic: Option<Cow<'a, str>>,
    /// Which credentials reach it: the name of a section `[apns.NAME]` or `[fcm.NAME]`.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    app: Option<Cow<'a, str>>,
}

const FIELDS: [Field; 6] = [
    Field { name: "provider", expected: "a text", is_required: true, fits: Value::is_string },
    Field { name: "token", expected: "a text", is_required: false, fits: is_text },
    Field { name: "fid", expected: "a text", is_required: false, fits: is_text },
    Field {
        name: "subscription",
        expected: "an object",
        is_required: false,
        fits: |value| value.is_object() || value.is_null(),
    },
    Field { name: "topic", expected: "a text", is_required: false, fits: is_text },
    Field { name: "app", expected: "a text", is_required: false, fits: is_text },
];

/// What is to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ChangeRequest<'a> {
    /// The token that its provider has put in the place of the one before (APNs, FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    token: Option<Cow<'a, str>>,
    /// Instead of a token: the Firebase Installation ID (FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    fid: Option<Cow<'a, str>>,
    /// What `PushSubscription.toJSON()` gives now (Web Push).
    #[serde(default)]
    subscription: Option<Value>,
    /// Whether it is to be woken on a constant beat (`push.mix.sealed_period_s`) whatever happens, and at no other time. Only for devices that show
    /// nobody that they were woken: no browsers, and no apps whose pushes are alerts. A device that is sealed no longer goes on until the next beat.
    #[serde(default)]
    sealed: Option<bool>,
}

const CHANGES: [Field; 4] = [
    Field { name: "sealed", expected: "true or false", is_required: false, fits: is_flag },
    Field { name: "token", expected: "a text", is_required: false, fits: is_text },
    Field { name: "fid", expected: "a text", is_required: false, fits: is_text },
    Field {
        name: "subscription",
        expected: "an object",
        is_required: false,
        fits: |value| value.is_object() || value.is_null(),
    },
];

/// How many devices went.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct DeletedResponse {
    pub(in crate::api) deleted: u64,
}

/// A registered device. Its token is never shown, not even in part.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "what is written, and read by others")]
pub(in crate::api) struct SubscriptionResponse {
    id: String,
    provider: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    /// Whether it is to be woken on a constant beat.
    sealed: bool,
    /// How its wake-ups are mixed: `batch` (for its user alone, in the window's batch), `cohort` (with everybody in its user's cohort, whoever of
    /// them is meant) or `sealed` (on a constant beat, whatever happens).
    mode: &'static str,
    /// Whether its token looks dead for a reason that may be a mistake of ours.
    suspect: bool,
    /// Whether the app has not registered it for `push.subscriptions.stale_after_days`. It is woken all the same.
    stale: bool,
    /// Whether it has shown that it has its token, where it has to (`push.subscriptions.verify`). Until then it wakes nobody.
    verified: bool,
    created_at: String,
    refreshed_at: String,
}

/// What is to be said of a device without showing its token.
fn shown(
    subscription: Subscription,
    mixed: Mixed,
    stale_before: Option<Timestamp>,
) -> SubscriptionResponse {
    let provider = subscription.set.provider();
    SubscriptionResponse {
        id: subscription.id.to_string(),
        provider: provider.as_str(),
        topic: subscription.topic.map(|topic| topic.as_str().to_owned()),
        app: (provider != Provider::WebPush).then(|| subscription.set.name().to_owned()),
        sealed: subscription.sealed,
        mode: mixed.as_str(),
        suspect: subscription.suspect_since.is_some(),
        stale: stale_before.is_some_and(|before| subscription.refreshed_at < before),
        verified: true,
        created_at: text_time::format(subscription.created_at),
        refreshed_at: text_time::format(subscription.refreshed_at),
    }
}

/// What a device shows.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct VerifyRequest<'a> {
    /// The nonce of the push it got: 32 hexadecimal digits.
    #[serde(borrow)]
    #[schema(value_type = String)]
    nonce: Cow<'a, str>,
}

const VERIFICATION: [Field; 1] =
    [Field { name: "nonce", expected: "a text", is_required: true, fits: Value::is_string }];

/// Who says that a device is a user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum WhoseWord {
    /// The site, whose word is enough.
    Sites,
    /// The user, who may be asked for proof.
    Users,
}

/// What both APIs do with devices.
#[derive(Clone)]
pub(crate) struct Devices {
    pub(crate) intake: Arc<Intake>,
    pub(crate) bodies: BodyLimits,
    /// Makes the delivery workers look for what is due.
    pub(crate) released: watch::Sender<Timestamp>,
}

impl Devices {
    /// Registers a device of a user, or refreshes its registration.
    pub(in crate::api) async fn register(
        &self,
        user: User,
        whose_word: WhoseWord,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<(StatusCode, Json<SubscriptionResponse>), ApiError> {
        if media(headers)? != Media::Json {
            return Err(ApiError::ContentType);
        }
        let put = async |body: Bytes| self.put(user, whose_word, &body).await;
        self.bodies.read(headers, body, put).await?
    }

    async fn put(
        &self,
        user: User,
        whose_word: WhoseWord,
        body: &[u8],
    ) -> Result<(StatusCode, Json<SubscriptionResponse>), ApiError> {
        let request: SubscriptionRequest<'_> = parse(body, &FIELDS)?;
        let provider = Provider::parse(&request.provider).ok_or(ApiError::UnknownProvider)?;
        let new = device(&self.intake, provider, user, &request)?;
        if whose_word == WhoseWord::Users && self.intake.settings.verify {
            let asked = self.intake.ask_proof(new).await?;
            self.wake_workers();
            return Ok(match asked {
                Asked::Refreshed(subscription) => {
                    count(provider, "refreshed", 1);
                    (StatusCode::OK, self.show(subscription))
                }
                Asked::Waiting(subscription) => {
                    count(provider, "unproven", 1);
                    let mixed = self.intake.mixed(&subscription);
                    let mut shown = shown(subscription, mixed, None);
                    shown.verified = false;
                    (StatusCode::CREATED, Json(shown))
                }
            });
        }
        let put = self.intake.put(new).await?;
        Ok(self.registered(provider, put))
    }

    /// A device that is registered now.
    fn registered(&self, provider: Provider, put: Put) -> (StatusCode, Json<SubscriptionResponse>) {
        self.wake_workers();
        match put {
            Put::Created { subscription, evicted } => {
                count(provider, "created", 1);
                count(provider, "evicted", evicted as u64);
                (StatusCode::CREATED, self.show(subscription))
            }
            Put::Refreshed(subscription) => {
                count(provider, "refreshed", 1);
                (StatusCode::OK, self.show(subscription))
            }
        }
    }

    /// Registers a device that shows its nonce.
    pub(in crate::api) async fn verify(
        &self,
        user: &User,
        id: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Json<SubscriptionResponse>, ApiError> {
        let id = parse_id(id)?;
        if media(headers)? != Media::Json {
            return Err(ApiError::ContentType);
        }
        let prove = async |body: Bytes| {
            let VerifyRequest { nonce } = parse(&body, &VERIFICATION)?;
            // What is no nonce is a wrong one.
            let nonce = Nonce::parse(&nonce).map_err(|_| UserError::WrongNonce)?;
            match self.intake.prove(user, id, nonce).await? {
                Proved::Unknown => Err(UserError::UnknownSubscription.into()),
                Proved::Wrong => Err(UserError::WrongNonce.into()),
                Proved::Registered(put) => {
                    let (Put::Created { subscription, .. } | Put::Refreshed(subscription)) = &put;
                    Ok(self.registered(subscription.set.provider(), put.clone()).1)
                }
            }
        };
        self.bodies.read(headers, body, prove).await?
    }

    /// The devices of a user, oldest first.
    pub(in crate::api) async fn list(
        &self,
        user: &User,
    ) -> Result<Json<Vec<SubscriptionResponse>>, ApiError> {
        let found = self.intake.store.list(user).await?;
        Ok(Json(found.into_iter().map(|each| self.show(each).0).collect()))
    }

    /// One device of a user.
    pub(in crate::api) async fn get(
        &self,
        user: &User,
        id: &str,
    ) -> Result<Json<SubscriptionResponse>, ApiError> {
        let found = self.intake.store.get(user, parse_id(id)?).await?;
        Ok(self.show(found.ok_or(UserError::UnknownSubscription)?))
    }

    /// Changes a device of a user.
    pub(in crate::api) async fn patch(
        &self,
        whose: (&User, WhoseWord),
        id: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Json<SubscriptionResponse>, ApiError> {
        let id = parse_id(id)?;
        if media(headers)? != Media::Json {
            return Err(ApiError::ContentType);
        }
        let change = async |body: Bytes| self.change(whose, id, &body).await;
        self.bodies.read(headers, body, change).await?
    }

    async fn change(
        &self,
        (user, whose_word): (&User, WhoseWord),
        id: SubscriptionId,
        body: &[u8],
    ) -> Result<Json<SubscriptionResponse>, ApiError> {
        let request: ChangeRequest<'_> = parse(body, &CHANGES)?;
        let known = self.intake.store.get(user, id).await?;
        let known = known.ok_or(UserError::UnknownSubscription)?;
        let provider = known.set.provider();
        let ChangeRequest { token: text, fid, subscription, sealed } = request;
        if sealed == Some(true) && !self.intake.is_silent(&known.set) {
            return Err(match provider {
                Provider::WebPush => UserError::SealedBrowser,
                Provider::Apns | Provider::Fcm => UserError::SealedVisible,
            }
            .into());
        }
        let device = match (provider, &text, &fid, &subscription) {
            (_, None, None, None) if sealed.is_some() => None,
            (Provider::WebPush, ..) => Some(browser(&self.intake, subscription.as_ref())?),
            (Provider::Apns | Provider::Fcm, ..) => {
                Some((known.set, token(provider, text.as_deref(), fid.as_deref())?))
            }
        };
        if device.is_some() && whose_word == WhoseWord::Users && self.intake.settings.verify {
            return Err(UserError::RegisterAnew.into());
        }
        let result = if device.is_some() { "replaced" } else { "changed" };
        let change = SubscriptionChange { device, sealed };
        let changed = self.intake.change(user, id, change).await?;
        let changed = changed.ok_or(UserError::UnknownSubscription)?;
        count(provider, result, 1);
        self.wake_workers();
        Ok(self.show(changed))
    }

    /// Deletes a device of a user. What waits for it is cancelled.
    pub(in crate::api) async fn delete(
        &self,
        user: &User,
        id: &str,
    ) -> Result<StatusCode, ApiError> {
        if !self.intake.store.delete(user, parse_id(id)?).await? {
            return Err(UserError::UnknownSubscription.into());
        }
        counter!(SUBSCRIPTIONS_DELETED).increment(1);
        Ok(StatusCode::NO_CONTENT)
    }

    /// Deletes all devices of a user. What waits for them is cancelled.
    pub(in crate::api) async fn delete_all(
        &self,
        user: &User,
    ) -> Result<Json<DeletedResponse>, ApiError> {
        let deleted = self.intake.store.delete_all(user).await?;
        counter!(SUBSCRIPTIONS_DELETED).increment(deleted);
        Ok(Json(DeletedResponse { deleted }))
    }

    fn show(&self, subscription: Subscription) -> Json<SubscriptionResponse> {
        let mixed = self.intake.mixed(&subscription);
        Json(shown(subscription, mixed, self.intake.stale_before()))
    }

    /// What waited with a device in quarantine, or with the token before, is due now.
    fn wake_workers(&self) {
        self.released.send_modify(|_| {});
    }
}

/// Counts devices that were put, by what became of them.
fn count(provider: Provider, result: &'static str, devices: u64) {
    counter!(SUBSCRIPTIONS_PUT, "provider" => provider.as_str(), "result" => result)
        .increment(devices);
}

/// What is no id names no device.
fn parse_id(id: &str) -> Result<SubscriptionId, UserError> {
    SubscriptionId::parse(id).map_err(|_| UserError::UnknownSubscription)
}

/// The device a request describes.
fn device(
    intake: &Intake,
    provider: Provider,
    user: User,
    request: &SubscriptionRequest<'_>,
) -> Result<NewSubscription, ApiError> {
    let invalid = |what: String| ApiError::InvalidBody(what);
    if provider == Provider::WebPush {
        let (set, token) = browser(intake, request.subscription.as_ref())?;
        return Ok(NewSubscription { user, set, topic: None, token });
    }
    let token = token(provider, request.token.as_deref(), request.fid.as_deref())?;
    let app = request.app.as_deref();
    if provider == Provider::Fcm {
        let set = intake.set_for(provider, app).map_err(ApiError::which_app(provider))?;
        return Ok(NewSubscription { user, set, topic: None, token });
    }
    let topic = request
        .topic
        .as_deref()
        .map(Topic::parse)
        .transpose()
        .map_err(|_| invalid("`topic` must be 1 to 255 visible ASCII characters".to_owned()))?;
    let (set, topic) = intake.apns_set_for(app, topic).map_err(ApiError::which_app(provider))?;
    if set.name() == NO_APP {
        return Err(ApiError::UnknownTopic);
    }
    Ok(NewSubscription { user, set, topic: Some(topic), token })
}

/// The token of a phone.
fn token(provider: Provider, text: Option<&str>, fid: Option<&str>) -> Result<Token, ApiError> {
    let invalid = |what: String| ApiError::InvalidBody(what);
    if let Some(fid) = fid {
        if provider != Provider::Fcm || text.is_some() {
            return Err(invalid("`fid` is FCM's, and stands in the place of `token`".to_owned()));
        }
        check_shape(provider, "fid", fid)?;
        return Token::fid(fid).map_err(|error| invalid(format!("`fid` does not fit: {error}")));
    }
    let text = text.ok_or_else(|| invalid("`token` is missing; it is a text".to_owned()))?;
    check_shape(provider, "token", text)?;
    Token::parse(provider, text).map_err(|error| invalid(format!("`token` does not fit: {error}")))
}

/// FCM documents no form of its tokens; what cannot stand in one is a mistake of whoever sends it.
fn check_shape(provider: Provider, name: &str, text: &str) -> Result<(), ApiError> {
    let fits = provider != Provider::Fcm || text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits {
        return Ok(());
    }
    Err(ApiError::InvalidBody(format!(
        "`{name}` does not fit: it has visible ASCII characters only"
    )))
}

/// The token of a browser, and which push service it names.
fn browser(intake: &Intake, json: Option<&Value>) -> Result<(CredentialSet, Token), ApiError> {
    let invalid = |what: String| ApiError::InvalidBody(what);
    let json = json.ok_or_else(|| {
        invalid("`subscription` is missing; it is what PushSubscription.toJSON() gives".to_owned())
    })?;
    let settings = &intake.settings;
    let mut target = Target::from_json(json, &settings.guard)
        .map_err(|error| invalid(format!("`subscription` does not fit: {error}")))?;
    // A browser subscribes with the key it is told of; when keys change, it is still this one.
    target.key_id = target.key_id.or_else(|| settings.vapid_key_id.clone());
    let token = target
        .to_token()
        .ok_or_else(|| invalid("`subscription` does not fit: it is too long".to_owned()))?;
    Ok((target.service().set(), token))
}
