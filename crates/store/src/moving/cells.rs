//! Values, rows and pages, and what many rows come to.

use std::fmt;

/// A value of a row.
#[derive(Clone, PartialEq, Eq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A number, a time in milliseconds, or whether something is so.
    Number(i64),
    /// Bytes, or a text.
    Bytes(Vec<u8>),
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It may be a secret.
        f.write_str("Cell(…)")
    }
}

/// The values of a row, in the order of [`super::Table::columns`].
pub type Row = Vec<Cell>;

/// Rows that follow one another.
#[derive(Debug, Default)]
pub struct Page {
    /// The rows. None: there are no more.
    pub rows: Vec<Row>,
    /// The place of the last one, packed, for whoever gave it.
    pub reached: Vec<u8>,
}

/// Values as one blob. No two lists of values are one blob.
pub fn pack(cells: &[Cell]) -> Vec<u8> {
    let mut packed = Vec::new();
    for cell in cells {
        match cell {
            Cell::Null => packed.push(0),
            Cell::Number(number) => {
                packed.push(1);
                packed.extend_from_slice(&number.to_le_bytes());
            }
            Cell::Bytes(bytes) => {
                packed.push(2);
                packed.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                packed.extend_from_slice(bytes);
            }
        }
    }
    packed
}

/// The values of a blob; nothing where it is not such a blob.
pub fn unpack(mut packed: &[u8]) -> Option<Vec<Cell>> {
    let mut cells = Vec::new();
    while let Some((kind, rest)) = packed.split_first() {
        packed = rest;
        cells.push(match kind {
            0 => Cell::Null,
            1 => {
                let (number, rest) = packed.split_first_chunk::<8>()?;
                packed = rest;
                Cell::Number(i64::from_le_bytes(*number))
            }
            2 => {
                let (length, rest) = packed.split_first_chunk::<8>()?;
                let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
                let (bytes, rest) = rest.split_at_checked(length)?;
                packed = rest;
                Cell::Bytes(bytes.to_vec())
            }
            _ => return None,
        });
    }
    Some(cells)
}

/// What rows come to, in whatever order they are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digest {
    /// How many they are.
    pub rows: u64,
    sum: u128,
}

impl Digest {
    /// Adds a row by its hash, which has to be a keyed one: nobody can make two rows whose hashes add up to those of two others.
    pub const fn add(&mut self, hash: [u8; 16]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(u128::from_le_bytes(hash));
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Digest, pack, unpack};

    #[test]
    fn values_come_out_of_a_blob_as_they_went_in() {
        let cells = [Cell::Null, Cell::Number(-3), Cell::Bytes(vec![]), Cell::Bytes(vec![2; 300])];
        let packed = pack(&cells);
        assert!(unpack(&packed).unwrap() == cells);
        assert!(unpack(&packed[..packed.len() - 1]).is_none() && unpack(&[9]).is_none());
        assert_ne!(pack(&[Cell::Bytes(vec![0])]), pack(&[Cell::Bytes(vec![]), Cell::Null]));
        assert_eq!(format!("{:?}", cells[3]), "Cell(…)");
    }

    #[test]
    fn a_digest_tells_rows_apart_and_not_their_order() {
        let of = |hashes: &[[u8; 16]]| {
            let mut digest = Digest::default();
            for hash in hashes {
                digest.add(*hash);
            }
            digest
        };
        assert_eq!(of(&[[1; 16], [255; 16]]), of(&[[255; 16], [1; 16]]));
        assert_ne!(of(&[[1; 16], [1; 16]]), of(&[[2; 16]]));
        assert_ne!(of(&[[1; 16]]), of(&[[2; 16]]));
    }
}
