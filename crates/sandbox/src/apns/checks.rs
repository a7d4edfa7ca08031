//! What APNs demands of a request's headers and body.

use http::HeaderMap;
use serde_json::Value;

use super::refusal::Refusal;

/// Longest body, in bytes.
const PAYLOAD_BYTES_MAX: usize = 4_096;
/// Longest body of a call, in bytes.
const VOIP_PAYLOAD_BYTES_MAX: usize = 5_120;
/// Longest collapse identifier, in bytes.
const COLLAPSE_ID_BYTES_MAX: usize = 64;
/// Longest expiration, in digits.
const EXPIRATION_DIGITS_MAX: usize = 19;

/// Apple's push types.
const PUSH_TYPES: [&str; 11] = [
    "alert",
    "background",
    "complication",
    "controls",
    "fileprovider",
    "liveactivity",
    "location",
    "mdm",
    "pushtotalk",
    "voip",
    "widgets",
];

/// Headers that may be there once.
pub(super) fn check_single(headers: &HeaderMap) -> Result<(), Refusal> {
    // Most requests repeat nothing, which is known without looking at names.
    let repeats = headers.len() != headers.keys_len()
        && headers.keys().any(|name| {
            let is_ours = name.as_str().starts_with("apns-") || name == "authorization";
            is_ours && headers.get_all(name).iter().nth(1).is_some()
        });
    if repeats { Err(Refusal::DuplicateHeaders) } else { Ok(()) }
}

/// Everything but the topic, which needs to know the sender.
pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    let rule = |holds: bool, refusal| if holds { Ok(()) } else { Err(refusal) };
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let push_type = header("apns-push-type");
    let priority = header("apns-priority");
    rule(header("apns-id").is_none_or(is_uuid), Refusal::BadMessageId)?;
    rule(push_type.is_none_or(|word| PUSH_TYPES.contains(&word)), Refusal::InvalidPushType)?;
    rule(priority.is_none_or(|word| ["1", "5", "10"].contains(&word)), Refusal::BadPriority)?;
    let is_urgent = priority.is_none_or(|word| word == "10");
    rule(!(push_type == Some("background") && is_urgent), Refusal::BadPriority)?;
    rule(header("apns-expiration").is_none_or(is_expiration), Refusal::BadExpirationDate)?;
    let collapse_id = headers.get("apns-collapse-id");
    rule(
        collapse_id.is_none_or(|value| value.len() <= COLLAPSE_ID_BYTES_MAX),
        Refusal::BadCollapseId,
    )
}

fn is_expiration(text: &str) -> bool {
    (1..=EXPIRATION_DIGITS_MAX).contains(&text.len())
        && text.bytes().all(|each| each.is_ascii_digit())
}

fn is_uuid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    let is_hex = |each: u8| each == b'-' || each.is_ascii_hexdigit();
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(is_hex)
}

/// A device token in hexadecimal.
pub(super) fn check_device(token: &str) -> Result<(), Refusal> {
    if token.is_empty() {
        return Err(Refusal::MissingDeviceToken);
    }
    let is_hex =
        token.len().is_multiple_of(2) && token.bytes().all(|each| each.is_ascii_hexdigit());
    if is_hex { Ok(()) } else { Err(Refusal::BadDeviceToken) }
}

/// The body, which must fit the push type.
pub(super) fn check_payload(push_type: Option<&str>, body: &[u8]) -> Result<Value, Refusal> {
    let longest =
        if push_type == Some("voip") { VOIP_PAYLOAD_BYTES_MAX } else { PAYLOAD_BYTES_MAX };
    if body.len() > longest {
        return Err(Refusal::PayloadTooLarge);
    }
    let payload: Value = serde_json::from_slice(body).map_err(|_| Refusal::PayloadEmpty)?;
    if !payload.is_object() {
        return Err(Refusal::PayloadEmpty);
    }
    // Only these two say what is in `aps`; the others have bodies of their own.
    if matches!(push_type, Some("alert" | "background")) {
        let aps = payload.get("aps").and_then(Value::as_object).ok_or(Refusal::PayloadEmpty)?;
        let is_seen = ["alert", "badge", "sound"].iter().any(|key| aps.contains_key(*key));
        if is_seen != (push_type == Some("alert")) {
            return Err(Refusal::InvalidPushType);
        }
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::{Refusal, check_device, check_headers, check_payload, check_single};
    use http::{HeaderMap, HeaderName};
    use serde_json::{Value, json};

    fn headers(rows: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in rows {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn headers_are_checked_as_apple_does() {
        let long = "x".repeat(65);
        for (name, value, expected) in [
            ("apns-id", "eabf3a12-0d3a-4f0e-8f3e-0123456789ab", Ok(())),
            ("apns-id", "EABF3A12-0D3A-4F0E-8F3E-0123456789AB", Ok(())),
            ("apns-id", "eabf3a120d3a4f0e8f3e0123456789ab", Err(Refusal::BadMessageId)),
            ("apns-id", "gabf3a12-0d3a-4f0e-8f3e-0123456789ab", Err(Refusal::BadMessageId)),
            ("apns-id", "", Err(Refusal::BadMessageId)),
            ("apns-push-type", "alert", Ok(())),
            ("apns-push-type", "silent", Err(Refusal::InvalidPushType)),
            ("apns-push-type", "background", Err(Refusal::BadPriority)),
            ("apns-priority", "1", Ok(())),
            ("apns-priority", "5", Ok(())),
            ("apns-priority", "10", Ok(())),
            ("apns-priority", "7", Err(Refusal::BadPriority)),
            ("apns-priority", "", Err(Refusal::BadPriority)),
            ("apns-expiration", "0", Ok(())),
            ("apns-expiration", "1795254000", Ok(())),
            ("apns-expiration", "-1", Err(Refusal::BadExpirationDate)),
            ("apns-expiration", "", Err(Refusal::BadExpirationDate)),
            ("apns-expiration", "tomorrow", Err(Refusal::BadExpirationDate)),
            ("apns-collapse-id", &long[..64], Ok(())),
            ("apns-collapse-id", &long, Err(Refusal::BadCollapseId)),
        ] {
            assert_eq!(check_headers(&headers(&[(name, value)])), expected, "{name}: {value}");
        }
        let background =
            |priority| headers(&[("apns-push-type", "background"), ("apns-priority", priority)]);
        assert_eq!(check_headers(&background("5")), Ok(()));
        assert_eq!(check_headers(&background("10")), Err(Refusal::BadPriority));
        assert_eq!(check_headers(&HeaderMap::new()), Ok(()));
    }

    #[test]
    fn headers_of_apns_come_once() {
        let twice = [("apns-topic", "a"), ("apns-topic", "a")];
        assert_eq!(check_single(&headers(&twice)), Err(Refusal::DuplicateHeaders));
        let twice = [("authorization", "a"), ("authorization", "b")];
        assert_eq!(check_single(&headers(&twice)), Err(Refusal::DuplicateHeaders));
        assert_eq!(check_single(&headers(&[("x-other", "a"), ("x-other", "b")])), Ok(()));
        assert_eq!(check_single(&headers(&[("apns-topic", "a"), ("apns-id", "b")])), Ok(()));
    }

    #[test]
    fn a_device_token_is_hexadecimal() {
        for (token, expected) in [
            ("0aF1", Ok(())),
            ("", Err(Refusal::MissingDeviceToken)),
            ("abc", Err(Refusal::BadDeviceToken)),
            ("xy", Err(Refusal::BadDeviceToken)),
            ("ab/cd", Err(Refusal::BadDeviceToken)),
        ] {
            assert_eq!(check_device(token), expected, "{token}");
        }
    }

    #[test]
    fn the_body_fits_the_push_type() {
        let alert = json!({"aps": {"alert": "checkEchoV1", "mutable-content": 1}});
        let silent = json!({"aps": {"content-available": 1}, "type": "x"});
        let badge = json!({"aps": {"badge": 1}});
        for (push_type, body, expected) in [
            (None, &alert, Ok(())),
            (None, &silent, Ok(())),
            (Some("alert"), &alert, Ok(())),
            (Some("alert"), &badge, Ok(())),
            (Some("alert"), &silent, Err(Refusal::InvalidPushType)),
            (Some("background"), &silent, Ok(())),
            (Some("background"), &alert, Err(Refusal::InvalidPushType)),
            (Some("background"), &badge, Err(Refusal::InvalidPushType)),
            (Some("alert"), &json!({}), Err(Refusal::PayloadEmpty)),
            (Some("mdm"), &json!({"mdm": "x"}), Ok(())),
            (None, &json!([]), Err(Refusal::PayloadEmpty)),
        ] {
            let checked = check_payload(push_type, body.to_string().as_bytes());
            assert_eq!(checked.map(drop), expected, "{push_type:?} {body}");
        }
        let sized = |bytes: usize| {
            let empty = json!({"aps": {"alert": ""}}).to_string().len();
            json!({"aps": {"alert": "x".repeat(bytes - empty)}}).to_string()
        };
        let check =
            |push_type, body: &str| check_payload(push_type, body.as_bytes()).map(|_: Value| ());
        assert_eq!(check(Some("alert"), &sized(4_096)), Ok(()));
        assert_eq!(check(Some("alert"), &sized(4_097)), Err(Refusal::PayloadTooLarge));
        assert_eq!(check(Some("voip"), &sized(5_120)), Ok(()));
        assert_eq!(check(Some("voip"), &sized(5_121)), Err(Refusal::PayloadTooLarge));
        for empty in ["", "hello", "{"] {
            assert_eq!(check(None, empty), Err(Refusal::PayloadEmpty), "{empty}");
        }
    }
}
