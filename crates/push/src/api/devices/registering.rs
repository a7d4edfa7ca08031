//! What the APIs do with devices.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use metrics::counter;
use reveille_model::{
    NewSubscription, Nonce, Provider, Subscription, SubscriptionChange, SubscriptionId, Timestamp,
    User,
};
use reveille_service::body::BodyLimits;
use reveille_store::{Asked, Proved, Put, StoreError};
use tokio::sync::watch;

use super::super::body::{Media, media, parse};
use super::super::error::ApiError;
use super::super::user_error::UserError;
use super::shapes::{
    CHANGES, ChangeRequest, DeletedResponse, FIELDS, SubscriptionRequest, SubscriptionResponse,
    VERIFICATION, VerifyRequest, shown,
};
use super::tokens::{browser, described, token};
use crate::board::Change;
use crate::intake::Intake;
use crate::metrics::{SUBSCRIPTIONS_DELETED, SUBSCRIPTIONS_PUT};

/// Who says that a device is a user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum WhoseWord {
    /// The site, whose word is enough.
    Sites,
    /// The user, who may be asked for proof.
    Users,
}

/// What registering a device did.
#[derive(Debug)]
pub(in crate::api) enum Registered {
    /// It is new.
    New(Subscription),
    /// It was another user's.
    Moved(Subscription),
    /// Its user had registered it before.
    Refreshed(Subscription),
    /// It is new, and counts once it has shown that it has its token.
    Unproven(Subscription),
}

impl Registered {
    fn into_subscription(self) -> Subscription {
        let (Self::New(known)
        | Self::Moved(known)
        | Self::Refreshed(known)
        | Self::Unproven(known)) = self;
        known
    }
}

/// What the APIs do with devices.
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
        let new = described(&self.intake, user, &request)?;
        Ok(match self.put_device(new, whose_word).await? {
            Registered::New(subscription) | Registered::Moved(subscription) => {
                (StatusCode::CREATED, self.show(subscription))
            }
            Registered::Refreshed(subscription) => (StatusCode::OK, self.show(subscription)),
            Registered::Unproven(subscription) => {
                let mixed = self.intake.mixed(&subscription);
                let mut shown = shown(subscription, mixed, None);
                shown.verified = false;
                (StatusCode::CREATED, Json(shown))
            }
        })
    }

    /// Registers a device, or refreshes its registration; where its user's word is not enough, asks it for proof.
    pub(in crate::api) async fn put_device(
        &self,
        new: NewSubscription,
        whose_word: WhoseWord,
    ) -> Result<Registered, StoreError> {
        let provider = new.set.provider();
        if whose_word == WhoseWord::Users && self.intake.settings.verify {
            let asked = self.intake.ask_proof(new).await?;
            self.wake_workers();
            return Ok(match asked {
                Asked::Refreshed(subscription) => {
                    self.count(provider, "refreshed", 1);
                    Registered::Refreshed(subscription)
                }
                Asked::Waiting(subscription) => {
                    self.count(provider, "unproven", 1);
                    Registered::Unproven(subscription)
                }
            });
        }
        let put = self.intake.put(new).await?;
        Ok(self.registered(put))
    }

    /// A device that is registered now.
    fn registered(&self, put: Put) -> Registered {
        self.wake_workers();
        match put {
            Put::Created { subscription, evicted, moved } => {
                let provider = subscription.set.provider();
                self.count(provider, "created", 1);
                self.count(provider, "evicted", evicted as u64);
                if moved { Registered::Moved(subscription) } else { Registered::New(subscription) }
            }
            Put::Refreshed(subscription) => {
                self.count(subscription.set.provider(), "refreshed", 1);
                Registered::Refreshed(subscription)
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
                Proved::Registered(put) => Ok(self.show(self.registered(put).into_subscription())),
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
        self.count(provider, result, 1);
        self.wake_workers();
        Ok(self.show(changed))
    }

    /// Deletes a device of a user. What waits for it is cancelled.
    pub(in crate::api) async fn delete(
        &self,
        user: &User,
        id: &str,
    ) -> Result<StatusCode, ApiError> {
        let deleted = self.intake.store.delete(user, parse_id(id)?).await?;
        self.count_deleted(&[deleted.ok_or(UserError::UnknownSubscription)?]);
        Ok(StatusCode::NO_CONTENT)
    }

    /// Deletes all devices of a user. What waits for them is cancelled.
    pub(in crate::api) async fn delete_all(
        &self,
        user: &User,
    ) -> Result<Json<DeletedResponse>, ApiError> {
        let deleted = self.intake.store.delete_all(user).await?;
        self.count_deleted(&deleted);
        Ok(Json(DeletedResponse { deleted: deleted.len() as u64 }))
    }

    /// Counts devices that were put, by what became of them.
    fn count(&self, provider: Provider, result: &'static str, devices: u64) {
        counter!(SUBSCRIPTIONS_PUT, "provider" => provider.as_str(), "result" => result)
            .increment(devices);
        let change = match result {
            "created" => Change::Created,
            "evicted" => Change::Deleted,
            _ => return,
        };
        self.intake.board.changed(self.intake.clock.now(), provider, change, devices);
    }

    /// Counts subscriptions that were deleted on request, each by its provider.
    pub(in crate::api) fn count_deleted(&self, providers: &[Provider]) {
        let now = self.intake.clock.now();
        for provider in providers {
            counter!(SUBSCRIPTIONS_DELETED, "provider" => provider.as_str()).increment(1);
            self.intake.board.changed(now, *provider, Change::Deleted, 1);
        }
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

/// What is no id names no device.
fn parse_id(id: &str) -> Result<SubscriptionId, UserError> {
    SubscriptionId::parse(id).map_err(|_| UserError::UnknownSubscription)
}
