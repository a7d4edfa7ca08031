//! What was measured: a table for whoever ran it, `bench/results.json`, and the table of `docs/performance.md`.

use serde_json::{Map, Value, json};

use crate::process::root;

/// What a figure must reach.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

impl Limit {
    fn is_met(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(least) => format!("≥ {}", number(least)),
            Self::AtMost(most) => format!("≤ {}", number(most)),
        }
    }
}

/// Who did the same in the same run.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) figure: f64,
    /// What our figure must be as a part of the peer's.
    pub(super) ratio: Option<Limit>,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// Names it for ever: a later run replaces the line.
    pub(super) what: String,
    pub(super) figure: f64,
    pub(super) unit: &'static str,
    pub(super) limit: Option<Limit>,
    pub(super) peer: Option<Peer>,
    pub(super) note: String,
}

impl Row {
    fn is_met(&self) -> bool {
        let ratio = self
            .peer
            .as_ref()
            .and_then(|peer| peer.ratio.map(|limit| limit.is_met(self.figure / peer.figure)));
        self.limit.is_none_or(|limit| limit.is_met(self.figure)) && ratio.unwrap_or(true)
    }

    fn to_json(&self) -> Value {
        let mut row = Map::new();
        row.insert("what".to_owned(), self.what.clone().into());
        row.insert("figure".to_owned(), rounded(self.figure));
        row.insert("unit".to_owned(), self.unit.into());
        row.insert("limit".to_owned(), self.limit.map(Limit::shown).into());
        if let Some(Peer { name, figure, ratio }) = &self.peer {
            row.insert("peer".to_owned(), (*name).into());
            row.insert("peer_figure".to_owned(), rounded(*figure));
            row.insert("ratio".to_owned(), rounded(self.figure / figure));
            row.insert("ratio_limit".to_owned(), ratio.map(Limit::shown).into());
        }
        row.insert("is_met".to_owned(), self.is_met().into());
        row.insert("note".to_owned(), self.note.clone().into());
        Value::Object(row)
    }
}

/// Three digits, or all of those before the point.
fn rounded(figure: f64) -> Value {
    json!(if figure.abs() >= 100.0 { figure.round() } else { (figure * 1_000.0).round() / 1_000.0 })
}

fn number(figure: f64) -> String {
    if figure.abs() < 100.0 && figure.fract() != 0.0 {
        return format!("{figure:.2}");
    }
    let digits = format!("{figure:.0}");
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Writes what was measured now beside what was measured before. Returns the table, and whether every limit is kept.
pub(super) fn write(rows: &[Row]) -> Result<(String, bool), String> {
    let path = root().join("bench/results.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "[]".to_owned());
    let before: Vec<Value> = serde_json::from_str(&text)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let mut all = before;
    for row in rows {
        let (what, row_now) = (Value::from(row.what.clone()), row.to_json());
        match all.iter_mut().find(|row| row.get("what") == Some(&what)) {
            Some(row) => *row = row_now,
            None => all.push(row_now),
        }
    }
    let lines: Vec<String> = all.iter().map(|row| format!("  {row}")).collect();
    std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n")))
        .map_err(|error| error.to_string())?;
    into_page(&all)?;
    let table: Vec<String> = rows.iter().map(|row| line(&row.to_json(), "  ")).collect();
    Ok((table.join("\n"), rows.iter().all(Row::is_met)))
}

/// One row as text: what, figure, limit, peer, ratio, note.
fn line(row: &Value, between: &str) -> String {
    let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let figure = |name: &str| row.get(name).and_then(Value::as_f64).map(number).unwrap_or_default();
    let verdict = if row.get("is_met") == Some(&Value::Bool(false)) { "**MISSED** " } else { "" };
    let peer = match row.get("peer") {
        Some(_) => format!("{} {}", figure("peer_figure"), text("peer")),
        None => String::new(),
    };
    [
        text("what"),
        format!("{verdict}{} {}", figure("figure"), text("unit")),
        text("limit"),
        peer,
        figure("ratio"),
        text("ratio_limit"),
        text("note"),
    ]
    .join(between)
}

/// Replaces the table of the page.
fn into_page(rows: &[Value]) -> Result<(), String> {
    const BEGIN: &str = "<!-- results -->\n";
    const END: &str = "<!-- end of results -->";
    let path = root().join("docs/performance.md");
    let page = std::fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let (before, rest) = page.split_once(BEGIN).ok_or("docs/performance.md has no results")?;
    let (_, after) = rest.split_once(END).ok_or("the results of docs/performance.md do not end")?;
    let lines: Vec<String> = rows.iter().map(|row| format!("| {} |\n", line(row, " | "))).collect();
    let head = "| what | measured | limit | peer | ratio | its limit | how |\n|---|---|---|---|---|---|---|\n";
    std::fs::write(&path, format!("{before}{BEGIN}\n{head}{}\n{END}{after}", lines.concat()))
        .map_err(|error| error.to_string())
}

/// The median of some figures.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
