//! The limit of an account is one over all processes: shared by Redis, else each gives its part of it.

use std::time::Instant;

use bongsu_server::config::Role;
use bongsu_testkit::{Http, World, has_database, has_redis, recipient, until};
use serde_json::json;

use super::call;

/// Messages that an account may send at once.
const BURST: usize = 40;

/// Sends until each of the processes refuses; says how many each took.
async fn taken(world: &World, processes: &[&Http]) -> Vec<usize> {
    let mut taken = vec![0; processes.len()];
    let mut refused = vec![false; processes.len()];
    for n in 0..10 * BURST {
        let at = n % processes.len();
        let body = json!({ "channel": "sms", "from": world.main.from, "to": recipient(n), "text": format!("{n}") });
        match call(processes[at], &world.main.key, "POST", "/v1/messages", body).await.status {
            202 => taken[at] += 1,
            429 => refused[at] = true,
            other => panic!("{other}"),
        }
        if refused.iter().all(|refused| *refused) {
            return taken;
        }
    }
    panic!("nothing is refused: {taken:?}");
}

async fn world(with_redis: bool) -> World {
    let builder = World::builder().on_database().set("limits.messages_burst", BURST);
    let world = if with_redis { builder } else { builder.without_redis() }.start().await;
    let account = format!("/v1/accounts/{}", world.main.account);
    world.operator("PATCH", &account, json!({ "ratePerS": 1 })).await.good(200);
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_limit_is_one_over_all_processes() {
    if !has_database() || !has_redis() {
        return;
    }
    let world = world(true).await;
    let other = world.join(&[Role::Api]).await;
    let began = Instant::now();
    let taken = taken(&world, &[&world.http, other.http()]).await;
    // A token comes a second while they are asked.
    let more = began.elapsed().as_secs() as usize + 1;
    let all: usize = taken.iter().sum();
    assert!((BURST..=BURST + more).contains(&all), "{taken:?}, {more} came meanwhile");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_process_that_serves_gives_its_share() {
    if !has_database() {
        return;
    }
    let world = world(false).await;
    let other = world.join(&[Role::Api]).await;
    let third = world.join(&[Role::Dispatch]).await;
    // Two serve; the third does not count. Both know it after their next look.
    for http in [&world.http, other.http()] {
        until("it gives the half", || async {
            let body = json!({ "channel": "sms", "from": world.main.from, "to": recipient(1), "text": "봉수" });
            let reply = call(http, &world.main.key, "POST", "/v1/messages", body).await;
            (reply.header("ratelimit-limit") == Some("20")).then_some(())
        })
        .await;
    }
    drop(third);
}
