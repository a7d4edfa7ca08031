//! From a path to a key. Whatever stands behind the base is the key, slashes and all, decoded once.

use percent_encoding::percent_decode_str;
use reveille_model::SessionKey;

/// What a path means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// An entry.
    Key(SessionKey),
    /// The base without a key.
    Base,
    /// Nothing of ours.
    Elsewhere,
    /// Below the base, and no key: an escape that is none, bytes that are no UTF-8, a segment `.` or `..`.
    Malformed,
    /// A key of more bytes than are taken.
    TooLong,
}

/// Reads the path of a request, without its query.
pub(super) fn read(path: &str, base: &str, bytes_max: usize) -> Target {
    // Nearly every path has the base as it is written.
    let (key, is_below) = match path.strip_prefix(base) {
        Some(rest) => (decode(rest), true),
        None => match decode(path) {
            Some(whole) => (whole.strip_prefix(base).map(str::to_owned), whole.starts_with(base)),
            None => (None, false),
        },
    };
    match key {
        _ if !is_below => Target::Elsewhere,
        None => Target::Malformed,
        Some(key) if key.is_empty() => Target::Base,
        Some(key) if key.len() > bytes_max => Target::TooLong,
        Some(key) if key.split('/').any(|segment| segment == "." || segment == "..") => {
            Target::Malformed
        }
        Some(key) => SessionKey::parse(&key).map_or(Target::TooLong, Target::Key),
    }
}

/// Decodes every escape once. Nothing where one is malformed, or where that leaves no UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let is_escape = |part: &str| part.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    parts.next();
    if !parts.all(is_escape) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A path as a caller is shown it: decoded, with a mark where that leaves no text.
pub(super) fn shown(path: &str) -> String {
    percent_decode_str(path).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Target, read};

    const BASE: &str = "/sessions/v1/";

    fn key(path: &str) -> Option<String> {
        match read(path, BASE, 100) {
            Target::Key(key) => Some(key.expose().to_owned()),
            _ => None,
        }
    }

    #[test]
    fn everything_behind_the_base_is_the_key_decoded_once() {
        for (path, expected) in [
            ("/sessions/v1/cat", "cat"),
            ("/sessions/v1/foo%3Fbar", "foo?bar"),
            ("/sessions/v1/cat%20dog", "cat dog"),
            ("/sessions/v1/a+b", "a+b"),
            ("/sessions/v1/%2520", "%20"),
            ("/sessions/v1/enwiki%3AMWSession%3Ax", "enwiki:MWSession:x"),
            ("/sessions/v1/cat/dog", "cat/dog"),
            ("/sessions/v1/cat%2Fdog", "cat/dog"),
            ("/sessions/v1/cat/", "cat/"),
            ("/sessions/v1//cat", "/cat"),
            ("/sessions/v1/a/sessions/v1/b", "a/sessions/v1/b"),
            ("/sessions/v1/%C3%A9%00", "é\0"),
            ("/sessions/v1/...", "..."),
            ("/sessions/v1/.a/..b", ".a/..b"),
            ("/%73essions/v1/cat", "cat"),
            ("/sessions%2Fv1/cat", "cat"),
        ] {
            assert_eq!(key(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn what_is_no_key_is_none() {
        for path in [
            "/sessions/v1/.",
            "/sessions/v1/..",
            "/sessions/v1/a/../b",
            "/sessions/v1/%2e%2E/b",
            "/sessions/v1/a%2F..",
            "/sessions/v1/%",
            "/sessions/v1/%4",
            "/sessions/v1/%zz",
            "/sessions/v1/%ff",
            "/sessions/v1/a%",
            "/sessions/v1/%+1",
        ] {
            assert_eq!(read(path, BASE, 100), Target::Malformed, "{path}");
        }
        for path in
            ["/", "/sessions/v1", "/sessions/v2/a", "*", "/sessions/%zz", "/x/sessions/v1/a"]
        {
            assert_eq!(read(path, BASE, 100), Target::Elsewhere, "{path}");
        }
        assert_eq!(read(BASE, BASE, 100), Target::Base);
        let long = |length: usize| read(&format!("{BASE}{}", "%61".repeat(length)), BASE, 100);
        assert_eq!(long(101), Target::TooLong);
        assert!(matches!(long(100), Target::Key(_)));
        assert_eq!(
            read("/a", "/", 100),
            Target::Key(reveille_model::SessionKey::parse("a").unwrap())
        );
    }
}
