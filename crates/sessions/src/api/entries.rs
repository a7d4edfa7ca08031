//! One entry: read, written, deleted, touched.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Version, header};
use http_body_util::{BodyExt as _, Full};
use reveille_model::{SessionKey, Timestamp};
use reveille_service::auth::refuse_pages;
use reveille_service::body::{overloaded, refuse};
use reveille_service::clock::Stopwatch;
use reveille_service::http_metrics::InFlight;
use reveille_service::problem::not_found;
use reveille_store::{Condition, Entry, Etag, Refused, StoreError, Write};
use tokio::sync::oneshot;

use super::conditions::{Life, cache_control, etag, is_known, life, of_write};
use super::path::{self, Target};
use super::reference::Kind;
use super::refusal::{Refusal, condition_refused, forbidden, key_too_long, too_many};
use super::router::ApiState;
use crate::config::Put;
use crate::metrics::{Operation, Outcome};
use crate::namespaces::{NotLetIn, Space};

/// Values up to this size, in bytes, are answered whatever else is under way: over HTTP/1 there are not more of them than connections.
const SMALL_BYTES: usize = 16 * 1024;

/// Everything that has no route of its own.
pub(super) async fn entry(State(state): State<ApiState>, request: Request) -> Response {
    let watch = Stopwatch::start();
    let target = path::read(request.uri().path(), &state.base_uri, state.key_bytes_max);
    if target == Target::Elsewhere {
        let elsewhere = not_found();
        let detail = format!("keys stand behind {}; /openapi.json has the routes", state.base_uri);
        return elsewhere.detail(detail).into_response();
    }
    let in_flight = InFlight::begin();
    let (head, body) = request.into_parts();
    let mut body = Some(body);
    let space = match &target {
        Target::Key(key) => state.namespaces.of(key),
        _ => None,
    };
    let answered = match (target, space) {
        _ if head.uri.query().is_some_and(|query| !query.is_empty()) => {
            Err(Kind::BadRequest.into())
        }
        (Target::Key(key), Some(space)) => {
            Box::pin(Asked { state: &state, space, key }.answer(&head, &mut body)).await
        }
        (Target::Base, _) => Err(Kind::NotFound.into()),
        (Target::TooLong, _) => Err(key_too_long(state.key_bytes_max)),
        _ => Err(Kind::BadRequest.into()),
    };
    // Whoever is still sending gets to read why that was for nothing, and keeps the connection.
    if answered.is_err()
        && let Some(body) = body
    {
        refuse(&head.headers, body).await;
    }
    let response = answered.unwrap_or_else(|refusal: Refusal| refusal.answer(head.uri.path()));
    drop(in_flight);
    let index = space.map(|space| space.index);
    state.measures.answered((&head.method, response.status()), index, watch.seconds());
    response
}

/// What is asked about one key.
struct Asked<'a> {
    state: &'a ApiState,
    space: &'a Space,
    key: SessionKey,
}

impl Asked<'_> {
    /// `body` is taken by whoever reads it.
    async fn answer(self, head: &Parts, body: &mut Option<Body>) -> Result<Response, Refusal> {
        refuse_pages(&head.headers)?;
        self.state.namespaces.let_in(self.space, &head.headers).map_err(|why| match why {
            NotLetIn::Unknown => Kind::NotAuthorized.into(),
            NotLetIn::Elsewhere => forbidden(),
            NotLetIn::TooMany(wait_s) => too_many(wait_s),
        })?;
        match head.method {
            Method::GET | Method::HEAD => self.read(head).await,
            Method::POST => self.write(head, body, Condition::None).await,
            Method::PUT => match self.state.put {
                Put::Upsert => self.write(head, body, Condition::None).await,
                Put::IfAbsent => self.write(head, body, Condition::Absent).await,
            },
            Method::DELETE => self.delete(head).await,
            Method::PATCH => self.touch(head, body).await,
            _ => Err(Kind::BadRequest.into()),
        }
    }

    async fn read(self, head: &Parts) -> Result<Response, Refusal> {
        let now = self.state.clock.now();
        let asked = self.state.store.get(&self.key, now);
        let found = self.timed(Operation::Get, asked, |error: &StoreError| Some(error)).await?;
        let entry: Entry = found.ok_or(Kind::NotFound)?;
        let tag = Etag::of(&entry.value);
        let is_known = is_known(&head.headers, tag)?;
        let control = cache_control(&entry, now);
        let length = entry.value.len();
        let body = match head.method {
            Method::GET if !is_known => self.body(entry.value, head.version)?,
            _ => Body::empty(),
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        if !is_known {
            let octets = HeaderValue::from_static("application/octet-stream");
            headers.insert(header::CONTENT_TYPE, octets);
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        headers.insert(header::ETAG, etag(tag));
        headers.insert(header::CACHE_CONTROL, control);
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        Ok(response)
    }

    /// A value on its way. A large one takes its share of memory until it is sent, and so does one of the many that a connection of HTTP/2 may have.
    fn body(&self, value: Bytes, version: Version) -> Result<Body, Refusal> {
        if value.len() <= SMALL_BYTES && version < Version::HTTP_2 {
            return Ok(Body::from(value));
        }
        let kib = u32::try_from(value.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.state.answers).try_acquire_many_owned(kib);
        let share = share.map_err(|_| overloaded("too many large values are under way"))?;
        Ok(Body::new(Full::new(value).map_frame(move |frame| {
            let _held = &share;
            frame
        })))
    }

    async fn write(
        self,
        head: &Parts,
        body: &mut Option<Body>,
        of_method: Condition,
    ) -> Result<Response, Refusal> {
        let life = life(&head.headers, self.space.config.ttl)?;
        let condition = match (of_write(&head.headers)?, of_method) {
            (Condition::None, of_method) => of_method,
            (condition, Condition::None) => condition,
            // PUT has said it already.
            (Condition::Absent, Condition::Absent) => Condition::Absent,
            _ => return Err(Kind::BadRequest.into()),
        };
        self.check(&condition)?;
        let is_put = head.method == Method::PUT;
        let value = self.value(head, body).await?;
        if value.is_empty() {
            return Err(Kind::BadRequest.into());
        }
        let tag = Etag::of(&value);
        self.set(value, life, condition).await.inspect_err(|refusal| {
            if is_put && *refusal == Refused::Condition.into() {
                self.explain_put();
            }
        })?;
        let mut response = StatusCode::CREATED.into_response();
        response.headers_mut().insert(header::ETAG, etag(tag));
        Ok(response)
    }

    async fn value(&self, head: &Parts, body: &mut Option<Body>) -> Result<Bytes, Refusal> {
        let body = body.take().unwrap_or_default();
        Ok(self.state.bodies.read_held(&head.headers, body).await?)
    }

    async fn set(&self, value: Bytes, life: Life, condition: Condition) -> Result<(), Refusal> {
        let now = self.state.clock.now();
        let store = &self.state.store;
        let Life::For(ttl) = life else { return self.set_and_forget(condition, now).await };
        let config = &self.space.config;
        let bytes = value.len();
        let write = Write {
            key: self.key.clone(),
            value,
            ttl,
            namespace: config.name.clone(),
            quota: config.quota,
            condition,
        };
        self.timed(Operation::Set, store.set(write, now), failure).await?;
        self.state.measures.wrote(self.space.index, bytes);
        Ok(())
    }

    /// Written to be gone at once: what there was is gone, if the condition holds.
    async fn set_and_forget(&self, condition: Condition, now: Timestamp) -> Result<(), Refusal> {
        let store = &self.state.store;
        if condition == Condition::Absent {
            let found = store.get(&self.key, now);
            let found = self.timed(Operation::Get, found, |error: &StoreError| Some(error)).await?;
            return if found.is_none() { Ok(()) } else { Err(Refused::Condition.into()) };
        }
        self.timed(Operation::Delete, self.deletion(condition, now), failure).await
    }

    /// A deletion goes on to its end, though its caller may not wait for it: where it cannot be done everywhere at once, that has to be written down.
    fn deletion(
        &self,
        condition: Condition,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), Refused>> + use<> {
        let (store, key) = (Arc::clone(&self.state.store), self.key.clone());
        let (tell, told) = oneshot::channel();
        self.state.lifecycle.spawn_brief(async move {
            // Nobody waits for the answer any more: it is done all the same.
            drop(tell.send(store.delete(&key, condition, now).await));
        });
        async {
            let lost = || StoreError::Unavailable("the deletion was not carried out".to_owned());
            told.await.unwrap_or_else(|_| Err(lost().into()))
        }
    }

    async fn delete(self, head: &Parts) -> Result<Response, Refusal> {
        let condition = of_write(&head.headers)?;
        self.check(&condition)?;
        let now = self.state.clock.now();
        self.timed(Operation::Delete, self.deletion(condition, now), failure).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// Lets the time to live begin anew, and nothing else.
    async fn touch(self, head: &Parts, body: &mut Option<Body>) -> Result<Response, Refusal> {
        let condition = of_write(&head.headers)?;
        // However it is asked, it must not overwrite what somebody else writes meanwhile.
        self.check(&Condition::Present)?;
        let life = life(&head.headers, self.space.config.ttl)?;
        if !self.value(head, body).await?.is_empty() {
            return Err(Kind::BadRequest.into());
        }
        let (now, store) = (self.state.clock.now(), &self.state.store);
        let is_conditional = condition != Condition::None;
        let touched = match life {
            Life::For(ttl) => {
                let asked = store.touch(&self.key, ttl, condition, now);
                self.timed(Operation::Touch, asked, failure).await.map(Some)
            }
            Life::None => {
                let present = if is_conditional { condition } else { Condition::Present };
                let asked = self.deletion(present, now);
                self.timed(Operation::Delete, asked, failure).await.map(|()| None)
            }
        };
        match touched {
            Ok(tag) => {
                let mut response = StatusCode::NO_CONTENT.into_response();
                if let Some(tag) = tag {
                    response.headers_mut().insert(header::ETAG, etag(tag));
                }
                Ok(response)
            }
            Err(refusal) if refusal == Refused::Condition.into() && !is_conditional => {
                Err(Kind::NotFound.into())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Where writers are who know no conditions, nobody has any.
    fn check(&self, condition: &Condition) -> Result<(), Refusal> {
        if *condition == Condition::None || self.space.config.conditional_writes {
            Ok(())
        } else {
            Err(condition_refused())
        }
    }

    /// Waits for the store as long as a caller does.
    async fn timed<T, E>(
        &self,
        operation: Operation,
        asked: impl Future<Output = Result<T, E>>,
        failure: impl Fn(&E) -> Option<&StoreError>,
    ) -> Result<T, Refusal>
    where
        E: Into<Refusal>,
    {
        let watch = Stopwatch::start();
        let Ok(answer) = tokio::time::timeout(self.state.deadline.to_std(), asked).await else {
            self.state.measures.stored(operation, Outcome::Failed, watch.seconds());
            self.state.troubles.report("the store does not answer in time");
            return Err(Kind::ServerError.into());
        };
        let failed = answer.as_ref().err().and_then(failure);
        let outcome = if failed.is_none() { Outcome::Done } else { Outcome::Failed };
        self.state.measures.stored(operation, outcome, watch.seconds());
        match failed {
            None | Some(StoreError::Busy) => {}
            Some(error) => self.state.troubles.report(&error.to_string()),
        }
        answer.map_err(Into::into)
    }

    /// Whoever is left on PUT by their client hears it once.
    fn explain_put(&self) {
        if !self.state.has_explained_put.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a PUT was refused, since it sets only where there is nothing; if your client means to replace (MediaWiki without writeMethod does), set put = \"upsert\" under [sessions]"
            );
        }
    }
}

/// Of what went wrong, what is trouble of the store.
fn failure(refused: &Refused) -> Option<&StoreError> {
    match refused {
        Refused::Store(error) => Some(error),
        Refused::Condition | Refused::Full => None,
    }
}
