//! Random requests with tokens of all kinds: whom keystonemiddleware lets in is whom we let in.
//!
//! Runs where RATOON_TEST_CLOUD is set: keystonemiddleware comes with the minicloud. RATOON_SEED repeats a run, RATOON_ORACLE_PYTHON
//! is a Python with another release of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ratoon::clients::Keystone;
use serde::Deserialize;
use serde_json::{Value, json};
use wiremock::{Request, ResponseTemplate};

use crate::house::House;
use crate::wire::{self, CinderEntry, answer, on};

#[derive(Debug, Deserialize)]
struct Case {
    path: String,
    method: String,
    headers: Vec<(String, String)>,
    /// Whether a service token must have a service's role.
    required: bool,
    /// What keystonemiddleware answers; 200 when it lets the request in.
    status: u16,
    authenticate: Option<String>,
}

/// What Keystone says of a token: what the token says of itself.
fn judge(request: &Request) -> ResponseTemplate {
    let digits = request.headers.get("x-subject-token").unwrap().as_bytes();
    let unknown = || answer(404, json!({"error": {"code": 404, "title": "Not Found", "message": "no such token"}}));
    if digits.is_empty() {
        return unknown();
    }
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let facts: Value = serde_json::from_slice(&digits.chunks(2).map(byte).collect::<Vec<_>>()).unwrap();
    let query: BTreeMap<_, _> = request.url.query_pairs().collect();
    let ended = match facts["state"].as_str().unwrap() {
        "live" => false,
        "ended" if query.get("allow_expired").is_some_and(|value| value == "1") => true,
        "broken" => return answer(500, json!({"error": {"code": 500, "message": "broken"}})),
        _ => return unknown(),
    };
    let named = |names: &Value, key: &str| -> Vec<Value> {
        names.as_array().unwrap().iter().map(|name| json!({"id": name, key: name, "endpoints": []})).collect()
    };
    let domain = json!({"id": "default", "name": "Default"});
    let mut token = json!({
        "user": {"id": "u", "name": "u", "domain": domain}, "project": {"id": "p", "name": "p", "domain": domain},
        "roles": named(&facts["roles"], "name"), "methods": ["password"], "issued_at": "2020-01-01T00:00:00.000000Z",
        "expires_at": if ended { "2020-01-02T00:00:00.000000Z" } else { "2099-01-01T00:00:00.000000Z" },
        "application_credential": {"id": "a", "name": "a", "restricted": true, "access_rules": facts["access_rules"]},
    });
    if !query.contains_key("nocatalog") {
        token["catalog"] = Value::from(named(&facts["catalog"], "type"));
    }
    answer(200, json!({"token": token}))
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_keystonemiddleware_lets_in_is_whom_we_let_in() {
    if std::env::var_os("RATOON_TEST_CLOUD").is_none() {
        return;
    }
    let keystone = wire::cloud(CinderEntry::Newest).await;
    on("GET", "/v3/auth/tokens").respond_with(judge).mount(&keystone).await;
    let seed = std::env::var("RATOON_SEED").unwrap_or_else(|_| std::process::id().to_string());
    let python = std::env::var("RATOON_ORACLE_PYTHON").unwrap_or_else(|_| "/usr/bin/python3".into());
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/oracle.py");
    let mut command = std::process::Command::new(python);
    command.args([oracle, &keystone.uri(), &seed, "1500"]).env("no_proxy", "127.0.0.1");
    let said = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));

    let open = async |required| {
        let judge = Keystone::new(&wire::openstack(&keystone), Duration::from_secs(300));
        House::judged_by(Arc::new(judge), required).await
    };
    let (lenient, strict) = (open(false).await, open(true).await);
    let mut seen = BTreeMap::new();
    for line in String::from_utf8(said.stdout).unwrap().lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let house = if case.required { &strict } else { &lenient };
        let headers: Vec<_> = case.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let ours = house.ask_with(&case.method, &case.path, &headers).await;
        // Behind the door an admitted caller may meet 403 or 404.
        let status = if matches!(ours.status, 401 | 503) { ours.status } else { 200 };
        assert_eq!(status, case.status, "seed {seed}: {case:?}");
        if status == 401 {
            assert_eq!(Some(ours.header("www-authenticate")), case.authenticate.as_deref(), "seed {seed}: {case:?}");
        }
        *seen.entry(status).or_insert(0) += 1;
    }
    assert!(
        [200, 401, 503].iter().all(|status| seen.get(status).is_some_and(|times| *times > 50)),
        "a good mixture: {seen:?}"
    );
}
