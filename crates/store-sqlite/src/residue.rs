//! What `secure_delete` leaves: when SQLite moves cells between pages it may leave copies of them in the room between a page's pointers and its
//! cells, where nothing points to. Looking for them only reads.
//!
//! (SQLite, *Database File Format*, §1.6: the b-tree page header.)

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

/// Pages read at once.
const PAGES_AT_ONCE: usize = 256;

/// Whether a text stands in the unused room of any page of a database file, whose log is empty.
pub(crate) fn is_left(database: &Path, text: &str) -> std::io::Result<bool> {
    let mut file = BufReader::new(File::open(database)?);
    let mut head = [0; 100];
    if file.read_exact(&mut head).is_err() {
        // Nothing was ever written.
        return Ok(false);
    }
    let page_size = match u16::from_be_bytes([head[16], head[17]]) {
        // What does not fit into two bytes.
        1 => 65_536,
        size => usize::from(size).max(512),
    };
    let mut file = File::open(database)?;
    let mut pages = vec![0; page_size * PAGES_AT_ONCE];
    let (mut first, mut filled) = (true, 0);
    loop {
        let read = file.read(pages.get_mut(filled..).unwrap_or_default())?;
        filled += read;
        if read > 0 && filled < pages.len() {
            continue;
        }
        let whole = pages.get(..filled).unwrap_or_default().chunks_exact(page_size);
        for page in whole {
            // The first page begins with the file's header.
            let header_at = if first { head.len() } else { 0 };
            first = false;
            if holds(unused(page, header_at), text.as_bytes()) {
                return Ok(true);
            }
        }
        if read == 0 {
            return Ok(false);
        }
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
        assert!(!is_left(&path, "kept").unwrap() && !is_left(&path, "planted").unwrap());
        // The last cells stand first: without them the room in front of the others grows over their bytes.
        connection
            .execute_batch("DELETE FROM t WHERE name IN ('again', 'other', 'planted')")
            .unwrap();
        assert!(is_left(&path, "planted").unwrap());
        assert!(!is_left(&path, "kept").unwrap());
        connection.execute_batch("VACUUM").unwrap();
        assert!(!is_left(&path, "planted").unwrap());
        drop(connection);
        std::fs::remove_file(path).unwrap();
    }
}
