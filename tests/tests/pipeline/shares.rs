//! Traffic is divided exactly as the customer said.

use bongsu_testkit::{World, recipient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_arrives() {
    let world = World::start().await;
    let id = world.send(&recipient(1), "봉수 1").await;
    let messages = world.wait_final(&[id]).await;
    assert_eq!(messages[0]["status"], "delivered");
    world.audit().await;
}
