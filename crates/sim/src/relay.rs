//! One simulated relay: what it knows, behind one lock that a session takes once per read.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bongsu_wire::smpp::{BindRequest, Joiner, status};
use tokio::sync::Notify;

use crate::address::Names;
use crate::clients::Clients;
use crate::hash::Hash;
use crate::inbox::Inbox;
use crate::receipt::{Receipt, WAITING_MAX, Wheel};
use crate::script::RelayScript;
use crate::seen::Seen;
use crate::stats::RelayStats;
use crate::time::{Moment, Time};
use crate::window::{Arrivals, SlidingSecond};

/// Long messages that may be incomplete at one time.
const JOINING_MAX: usize = 100_000;
/// How long an incomplete long message is kept.
const JOINING_KEEP: Duration = Duration::from_secs(3_600);
/// When a client is temporarily unable to take a receipt, it is offered again after this many milliseconds.
const AGAIN_MS: u64 = 1_000;
/// Bytes that the log keeps before it writes.
const LOG_BUFFER: usize = 256 * 1024;

/// The file that `--log` names; shared by the relays.
pub(crate) type Log = Arc<Mutex<BufWriter<File>>>;

/// Opens the log.
pub(crate) fn open_log(file: File) -> Log {
    Arc::new(Mutex::new(BufWriter::with_capacity(LOG_BUFFER, file)))
}

/// Writes what the log still keeps.
pub(crate) fn flush_log(log: &Log) {
    if let Err(error) = log.lock().unwrap_or_else(PoisonError::into_inner).flush() {
        tracing::error!(%error, "the log could not be written");
    }
}

/// A relay, shared by its sessions, its clockwork and the control interface.
pub(crate) struct Relay {
    pub(crate) name: String,
    pub(crate) time: Time,
    /// Rung when a receipt falls due earlier than the clockwork expects.
    pub(crate) sooner: Notify,
    /// Sessions so far.
    sessions: AtomicU64,
    state: Mutex<State>,
}

/// What a relay knows.
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) script: RelayScript,
    pub(crate) seed: u64,
    pub(crate) next_id: u64,
    pub(crate) counters: RelayStats,
    pub(crate) names: Names,
    pub(crate) seen: Seen,
    pub(crate) inbox: Option<Inbox>,
    pub(crate) clients: Clients,
    pub(crate) log: Option<Log>,
    /// Everything that arrives.
    pub(crate) arrivals: Arrivals,
    /// Everything that is taken, for the throttle.
    pub(crate) rate: SlidingSecond,
    /// How often a number of the fixed kind was throttled already.
    pub(crate) throttled: HashMap<u128, u8>,
    pub(crate) joiner: Joiner,
    /// Subjects of long messages that are not complete.
    pub(crate) subjects: HashMap<u128, Vec<u8>>,
    wheel: Wheel,
    /// Receipts that sessions have written and wait for.
    pub(crate) outstanding: usize,
    /// The millisecond for which the clockwork is set.
    armed: Option<u64>,
}

/// What a relay starts with.
pub(crate) struct Setup {
    pub(crate) name: String,
    pub(crate) seed: u64,
    pub(crate) script: RelayScript,
    pub(crate) inbox: bool,
    pub(crate) log: Option<Log>,
}

impl Relay {
    pub(crate) fn new(setup: Setup, time: Time) -> Self {
        let state = State {
            name: setup.name.clone(),
            script: setup.script,
            seed: relay_seed(setup.seed, &setup.name),
            next_id: 1,
            counters: RelayStats::default(),
            names: Names::default(),
            seen: Seen::default(),
            inbox: setup.inbox.then(Inbox::default),
            clients: Clients::default(),
            log: setup.log,
            arrivals: Arrivals::default(),
            rate: SlidingSecond::default(),
            throttled: HashMap::new(),
            joiner: Joiner::new(JOINING_MAX, JOINING_KEEP),
            subjects: HashMap::new(),
            wheel: Wheel::default(),
            outstanding: 0,
            armed: None,
        };
        Self { name: setup.name, time, sooner: Notify::new(), sessions: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// A number for a new session that no other ever had, also before a stop.
    pub(crate) fn session_number(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The state; a panic of another holder does not make it unusable.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Schedules a receipt and wakes the clockwork if it falls due earlier than expected.
    pub(crate) fn wake_if_sooner(&self, state: &mut State) {
        let next = state.wheel.next();
        if next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed)) {
            state.armed = next;
            self.sooner.notify_one();
        }
    }

    /// Moves receipts to their clients as they fall due, for ever.
    pub(crate) async fn clockwork(self: Arc<Self>) {
        loop {
            let next = self.lock().tick(self.time.now());
            let due = async {
                match next {
                    Some(ms) => tokio::time::sleep_until(self.time.instant(ms)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Everything counted so far.
    pub(crate) fn stats(&self) -> RelayStats {
        let state = self.lock();
        RelayStats {
            receipts_waiting: (state.waiting() + state.outstanding) as u64,
            most_binds: state.clients.most_bound().into(),
            forgotten: state.seen.forgotten,
            max_in_any_second: state.arrivals.most(),
            most_in_a_second: state.arrivals.most(),
            over_rate: state.arrivals.over,
            worst_excess: state.arrivals.worst_excess,
            duplicates: state.seen.duplicates(&state.names),
            ..state.counters.clone()
        }
    }
}

/// The seed of one relay.
pub(crate) fn relay_seed(seed: u64, name: &str) -> u64 {
    Hash::new(seed).bytes(name.as_bytes()).finish() as u64
}

impl State {
    fn waiting(&self) -> usize {
        self.wheel.len() + self.clients.len()
    }

    /// Checks a bind.
    ///
    /// # Errors
    /// The `command_status` that refuses it.
    pub(crate) fn bind(&mut self, request: &BindRequest<'_>) -> Result<u32, u32> {
        let wrong_password = |password: &String| password.as_bytes() != request.password;
        let refuse = match self.script.bind_refuse {
            Some(status) => Some(status),
            None => self
                .script
                .password
                .as_ref()
                .filter(|password| wrong_password(password))
                .map(|_| status::ESME_RINVPASWD),
        };
        let most = self.script.binds_max;
        match refuse.map_or_else(|| self.clients.bind(request.system_id, most).ok_or(status::ESME_RBINDFAIL), Err) {
            Ok(client) => {
                self.counters.binds += 1;
                self.counters.bound += 1;
                Ok(client)
            }
            Err(status) => {
                self.counters.binds_refused += 1;
                Err(status)
            }
        }
    }

    /// Whether as many receipts wait as a relay keeps, so that it takes no submit.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting() >= WAITING_MAX
    }

    /// Has a receipt fall due. Second copies and receipts that come back may go beyond the limit, up to twice of it.
    pub(crate) fn schedule(&mut self, due_ms: u64, receipt: Receipt) {
        if self.waiting() >= 2 * WAITING_MAX {
            self.counters.receipts_dropped += 1;
        } else {
            self.wheel.push(due_ms, receipt);
        }
    }

    /// What a client answered to a receipt.
    pub(crate) fn acknowledged(&mut self, receipt: Receipt, answer: u32, now: Moment) {
        match answer {
            status::ESME_ROK => self.counters.receipts_acked += 1,
            status::ESME_RX_T_APPN | status::ESME_RTHROTTLED | status::ESME_RMSGQFUL => {
                self.schedule(now.ms() + AGAIN_MS, receipt);
            }
            _ => {}
        }
    }

    /// Moves what is due and tells when the next receipt is.
    fn tick(&mut self, now: Moment) -> Option<u64> {
        let mut moved = false;
        while let Some(receipts) = self.wheel.pop(now.ms()) {
            self.clients.ready(receipts);
            moved = true;
        }
        if moved {
            self.clients.ring();
        }
        self.armed = self.wheel.next();
        self.armed
    }
}
