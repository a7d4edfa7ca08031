//! Reading YAML member by member.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file. `option` is what names it on the command line.
pub(super) fn read(path: &Path, option: &str) -> Result<Value, Failure> {
    let of_file = || unusable(path, option);
    let length = std::fs::metadata(path).with_context(of_file)?.len();
    if length > FILE_BYTES_MAX {
        return Err(Failure::Usage(format!(
            "{}: it has more than {FILE_BYTES_MAX} bytes",
            of_file()
        )));
    }
    let yaml = std::fs::read_to_string(path).with_context(of_file)?;
    serde_saphyr::from_str(&yaml)
        .map_err(|_| Failure::Usage(format!("{}: it is no YAML", of_file())))
}

/// The beginning of what is wrong with a file.
pub(super) fn unusable(path: &Path, option: &str) -> String {
    format!("{} cannot be used ({option})", path.display())
}

/// A text of TOML.
pub(super) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Members that are taken out one by one; what is left at the end was not understood.
pub(super) struct Section {
    path: &'static str,
    pub(super) members: Map<String, Value>,
}

impl Section {
    pub(super) fn new(path: &'static str, value: Option<Value>) -> Result<Self, String> {
        match value {
            None | Some(Value::Null) => Ok(Self { path, members: Map::new() }),
            Some(Value::Object(members)) => Ok(Self { path, members }),
            Some(_) => Err(format!("{path} must have members")),
        }
    }

    pub(super) fn section(&mut self, name: &str, path: &'static str) -> Result<Self, String> {
        Self::new(path, self.members.remove(name))
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.members.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{}.{name} must be a text", self.path)),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<Option<u64>, String> {
        let text = self.text(name)?;
        let number = text.map(|text| {
            text.parse().map_err(|_| format!("{}.{name} must be a whole number", self.path))
        });
        number.transpose()
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.members.remove(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(format!("{}.{name} must be true or false", self.path)),
        }
    }

    /// What is left has no counterpart.
    pub(super) fn finish(self, known: &[(&str, &str)], ignored: &mut Vec<String>) {
        for name in self.members.keys() {
            let why = known.iter().find(|(each, _)| each == name);
            let why = why.map_or("it is not known", |(_, why)| why);
            ignored.push(format!("{}.{name}: {why}", self.path));
        }
    }
}
