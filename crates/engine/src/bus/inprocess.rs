//! The bus of one process.

use std::sync::Arc;

use bongsu_domain::Timestamp;

use super::registry::Registry;
use super::{Bus, BusHealth, BusMetrics, BusReceiver, Refused};

pub(super) struct Inprocess {
    registry: Arc<Registry>,
    opened: Timestamp,
}

impl Inprocess {
    pub(super) fn new(now: Timestamp) -> Inprocess {
        Inprocess { registry: Arc::new(Registry::new(false)), opened: now }
    }
}

impl Bus for Inprocess {
    fn publish(&self, topic: &str, message: &[u8]) {
        if self.registry.counts.fits(topic, message) {
            self.registry.deliver(topic, message);
        }
    }

    fn subscribe(&self, topic: &str) -> Result<BusReceiver, Refused> {
        self.registry.join(topic)
    }

    fn health(&self) -> BusHealth {
        BusHealth { up: true, since: self.opened, last_error: None, outgoing: 0 }
    }

    fn metrics(&self) -> BusMetrics {
        self.registry.counts.metrics(self.registry.receivers())
    }
}

impl Drop for Inprocess {
    fn drop(&mut self) {
        self.registry.close();
    }
}
