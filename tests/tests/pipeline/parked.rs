//! A message that cannot be read is put aside; the others go on, and it follows once it is repaired.

use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bongsu_domain::MessageId;
use bongsu_testkit::{World, until};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::messages;

/// The file that holds the messages of today.
fn day_file(world: &World) -> PathBuf {
    let holds_messages = |path: &PathBuf| {
        let open = Connection::open(path)
            .and_then(|file| file.query_row("SELECT COUNT(*) FROM messages", [], |row| row.get::<_, i64>(0)));
        open.is_ok_and(|count| count > 0)
    };
    let mut left = vec![world.data().to_path_buf()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("the data directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|end| end == "db") && holds_messages(&path) {
            return path;
        }
    }
    panic!("no file with messages in {}", world.data().display())
}

/// Turns one byte of a message's sealed part around; doing it twice repairs it.
fn damage(world: &World, id: &str) {
    let id = id.parse::<MessageId>().expect("an id").0;
    let file = Connection::open(day_file(world)).expect("a database");
    let read = file.query_row("SELECT sealed FROM messages WHERE id = ?", [id], |row| row.get::<_, Vec<u8>>(0));
    let mut sealed = read.expect("the row");
    let last = sealed.len() - 1;
    sealed[last] ^= 0x55;
    file.execute("UPDATE messages SET sealed = ? WHERE id = ?", (sealed, id)).expect("a write");
}

/// Warnings of this process, as they are written.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<u8>>>);

impl Warnings {
    /// Keeps them from now on, those of other scenarios, too.
    fn keep() -> Self {
        let kept = Self::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::WARN);
        lines.with_writer(move || writer.clone()).try_init().expect("nobody else keeps lines");
        kept
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text")
    }
}

impl Write for Warnings {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_message_is_parked_and_replayed_after_its_repair() {
    let warnings = Warnings::keep();
    let mut world = World::builder()
        .on_files()
        .relays(&["kt"])
        .shares(json!({ "kt": 100 }))
        .every_relay(json!({ "ratePerS": 2 }))
        .start()
        .await;
    let ids = world.batch(json!({}), messages(0, 12)).await;
    world.stop().await;
    let broken = &ids[7];
    damage(&world, broken);
    world.start_again().await;
    world.operator("PATCH", "/v1/relays/kt", json!({ "ratePerS": 1_000 })).await.good(200);
    let parked = until("it is parked", || async { world.pages("/v1/parked?limit=100").await.pop() }).await;
    assert_eq!(parked["messageId"], json!(broken), "{parked:#}");
    assert!(parked["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{parked:#}");
    let text = warnings.text();
    let warned: Vec<&str> = text.lines().filter(|line| line.contains("a message cannot be processed")).collect();
    assert_eq!(warned.len(), 1, "{text}");
    assert!(warned[0].contains(&format!("message_id={broken}")) && !warned[0].contains("봉수"), "{text}");
    let others: Vec<String> = ids.iter().filter(|id| *id != broken).cloned().collect();
    for message in world.wait_final(&others).await {
        assert_eq!(message["status"], "delivered", "{message:#}");
    }
    assert_eq!(world.messages("").await.len(), 12, "a list that holds it can be read all the same");
    world.stop().await;
    damage(&world, broken);
    world.start_again().await;
    let replay = format!("/v1/parked/{broken}/replay");
    let reply = world.operator("POST", &replay, Value::Null).await;
    assert!((200..300).contains(&reply.status), "{}", reply.text);
    assert_eq!(world.wait_final(std::slice::from_ref(broken)).await[0]["status"], "delivered");
    assert!(world.pages("/v1/parked?limit=100").await.is_empty());
    world.audit().await;
}
