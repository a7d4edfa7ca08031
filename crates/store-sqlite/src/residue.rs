//! What `secure_delete` leaves: when SQLite moves cells between pages it may leave copies of them in the room between a page's pointers and its
//! cells, where nothing points to. Looking for them only reads.
//!
//! (SQLite, *Database File Format*, §1.6: the b-tree page header.)

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The header of a database file, in bytes.
const HEAD_BYTES: usize = 100;
/// Pages read at once.
const PAGES_AT_ONCE: usize = 256;

/// Whether a text stands in the unused room of any page of a database, whose log is empty.
///
/// The file must not be closed while the process has the database open: closing any descriptor of a file gives up all locks the process has on
/// it (POSIX, *fcntl*), and SQLite's are what keep another process from removing the log.
pub(crate) fn is_left(database: &File, text: &str) -> std::io::Result<bool> {
    let mut head = [0; HEAD_BYTES];
    if database.read_exact_at(&mut head, 0).is_err() {
        // Nothing was ever written.
        return Ok(false);
    }
    let page_size = match u16::from_be_bytes([head[16], head[17]]) {
        // What does not fit into two bytes.
        1 => 65_536,
        size => usize::from(size).max(512),
    };
    let mut pages = vec![0; page_size * PAGES_AT_ONCE];
    let (mut at, mut filled) = (0_u64, 0);
    loop {
        let read =
            database.read_at(pages.get_mut(filled..).unwrap_or_default(), at + filled as u64)?;
        filled += read;
        if read > 0 && filled < pages.len() {
            continue;
        }
        let whole = pages.get(..filled).unwrap_or_default().chunks_exact(page_size);
        for (number, page) in whole.enumerate() {
            // The first page begins with the file's header.
            let header_at = if at == 0 && number == 0 { HEAD_BYTES } else { 0 };
            if holds(unused(page, header_at), text.as_bytes()) {
                return Ok(true);
            }
        }
        if read == 0 {
            return Ok(false);
        }
        at += filled as u64;
        filled = 0;
    }
}

/// The room between a page's pointers and its cells. Nothing where it is no page of a b-tree.
fn unused(page: &[u8], header_at: usize) -> &[u8] {
    let number = |at: usize| {
        let bytes = page.get(header_at + at..header_at + at + 2)?;
        bytes.first_chunk().map(|bytes| usize::from(u16::from_be_bytes(*bytes)))
    };
    let header = match page.get(header_at) {
        Some(2 | 5) => 12,
        Some(10 | 13) => 8,
        _ => return &[],
    };
    let (Some(cells), Some(content)) = (number(3), number(5)) else { return &[] };
    let content = if content == 0 { 65_536 } else { content };
    page.get(header_at + header + 2 * cells..content).unwrap_or_default()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    // Nearly always there is nothing at all.
    bytes.iter().any(|byte| *byte != 0) && bytes.windows(text.len().max(1)).any(|part| part == text)
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::is_left;

    #[test]
    fn only_what_nothing_points_to_is_residue() {
        let path = std::env::temp_dir().join(format!("reveille-{}-residue.db", std::process::id()));
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "PRAGMA secure_delete = OFF;
                 CREATE TABLE t (name TEXT);
                 INSERT INTO t VALUES ('kept'), ('planted'), ('other'), ('again');",
            )
            .unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let is_left = |text| is_left(&file, text).unwrap();
        assert!(!is_left("kept") && !is_left("planted"));
        // The last cells stand first: without them the room in front of the others grows over their bytes.
        connection
            .execute_batch("DELETE FROM t WHERE name IN ('again', 'other', 'planted')")
            .unwrap();
        assert!(is_left("planted"));
        assert!(!is_left("kept"));
        connection.execute_batch("VACUUM").unwrap();
        assert!(!is_left("planted"));
        drop(connection);
        std::fs::remove_file(path).unwrap();
    }
}
