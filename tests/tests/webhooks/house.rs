//! A world whose webhooks are driven by steps on a clock that the scenario moves.

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::{Clock, ManualClock, MessageId, Timestamp};
use bongsu_report::{Client, ClientConfig, Endpoint, Policy, Progress, Reports, Setup};
use bongsu_store::facts::Event;
use bongsu_testkit::{Receiver, World, recipient, until};
use serde_json::{Value, json};

/// A world, its clock, an endpoint, and who calls it.
pub struct House {
    pub world: World,
    pub clock: Arc<ManualClock>,
    pub receiver: Receiver,
    pub reports: Reports,
}

impl House {
    pub async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_795_132_800)));
        let world = World::builder()
            .clock(clock.clone())
            .set("roles", "api,dispatch")
            .set("webhooks.allow_loopback", "true")
            .start()
            .await;
        let receiver = Receiver::start(clock.clone()).await;
        let reports = reports(&world, &clock);
        Self { world, clock, receiver, reports }
    }

    /// Makes a webhook of the main account; members left out are the URL of the receiver and all final results.
    pub async fn webhook(&self, members: Value) -> Value {
        let mut body = json!({ "url": self.receiver.url(), "events": ["message.delivered", "message.canceled"] });
        for (member, value) in members.as_object().into_iter().flatten() {
            body[member] = value.clone();
        }
        self.world.call(&self.world.main.key, "POST", "/v1/webhooks", body).await.good(201)
    }

    /// Sends messages and waits for their results, in order.
    pub async fn send(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for n in 0..count {
            ids.push(self.world.send(&recipient(n), &format!("봉수 {n}")).await);
        }
        self.wait_told(&ids).await;
        ids
    }

    /// Waits until messages have their results, and the log has their ends: it shows them with the commit, not before.
    pub async fn wait_told(&self, ids: &[String]) {
        self.world.wait_final(ids).await;
        let store = self.world.store();
        until("the log has all ends", || async {
            let mut ended = 0;
            let mut after = 0;
            loop {
                let page = store.events(None, after, 1_000).await.expect("a store that answers");
                let is_asked =
                    |event: &&Event| event.kind.is_end() && ids.contains(&MessageId(event.message).to_string());
                ended += page.events.iter().filter(is_asked).count();
                if page.events.is_empty() {
                    return (ended >= ids.len()).then_some(());
                }
                after = page.next;
            }
        })
        .await;
    }

    /// The one endpoint, as it is stored.
    pub async fn endpoint(&self) -> Endpoint {
        let mut endpoints = self.reports.endpoints().await.expect("a store that answers");
        assert_eq!(endpoints.len(), 1);
        endpoints.remove(0)
    }

    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Calls the API as the main account.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> bongsu_testkit::Reply {
        self.world.call(&self.world.main.key, method, path, body).await
    }

    /// The deliveries of a webhook, newest first.
    pub async fn deliveries(&self, webhook: &Value) -> Vec<Value> {
        let path = format!("/v1/webhooks/{}/deliveries", webhook["id"].as_str().expect("an id"));
        self.world.get(&path).await["items"].as_array().expect("a list").clone()
    }
}

/// Who calls the webhooks of a world, in steps.
pub fn reports(world: &World, clock: &Arc<ManualClock>) -> Reports {
    let client = Client::new(ClientConfig { policy: Policy { allow_loopback: true }, ca_pem: None });
    let clock: Arc<dyn Clock> = clock.clone();
    Reports::idle(Setup { service: world.service().clone(), client, clock }).expect("a clock that goes on")
}

/// Does all that can be done now, and gives the moment at which something is due.
pub async fn settle(endpoint: &mut Endpoint) -> Timestamp {
    endpoint.wake();
    loop {
        match endpoint.step().await.expect("a store that answers") {
            Progress::Did => {}
            Progress::Idle { .. } if endpoint.calls_under_way() > 0 => endpoint.call_ended().await,
            Progress::Idle { until } => return until,
            Progress::Lost => panic!("the endpoint belongs to another process"),
        }
    }
}
