//! One section of the configuration, read key by key. What is left over at the end is unknown.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::{Table, Value};

use super::document::Surroundings;

/// A section and what of it was read. [`Section::finish`] reports the rest.
#[derive(Debug)]
pub struct Section {
    path: String,
    table: Table,
    around: Surroundings,
    read: BTreeSet<String>,
}

impl Section {
    pub(super) fn new(path: String, table: Table, around: Surroundings) -> Self {
        Self { path, table, around, read: BTreeSet::new() }
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The keys that are there.
    pub fn keys(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// Whether a key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports a problem with a key.
    pub fn problem(&self, key: &str, what: impl Into<String>) {
        self.around.problems.add(self.path_of(key), what);
    }

    /// Where a key stands: `push.mix.window_s`.
    pub fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    /// Notes what a key takes.
    fn ask(&self, key: &str, takes: impl Into<String>) {
        self.around.asked.add(self.path_of(key), takes);
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.read.insert(key.to_owned());
        self.table.remove(key)
    }

    /// A text.
    pub fn string(&mut self, key: &str) -> Option<String> {
        self.ask(key, "a text");
        match self.take(key)? {
            Value::String(text) => Some(text),
            _ => {
                self.problem(key, "this must be a text in quotation marks");
                None
            }
        }
    }

    /// A text that must be there.
    pub fn required_string(&mut self, key: &str, example: &str) -> Option<String> {
        if !self.has(key) {
            self.problem(key, format!("this is missing; write for example {key} = \"{example}\""));
        }
        self.string(key)
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let words = words.join(" or ");
        self.ask(key, words.as_str());
        let text = self.string(key)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.problem(key, format!("this must be {words}"));
        }
        found
    }

    /// A whole number inside a range.
    pub fn number(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let (low, high) = (*range.start(), *range.end());
        self.ask(key, format!("a whole number from {low} to {high}"));
        let value = self.take(key)?;
        let number = value.as_integer().and_then(|number| u32::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(number),
            None => {
                self.problem(key, format!("this must be a whole number from {low} to {high}"));
                None
            }
        }
    }

    /// A whole number from one on that may be large: bytes, rows.
    pub fn count(&mut self, key: &str) -> Option<u64> {
        self.ask(key, "a whole number from 1 on");
        let value = self.take(key)?;
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| *number > 0);
        if number.is_none() {
            self.problem(key, "this must be a whole number from 1 on");
        }
        number
    }

    /// A part of a whole.
    pub fn ratio(&mut self, key: &str) -> Option<f64> {
        self.ask(key, "a number from 0 to 1");
        let number = match self.take(key)? {
            Value::Float(number) => Some(number),
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            _ => None,
        };
        let number = number.filter(|number| (0.0..=1.0).contains(number));
        if number.is_none() {
            self.problem(key, "this must be a number from 0 to 1");
        }
        number
    }

    /// True or false.
    pub fn boolean(&mut self, key: &str) -> Option<bool> {
        self.ask(key, "true or false");
        match self.take(key)? {
            Value::Boolean(value) => Some(value),
            _ => {
                self.problem(key, "this must be true or false");
                None
            }
        }
    }

    /// A list of texts.
    pub fn strings(&mut self, key: &str) -> Option<Vec<String>> {
        self.ask(key, "a list of texts");
        let value = self.take(key)?;
        let texts = value.as_array().and_then(|values| {
            values.iter().map(|each| each.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        if texts.is_none() {
            self.problem(key, format!("this must be a list of texts, {key} = [\"…\", \"…\"]"));
        }
        texts
    }

    /// An address to listen at.
    pub fn address(&mut self, key: &str) -> Option<SocketAddr> {
        self.ask(key, "an address and a port");
        let text = self.string(key)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.problem(key, "this must be an address and a port, as in \"127.0.0.1:8900\" or \"[::1]:8900\"");
                None
            }
        }
    }

    /// A path; a relative one counts from the file's folder.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        self.ask(key, "a file");
        self.string(key).map(|text| self.resolve(&text))
    }

    /// The content of a file that is named, which is all of one secret, without the space around it.
    pub fn secret(&mut self, key: &str) -> Option<String> {
        self.ask(key, "a file that holds it, and nothing else");
        let path = self.path(key)?;
        let read = match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
            Ok(_) => Err("it is empty".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        read.map_err(|what| self.problem(key, format!("{}: {what}", path.display()))).ok()
    }

    /// A path counted from the file's folder.
    pub fn resolve(&self, relative: &str) -> PathBuf {
        let path = self.around.folder.join(relative);
        self.around.files.note(&path);
        path
    }

    /// A section inside this one; an empty one where there is none.
    #[must_use]
    pub fn section(&mut self, key: &str) -> Self {
        let table = match self.take(key) {
            None => Table::new(),
            Some(Value::Table(table)) => table,
            Some(_) => {
                self.problem(
                    key,
                    format!("this must be a section, written [{}]", self.path_of(key)),
                );
                Table::new()
            }
        };
        Self::new(self.path_of(key), table, self.around.clone())
    }

    /// All sections inside this one, by name.
    pub fn sections(&mut self) -> Vec<(String, Self)> {
        self.keys().into_iter().map(|name| (name.clone(), self.section(&name))).collect()
    }

    /// Refuses a part of the design that is not built.
    pub fn not_built(&mut self, key: &str, what: &str) {
        if self.take(key).is_some() {
            self.problem(key, format!("{what} is not built yet in this version; remove it"));
        }
    }

    /// Reports keys that were not read.
    pub fn finish(self) {
        for key in self.table.keys() {
            let known: Vec<&str> = self.read.iter().map(String::as_str).collect();
            let known = if known.is_empty() {
                "there are no keys here".to_owned()
            } else {
                format!("the keys are {}", known.join(", "))
            };
            self.around.problems.add(self.path_of(key), format!("there is no such key; {known}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Document;

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let text = "[push]\nstore = 7\nlisten = \"here\"\nmode = \"fast\"\nwindow_s = 0\nlist = [1]\ntypo = 1\nold = 2\n";
        let document = Document::parse(text, "/etc".into()).unwrap();
        let mut push = document.section("push");
        assert_eq!(push.string("store"), None);
        assert_eq!(push.address("listen"), None);
        assert_eq!(push.choice("mode", &[("batch", ()), ("cohort", ())]), None);
        assert_eq!(push.number("window_s", 1..=10), None);
        assert_eq!(push.strings("list"), None);
        assert_eq!(push.required_string("name", "x"), None);
        push.not_built("old", "age");
        push.finish();
        let found = document.problems().take();
        let paths: Vec<&str> = found.iter().map(|each| each.path.as_str()).collect();
        let expected = [
            "push.list",
            "push.listen",
            "push.mode",
            "push.name",
            "push.old",
            "push.store",
            "push.typo",
            "push.window_s",
        ];
        assert_eq!(paths, expected);
        assert_eq!(found[2].what, "this must be \"batch\" or \"cohort\"");
        assert_eq!(found[7].what, "this must be a whole number from 1 to 10");
    }

    #[test]
    fn what_was_asked_for_is_known_even_where_nothing_is_there() {
        let document = Document::parse("", "/etc".into()).unwrap();
        let mut push = document.section("push");
        assert_eq!(push.secret("key_file"), None);
        let mut mix = push.section("mix");
        assert_eq!(mix.choice("mode", &[("batch", ()), ("cohort", ())]), None);
        assert_eq!(mix.number("window_s", 1..=10), None);
        let asked = document.asked().keys();
        let asked: Vec<(&str, &str)> =
            asked.iter().map(|(path, takes)| (path.as_str(), takes.as_str())).collect();
        let expected = [
            ("push.key_file", "a file that holds it, and nothing else"),
            ("push.mix.mode", "\"batch\" or \"cohort\""),
            ("push.mix.window_s", "a whole number from 1 to 10"),
        ];
        assert_eq!(asked, expected);
    }
}
