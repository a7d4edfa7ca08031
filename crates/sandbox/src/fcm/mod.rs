//! The look-alike of FCM (`messages:send`) (contract: providers.md §2).

mod answer;
mod message;

pub(crate) use answer::answer;
