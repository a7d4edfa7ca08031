//! Why a push service refuses a request. Each has words of its own for it.

use http::StatusCode;

use super::Style;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    MethodNotAllowed,
    NotFound,
    Gone,
    BadTtl,
    /// Microsoft takes none of zero.
    ZeroTtl,
    BadUrgency,
    BadTopic,
    BadEncoding,
    BadCrypto,
    MissingVapid,
    BadJwt,
    BadSubject,
    BadKey,
    KeyMismatch,
    Forbidden,
    TooLarge,
    Throttled,
    DeviceThrottled,
    Internal,
    Unavailable,
}

impl Refusal {
    /// A short word, for counting.
    pub(super) fn word(self) -> String {
        format!("{self:?}")
    }

    pub(super) fn status(self, style: Style) -> StatusCode {
        match self {
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::BadTtl
            | Self::ZeroTtl
            | Self::BadUrgency
            | Self::BadTopic
            | Self::BadEncoding
            | Self::BadCrypto => StatusCode::BAD_REQUEST,
            Self::BadKey if style == Style::Apple => StatusCode::BAD_REQUEST,
            Self::MissingVapid | Self::BadJwt | Self::BadSubject | Self::BadKey => {
                if style == Style::Apple { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED }
            }
            Self::KeyMismatch if style == Style::Mozilla => StatusCode::UNAUTHORIZED,
            Self::KeyMismatch | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Throttled | Self::DeviceThrottled => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Mozilla's number for it.
    pub(super) fn errno(self) -> u32 {
        match self {
            Self::BadEncoding => 101,
            Self::NotFound => 102,
            Self::Gone => 103,
            Self::TooLarge => 104,
            Self::MissingVapid
            | Self::BadJwt
            | Self::BadSubject
            | Self::BadKey
            | Self::KeyMismatch => 109,
            Self::BadCrypto => 110,
            Self::BadUrgency => 111,
            Self::BadTtl | Self::ZeroTtl => 112,
            Self::BadTopic => 113,
            Self::Unavailable => 201,
            Self::MethodNotAllowed
            | Self::Forbidden
            | Self::Throttled
            | Self::DeviceThrottled
            | Self::Internal => 999,
        }
    }

    /// Apple's word for it.
    pub(super) fn apple(self) -> &'static str {
        match self {
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotFound => "BadPath",
            Self::Gone => "Unregistered",
            Self::BadTtl | Self::ZeroTtl => "BadTtl",
            Self::BadUrgency => "BadUrgency",
            Self::BadTopic => "BadWebPushTopic",
            Self::BadEncoding | Self::BadCrypto => "BadWebPushRequest",
            Self::MissingVapid => "BadAuthorizationHeader",
            Self::BadJwt | Self::BadSubject => "BadJwtToken",
            Self::BadKey => "BadVapidPublicKey",
            Self::KeyMismatch => "VapidPkHashMismatch",
            Self::Forbidden => "Forbidden",
            Self::TooLarge => "PayloadTooLarge",
            Self::Throttled | Self::DeviceThrottled => "TooManyRequests",
            Self::Internal => "InternalServerError",
            Self::Unavailable => "ServiceUnavailable",
        }
    }

    /// What the others say, as text.
    pub(super) fn text(self, style: Style) -> &'static str {
        match self {
            Self::MethodNotAllowed => "method not allowed",
            Self::NotFound => "push subscription not found: unsubscribed or expired",
            Self::Gone => "push subscription has unsubscribed or expired",
            Self::BadTtl => "invalid or missing TTL header",
            Self::ZeroTtl => "Ttl value conflicts with X-WNS-Cache-Policy.",
            Self::BadUrgency => "invalid Urgency header",
            Self::BadTopic => "invalid Topic header",
            Self::BadEncoding => "invalid crypto: Content-Encoding must be aes128gcm",
            Self::BadCrypto => "invalid crypto keys or ciphertext: the message cannot be decrypted",
            Self::MissingVapid => "the authorization header must be specified (vapid t=..., k=...)",
            Self::BadJwt => "invalid JWT provided",
            Self::BadSubject => "invalid JWT provided: sub must be a mailto: or https: contact",
            Self::BadKey => "invalid VAPID public key",
            Self::KeyMismatch if style == Style::Google => {
                "the key in the authorization header does not correspond to the sender ID used to subscribe; \
                 the credentials do not correspond"
            }
            Self::KeyMismatch => {
                "the VAPID credentials in the authorization header do not correspond to the credentials used to create the subscriptions"
            }
            Self::Forbidden => "forbidden",
            Self::TooLarge => "payload too large",
            Self::Throttled => "too many requests",
            Self::DeviceThrottled => "too many requests to this subscription",
            Self::Internal => "internal server error",
            Self::Unavailable => "service unavailable",
        }
    }
}
