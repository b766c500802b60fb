//! API keys: several for an account, hashed at rest, and worthless at once when they are revoked.

use std::path::Path;

use bongsu_testkit::{World, recipient};
use serde_json::{Value, json};

use super::{key_with, message, text};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_several_keys_and_a_revoked_one_opens_nothing() {
    let world = World::start().await;
    let made = json!({ "scopes": ["send", "read"] });
    let made = world.call(&world.main.key, "POST", "/v1/keys", made).await.good(201);
    let (id, key) = (text(&made["id"]), text(&made["key"]));
    let other = key_with(&world, &world.main, &["send"]).await;
    for key in [&key, &other, &world.main.key] {
        world.call(key, "POST", "/v1/messages", message(&world.main, &recipient(1), "봉수")).await.good(202);
    }
    let shown = world.call(&world.main.key, "GET", &format!("/v1/keys/{id}"), Value::Null).await;
    assert!(key.starts_with(&text(&shown.body["prefix"])) && !shown.text.contains(&key), "{}", shown.text);
    let list = world.call(&world.main.key, "GET", "/v1/keys", Value::Null).await;
    assert_eq!(list.body["items"].as_array().map(Vec::len), Some(3));

    world.call(&world.main.key, "DELETE", &format!("/v1/keys/{id}"), Value::Null).await.good(204);
    let revoked = world.call(&key, "GET", "/v1/messages", Value::Null).await;
    assert_eq!(revoked.refusal(), (401, "UM1002"), "at once, not when a cache is old");
    world.call(&other, "POST", "/v1/messages", message(&world.main, &recipient(1), "봉수")).await.good(202);
    let shown = world.call(&world.main.key, "GET", &format!("/v1/keys/{id}"), Value::Null).await.good(200);
    assert!(shown["revokedAt"].is_string(), "it stays to be seen: {shown}");
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_account_is_told_so_and_comes_back_as_it_was() {
    let world = World::start().await;
    let other = world.member("other").await;
    let path = format!("/v1/accounts/{}", world.main.account);
    world.get("/v1/wallet").await;
    world.operator("PATCH", &path, json!({ "suspended": true })).await.good(200);
    let body = message(&world.main, &recipient(1), "봉수");
    for (method, path, body) in [("GET", "/v1/wallet", Value::Null), ("POST", "/v1/messages", body.clone())] {
        assert_eq!(world.call(&world.main.key, method, path, body).await.refusal(), (403, "UM3005"));
    }
    world.call(&other.key, "GET", "/v1/wallet", Value::Null).await.good(200);
    world.operator("PATCH", &path, json!({ "suspended": false })).await.good(200);
    world.call(&world.main.key, "POST", "/v1/messages", body).await.good(202);
    assert_eq!(world.points(&world.main).await, 999_999);
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_in_any_file_of_the_data_directory() {
    let mut world = World::builder().on_files().start().await;
    let second = key_with(&world, &world.main, &["read"]).await;
    let keys = [world.main.key.clone(), second, world.operator_key.clone()];
    world.send(&recipient(1), "봉수").await;
    for stopped in [false, true] {
        if stopped {
            world.stop().await;
        }
        let mut files = 0;
        for file in files_below(world.data()) {
            if file.ends_with("operator.key") {
                continue;
            }
            let bytes = std::fs::read(&file).expect("a readable file");
            files += 1;
            for key in &keys {
                let found = bytes.windows(key.len()).any(|window| window == key.as_bytes());
                assert!(!found, "a key is in {}", file.display());
            }
        }
        assert!(files >= 3, "{files} files");
    }
}

fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the data directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
