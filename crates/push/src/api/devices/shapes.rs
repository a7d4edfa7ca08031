//! Devices as JSON: what registers and changes them, and how they are shown.

use std::borrow::Cow;

use reveille_model::{Mixed, Provider, Subscription, Timestamp};
use reveille_service::text_time;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::body::{Field, is_flag, is_text};

/// A device to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct SubscriptionRequest<'a> {
    /// `apns`, `fcm` or `webpush`.
    #[serde(borrow)]
    #[schema(value_type = String, example = "fcm")]
    pub(super) provider: Cow<'a, str>,
    /// What the provider gave the device (APNs, FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    pub(super) token: Option<Cow<'a, str>>,
    /// Instead of a token: the Firebase Installation ID (FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    pub(super) fid: Option<Cow<'a, str>>,
    /// What `PushSubscription.toJSON()` gives (Web Push).
    #[serde(default)]
    pub(super) subscription: Option<Value>,
    /// The app's bundle id (APNs); one of the topics of an `[apns.*]` section.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    pub(super) topic: Option<Cow<'a, str>>,
    /// Which credentials reach it: the name of a section `[apns.NAME]` or `[fcm.NAME]`.
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    pub(super) app: Option<Cow<'a, str>>,
}

pub(in crate::api) const FIELDS: [Field; 6] = [
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
    pub(super) token: Option<Cow<'a, str>>,
    /// Instead of a token: the Firebase Installation ID (FCM).
    #[serde(default, borrow)]
    #[schema(value_type = Option<String>)]
    pub(super) fid: Option<Cow<'a, str>>,
    /// What `PushSubscription.toJSON()` gives now (Web Push).
    #[serde(default)]
    pub(super) subscription: Option<Value>,
    /// Whether it is to be woken on a constant beat (`push.mix.sealed_period_s`) whatever happens, and at no other time. Only for devices that show
    /// nobody that they were woken: no browsers, and no apps whose pushes are alerts. A device that is sealed no longer goes on until the next beat.
    #[serde(default)]
    pub(super) sealed: Option<bool>,
}

pub(super) const CHANGES: [Field; 4] = [
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
    pub(super) topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) app: Option<String>,
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
    pub(super) verified: bool,
    created_at: String,
    refreshed_at: String,
}

/// What is to be said of a device without showing its token.
pub(super) fn shown(
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
    pub(super) nonce: Cow<'a, str>,
}

pub(super) const VERIFICATION: [Field; 1] =
    [Field { name: "nonce", expected: "a text", is_required: true, fits: Value::is_string }];
