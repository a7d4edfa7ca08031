//! `/w/api.php`: from a request to a module and back.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, Method, header};
use metrics::counter;
use reveille_model::{Timestamp, User};
use reveille_service::body::BodyLimits;
use reveille_service::listen::Peer;
use reveille_service::text_time;
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::super::public::{CallerError, PublicState};
use super::fault::{Fault, Warning};
use super::output::Output;
use super::parameters::{Parameters, VALUES_MAX, VALUES_MAX_WITH_HIGH_LIMITS};
use super::{csrf, help, notifications, query, subscriptions};
use crate::identity::{Caller, Denied};
use crate::metrics::REFUSED;

/// Longest csrf token that a wiki is asked about, in bytes; its own have 42.
const CSRF_BYTES_MAX: usize = 255;

/// What the modules need besides what the public API has.
#[derive(Clone)]
pub(crate) struct ActionApi {
    /// How large forms may be.
    pub(crate) bodies: BodyLimits,
    /// Makes tokens that prove that a form is somebody's own.
    pub(crate) csrf: Arc<hmac::Key>,
    /// Who has `manage-all-push-subscriptions`.
    pub(crate) managers: Arc<BTreeSet<User>>,
    /// What answers call this wiki.
    pub(crate) wiki: Arc<str>,
}

/// One request, and what has been found out about it.
pub(super) struct Call<'a> {
    pub(super) state: &'a PublicState,
    pub(super) headers: &'a HeaderMap,
    /// The address it comes from.
    pub(super) address: IpAddr,
    pub(super) now: Timestamp,
    pub(super) parameters: Parameters,
    pub(super) warnings: Vec<Warning>,
    /// Who is calling, if they are anybody.
    pub(super) caller: Option<Caller>,
    /// Whether the answer shows what is in an inbox.
    pub(super) shows_inbox: bool,
}

/// Members of an answer.
pub(super) type Members = Map<String, Value>;

/// Takes both methods: which of them it was matters for where parameters may stand only.
pub(in crate::api) async fn handle(State(state): State<PublicState>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(Peer(peer)) = parts.extensions.get().copied() else {
        return ApiError::from(CallerError::Unknown).into_response();
    };
    if let Err(error) = state.rates.address(&parts.headers, peer) {
        return refused(Output::JSON, &Fault::from(error), Members::new());
    }
    let query = parts.uri.query().unwrap_or_default();
    let answer = async |form: Bytes| {
        let parameters = Parameters::new(query, &form);
        answer(&state, (&parts.headers, peer), parameters).await
    };
    if parts.method != Method::POST || !is_form(&parts.headers) {
        return answer(Bytes::new()).await;
    }
    let answered = state.action.bodies.read(&parts.headers, body, answer).await;
    answered.unwrap_or_else(|problem| ApiError::from(problem).into_response())
}

/// What is no form has no parameters.
fn is_form(headers: &HeaderMap) -> bool {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = media.and_then(|media| media.split(';').next()).unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

async fn answer(
    state: &PublicState,
    (headers, peer): (&HeaderMap, IpAddr),
    mut parameters: Parameters,
) -> Response {
    let now = state.devices.intake.clock.now();
    let (output, is_readable) = Output::read(&mut parameters);
    let about = about(&mut parameters, now);
    let address = state.rates.client(headers, peer);
    let mut call = Call {
        state,
        headers,
        address,
        now,
        parameters,
        warnings: Vec::new(),
        caller: None,
        shows_inbox: false,
    };
    let done = match is_readable {
        Ok(()) => call.run(peer).await,
        Err(fault) => Err(fault),
    };
    let members = match done {
        Ok(Done::Members(members)) => members,
        Ok(Done::Page(page)) => return page,
        Err(fault) => return refused(output, &fault, about),
    };
    let unused = call.parameters.unused();
    if !unused.is_empty() {
        call.warnings.insert(0, Warning::unknown_parameters(&unused));
    }
    let members = about.into_iter().chain(members).collect();
    if call.shows_inbox {
        output.answer_padded(members, &call.warnings)
    } else {
        output.answer(members, &call.warnings)
    }
}

fn refused(output: Output, fault: &Fault, about: Members) -> Response {
    counter!(REFUSED, "reason" => fault.code).increment(1);
    output.fault(fault, about)
}

/// What is said beside everything else, and what is asked of every module and changes nothing here.
fn about(parameters: &mut Parameters, now: Timestamp) -> Members {
    let mut about = Members::new();
    if let Some(id) = parameters.text("requestid") {
        about.insert("requestid".to_owned(), json!(id));
    }
    if parameters.flag("curtimestamp") {
        about.insert("curtimestamp".to_owned(), json!(iso_8601(now)));
    }
    if parameters.flag("responselanginfo") {
        about.insert("uselang".to_owned(), json!("en"));
        about.insert("errorlang".to_owned(), json!("en"));
    }
    for name in NO_MATTER {
        parameters.flag(name);
    }
    about
}

/// Parameters of every module that change nothing: there is one language, one server, and who may read an answer is said in the configuration.
const NO_MATTER: [&str; 10] = [
    "uselang",
    "variant",
    "errorlang",
    "errorsuselocal",
    "servedby",
    "smaxage",
    "maxage",
    "origin",
    "crossorigin",
    "continue",
];

/// A time to the second, as `MediaWiki` has it.
pub(super) fn iso_8601(moment: Timestamp) -> String {
    text_time::format(Timestamp::from_ms(moment.as_s() * 1_000))
}

/// What came of a request.
enum Done {
    Members(Members),
    /// A page that is no answer.
    Page(Response),
}

/// What the caller takes for granted about itself (`assert`).
#[derive(Clone, Copy)]
enum Assert {
    Nobody,
    Somebody,
    Bot,
}

#[derive(Clone, Copy)]
enum Action {
    Help,
    Query,
    Subscriptions,
    MarkRead,
    MarkSeen,
}

impl Call<'_> {
    async fn run(&mut self, peer: IpAddr) -> Result<Done, Fault> {
        let actions = [
            ("help", Action::Help),
            ("query", Action::Query),
            ("echopushsubscriptions", Action::Subscriptions),
            ("echomarkread", Action::MarkRead),
            ("echomarkseen", Action::MarkSeen),
        ];
        // What has nothing to work on is not there.
        let known = if self.has_inbox() { &actions[..] } else { &actions[..3] };
        let action = self.parameters.choice("action", known)?.unwrap_or(Action::Help);
        if let Some(lag) = self.parameters.text("maxlag")
            && lag.parse::<i64>().is_err()
        {
            return Err(Fault::bad_integer("maxlag", &lag));
        }
        let words = [("anon", Assert::Nobody), ("user", Assert::Somebody), ("bot", Assert::Bot)];
        let assert = self.parameters.choice("assert", &words)?;
        let name = self.parameters.text("assertuser");
        self.caller = self.identify(peer).await?;
        self.check(assert, name.as_deref())?;
        match action {
            Action::Help => Ok(Done::Page(help::page())),
            Action::Query => query::run(self).await.map(Done::Members),
            Action::Subscriptions => subscriptions::run(self).await.map(Done::Members),
            Action::MarkRead => {
                let marked = notifications::mark_read(self).await;
                marked.map(Done::Members).map_err(|fault| fault.at("echomarkread"))
            }
            Action::MarkSeen => {
                let marked = notifications::mark_seen(self).await;
                marked.map(Done::Members).map_err(|fault| fault.at("echomarkseen"))
            }
        }
    }

    pub(super) fn has_inbox(&self) -> bool {
        self.state.devices.intake.settings.has_inbox
    }

    async fn identify(&self, peer: IpAddr) -> Result<Option<Caller>, Fault> {
        let caller = match self.state.identity.caller(self.headers, peer, self.now).await {
            Ok(caller) => caller,
            Err(Denied::Unknown) => return Ok(None),
            Err(denied @ Denied::Unavailable) => return Err(CallerError::from(denied).into()),
        };
        self.state.rates.user(&caller.user)?;
        Ok(Some(caller))
    }

    fn check(&self, assert: Option<Assert>, name: Option<&str>) -> Result<(), Fault> {
        let (code, text) = match (assert, &self.caller) {
            (Some(Assert::Nobody), Some(_)) => (
                "assertanonfailed",
                "You are no longer logged out, so the action could not be completed.",
            ),
            (Some(Assert::Somebody), None) => (
                "assertuserfailed",
                "You are no longer logged in, so the action could not be completed.",
            ),
            (Some(Assert::Bot), _) => (
                "assertbotfailed",
                "You do not have the \"bot\" right, so the action could not be completed.",
            ),
            _ => return self.check_name(name),
        };
        Err(Fault::new(code, text))
    }

    fn check_name(&self, name: Option<&str>) -> Result<(), Fault> {
        let Some(asserted) = name.filter(|asserted| *asserted != self.name()) else {
            return Ok(());
        };
        let text = format!(
            "You are no longer logged in as \"{asserted}\", so the action could not be completed."
        );
        Err(Fault::new("assertnameduserfailed", text))
    }

    /// What whoever is calling is called: their name at their wiki, or as the site names them. Who is nobody is called by their address.
    pub(super) fn name(&self) -> String {
        match &self.caller {
            Some(Caller { account: Some(account), .. }) => account.name.to_string(),
            Some(Caller { user, account: None }) => user.expose().to_owned(),
            None => self.address.to_string(),
        }
    }

    /// Whether this is a form of whoever is calling, and not one that somebody else has made them send.
    pub(super) async fn check_csrf(&mut self, module: &'static str) -> Result<(), Fault> {
        let token = self.parameters.required("token").map_err(|fault| fault.at(module))?;
        if self.parameters.is_in_query("token") {
            return Err(Fault::must_be_posted("token").at(module));
        }
        let is_valid = match &self.caller {
            None => token == csrf::ANONYMOUS,
            Some(caller) => {
                csrf::is_valid(&self.state.action.csrf, &caller.user, &token, self.now)
                    || (caller.account.is_some() && self.is_theirs(&token).await?)
            }
        };
        if is_valid { Ok(()) } else { Err(Fault::bad_token().at(module)) }
    }

    async fn is_theirs(&self, token: &str) -> Result<bool, Fault> {
        // Nobody's token proves nothing of somebody, though their session may have ended since the wiki has vouched for them.
        if token == csrf::ANONYMOUS || token.len() > CSRF_BYTES_MAX {
            return Ok(false);
        }
        let asked = self.state.identity.is_csrf_token(self.headers, token, self.now).await;
        asked.or_else(|denied| match denied {
            Denied::Unknown => Ok(false),
            Denied::Unavailable => Err(CallerError::from(denied).into()),
        })
    }

    pub(super) fn values_max(&self) -> usize {
        let account = self.caller.as_ref().and_then(|caller| caller.account.as_ref());
        if account.is_some_and(|account| account.has_high_limits) {
            VALUES_MAX_WITH_HIGH_LIMITS
        } else {
            VALUES_MAX
        }
    }

    /// Whether whoever is calling may delete everybody's subscriptions (`manage-all-push-subscriptions`).
    pub(super) fn is_manager(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| self.state.action.managers.contains(&caller.user))
    }
}
