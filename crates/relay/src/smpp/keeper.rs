//! The task that ends what waits in a relay's queue too long: deadlines, a relay without links, a stop.

use std::sync::Arc;
use std::time::Duration;

use super::relay::Core;

/// How late a message in the queue may learn that its deadline passed.
const SWEEP: Duration = Duration::from_millis(50);

/// Runs until the relay is dropped and its links are closed.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        if core.has_queue() {
            tokio::select! {
                () = core.keeper.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
        } else {
            core.keeper.notified().await;
        }
        let events = core.sweep();
        if !events.is_empty() && core.events.send(events).await.is_err() {
            tracing::debug!("nobody listens to this relay any more");
        }
        core.announce_stop();
        if core.is_over() {
            return;
        }
    }
}
