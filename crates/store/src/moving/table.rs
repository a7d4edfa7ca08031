//! Which tables there are, and what stands in them.

use super::columns::{self, Column};

/// What stands in a column. Everything may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number.
    Number,
    /// Bytes, or a text.
    Bytes,
    /// A credential set, by its name.
    Set,
    /// A device's token, opened.
    Token,
    /// A key of the server's, opened.
    Key,
    /// What a gathered row names: where it has a credential set tokens, which are opened.
    Targets,
    /// What a caller has to say to a user, opened.
    Content,
    /// The number of the last gathered row that was there when a user looked; 0 for never.
    Fetched,
}

/// What is moved, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The server's own keys.
    Keys,
    /// Credential sets: the numbers of others refer to them.
    CredentialSets,
    /// Devices.
    Subscriptions,
    /// Devices that have not proven themselves.
    Unproven,
    /// What became of notifications.
    Trails,
    /// Requests that may be repeated.
    Idempotency,
    /// Notifications whose time has not come.
    Scheduled,
    /// What waits for its window's end.
    Gathered,
    /// The release under way.
    Releases,
    /// Devices with verdicts against them. Before wake-ups, which wait with them.
    Suspects,
    /// What is to leave.
    Wakeups,
    /// What others are to be told.
    Deaths,
    /// What users have said about event types.
    Preferences,
    /// What users got in a period. Found by a hash that nobody can make anew: only where both stores have the same key.
    LimitCounters,
    /// What users find.
    Inbox,
    /// What users have seen.
    Seen,
    /// Kinds of users.
    Strata,
    /// Users who are woken together.
    Cohorts,
    /// Who is in them.
    Members,
    /// What came after cohorts that are no more.
    Successors,
    /// What was accepted for cohorts.
    Marks,
    /// The one row of what concerns everybody, and the ledger.
    State,
}

/// Rows of a page.
const PAGE_ROWS: usize = 500;
/// The same where a row may be as large as a request.
const PAGE_ROWS_LARGE: usize = 4;

impl Table {
    /// All of them, in the order in which they are moved.
    pub const ALL: [Self; 22] = [
        Self::Keys,
        Self::CredentialSets,
        Self::Subscriptions,
        Self::Unproven,
        Self::Trails,
        Self::Idempotency,
        Self::Scheduled,
        Self::Gathered,
        Self::Releases,
        Self::Suspects,
        Self::Wakeups,
        Self::Deaths,
        Self::Preferences,
        Self::LimitCounters,
        Self::Inbox,
        Self::Seen,
        Self::Strata,
        Self::Cohorts,
        Self::Members,
        Self::Successors,
        Self::Marks,
        Self::State,
    ];

    /// What it is called.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::CredentialSets => "credential_sets",
            Self::Subscriptions => "subscriptions",
            Self::Unproven => "unproven",
            Self::Trails => "trails",
            Self::Idempotency => "idempotency",
            Self::Scheduled => "scheduled",
            Self::Gathered => "gathered",
            Self::Releases => "releases",
            Self::Suspects => "suspects",
            Self::Wakeups => "wakeups",
            Self::Deaths => "deaths",
            Self::Preferences => "preferences",
            Self::LimitCounters => "limit_counters",
            Self::Inbox => "inbox",
            Self::Seen => "seen",
            Self::Strata => "strata",
            Self::Cohorts => "cohorts",
            Self::Members => "members",
            Self::Successors => "successors",
            Self::Marks => "marks",
            Self::State => "state",
        }
    }

    /// Most rows of a page.
    pub const fn page_rows(self) -> usize {
        match self {
            Self::Scheduled => PAGE_ROWS_LARGE,
            _ => PAGE_ROWS,
        }
    }

    /// What a row of it holds.
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Keys => columns::KEYS,
            Self::CredentialSets => columns::CREDENTIAL_SETS,
            Self::Subscriptions => columns::SUBSCRIPTIONS,
            Self::Unproven => columns::UNPROVEN,
            Self::Trails => columns::TRAILS,
            Self::Idempotency => columns::IDEMPOTENCY,
            Self::Scheduled => columns::SCHEDULED,
            Self::Gathered => columns::GATHERED,
            Self::Releases => columns::RELEASES,
            Self::Suspects => columns::SUSPECTS,
            Self::Wakeups => columns::WAKEUPS,
            Self::Deaths => columns::DEATHS,
            Self::Preferences => columns::PREFERENCES,
            Self::LimitCounters => columns::LIMIT_COUNTERS,
            Self::Inbox => columns::INBOX,
            Self::Seen => columns::SEEN,
            Self::Strata => columns::STRATA,
            Self::Cohorts => columns::COHORTS,
            Self::Members => columns::MEMBERS,
            Self::Successors => columns::SUCCESSORS,
            Self::Marks => columns::MARKS,
            Self::State => columns::STATE,
        }
    }

    /// Where a column of it stands in a row.
    pub fn place_of(self, name: &str) -> Option<usize> {
        self.columns().iter().position(|(each, _)| *each == name)
    }
}

/// How many counts a ledger or a trail has: the last columns of both.
pub const COUNTS: usize = 10;

#[cfg(test)]
mod tests {
    use super::{COUNTS, Table};

    #[test]
    fn every_table_is_there_once() {
        let mut names: Vec<&str> = Table::ALL.iter().map(|table| table.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Table::ALL.len());
        for table in [Table::Trails, Table::State] {
            let counts = table.columns().len() - COUNTS;
            assert_eq!(table.place_of("accepted"), Some(counts));
        }
    }
}
