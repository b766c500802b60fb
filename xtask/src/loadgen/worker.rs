//! One connection of the load generator: takes the next request that is due, sends it, counts the answer.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::Notify;

use super::{Mode, Options, Report, answer, request};
use crate::http::{Connection, host_of, write_request};
use crate::{percentile, process};

/// Wait after a refusal or a failed connection, so that an overloaded server is not asked in a tight loop.
const BACK_OFF: Duration = Duration::from_millis(20);
/// The wait doubles with each repetition up to this.
const BACK_OFF_MAX: Duration = Duration::from_millis(640);
/// An answer that takes longer counts as an error.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// A caller who asks again does so earlier, also because the server may be frozen.
const RETRY_LIMIT: Duration = Duration::from_secs(5);
/// A request that has no answer after this long gets none.
const GIVE_UP: Duration = Duration::from_secs(120);

/// What all connections share.
#[derive(Debug)]
pub struct Job {
    pub options: Options,
    pub per_request: u64,
    pub started: Instant,
    pub stop_at: Option<Instant>,
    pub state: RefCell<State>,
    /// Wakes those who wait for the moment of their request.
    pub stopping: Notify,
}

/// Counters of the run; one thread, so a `RefCell` does.
#[derive(Debug)]
pub struct State {
    first: u64,
    next: u64,
    offered: u64,
    requests: usize,
    accepted: u64,
    errors: u64,
    statuses: BTreeMap<u16, u64>,
    codes: BTreeMap<String, u64>,
    cuts: u64,
    silences: u64,
    repeated: u64,
    refused: u64,
    given_up: u64,
    first_error: Option<String>,
    micros: Vec<u32>,
    acked: Option<BufWriter<File>>,
    cut: bool,
    stopped: bool,
}

/// A request that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Due {
    /// Ordinal of its first message.
    first: u64,
    /// Messages.
    count: u64,
    /// When.
    at: Instant,
    /// Number of the request, by which the servers take turns.
    turn: usize,
}

/// What one try of a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Accepted.
    Done,
    /// Refused; the same request gets the same answer.
    Refused,
    /// Not now, or nobody knows.
    Again,
}

impl State {
    /// Nothing sent yet.
    pub fn new(first: u64, acked: Option<File>) -> Self {
        Self {
            first,
            next: first,
            offered: 0,
            requests: 0,
            accepted: 0,
            errors: 0,
            statuses: BTreeMap::new(),
            codes: BTreeMap::new(),
            cuts: 0,
            silences: 0,
            repeated: 0,
            refused: 0,
            given_up: 0,
            first_error: None,
            micros: Vec::new(),
            acked: acked.map(BufWriter::new),
            cut: false,
            stopped: false,
        }
    }

    fn missed(&mut self, answer: Answer, is_first: bool, given_up: bool) {
        self.refused += u64::from(answer == Answer::Refused);
        self.repeated += u64::from(is_first);
        self.given_up += u64::from(given_up);
    }

    /// Closes the file of ids and sums up.
    pub fn report(mut self, elapsed: Duration) -> Result<Report> {
        if let Some(acked) = &mut self.acked {
            acked.flush()?;
        }
        Ok(Report {
            offered: self.offered,
            accepted: self.accepted,
            errors: self.errors,
            statuses: self.statuses,
            codes: self.codes,
            cuts: self.cuts,
            silences: self.silences,
            repeated: self.repeated,
            refused: self.refused,
            given_up: self.given_up,
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
    /// Offers nothing new.
    pub fn stop(&self) {
        self.state.borrow_mut().stopped = true;
        self.stopping.notify_waiters();
    }

    /// The next request; `None` when all is sent.
    fn take(&self) -> Option<Due> {
        let mut state = self.state.borrow_mut();
        let sent = state.next - state.first;
        let left = if self.options.messages == 0 { u64::MAX } else { self.options.messages.saturating_sub(sent) };
        let now = Instant::now();
        let at = if self.options.rate > 0.0 {
            self.started + Duration::from_secs_f64(sent as f64 / self.options.rate)
        } else {
            now
        };
        if left == 0 || state.cut || state.stopped || self.stop_at.is_some_and(|stop| at.max(now) >= stop) {
            return None;
        }
        let count = left.min(self.per_request);
        let (first, turn) = (state.next, state.requests);
        state.next += count;
        state.requests += 1;
        Some(Due { first, count, at, turn })
    }

    fn record(&self, status: u16, body: &[u8], due: Instant) -> Result<Answer> {
        let mut state = self.state.borrow_mut();
        *state.statuses.entry(status).or_default() += 1;
        if !(200..300).contains(&status) {
            let code = answer::code(body);
            *state.codes.entry(format!("{status} {code}").trim_end().to_owned()).or_default() += 1;
            state.fail(format!("{status}: {}", String::from_utf8_lossy(&body[..body.len().min(300)])));
            return Ok(if is_worth_repeating(status, code) { Answer::Again } else { Answer::Refused });
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
        Ok(Answer::Done)
    }

    /// A request without an answer; the end of the run when the server is expected to go away.
    fn lose(&self, what: Option<anyhow::Error>) {
        let mut state = self.state.borrow_mut();
        match what {
            Some(error) => {
                state.cuts += 1;
                state.fail(format!("{error:#}"));
            }
            None => {
                state.silences += 1;
                state.fail("no answer".to_owned());
            }
        }
        state.cut |= self.options.until_cut;
    }

    fn idempotency(&self, first: u64) -> String {
        match &self.options.idempotency {
            Some(prefix) => format!("idempotency-key: {prefix}-{first}\r\n"),
            None => String::new(),
        }
    }
}

/// Whether the same request may be answered otherwise a moment later.
fn is_worth_repeating(status: u16, code: &str) -> bool {
    // While the first try of a key is under way at another server, its repetition is told so.
    status >= 500 || status == 429 || (status == 409 && code == "UM1005")
}

/// One caller with a connection to each server.
struct Caller {
    job: Rc<Job>,
    hosts: Vec<String>,
    connections: Vec<Option<Connection>>,
    bytes: Vec<u8>,
}

/// Works until everything is sent, the time is over or the server is gone.
pub async fn work(job: Rc<Job>) {
    let hosts: Vec<String> = job.options.url.iter().map(|url| host_of(url).to_owned()).collect();
    let connections = hosts.iter().map(|_| None).collect();
    let mut caller = Caller { job: Rc::clone(&job), hosts, connections, bytes: Vec::new() };
    let mut body = Vec::new();
    while let Some(due) = job.take() {
        tokio::select! {
            () = tokio::time::sleep_until(due.at.into()) => {}
            () = job.stopping.notified() => return,
        }
        job.state.borrow_mut().offered += due.count;
        request::write_body(&mut body, &job.options, due.first, due.count);
        let at = if job.options.rate > 0.0 { due.at } else { Instant::now() };
        caller.ask(Due { at, ..due }, &body).await;
    }
}

impl Caller {
    /// Sends one request until its answer is one to keep.
    async fn ask(&mut self, due: Due, body: &[u8]) {
        let mut wait = BACK_OFF;
        let begin = Instant::now();
        for server in due.turn.. {
            let answer = self.try_once(server % self.hosts.len(), due, body).await;
            if answer == Answer::Done {
                return;
            }
            let again = self.job.options.retry && answer == Answer::Again;
            let given_up = again && begin.elapsed() > GIVE_UP;
            self.job.state.borrow_mut().missed(answer, again && server == due.turn, given_up);
            tokio::time::sleep(wait).await;
            if !again || given_up {
                return;
            }
            wait = (wait * 2).min(BACK_OFF_MAX);
        }
    }

    async fn try_once(&mut self, server: usize, due: Due, body: &[u8]) -> Answer {
        let job = Rc::clone(&self.job);
        let (host, connection) = (&self.hosts[server], &mut self.connections[server]);
        let extra = job.idempotency(due.first);
        let path = request::path(job.options.mode);
        write_request(&mut self.bytes, "POST", path, host, &job.options.key, &extra, body);
        let limit = if job.options.retry { RETRY_LIMIT } else { ANSWER_LIMIT };
        match tokio::time::timeout(limit, exchange(connection, host, &self.bytes)).await {
            Ok(Ok(status)) => {
                let body = connection.as_ref().map(Connection::body).unwrap_or_default();
                let answer = job.record(status, body, due.at).unwrap_or_else(|error| {
                    let mut state = job.state.borrow_mut();
                    state.fail(format!("cannot write the acknowledged ids: {error}"));
                    state.cut = true;
                    Answer::Refused
                });
                if connection.as_ref().is_some_and(Connection::is_closed) {
                    *connection = None;
                }
                answer
            }
            failed => {
                *connection = None;
                job.lose(failed.ok().and_then(Result::err));
                Answer::Again
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
        Job { options, per_request, started: Instant::now(), stop_at: None, state, stopping: Notify::new() }
    }

    #[test]
    fn requests_are_cut_to_the_messages_asked_for() {
        let mut options = options(Mode::Batch);
        options.messages = 25;
        options.first = 100;
        let job = job(options, 10);
        let taken: Vec<_> = std::iter::from_fn(|| job.take()).map(|due| (due.first, due.count, due.turn)).collect();
        assert_eq!(taken, [(100, 10, 0), (110, 10, 1), (120, 5, 2)]);
    }

    #[test]
    fn a_rate_spaces_what_is_due() {
        let mut options = options(Mode::Single);
        options.messages = 3;
        options.rate = 50.0;
        let job = job(options, 1);
        let due: Vec<_> = std::iter::from_fn(|| job.take()).map(|due| due.at - job.started).collect();
        assert_eq!(due, [0, 20, 40].map(Duration::from_millis));
    }

    #[test]
    fn answers_are_counted() {
        let job = job(options(Mode::Single), 1);
        let now = Instant::now();
        assert_eq!(job.record(202, br#"{"id":"msg_1"}"#, now).expect("no file"), Answer::Done);
        assert_eq!(job.record(503, br#"{"code":"UM8004"}"#, now).expect("no file"), Answer::Again);
        assert_eq!(job.record(422, br#"{"code":"UM1006"}"#, now).expect("no file"), Answer::Refused);
        let report = job.state.into_inner().report(Duration::from_secs(1)).expect("no file");
        assert_eq!((report.accepted, report.errors), (1, 2));
        assert_eq!(report.statuses, BTreeMap::from([(202, 1), (422, 1), (503, 1)]));
        assert_eq!(report.codes, BTreeMap::from([("422 UM1006".to_owned(), 1), ("503 UM8004".to_owned(), 1)]));
        assert!(report.first_error.is_some_and(|e| e.contains("UM8004")));
    }

    #[test]
    fn nothing_is_offered_after_a_stop() {
        let job = job(options(Mode::Single), 1);
        assert!(job.take().is_some());
        job.stop();
        assert_eq!(job.take(), None);
    }

    #[test]
    fn only_what_may_change_is_asked_again() {
        for (status, code) in [(500, ""), (503, "UM8004"), (429, "UM3003"), (409, "UM1005")] {
            assert!(is_worth_repeating(status, code), "{status} {code}");
        }
        for (status, code) in [(400, ""), (402, "UM3001"), (409, "UM1013"), (422, "UM1006")] {
            assert!(!is_worth_repeating(status, code), "{status} {code}");
        }
    }
}
