//! Why a peer goes away: `GOAWAY` frames (RFC 9113 §6.8) as they come in, since the HTTP/2 library shows their debug data only where the
//! connection ends with an error. APNs writes `{"reason": "..."}` there (Apple, *Sending notification requests to APNs*).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most debug data that is looked at, in bytes.
const DEBUG_BYTES_MAX: usize = 512;
/// Longest reason that is passed on, in characters.
const REASON_CHARS_MAX: usize = 64;
const HEADER_BYTES: usize = 9;
const GOAWAY: u8 = 7;

/// What a `GOAWAY` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Goaway {
    /// The error code; 0 is "no error".
    pub(super) code: u32,
    /// The reason in its debug data; empty where there is none, `other` where it is not a plain word or two.
    pub(super) reason: String,
}

/// Finds `GOAWAY` frames in what a peer sends.
#[derive(Debug, Default)]
struct Frames {
    header: Vec<u8>,
    /// What is left of the payload that is being skipped or collected.
    rest: usize,
    is_goaway: bool,
    payload: Vec<u8>,
}

impl Frames {
    /// Takes the next bytes; returns the `GOAWAY` that ended in them, if one did.
    fn take(&mut self, mut bytes: &[u8]) -> Option<Goaway> {
        let mut found = None;
        while !bytes.is_empty() {
            if self.rest == 0 {
                let missing = HEADER_BYTES - self.header.len();
                let (head, more) = bytes.split_at(missing.min(bytes.len()));
                self.header.extend_from_slice(head);
                bytes = more;
                if let [high, middle, low, kind, ..] = *self.header.as_slice()
                    && self.header.len() == HEADER_BYTES
                {
                    self.rest =
                        usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
                    self.is_goaway = kind == GOAWAY;
                    self.header.clear();
                    self.payload.clear();
                }
            } else {
                let (part, more) = bytes.split_at(self.rest.min(bytes.len()));
                self.rest -= part.len();
                bytes = more;
                if self.is_goaway {
                    let room = 8 + DEBUG_BYTES_MAX - self.payload.len();
                    self.payload.extend(part.iter().take(room));
                    if self.rest == 0 {
                        found = read(&self.payload).or(found);
                    }
                }
            }
        }
        found
    }
}

/// Last stream, error code, debug data.
fn read(payload: &[u8]) -> Option<Goaway> {
    #[derive(Deserialize)]
    struct Debug {
        reason: String,
    }
    let (_last_stream, rest) = payload.split_first_chunk::<4>()?;
    let (code, debug) = rest.split_first_chunk::<4>()?;
    let is_plain = |text: &str| {
        text.len() <= REASON_CHARS_MAX
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ')
    };
    let reason = match serde_json::from_slice::<Debug>(debug) {
        _ if debug.is_empty() => String::new(),
        Ok(Debug { reason }) if is_plain(&reason) => reason,
        _ => "other".to_owned(),
    };
    Some(Goaway { code: u32::from_be_bytes(*code), reason })
}

/// A connection on which `GOAWAY` frames are noticed.
pub(super) struct Watched<T> {
    io: T,
    frames: Frames,
    notice: Box<dyn Fn(Goaway) + Send>,
}

impl<T> Watched<T> {
    pub(super) fn new(io: T, notice: impl Fn(Goaway) + Send + 'static) -> Self {
        Self { io, frames: Frames::default(), notice: Box::new(notice) }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if let Some(new) = buffer.filled().get(before..)
            && let Some(goaway) = self.frames.take(new)
        {
            (self.notice)(goaway);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, Goaway};

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length.get(1..).unwrap().to_vec();
        frame.extend([kind, 0, 0, 0, 0, 0]);
        frame.extend(payload);
        frame
    }

    fn goaway(code: u32, debug: &str) -> Vec<u8> {
        let mut payload = vec![0, 0, 0, 7];
        payload.extend(code.to_be_bytes());
        payload.extend(debug.as_bytes());
        frame(7, &payload)
    }

    #[test]
    fn a_goaway_is_found_wherever_reads_are_cut() {
        let mut stream = [frame(4, &[]), frame(0, &[7; 300])].concat();
        stream.extend(goaway(0, r#"{"reason":"Shutdown"}"#));
        stream.extend(frame(1, &[7; 20]));
        for cut in 1..stream.len() {
            let mut frames = Frames::default();
            let found: Vec<Goaway> =
                stream.chunks(cut).filter_map(|part| frames.take(part)).collect();
            assert_eq!(found, [Goaway { code: 0, reason: "Shutdown".to_owned() }], "{cut}");
        }
    }

    #[test]
    fn a_reason_is_a_plain_word_or_none() {
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(5_000));
        let rows = [
            ("", ""),
            (r#"{"reason":"active streams violated"}"#, "active streams violated"),
            (r#"{"reason":"a\nb"}"#, "other"),
            ("bye", "other"),
            (long.as_str(), "other"),
        ];
        for (debug, reason) in rows {
            let found = Frames::default().take(&goaway(11, debug));
            assert_eq!(found, Some(Goaway { code: 11, reason: reason.to_owned() }), "{debug}");
        }
        assert_eq!(Frames::default().take(&frame(7, &[0; 5])), None, "too short to be one");
    }
}
