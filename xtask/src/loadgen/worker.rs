//! One connection of the load generator: takes the next request that is due, sends it, counts the answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Mode, Options, Report, answer, request};
use crate::http::{Connection, host_of, write_request};
use crate::{percentile, process};

/// Wait after a refusal or a failed connection, so that an overloaded server is not asked in a tight loop.
const BACK_OFF: Duration = Duration::from_millis(20);
/// An answer that takes longer counts as an error.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// What all connections share.
#[derive(Debug)]
pub struct Job {
    pub options: Options,
    pub per_request: u64,
    pub started: Instant,
    pub stop_at: Option<Instant>,
    pub state: RefCell<State>,
}

/// Counters of the run; one thread, so a `RefCell` does.
#[derive(Debug)]
pub struct State {
    first: u64,
    next: u64,
    accepted: u64,
    errors: u64,
    statuses: BTreeMap<u16, u64>,
    first_error: Option<String>,
    micros: Vec<u32>,
    acked: Option<BufWriter<File>>,
    cut: bool,
}

impl State {
    /// Nothing sent yet.
    pub fn new(first: u64, acked: Option<File>) -> Self {
        Self {
            first,
            next: first,
            accepted: 0,
            errors: 0,
            statuses: BTreeMap::new(),
            first_error: None,
            micros: Vec::new(),
            acked: acked.map(BufWriter::new),
            cut: false,
        }
    }

    /// Closes the file of ids and sums up.
    pub fn report(mut self, elapsed: Duration) -> Result<Report> {
        if let Some(acked) = &mut self.acked {
            acked.flush()?;
        }
        Ok(Report {
            offered: self.next - self.first,
            accepted: self.accepted,
            errors: self.errors,
            statuses: self.statuses,
            first_error: self.first_error,
            accept: percentile::latency(&mut self.micros),
            seconds: elapsed.as_secs_f64(),
            cpu_us: process::cpu_us(std::process::id()).unwrap_or(0),
            next_ordinal: self.next,
            cut: self.cut,
        })
    }

    fn fail(&mut self, what: String) {
        self.errors += 1;
        self.first_error.get_or_insert(what);
    }
}

impl Job {
    /// The next request: first ordinal, messages, and when it is due. `None` when all is sent.
    fn take(&self) -> Option<(u64, u64, Instant)> {
        let mut state = self.state.borrow_mut();
        let sent = state.next - state.first;
        let left = if self.options.messages == 0 { u64::MAX } else { self.options.messages.saturating_sub(sent) };
        let now = Instant::now();
        let due = if self.options.rate > 0.0 {
            self.started + Duration::from_secs_f64(sent as f64 / self.options.rate)
        } else {
            now
        };
        if left == 0 || state.cut || self.stop_at.is_some_and(|stop| due.max(now) >= stop) {
            return None;
        }
        let count = left.min(self.per_request);
        let first = state.next;
        state.next += count;
        Some((first, count, due))
    }

    fn record(&self, status: u16, body: &[u8], due: Instant) -> Result<()> {
        let mut state = self.state.borrow_mut();
        *state.statuses.entry(status).or_default() += 1;
        if !(200..300).contains(&status) {
            state.fail(format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(300)])));
            return Ok(());
        }
        state.micros.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
        state.accepted += match self.options.mode {
            Mode::Single => 1,
            Mode::Batch => answer::accepted(body).unwrap_or_else(|| answer::ids(body).count() as u64),
        };
        if let Some(acked) = &mut state.acked {
            for id in answer::ids(body) {
                acked.write_all(id)?;
                acked.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    /// A request without an answer; the end of the run when the server is expected to go away.
    fn lose(&self, what: String) {
        let mut state = self.state.borrow_mut();
        state.fail(what);
        state.cut |= self.options.until_cut;
    }

    fn idempotency(&self, first: u64) -> String {
        match &self.options.idempotency {
            Some(prefix) => format!("idempotency-key: {prefix}-{first}\r\n"),
            None => String::new(),
        }
    }
}

/// Works until everything is sent, the time is over or the server is gone.
pub async fn work(job: Rc<Job>) {
    let host = host_of(&job.options.url).to_owned();
    let path = request::path(job.options.mode);
    let (mut body, mut bytes) = (Vec::new(), Vec::new());
    let mut connection: Option<Connection> = None;
    while let Some((first, count, due)) = job.take() {
        tokio::time::sleep_until(due.into()).await;
        request::write_body(&mut body, &job.options, first, count);
        write_request(&mut bytes, "POST", path, &host, &job.options.key, &job.idempotency(first), &body);
        let due = if job.options.rate > 0.0 { due } else { Instant::now() };
        match tokio::time::timeout(ANSWER_LIMIT, exchange(&mut connection, &host, &bytes)).await {
            Ok(Ok(status)) => {
                let body = connection.as_ref().map(Connection::body).unwrap_or_default();
                if let Err(error) = job.record(status, body, due) {
                    job.state.borrow_mut().fail(format!("cannot write the acknowledged ids: {error}"));
                    job.state.borrow_mut().cut = true;
                }
                if connection.as_ref().is_some_and(Connection::is_closed) {
                    connection = None;
                }
                if !(200..300).contains(&status) {
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
            failed => {
                connection = None;
                let what = failed.map_or_else(|_| "no answer".to_owned(), |r| format!("{:#}", r.expect_err("matched")));
                job.lose(what);
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn exchange(connection: &mut Option<Connection>, host: &str, bytes: &[u8]) -> Result<u16> {
    let open = match connection.take() {
        Some(open) => open,
        None => Connection::open(host).await?,
    };
    connection.insert(open).exchange(bytes).await
}

#[cfg(test)]
mod tests {
    use super::super::request::tests::options;
    use super::*;

    fn job(options: Options, per_request: u64) -> Job {
        let state = RefCell::new(State::new(options.first, None));
        Job { options, per_request, started: Instant::now(), stop_at: None, state }
    }

    #[test]
    fn requests_are_cut_to_the_messages_asked_for() {
        let mut options = options(Mode::Batch);
        options.messages = 25;
        options.first = 100;
        let job = job(options, 10);
        let taken: Vec<_> = std::iter::from_fn(|| job.take()).map(|(first, count, _)| (first, count)).collect();
        assert_eq!(taken, [(100, 10), (110, 10), (120, 5)]);
    }

    #[test]
    fn a_rate_spaces_what_is_due() {
        let mut options = options(Mode::Single);
        options.messages = 3;
        options.rate = 50.0;
        let job = job(options, 1);
        let due: Vec<_> = std::iter::from_fn(|| job.take()).map(|(_, _, due)| due - job.started).collect();
        assert_eq!(due, [0, 20, 40].map(Duration::from_millis));
    }

    #[test]
    fn answers_are_counted() {
        let job = job(options(Mode::Single), 1);
        let now = Instant::now();
        job.record(202, br#"{"id":"msg_1"}"#, now).expect("no file");
        job.record(503, br#"{"code":"UM8004"}"#, now).expect("no file");
        let report = job.state.into_inner().report(Duration::from_secs(1)).expect("no file");
        assert_eq!((report.accepted, report.errors), (1, 1));
        assert_eq!(report.statuses, BTreeMap::from([(202, 1), (503, 1)]));
        assert!(report.first_error.is_some_and(|e| e.contains("UM8004")));
    }
}
