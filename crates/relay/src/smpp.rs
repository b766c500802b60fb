//! The SMPP 3.4 client: links to one relay, what waits for them, and what they bring back.
//!
//! Spoken is `bind_transceiver`, `submit_sm`, `deliver_sm`, `enquire_link`, `unbind` and `generic_nack`; section numbers
//! are those of the specification, version 3.4 issue 1.2. Not spoken: separate transmitters and receivers, `outbind`,
//! `query_sm`, `cancel_sm`, `replace_sm`, `submit_multi`, `data_sm`.
//!
//! Follow one message: [`Relay::submit`](crate::RelayPort::submit) puts it in the queue (`lanes`), a `session` takes it
//! when window and pace let it (`hub`, `pace`), `submit` makes it PDUs, `outstanding` waits for the answer.
//! One task a bind (`link`) connects, binds and runs sessions one after the other; one task a relay (`keeper`) ends
//! what waited too long.

mod acks;
mod backoff;
mod bind;
pub mod codes;
mod dial;
mod hub;
mod keeper;
mod lanes;
mod link;
mod multi;
mod outstanding;
mod pace;
mod receipt;
mod relay;
mod session;
mod state;
mod submit;

use std::sync::Arc;

use bongsu_domain::time::Clock;
use tokio::sync::{Notify, mpsc};

pub use self::dial::{Dial, DialError, Stream};
use crate::{Event, RelayConfig, RelayPort};

/// Starts a relay over TCP, or TLS if the configuration says so. Must be called inside a tokio runtime.
///
/// Events come on `events`, one batch for each chunk read; a full channel stops reading, so it bounds memory.
/// `room` is notified when the relay may take more. Dropping the relay without [`RelayPort::stop`] closes its links and
/// forgets what it had.
pub fn start(
    config: RelayConfig,
    events: mpsc::Sender<Vec<Event>>,
    room: Arc<Notify>,
    clock: Arc<dyn Clock>,
    seed: u64,
) -> Arc<dyn RelayPort> {
    start_over(Arc::new(dial::Tcp), config, events, room, clock, seed)
}

/// Like [`start`], over links that `dial` makes.
pub fn start_over(
    dial: Arc<dyn Dial>,
    config: RelayConfig,
    events: mpsc::Sender<Vec<Event>>,
    room: Arc<Notify>,
    clock: Arc<dyn Clock>,
    seed: u64,
) -> Arc<dyn RelayPort> {
    let hub = hub::Hub::new(config, events, room, clock, seed);
    tokio::spawn(keeper::run(Arc::clone(&hub)));
    let relay = relay::Relay::new(hub, dial);
    relay.open_links();
    Arc::new(relay)
}
