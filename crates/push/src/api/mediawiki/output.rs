//! How an answer is written: `format`, `formatversion` and `errorformat` (`MediaWiki` API: data formats, errors and warnings).

use axum::body::Body;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use metrics::counter;
use serde_json::{Map, Value, json};

use super::super::padding::padding;
use super::fault::{Fault, Warning};
use super::parameters::Parameters;
use crate::metrics::INBOX_BYTES;

/// What every error says beside itself.
const DOCREF: &str = "See /docs for API usage.";
/// The length of an answer that shows what is in an inbox, in bytes, or the next power of two.
const PADDED_BYTES: usize = 16 * 1024;
/// Says the code of an error, whatever the format is.
pub(in crate::api) const CODE_HEADER: HeaderName = HeaderName::from_static("mediawiki-api-error");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    /// The same as a page for people. Where no format is asked for, people are looking.
    Page,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Flags are empty texts, or not there.
    One,
    Two,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errors {
    /// As they were before there were other ways.
    Bc,
    Text,
    Html,
    Keys,
    Codes,
}

/// How one answer is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    format: Format,
    version: Version,
    errors: Errors,
    is_ascii: bool,
}

impl Output {
    const DEFAULT: Self =
        Self { format: Format::Page, version: Version::One, errors: Errors::Bc, is_ascii: true };

    /// As programs read it, where it is not known what is wanted.
    pub(super) const JSON: Self = Self { format: Format::Json, ..Self::DEFAULT };

    /// How whoever asks wants it. Where that makes no sense it is said in the usual way.
    pub(super) fn read(parameters: &mut Parameters) -> (Self, Result<(), Fault>) {
        let mut output = Self::DEFAULT;
        let formats = [("json", Format::Json), ("jsonfm", Format::Page), ("none", Format::Nothing)];
        match parameters.choice("format", &formats) {
            Ok(format) => output.format = format.unwrap_or(Format::Page),
            Err(fault) => return (output, Err(fault)),
        }
        let rest = output.read_rest(parameters);
        (output, rest)
    }

    fn read_rest(&mut self, parameters: &mut Parameters) -> Result<(), Fault> {
        let versions = [("1", Version::One), ("2", Version::Two), ("latest", Version::Two)];
        self.version = parameters.choice("formatversion", &versions)?.unwrap_or(Version::One);
        let (utf8, ascii) = (parameters.flag("utf8"), parameters.flag("ascii"));
        let words = [
            ("bc", Errors::Bc),
            ("plaintext", Errors::Text),
            ("wikitext", Errors::Text),
            ("html", Errors::Html),
            ("raw", Errors::Keys),
            ("none", Errors::Codes),
        ];
        self.is_ascii = if self.version == Version::One { !utf8 } else { ascii };
        self.errors = parameters.choice("errorformat", &words)?.unwrap_or(Errors::Bc);
        Ok(())
    }

    /// The response of an answer, with what was passed over.
    pub(super) fn answer(self, mut members: Map<String, Value>, warnings: &[Warning]) -> Response {
        self.warn(&mut members, warnings);
        self.write(members.into(), StatusCode::OK)
    }

    /// The same for an answer that shows what is in an inbox: so long that whoever sees lengths only cannot tell whether there was something new.
    pub(super) fn answer_padded(
        self,
        mut members: Map<String, Value>,
        warnings: &[Warning],
    ) -> Response {
        self.warn(&mut members, warnings);
        members.insert("padding".to_owned(), json!(""));
        let length = self.text(members.clone().into()).len();
        let room = PADDED_BYTES.max(length.next_power_of_two()) - length;
        members.insert("padding".to_owned(), json!(padding(room)));
        counter!(INBOX_BYTES).increment((length + room) as u64);
        self.write(members.into(), StatusCode::OK)
    }

    /// The response of an error.
    pub(super) fn fault(self, fault: &Fault, mut members: Map<String, Value>) -> Response {
        let docref = if self.version == Version::One { "*" } else { "docref" };
        if self.errors == Errors::Bc {
            let mut error = fault.data.clone();
            error.insert("code".to_owned(), json!(fault.code));
            error.insert("info".to_owned(), json!(fault.text));
            error.insert(docref.to_owned(), json!(DOCREF));
            members.insert("error".to_owned(), error.into());
        } else {
            let module = fault.module.unwrap_or("main");
            let error = self.said(fault.code, &fault.text, &fault.data, module);
            members.insert("errors".to_owned(), json!([error]));
            members.insert(docref.to_owned(), json!(DOCREF));
        }
        let mut response = self.write(members.into(), fault.status);
        let headers = response.headers_mut();
        headers.insert(CODE_HEADER, HeaderValue::from_static(fault.code));
        headers.extend(fault.retry_after_s.map(|s| (header::RETRY_AFTER, s.into())));
        response
    }

    fn warn(self, members: &mut Map<String, Value>, warnings: &[Warning]) {
        if warnings.is_empty() {
            return;
        }
        if self.errors != Errors::Bc {
            let said = |each: &Warning| self.said(each.code, &each.text, &each.data, each.module);
            members.insert("warnings".to_owned(), warnings.iter().map(said).collect());
            return;
        }
        let text = if self.version == Version::One { "*" } else { "warnings" };
        let mut of_modules: Map<String, Value> = Map::new();
        for Warning { text: said, module, .. } in warnings {
            let module = module.rsplit('+').next().unwrap_or(module);
            let before = of_modules.get(module).and_then(|each| each.get(text)?.as_str());
            let all = before.map_or_else(|| said.clone(), |before| format!("{before}\n{said}"));
            of_modules.insert(module.to_owned(), json!({text: all}));
        }
        members.insert("warnings".to_owned(), of_modules.into());
    }

    /// An error or warning in one of the newer ways.
    fn said(self, code: &str, text: &str, data: &Map<String, Value>, module: &str) -> Value {
        let mut said = Map::new();
        said.insert("code".to_owned(), json!(code));
        said.insert("module".to_owned(), json!(module));
        let name = if self.errors == Errors::Html { "html" } else { "text" };
        let name = if self.version == Version::One { "*" } else { name };
        match self.errors {
            Errors::Bc | Errors::Text => said.insert(name.to_owned(), json!(text)),
            Errors::Html => said.insert(name.to_owned(), json!(escape_text(text))),
            Errors::Keys => {
                said.insert("params".to_owned(), json!([]));
                said.insert("key".to_owned(), json!(format!("apierror-{code}")))
            }
            Errors::Codes => None,
        };
        if !data.is_empty() {
            said.insert("data".to_owned(), data.clone().into());
        }
        said.into()
    }

    fn text(self, mut value: Value) -> String {
        if self.version == Version::One {
            flags_of_old(&mut value);
        }
        match self.format {
            Format::Json if self.is_ascii => ascii(&value.to_string()),
            Format::Json => value.to_string(),
            Format::Page => page(&value),
            Format::Nothing => String::new(),
        }
    }

    fn write(self, value: Value, status: StatusCode) -> Response {
        let (media, name) = match self.format {
            Format::Json => ("application/json; charset=utf-8", "json"),
            Format::Page => ("text/html; charset=utf-8", "html"),
            Format::Nothing => ("text/plain; charset=utf-8", "txt"),
        };
        let text = self.text(value);
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        let cached = HeaderValue::from_static("private, must-revalidate, max-age=0");
        headers.insert(header::CACHE_CONTROL, cached);
        let disposition = HeaderValue::from_str(&format!("inline; filename=api-result.{name}"));
        headers.extend(disposition.map(|value| (header::CONTENT_DISPOSITION, value)));
        response
    }
}

/// In version 1 what is true is an empty text, and what is false is not there.
fn flags_of_old(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| *member != Value::Bool(false));
            members.values_mut().for_each(flags_of_old);
        }
        Value::Array(items) => items.iter_mut().for_each(flags_of_old),
        Value::Bool(true) => *value = json!(""),
        _ => {}
    }
}

/// JSON without letters that are not ASCII.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            let mut units = [0; 2];
            text.extend(
                letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")),
            );
        }
    }
    text
}

/// Text as text of a page.
fn escape(text: &str) -> String {
    escape_text(text).replace('"', "&quot;")
}

pub(super) fn escape_text(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The same answer for people.
fn page(value: &Value) -> String {
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    format!(
        concat!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"UTF-8\"/>\n",
            "<title>MediaWiki API result</title>\n</head>\n<body>\n<h1>MediaWiki API result</h1>\n",
            "<p>This is the HTML representation of the JSON format. HTML is good for debugging, but is ",
            "unsuitable for application use: set <kbd>format=json</kbd>.</p>\n<pre>{}</pre>\n</body>\n</html>\n"
        ),
        escape(&json)
    )
}

#[cfg(test)]
mod tests {
    use super::{ascii, flags_of_old, page};
    use serde_json::json;

    #[test]
    fn flags_of_version_one_are_there_or_not() {
        let mut value =
            json!({"a": true, "b": false, "c": {"d": [{"e": true}, {"f": false}]}, "g": null});
        flags_of_old(&mut value);
        assert_eq!(value, json!({"a": "", "c": {"d": [{"e": ""}, {}]}, "g": null}));
    }

    #[test]
    fn what_is_not_ascii_is_escaped_and_means_the_same() {
        let value = json!({"é": "a\u{1f600}\u{7f}"});
        let text = ascii(&value.to_string());
        assert!(text.is_ascii() && text.contains("\\ud83d\\ude00"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_page_runs_nothing_that_somebody_has_asked_for() {
        let page = page(&json!({"info": "<script>alert(1)</script>&\""}));
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
    }
}
