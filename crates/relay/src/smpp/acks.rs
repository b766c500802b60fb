//! Confirmations of receipts on their way back to the session that read them.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bongsu_wire::smpp::{encode_deliver_resp, status};
use tokio::sync::Notify;

use crate::Confirm;

/// Sequence numbers of `deliver_sm` that may be answered with `ESME_ROK`.
pub(super) struct Acks {
    waiting: Mutex<Waiting>,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Waiting {
    sequences: Vec<u32>,
    is_closed: bool,
}

impl Acks {
    /// `wake` is notified when there is something to write.
    pub(super) fn new(wake: Arc<Notify>) -> Arc<Acks> {
        Arc::new(Acks { waiting: Mutex::default(), wake })
    }

    /// Appends the responses that wait to `out`; `spare` is a buffer to reuse.
    pub(super) fn write(&self, spare: &mut Vec<u32>, out: &mut Vec<u8>) {
        spare.clear();
        mem::swap(spare, &mut self.lock().sequences);
        for sequence in spare.iter() {
            encode_deliver_resp(status::ESME_ROK, *sequence, out);
        }
    }

    /// The session is gone: later confirmations do nothing.
    pub(super) fn close(&self) {
        *self.lock() = Waiting { sequences: Vec::new(), is_closed: true };
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Confirm for Acks {
    fn confirm(&self, token: u32) {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return;
        }
        let is_first = waiting.sequences.is_empty();
        waiting.sequences.push(token);
        drop(waiting);
        if is_first {
            self.wake.notify_one();
        }
    }
}
