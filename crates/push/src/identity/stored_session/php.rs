//! What PHP's `serialize()` writes of scalars and arrays. Objects and references are refused: nothing is ever made by a name that stands in
//! the data.

use serde_json::{Map, Number, Value};

/// Reads a whole text. Arrays become objects, whatever their keys are; texts that are not UTF-8 become null.
pub(super) fn unserialize(text: &[u8], depth_max: usize) -> Option<Value> {
    let mut rest = text;
    let value = value(&mut rest, depth_max)?;
    rest.is_empty().then_some(value)
}

fn value(rest: &mut &[u8], depth_left: usize) -> Option<Value> {
    let (kind, after) = rest.split_first()?;
    *rest = after;
    match kind {
        b'N' => {
            expect(rest, b";")?;
            Some(Value::Null)
        }
        b'b' => match number(rest, b';')? {
            0 => Some(Value::Bool(false)),
            1 => Some(Value::Bool(true)),
            _ => None,
        },
        b'i' => number(rest, b';').map(Value::from),
        b'd' => {
            expect(rest, b":")?;
            let text = std::str::from_utf8(until(rest, b';')?).ok()?;
            // INF and NAN are no JSON.
            Some(text.parse().ok().and_then(Number::from_f64).map_or(Value::Null, Value::Number))
        }
        b's' => {
            let bytes = string(rest)?;
            expect(rest, b";")?;
            Some(std::str::from_utf8(bytes).map_or(Value::Null, Value::from))
        }
        b'a' => array(rest, depth_left.checked_sub(1)?),
        _ => None,
    }
}

fn array(rest: &mut &[u8], depth_left: usize) -> Option<Value> {
    let count = number(rest, b':')?;
    expect(rest, b"{")?;
    let mut members = Map::new();
    // The count is only believed as far as there is text.
    for _ in 0..count {
        let key = match value(rest, 0)? {
            Value::String(text) => text,
            Value::Number(number) if number.is_i64() || number.is_u64() => number.to_string(),
            _ => return None,
        };
        let member = value(rest, depth_left)?;
        members.insert(key, member);
    }
    expect(rest, b"}")?;
    Some(Value::Object(members))
}

/// `:<length>:"<bytes>"`.
fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest, b':')?).ok()?;
    expect(rest, b"\"")?;
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    expect(rest, b"\"")?;
    Some(bytes)
}

/// `:<number>` up to what ends it.
fn number(rest: &mut &[u8], end: u8) -> Option<i64> {
    expect(rest, b":")?;
    let text = std::str::from_utf8(until(rest, end)?).ok()?;
    // Rust would also take a plus.
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn until<'a>(rest: &mut &'a [u8], end: u8) -> Option<&'a [u8]> {
    let at = rest.iter().position(|byte| *byte == end)?;
    let (before, after) = rest.split_at_checked(at)?;
    *rest = after.get(1..)?;
    Some(before)
}

fn expect(rest: &mut &[u8], what: &[u8]) -> Option<()> {
    *rest = rest.strip_prefix(what)?;
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::unserialize;

    fn read(text: &str) -> Option<Value> {
        unserialize(text.as_bytes(), 4)
    }

    #[test]
    fn what_php_writes_is_read() {
        // Made by PHP 8.2's serialize().
        let text = concat!(
            "a:2:{s:4:\"data\";a:1:{s:13:\"wsTokenSecret\";s:4:\"a\"\";\";}",
            "s:8:\"metadata\";a:7:{s:6:\"userId\";i:42;s:8:\"userName\";s:5:\"Zo\u{eb}!\";",
            "s:8:\"remember\";b:1;s:10:\"forceHTTPS\";b:0;s:7:\"expires\";i:-1;s:1:\"f\";d:1.5;i:7;N;}}"
        );
        let metadata = json!({"userId": 42, "userName": "Zoë!", "remember": true, "forceHTTPS": false,
            "expires": -1, "f": 1.5, "7": null});
        let expected = json!({"data": {"wsTokenSecret": "a\"\";"}, "metadata": metadata});
        assert_eq!(read(text), Some(expected));
    }

    #[test]
    fn objects_references_and_lies_are_refused() {
        for bad in [
            "O:8:\"stdClass\":0:{}",
            "C:3:\"Foo\":2:{{}}",
            "a:1:{s:1:\"a\";O:8:\"stdClass\":0:{}}",
            "a:1:{i:0;R:1;}",
            "a:1:{i:0;r:1;}",
            "E:5:\"A:B\";",
            "i:1",
            "i:+1;",
            "i:;",
            "i:99999999999999999999;",
            "b:2;",
            "s:5:\"abc\";",
            "s:-1:\"\";",
            "s:99999999999:\"abc\";",
            "s:3:\"abc\"",
            "a:1:{}",
            "a:99999999999:{i:0;i:0;}",
            "a:1:{b:1;i:0;}",
            "a:1:{a:0:{}i:0;}",
            "i:1;i:2;",
            "",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn arrays_are_nested_so_deep_and_no_deeper() {
        let nested =
            |depth: usize| format!("{}i:1;{}", "a:1:{i:0;".repeat(depth), "}".repeat(depth));
        assert!(read(&nested(4)).is_some());
        assert!(read(&nested(5)).is_none());
        assert!(read(&nested(100_000)).is_none());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(prop::sample::select(&b"aibsdNO:{};\"019-."[..]), 0..60)) {
            unserialize(&bytes, 4);
        }
    }
}
