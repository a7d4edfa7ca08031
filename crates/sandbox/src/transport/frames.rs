//! Sees the frames of an HTTP/2 connection pass by, under a server library that can neither change its settings later nor say why it
//! goes away: announces stream limits between the library's frames, counts who keeps to them, and puts a reason into `GOAWAY`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frame::{self, Head, Piece, Splitter};
use super::ledger::{Ledger, Over};

/// Most bytes that wait to be written.
const OUT_BYTES_MAX: usize = 64 * 1024;
/// How much is read at once, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// What the connection's task and its frames share.
#[derive(Debug)]
pub(super) struct Wire(Mutex<Shared>);

#[derive(Debug)]
struct Shared {
    ledger: Ledger,
    /// The limit to announce next; a newer one takes its place.
    to_announce: Option<u32>,
    /// What the library's `GOAWAY` frames are to say.
    reason: Option<Bytes>,
}

/// A stream under the server library. The first frame on it announces a limit.
#[derive(Debug)]
pub(super) struct Frames<S> {
    stream: S,
    wire: Arc<Wire>,
    inbound: Splitter,
    outbound: Splitter,
    /// Whether the frame that passes is kept from the library.
    is_swallowed: bool,
    /// What the library may read.
    readable: BytesMut,
    /// What waits to be written.
    out: BytesMut,
    /// Put behind the frame that passes.
    behind: Bytes,
}

impl Wire {
    pub(super) fn new(ledger: Ledger) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Shared { ledger, to_announce: None, reason: None })))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Announces a limit as soon as the library flushes.
    pub(super) fn announce(&self, streams_max: u32) {
        self.shared().to_announce = Some(streams_max);
    }

    /// What the library's next `GOAWAY` says: `{"reason": "…"}`, as APNs does.
    pub(super) fn give_reason(&self, reason: &str) {
        let text = serde_json::json!({ "reason": reason }).to_string();
        self.shared().reason = Some(text.into());
    }

    /// Whether a stream was one too many; says so once.
    pub(super) fn take_over(&self, stream: u32) -> Option<Over> {
        self.shared().ledger.take_over(stream)
    }
}

impl<S> Frames<S> {
    pub(super) fn new(stream: S, wire: Arc<Wire>) -> Self {
        let mut out = BytesMut::new();
        {
            let mut shared = wire.shared();
            let first = shared.ledger.limit();
            out.extend_from_slice(&frame::settings(first));
            shared.ledger.announced(first);
        }
        Self {
            stream,
            wire,
            inbound: Splitter::after_preface(),
            outbound: Splitter::default(),
            is_swallowed: false,
            readable: BytesMut::new(),
            out,
            behind: Bytes::new(),
        }
    }

    /// Bytes from the client, to the library.
    fn take_in(&mut self, mut bytes: &[u8]) {
        let mut shared = self.wire.shared();
        while let Some(piece) = self.inbound.next(&mut bytes) {
            match piece {
                Piece::Preface(part) => self.readable.extend_from_slice(part),
                Piece::Head(head) => {
                    self.is_swallowed = arrives(&mut shared.ledger, &head);
                    if !self.is_swallowed {
                        self.readable.extend_from_slice(&head.bytes);
                    }
                }
                Piece::Body(part) if !self.is_swallowed => self.readable.extend_from_slice(part),
                Piece::Body(_) => {}
            }
        }
    }

    /// Bytes from the library, to the client.
    fn take_out(&mut self, mut bytes: &[u8]) {
        let mut shared = self.wire.shared();
        while let Some(piece) = self.outbound.next(&mut bytes) {
            match piece {
                Piece::Preface(part) | Piece::Body(part) => self.out.extend_from_slice(part),
                Piece::Head(head) => {
                    self.behind = leaves(&mut shared, &head);
                    self.out.extend_from_slice(&head.longer_by(self.behind.len()));
                }
            }
            if self.outbound.is_between_frames() {
                self.out.extend_from_slice(&std::mem::take(&mut self.behind));
            }
        }
    }

    /// Puts what is to be announced behind the frames written so far.
    fn inject(&mut self) {
        if self.outbound.is_between_frames() {
            let mut shared = self.wire.shared();
            if shared.ledger.may_announce()
                && let Some(streams_max) = shared.to_announce.take()
            {
                self.out.extend_from_slice(&frame::settings(streams_max));
                shared.ledger.announced(streams_max);
            }
        }
    }
}

/// Notes a frame of the client; says whether it is kept from the library.
fn arrives(ledger: &mut Ledger, head: &Head) -> bool {
    match head.kind {
        frame::HEADERS => ledger.opened(head.stream),
        frame::RST_STREAM => ledger.closed(head.stream),
        frame::SETTINGS if head.is_ack() => return ledger.acknowledged_ours(),
        _ => {}
    }
    if matches!(head.kind, frame::HEADERS | frame::DATA) && head.ends_stream() {
        ledger.client_ended(head.stream);
    }
    false
}

/// Notes a frame of the library; returns what belongs behind it.
fn leaves(shared: &mut Shared, head: &Head) -> Bytes {
    match head.kind {
        frame::HEADERS | frame::DATA if head.ends_stream() => {
            shared.ledger.server_ended(head.stream);
        }
        frame::RST_STREAM => shared.ledger.closed(head.stream),
        frame::SETTINGS if !head.is_ack() => shared.ledger.library_announced(),
        frame::GOAWAY if head.length == frame::GOAWAY_BYTES => {
            return shared.reason.clone().unwrap_or_default();
        }
        _ => {}
    }
    Bytes::new()
}

impl<S: AsyncWrite + Unpin> Frames<S> {
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        while this.readable.is_empty() {
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.take_in(buffer.filled());
        }
        let part = this.readable.split_to(this.readable.len().min(into.remaining()));
        into.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let this = self.get_mut();
        if this.out.len() >= OUT_BYTES_MAX {
            ready!(this.drain(cx))?;
        }
        this.take_out(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        this.inject();
        ready!(this.drain(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let this = self.get_mut();
        ready!(this.drain(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, Ledger, Over, Wire};
    use crate::transport::frame::settings;
    use reveille_model::Timestamp;
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

    const ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    const LIBRARYS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0];

    /// A stream whose other end is two buffers. It takes one byte at a time.
    #[derive(Debug, Default)]
    struct Peer {
        says: VecDeque<u8>,
        hears: Vec<u8>,
    }

    impl AsyncRead for Peer {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            into: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            match self.says.pop_front() {
                Some(byte) => into.put_slice(&[byte]),
                None => return Poll::Pending,
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.hears.extend(bytes.first());
            Poll::Ready(Ok(bytes.len().min(1)))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn frames(limit: u32) -> (Frames<Peer>, Arc<Wire>) {
        let wire = Wire::new(Ledger::new(limit, || Timestamp::EPOCH));
        (Frames::new(Peer::default(), Arc::clone(&wire)), wire)
    }

    fn write(frames: &mut Frames<Peer>, bytes: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut *frames).poll_write(&mut cx, bytes).is_ready());
        assert!(Pin::new(frames).poll_flush(&mut cx).is_ready());
    }

    /// What the library gets to read of what the client says.
    fn read(frames: &mut Frames<Peer>, says: &[u8]) -> Vec<u8> {
        frames.stream.says.extend(says);
        let mut cx = Context::from_waker(Waker::noop());
        let mut read = Vec::new();
        loop {
            let mut bytes = [0; 3];
            let mut buffer = ReadBuf::new(&mut bytes);
            if Pin::new(&mut *frames).poll_read(&mut cx, &mut buffer).is_pending() {
                return read;
            }
            read.extend_from_slice(buffer.filled());
        }
    }

    fn preface() -> Vec<u8> {
        [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &LIBRARYS].concat()
    }

    fn headers(stream: u8) -> [u8; 10] {
        [0, 0, 1, 1, 5, 0, 0, 0, stream, 0x82]
    }

    #[test]
    fn the_limit_is_the_first_thing_a_client_hears() {
        let (mut frames, _wire) = frames(1);
        write(&mut frames, &LIBRARYS);
        assert_eq!(frames.stream.hears, [settings(1).as_slice(), &LIBRARYS].concat());
    }

    #[test]
    fn a_limit_is_announced_between_frames_wherever_it_is_asked_for() {
        let first = [LIBRARYS.as_slice(), &[0, 0, 3, 0, 0, 0, 0, 0, 1, 7, 8, 9]].concat();
        let second = [0, 0, 1, 0, 1, 0, 0, 0, 1, 6];
        for at in 1..=first.len() {
            let (mut frames, wire) = frames(1);
            write(&mut frames, &first[..at]);
            wire.announce(9);
            for byte in &first[at..] {
                write(&mut frames, std::slice::from_ref(byte));
            }
            write(&mut frames, &second);
            let hears = &frames.stream.hears[15..];
            // Behind the frame that was being written then, or was next.
            let place = match at {
                0..9 => 9,
                9..21 => 21,
                _ => 31,
            };
            let (before, after) = hears.split_at(place);
            assert!(after.starts_with(&settings(9)), "asked for after {at}: {hears:?}");
            let rest = [before, &after[15..]].concat();
            assert_eq!(rest, [first.as_slice(), &second].concat(), "asked for after {at}");
        }
    }

    #[test]
    fn only_the_newest_limit_is_announced() {
        let (mut frames, wire) = frames(1);
        wire.announce(5);
        wire.announce(6);
        write(&mut frames, &LIBRARYS);
        assert_eq!(frames.stream.hears[24..], settings(6));
    }

    #[test]
    fn the_library_hears_the_acknowledgement_of_its_own_settings_only() {
        let (mut frames, wire) = frames(1);
        write(&mut frames, &LIBRARYS);
        wire.announce(9);
        write(&mut frames, &[]);
        assert_eq!(read(&mut frames, &preface()), preface());
        assert!(read(&mut frames, &ACK).is_empty(), "of the first limit");
        assert_eq!(read(&mut frames, &ACK), ACK, "of the library's");
        assert!(read(&mut frames, &ACK).is_empty(), "of the second limit");
        assert_eq!(read(&mut frames, &ACK), ACK, "of nothing: the library shall complain");
    }

    #[test]
    fn a_stream_too_many_is_told() {
        let (mut frames, wire) = frames(1);
        write(&mut frames, &LIBRARYS);
        let says = [preface().as_slice(), &ACK, &ACK, &headers(1)].concat();
        read(&mut frames, &says);
        assert_eq!(wire.take_over(1), None);
        assert_eq!(read(&mut frames, &headers(3)), headers(3));
        assert_eq!(wire.take_over(3), Some(Over::Violation));
        // The library ends both.
        write(&mut frames, &headers(1));
        write(&mut frames, &[0, 0, 4, 3, 0, 0, 0, 0, 3, 0, 0, 0, 7]);
        read(&mut frames, &headers(5));
        assert_eq!(wire.take_over(5), None);
    }

    #[test]
    fn the_library_goes_away_with_a_reason() {
        let (mut without, _wire) = frames(1);
        write(&mut without, &GOAWAY);
        assert_eq!(without.stream.hears[15..], GOAWAY);
        for at in 0..=GOAWAY.len() {
            let (mut frames, wire) = frames(1);
            wire.give_reason("Shutdown");
            write(&mut frames, &GOAWAY[..at]);
            write(&mut frames, &GOAWAY[at..]);
            let reason = br#"{"reason":"Shutdown"}"#;
            let mut expected = [GOAWAY.as_slice(), reason].concat();
            expected[2] = 8 + 21;
            assert_eq!(frames.stream.hears[15..], expected, "split at {at}");
        }
    }
}
