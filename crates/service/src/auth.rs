//! Bearer tokens of callers (RFC 6750), kept as hashes and compared in constant time.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::problem::Problem;

/// The shortest token that is taken, in bytes: 16 random characters are beyond guessing.
const TOKEN_BYTES_MIN: usize = 16;
/// Most callers.
const CALLERS_MAX: usize = 10_000;

/// Who may call. Without tokens the network is trusted. Clones share what was read last.
#[derive(Clone)]
pub struct Callers {
    hashes: Arc<RwLock<Vec<[u8; 32]>>>,
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callers({})", self.hashes().len())
    }
}

/// Why a file of tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// It cannot be read.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// A line is no token.
    #[error("line {line}: a token is {TOKEN_BYTES_MIN} or more visible ASCII characters")]
    Line {
        /// Counted from one.
        line: usize,
    },
    /// There is none.
    #[error("it holds no token; remove the setting to trust the network")]
    Empty,
    /// There are too many.
    #[error("it holds more than {CALLERS_MAX} tokens")]
    TooMany,
}

/// A caller, as something to tell callers apart by. Not its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Caller(pub [u8; 32]);

impl Caller {
    /// The one caller of a trusted network.
    pub const ANYONE: Self = Self([0; 32]);
}

impl Callers {
    /// Everyone.
    pub fn anyone() -> Self {
        Self { hashes: Arc::default() }
    }

    /// How many there are who can be told apart. One, where the network is trusted.
    pub fn count(&self) -> usize {
        self.hashes().len().max(1)
    }

    /// Whether the network is trusted.
    pub fn is_anyone(&self) -> bool {
        self.hashes().is_empty()
    }

    /// Takes what was read from the same file again: whoever is not of it any more is not let in from now on.
    pub fn take(&self, read: &Self) {
        let hashes = read.hashes().clone();
        *self.hashes.write().unwrap_or_else(PoisonError::into_inner) = hashes;
    }

    fn hashes(&self) -> RwLockReadGuard<'_, Vec<[u8; 32]>> {
        self.hashes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// From a file: one token a line, blank lines and lines that start with `#` left out.
    pub fn from_file(path: &Path) -> Result<Self, CallersError> {
        let text = std::fs::read_to_string(path)?;
        let mut hashes = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.len() < TOKEN_BYTES_MIN || !line.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(CallersError::Line { line: index + 1 });
            }
            hashes.push(hash(line));
        }
        match hashes.len() {
            0 => Err(CallersError::Empty),
            count if count > CALLERS_MAX => Err(CallersError::TooMany),
            _ => Ok(Self { hashes: Arc::new(RwLock::new(hashes)) }),
        }
    }

    /// Who is calling, by the `Authorization` header; nobody known where there is none, or one that is not of the file.
    pub fn caller(&self, authorization: Option<&HeaderValue>) -> Option<Caller> {
        if self.hashes().is_empty() {
            return Some(Caller::ANYONE);
        }
        let (scheme, token) = authorization?.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        self.holder(token)
    }

    /// Whose a token is; nobody's where it is not of the file.
    pub fn holder(&self, token: &str) -> Option<Caller> {
        self.find(&hash(token.trim()))
    }

    /// Whether this is one of them, still.
    pub fn has(&self, caller: Caller) -> bool {
        self.find(&caller.0).is_some()
    }

    fn find(&self, given: &[u8; 32]) -> Option<Caller> {
        // Every one is looked at, so that the time taken says nothing.
        let mut found = None;
        for known in self.hashes().iter() {
            if verify_slices_are_equal(known, given).is_ok() {
                found = Some(Caller(*known));
            }
        }
        found
    }
}

fn hash(token: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
        *place = *byte;
    }
    bytes
}

/// Refuses what a browser sends because some page wants it to. Where no tokens are asked for, whoever can reach a private listener with their browser
/// would do there what any page says that they open. Servers and commands send none of these headers (Fetch, "CORS protocol"; Fetch Metadata), and who shows
/// a token is no page of a stranger's.
pub fn refuse_pages(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").is_some_and(|site| site != "none");
    let is_of_page = headers.contains_key(header::ORIGIN) || site;
    if is_of_page && !headers.contains_key(header::AUTHORIZATION) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "of-a-page",
            "Pages may not ask here",
        )
        .detail("a browser has sent this for a page; servers and commands are answered here, and who shows a bearer token"));
    }
    Ok(())
}

/// Middleware that lets callers in and tells the handler who calls.
pub async fn require(State(callers): State<Callers>, mut request: Request, next: Next) -> Response {
    if let Err(problem) = refuse_pages(request.headers()) {
        return problem.into_response();
    }
    match callers.caller(request.headers().get(header::AUTHORIZATION)) {
        Some(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        None => {
            let problem = Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "Who is calling is not known",
            )
            .detail(
                "send one of the tokens of push.intake.tokens_file as `Authorization: Bearer …`",
            );
            let mut response = problem.into_response();
            let challenge = HeaderValue::from_static("Bearer realm=\"reveille\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Caller, Callers, CallersError};
    use http::HeaderValue;

    fn file(name: &str, text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("reveille-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn only_tokens_of_the_file_are_let_in() {
        let path = file("callers", "# ours\n\nfirst-token-0123456789\nsecond-token-0123456789\n");
        let callers = Callers::from_file(&path).unwrap();
        let caller = |value: &str| callers.caller(Some(&HeaderValue::from_str(value).unwrap()));
        let first = caller("Bearer first-token-0123456789").unwrap();
        let second = caller("bearer second-token-0123456789").unwrap();
        assert_ne!(first, second);
        for bad in [
            "Bearer third-token-0123456789",
            "Basic first-token-0123456789",
            "first-token-0123456789",
            "Bearer ",
        ] {
            assert_eq!(caller(bad), None, "{bad}");
        }
        assert_eq!(callers.caller(None), None);
        assert_eq!(Callers::anyone().caller(None), Some(Caller::ANYONE));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_bad_file_says_what_is_wrong_and_where() {
        let short = file("short", "# x\nshort\n");
        assert!(matches!(Callers::from_file(&short), Err(CallersError::Line { line: 2 })));
        let empty = file("empty", "# nothing\n");
        assert!(matches!(Callers::from_file(&empty), Err(CallersError::Empty)));
        std::fs::remove_file(short).unwrap();
        std::fs::remove_file(empty).unwrap();
    }
}
