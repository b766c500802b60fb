//! Where calls may not go.

use bongsu_domain::Clock;
use bongsu_report::{Client, Refused, Target};
use bongsu_testkit::{Answer, Receiver, World};
use serde_json::json;
use std::sync::Arc;

use super::house::{House, settle};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_inside_are_refused_when_a_webhook_is_made_or_changed() {
    let world = World::start().await;
    let key = &world.main.key;
    for url in [
        "http://example.com/",
        "https://169.254.169.254/latest/meta-data/",
        "https://169.254.1.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://127.0.0.1/",
        "https://localhost:8443/",
        "https://10.0.0.1/",
        "https://[fd00::1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://user:word@example.com/",
        "https://example.com:22/",
        "not a url",
    ] {
        let reply = world.call(key, "POST", "/v1/webhooks", json!({ "url": url })).await;
        assert_eq!(reply.refusal(), (422, "UM1001"), "{url}: {}", reply.text);
        assert_eq!(reply.body["errors"][0]["field"], "url", "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_name_leads_to_is_checked_before_every_call() {
    let clock: Arc<dyn Clock> = Arc::new(bongsu_domain::ManualClock::new(bongsu_domain::Timestamp::from_secs(1)));
    let receiver = Receiver::start(clock).await;
    let port = receiver.url().rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port").to_owned();
    let strict = Client::default();
    // The form is good: only the look-up tells that it leads inside.
    let url = format!("https://localhost:{port}/hook");
    assert!(strict.target(&url).is_ok_and(|target: Target| target.port.to_string() == port));
    let nothing = bongsu_report::Message { headers: Vec::new(), body: Default::default() };
    let refused = strict.call(&url, &nothing, &Default::default()).await;
    assert_eq!(refused, Err(Refused::Address));
    assert!(receiver.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_a_failure_and_nobody_follows_it() {
    let house = House::new().await;
    let webhook = house.webhook(json!({})).await;
    let elsewhere = Receiver::start(house.clock.clone()).await;
    for status in [301, 302, 307, 308] {
        let location = elsewhere.url();
        house.receiver.script(move |_| Answer { headers: vec![("location", location.clone())], ..Answer::of(status) });
        house.send(1).await;
        let mut endpoint = house.endpoint().await;
        settle(&mut endpoint).await;
        let delivery = &house.deliveries(&webhook).await[0];
        assert_eq!((&delivery["status"], &delivery["httpStatus"]), (&json!("pending"), &json!(status)));
    }
    assert!(elsewhere.calls().is_empty());
}
