//! Whose token is this?

use std::time::Duration;

use ratoon::clients::Keystone;
use ratoon::error::Kind;
use serde_json::{Value, json};
use wiremock::matchers::{header, query_param};
use wiremock::{MockServer, ResponseTemplate};

use super::wire::{self, CinderEntry, answer, cloud, count, on};

const TOKENS: &str = "/v3/auth/tokens";

fn demo() -> Value {
    json!({"token": {
        "user": {"id": "u1", "name": "demo", "domain": {"id": "default", "name": "Default"}, "password_expires_at": null},
        "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}],
        "expires_at": "2099-01-01T00:00:00.000000Z", "issued_at": "2026-01-01T00:00:00.000000Z",
        "methods": ["password"], "audit_ids": ["x"], "is_domain": false
    }})
}

async fn judging(token: &str, response: ResponseTemplate) -> MockServer {
    let server = cloud(CinderEntry::Newest).await;
    on("GET", TOKENS).and(header("X-Subject-Token", token)).respond_with(response).mount(&server).await;
    server
}

#[tokio::test]
async fn a_token_is_asked_about_once_however_many_want_to_know() {
    let server = judging("good", answer(200, demo()).set_delay(Duration::from_millis(50))).await;
    let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
    let outcomes = futures::future::join_all((0..50).map(|_| keystone.validate(" good\n", false))).await;
    for facts in outcomes {
        let facts = facts.unwrap();
        assert_eq!((facts.user_id.as_str(), facts.project_id.as_deref()), ("u1", Some("p1")));
        assert_eq!(facts.roles, ["member", "reader"]);
        assert_eq!(facts.access_rules, None);
    }
    keystone.validate("good", false).await.unwrap();
    assert_eq!(count(&server, "GET", TOKENS).await, 1);
}

#[tokio::test]
async fn an_unknown_token_is_refused_and_remembered_for_a_moment() {
    let fault = json!({"error": {"code": 404, "message": "Failed to validate token", "title": "Not Found"}});
    let server = judging("bad", answer(404, fault)).await;
    let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
    for _ in 0..3 {
        assert_eq!(keystone.validate("bad", false).await.unwrap_err().kind(), Kind::Unauthorized);
    }
    assert_eq!(count(&server, "GET", TOKENS).await, 1);
    for nothing in ["", "  ", "line\nbreak", "\u{0}"] {
        assert_eq!(keystone.validate(nothing, false).await.unwrap_err().kind(), Kind::Unauthorized);
    }
    assert_eq!(count(&server, "GET", TOKENS).await, 1, "no token at all is not worth a question");
}

#[tokio::test]
async fn a_proxys_404_does_not_log_everybody_out() {
    let server = judging("good", ResponseTemplate::new(404).set_body_string("<html>no backend</html>")).await;
    let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
    assert_eq!(keystone.validate("good", false).await.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_token_is_never_believed_beyond_its_end() {
    let mut body = demo();
    body["token"]["expires_at"] = json!("2020-01-01T00:00:00.000000Z");
    let server = judging("old", answer(200, body)).await;
    let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
    assert_eq!(keystone.validate("old", false).await.unwrap_err().kind(), Kind::Unauthorized);
}

#[tokio::test]
async fn a_token_that_has_ended_counts_only_where_that_is_asked_for_and_what_is_known_is_kept_apart() {
    let server = cloud(CinderEntry::Newest).await;
    let mut body = demo();
    body["token"]["expires_at"] = json!("2020-01-01T00:00:00.000000Z");
    on("GET", TOKENS).and(query_param("allow_expired", "1")).respond_with(answer(200, body)).mount(&server).await;
    on("GET", TOKENS)
        .respond_with(answer(404, json!({"error": {"code": 404, "title": "Not Found", "message": "no such token"}})))
        .mount(&server)
        .await;
    let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
    for _ in 0..2 {
        assert_eq!(keystone.validate("old", false).await.unwrap_err().kind(), Kind::Unauthorized);
        assert_eq!(keystone.validate("old", true).await.unwrap().user_id, "u1");
    }
    assert_eq!(count(&server, "GET", TOKENS).await, 2);
}

#[tokio::test]
async fn keystone_down_is_our_trouble_and_is_not_remembered() {
    let keystone = Keystone::new(&wire::openstack_at("http://127.0.0.1:9"), Duration::from_secs(300));
    let error = keystone.validate("good", false).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.chain().contains("Keystone does not answer"), "{}", error.chain());

    let server = cloud(CinderEntry::Newest).await;
    on("GET", TOKENS).respond_with(ResponseTemplate::new(500)).up_to_n_times(1).mount(&server).await;
    on("GET", TOKENS).respond_with(answer(200, demo())).mount(&server).await;
    let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
    assert_eq!(keystone.validate("good", false).await.unwrap_err().kind(), Kind::Unavailable);
    keystone.validate("good", false).await.unwrap();
}

#[tokio::test]
async fn our_own_token_going_bad_is_healed_by_a_login() {
    let server = cloud(CinderEntry::Newest).await;
    on("GET", TOKENS)
        .and(header("X-Auth-Token", "token-1"))
        .respond_with(ResponseTemplate::new(401))
        .mount(&server)
        .await;
    on("GET", TOKENS).and(header("X-Auth-Token", "token-2")).respond_with(answer(200, demo())).mount(&server).await;
    let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
    assert_eq!(keystone.validate("good", false).await.unwrap().user_id, "u1");
}

#[tokio::test]
async fn scopes_other_than_a_project_have_none() {
    let mut body = demo();
    let token = body["token"].as_object_mut().unwrap();
    token.remove("project");
    token.insert("system".into(), json!({"all": true}));
    let server = judging("odd", answer(200, body)).await;
    let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
    assert_eq!(keystone.validate("odd", false).await.unwrap().project_id, None);
}

#[tokio::test]
async fn only_an_application_credential_that_has_rules_is_a_restricted_one() {
    let rule = json!({"id": "1", "service": "compute", "method": "GET", "path": "/v2.1/**"});
    for (credential, expected) in [
        (json!({"id": "a"}), None),
        (json!({"id": "a", "access_rules": null}), None),
        (json!({"id": "a", "access_rules": []}), Some(0)),
        (json!({"id": "a", "access_rules": [rule]}), Some(1)),
    ] {
        let mut body = demo();
        body["token"]["application_credential"] = credential.clone();
        body["token"]["catalog"] = json!([{"id": "1", "type": "compute", "name": "nova", "endpoints": []}]);
        let server = judging("odd", answer(200, body)).await;
        let keystone = Keystone::new(&wire::openstack(&server), Duration::from_secs(300));
        let rules = keystone.validate("odd", false).await.unwrap().access_rules.clone();
        assert_eq!(rules.as_ref().map(|rules| rules.rules.len()), expected, "{credential}");
        assert!(rules.is_none_or(|rules| rules.catalog_types == ["compute"]), "{credential}");
    }
}
