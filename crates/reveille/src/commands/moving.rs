//! `reveille move`: takes a store from a file into MariaDB. Stopped anywhere, it goes on where it was when it is run again.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use reveille_push::StoreUrl;
use reveille_service::clock::{Clock as _, SystemClock};
use reveille_store::moving::{COUNTS, Cell, Digest, Table};
use reveille_store_mariadb::{MoveSink, Standing};
use reveille_store_sqlite::MoveSource;
use serde_json::json;

use super::load::push_config;
use super::store::mariadb;
use crate::failure::Failure;
use crate::say;

#[derive(Debug, Args)]
pub(crate) struct MoveArguments {
    /// The store as it is: `sqlite:FILE`. Its server must be stopped
    #[arg(long, value_name = "FROM")]
    from: String,
    /// The file of its key; beside it, FILE.key, unless given
    #[arg(long, value_name = "FILE")]
    from_key_file: Option<PathBuf>,
    /// The configuration file that names the store as it is to be: `mariadb://…`
    #[arg(long, value_name = "FILE", required_unless_present = "take_back")]
    config: Option<PathBuf>,
    /// Moves nothing: the file may be opened by a server again, as it was when the move began
    #[arg(long, conflicts_with_all = ["config", "json"])]
    take_back: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: &MoveArguments) -> Result<(), Failure> {
    let file = arguments.from.strip_prefix("sqlite:").filter(|file| !file.is_empty());
    let file = file.map(Path::new).ok_or_else(|| {
        Failure::Usage("--from must be `sqlite:FILE`: stores are moved from there only".to_owned())
    })?;
    let key_file = arguments.from_key_file.clone().unwrap_or_else(|| beside(file));
    let Some(config) = arguments.config.as_ref().filter(|_| !arguments.take_back) else {
        return take_back(file, &key_file);
    };
    let StoreUrl::MariaDb(target) = push_config(config)?.store else {
        return Err(Failure::Usage(format!(
            "{} does not name a store on MariaDB; stores are moved there only",
            config.display()
        )));
    };
    let source = MoveSource::open(file, &key_file, SystemClock.now());
    let source = source.with_context(|| format!("cannot open the store {}", file.display()))?;
    let sink = MoveSink::open(&mariadb(&target)).await;
    let sink = sink.context("cannot open the store on MariaDB")?;
    let has_one_key = source.fingerprint() == sink.fingerprint();
    let progress = Progress { shows: std::io::stderr().is_terminal() };
    let moving = Moving { source, sink, has_one_key, progress };
    let done = moving.run().await;
    progress.end();
    let report = done?;
    if arguments.json {
        say::line(&report.json().to_string());
    } else {
        report.say(&target.key_file);
    }
    Ok(())
}

fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

fn take_back(file: &Path, key_file: &Path) -> Result<(), Failure> {
    let was_marked = MoveSource::take_back(file, key_file);
    let was_marked = was_marked.with_context(|| format!("cannot open {}", file.display()))?;
    say::line(&if was_marked {
        format!("{} is as it was when its move began; a server may open it", file.display())
    } else {
        format!("{} was not moved", file.display())
    });
    Ok(())
}

/// What is shown on a terminal.
#[derive(Debug, Clone, Copy)]
struct Progress {
    shows: bool,
}

impl Progress {
    fn tell(self, doing: &str, table: Table, (done, total): (u64, u64)) {
        if self.shows {
            say::progress(&format!("{doing} {}: {done} of {total}", table.as_str()));
        }
    }

    fn end(self) {
        if self.shows {
            say::progress("");
        }
    }
}

struct Moving {
    source: MoveSource,
    sink: MoveSink,
    has_one_key: bool,
    progress: Progress,
}

impl Moving {
    async fn run(mut self) -> Result<Report, Failure> {
        if !self.begin().await? {
            self.source.finish()?;
            self.sink.close().await;
            return Ok(Report::default());
        }
        for table in Table::ALL.into_iter().filter(|table| self.takes(*table)) {
            let moved = self.carry(table).await;
            moved.with_context(|| format!("{} broke off; run it again", table.as_str()))?;
        }
        for table in [Table::Trails, Table::Inbox, Table::Deaths, Table::Cohorts] {
            if let Some(greatest) = self.source.greatest(table)? {
                self.sink.count_on(table, greatest).await?;
            }
        }
        let mut report = Report::default();
        for table in Table::ALL.into_iter().filter(|table| self.takes(*table)) {
            let rows = self.compare(table).await?;
            report.rows.insert(table.as_str(), rows);
        }
        if !self.takes(Table::LimitCounters) {
            report.dropped = self.source.count(Table::LimitCounters)?;
        }
        report.ledger = self.ledger()?;
        // In this order: whatever is cut short, no server opens both.
        self.source.finish()?;
        self.sink.finish().await?;
        Ok(report)
    }

    /// Whether a table is taken along. Counters of limits are found by a hash that nobody can make anew.
    fn takes(&self, table: Table) -> bool {
        table != Table::LimitCounters || self.has_one_key
    }

    /// Returns whether there is anything to do.
    async fn begin(&mut self) -> Result<bool, Failure> {
        let had_begun = self.source.has_begun();
        let id = self.source.begin()?;
        let begun = async {
            let standing = self.sink.standing(id).await?;
            if self.source.is_over() && standing == Standing::Unknown {
                return Err(anyhow!("this file was moved already, into another database"));
            }
            if standing != Standing::Over {
                self.sink.begin(id).await?;
            }
            Ok(standing != Standing::Over)
        };
        match begun.await {
            Ok(is_to_do) => Ok(is_to_do),
            Err(refused) => {
                if !had_begun {
                    // Nothing was moved: the server may go on.
                    self.source.forget()?;
                }
                Err(refused.context("the store cannot be moved").into())
            }
        }
    }

    /// Carries a table over, from where it stopped.
    async fn carry(&self, table: Table) -> anyhow::Result<()> {
        let total = self.source.count(table)?;
        let mut reached = self.sink.reached(table).await?;
        while !reached.is_whole {
            let page = self.source.page(table, reached.after.as_deref())?;
            self.sink.write(table, reached.after.as_deref(), &page).await?;
            reached.rows += page.rows.len() as u64;
            reached.is_whole = page.rows.is_empty();
            reached.after = Some(page.reached);
            self.progress.tell("moving", table, (reached.rows, total));
        }
        Ok(())
    }

    /// Compares all of a table, here and there. Returns how many rows it has.
    async fn compare(&self, table: Table) -> anyhow::Result<u64> {
        let total = self.source.count(table)?;
        let (mut here, mut there) = (Digest::default(), Digest::default());
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = self.source.page(table, after.as_deref())?;
            if page.rows.is_empty() {
                break;
            }
            self.sink.add(table, &page.rows, &mut here)?;
            after = Some(page.reached);
        }
        let mut after = None;
        while let Some(last) = self.sink.add_own(table, after, &mut there).await? {
            after = Some(last);
            self.progress.tell("verifying", table, (there.rows, total));
        }
        if here == there && here.rows == total {
            return Ok(total);
        }
        let what = if there.rows == total {
            "some are not as they were".to_owned()
        } else {
            format!("{} have come", there.rows)
        };
        Err(anyhow!(
            "{}: of {total} rows {what}. The file is as it was (`reveille move --take-back`); drop the database, and please report this",
            table.as_str()
        ))
    }

    /// What was accepted is somewhere, as it has to be: accepted, waiting, collapsed, settled.
    fn ledger(&self) -> anyhow::Result<[i64; 4]> {
        let page = self.source.page(Table::State, None)?;
        let row = page.rows.first().context("the file has no ledger")?;
        let counts = row.iter().skip(row.len() - COUNTS).map(|cell| match cell {
            Cell::Number(number) => *number,
            Cell::Null | Cell::Bytes(_) => 0,
        });
        let counts: Vec<i64> = counts.collect();
        let [accepted, waiting, collapsed, settled @ ..] = counts.as_slice() else {
            return Err(anyhow!("the file has no ledger"));
        };
        let settled: i64 = settled.iter().sum();
        if *accepted == waiting + collapsed + settled {
            Ok([*accepted, *waiting, *collapsed, settled])
        } else {
            Err(anyhow!("the ledger does not fit; please report this"))
        }
    }
}

/// What a move came to. Nothing of a table: it had been moved before.
#[derive(Debug, Default)]
struct Report {
    rows: BTreeMap<&'static str, u64>,
    /// Counters of limits that could not come along.
    dropped: u64,
    ledger: [i64; 4],
}

impl Report {
    fn json(&self) -> serde_json::Value {
        let Self { rows, dropped, ledger: [accepted, waiting, collapsed, settled] } = self;
        json!({
            "moved_before": rows.is_empty(),
            "rows": rows,
            "limit_counters_dropped": dropped,
            "ledger": {"accepted": accepted, "waiting": waiting, "collapsed": collapsed, "settled": settled},
        })
    }

    fn say(&self, key_file: &Path) {
        let Self { rows, dropped, ledger: [accepted, waiting, collapsed, settled] } = self;
        if rows.is_empty() {
            return say::line("all of it had been moved before");
        }
        for (table, rows) in rows.iter().filter(|(_, rows)| **rows > 0) {
            say::line(&format!("{rows:>12} {table}"));
        }
        say::line(&format!(
            "all of it is there, and verified: {accepted} accepted, {waiting} of them waiting, {collapsed} collapsed, {settled} settled"
        ));
        if *dropped > 0 {
            say::line(&format!(
                "{dropped} counters of limits were left behind: the stores have different keys, so that nobody can tell whose they are; periods begin anew"
            ));
        }
        say::line(&format!(
            "Start servers on the new store now; keep a copy of {}. No server opens the file any more; it may be removed.",
            key_file.display()
        ));
    }
}
