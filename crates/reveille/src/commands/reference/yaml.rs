//! Reading YAML member by member.

use std::path::Path;

use anyhow::Context as _;
use reveille_service::config::ConfigProblem;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file. `option` is what names it on the command line.
pub(super) fn read(path: &Path, option: &str) -> Result<Value, Failure> {
    let of_file = || format!("{} cannot be used ({option})", path.display());
    let length = std::fs::metadata(path).with_context(of_file)?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(path, format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    let yaml = std::fs::read_to_string(path).with_context(of_file)?;
    serde_saphyr::from_str(&yaml).map_err(|_| wrong(path, "it is no YAML"))
}

/// Something in a file is wrong.
pub(super) fn wrong(path: &Path, what: impl Into<String>) -> Failure {
    Failure::Config(vec![ConfigProblem { path: path.display().to_string(), what: what.into() }])
}

/// A text of TOML.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Members that are taken out one by one; what is left at the end was not understood.
pub(super) struct Section {
    /// The section's name with a dot behind it; empty for the file itself.
    path: String,
    pub(super) members: Map<String, Value>,
}

impl Section {
    /// The whole of a file.
    pub(super) fn of_file(value: Value) -> Result<Self, String> {
        Self::new("", Some(value)).map_err(|_| "it must have members".to_owned())
    }

    pub(super) fn new(name: &str, value: Option<Value>) -> Result<Self, String> {
        let path = if name.is_empty() { String::new() } else { format!("{name}.") };
        match value {
            None | Some(Value::Null) => Ok(Self { path, members: Map::new() }),
            Some(Value::Object(members)) => Ok(Self { path, members }),
            Some(_) => Err(format!("{name} must have members")),
        }
    }

    pub(super) fn section(&mut self, name: &str, path: &str) -> Result<Self, String> {
        Self::new(path, self.members.remove(name))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{}{name} must be a text", self.path)),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        let text = self.text(name)?;
        let number = text.map(|text| {
            text.parse().map_err(|_| format!("{}{name} must be a whole number", self.path))
        });
        number.transpose()
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.members.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(format!("{}{name} must be true or false", self.path)),
        }
    }

    /// What is left has no counterpart.
    pub(super) fn finish(self, known: &[(&str, &str)], ignored: &mut Vec<String>) {
        for name in self.members.keys() {
            let why = known.iter().find(|(each, _)| each == name);
            let why = why.map_or("it is not known", |(_, why)| why);
            ignored.push(format!("{}{name}: {why}", self.path));
        }
    }
}
