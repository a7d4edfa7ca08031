//! Values as MediaWiki stores them: `<TYPE>.<HMAC>.<DATA>` (contract: session-store.md §8.5).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::php;

/// How deep arrays may be nested.
const DEPTH_MAX: usize = 32;

/// What protects values.
#[derive(Clone, Copy)]
pub(in crate::identity) enum Integrity<'a> {
    /// An HMAC-SHA256 over the data.
    Signed(&'a hmac::Key),
    /// Nothing: the store is trusted.
    Unsigned,
}

/// The data of a value; nothing where it is none, or not the wiki's.
pub(in crate::identity) fn decode(bytes: &[u8], integrity: Integrity<'_>) -> Option<Value> {
    let mut parts = bytes.splitn(3, |byte| *byte == b'.');
    let (kind, mac, data) = (parts.next()?, parts.next()?, parts.next()?);
    if let Integrity::Signed(key) = integrity {
        hmac::verify(key, data, &STANDARD.decode(mac).ok()?).ok()?;
    }
    match kind {
        b"JSON" => serde_json::from_slice(data).ok(),
        b"PHP" => php::unserialize(data, DEPTH_MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use serde_json::json;

    use super::{Integrity, decode};

    /// Vectors of the contract, key `k1`.
    const JSON: &str = "JSON.RyGHWFFXVtho4XKl4DeaFn+xDjCBEfDvE7SdXWfWcZs=.{\"a\":1}";
    const PHP: &str = "PHP.4vYow111JzYNzq72yixHTbxE+6z2ucwD0cNQ0Ov3hz8=.a:1:{s:1:\"a\";i:1;}";

    #[test]
    fn what_a_wiki_wrote_is_read_and_nothing_else() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"k1");
        let signed = Integrity::Signed(&key);
        for vector in [JSON, PHP] {
            assert_eq!(decode(vector.as_bytes(), signed), Some(json!({"a": 1})), "{vector}");
            let changed = vector.replace('1', "2");
            assert_eq!(decode(changed.as_bytes(), signed), None, "{changed}");
            let unsigned: Vec<&str> = vector.splitn(3, '.').collect();
            let unsigned = format!("{}..{}", unsigned[0], unsigned[2]);
            assert_eq!(decode(unsigned.as_bytes(), signed), None, "{unsigned}");
            assert!(decode(unsigned.as_bytes(), Integrity::Unsigned).is_some(), "{unsigned}");
        }
        for none in ["", "JSON", "JSON.", "XML..<a/>", "JSON..{", "PHP..O:1:\"A\":0:{}"] {
            assert_eq!(decode(none.as_bytes(), Integrity::Unsigned), None, "{none}");
        }
    }
}
