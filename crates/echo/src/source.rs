//! Where rows come from.

use std::path::Path;

use crate::dump::Dump;
use crate::mariadb::MariaDb;
use crate::{EchoError, EchoRow};

/// Most rows of a page.
const PAGE: u32 = 500;

/// A wiki's subscriptions, in pages.
#[derive(Debug)]
pub struct Source {
    kind: Kind,
    after: u64,
}

#[derive(Debug)]
enum Kind {
    MariaDb(Box<MariaDb>),
    Dump(Box<Dump>),
}

impl Source {
    /// Opens `mariadb://…` or a folder. Of a database, rows with ids up to `after` are left out; the tables' names begin with `prefix`.
    pub async fn open(
        from: &str,
        password: Option<&str>,
        (prefix, after): (&str, u64),
    ) -> Result<Self, EchoError> {
        let kind = if is_database(from) {
            Kind::MariaDb(Box::new(MariaDb::open(from, password, prefix).await?))
        } else if Path::new(from).is_dir() {
            Kind::Dump(Box::new(Dump::open(Path::new(from), prefix)?))
        } else {
            return Err(EchoError::Address);
        };
        Ok(Self { kind, after })
    }

    /// Whether rows come in the order of their ids, so that an import can go on after one of them.
    pub const fn is_in_order(&self) -> bool {
        matches!(self.kind, Kind::MariaDb(_))
    }

    /// How many rows there are to be read, where that is known.
    pub async fn count(&mut self) -> Result<Option<u64>, EchoError> {
        match &mut self.kind {
            Kind::MariaDb(database) => database.count(self.after).await.map(Some),
            Kind::Dump(_) => Ok(None),
        }
    }

    /// The next rows; none at the end.
    pub async fn next(&mut self) -> Result<Vec<EchoRow>, EchoError> {
        let rows = match &mut self.kind {
            Kind::MariaDb(database) => database.page(self.after, PAGE).await?,
            Kind::Dump(dump) => dump.page(PAGE)?,
        };
        // A dump goes on where it is: its rows may stand in any order.
        if let (Kind::MariaDb(_), Some(last)) = (&self.kind, rows.last()) {
            self.after = last.id;
        }
        Ok(rows)
    }
}

/// Whether it is the address of a database.
pub(crate) fn is_database(address: &str) -> bool {
    ["mariadb://", "mysql://"].iter().any(|scheme| address.starts_with(scheme))
}
