//! Lists as blobs: many targets in one row.

use reveille_model::{NotificationId, Spread, SubscriptionId, Timestamp};

/// Texts as one blob: each with its length before it, two bytes, little-endian.
pub fn pack_texts<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut packed = Vec::new();
    for text in texts {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(text.as_bytes());
    }
    packed
}

/// The texts of a blob; nothing where it is not such a blob.
pub fn unpack_texts(mut packed: &[u8]) -> Option<Vec<&str>> {
    let mut texts = Vec::new();
    while let Some((length, rest)) = packed.split_first_chunk::<2>() {
        let (text, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        texts.push(std::str::from_utf8(text).ok()?);
        packed = rest;
    }
    packed.is_empty().then_some(texts)
}

/// Parts of a list whose packed forms have at most `bytes_max` bytes each, or one text. Each becomes a row, from which one target is read at a time:
/// rows that fit into a page make that one read.
pub fn fitting<T>(
    mut texts: &[T],
    bytes_max: usize,
    text: impl Fn(&T) -> &str,
) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = texts.iter().take_while(|each| {
            bytes += 2 + text(each).len();
            bytes <= bytes_max
        });
        let count = fits.count().max(1).min(texts.len());
        let (part, rest) = texts.split_at(count);
        texts = rest;
        if part.is_empty() { None } else { Some(part) }
    })
}

/// The text of a number in a blob.
pub fn nth_text(mut packed: &[u8], index: usize) -> Option<&str> {
    for _ in 0..index {
        let (length, rest) = packed.split_first_chunk::<2>()?;
        (_, packed) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    }
    let (length, rest) = packed.split_first_chunk::<2>()?;
    let (text, _) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    std::str::from_utf8(text).ok()
}

/// The id of a number in a blob.
pub fn nth_id(packed: &[u8], index: usize) -> Option<[u8; 16]> {
    packed.as_chunks::<16>().0.get(index).copied()
}

/// Ids as one blob of 16 bytes each.
pub fn pack_ids(ids: impl Iterator<Item = [u8; 16]>) -> Vec<u8> {
    ids.flatten().collect()
}

/// Numbers as one blob of eight bytes each.
pub fn pack_numbers(numbers: impl Iterator<Item = i64>) -> Vec<u8> {
    numbers.flat_map(i64::to_le_bytes).collect()
}

/// The numbers of a blob; nothing where it is not such a blob.
pub fn unpack_numbers(packed: &[u8]) -> Option<Vec<i64>> {
    let (numbers, rest) = packed.as_chunks::<8>();
    rest.is_empty().then(|| numbers.iter().map(|number| i64::from_le_bytes(*number)).collect())
}

/// The windows of a blob; nothing where it is not such a blob.
pub fn unpack_spread(packed: &[u8]) -> Option<Spread> {
    let ends = unpack_numbers(packed)?;
    Some(Spread(ends.into_iter().map(Timestamp::from_ms).collect()))
}

fn unpack_ids(packed: &[u8]) -> Option<Vec<[u8; 16]>> {
    let (ids, rest) = packed.as_chunks::<16>();
    rest.is_empty().then(|| ids.to_vec())
}

/// The subscriptions of a blob; nothing where it is not such a blob.
pub fn unpack_subscriptions(packed: &[u8]) -> Option<Vec<SubscriptionId>> {
    Some(unpack_ids(packed)?.into_iter().map(SubscriptionId::from_bytes).collect())
}

/// The notifications of a blob; nothing where it is not such a blob.
pub fn unpack_notifications(packed: &[u8]) -> Option<Vec<NotificationId>> {
    Some(unpack_ids(packed)?.into_iter().map(NotificationId::from_bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::{
        fitting, nth_id, nth_text, pack_ids, pack_texts, unpack_subscriptions, unpack_texts,
    };

    #[test]
    fn packing_keeps_texts_and_ids() {
        let texts = ["a|b\n\u{1f600}", "", "c"];
        assert_eq!(unpack_texts(&pack_texts(texts.into_iter())).unwrap(), texts);
        assert_eq!(unpack_texts(&[5, 0, b'a']), None);
        assert_eq!(unpack_texts(&[5]), None);
        assert_eq!(
            unpack_subscriptions(&pack_ids([[1; 16], [2; 16]].into_iter())).unwrap().len(),
            2
        );
        assert_eq!(unpack_subscriptions(&[0; 17]), None);
    }

    #[test]
    fn one_of_many_is_read_alone() {
        let texts = ["a", "", "ccc"];
        let packed = pack_texts(texts.into_iter());
        let read: Vec<_> = (0..4).map(|index| nth_text(&packed, index)).collect();
        assert_eq!(read, [Some("a"), Some(""), Some("ccc"), None]);
        assert_eq!(nth_text(&[5, 0, b'a'], 0), None);
        assert_eq!(nth_id(&[3; 33], 1), Some([3; 16]));
        assert_eq!(nth_id(&[3; 33], 2), None);
    }

    #[test]
    fn rows_are_filled_and_no_further() {
        let texts = ["aaaa", "bb", "c", "dddddddddddddddd", "e"];
        let parts: Vec<&[&str]> = fitting(&texts, 10, |text| text).collect();
        assert_eq!(parts, [&texts[..2], &texts[2..3], &texts[3..4], &texts[4..]]);
        assert_eq!(fitting(&[] as &[&str], 10, |text| text).count(), 0);
    }
}
