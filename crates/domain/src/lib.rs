//! What the platform means: ids, numbers, texts, codes, and the decisions about routes, retries, rates and prices.
//!
//! Pure values and functions: no IO, no clock, no randomness but what is passed in.

pub mod channel;
pub mod code;
pub mod id;
pub mod lane;
pub mod phone;
pub mod price;
pub mod secret;
pub mod status;
pub mod time;

pub use channel::{Channel, ChannelChoice};
pub use code::{Action, Billing, Code};
pub use id::{AccountId, ClockBehind, EntryId, IdGen, KeyId, MessageId, RelayId, RequestId, SenderId};
pub use lane::Lane;
pub use phone::PhoneNumber;
pub use price::{Price, Unit};
pub use secret::{Body, Secret};
pub use status::{OriginStatus, Status};
pub use time::{Clock, Day, ManualClock, Timestamp};
