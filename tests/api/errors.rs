//! The errors that callers meet, one of each: kept in `errors.json`, from which the commands' and the panel's tests take them, and
//! the user guide its table. RATOON_KEEP writes it anew, to be read.

use regex::Regex;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

use crate::house::{Answer, House};
use crate::reference::root;

/// What differs from run to run is made the same.
fn faceless(text: &str) -> String {
    let same = |text: &str, shape: &str, word: &str| Regex::new(shape).unwrap().replace_all(text, word).into_owned();
    let text = same(text, "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "01a1fc28-6fdc-713e-850b-20d978068577");
    same(&text, "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}", "2026-11-21 03:31")
}

#[derive(Default)]
struct Catalogue(Vec<Value>);

impl Catalogue {
    fn note(&mut self, when: &str, answer: &Answer) {
        let error = &answer.body["errors"][0];
        assert!(answer.status >= 400, "{when}: {}", answer.text);
        self.0.push(json!({
            "when": when,
            "status": answer.status,
            "code": error["code"],
            "field": error["field"],
            "message": faceless(&answer.message()),
        }));
    }
}

fn capture(server: impl serde::Serialize) -> Option<Value> {
    Some(json!({ "snapshot": { "server_id": server } }))
}

#[tokio::test]
async fn the_errors_that_callers_meet_are_those_that_are_kept() {
    let mut found = Catalogue::default();
    requests(&mut found).await;
    trees(&mut found).await;
    the_service(&mut found).await;
    let kept = root().join("tests/api/errors.json");
    let text = serde_json::to_string_pretty(&found.0).unwrap() + "\n";
    if std::env::var_os("RATOON_KEEP").is_some() {
        std::fs::write(&kept, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(kept).unwrap(), text);
}

/// What is wrong with a request itself, or with who makes it.
async fn requests(found: &mut Catalogue) {
    let house = House::without_engine().await;
    let server = house.server();
    let body = Some(json!({ "snapshot": { "server_id": server, "nam": "x" } }));
    found.note("a member that nobody knows", &house.send("POST", "/v1/snapshots", body).await);
    let body = Some(json!({ "snapshot": { "server_id": server, "name": " " } }));
    found.note("a member of the wrong shape", &house.send("POST", "/v1/snapshots", body).await);
    let stranger = "00000000-0000-0000-0000-000000000000";
    found.note("a server that is not there", &house.send("POST", "/v1/snapshots", capture(stranger)).await);
    found.note("a parameter that nobody knows", &house.send("GET", "/v1/snapshots?colour=red", None).await);
    found.note("a token that is none", &house.send_as("garbage", "GET", "/v1/snapshots", None).await);
    found.note("a token without a project", &house.send_as("unscoped", "GET", "/v1/snapshots", None).await);
    found.note(
        "a role that does not allow it",
        &house.send_as("project/reader", "POST", "/v1/snapshots", capture(server)).await,
    );
    found.note("a thing that is not there", &house.send("GET", &format!("/v1/snapshots/{stranger}"), None).await);
    found.note("a path that is not there", &house.send("GET", "/v1/nothing", None).await);
    let version = [("x-auth-token", "project/member"), ("openstack-api-version", "server-snapshot 9.9")];
    found.note("a microversion that is not there", &house.get_with("/v1/snapshots", &version).await);
}

/// What is in the way of an act.
async fn trees(found: &mut Catalogue) {
    let house = House::without_engine().await;
    let server = house.server();
    house.send("POST", "/v1/snapshots", capture(server)).await;
    found.note("an operation in the way", &house.send("POST", "/v1/snapshots", capture(server)).await);
    let odd = house.server();
    house.cloud.set_image_property("hw_tpm_version", "2.0");
    found.note("a server that cannot have snapshots", &house.send("POST", "/v1/snapshots", capture(odd)).await);

    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    let path = format!("/v1/snapshots/{}", fresh["id"].as_str().unwrap());
    let mut stale = capture(server).unwrap();
    stale["tree_generation"] = json!(0);
    found.note("a plan that is out of date", &house.send("POST", "/v1/snapshots", Some(stale)).await);
    let restore = json!({ "restore": { "disks": ["vdz"] } });
    found.note("a disk that is not there", &house.send("POST", &format!("{path}/restore"), Some(restore)).await);
    let protect = json!({ "snapshot": { "protected": true, "protected_reason": "for the auditors" } });
    house.send("PATCH", &path, Some(protect)).await;
    found.note("a protected snapshot", &house.send("DELETE", &path, None).await);
    found.note("a cancel that comes too late", &{
        let done = house.send("GET", &format!("/v1/operations?server_id={server}"), None).await;
        house.cancel(&done.body["operations"][0]["id"]).await
    });
    house.cloud.set_quota(3, 10, 1000);
    let restore = json!({ "restore": {} });
    found.note("a quota that is too small", &house.send("POST", &format!("{path}/restore"), Some(restore)).await);
}

/// What is wrong with the service.
async fn the_service(found: &mut Catalogue) {
    let house = House::hasty().await;
    let server = house.cloud.add_server("web");
    let outage = house.database_is_away().await;
    found.note("the database is away", &house.send("POST", "/v1/snapshots", capture(server)).await);
    outage.end().await;
    let house = House::open().await;
    let server = house.server();
    house.captured(server, "fresh").await;
    house.sql().await.execute_unprepared("UPDATE snapshots SET consistency = 'garbage'").await.unwrap();
    found.note("a bug", &house.send("GET", "/v1/snapshots", None).await);
}

#[tokio::test]
async fn a_field_is_named_by_where_it_stands_in_the_body() {
    let house = House::open().await;
    let server = house.server();
    let fresh = house.captured(server, "fresh").await;
    let snapshot = format!("/v1/snapshots/{}", fresh["id"].as_str().unwrap());
    let branch = format!("/v1/branches/{}", fresh["branch_id"].as_str().unwrap());
    for (method, path, body, field) in [
        ("POST", "/v1/snapshots", json!({ "snapshot": { "server_id": server, "name": " " } }), "snapshot.name"),
        (
            "POST",
            "/v1/snapshots",
            json!({ "snapshot": { "server_id": server }, "client_token": "a b" }),
            "client_token",
        ),
        ("PATCH", &snapshot, json!({ "snapshot": { "name": " " } }), "snapshot.name"),
        ("PATCH", &branch, json!({ "branch": { "name": " " } }), "branch.name"),
        ("POST", &format!("{snapshot}/restore"), json!({ "restore": { "branch_name": " " } }), "restore.branch_name"),
        ("POST", &format!("{branch}/restore"), json!({ "restore": { "disks": ["vdz"] } }), "restore.disks"),
    ] {
        let answer = house.send(method, path, Some(body)).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["field"]), (400, &json!(field)), "{}", answer.text);
    }
}
