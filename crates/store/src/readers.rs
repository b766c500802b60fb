//! Reading: a few threads with connections of their own, each read bounded in time (design D4).

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bongsu_domain::Day;
use bongsu_domain::id::id_day;
use rusqlite::Connection;

use crate::db::Db;
use crate::error::{Error, Kind};
use crate::files::{self, Layout};
use crate::rows::{self, MessageRow, Run};

/// Longest read; a longer one would keep the log from being checkpointed.
pub(crate) const READ_TIME_MAX: Duration = Duration::from_secs(1);
/// Virtual machine steps between two looks at the clock.
const STEPS_BETWEEN_CHECKS: i32 = 20_000;
/// Reads that may wait.
const WAITING_MAX: usize = 10_000;
/// Day files a reader keeps open.
const DAYS_OPEN_MAX: usize = 40;

/// What a read works with.
pub struct Reader {
    /// What lives as long as the installation.
    pub live: Db,
    days: Days,
}

/// Where messages are read.
enum Days {
    Files {
        layout: Layout,
        open: HashMap<Day, Db>,
        until: Arc<Mutex<Option<Instant>>>,
    },
    #[cfg_attr(not(feature = "mysql"), allow(dead_code, reason = "the embedded store has files"))]
    Same,
}

impl Reader {
    /// Reads files.
    pub(crate) fn files(layout: &Layout) -> Result<Self, Error> {
        let until = Arc::new(Mutex::new(None));
        let mut live = files::open_reader(&layout.live())?;
        limit(&mut live, &until)?;
        Ok(Self { live: live.into(), days: Days::Files { layout: layout.clone(), open: HashMap::new(), until } })
    }

    /// Reads one database.
    #[cfg(feature = "mysql")]
    pub(crate) fn database(live: Db) -> Self {
        Self { live, days: Days::Same }
    }

    /// Where the history of a day is read; absent when it has none.
    ///
    /// # Errors
    /// Those of the engine.
    pub fn day(&mut self, day: Day) -> Result<Option<&Db>, Error> {
        let Days::Files { layout, open, until } = &mut self.days else { return Ok(Some(&self.live)) };
        if !open.contains_key(&day) {
            let path = layout.day(day);
            if !path.exists() {
                return Ok(None);
            }
            if open.len() >= DAYS_OPEN_MAX {
                open.clear();
            }
            let mut db = files::open_reader(&path)?;
            limit(&mut db, until)?;
            open.insert(day, db.into());
        }
        Ok(open.get(&day))
    }

    fn begin(&self) {
        if let Days::Files { until, .. } = &self.days
            && let Ok(mut until) = until.lock()
        {
            *until = Some(Instant::now() + READ_TIME_MAX);
        }
    }

    fn forget_days(&mut self) {
        if let Days::Files { open, .. } = &mut self.days {
            open.clear();
        }
    }

    /// A message that exists, with its run.
    pub(crate) fn message(&mut self, id: i64) -> Result<Option<(MessageRow, Run)>, Error> {
        let run = match rows::run_of(&self.live, id)? {
            Some(run) => Some(run),
            None => crate::groups::run_to_be(&self.live, id)?,
        };
        let Some(run) = run else { return Ok(None) };
        let Some(day) = self.day(id_day(id))? else { return Ok(None) };
        Ok(rows::by_id(day, id)?.map(|row| (row, run)))
    }
}

fn limit(db: &mut Connection, until: &Arc<Mutex<Option<Instant>>>) -> Result<(), Error> {
    let until = until.clone();
    db.progress_handler(
        STEPS_BETWEEN_CHECKS,
        Some(move || until.lock().is_ok_and(|until| until.is_some_and(|until| Instant::now() > until))),
    )?;
    Ok(())
}

type Read = Box<dyn FnOnce(&mut Reader) + Send>;

struct Line {
    waiting: std::collections::VecDeque<Read>,
    closed: bool,
    /// Raised when day files were removed.
    removed: u64,
}

/// The reading threads.
pub(crate) struct Readers {
    line: Arc<(Mutex<Line>, Condvar)>,
}

impl Readers {
    pub(crate) fn start(threads: usize, name: &str, open: impl Fn() -> Result<Reader, Error>) -> Result<Self, Error> {
        let line =
            Arc::new((Mutex::new(Line { waiting: Default::default(), closed: false, removed: 0 }), Condvar::new()));
        for _ in 0..threads {
            let reader = open()?;
            let line = line.clone();
            std::thread::Builder::new().name(name.to_string()).spawn(move || serve(reader, &line))?;
        }
        Ok(Self { line })
    }

    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Reader) -> Result<T, Error> + Send + 'static,
    {
        let (reply, receiver) = tokio::sync::oneshot::channel();
        {
            let mut line = self.line.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if line.closed || line.waiting.len() >= WAITING_MAX {
                return Err(Error::new(Kind::Unavailable, "too many reads wait"));
            }
            line.waiting.push_back(Box::new(move |reader| {
                let _ = reply.send(work(reader));
            }));
        }
        self.line.1.notify_one();
        receiver.await.map_err(|_| Error::new(Kind::Unavailable, "the reader stopped"))?
    }

    /// Makes every thread close its day files before its next read.
    pub(crate) fn forget_days(&self) {
        self.line.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).removed += 1;
    }

    pub(crate) fn close(&self) {
        self.line.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).closed = true;
        self.line.1.notify_all();
    }
}

fn serve(mut reader: Reader, line: &(Mutex<Line>, Condvar)) {
    let mut known = 0;
    loop {
        let (work, removed) = {
            let mut waiting = line.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            loop {
                if let Some(work) = waiting.waiting.pop_front() {
                    break (work, waiting.removed);
                }
                if waiting.closed {
                    return;
                }
                waiting = line.1.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        };
        if removed != known {
            reader.forget_days();
            known = removed;
        }
        reader.begin();
        work(&mut reader);
    }
}
