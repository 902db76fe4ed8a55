//! Rules of the kind `http:`: what their server is told, and what its answers mean.

use std::time::Duration;

use ratoon::clients::policy_server::{PolicyServer, PolicyServerSettings};
use ratoon::error::{Kind, Result};
use ratoon::policy::{Attributes, Rules};
use serde_json::json;
use wiremock::matchers::{body_json, body_string_contains, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn attributes(value: serde_json::Value) -> Attributes {
    value.as_object().unwrap().clone()
}

/// Asks a rule that leads to the server.
async fn asked(server: &MockServer, json: bool) -> Result<bool> {
    let settings = PolicyServerSettings { json, verify: true, ca_file: None, timeout: Duration::from_millis(500) };
    let ours = PolicyServer::new(&settings).unwrap();
    let rule = format!("role:member and {}/check/%(project_id)s", server.uri());
    let rules = Rules::new(&[("get", "rule:elsewhere"), ("elsewhere", &rule)], &[], "default").unwrap();
    let (target, caller) = (attributes(json!({ "project_id": "p1" })), attributes(json!({ "roles": ["member"] })));
    rules.ask("get", &target, &caller, Some(&ours)).await
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/check/p1")).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn only_the_word_true_means_yes() {
    for (word, yes) in [("True", true), ("\"True\"", true), ("true", false), ("False", false), ("", false)] {
        let server = answering(ResponseTemplate::new(200).set_body_string(word)).await;
        assert_eq!(asked(&server, false).await.unwrap(), yes, "{word}");
    }
}

#[tokio::test]
async fn it_is_told_the_rule_that_was_asked_for_the_target_and_the_caller() {
    let server = MockServer::start().await;
    let yes = || ResponseTemplate::new(200).set_body_string("True");
    let told = json!({ "rule": "get", "target": { "project_id": "p1" }, "credentials": { "roles": ["member"] } });
    Mock::given(body_json(told)).respond_with(yes()).expect(1).mount(&server).await;
    let form = "rule=%22get%22&target=%7B%22project_id%22%3A%22p1%22%7D&credentials=";
    Mock::given(body_string_contains(form)).respond_with(yes()).expect(1).mount(&server).await;
    assert!(asked(&server, true).await.unwrap() && asked(&server, false).await.unwrap());
}

#[tokio::test]
async fn one_that_gives_no_answer_is_no_refusal_of_the_callers() {
    let late = answering(ResponseTemplate::new(200).set_body_string("True").set_delay(Duration::from_secs(5))).await;
    let error = asked(&late, false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("policy server") && !error.told().contains("127.0.0.1"), "{}", error.chain());
}
