//! Moves bytes in both directions in one poll, so that neither waits for the other.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bongsu_domain::time::{Clock, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::smpp::dial::Stream;

/// Bytes offered to one read.
const READ_MAX: usize = 64 * 1024;

/// What happened to the connection.
pub(super) enum Io {
    /// Bytes moved; `read` of 0 is the end of the stream.
    Moved { read: Option<usize> },
    /// The output may not be written any more as it is.
    Stale,
}

/// What is being written.
pub(super) struct Output {
    bytes: Vec<u8>,
    written: usize,
    /// Where each `submit_sm` starts and until when it may be written; they stand at the end, and are the newest
    /// requests of the session.
    submits: Vec<(usize, Timestamp)>,
    /// The first deadline among them.
    until: Timestamp,
    needs_flush: bool,
}

impl Default for Output {
    fn default() -> Output {
        Output {
            bytes: Vec::with_capacity(READ_MAX),
            written: 0,
            submits: Vec::new(),
            until: Timestamp::MAX,
            needs_flush: false,
        }
    }
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What is not written yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// To append what is no `submit_sm`; only while there is none.
    pub(super) fn control(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.submits.is_empty(), "submits stand at the end");
        &mut self.bytes
    }

    /// To append one `submit_sm`, which [`Output::on_submit`] then counts.
    pub(super) fn submit(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// A `submit_sm` was appended at `start`; not a byte of it may be written after `until`.
    pub(super) fn on_submit(&mut self, start: usize, until: Timestamp) {
        self.submits.push((start, until));
        self.until = self.until.min(until);
    }

    /// Cuts off every `submit_sm` of which nothing is written, and says how many.
    pub(super) fn cut_unwritten(&mut self) -> usize {
        let kept = self.submits.partition_point(|(start, _)| *start < self.written);
        let cut = self.submits.len() - kept;
        if let Some((start, _)) = self.submits.get(kept) {
            self.bytes.truncate(*start);
        }
        self.submits.truncate(kept);
        // Of those kept only the last one can be unfinished.
        self.until = self.submits.last().map_or(Timestamp::MAX, |(_, until)| *until);
        self.clear_if_written();
        cut
    }

    /// Whether the rest is one begun `submit_sm`; asked after [`Output::cut_unwritten`].
    pub(super) fn is_mid_submit(&self) -> bool {
        !self.submits.is_empty()
    }

    /// Whether a `submit_sm` waits whose deadline has passed.
    pub(super) fn is_stale(&self, clock: &dyn Clock) -> bool {
        self.until < Timestamp::MAX && clock.now() > self.until
    }

    fn clear_if_written(&mut self) {
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.submits.clear();
            self.written = 0;
            self.until = Timestamp::MAX;
        }
    }

    fn poll_write<S: AsyncWrite + Unpin + ?Sized>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_empty() {
            let count = ready!(Pin::new(&mut *stream).poll_write(cx, self.rest()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.needs_flush = true;
            self.clear_if_written();
        }
        if self.needs_flush && self.is_empty() && Pin::new(stream).poll_flush(cx)?.is_ready() {
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes what there is and reads if `may_read`; ready when either moved. Before each write the clock is asked whether
/// the output is still wanted.
pub(super) async fn step(
    stream: &mut Box<dyn Stream>,
    inbuf: &mut Vec<u8>,
    output: &mut Output,
    may_read: bool,
    clock: &dyn Clock,
) -> io::Result<Io> {
    if inbuf.capacity() - inbuf.len() < READ_MAX {
        inbuf.reserve(READ_MAX);
    }
    poll_fn(|cx| {
        let had_output = !output.is_empty();
        if output.is_stale(clock) {
            return Poll::Ready(Ok(Io::Stale));
        }
        let wrote = (had_output || output.needs_flush) && output.poll_write(stream.as_mut(), cx)?.is_ready();
        let read = if may_read { pin!(stream.read_buf(inbuf)).poll(cx)? } else { Poll::Pending };
        match read {
            Poll::Ready(count) => Poll::Ready(Ok(Io::Moved { read: Some(count) })),
            Poll::Pending if wrote && had_output => Poll::Ready(Ok(Io::Moved { read: None })),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
