//! Progress of a group as it is streamed: it adds up at every event, ends, and few streams of an account stay open.

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::groups::{FROM, defaults, numbers};
use super::world::World;

/// Events of a stream as they come: name and data.
async fn next_event(body: &mut Body) -> Option<(String, Value)> {
    let frame = body.frame().await?.expect("no break").into_data().expect("data");
    let text = String::from_utf8(frame.to_vec()).expect("text");
    let (name, data) = text.trim_end().split_once('\n')?;
    let data = serde_json::from_str(data.strip_prefix("data: ")?).expect("JSON");
    Some((name.strip_prefix("event: ")?.to_owned(), data))
}

async fn open(world: &World, path: &str, key: &str) -> (u16, Body) {
    let request = Request::builder().uri(path).header("authorization", format!("Bearer {key}"));
    let response = world.router.clone().oneshot(request.body(Body::empty()).expect("a request")).await;
    let (parts, body) = response.expect("never fails").into_parts();
    (parts.status.as_u16(), body)
}

fn adds_up(progress: &Value) -> bool {
    let counts = progress["counts"].as_object().expect("counts");
    counts.values().map(|count| count.as_u64().expect("a count")).sum::<u64>()
        == progress["total"].as_u64().expect("a total")
}

#[tokio::test]
async fn progress_adds_up_in_every_event_and_ends() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    world.csv(&id, &key, numbers(600)).await.good(200);
    let path = format!("/v1/groups/{id}/events");
    let (status, mut body) = open(&world, &path, &key).await;
    assert_eq!(status, 200);
    let (name, first) = next_event(&mut body).await.expect("an event");
    assert_eq!(
        (name.as_str(), &first["state"], &first["counts"]),
        ("progress", &json!("staging"), &json!({"staging": 600}))
    );
    world.step(&id, "send", &key).await.good(202);
    world.step(&id, "cancel", &key).await.good(200);
    loop {
        let (name, progress) = next_event(&mut body).await.expect("it ends with finished");
        assert!(adds_up(&progress), "{progress}");
        if name == "finished" {
            assert_eq!(progress["ended"], 600);
            break;
        }
    }
    assert!(next_event(&mut body).await.is_none());
    let batch = json!({"messages": [{"to": "01020000001", "from": FROM, "text": "하나"}]});
    let batch = world.call("POST", "/v1/messages/batch", &key, batch).await.good(202);
    let batch = batch["batchId"].as_str().expect("an id");
    let (status, mut of_batch) = open(&world, &format!("/v1/batches/{batch}/events"), &key).await;
    assert_eq!(status, 200);
    let (_, progress) = next_event(&mut of_batch).await.expect("an event");
    assert_eq!((progress["total"].as_u64(), adds_up(&progress)), (Some(1), true));
    let as_batch = format!("/v1/batches/{}/events", id.replace("grp_", "bat_"));
    assert_eq!(open(&world, &as_batch, &key).await.0, 404);
}

#[tokio::test]
async fn streams_end_when_the_process_is_about_to() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let id = world.group(&key, defaults()).await;
    let path = format!("/v1/groups/{id}/events");
    let (_, mut body) = open(&world, &path, &key).await;
    assert!(next_event(&mut body).await.is_some());
    world.app.end_streams();
    assert!(next_event(&mut body).await.is_none());
    let (_, mut late) = open(&world, &path, &key).await;
    assert!(next_event(&mut late).await.is_some());
    assert!(next_event(&mut late).await.is_none());
}

#[tokio::test]
async fn few_streams_of_an_account_stay_open() {
    let world = World::new().await;
    let (_, key) = world.sending_account("a").await;
    let (_, other) = world.sending_account("b").await;
    let id = world.group(&key, defaults()).await;
    let path = format!("/v1/groups/{id}/events");
    let mut open_ones = Vec::new();
    for _ in 0..crate::streams::STREAMS_MAX {
        let (status, body) = open(&world, &path, &key).await;
        assert_eq!(status, 200);
        open_ones.push(body);
    }
    assert_eq!(open(&world, &path, &key).await.0, 429);
    let theirs = world.group(&other, defaults()).await;
    assert_eq!(open(&world, &format!("/v1/groups/{theirs}/events"), &other).await.0, 200);
    open_ones.pop();
    assert_eq!(open(&world, &path, &key).await.0, 200);
}
