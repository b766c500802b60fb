//! One link of a relay over time: connect, bind, run a session, wait, again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::Backoff;
use super::bind::{BindError, bind};
use super::dial::{Dial, Stream};
use super::hub::{Duty, Hub, Totals};
use super::session::{End, Session};
use crate::RelayConfig;

/// A session that lived this long shows that the relay is well; the next wait is the shortest again.
const STEADY: Duration = Duration::from_secs(5);

/// Runs until the relay stops.
pub(super) async fn run(hub: Arc<Hub>, dial: Arc<dyn Dial>, index: usize, wake: Arc<Notify>) {
    let mut backoff = Backoff::new(hub.seed.wrapping_add(index as u64));
    loop {
        let (config, epoch) = match hub.duty(index) {
            Duty::Bind(config, epoch) => (config, epoch),
            Duty::Rest => {
                wake.notified().await;
                continue;
            }
            Duty::End(_) => break,
        };
        let connected = tokio::select! {
            connected = connect(dial.as_ref(), &config) => connected,
            () = dismissed(&hub, index, epoch, &wake) => continue,
        };
        match connected {
            Ok((stream, inbuf)) => {
                let begun = Instant::now();
                tracing::info!(relay.name = config.name, bind = index, "bound");
                tell(&hub, hub.on_link_up()).await;
                let session = Session::new(Arc::clone(&hub), index, Arc::clone(&config), epoch, &wake, inbuf);
                let end = session.run(stream).await;
                tell(&hub, hub.on_link_down()).await;
                if let End::Lost(why) = end {
                    tracing::warn!(relay.name = config.name, bind = index, why, "link lost");
                } else {
                    backoff.reset();
                    continue;
                }
                if begun.elapsed() >= STEADY {
                    backoff.reset();
                }
            }
            Err(error) => {
                Totals::add(&hub.totals.bind_failures, 1);
                let error: &dyn std::error::Error = &error;
                tracing::warn!(relay.name = config.name, bind = index, error, "cannot bind");
            }
        }
        let wait = backoff.next(config.timers.reconnect_min, config.timers.reconnect_max);
        tokio::select! {
            () = sleep_until(Instant::now() + wait) => {}
            () = dismissed(&hub, index, epoch, &wake) => {}
        }
    }
    hub.on_link_task_ended();
}

async fn tell(hub: &Hub, event: crate::Event) {
    if hub.events.send(vec![event]).await.is_err() {
        tracing::debug!("nobody listens to this relay any more");
    }
}

/// Ends when a link of this epoch is not wanted any more.
async fn dismissed(hub: &Hub, index: usize, epoch: u64, wake: &Notify) {
    while matches!(hub.duty(index), Duty::Bind(_, current) if current == epoch) {
        wake.notified().await;
    }
}

async fn connect(dial: &dyn Dial, config: &RelayConfig) -> Result<(Box<dyn Stream>, Vec<u8>), BindError> {
    let exchange = async {
        let mut stream = dial.dial(config).await?;
        let mut inbuf = Vec::with_capacity(1024);
        bind(&mut stream, config, &mut inbuf).await?;
        Ok((stream, inbuf))
    };
    timeout(config.timers.session_init, exchange).await.unwrap_or(Err(BindError::Late))
}
