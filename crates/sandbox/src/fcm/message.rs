//! What FCM accepts as a message.

use serde_json::{Map, Value};

/// Longest payload, keys and values of `data` together, in bytes.
const DATA_BYTES_MAX: usize = 4_096;
/// Longest time to live, in seconds.
const TTL_S_MAX: f64 = 2_419_200.0;

/// What of a message matters here.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) token: String,
    pub(super) validate_only: bool,
}

/// A message that is refused: the field and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) field: &'static str,
    pub(super) description: String,
}

fn violation(field: &'static str, description: impl Into<String>) -> Violation {
    Violation { field, description: description.into() }
}

/// Checks a body as FCM does.
pub(super) fn check(body: &Value) -> Result<Message, Violation> {
    let body = body.as_object().ok_or_else(|| violation("", "Invalid JSON payload received."))?;
    known_fields(body, &["validate_only", "validateOnly", "message"])?;
    let message = body
        .get("message")
        .and_then(Value::as_object)
        .ok_or_else(|| violation("message", "Message is required."))?;
    known_fields(
        message,
        &[
            "name",
            "token",
            "fid",
            "topic",
            "condition",
            "data",
            "notification",
            "android",
            "apns",
            "webpush",
            "fcm_options",
        ],
    )?;
    let target = message.get("token").or_else(|| message.get("fid")).and_then(Value::as_str);
    let token =
        target.ok_or_else(|| violation("message", "Recipient of the message is not set."))?;
    if token.is_empty() {
        return Err(violation(
            "message.token",
            "The registration token is not a valid FCM registration token",
        ));
    }
    check_data(message.get("data"))?;
    check_android(message.get("android"))?;
    let validate_only = body.get("validate_only").or_else(|| body.get("validateOnly"));
    Ok(Message {
        token: token.to_owned(),
        validate_only: validate_only.and_then(Value::as_bool).unwrap_or(false),
    })
}

fn known_fields(object: &Map<String, Value>, known: &[&str]) -> Result<(), Violation> {
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(violation("", format!("Unknown name \"{name}\": Cannot find field."))),
        None => Ok(()),
    }
}

fn check_data(data: Option<&Value>) -> Result<(), Violation> {
    let Some(data) = data else { return Ok(()) };
    let data = data.as_object().ok_or_else(|| violation("message.data", "Not a map."))?;
    let mut size = 0;
    for (key, value) in data {
        let value = value.as_str().ok_or_else(|| {
            violation("message.data", "Only values of type string are supported.")
        })?;
        let reserved = matches!(key.as_str(), "from" | "message_type")
            || key.starts_with("google")
            || key.starts_with("gcm");
        if reserved {
            return Err(violation("message.data", format!("Invalid data payload key: {key}")));
        }
        size += key.len() + value.len();
    }
    if size > DATA_BYTES_MAX {
        return Err(violation("message", "Android message is too big"));
    }
    Ok(())
}

fn check_android(android: Option<&Value>) -> Result<(), Violation> {
    let Some(android) = android else { return Ok(()) };
    let android =
        android.as_object().ok_or_else(|| violation("message.android", "Not an object."))?;
    if let Some(ttl) = android.get("ttl") {
        let seconds: Option<f64> =
            ttl.as_str().and_then(|text| text.strip_suffix('s')).and_then(|text| text.parse().ok());
        if !seconds.is_some_and(|seconds| (0.0..=TTL_S_MAX).contains(&seconds)) {
            return Err(violation("message.android.ttl", "Invalid TTL"));
        }
    }
    if let Some(priority) = android.get("priority") {
        let known = ["NORMAL", "HIGH", "normal", "high"];
        if !priority.as_str().is_some_and(|word| known.contains(&word)) {
            return Err(violation("message.android.priority", "Invalid value"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;
    use serde_json::{Value, json};

    #[test]
    fn what_fcm_refuses_is_refused() {
        let field = |message: Value| {
            check(&json!({ "message": message })).map(drop).map_err(|each| each.field)
        };
        assert_eq!(
            field(json!({"token": "t", "data": {"type": "x"}, "android": {"ttl": "3600s"}})),
            Ok(())
        );
        assert_eq!(field(json!({"data": {}})), Err("message"));
        assert_eq!(field(json!({"token": ""})), Err("message.token"));
        assert_eq!(field(json!({"token": "t", "data": {"from": "x"}})), Err("message.data"));
        assert_eq!(field(json!({"token": "t", "data": {"gcm.x": "x"}})), Err("message.data"));
        assert_eq!(field(json!({"token": "t", "data": {"a": 1}})), Err("message.data"));
        assert_eq!(field(json!({"token": "t", "data": {"a": "x".repeat(4_096)}})), Err("message"));
        assert_eq!(
            field(json!({"token": "t", "android": {"ttl": "2419201s"}})),
            Err("message.android.ttl")
        );
        assert_eq!(field(json!({"token": "t", "android": {"ttl": 5}})), Err("message.android.ttl"));
        assert_eq!(
            field(json!({"token": "t", "android": {"priority": "10"}})),
            Err("message.android.priority")
        );
        assert_eq!(field(json!({"token": "t", "surprise": 1})), Err(""));
        assert!(check(&json!([])).is_err());
    }
}
