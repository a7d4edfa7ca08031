//! The look-alike of APNs (contract: providers.md §1).

mod answer;
mod app;
mod checks;
mod refusal;
mod tokens;

pub(crate) use answer::answer;
pub(crate) use app::App;
pub(crate) use tokens::{ProviderTokens, Session};
