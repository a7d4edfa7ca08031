//! Identifiers that providers give to what they take.

use reveille_service::entropy;

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// 32 digits nobody had before.
pub(crate) fn fresh() -> String {
    hex(&entropy::rng().bytes_16())
}

/// A new UUID of version 4, in capitals as Apple writes them.
pub(crate) fn uuid() -> String {
    let digits = fresh().to_uppercase();
    let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    let [one, two, three, four, five] =
        [part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32)];
    format!("{one}-{two}-4{three}-A{four}-{five}")
}

#[cfg(test)]
mod tests {
    use super::{hex, uuid};

    #[test]
    fn identifiers_have_their_forms() {
        assert_eq!(hex(&[0, 0xaf]), "00af");
        let id = uuid();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_ne!(id, uuid());
    }
}
