//! One more process of a world: a server over the same database, beside the world's own.

use std::time::Duration;

use bongsu_send::Service;
use bongsu_server::failure::Failure;

use crate::http::Http;
use crate::server::Server;

/// How long a graceful stop may take.
const STOP: Duration = Duration::from_secs(10);

/// A process beside the world's own. It ends without a goodbye when it is dropped.
pub struct Process {
    server: Server,
    /// The client of its API; none without the role `api`.
    pub http: Option<Http>,
}

impl Process {
    pub(crate) fn of(server: Server) -> Self {
        let http = server.http().map(Http::new);
        Self { server, http }
    }

    /// Its pipeline.
    pub fn service(&self) -> &Service {
        self.server.service()
    }

    /// The client of its API.
    ///
    /// # Panics
    /// It has not the role `api`.
    pub fn http(&self) -> &Http {
        self.http.as_ref().expect("the role api is on")
    }

    /// Waits until it has to stop by itself; says why.
    pub async fn failed(&self) -> Failure {
        self.server.failed().await
    }

    /// Stops it in order.
    pub async fn stop(self) {
        self.server.stop(STOP).await;
    }

    /// Tears it away: every task ends where it waits, and what it holds stays taken until its lease ends.
    pub async fn crash(self) {
        self.server.crash().await;
    }
}
