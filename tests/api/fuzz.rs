//! Thousands of requests that schemathesis makes of the OpenAPI document, right ones and wrong ones: none is answered with a 5xx, none
//! otherwise than the document says, no wrong one is taken and no right one refused.
//!
//! Runs where RATOON_TEST_CLOUD is set: schemathesis comes from the package index. RATOON_SEED repeats a run, RATOON_SOAK makes ten
//! thousand requests instead of two.

use std::process::Command;

use serde_json::json;

use crate::house::House;

/// Who asks: an owner, and who sees everybody's.
const TOKENS: [&str; 2] = ["project/member", "project/admin"];
/// Trees to look at, to change and to destroy.
const SERVERS: usize = 10;

/// A server with two snapshots, a safety snapshot and two branches.
async fn grow(house: &House) {
    let server = house.server();
    let first = house.captured(server, "first").await;
    house.cloud.guest_write(server);
    house.captured(server, "second").await;
    let path = format!("/v1/snapshots/{}/restore", first["id"].as_str().unwrap());
    let restored = house.send("POST", &path, Some(json!({ "restore": {} }))).await;
    house.finished(&restored.body["snapshot"]["operation_id"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_is_answered_as_the_document_says() {
    if std::env::var_os("RATOON_TEST_CLOUD").is_some() {
        for token in TOKENS {
            send_whatever(token).await;
        }
    }
}

async fn send_whatever(token: &'static str) {
    let house = House::open().await;
    futures::future::join_all((0..SERVERS).map(|_| grow(&house))).await;
    let seed = std::env::var("RATOON_SEED").unwrap_or_else(|_| std::process::id().to_string());
    let set = |name| std::env::var_os(name).is_some();
    let whole = set("RATOON_SOAK") && !set("RATOON_TEST_DATABASE"); // on the other databases a sample does
    let (examples, least) = if whole { ("200", "5000") } else { ("10", "1000") };
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/fuzz/run"));
    command.args([house.url(), token, &seed, examples, least]).env("no_proxy", "127.0.0.1");
    let said = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{token}, RATOON_SEED={seed}\n{text}\n{}", String::from_utf8_lossy(&said.stderr));
}
