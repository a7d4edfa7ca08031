//! Words for people: results to standard output, troubles to standard error.

use std::io::Write as _;

/// A line of a result. A reader that is gone (`| head`) is no trouble.
pub(crate) fn line(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

/// A line of trouble.
pub(crate) fn error(text: &str) {
    drop(writeln!(std::io::stderr(), "reveille: {text}"));
}

/// What is being done, in the place of what was said so last. For terminals.
pub(crate) fn progress(text: &str) {
    let mut error = std::io::stderr();
    drop(write!(error, "\r\x1b[K{text}").and_then(|()| error.flush()));
}

/// A line that is not a result.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
