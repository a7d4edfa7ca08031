//! Logs as CSV: whole numbers, no header. Whatever is wrong is said with its file, its line and what to do.

use std::io::BufRead;

/// Most rows of a file: each is kept, in 16 bytes.
pub const ROWS_MAX: usize = 20_000_000;
/// Longest line, in bytes: two numbers of 20 digits, and some room.
const LINE_BYTES_MAX: usize = 100;
/// Times are so far from zero at most, so that they can be added.
pub(super) const TIME_MAX: i64 = i64::MAX / 4;

/// Something that happened to an account: `t,account`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: i64,
    /// To whom.
    pub account: i64,
}

/// A push: `t,device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Push {
    /// When it came.
    pub at: i64,
    /// To which device.
    pub device: i64,
}

/// Whose a device is: `account,device`. The truth that the observer is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The account.
    pub account: i64,
    /// One of its devices.
    pub device: i64,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file gives nothing.
    #[error("{name}: cannot be read")]
    Read {
        /// The file.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("{name}, line {line}: {what}")]
    Line {
        /// The file.
        name: String,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it, and what to do.
        what: String,
    },
}

/// Reads EVENTS: `t,account`.
pub fn read_events(reader: &mut dyn BufRead, name: &str) -> Result<Vec<Event>, LogError> {
    let rows = read(reader, name, "t,account", Time::First)?;
    Ok(rows.into_iter().map(|(at, account)| Event { at, account }).collect())
}

/// Reads PUSHES: `t,device`.
pub fn read_pushes(reader: &mut dyn BufRead, name: &str) -> Result<Vec<Push>, LogError> {
    let rows = read(reader, name, "t,device", Time::First)?;
    Ok(rows.into_iter().map(|(at, device)| Push { at, device }).collect())
}

/// Reads the truth: `account,device`.
pub fn read_owners(reader: &mut dyn BufRead, name: &str) -> Result<Vec<Owner>, LogError> {
    let rows = read(reader, name, "account,device", Time::Nowhere)?;
    Ok(rows.into_iter().map(|(account, device)| Owner { account, device }).collect())
}

/// Which column is a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Time {
    First,
    Nowhere,
}

fn read(
    reader: &mut dyn BufRead,
    name: &str,
    columns: &str,
    time: Time,
) -> Result<Vec<(i64, i64)>, LogError> {
    let (mut rows, mut line, mut number) = (Vec::new(), Vec::new(), 0);
    loop {
        line.clear();
        let mut bounded = std::io::Read::take(&mut *reader, LINE_BYTES_MAX as u64 + 1);
        let length = bounded
            .read_until(b'\n', &mut line)
            .map_err(|source| LogError::Read { name: name.to_owned(), source })?;
        if length == 0 {
            return Ok(rows);
        }
        number += 1;
        let wrong = |what: String| LogError::Line { name: name.to_owned(), line: number, what };
        if length > LINE_BYTES_MAX {
            return Err(wrong(format!(
                "longer than {LINE_BYTES_MAX} bytes; each line is `{columns}`"
            )));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        if rows.len() == ROWS_MAX {
            return Err(wrong(format!("more than {ROWS_MAX} rows; cut the log into shorter ones")));
        }
        rows.push(row(text, columns, time).map_err(wrong)?);
    }
}

fn row(text: &str, columns: &str, time: Time) -> Result<(i64, i64), String> {
    let Some((first, second)) = text.split_once(',') else {
        return Err(format!("one column where there should be two; each line is `{columns}`"));
    };
    if second.contains(',') {
        return Err(format!("more than two columns; each line is `{columns}`"));
    }
    let whole = |field: &str| {
        field.trim().parse::<i64>().map_err(|_| {
            format!(
                "`{}` is not a whole number; each line is `{columns}`, and there is no header",
                field.trim()
            )
        })
    };
    let (first, second) = (whole(first)?, whole(second)?);
    if time == Time::First && first.abs_diff(0) > TIME_MAX.unsigned_abs() {
        return Err(format!("the time `{first}` is too far from zero; count from a later moment"));
    }
    Ok((first, second))
}

#[cfg(test)]
mod tests {
    use super::{Event, Owner, Push, read_events, read_owners, read_pushes};

    #[test]
    fn rows_are_two_whole_numbers() {
        let events = read_events(&mut "1,2\r\n\n -3 , 4\n5,6".as_bytes(), "e.csv").unwrap();
        assert_eq!(events.len(), 3);
        assert_eq!(events[1], Event { at: -3, account: 4 });
        let pushes = read_pushes(&mut "7,8\n".as_bytes(), "p.csv").unwrap();
        assert_eq!(pushes, [Push { at: 7, device: 8 }]);
        let owners = read_owners(&mut "9,10".as_bytes(), "o.csv").unwrap();
        assert_eq!(owners, [Owner { account: 9, device: 10 }]);
        assert!(read_events(&mut "".as_bytes(), "e.csv").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let long = format!("1,2\n3,{}\n", "4".repeat(200));
        let far = format!("{},1\n", i64::MAX);
        for (text, message) in [
            (
                "t,account\n",
                "e.csv, line 1: `t` is not a whole number; each line is `t,account`, and there is no header",
            ),
            (
                "1,2\n3\n",
                "e.csv, line 2: one column where there should be two; each line is `t,account`",
            ),
            ("1,2,3\n", "e.csv, line 1: more than two columns; each line is `t,account`"),
            (
                "1,2\n\n1.5,2\n",
                "e.csv, line 3: `1.5` is not a whole number; each line is `t,account`, and there is no header",
            ),
            (&long, "e.csv, line 2: longer than 100 bytes; each line is `t,account`"),
            (
                &far,
                "e.csv, line 1: the time `9223372036854775807` is too far from zero; count from a later moment",
            ),
        ] {
            let error = read_events(&mut text.as_bytes(), "e.csv").unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
