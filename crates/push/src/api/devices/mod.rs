//! Registering, showing, changing and deleting devices: the same for callers and for users. Tokens are never shown.

mod registering;
mod shapes;
mod tokens;

pub(crate) use registering::Devices;
pub(in crate::api) use registering::{Registered, WhoseWord};
pub(in crate::api) use shapes::{
    ChangeRequest, DeletedResponse, FIELDS, SubscriptionRequest, SubscriptionResponse,
    VerifyRequest,
};
pub(in crate::api) use tokens::{described, is_shaped};
