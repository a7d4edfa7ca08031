//! What can be wrong with a request about a user's devices or inbox.

use http::StatusCode;
use reveille_service::problem::Problem;

/// Why it was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum UserError {
    UnknownSubscription,
    WrongNonce,
    RegisterAnew,
    InboxDisabled,
    SealedBrowser,
    SealedVisible,
}

impl UserError {
    pub(in crate::api) fn problem(self) -> Problem {
        let new = Problem::new;
        match self {
            Self::UnknownSubscription => new(StatusCode::NOT_FOUND, "unknown-subscription", "The user has no such device")
                .detail("it was never registered, belongs to somebody else, or is gone"),
            Self::WrongNonce => new(StatusCode::FORBIDDEN, "wrong-nonce", "This is not the nonce")
                .detail("show the one of the last push; after a few wrong ones the device is to be registered again"),
            Self::RegisterAnew => new(StatusCode::CONFLICT, "register-anew", "Another token has to be proven")
                .detail("register the device anew with its new token (POST), and delete this one when that is done"),
            Self::InboxDisabled => new(StatusCode::NOT_FOUND, "inbox-disabled", "There is no inbox here")
                .detail("push.inbox.enabled is off"),
            Self::SealedBrowser => new(StatusCode::UNPROCESSABLE_ENTITY, "sealed-browser", "A browser cannot be sealed")
                .detail("browsers may show something for every push; only apps can take pushes that mean nothing"),
            Self::SealedVisible => new(StatusCode::UNPROCESSABLE_ENTITY, "sealed-visible", "An app that shows its pushes cannot be sealed")
                .detail("each beat would be shown; its server has to send kind = \"background\", or Apple to give the app the filtering entitlement (filtering_entitlement = true)"),
        }
    }
}
