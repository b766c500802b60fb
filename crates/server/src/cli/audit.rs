//! `bongsu audit`: reads the acknowledged ids, the books and the simulator, and says whether they agree.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::MessageId;
use bongsu_store::Store;
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Json, Target, configure};
use crate::audit::{self, Counts, Line, Totals};
use crate::books;
use crate::client::{Client, Peer};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::environment::Environment;
use crate::failure::{Answer, Failure, IN_USE};
use crate::opening;
use crate::table::table;

/// Between two looks while messages are open.
const LOOK: Duration = Duration::from_millis(500);

/// `bongsu audit …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Data directory to read, also while a server uses it. Where the environment names a database, that is read, and this
    /// directory has its key file.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    data: Option<PathBuf>,
    /// Configuration file (TOML) that names the store to read.
    #[arg(long, value_name = "FILE", conflicts_with = "url")]
    config: Option<PathBuf>,
    /// Server to ask, with an operator's key in BONGSU_KEY.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Ids that callers were given, one a line.
    #[arg(long, value_name = "FILE")]
    acked: Option<PathBuf>,
    /// Control address of the simulators.
    #[arg(long, value_name = "URL")]
    sim: Option<String>,
    /// Seconds to wait until nothing is open.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    wait: u64,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Where the books are read.
enum Books {
    /// A store, and whether servers go on changing it.
    Store(Box<Config>, Store, bool),
    Server(Client),
}

/// Waits until nothing is open, then compares.
pub(super) async fn run(flags: &Flags, environment: &Environment) -> Result<Answer, Failure> {
    let acked = match &flags.acked {
        Some(path) => read_ids(path)?,
        None => HashSet::new(),
    };
    let books = Books::open(flags, environment).await?;
    let simulator = match &flags.sim {
        Some(address) => {
            let url = if address.contains("://") { address.clone() } else { format!("http://{address}") };
            Some(Client::new(Peer::Simulator, &url, None)?)
        }
        None => None,
    };
    let until = Instant::now() + Duration::from_secs(flags.wait);
    let read = books.read_until_closed(until).await;
    books.close().await;
    let (totals, lines) = read?;
    // After the books: whatever they say left has reached the simulator by now.
    let seen = match &simulator {
        Some(simulator) => Some(books::of_simulator(simulator).await?),
        None => None,
    };
    let counts = audit::judge(totals, &lines, &acked, seen.as_ref());
    Ok(answer(&counts))
}

impl Books {
    async fn open(flags: &Flags, environment: &Environment) -> Result<Self, Failure> {
        if flags.data.is_none() && flags.config.is_none() {
            return Ok(Self::Server(Target { url: flags.url.clone() }.client(environment)?));
        }
        if let Some(data) = flags.data.as_ref().filter(|data| !data.is_dir()) {
            let sentence = format!("there is no data directory {}; name one with --data", data.display());
            return Err(Failure::configuration(sentence, Vec::new()));
        }
        let data = flags.data.as_ref().map(|data| ("data", "data", data.display().to_string()));
        let file = flags.config.as_ref().map(configure::read_file).transpose()?.zip(flags.config.clone());
        let file = file.map(|(text, path)| (path, text));
        let config = Box::new(configure::read(file, environment, data.into_iter().collect())?.0);
        let clock = Arc::new(SystemClock);
        if opening::is_shared(&config) {
            let store = opening::open_beside(&config, clock).await?;
            return Ok(Self::Store(config, store, true));
        }
        match opening::open_store(&config, clock.clone()).await {
            Ok(store) => Ok(Self::Store(config, store, false)),
            Err(failure) if failure.exit == IN_USE => {
                let store = opening::open_beside(&config, clock).await?;
                Ok(Self::Store(config, store, true))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Nothing changes in a directory while this process alone has it, so only a server's is looked at again.
    async fn read_until_closed(&self, until: Instant) -> Result<(Totals, Vec<Line>), Failure> {
        loop {
            let (totals, lines) = match self {
                Self::Store(config, store, served) => {
                    let read = books::of_store(store).await.map_err(|error| opening::store_fault(config, &error))?;
                    if !served {
                        return Ok(read);
                    }
                    read
                }
                Self::Server(client) => books::of_server(client).await?,
            };
            if Instant::now() >= until || lines.iter().all(|line| line.status.is_final()) {
                return Ok((totals, lines));
            }
            sleep(LOOK).await;
        }
    }

    async fn close(self) {
        if let Self::Store(_, store, _) = self {
            opening::close_store(store).await;
        }
    }
}

fn answer(counts: &Counts) -> Answer {
    let json = json!(counts);
    let rows: Vec<Vec<String>> =
        json.as_object().into_iter().flatten().map(|(name, count)| vec![name.clone(), count.to_string()]).collect();
    let verdict = if counts.is_clean() { "clean" } else { "NOT CLEAN" };
    let text = format!("{}\n\n{verdict}", table(&["audit", "count"], &rows));
    Answer { json, text, exit: u8::from(!counts.is_clean()) }
}

fn read_ids(path: &Path) -> Result<HashSet<MessageId>, Failure> {
    let wrong = |what: String| Failure::configuration(format!("{}: {what}", path.display()), Vec::new());
    let text = std::fs::read_to_string(path)
        .map_err(|error| wrong(format!("cannot be read: {error}; name the file that the caller wrote")))?;
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).filter(|(_, line)| !line.is_empty());
    lines
        .map(|(at, line)| {
            line.parse().map_err(|_| wrong(format!("line {at} is no message id; each line holds one like msg_…")))
        })
        .collect()
}
