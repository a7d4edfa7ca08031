//! Words of the domain: types, bounds and rules, with no input or output.
//!
//! Nothing here reads a clock, a file or the environment, and nothing here can be serialised: what crosses a wire or a table
//! has its own struct beside the endpoint or the row, so that a rename inside never changes a contract outside.

mod cohort;
mod ids;
mod ledger;
pub mod limits;
mod notification;
mod outcome;
mod provider;
mod realm;
mod rng;
mod session;
mod shuffle;
mod subscription;
mod time;
mod token;
mod user;
mod wakeup;
mod words;

pub use cohort::{Cohort, CohortSizes, Marked, Mixed};
pub use ids::{CohortId, IdError, LeaseId, Nonce, NotificationId, SubscriptionId, WakeupId};
pub use ledger::Ledger;
pub use notification::{Audience, Content, Limit, Notification, Policy, Spread};
pub use outcome::{Delay, Outcome, Proof, Reach, Reason, Strike, Verdict, retry_after};
pub use provider::{CredentialSet, Provider, Providers};
pub use realm::{Realm, RealmError};
pub use rng::Rng;
pub use session::{SessionKey, Ttl};
pub use shuffle::Shuffle;
pub use subscription::{NewSubscription, Subscription, SubscriptionChange};
pub use time::{Duration, Timestamp};
pub use token::{FcmTarget, Token, TokenError};
pub use user::{User, UserError};
pub use wakeup::{DryRun, Settled};
pub use words::{EventType, MessageType, Namespace, Topic, WordError};
