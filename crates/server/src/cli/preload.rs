//! `bongsu preload`: history for benchmarks, written into a data directory that no server uses.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{AccountId, Clock, PhoneNumber, Timestamp};
use bongsu_send::{sealed, search_hash};
use bongsu_store::{HashPurpose, Vault, accounts, index, preload, senders};
use clap::Args;
use serde_json::json;

use super::{Json, configure};
use crate::clock::SystemClock;
use crate::environment::Environment;
use crate::failure::{Answer, Failure};
use crate::opening;

/// Days before today that get a twentieth of the rows each; today gets the rest.
const AGES_DAYS: [u64; 10] = [80, 60, 40, 30, 20, 14, 10, 7, 5, 3];
/// Recipients of the history: one in so many numbers is used again.
const RECIPIENTS: u64 = 10_000_000;

/// `bongsu preload …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Data directory.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Messages to write.
    #[arg(long, value_name = "N")]
    rows: u64,
    #[command(flatten)]
    pub(super) json: Json,
}

/// Writes the history.
pub(super) async fn run(flags: &Flags, environment: &Environment) -> Result<Answer, Failure> {
    let config = configure::read(None, environment, vec![("data", "data", flags.data.display().to_string())])?.0;
    let clock = Arc::new(SystemClock);
    let store = opening::open_store(&config, clock.clone()).await?;
    let account = accounts::create(&store, "history").await.map_err(|error| opening::store_fault(&config, &error))?.id;
    opening::close_store(store).await;
    let now = clock.now();
    let options = opening::options(&config, clock)?;
    let old = flags.rows / 20;
    let mut from = 0;
    for days in AGES_DAYS.into_iter().chain([0]) {
        let rows = if days == 0 { flags.rows - from } else { old };
        let start = start_of(now, days);
        let message = |vault: &Vault, row: u64| make(vault, account, from + row);
        let mut progress = |done: u64| eprint!("\rhistory: {} of {}", from + done, flags.rows);
        preload::write(&options, account, rows, start, &message, &mut progress)
            .map_err(|error| opening::store_fault(&config, &error))?;
        from += rows;
    }
    eprintln!();
    Ok(Answer::new(json!({ "rows": flags.rows, "account": account.to_string() }), format!("{} rows", flags.rows)))
}

/// Ten minutes ago for today, else noon of that day.
fn start_of(now: Timestamp, days: u64) -> Timestamp {
    if days == 0 {
        return now.minus(Duration::from_secs(600)).max(now.kst_day().start());
    }
    now.minus(Duration::from_secs(days * 86_400)).kst_day().start().plus(Duration::from_secs(12 * 3600))
}

/// Sender number of history.
const FROM: &str = "15880000";

fn make(vault: &Vault, account: AccountId, row: u64) -> bongsu_store::accept::NewMessage {
    let number = format!("010{:08}", 20_000_000 + row.wrapping_mul(7_919) % RECIPIENTS);
    let text = format!("history {row}");
    let plain = sealed::encode(&number, FROM, None, sealed::ContentRef::Text(&text));
    let recipient = search_hash(vault, HashPurpose::Recipient, account, &number);
    let last4 = search_hash(vault, HashPurpose::LastFour, account, &number[7..]);
    let labels = vec![("shop".to_owned(), (row / 10_000 % 100).to_string())];
    let bill_code = format!("D{}", row / 100_000 % 10);
    let extra = serde_json::json!({"b": bill_code, "l": labels}).to_string();
    let number_hash = PhoneNumber::from_national(FROM).map_or(0, |from| senders::number_hash(vault, &from));
    bongsu_store::accept::NewMessage {
        sender: index::sender_key(account, number_hash),
        tags: index::tags(account, Some(&bill_code), &labels),
        extra: Some(extra),
        ..preload::message(recipient, last4, vault.seal(&plain))
    }
}
