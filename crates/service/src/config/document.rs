//! The file and the environment.

use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::files::{Files, Seen};
use super::{Asked, Problems, Section};

/// The sections there are. Every command takes the whole file and uses its own.
pub const SECTIONS: [&str; 7] =
    ["push", "apns", "fcm", "webpush", "sessions", "sandbox", "tracing"];

/// Variables `REVEILLE_PUSH__MIX__WINDOW_S=5` set single values.
const PREFIX: &str = "REVEILLE_";
const SEPARATOR: &str = "__";

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not there or may not be read.
    #[error(
        "cannot read {path}: {source}; name another file with --config, or make one with `reveille sandbox init DIR`"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("{path} is not TOML: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what, of the parser.
        message: String,
    },
}

/// A configuration file, read and not yet understood.
#[derive(Clone, Default)]
pub struct Document {
    pub(super) table: Table,
    folder: PathBuf,
    problems: Problems,
    files: Files,
    asked: Asked,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not what stands in it: the environment may have set a secret.
        f.debug_struct("Document").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Document {
    /// Reads a file and applies the environment.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LoadError::File { path: path.to_owned(), source })?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Self::from_text(&text, folder)
            .map_err(|message| LoadError::Syntax { path: path.to_owned(), message })
    }

    /// From text, with the environment applied. Relative paths in it count from `folder`.
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the environment")]
    pub fn from_text(text: &str, folder: PathBuf) -> Result<Self, String> {
        let mut document = Self::parse(text, folder)?;
        document.apply(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }));
        Ok(document)
    }

    /// From text. Relative paths in it count from `folder`.
    pub fn parse(text: &str, folder: PathBuf) -> Result<Self, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let problems = Problems::default();
        for name in table.keys().filter(|name| !SECTIONS.contains(&name.as_str())) {
            problems.add(
                name,
                format!("there is no such section; the sections are {}", SECTIONS.join(", ")),
            );
        }
        Ok(Self { table, folder, problems, files: Files::default(), asked: Asked::default() })
    }

    /// Sets single values from environment variables.
    fn apply(&mut self, variables: impl Iterator<Item = (String, String)>) {
        for (name, text) in variables {
            let Some(path) = name.strip_prefix(PREFIX).filter(|path| path.contains(SEPARATOR))
            else {
                continue;
            };
            let path = path.to_lowercase();
            let steps: Vec<&str> = path.split(SEPARATOR).collect();
            if let Some((key, sections)) = steps.split_last()
                && let Err(what) = set(&mut self.table, sections, key, &text)
            {
                self.problems.add(steps.join("."), format!("{what} (set by {name})"));
            }
        }
    }

    /// A top-level section; an empty one where the file has none.
    pub fn section(&self, name: &str) -> Section {
        let table = match self.table.get(name) {
            None => Table::new(),
            Some(Value::Table(table)) => table.clone(),
            Some(_) => {
                self.problems.add(name, format!("this must be a section, written [{name}]"));
                Table::new()
            }
        };
        Section::new(name.to_owned(), table, self.surroundings())
    }

    /// Whether the file has a section of this name.
    pub fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// The same text, as if nothing of it was understood yet: its files are read as they are then.
    #[must_use]
    pub fn anew(&self) -> Self {
        let (table, folder) = (self.table.clone(), self.folder.clone());
        Self { table, folder, ..Self::default() }
    }

    /// The files that were asked for so far, as they looked when they first were.
    pub(crate) fn seen(&self) -> Seen {
        self.files.seen()
    }

    /// Which keys were asked for so far.
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            folder: self.folder.clone(),
            problems: self.problems.clone(),
            files: self.files.clone(),
            asked: self.asked.clone(),
        }
    }

    /// What was found wrong so far.
    pub fn problems(&self) -> &Problems {
        &self.problems
    }
}

/// What all sections of a document share.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) folder: PathBuf,
    pub(super) problems: Problems,
    pub(super) files: Files,
    pub(super) asked: Asked,
}

fn set(table: &mut Table, sections: &[&str], key: &str, text: &str) -> Result<(), &'static str> {
    let mut table = table;
    for section in sections {
        table = match table.entry(*section).or_insert_with(|| Value::Table(Table::new())) {
            Value::Table(inner) => inner,
            _ => return Err("this is a single value, not a section"),
        };
    }
    match table.get(key) {
        Some(Value::Table(_) | Value::Array(_)) => {
            Err("the environment sets single values only, no lists and no sections")
        }
        _ => {
            let value = text
                .parse::<i64>()
                .map(Value::Integer)
                .or_else(|_| text.parse::<bool>().map(Value::Boolean))
                .or_else(|_| fraction(text).map(Value::Float).ok_or(()))
                .unwrap_or_else(|()| Value::String(text.to_owned()));
            table.insert(key.to_owned(), value);
            Ok(())
        }
    }
}

/// A number with a point, as in `0.25`. Other ways of writing numbers are text: it may be meant so.
fn fraction(text: &str) -> Option<f64> {
    let (whole, part) = text.split_once('.')?;
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_digits(whole) && is_digits(part)).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::Document;

    fn document(text: &str, variables: &[(&str, &str)]) -> Document {
        let mut document = Document::parse(text, "/etc/reveille".into()).unwrap();
        document
            .apply(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        document
    }

    #[test]
    fn the_environment_sets_single_values() {
        let variables = [
            ("REVEILLE_PUSH__MIX__WINDOW_S", "5"),
            ("REVEILLE_PUSH__STORE", "sqlite:x"),
            ("REVEILLE_URL", "http://elsewhere"),
            ("PATH", "/bin"),
        ];
        let document = document("[push.mix]\nwindow_s = 120\n", &variables);
        let mut push = document.section("push");
        assert_eq!(push.string("store"), Some("sqlite:x".to_owned()));
        let mut mix = push.section("mix");
        assert_eq!(mix.number("window_s", 1..=3600), Some(5));
        mix.finish();
        push.finish();
        assert_eq!(document.problems().take(), []);
    }

    #[test]
    fn the_environment_sets_fractions_and_leaves_names_alone() {
        let variables =
            [("REVEILLE_TRACING__SAMPLE_RATIO", "0.25"), ("REVEILLE_TRACING__ENDPOINT", "1.2.3.4")];
        let document = document("", &variables);
        let mut tracing = document.section("tracing");
        assert_eq!(tracing.ratio("sample_ratio"), Some(0.25));
        assert_eq!(tracing.string("endpoint"), Some("1.2.3.4".to_owned()));
    }

    #[test]
    fn the_environment_sets_no_lists() {
        let document = document("[fcm.a]\ntopics = []\n", &[("REVEILLE_FCM__A__TOPICS", "x")]);
        let problems = document.problems().take();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].path, "fcm.a.topics");
    }

    #[test]
    fn an_unknown_section_is_named() {
        let problems = document("[pusch]\n", &[]).problems().take();
        assert_eq!(problems[0].path, "pusch");
        assert!(Document::parse("[push\n", "".into()).unwrap_err().contains("line 1"));
    }
}
