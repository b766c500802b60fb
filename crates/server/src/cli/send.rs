//! `bongsu send --csv FILE`: stages a table as a group, sends it and shows how far it is; goes on where a connection broke.
//!
//! What a broken run left is in a small file beside the table: the next run with the same table goes on with its group.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bongsu_domain::Secret;
use clap::Args;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::progress::Progress;
use super::table::Table;
use super::{Json, Target};
use crate::client::{Client, FileBody, Peer, escape};
use crate::environment::Environment;
use crate::failure::{Answer, Failure};

/// Between two looks at the counts.
const LOOK: Duration = Duration::from_millis(500);
/// Pause before a broken connection is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// `bongsu send …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// A table whose first line names the columns: to, from, text, subject, clientRef, billCode, and variables.
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
    /// Character set of the table.
    #[arg(long, default_value = "utf-8", value_parser = ["utf-8", "cp949"])]
    charset: String,
    /// Sender number of rows that name none.
    #[arg(long, value_name = "NUMBER")]
    from: Option<String>,
    /// Text of rows that have none, with #{name} where a column goes.
    #[arg(long)]
    text: Option<String>,
    /// Title of rows that have none.
    #[arg(long)]
    subject: Option<String>,
    /// Lane of all rows: bulk unless set.
    #[arg(long, value_parser = ["auth", "realtime", "bulk", "ad"])]
    lane: Option<String>,
    /// What the group is called; the name of the file unless set.
    #[arg(long)]
    name: Option<String>,
    /// When to send it, such as 2026-11-20T09:00:00+09:00; at once unless set.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Another key has to approve it before it leaves.
    #[arg(long)]
    approval: bool,
    /// Go on with this group instead of the one that the last run left.
    #[arg(long, value_name = "GROUP")]
    resume: Option<String>,
    /// Stage the rows and stop: what is wrong can be read before anything is sent.
    #[arg(long)]
    stage_only: bool,
    /// Do not wait for the results.
    #[arg(long)]
    no_wait: bool,
    /// Seconds to keep trying when the server does not answer.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    patience: u64,
    /// Key of an account; BONGSU_KEY. Shows in process lists, so prefer the variable.
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Sends a table.
pub(super) async fn run(flags: &Flags, environment: &Environment) -> Result<Answer, Failure> {
    let client = match &flags.key {
        Some(key) => Client::new(Peer::Server, &flags.target.url(environment), Some(Secret::new(key)))?,
        None => flags.target.client(environment)?,
    };
    let table = Table::open(&flags.csv)?;
    let run = Run { flags, client, table, left: Left::beside(&flags.csv), quiet_since: None };
    run.play().await
}

/// What a run leaves for the next one.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
struct Note {
    /// Under which the group is made, once.
    key: String,
    /// Length of the table: another one is not gone on with.
    bytes: u64,
    group: Option<String>,
}

/// The file of the note.
struct Left(PathBuf);

impl Left {
    fn beside(table: &Path) -> Self {
        let mut name = table.as_os_str().to_owned();
        name.push(".bongsu");
        Self(name.into())
    }

    fn read(&self, bytes: u64) -> Option<Note> {
        let note: Note = serde_json::from_str(&fs::read_to_string(&self.0).ok()?).ok()?;
        (note.bytes == bytes).then_some(note)
    }

    fn write(&self, note: &Note) -> Result<(), Failure> {
        let text = serde_json::to_string(note).unwrap_or_default();
        fs::write(&self.0, text).map_err(|error| Failure::fault(format!("cannot write {}: {error}", self.0.display())))
    }

    fn forget(&self) {
        // Best effort: a note of a group that was sent makes the next run say so.
        let _ = fs::remove_file(&self.0);
    }
}

struct Run<'a> {
    flags: &'a Flags,
    client: Client,
    table: Table,
    left: Left,
    /// Since when nobody answers.
    quiet_since: Option<Instant>,
}

impl Run<'_> {
    async fn play(mut self) -> Result<Answer, Failure> {
        let id = self.group().await?;
        self.upload(&id).await?;
        if self.flags.stage_only {
            let group = self.ask(Method::GET, &path(&id, ""), None).await?;
            return Ok(answer(&group));
        }
        let sent = match &self.flags.at {
            Some(at) => self.ask(Method::POST, &path(&id, "/schedule"), Some(&json!({"sendAt": at}))).await?,
            None => self.ask(Method::POST, &path(&id, "/send"), None).await?,
        };
        self.left.forget();
        if self.flags.no_wait || sent["state"] != "sending" {
            return Ok(answer(&sent));
        }
        let group = self.follow(&id).await?;
        Ok(answer(&group))
    }

    /// The group to fill: the one named, the one that the last run left, or a new one.
    async fn group(&mut self) -> Result<String, Failure> {
        if let Some(id) = &self.flags.resume {
            return Ok(id.clone());
        }
        let note = self.left.read(self.table.bytes).unwrap_or_else(|| Note {
            key: format!("send-{:016x}", random()),
            bytes: self.table.bytes,
            group: None,
        });
        if let Some(id) = note.group {
            eprintln!("going on with {id}; remove {} to begin anew", self.left.0.display());
            return Ok(id);
        }
        self.left.write(&note)?;
        let flags = self.flags;
        let mut defaults = serde_json::Map::new();
        for (name, value) in
            [("from", &flags.from), ("text", &flags.text), ("subject", &flags.subject), ("lane", &flags.lane)]
        {
            defaults.extend(value.clone().map(|value| (name.to_owned(), Value::String(value))));
        }
        let named = flags.csv.file_name().map(|name| name.to_string_lossy().chars().take(100).collect::<String>());
        let body = json!({"name": flags.name.clone().or(named), "defaults": defaults, "approval": flags.approval});
        let made = self.ask_keyed(Method::POST, "/v1/groups", Some(&body), Some(&note.key)).await?;
        let id = made["id"].as_str().unwrap_or_default().to_owned();
        self.left.write(&Note { group: Some(id.clone()), ..note })?;
        Ok(id)
    }

    /// Brings all rows there, from the first that is missing on, however often the connection breaks.
    async fn upload(&mut self, id: &str) -> Result<(), Failure> {
        let mut progress = Progress::new(self.table.rows);
        let mut is_whole = false;
        loop {
            let group = self.ask(Method::GET, &path(id, ""), None).await?;
            let there = group["rowsReceived"].as_u64().unwrap_or_default();
            progress.show(there, &counts(&group));
            if group["state"] != "staging" || there >= self.table.rows {
                progress.end();
                return Ok(());
            }
            if is_whole {
                let sentence = format!("the table has {} rows, the server found {there}", self.table.rows);
                return Err(Failure::fault(sentence));
            }
            let body = self.table.after(there)?;
            let (to, content_type) = (format!("{}?from={}", path(id, "/rows"), there + 1), self.content_type());
            let uploading = self.client.upload(&to, &content_type, body);
            let reply = {
                let mut uploading = std::pin::pin!(uploading);
                loop {
                    tokio::select! {
                        reply = &mut uploading => break reply,
                        () = sleep(LOOK) => {
                            if let Ok(group) = self.client.get(&path(id, "")).await {
                                let there = group["rowsReceived"].as_u64().unwrap_or_default();
                                progress.show(there, &counts(&group));
                            }
                        }
                    }
                }
            };
            match reply {
                Ok(reply) if (200..300).contains(&reply.status) => {
                    self.quiet_since = None;
                    is_whole = true;
                }
                // Another upload of the same rows is ending, or the server is.
                Ok(reply) if matches!(reply.status, 409 | 408 | 429 | 500..) => {
                    self.patience(self.client.refusal(&reply)).await?;
                }
                Ok(reply) => return Err(self.client.refusal(&reply)),
                Err(away) => self.patience(away).await?,
            }
        }
    }

    fn content_type(&self) -> String {
        format!("text/csv; charset={}", self.flags.charset)
    }

    /// Shows what becomes of the messages until all have their result.
    async fn follow(&mut self, id: &str) -> Result<Value, Failure> {
        let mut progress = None;
        loop {
            let group = self.ask(Method::GET, &path(id, ""), None).await?;
            let of = &group["progress"];
            let bar = progress.get_or_insert_with(|| Progress::new(of["total"].as_u64().unwrap_or_default()));
            bar.show(of["ended"].as_u64().unwrap_or_default(), &by_status(of));
            if !group["finishedAt"].is_null() {
                progress.into_iter().for_each(Progress::end);
                return Ok(group);
            }
            sleep(LOOK).await;
        }
    }

    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        self.ask_keyed(method, path, body, None).await
    }

    /// Asks until somebody answers; every step may be asked for again.
    async fn ask_keyed(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, Failure> {
        loop {
            match self.client.send_keyed(method.clone(), path, body, key).await {
                Ok(reply) if (200..300).contains(&reply.status) => {
                    self.quiet_since = None;
                    return Ok(reply.json());
                }
                Ok(reply) if matches!(reply.status, 429 | 503) => self.patience(self.client.refusal(&reply)).await?,
                Ok(reply) => return Err(self.client.refusal(&reply)),
                Err(away) => self.patience(away).await?,
            }
        }
    }

    /// Waits before the next try, unless that has been going on for too long.
    async fn patience(&mut self, why: Failure) -> Result<(), Failure> {
        let since = *self.quiet_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= Duration::from_secs(self.flags.patience) {
            let note = format!("{}; the same command goes on where this one stopped", why.sentence);
            return Err(Failure { sentence: note, ..why });
        }
        sleep(AGAIN).await;
        Ok(())
    }
}

fn path(id: &str, rest: &str) -> String {
    format!("/v1/groups/{}{rest}", escape(id))
}

fn counts(group: &Value) -> String {
    let counts = &group["counts"];
    format!("{} accepted, {} refused", counts["accepted"], counts["rejected"])
}

fn by_status(progress: &Value) -> String {
    let counts = progress["counts"].as_object();
    let told = counts.into_iter().flatten().filter(|(_, count)| count.as_u64() != Some(0));
    told.map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

fn answer(group: &Value) -> Answer {
    let id = group["id"].as_str().unwrap_or_default();
    let mut text = format!("{id} is {}: {}", group["state"].as_str().unwrap_or_default(), counts(group));
    if !group["progress"].is_null() {
        text.push_str(&format!("; {}", by_status(&group["progress"])));
    }
    if group["counts"]["rejected"] != 0 {
        text.push_str(&format!("\nwhat is wrong with rows: GET /v1/groups/{id}/failures.csv"));
    }
    Answer::new(group.clone(), text)
}

/// A number that no other run has: from the process, the time and where things lie in memory.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

impl Table {
    /// The table from a row on, with its first line before it.
    fn after(&self, rows: u64) -> Result<FileBody, Failure> {
        let from = self.offset_after(rows)?;
        Ok(FileBody::new(self.reopen()?, self.head.clone(), from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_of_one_table() {
        let directory = tempfile::tempdir().expect("a directory");
        let left = Left::beside(&directory.path().join("a.csv"));
        assert!(left.read(5).is_none());
        let note = Note { key: "k".into(), bytes: 5, group: Some("grp_1".into()) };
        left.write(&note).expect("room");
        assert_eq!(left.read(5), Some(note));
        assert!(left.read(6).is_none());
        left.forget();
        assert!(left.read(5).is_none());
    }
}
