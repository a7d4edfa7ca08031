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

/// A line that is not a result.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
