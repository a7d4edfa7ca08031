//! `docs/reference/errors.md`, from the places where problems are made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use http::StatusCode;
use reveille_testkit::is_written;

use super::{page, root};

const OPENING: &str = "# Errors

Written from the code (`cargo xtask docs`). Every error of Reveille's own is an RFC 9457 problem (`application/problem+json`): `type` is
`urn:reveille:problem:` and the word below, and stays; `title` says what is wrong, `detail` what it is in this case and what to do. Nothing of a token, a user or a body is ever in it.
With 503 and 429 comes `Retry-After`, and nothing was accepted. `reveille_requests_refused_total` counts problems of the push server by their word; the commands print `detail` and end with exit code 4.

The session store has four kinds in Kask's very words besides ([sessions.md](../sessions.md)), and `/w/api.php` says everything in MediaWiki's ([mediawiki.md](../mediawiki.md)).
Where `…` stands in a meaning, the answer names the thing.

| `type` | status | title | meaning | of |
|---|---|---|---|---|
";
/// Whose answers they are, by the folder they are made in.
const SERVERS: [(&str, &str); 4] = [
    ("crates/service/src", "all servers"),
    ("crates/push/src", "push"),
    ("crates/sessions/src", "sessions"),
    ("crates/sandbox/src", "sandbox"),
];
/// A problem is made with `Problem::new(StatusCode::X, "word", "Title")`, or with `new`, which stands for it.
const MADE: &str = "new(";

/// A kind of problem where it is made.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    word: String,
    status: u16,
    title: String,
    meaning: String,
}

#[test]
fn the_list_of_errors_is_what_the_code_makes() {
    let mut kinds: BTreeMap<Kind, BTreeSet<&str>> = BTreeMap::new();
    for (folder, server) in SERVERS {
        for kind in made_in(&root().join(folder)) {
            kinds.entry(kind).or_default().insert(server);
        }
    }
    let mut text = OPENING.to_owned();
    for (Kind { word, status, title, meaning }, servers) in &kinds {
        let servers: Vec<&str> = servers.iter().copied().collect();
        writeln!(text, "| `{word}` | {status} | {title} | {meaning} | {} |", servers.join(", "))
            .unwrap();
    }
    assert!(kinds.len() > 45, "{} are too few", kinds.len());
    is_written(&page("errors.md"), &text);
}

/// The kinds that are made by the code in a folder.
fn made_in(folder: &Path) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            kinds.extend(made_in(&path));
        } else {
            let text = std::fs::read_to_string(&path).unwrap();
            // In one line, so that it does not matter how it is laid out.
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let all = text.matches("Problem::new(").count();
            let read: Vec<Kind> = text.split(MADE).skip(1).filter_map(kind).collect();
            assert!(read.len() >= all, "{}: a problem that cannot be read", path.display());
            kinds.extend(read);
        }
    }
    kinds
}

/// What follows `new(`, where it makes a problem.
fn kind(text: &str) -> Option<Kind> {
    let text = text.trim_start().strip_prefix("StatusCode::")?;
    let (status, text) = text.split_once(',')?;
    let (word, text) = literal(text)?;
    let (title, text) = literal(text.trim_start().strip_prefix(',')?)?;
    let after = text.trim_start().trim_start_matches([',', ' ']).strip_prefix(')')?;
    let detail = after.trim_start().strip_prefix(".detail(").unwrap_or_default().trim_start();
    let meaning = literal(detail.strip_prefix("format!(").unwrap_or(detail));
    let meaning = meaning.map_or_else(|| "…".to_owned(), |(meaning, _)| open(meaning));
    Some(Kind {
        word: word.to_owned(),
        status: number(status),
        title: title.to_owned(),
        meaning: meaning.replace('|', "\\|"),
    })
}

/// A text in quotation marks and what comes after it.
fn literal(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start().strip_prefix('"')?;
    let ends = text.match_indices('"').map(|(at, _)| at);
    let end = ends.into_iter().find(|at| !text.get(..*at).is_some_and(|it| it.ends_with('\\')))?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// What is put in is different each time.
fn open(text: &str) -> String {
    let mut parts = text.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    let opened = parts.fold(first, |done, part| {
        let rest = part.split_once('}').map_or(part, |(_, rest)| rest);
        format!("{done}…{rest}")
    });
    opened.replace("\\\"", "\"")
}

/// The number of a status by its name in the code.
fn number(name: &str) -> u16 {
    let found = (400..600).filter_map(|number| StatusCode::from_u16(number).ok()).find(|status| {
        let reason = status.canonical_reason().unwrap_or_default();
        reason.to_uppercase().replace([' ', '-'], "_") == name
    });
    found.unwrap_or_else(|| panic!("there is no status {name}")).as_u16()
}
