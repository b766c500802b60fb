//! What each simulated relay does: result shares, delays, faults and the dialect of its ids and receipts.
//!
//! The JSON form, every key optional (`relays` may name only relays that exist; unknown keys are refused with their path):
//!
//! ```json
//! {"seed": 7, "relays": {"kt": {
//!   "codes": {"DELIVRD": 0.97, "UNDELIV:001": 0.02, "NONE": 0.01},
//!   "delayMs": 10, "latencyMs": 0, "throttlePerS": 1000, "rateLimitPerS": 1000, "dropResponses": 0.0,
//!   "duplicateReceipts": 0.0, "earlyReceipts": 0.0, "receiptsAnywhere": 0.0, "echoReference": true, "restartIds": false, "silent": false,
//!   "disconnectEvery": 5000, "refuse": {"0x0B": 0.01}, "bindRefuse": "0x0D", "bindsMax": 4, "password": "secret",
//!   "idStyle": "decimal", "receiptIdStyle": "decimal", "leadingZeros": 0, "receiptForm": "both", "receiptDates": 10, "receiptWindow": 2000
//! }}}
//! ```
//!
//! | key | meaning |
//! | --- | --- |
//! | `codes` | share of each final state; `STATE:err` names the network error (three digits), `NONE` is a result that never comes; what is missing to 1 is `DELIVRD` |
//! | `delayMs` | milliseconds from the submit to its receipt, a number or `[least, most]` |
//! | `latencyMs` | milliseconds from the submit to its response |
//! | `throttlePerS` | submits taken in any second; more are answered `ESME_RTHROTTLED` |
//! | `rateLimitPerS` | submits that may arrive in any second; more are counted, and nothing else happens |
//! | `dropResponses` | share of submits that are taken and never answered |
//! | `duplicateReceipts` | share of receipts that come twice |
//! | `earlyReceipts` | share of receipts that come before the response |
//! | `receiptsAnywhere` | share of receipts that come over another session of the same system id, if it has one |
//! | `echoReference` | receipts carry the `user_message_reference` of their submit |
//! | `restartIds` | a relay that is stopped and started gives ids from 1 again |
//! | `silent` | bound, answers `enquire_link`, answers no submit and sends no receipt for it |
//! | `disconnectEvery` | cut the session at each N-th submit, after its window has filled |
//! | `refuse` | share of submits refused with a `command_status` |
//! | `bindRefuse` | `command_status` that every bind is answered with |
//! | `bindsMax` | sessions that one system id may have at once; a further bind is answered `ESME_RBINDFAIL` |
//! | `password` | the only password a bind may carry |
//! | `idStyle`, `receiptIdStyle` | `decimal` or `hex`, in responses and in receipts; the second follows the first |
//! | `leadingZeros` | width that ids in responses are padded to |
//! | `receiptForm` | `both`, `tlv` or `text` |
//! | `receiptDates` | digits of the dates in a receipt's text: 10 or 12 |
//! | `receiptWindow` | receipts that a session writes before it waits for an acknowledgement |

mod parse;

use std::collections::BTreeMap;
use std::fmt;

use bongsu_wire::smpp::MessageState;

/// The behaviour of every relay of a simulator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// Replaces the seed that the simulator was started with.
    pub seed: Option<u64>,
    /// By relay name; a relay that is not named behaves as [`RelayScript::default`].
    pub relays: BTreeMap<String, RelayScript>,
}

/// The behaviour of one relay; the keys are explained at the [module](self).
#[derive(Clone, Debug, PartialEq)]
pub struct RelayScript {
    /// Final results with their shares, at most 1 together; the rest is delivered.
    pub codes: Vec<(Outcome, f64)>,
    /// Least and most milliseconds from the submit to its receipt.
    pub delay_ms: (u32, u32),
    /// Milliseconds from the submit to its response.
    pub latency_ms: u32,
    /// Submits taken in any second.
    pub throttle_per_s: Option<u32>,
    /// Submits that may arrive in any second; more are counted only.
    pub rate_limit_per_s: Option<u32>,
    /// Share of submits taken and never answered.
    pub drop_responses: f64,
    /// Share of receipts that come twice.
    pub duplicate_receipts: f64,
    /// Share of receipts that come before the response.
    pub early_receipts: f64,
    /// Share of receipts that come over another session of the same system id.
    pub receipts_anywhere: f64,
    /// Whether receipts carry the reference of their submit.
    pub echo_reference: bool,
    /// Whether ids begin at 1 again after a stop.
    pub restart_ids: bool,
    /// Whether submits are swallowed.
    pub silent: bool,
    /// Cut the session at each N-th submit.
    pub disconnect_every: Option<u32>,
    /// `command_status` of refusals with their shares, at most 1 together.
    pub refuse: Vec<(u32, f64)>,
    /// `command_status` for every bind.
    pub bind_refuse: Option<u32>,
    /// Sessions that one system id may have at once.
    pub binds_max: Option<u32>,
    /// The only password that may bind.
    pub password: Option<String>,
    /// How ids look in responses.
    pub id_style: Radix,
    /// How ids look in receipts.
    pub receipt_id_style: Radix,
    /// Width that ids in responses are padded to; 0 for none.
    pub leading_zeros: u8,
    /// Where receipts carry their facts.
    pub receipt_form: ReceiptForm,
    /// Digits of the dates in a receipt's text: 10 or 12.
    pub receipt_dates: u8,
    /// Receipts without an acknowledgement that a session may have.
    pub receipt_window: u32,
}

impl Default for RelayScript {
    fn default() -> Self {
        Self {
            codes: Vec::new(),
            delay_ms: (10, 10),
            latency_ms: 0,
            throttle_per_s: None,
            rate_limit_per_s: None,
            drop_responses: 0.0,
            duplicate_receipts: 0.0,
            early_receipts: 0.0,
            receipts_anywhere: 0.0,
            echo_reference: true,
            restart_ids: false,
            silent: false,
            disconnect_every: None,
            refuse: Vec::new(),
            bind_refuse: None,
            binds_max: None,
            password: None,
            id_style: Radix::Decimal,
            receipt_id_style: Radix::Decimal,
            leading_zeros: 0,
            receipt_form: ReceiptForm::Both,
            receipt_dates: 10,
            receipt_window: 2_000,
        }
    }
}

/// How a relay writes its message ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Radix {
    /// `31`.
    Decimal,
    /// `1f`.
    Hex,
}

/// Where a receipt carries its facts (SMPP 3.4 section 5.3 and appendix B).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptForm {
    /// TLVs and text.
    Both,
    /// TLVs only, with an empty `short_message`.
    Tlv,
    /// Text only.
    Text,
}

/// How a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A receipt with this state and network error.
    Final {
        /// The state.
        state: MessageState,
        /// The network error, 0 to 999; 0 for none.
        error: u16,
    },
    /// No receipt ever.
    Never,
}

impl Outcome {
    /// Delivered, without error.
    pub const DELIVERED: Self = Self::Final { state: MessageState::Delivered, error: 0 };
}

/// All that is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError(pub Vec<Problem>);

/// One thing that is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `relays.kt.codes.DELIVRD`, or `line 3 column 5` when the text is not JSON.
    pub path: String,
    /// What, in words.
    pub what: String,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", problem.path, problem.what)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScriptError {}

impl Script {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// Everything that is wrong with it at once, each with its path.
    pub fn parse(json: &str) -> Result<Self, ScriptError> {
        parse::script(json)
    }

    /// Checks that only relays of `names` are scripted.
    ///
    /// # Errors
    /// One problem for each relay that does not exist.
    pub fn check_names(&self, names: &[String]) -> Result<(), ScriptError> {
        let unknown = self.relays.keys().filter(|name| !names.contains(name));
        let problems: Vec<Problem> = unknown
            .map(|name| Problem {
                path: format!("relays.{name}"),
                what: format!("no such relay; there are {}", names.join(", ")),
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(ScriptError(problems)) }
    }
}
