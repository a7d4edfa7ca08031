//! The outbox: accepted, gathered, expanded, claimed, settled.

mod accept;
mod adopt;
mod audience;
mod claim;
mod depth;
mod direct;
mod doubtful;
mod expand;
mod gathering;
mod intake;
mod limits;
mod place;
mod release;
mod returning;
mod scheduled;
mod settle;
mod sweep;
mod tokens;
mod traits;
mod waiting;
mod waking;

pub(crate) use self::audience::ToDeliver;
pub(crate) use self::direct::{Direct, wake_now};
pub(crate) use self::doubtful::DoubtfulClaims;
pub(crate) use self::gathering::gather;
pub(crate) use self::intake::Intake;
pub(crate) use self::limits::counter_key;
pub(crate) use self::place::{first_place, place};
pub(crate) use self::release::reopen_future_windows;
pub(crate) use self::scheduled::unschedule;
pub(crate) use self::settle::{Ended, end_all};
pub(crate) use self::waiting::waiting_of;
pub(crate) use self::waking::{Target, ToWake, wake_all};
