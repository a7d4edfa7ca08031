//! From a request to the device it describes.

use reveille_model::{CredentialSet, NewSubscription, Provider, Token, Topic, User};
use reveille_providers::webpush::Target;
use serde_json::Value;

use super::super::error::ApiError;
use super::shapes::SubscriptionRequest;
use crate::intake::{Intake, NO_APP};

/// The device a request describes.
pub(in crate::api) fn described(
    intake: &Intake,
    user: User,
    request: &SubscriptionRequest<'_>,
) -> Result<NewSubscription, ApiError> {
    let provider = Provider::parse(&request.provider).ok_or(ApiError::UnknownProvider)?;
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
pub(super) fn token(
    provider: Provider,
    text: Option<&str>,
    fid: Option<&str>,
) -> Result<Token, ApiError> {
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
    if is_shaped(provider, text) {
        return Ok(());
    }
    Err(ApiError::InvalidBody(format!(
        "`{name}` does not fit: it has visible ASCII characters only"
    )))
}

/// Whether a token has the letters that its provider's tokens have.
pub(in crate::api) fn is_shaped(provider: Provider, text: &str) -> bool {
    provider != Provider::Fcm || text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The token of a browser, and which push service it names.
pub(super) fn browser(
    intake: &Intake,
    json: Option<&Value>,
) -> Result<(CredentialSet, Token), ApiError> {
    let invalid = |what: String| ApiError::InvalidBody(what);
    let json = json.ok_or_else(|| {
        invalid("`subscription` is missing; it is what PushSubscription.toJSON() gives".to_owned())
    })?;
    let settings = &intake.settings;
    let mut target = Target::from_json(json, &settings.guard)
        .map_err(|error| invalid(format!("`subscription` does not fit: {error}")))?;
    // A browser subscribes with the key it is told of; when keys change, it is still this one.
    target.key_id =
        target.key_id.or_else(|| settings.browser_key.as_ref().map(|key| key.get().id.clone()));
    let token = target
        .to_token()
        .ok_or_else(|| invalid("`subscription` does not fit: it is too long".to_owned()))?;
    Ok((target.service().set(), token))
}
