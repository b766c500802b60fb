//! A server in a runtime of its own, so that it can be stopped in order or torn away.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::Clock;
use bongsu_send::Service;
use bongsu_server::config::Config;
use bongsu_server::failure::Failure;
use bongsu_server::wiring::Running;
use bongsu_store::Store;
use tokio::runtime::{Builder, Runtime};

/// How long what a torn runtime still does may take to end.
const TEAR: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    runtime: Option<Runtime>,
    running: Option<Running>,
}

impl Server {
    /// Starts one; it serves when this returns.
    pub(crate) async fn start(config: &Config, clock: Arc<dyn Clock>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
        let config = config.clone();
        let started = runtime.spawn(async move { Running::start(&config, clock).await }).await;
        let running = started.expect("no panic at the start").unwrap_or_else(|failure| panic!("{}", failure.sentence));
        Self { runtime: Some(runtime), running: Some(running) }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("taken only by what ends it")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.http().expect("the role api is on")
    }

    pub(crate) fn http(&self) -> Option<SocketAddr> {
        self.running().http()
    }

    pub(crate) async fn failed(&self) -> Failure {
        self.running().failed().await
    }

    pub(crate) fn service(&self) -> &Service {
        self.running().service()
    }

    /// Stops in order.
    pub(crate) async fn stop(mut self, within: Duration) {
        let (Some(runtime), Some(running)) = (self.runtime.take(), self.running.take()) else { return };
        runtime.spawn(async move { running.stop(within).await }).await.expect("no panic at the stop");
        tear(runtime).await;
    }

    /// Ends every task where it waits, without a goodbye to anybody; what was not committed is gone.
    pub(crate) async fn crash(mut self) {
        let (Some(runtime), Some(running)) = (self.runtime.take(), self.running.take()) else { return };
        tear(runtime).await;
        let store: Store = running.service().store().clone();
        drop(running);
        // Threads of the store still have the files; the next server needs the directory free.
        tokio::task::spawn_blocking(move || abandon(&store)).await.expect("no panic while closing");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        if let Some(running) = self.running.take() {
            // Its threads would go on in the process of the test.
            abandon(running.service().store());
        }
    }
}

/// Ends the threads of a store; a shared database is told nothing.
fn abandon(store: &Store) {
    #[cfg(feature = "full")]
    if store.is_shared() {
        return store.abandon();
    }
    store.close();
}

async fn tear(runtime: Runtime) {
    let torn = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(TEAR)).await;
    torn.expect("a runtime shuts down outside of another");
}
