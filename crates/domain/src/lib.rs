//! What the platform means: ids, numbers, texts, codes, and the decisions about routes, retries, rates and prices.
//!
//! Pure values and functions: no IO, no clock, no randomness but what is passed in.

pub mod ad;
pub mod breaker;
pub mod channel;
pub mod charset;
pub mod code;
pub mod hours;
pub mod id;
pub mod lane;
pub mod lease;
pub mod map;
pub mod net;
pub mod phone;
pub mod price;
pub mod rate;
pub mod retry;
pub mod route;
pub mod rule;
pub mod secret;
pub mod status;
pub mod text;
pub mod time;
pub mod trouble;
pub mod variables;
pub mod webhook;

pub use breaker::{Allow, Breaker};
pub use channel::{Channel, ChannelChoice};
pub use code::{Action, Billing, Code};
pub use hours::Hours;
pub use id::{
    AccountId, ClockBehind, DeliveryId, EntryId, EventId, GroupId, IdGen, KeyId, MessageId, RelayId, RequestId,
    SenderId, TraceId, WebhookId,
};
pub use lane::Lane;
pub use net::Network;
pub use phone::PhoneNumber;
pub use price::{Price, Unit};
pub use rate::{Bucket, Pacer};
pub use retry::{Case, FailoverPolicy, Next, Outcome, Tried};
pub use route::{Distribution, Shares};
pub use rule::Rule;
pub use secret::{Body, Secret};
pub use status::{OriginStatus, Status, may_have_arrived};
pub use text::{BadChar, TextError};
pub use time::{Clock, Day, ManualClock, Timestamp};
pub use trouble::Trouble;
