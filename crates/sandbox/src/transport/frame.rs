//! Frames of HTTP/2 (RFC 9113 §4), found in bytes that arrive in any pieces.

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const GOAWAY: u8 = 7;
/// Length of a `GOAWAY` without debug data.
pub(super) const GOAWAY_BYTES: usize = 8;

const HEAD_BYTES: usize = 9;
/// `PRI * HTTP/2.0…`, which a client sends before its frames.
const PREFACE_BYTES: usize = 24;
/// `END_STREAM` of DATA and HEADERS, `ACK` of SETTINGS.
const FLAG_1: u8 = 1;
const MAX_CONCURRENT_STREAMS: u8 = 3;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    flags: u8,
    pub(super) stream: u32,
    pub(super) length: usize,
    pub(super) bytes: [u8; HEAD_BYTES],
}

/// A piece of what passes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Preface(&'a [u8]),
    Head(Head),
    Body(&'a [u8]),
}

/// Splits bytes into frames.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// What is left of the preface.
    preface: usize,
    head: [u8; HEAD_BYTES],
    /// How much of the head is there.
    have: usize,
    /// What is left of the frame's body.
    body: usize,
}

impl Head {
    fn parse(bytes: [u8; HEAD_BYTES]) -> Self {
        let [l1, l2, l3, kind, flags, s1, s2, s3, s4] = bytes;
        let length = u32::from_be_bytes([0, l1, l2, l3]);
        Self {
            kind,
            flags,
            stream: u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]),
            length: usize::try_from(length).unwrap_or(usize::MAX),
            bytes,
        }
    }

    pub(super) fn ends_stream(&self) -> bool {
        self.flags & FLAG_1 != 0
    }

    pub(super) fn is_ack(&self) -> bool {
        self.flags & FLAG_1 != 0
    }

    /// The head of the same frame with more in it.
    pub(super) fn longer_by(&self, more: usize) -> [u8; HEAD_BYTES] {
        let length = u32::try_from(self.length + more).unwrap_or(u32::MAX);
        let [_, l1, l2, l3] = length.to_be_bytes();
        let [_, _, _, kind, flags, s1, s2, s3, s4] = self.bytes;
        [l1, l2, l3, kind, flags, s1, s2, s3, s4]
    }
}

impl Splitter {
    /// For what a client sends.
    pub(super) fn after_preface() -> Self {
        Self { preface: PREFACE_BYTES, ..Self::default() }
    }

    pub(super) fn is_between_frames(&self) -> bool {
        self.have == 0 && self.body == 0
    }

    /// Takes the next piece from the bytes. Nothing once all of them are used up.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Option<Piece<'a>> {
        if self.preface > 0 {
            return take(bytes, &mut self.preface).map(Piece::Preface);
        }
        if self.body > 0 {
            return take(bytes, &mut self.body).map(Piece::Body);
        }
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            if let Some(place) = self.head.get_mut(self.have) {
                *place = *byte;
            }
            self.have += 1;
            if self.have == HEAD_BYTES {
                let head = Head::parse(self.head);
                (self.have, self.body) = (0, head.length);
                return Some(Piece::Head(head));
            }
        }
        None
    }
}

/// Up to `left` bytes, which become fewer.
fn take<'a>(bytes: &mut &'a [u8], left: &mut usize) -> Option<&'a [u8]> {
    let (part, rest) = bytes.split_at_checked((*left).min(bytes.len()))?;
    *bytes = rest;
    *left -= part.len();
    (!part.is_empty()).then_some(part)
}

/// A SETTINGS frame that announces how many streams may be open.
pub(super) fn settings(streams_max: u32) -> [u8; 15] {
    let [a, b, c, d] = streams_max.to_be_bytes();
    [0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, MAX_CONCURRENT_STREAMS, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::{DATA, HEADERS, Head, Piece, SETTINGS, Splitter, settings};

    fn bytes() -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&settings(7));
        bytes.extend_from_slice(&[0, 0, 0, SETTINGS, 1, 0, 0, 0, 0]);
        bytes.extend_from_slice(&[0, 0, 2, HEADERS, 4, 0x80, 0, 0, 1, 9, 9]);
        bytes.extend_from_slice(&[0, 0, 1, DATA, 1, 0, 0, 0, 1, 5]);
        bytes
    }

    fn heads(pieces: &[&[u8]]) -> (Vec<Head>, Vec<u8>) {
        let mut splitter = Splitter::after_preface();
        let (mut heads, mut whole) = (Vec::new(), Vec::new());
        for mut piece in pieces.iter().copied() {
            while let Some(found) = splitter.next(&mut piece) {
                match found {
                    Piece::Preface(part) | Piece::Body(part) => whole.extend_from_slice(part),
                    Piece::Head(head) => {
                        whole.extend_from_slice(&head.bytes);
                        heads.push(head);
                    }
                }
            }
        }
        assert!(splitter.is_between_frames());
        (heads, whole)
    }

    #[test]
    fn frames_are_found_wherever_the_bytes_are_split() {
        let bytes = bytes();
        let (expected, whole) = heads(&[&bytes]);
        assert_eq!(whole, bytes);
        let kinds: Vec<(u8, u32, usize)> =
            expected.iter().map(|head| (head.kind, head.stream, head.length)).collect();
        assert_eq!(kinds, [(SETTINGS, 0, 6), (SETTINGS, 0, 0), (HEADERS, 1, 2), (DATA, 1, 1)]);
        assert!(expected[1].is_ack() && !expected[2].ends_stream() && expected[3].ends_stream());
        for at in 0..=bytes.len() {
            assert_eq!(heads(&[&bytes[..at], &bytes[at..]]).0, expected, "split at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(heads(&single), (expected, whole));
    }

    #[test]
    fn a_head_can_be_made_longer() {
        let head = Head::parse([0, 0, 8, 7, 0, 0, 0, 0, 0]);
        assert_eq!(head.longer_by(0), head.bytes);
        assert_eq!(head.longer_by(300), [0, 1, 52, 7, 0, 0, 0, 0, 0]);
    }
}
