//! What a server was told, each statement once.

use std::collections::BTreeMap;

use sqlx::{MySqlConnection, Row as _};

/// A statement with the values it had when it was said first.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    pub(crate) text: String,
}

impl Statement {
    pub(crate) fn of(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

/// The statements that read rows, which also those do that change them. Of those that differ in values or in how many there are, one.
pub(crate) async fn said(connection: &mut MySqlConnection) -> Vec<Statement> {
    let sql = "SELECT CAST(argument AS BINARY) FROM mysql.general_log WHERE command_type IN ('Query', 'Execute')";
    let rows = sqlx::raw_sql(sql).fetch_all(connection).await.expect("the log");
    let mut by_shape: BTreeMap<String, Statement> = BTreeMap::new();
    for row in rows {
        let bytes: Vec<u8> = row.try_get_unchecked(0).expect("a statement");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if reads(&text) {
            by_shape.entry(shape(&text)).or_insert(Statement { text });
        }
    }
    by_shape.into_values().collect()
}

fn reads(text: &str) -> bool {
    let of_ours = !text.contains("mysql.") && !text.contains("information_schema");
    let begins = |word: &str| text.trim_start().starts_with(word);
    let selects = begins("SELECT") && text.contains(" FROM ");
    let fills = begins("INSERT") && text.contains(" SELECT ") && !text.contains("CREATE ");
    of_ours && (selects || fills || begins("UPDATE") || begins("DELETE"))
}

/// A statement without its values, and with one where there are several of a kind.
fn shape(text: &str) -> String {
    let (mut shape, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let after_word =
            shape.chars().last().is_some_and(|last| last.is_alphanumeric() || last == '_');
        let length = match next {
            '\'' => literal(rest),
            '0'..='9' if !after_word => {
                rest.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(rest.len())
            }
            '-' if rest
                .get(1..2)
                .is_some_and(|digit| digit.bytes().all(|byte| byte.is_ascii_digit())) =>
            {
                1
            }
            other => {
                shape.push(other);
                rest = rest.get(other.len_utf8()..).unwrap_or_default();
                continue;
            }
        };
        if next != '-' {
            shape.push('?');
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    let mut shape = shape.replace("X?", "?").replace("_binary?", "?").replace("NULL", "?");
    for many in [", ?", ", (?)", " UNION ALL SELECT ?", ",?"] {
        while shape.contains(&format!("?{many}")) || shape.contains(&format!("(?){many}")) {
            shape = shape.replace(&format!("?{many}"), "?").replace(&format!("(?){many}"), "(?)");
        }
    }
    shape
}

/// How long a text in quotes is that stands at the beginning.
fn literal(text: &str) -> usize {
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => {
                letters.next();
            }
            '\'' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{reads, shape};

    #[test]
    fn statements_that_differ_in_values_are_one() {
        let one = shape("SELECT id FROM t WHERE a IN ('x', 'it\\'s', 'y') AND b <= -12");
        assert_eq!(one, "SELECT id FROM t WHERE a IN (?) AND b <= ?");
        assert_eq!(one, shape("SELECT id FROM t WHERE a IN ('z') AND b <= 3"));
        assert_eq!(shape("INSERT INTO t1 VALUES (1, 'a'), (2, NULL)"), "INSERT INTO t1 VALUES (?)");
    }

    #[test]
    fn only_what_reads_rows_is_explained() {
        for text in ["UPDATE t SET a = 1", "INSERT INTO t SELECT 1 FROM u", "SELECT 1 FROM t"] {
            assert!(reads(text), "{text}");
        }
        for text in ["COMMIT", "INSERT INTO t VALUES (1)", "SELECT 1", "SET x = 1"] {
            assert!(!reads(text), "{text}");
        }
    }
}
