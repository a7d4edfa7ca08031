//! The tables as files of a folder, each with the names of its columns in the first line: `TABLE.csv` (RFC 4180; nothing is NULL), or `TABLE.tsv` as
//! `mariadb --batch` writes it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator, Writer};

use crate::row::{format_time, parse_time};
use crate::{EchoError, EchoRow};

const SUBSCRIPTIONS: &str = "echo_push_subscription";
const PROVIDERS: &str = "echo_push_provider";
const TOPICS: &str = "echo_push_topic";
const COLUMNS: [&str; 8] = [
    "eps_id",
    "eps_user",
    "eps_token",
    "eps_token_sha256",
    "eps_provider",
    "eps_updated",
    "eps_data",
    "eps_topic",
];

/// One file, and where its columns are.
struct Table {
    path: PathBuf,
    reader: Reader<File>,
    columns: BTreeMap<String, usize>,
    is_tsv: bool,
    line: u64,
}

impl Table {
    fn open(folder: &Path, prefix: &str, name: &str) -> Result<Option<Self>, EchoError> {
        for (extension, is_tsv) in [("csv", false), ("tsv", true)] {
            let path = folder.join(format!("{prefix}{name}.{extension}"));
            if !path.exists() {
                continue;
            }
            let file =
                File::open(&path).map_err(|error| EchoError::file(&path, error.to_string()))?;
            let mut builder = ReaderBuilder::new();
            if is_tsv {
                // A carriage return may stand in a value: the client does not escape it.
                builder.delimiter(b'\t').quoting(false).terminator(Terminator::Any(b'\n'));
            }
            let mut reader = builder.from_reader(file);
            let headers = reader.byte_headers().map_err(|_| EchoError::file(&path, NO_HEADER))?;
            let named = headers.iter().map(|name| String::from_utf8_lossy(name).into_owned());
            let columns = named.enumerate().map(|(place, name)| (name, place)).collect();
            return Ok(Some(Self { path, reader, columns, is_tsv, line: 1 }));
        }
        Ok(None)
    }

    fn next(&mut self) -> Result<Option<ByteRecord>, EchoError> {
        let mut record = ByteRecord::new();
        self.line += 1;
        let read = self.reader.read_byte_record(&mut record);
        let is_there =
            read.map_err(|_| self.wrong("it has not as many columns as the first line"))?;
        Ok(is_there.then_some(record))
    }

    fn wrong(&self, what: &str) -> EchoError {
        EchoError::file(&self.path, format!("record {}: {what}", self.line))
    }

    /// A value; nothing where it is NULL.
    fn value(&self, record: &ByteRecord, name: &str) -> Result<Option<Vec<u8>>, EchoError> {
        let place = self.columns.get(name).ok_or_else(|| {
            EchoError::file(&self.path, format!("its first line does not name the column {name}"))
        })?;
        let value = record.get(*place).unwrap_or_default();
        Ok(match (self.is_tsv, value) {
            (true, b"NULL") | (false, b"") => None,
            (true, value) => Some(unescape(value)),
            (false, value) => Some(value.to_vec()),
        })
    }

    fn text(&self, record: &ByteRecord, name: &str) -> Result<Option<String>, EchoError> {
        let value = self.value(record, name)?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    fn number(&self, record: &ByteRecord, name: &str) -> Result<Option<u64>, EchoError> {
        let text = self.text(record, name)?;
        let number =
            text.map(|text| text.parse().map_err(|_| self.wrong(&format!("{name} is no number"))));
        number.transpose()
    }
}

const NO_HEADER: &str = "it must begin with a line that names its columns";

/// As `mariadb --batch` escapes.
fn unescape(value: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(other) => other,
                None => b'\\',
            },
            other => other,
        });
    }
    plain
}

/// A folder that is read from its beginning to its end.
pub(crate) struct Dump {
    table: Table,
    providers: BTreeMap<u64, String>,
    topics: BTreeMap<u64, String>,
}

impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dump").field("path", &self.table.path).finish_non_exhaustive()
    }
}

impl Dump {
    pub(crate) fn open(folder: &Path, prefix: &str) -> Result<Self, EchoError> {
        let table = Table::open(folder, prefix, SUBSCRIPTIONS)?.ok_or(EchoError::Address)?;
        let names = |name: &str, columns: (&str, &str)| {
            let path = folder.join(format!("{prefix}{name}.csv"));
            let table = Table::open(folder, prefix, name)?;
            let table = table.ok_or_else(|| EchoError::file(&path, "it is missing"))?;
            read_names(table, columns)
        };
        let providers = names(PROVIDERS, ("epp_id", "epp_name"))?;
        let topics = names(TOPICS, ("ept_id", "ept_text"))?;
        Ok(Self { table, providers, topics })
    }

    /// The next rows, in the order in which they stand.
    pub(crate) fn page(&mut self, limit: u32) -> Result<Vec<EchoRow>, EchoError> {
        let mut rows = Vec::new();
        while rows.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
            let Some(record) = self.table.next()? else { break };
            rows.push(self.read(&record)?);
        }
        Ok(rows)
    }

    fn read(&self, record: &ByteRecord) -> Result<EchoRow, EchoError> {
        let table = &self.table;
        let needed = |name: &str| {
            table.number(record, name)?.ok_or_else(|| table.wrong(&format!("{name} is missing")))
        };
        let updated = table.text(record, "eps_updated")?.unwrap_or_default();
        let named = |names: &BTreeMap<u64, String>, number: Option<u64>| {
            number.and_then(|number| names.get(&number)).cloned()
        };
        Ok(EchoRow {
            id: needed("eps_id")?,
            user: needed("eps_user")?,
            token: table.value(record, "eps_token")?.unwrap_or_default(),
            provider: named(&self.providers, table.number(record, "eps_provider")?),
            topic: named(&self.topics, table.number(record, "eps_topic")?),
            updated_s: parse_time(&updated),
        })
    }
}

fn read_names(
    mut table: Table,
    (id, name): (&str, &str),
) -> Result<BTreeMap<u64, String>, EchoError> {
    let mut names = BTreeMap::new();
    while let Some(record) = table.next()? {
        if let (Some(id), Some(name)) = (table.number(&record, id)?, table.text(&record, name)?) {
            names.insert(id, name);
        }
    }
    Ok(names)
}

/// A folder that is written.
pub(crate) struct Writing {
    folder: PathBuf,
    prefix: String,
    table: Writer<File>,
    providers: Vec<String>,
    topics: Vec<String>,
    rows: u64,
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writing").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Writing {
    /// Into a folder that holds no such files yet.
    pub(crate) fn create(folder: &Path, prefix: &str) -> Result<Self, EchoError> {
        std::fs::create_dir_all(folder)
            .map_err(|error| EchoError::file(folder, error.to_string()))?;
        let mut table = writer(folder, prefix, SUBSCRIPTIONS)?;
        table.write_record(COLUMNS).map_err(|error| EchoError::file(folder, error.to_string()))?;
        let (providers, topics) = (Vec::new(), Vec::new());
        let (folder, prefix) = (folder.to_owned(), prefix.to_owned());
        Ok(Self { folder, prefix, table, providers, topics, rows: 0 })
    }

    pub(crate) fn write(&mut self, row: &EchoRow) -> Result<(), EchoError> {
        self.rows += 1;
        let provider = row.provider.as_deref().unwrap_or_default();
        let provider = number(&mut self.providers, provider).to_string();
        let topic = row.topic.as_deref();
        let topic =
            topic.map(|topic| number(&mut self.topics, topic).to_string()).unwrap_or_default();
        if self.topics.len() > u8::MAX.into() {
            return Err(EchoError::TooManyTopics);
        }
        let (id, user) = (self.rows.to_string(), row.user.to_string());
        let (sha256, updated) = (row.sha256(), format_time(row.updated_s.unwrap_or_default()));
        let fields: [&[u8]; 8] = [
            id.as_bytes(),
            user.as_bytes(),
            &row.token,
            sha256.as_bytes(),
            provider.as_bytes(),
            updated.as_bytes(),
            b"",
            topic.as_bytes(),
        ];
        let written = self.table.write_record(fields);
        written.map_err(|error| EchoError::file(&self.folder, error.to_string()))
    }

    /// Writes the names, and everything to disk.
    pub(crate) fn finish(mut self) -> Result<(), EchoError> {
        let failed = |error: std::io::Error| EchoError::file(&self.folder, error.to_string());
        self.table.flush().map_err(failed)?;
        for (name, columns, names) in [
            (PROVIDERS, ["epp_id", "epp_name"], &self.providers),
            (TOPICS, ["ept_id", "ept_text"], &self.topics),
        ] {
            let mut table = writer(&self.folder, &self.prefix, name)?;
            let mut write = |record: [&str; 2]| {
                let written = table.write_record(record);
                written.map_err(|error| EchoError::file(&self.folder, error.to_string()))
            };
            write(columns)?;
            for (number, name) in (1..).zip(names) {
                write([&u64::to_string(&number), name])?;
            }
            table.flush().map_err(failed)?;
        }
        Ok(())
    }
}

fn number(names: &mut Vec<String>, name: &str) -> usize {
    let known = names.iter().position(|each| each == name);
    let place = known.unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    place + 1
}

/// A file that is not there yet: tokens are in it, which only its owner may read.
fn writer(folder: &Path, prefix: &str, name: &str) -> Result<Writer<File>, EchoError> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join(format!("{prefix}{name}.csv"));
    let file = File::options().write(true).create_new(true).mode(0o600).open(&path);
    let file = file.map_err(|error| EchoError::file(&path, error.to_string()))?;
    Ok(Writer::from_writer(file))
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn what_a_client_escapes_is_read_back() {
        assert_eq!(unescape(b"a\\tb\\nc\\\\d\\0"), b"a\tb\nc\\d\0");
        assert_eq!(unescape(b"plain"), b"plain");
    }
}
