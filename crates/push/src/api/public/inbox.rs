//! `/v1/inbox`: what I find when I have been woken.
//!
//! Every page has the same length, so that whoever sees only lengths cannot tell a fetch with news from one without. What pads it is random, which
//! no compression takes away, and proxies are told to leave it alone.

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use metrics::counter;
use reveille_model::limits::{CONTENT_BYTES_MAX, INBOX_PER_USER_MAX};
use reveille_model::{NotificationId, User};
use reveille_service::text_time;
use reveille_store::{InboxItem, ReadWhich};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::body::{Field, Media, is_flag, is_texts, media, parse};
use super::super::error::ApiError;
use super::super::extract::Query;
use super::super::padding::padding;
use super::super::user_error::UserError;
use super::router::PublicState;
use crate::metrics::{INBOX_BYTES, INBOX_FETCHES};

/// The length of every page, in bytes.
const PAGE_BYTES: usize = 16 * 1024;
/// Most items on a page.
const ITEMS_MAX: usize = 50;
/// What an item takes beside its content, at most: names, id, time, the longest event type.
const ITEM_BYTES: usize = 256;

const _: () = assert!(CONTENT_BYTES_MAX + 2 * ITEM_BYTES < PAGE_BYTES);

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// Only items older than this one: the `next` of the page before.
    before: Option<String>,
    /// At most so many items, up to 50. As many as fit are given.
    limit: Option<usize>,
}

/// A page of my inbox, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct PageResponse {
    items: Vec<ItemResponse>,
    /// Where the next page begins, if there is one: its `before`.
    next: Option<String>,
    /// Makes every page as long as every other.
    padding: String,
}

/// A notification.
#[derive(Serialize, ToSchema)]
pub(super) struct ItemResponse {
    id: String,
    /// What happened.
    r#type: String,
    /// When (RFC 3339).
    at: String,
    read: bool,
    /// What the site says about it: any JSON.
    #[schema(value_type = Object)]
    content: Box<RawValue>,
}

/// What I have read: `ids`, or `all`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReadRequest {
    /// These items.
    #[serde(default)]
    ids: Option<Vec<String>>,
    /// `true`: everything.
    #[serde(default)]
    all: Option<bool>,
}

const FIELDS: [Field; 2] = [
    Field {
        name: "ids",
        expected: "a list of texts",
        is_required: false,
        fits: |value| is_texts(value) || value.is_null(),
    },
    Field { name: "all", expected: "true", is_required: false, fits: is_flag },
];

/// Shows my inbox, newest first. Every page is 16,384 bytes long.
///
/// `If-None-Match` is answered with 304 where nothing has changed; a client whose traffic may be watched leaves it out, since 304 is short.
#[utoipa::path(
    get, path = "/v1/inbox", tag = "inbox",
    params(
        ("before" = Option<String>, Query, description = "Only items older than this one: the `next` of the page before"),
        ("limit" = Option<u32>, Query, description = "At most so many items, 1 to 50; as many as fit are given", minimum = 1, maximum = 50),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` of before"),
    ),
    responses(
        (status = 200, description = "A page", body = PageResponse),
        (status = 304, description = "As it was"),
        (status = 400, description = "The query does not fit", content_type = "application/problem+json"),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 404, description = "The inbox is off", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "The store cannot be used", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_inbox(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
    Query(PageQuery { before, limit }): Query<PageQuery>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let intake = &state.devices.intake;
    if !intake.settings.has_inbox {
        return Err(UserError::InboxDisabled.into());
    }
    let limit = limit.unwrap_or(ITEMS_MAX);
    if !(1..=ITEMS_MAX).contains(&limit) {
        return Err(ApiError::InvalidQuery);
    }
    let before = before.as_deref().map(NotificationId::parse).transpose();
    let before = before.map_err(|_| ApiError::InvalidQuery)?;
    // One more tells whether there is a next page.
    let found = intake.store.items(&user, before, limit + 1).await?;
    let page = Page::new(found, limit)?;
    counter!(INBOX_FETCHES).increment(1);
    let mut response = if page.is_known(&headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        counter!(INBOX_BYTES).increment(page.body.len() as u64);
        ([(header::CONTENT_TYPE, "application/json")], page.body).into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    if let Ok(tag) = HeaderValue::from_str(&page.tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// A page as it is sent.
struct Page {
    body: String,
    tag: String,
}

impl Page {
    /// As many items as fit.
    fn new(found: Vec<InboxItem>, limit: usize) -> Result<Self, ApiError> {
        let total = found.len();
        let (mut items, mut room) = (Vec::new(), PAGE_BYTES - ITEM_BYTES);
        for item in found.into_iter().take(limit) {
            let bytes = item.content.expose().len() + ITEM_BYTES;
            if bytes > room {
                break;
            }
            room -= bytes;
            items.push(shown(&item)?);
        }
        let next = items.last().filter(|_| items.len() < total).map(|item| item.id.clone());
        let mut page = PageResponse { items, next, padding: String::new() };
        let json = |page: &PageResponse| {
            serde_json::to_string(page).map_err(|_| ApiError::StoreUnavailable)
        };
        let bare = json(&page)?;
        let hash = digest(&SHA256, bare.as_bytes());
        let tag: String = hash
            .as_ref()
            .iter()
            .take(16)
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(letter)
            .collect();
        page.padding = padding(PAGE_BYTES.saturating_sub(bare.len()));
        Ok(Self { body: json(&page)?, tag: format!("W/\"{tag}\"") })
    }

    /// Whether the client has it already (RFC 9110 §13.1.2).
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let lines = headers.get_all(header::IF_NONE_MATCH).iter();
        let tags = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let bare = self.tag.trim_start_matches("W/");
        tags.map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == bare)
    }
}

/// A digit of a tag. HTTP/2 compresses headers: each of these letters is equally long there (RFC 7541, appendix B), so that the length of an answer
/// says nothing of its tag.
fn letter(digit: u8) -> char {
    const LETTERS: [char; 16] =
        ['3', '4', '5', '6', '7', '8', '9', 'A', 'b', 'd', 'f', 'g', 'h', 'l', 'm', 'n'];
    LETTERS.get(usize::from(digit)).copied().unwrap_or('p')
}

fn shown(item: &InboxItem) -> Result<ItemResponse, ApiError> {
    let content = RawValue::from_string(item.content.expose().to_owned());
    Ok(ItemResponse {
        id: item.id.to_string(),
        r#type: item.event_type.as_str().to_owned(),
        at: text_time::format(item.at),
        read: item.is_read,
        content: content.map_err(|_| ApiError::StoreUnavailable)?,
    })
}

/// Says what I have read. What waits for my devices is cancelled: I have looked. Nothing of a cohort is: it would tell who has.
#[utoipa::path(
    post, path = "/v1/inbox/read", tag = "inbox",
    request_body = ReadRequest,
    responses(
        (status = 204, description = "It is marked"),
        (status = 400, description = "The body does not fit", content_type = "application/problem+json"),
        (status = 401, description = "Who is calling is not known", content_type = "application/problem+json"),
        (status = 403, description = "A page of another site", content_type = "application/problem+json"),
        (status = 404, description = "The inbox is off", content_type = "application/problem+json"),
        (status = 408, description = "The body took too long", content_type = "application/problem+json"),
        (status = 413, description = "Too large, or too many", content_type = "application/problem+json"),
        (status = 415, description = "Not JSON", content_type = "application/problem+json"),
        (status = 429, description = "Too many requests; see Retry-After", content_type = "application/problem+json"),
        (status = 503, description = "Overloaded; see Retry-After", content_type = "application/problem+json"),
    ),
)]
pub(super) async fn post_read(
    State(state): State<PublicState>,
    Extension(user): Extension<User>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    if !state.devices.intake.settings.has_inbox {
        return Err(UserError::InboxDisabled.into());
    }
    if media(&headers)? != Media::Json {
        return Err(ApiError::ContentType);
    }
    let read = async |body: Bytes| read(&state, &user, &body).await;
    state.devices.bodies.read(&headers, body, read).await?
}

async fn read(state: &PublicState, user: &User, body: &[u8]) -> Result<StatusCode, ApiError> {
    let ReadRequest { ids, all } = parse(body, &FIELDS)?;
    let which = match (ids, all) {
        (None, Some(true)) => ReadWhich::All,
        (Some(ids), None) if ids.len() <= INBOX_PER_USER_MAX => {
            let ids: Result<_, _> = ids.iter().map(|id| NotificationId::parse(id)).collect();
            ReadWhich::Ids(ids.map_err(|_| {
                ApiError::InvalidBody(
                    "each of `ids` must be an id of 32 hexadecimal digits".to_owned(),
                )
            })?)
        }
        (Some(_), None) => {
            return Err(ApiError::TooMany { what: "ids", max: INBOX_PER_USER_MAX });
        }
        _ => {
            return Err(ApiError::InvalidBody(
                "it must have either `ids` or `all`: true".to_owned(),
            ));
        }
    };
    let intake = &state.devices.intake;
    intake.store.read(user, which).await?;
    intake.fetched(user).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use reveille_model::{Content, EventType, NotificationId, Timestamp};
    use reveille_store::InboxItem;
    use serde_json::Value;

    use super::{PAGE_BYTES, Page};

    fn items(count: u8, bytes: usize) -> Vec<InboxItem> {
        let longest = EventType::parse(&"t".repeat(64)).unwrap();
        (0..count)
            .map(|number| InboxItem {
                id: NotificationId::from_bytes([number; 16]),
                event_type: longest.clone(),
                at: Timestamp::from_ms(1_795_254_000_123),
                is_read: false,
                content: Content::from_json(format!("\"{}\"", "x".repeat(bytes - 2))),
            })
            .collect()
    }

    #[test]
    fn every_page_is_as_long_as_every_other() {
        for (count, bytes) in
            [(0, 2), (1, 2), (1, 4_096), (4, 4_096), (51, 2), (51, 100), (20, 777)]
        {
            let page = Page::new(items(count, bytes), 50).unwrap();
            assert_eq!(page.body.len(), PAGE_BYTES, "{count} of {bytes}");
            let json: Value = serde_json::from_str(&page.body).unwrap();
            let given = json["items"].as_array().unwrap();
            assert_eq!(json["next"].is_string(), given.len() < usize::from(count));
            assert!(count == 0 || !given.is_empty(), "there is always one more");
        }
        let (one, again) =
            (Page::new(items(1, 9), 50).unwrap(), Page::new(items(1, 9), 50).unwrap());
        assert_eq!(one.tag, again.tag);
        assert_ne!(one.body, again.body, "what pads is random");
        assert_ne!(one.tag, Page::new(items(1, 10), 50).unwrap().tag);
    }
}
