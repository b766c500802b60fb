//! The task that ends what waits in a relay's queue too long: deadlines, a relay without links, a stop.

use std::sync::Arc;
use std::time::Duration;

use super::hub::Hub;

/// How late a message in the queue may learn that its deadline passed.
const SWEEP: Duration = Duration::from_millis(50);

/// Runs until the relay is dropped and its links are closed.
pub(super) async fn run(hub: Arc<Hub>) {
    loop {
        if hub.has_queue() {
            tokio::select! {
                () = hub.keeper.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
        } else {
            hub.keeper.notified().await;
        }
        let events = hub.sweep();
        if !events.is_empty() && hub.events.send(events).await.is_err() {
            tracing::debug!("nobody listens to this relay any more");
        }
        hub.announce_stop();
        if hub.is_over() {
            return;
        }
    }
}
