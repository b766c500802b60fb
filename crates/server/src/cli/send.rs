//! `bongsu send --csv FILE`: stages a table as a group, sends it and shows how far it is; goes on where a connection broke.
//!
//! What a broken run left is in a small file beside the table: the same command goes on with its group until that has ended.

mod note;

use std::path::PathBuf;
use std::time::Duration;

use bongsu_domain::{Code, Secret};
use clap::Args;
use hyper::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use self::note::{Asked, Left, Note, Phase};
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
/// Errors of rows that are shown when no row is good.
const ERRORS_SHOWN: usize = 5;

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
    /// Go on with this group, which takes rows still; its text, sender number and so on are those it was made with.
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
    let asked = flags.asked(&table)?;
    let run = Run { flags, client, table, asked, left: Left::beside(&flags.csv), quiet_since: None };
    run.play().await
}

impl Flags {
    /// What a group is made with.
    fn of_group(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("--from", self.from.as_deref()),
            ("--text", self.text.as_deref()),
            ("--subject", self.subject.as_deref()),
            ("--lane", self.lane.as_deref()),
            ("--name", self.name.as_deref()),
            ("--approval", self.approval.then_some("yes")),
        ]
    }

    /// Everything that decides what is sent, and when.
    fn asked(&self, table: &Table) -> Result<Asked, Failure> {
        let asked = Asked::default().flag("--charset", Some(&self.charset)).flag("--at", self.at.as_deref());
        let asked = self.of_group().into_iter().fold(asked, |asked, (name, value)| asked.flag(name, value));
        let failed = |error| Failure::fault(format!("cannot read {}: {error}", self.csv.display()));
        asked.table("the table", table.reopen()?).map_err(failed)
    }
}

struct Run<'a> {
    flags: &'a Flags,
    client: Client,
    table: Table,
    asked: Asked,
    left: Left,
    /// Since when nobody answers.
    quiet_since: Option<Instant>,
}

impl Run<'_> {
    async fn play(mut self) -> Result<Answer, Failure> {
        let mut note = self.note().await?;
        let id = note.group.clone().unwrap_or_default();
        let mut group = self.upload(&id).await?;
        if note.phase == Phase::Staged {
            if group["state"] == "staging" && group["counts"]["accepted"] == 0 {
                return Err(self.none_accepted(&id).await);
            }
            if group["sentAt"].is_null() && matches!(group["state"].as_str(), Some("canceled" | "expired")) {
                self.left.forget()?;
                let state = group["state"].as_str().unwrap_or_default();
                return Err(Failure::fault(format!("{id} is {state} and was not sent; the same command begins anew")));
            }
            if self.flags.stage_only {
                return Ok(answer(&group));
            }
            if group["state"] == "staging" {
                group = match &self.flags.at {
                    Some(at) => self.ask(Method::POST, &path(&id, "/schedule"), Some(&json!({"sendAt": at}))).await?,
                    None => self.ask(Method::POST, &path(&id, "/send"), None).await?,
                };
            }
            // The file stays until the end: without it the same command would send everything a second time.
            note.phase = Phase::Sent;
            self.left.write(&note)?;
        }
        let has_left = matches!(group["state"].as_str(), Some("sending" | "finished" | "canceled"));
        if !self.flags.no_wait && has_left {
            group = self.follow(&id).await?;
        }
        self.left.forget()?;
        Ok(answer(&group))
    }

    /// The note of the group to go on with: the one named, the one that the last run left, or a new one.
    async fn note(&mut self) -> Result<Note, Failure> {
        let left = self.left.read()?;
        if let Some(id) = self.flags.resume.clone() {
            return self.resumed(id, left).await;
        }
        let note = match left {
            Some(note) => {
                self.must_be_same(&note)?;
                note
            }
            None => Note {
                key: format!("send-{:016x}", random()),
                phase: Phase::Staged,
                group: None,
                asked: self.asked.clone(),
            },
        };
        if let Some(id) = &note.group {
            eprintln!("going on with {id}; remove {} to begin anew", self.left.name());
            return Ok(note);
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
        let note = Note { group: Some(id), ..note };
        self.left.write(&note)?;
        Ok(note)
    }

    /// The note of a group that was named.
    async fn resumed(&mut self, id: String, left: Option<Note>) -> Result<Note, Failure> {
        let of_other = left.as_ref().and_then(|note| note.group.as_ref()).filter(|group| **group != id);
        if let Some(other) = of_other {
            let sentence = format!("{} is of {other}; go on with that one, or remove the file", self.left.name());
            return Err(Failure::configuration(sentence, Vec::new()));
        }
        if let Some(note) = left.filter(|note| note.group.is_some()) {
            self.must_be_same(&note)?;
            return Ok(note);
        }
        if let Some((name, _)) = self.flags.of_group().into_iter().find(|(_, value)| value.is_some()) {
            let sentence = format!("{name} is of {id} since it was made, and cannot be another one now; leave it out");
            return Err(Failure::configuration(sentence, Vec::new()));
        }
        let group = self.ask(Method::GET, &path(&id, ""), None).await?;
        if group["state"] != "staging" {
            let state = group["state"].as_str().unwrap_or_default();
            return Err(Failure::fault(format!("{id} is {state}; it takes no rows, so nothing of the table was sent")));
        }
        let note = Note { key: String::new(), phase: Phase::Staged, group: Some(id), asked: self.asked.clone() };
        self.left.write(&note)?;
        Ok(note)
    }

    /// What the last run left has to be of the same messages.
    fn must_be_same(&self, note: &Note) -> Result<(), Failure> {
        let differs = note.asked.differs(&self.asked);
        if differs.is_empty() {
            return Ok(());
        }
        let (name, differs) = (self.left.name(), differs.join(", "));
        let stands = match (&note.group, note.phase) {
            (Some(group), Phase::Sent) => format!("{group}, which was sent"),
            (Some(group), Phase::Staged) => format!("{group}, which may be sent or not"),
            (None, _) => "a group that was being made".to_owned(),
        };
        let sentence = format!(
            "{name} is what a run left about {stands}, and other things were asked then: {differs}; ask for the same to go on with it, \
             or remove {name} to begin anew"
        );
        Err(Failure::configuration(sentence, Vec::new()))
    }

    /// No row is good: says why, and has a corrected run begin anew.
    async fn none_accepted(&mut self, id: &str) -> Failure {
        let errors = match self.ask(Method::GET, &path(id, &format!("/errors?limit={ERRORS_SHOWN}")), None).await {
            Ok(errors) => errors,
            Err(why) => return why,
        };
        if let Err(why) = self.left.forget() {
            return why;
        }
        let rows = errors["items"].as_array().cloned().unwrap_or_default();
        let findings = rows.into_iter().map(|row| (error_line(&row), row)).collect();
        let sentence = match self.table.rows {
            0 => "the table has no rows".to_owned(),
            rows => format!(
                "none of the {rows} rows was accepted, so nothing was sent; correct the table and run the command again"
            ),
        };
        Failure { findings, ..Failure::fault(sentence) }
    }

    /// Brings all rows there, from the first that is missing on, however often the connection breaks. Answers the group.
    async fn upload(&mut self, id: &str) -> Result<Value, Failure> {
        let mut progress = Progress::new(self.table.rows);
        let mut is_whole = false;
        loop {
            let group = self.ask(Method::GET, &path(id, ""), None).await?;
            let there = group["rowsReceived"].as_u64().unwrap_or_default();
            progress.show(there, &counts(&group));
            if group["state"] != "staging" || there >= self.table.rows {
                progress.end();
                return Ok(group);
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

/// What is wrong with a row.
fn error_line(error: &Value) -> String {
    let text = |name: &str| error[name].as_str().unwrap_or_default();
    let code = text("code");
    let title = Code::ALL.iter().find(|known| known.as_str() == code).map(|code| code.title_en()).unwrap_or_default();
    format!("row {}: {code} {title}; {}: {}", error["row"], text("field"), text("detail"))
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
