//! `bongsu admin <noun> <verb>`: each command is one request to the HTTP API.

mod request;

use clap::{Args, Subcommand};

use super::Target;
use crate::environment::Environment;
use crate::failure::{Answer, Failure};
use crate::table;

/// `bongsu admin …`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    #[command(flatten)]
    target: GlobalTarget,
    #[command(flatten)]
    pub(super) json: GlobalJson,
    #[command(subcommand)]
    noun: Noun,
}

/// [`Target`], accepted before and after the verb.
#[derive(Debug, Args)]
struct GlobalTarget {
    /// Address of the server; BONGSU_URL, or http://127.0.0.1:8080.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
}

/// [`super::Json`], accepted before and after the verb.
#[derive(Debug, Args)]
pub(super) struct GlobalJson {
    /// Print exactly one JSON document.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Customers.
    #[command(subcommand)]
    Account(Account),
    /// API keys.
    #[command(subcommand)]
    Key(Key),
    /// Sender numbers (발신번호).
    #[command(subcommand)]
    Sender(Sender),
    /// Relays (중계사).
    #[command(subcommand)]
    Relay(Relay),
    /// The ratio of relays for a channel.
    #[command(subcommand)]
    Distribution(Distribution),
    /// Prices.
    #[command(subcommand)]
    Price(Price),
    /// Points.
    #[command(subcommand)]
    Wallet(Wallet),
}

/// Whose data, for an operator's key; an account's key needs none.
#[derive(Debug, Args)]
struct Of {
    /// The account, when the key is an operator's.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Account {
    /// Creates an account.
    Create {
        /// Its name.
        name: String,
    },
    /// Lists accounts.
    List,
    /// Changes an account; only what is named changes.
    Update {
        /// Its id.
        id: String,
        /// Its name.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Whether it may send.
        #[arg(long, value_name = "true|false")]
        suspended: Option<bool>,
        /// Messages a second.
        #[arg(long, value_name = "N")]
        rate: Option<u32>,
    },
}

#[derive(Debug, Subcommand)]
enum Key {
    /// Creates a key; it is shown this once.
    Create {
        #[command(flatten)]
        of: Of,
        /// What it may do: send, read, numbers or manage; repeat for more. An operator's key needs none.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Kind of the key: live, team, test or operator.
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
    },
    /// Lists keys; never the keys themselves.
    List(Of),
    /// Revokes a key.
    Revoke {
        /// Its id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum Sender {
    /// Registers a number; a code is sent to it.
    Add {
        /// The number.
        number: String,
        #[command(flatten)]
        of: Of,
    },
    /// Proves a number with the code that was sent to it.
    Verify {
        /// The sender's id.
        id: String,
        /// The code.
        code: String,
    },
    /// Sends the code again.
    Code {
        /// The sender's id.
        id: String,
    },
    /// Approves a number without a code (operator).
    Approve {
        /// The sender's id.
        id: String,
    },
    /// Lists sender numbers.
    List(Of),
    /// Takes a number out of use.
    Delete {
        /// The sender's id.
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum Relay {
    /// Adds a relay. Its password comes from BONGSU_RELAY_PASSWORD, so that it stands in no process list.
    Add {
        /// Its name, as distributions use it.
        name: String,
        /// `host:port`.
        #[arg(long, value_name = "HOST:PORT")]
        address: String,
        /// system_id of the bind.
        #[arg(long, value_name = "TEXT")]
        system_id: String,
        #[command(flatten)]
        tuning: Tuning,
    },
    /// Lists relays with their health.
    List,
    /// Changes a relay; only what is named changes. A new password comes from BONGSU_RELAY_PASSWORD.
    Update {
        /// Its name.
        name: String,
        /// `host:port`.
        #[arg(long, value_name = "HOST:PORT")]
        address: Option<String>,
        /// system_id of the bind.
        #[arg(long, value_name = "TEXT")]
        system_id: Option<String>,
        #[command(flatten)]
        tuning: Tuning,
    },
    /// Takes a relay out of use.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
struct Tuning {
    /// Parts a second that the contract allows.
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Unanswered parts a bind may have.
    #[arg(long, value_name = "N")]
    window: Option<u16>,
    /// Parallel binds.
    #[arg(long, value_name = "N")]
    binds: Option<u8>,
    /// Whether a message with an unknown attempt is sent again.
    #[arg(long, value_name = "true|false")]
    resend_unknown: Option<bool>,
}

#[derive(Debug, Subcommand)]
enum Distribution {
    /// Sets the ratio, like: sms kt=70 skt=20 lgu=10.
    Set {
        /// The channel.
        channel: String,
        /// Shares as RELAY=PERCENT, 100 together.
        #[arg(required = true, value_name = "RELAY=PERCENT", value_parser = share)]
        shares: Vec<(String, u32)>,
        #[command(flatten)]
        of: Of,
    },
    /// Shows the ratio.
    Show {
        /// The channel.
        channel: String,
        #[command(flatten)]
        of: Of,
    },
    /// Goes back to even shares.
    Reset {
        /// The channel.
        channel: String,
        #[command(flatten)]
        of: Of,
    },
}

#[derive(Debug, Subcommand)]
enum Price {
    /// Lists prices.
    List,
    /// Sets a price (operator); accepted messages keep theirs.
    Set {
        /// The channel.
        channel: String,
        /// The unit: point:sms, point:kakao or krw (in thousandths).
        unit: String,
        /// Amount of one message.
        amount: i64,
    },
}

#[derive(Debug, Subcommand)]
enum Wallet {
    /// Shows the balances.
    Show(Of),
    /// Lists the entries of the ledger.
    Entries(Of),
    /// Credits an account (operator). The same cause credits once.
    Credit {
        /// The account.
        account: String,
        /// How much.
        amount: i64,
        /// The unit.
        #[arg(long, default_value = "point:sms", value_name = "UNIT")]
        unit: String,
        /// Why; unique for the account and unit.
        #[arg(long, value_name = "TEXT")]
        cause: String,
    },
}

fn share(text: &str) -> Result<(String, u32), String> {
    let (relay, percent) = text.split_once('=').ok_or("write it as RELAY=PERCENT, like kt=70")?;
    let percent = percent.parse().map_err(|_| format!("\"{percent}\" is not a whole number of percent"))?;
    Ok((relay.to_owned(), percent))
}

/// Sends the request of the command and gives the answer.
pub(super) async fn run(flags: &Flags, environment: &Environment) -> Result<Answer, Failure> {
    let client = Target { url: flags.target.url.clone() }.client(environment)?;
    let (method, path, body) = request::of(&flags.noun, environment);
    let answer = client.call(method, &path, body.as_ref()).await?;
    let text = table::value(&answer);
    Ok(Answer::new(answer, text))
}
