//! What a request asks for: parameters of the query string and of a form, and which of them somebody has looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Fault, Warning};

/// Most parameters that are read, as PHP has it (`max_input_vars`). Those beyond are not seen.
const PARAMETERS_MAX: usize = 1_000;
/// Most values of one parameter, and for whoever has `apihighlimits`.
pub(super) const VALUES_MAX: usize = 50;
pub(super) const VALUES_MAX_WITH_HIGH_LIMITS: usize = 500;

/// The parameters of one request. Where one is given twice the last one counts, and a form's before the query string's.
#[derive(Default)]
pub(super) struct Parameters {
    values: BTreeMap<String, String>,
    /// Names in the order in which they came.
    names: Vec<String>,
    in_query: BTreeSet<String>,
    used: BTreeSet<String>,
}

impl Parameters {
    pub(super) fn new(query: &str, form: &[u8]) -> Self {
        let mut read = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).take(PARAMETERS_MAX) {
            read.in_query.insert(name.clone().into_owned());
            read.take(name.into_owned(), value.into_owned());
        }
        for (name, value) in form_urlencoded::parse(form).take(PARAMETERS_MAX) {
            read.take(name.into_owned(), value.into_owned());
        }
        read
    }

    fn take(&mut self, name: String, value: String) {
        if self.values.insert(name.clone(), value).is_none() {
            self.names.push(name);
        }
    }

    /// A value, which may be empty.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.used.insert(name.to_owned());
        self.values.get(name).cloned()
    }

    /// A value that has to be there and to say something.
    pub(super) fn required(&mut self, name: &str) -> Result<String, Fault> {
        let text = self.text(name).filter(|text| !text.is_empty());
        text.ok_or_else(|| Fault::missing(name))
    }

    /// Whether it is given, whatever it says.
    pub(super) fn flag(&mut self, name: &str) -> bool {
        self.text(name).is_some()
    }

    /// One of some words, if it is given.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, value)| Some(*value)).ok_or_else(|| Fault::bad_value(name, &text))
    }

    /// Values that were separated, if it is given (`MediaWiki` API: multivalue parameters).
    pub(super) fn values(&mut self, name: &str, max: usize) -> Result<Option<Vec<String>>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // One more than are taken tells that there are too many.
        let values: Vec<String> = match text.strip_prefix('\u{1f}') {
            _ if text.is_empty() || text == "\u{1f}" => Vec::new(),
            Some(rest) => rest.split('\u{1f}').take(max + 1).map(str::to_owned).collect(),
            None => text.split('|').take(max + 1).map(str::to_owned).collect(),
        };
        if values.len() > max { Err(Fault::too_many(name, max)) } else { Ok(Some(values)) }
    }

    /// Those of some words that are given, or those that are meant where it is not; others are warned of.
    pub(super) fn choices<T: Copy>(
        &mut self,
        name: &str,
        (words, default): (&[(&'static str, T)], &[T]),
        (module, warnings): (&'static str, &mut Vec<Warning>),
    ) -> Result<Vec<T>, Fault> {
        let Some(values) = self.values(name, VALUES_MAX)? else { return Ok(default.to_vec()) };
        let is_known = |value: &&str| words.iter().any(|(word, _)| word == value);
        let texts = values.iter().map(String::as_str);
        let unknown: Vec<&str> = texts.filter(|value| !is_known(value)).collect();
        // Each once, however often it is named.
        let is_named = |word: &str| values.iter().any(|value| value == word);
        let chosen = words.iter().filter(|(word, _)| is_named(word)).map(|(_, meant)| *meant);
        let chosen = chosen.collect();
        if !unknown.is_empty() {
            warnings.push(Warning::unknown_values(module, name, &unknown));
        }
        Ok(chosen)
    }

    /// A whole number between bounds. One beyond them is warned of and cut; `max` is the largest.
    pub(super) fn limit(
        &mut self,
        name: &str,
        (default, max): (usize, usize),
        (module, warnings): (&'static str, &mut Vec<Warning>),
    ) -> Result<usize, Fault> {
        let Some(text) = self.text(name) else { return Ok(default) };
        if text == "max" {
            return Ok(max);
        }
        let number: i64 = text.parse().map_err(|_| Fault::bad_integer(name, &text))?;
        let within = number.clamp(1, i64::try_from(max).unwrap_or(i64::MAX));
        if within != number {
            warnings.push(Warning::out_of_range(module, name, &text, max));
        }
        Ok(usize::try_from(within).unwrap_or(max))
    }

    /// Whether it stands in the query string, where it may be logged.
    pub(super) fn is_in_query(&self, name: &str) -> bool {
        self.in_query.contains(name)
    }

    /// Names that nobody has asked for.
    pub(super) fn unused(&self) -> Vec<&str> {
        let unused = self.names.iter().filter(|name| !self.used.contains(*name));
        unused.map(String::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters;

    #[test]
    fn values_are_separated_as_a_wiki_does() {
        let values = |text: &str| {
            let query =
                form_urlencoded::Serializer::new(String::new()).append_pair("a", text).finish();
            Parameters::new(&query, b"").values("a", 3).map_err(|fault| fault.code)
        };
        assert_eq!(values("x|y"), Ok(Some(vec!["x".to_owned(), "y".to_owned()])));
        assert_eq!(values("\u{1f}x|y"), Ok(Some(vec!["x|y".to_owned()])));
        assert_eq!(values("\u{1f}x\u{1f}y"), Ok(Some(vec!["x".to_owned(), "y".to_owned()])));
        assert_eq!(values(""), Ok(Some(Vec::new())));
        assert_eq!(values("\u{1f}"), Ok(Some(Vec::new())));
        assert_eq!(values("1|2|3|4"), Err("toomanyvalues"));
        assert_eq!(Parameters::new("", b"").values("a", 3), Ok(None));
    }

    #[test]
    fn the_last_one_counts_and_a_form_before_the_query() {
        let mut parameters = Parameters::new("a=1&a=2&b=3&c=", b"b=4&d=5");
        assert_eq!(parameters.text("a").as_deref(), Some("2"));
        assert_eq!(parameters.text("b").as_deref(), Some("4"));
        assert!(parameters.is_in_query("b") && !parameters.is_in_query("d"));
        assert!(parameters.flag("c"));
        assert_eq!(parameters.unused(), ["d"]);
    }
}
