//! A configuration as it may be shown: every value that is set, by the file or the environment, without what is secret.

use toml::{Table, Value};

use super::Document;

/// What stands for what is secret.
const MASK: &str = "…";
/// How keys end whose values are secret. Those of files and ids only name them.
const SECRET: [&str; 5] = ["password", "secret", "token", "key", "credentials"];

impl Document {
    /// Each value with its path, in order: `push.mix.window_s`, `120`. Secrets come from files that are named, so that there should be none here; what looks
    /// like one is masked all the same.
    pub fn shown(&self) -> Vec<(String, String)> {
        let mut shown = Vec::new();
        walk(&self.table, "", &mut shown);
        shown.sort();
        shown
    }
}

fn walk(table: &Table, path: &str, shown: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let text = match value {
            Value::Table(inner) => {
                walk(inner, &path, shown);
                continue;
            }
            _ if is_secret(key) => format!("\"{MASK}\""),
            Value::String(text) => Value::String(without_password(text)).to_string(),
            other => other.to_string(),
        };
        shown.push((path, text));
    }
}

fn is_secret(key: &str) -> bool {
    SECRET.iter().any(|ending| key == *ending || key.ends_with(&format!("_{ending}")))
}

/// An address without the password that stands in it.
fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, behind) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let Some((user, host)) = authority.rsplit_once('@') else { return text.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:{MASK}@{host}{behind}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Document;

    #[test]
    fn what_is_secret_is_masked_and_all_else_is_shown() {
        let text = concat!(
            "[push]\nstore = \"mariadb://u:PLANTED@h:3306/db?x=1\"\n",
            "[push.mix]\nwindow_s = 5\n[push.feedback.webhook]\nsecret = \"PLANTED\"\nsecret_file = \"f\"\n",
            "[apns.app]\ntopics = [\"a\", \"b\"]\nkey_id = \"ABC\"\n"
        );
        let shown = Document::parse(text, "/etc".into()).unwrap().shown();
        let lines: Vec<String> =
            shown.iter().map(|(path, value)| format!("{path} = {value}")).collect();
        let expected = [
            "apns.app.key_id = \"ABC\"",
            "apns.app.topics = [\"a\", \"b\"]",
            "push.feedback.webhook.secret = \"…\"",
            "push.feedback.webhook.secret_file = \"f\"",
            "push.mix.window_s = 5",
            "push.store = \"mariadb://u:…@h:3306/db?x=1\"",
        ];
        assert_eq!(lines, expected);
    }
}
