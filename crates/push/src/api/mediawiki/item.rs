//! A notification of the inbox as apps of `MediaWiki` know one (contract: echo.md §6). What a caller has put into `content` under the names these apps
//! know is shown to them under the same names.

use reveille_model::{NotificationId, Timestamp};
use reveille_service::text_time;
use reveille_store::{InboxItem, Section};
use serde_json::{Map, Value, json};

use super::output::escape_text;

/// A member of `content`, and whether it is of the right kind.
type Member = (&'static str, fn(&Value) -> bool);

/// Members that are shown as they are.
const SHOWN: [Member; 4] = [
    ("title", Value::is_object),
    ("agent", Value::is_object),
    ("revid", Value::is_u64),
    ("targetpages", Value::is_array),
];

/// The same of what is shown with `notformat=model`.
const MODEL: [Member; 4] = [
    ("compactHeader", Value::is_string),
    ("body", Value::is_string),
    ("icon", Value::is_string),
    ("iconUrl", Value::is_string),
];

/// Whether a notification is shown with its words (`notformat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rendered {
    Not,
    Model,
}

/// An item with what was read out of its content.
pub(super) struct Entry {
    pub(super) item: InboxItem,
    /// Its number: apps know numbers, up to 2^53 for those in JavaScript.
    pub(super) number: u64,
    pub(super) section: Section,
    content: Value,
}

impl Entry {
    pub(super) fn new(item: InboxItem) -> Self {
        let content: Value = serde_json::from_str(item.content.expose()).unwrap_or_default();
        let is_message = content.get("section").is_some_and(|section| section == "message");
        let section = if is_message { Section::Message } else { Section::Alert };
        Self { number: number(&item.id), section, content, item }
    }

    /// The page it is about.
    pub(super) fn title(&self) -> Option<&str> {
        self.content.pointer("/title/full").and_then(Value::as_str)
    }

    /// A number of the page's namespace, and its name without it.
    pub(super) fn namespace(&self) -> (u64, &str) {
        let key = self.content.pointer("/title/namespace-key").and_then(Value::as_u64);
        let text = self.content.pointer("/title/text").and_then(Value::as_str);
        (key.unwrap_or_default(), text.or(self.title()).unwrap_or_default())
    }

    /// Where the page it is on begins: `unix|number`.
    pub(super) fn place(&self) -> String {
        format!("{}|{}", self.item.at.as_s(), self.number)
    }

    /// As apps see it.
    pub(super) fn shown(&self, wiki: &str, rendered: Rendered, now: Timestamp) -> Value {
        let event_type = self.item.event_type.as_str();
        let category = self.content.get("category").filter(|category| category.is_string());
        let mut shown = Map::new();
        let mut add = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        add("wiki", json!(wiki));
        add("id", json!(self.number));
        add("type", json!(event_type));
        add("category", category.cloned().unwrap_or_else(|| json!(event_type)));
        add("section", json!(name_of(self.section)));
        add("timestamp", times(self.item.at, now));
        add("targetpages", json!([]));
        for (name, fits) in SHOWN {
            if let Some(value) = self.content.get(name).filter(|value| fits(value)) {
                add(name, value.clone());
            }
        }
        if self.item.is_read {
            // When is not kept.
            add("read", json!(digits(self.item.at)));
        }
        if rendered == Rendered::Model {
            add("*", self.model(event_type));
        }
        shown.into()
    }

    fn model(&self, event_type: &str) -> Value {
        let header = match &self.content {
            Value::String(text) => escape_text(text),
            content => {
                let header = content.get("header").and_then(Value::as_str);
                header.map_or_else(|| escape_text(event_type), str::to_owned)
            }
        };
        let mut model = Map::from_iter([
            ("header".to_owned(), json!(header)),
            ("compactHeader".to_owned(), json!(header)),
            ("body".to_owned(), json!("")),
            ("icon".to_owned(), json!("site")),
            ("iconUrl".to_owned(), json!("")),
        ]);
        for (name, fits) in MODEL {
            if let Some(value) = self.content.get(name).filter(|value| fits(value)) {
                model.insert(name.to_owned(), value.clone());
            }
        }
        let link = |name: &str, fits: fn(&Value) -> bool| {
            let link = self.content.get("links").and_then(|links| links.get(name));
            link.filter(|link| fits(link)).cloned().unwrap_or_else(|| json!([]))
        };
        let (primary, secondary) =
            (link("primary", Value::is_object), link("secondary", Value::is_array));
        model.insert("links".to_owned(), json!({"primary": primary, "secondary": secondary}));
        model.into()
    }
}

pub(super) const fn name_of(section: Section) -> &'static str {
    match section {
        Section::Alert => "alert",
        Section::Message => "message",
    }
}

/// Of 128 random bits 53: among the items of one user no two have the same.
fn number(id: &NotificationId) -> u64 {
    let first = id.as_bytes().first_chunk().copied().unwrap_or_default();
    (u64::from_be_bytes(first) >> 11).max(1)
}

/// A time as these apps have it. There is one time zone.
fn times(at: Timestamp, now: Timestamp) -> Value {
    json!({
        "utciso8601": super::entry::iso_8601(at),
        "utcunix": at.as_s(),
        "unix": at.as_s().to_string(),
        "utcmw": digits(at),
        "mw": digits(at),
        "date": date(at, now),
    })
}

/// `20261121100000`.
pub(super) fn digits(at: Timestamp) -> String {
    super::entry::iso_8601(at).chars().filter(char::is_ascii_digit).collect()
}

/// `Today`, `Yesterday`, `21 November`.
fn date(at: Timestamp, now: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    match now.day() - at.day() {
        0 => "Today".to_owned(),
        1 => "Yesterday".to_owned(),
        _ => {
            let text = text_time::format(at);
            let part =
                |range| text.get(range).and_then(|digits: &str| digits.parse::<usize>().ok());
            let month = part(5..7).and_then(|month| MONTHS.get(month.checked_sub(1)?));
            format!("{} {}", part(8..10).unwrap_or_default(), month.unwrap_or(&""))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{date, digits};
    use reveille_model::Timestamp;

    #[test]
    fn times_are_as_apps_know_them() {
        let at = Timestamp::from_ms(1_795_254_000_500);
        assert_eq!(digits(at), "20261121094000");
        let days = |days: i64| Timestamp::from_ms(at.as_ms() + days * 86_400_000);
        assert_eq!(date(at, at), "Today");
        assert_eq!(date(at, days(1)), "Yesterday");
        assert_eq!(date(at, days(2)), "21 November");
    }
}
