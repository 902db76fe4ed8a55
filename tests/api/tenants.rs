//! Who may do what to whose: one table of all routes, asked as everybody, of everything. Another project's thing, and one that was
//! deleted, answer byte for byte as one that never was.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::house::{Answer, House, PROJECT};
use crate::reference::routes_of_the_service;

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing: whoever finds the service.
    Nobody,
    /// The role reader.
    Reader,
    /// The role member.
    Member,
    /// The role admin.
    Admin,
}
use Needs::{Admin, Member, Nobody, Reader};

/// Every route: what it needs, and a body that is right. Deletions come last: what they delete is needed before.
const ROUTES: [(&str, &str, Needs, Option<&str>); 26] = [
    ("GET", "/", Nobody, None),
    ("GET", "/v1", Nobody, None),
    ("GET", "/v1/openapi.json", Nobody, None),
    ("GET", "/healthcheck", Nobody, None),
    ("HEAD", "/healthcheck", Nobody, None),
    ("GET", "/v1/servers", Reader, None),
    ("GET", "/v1/servers/{server}", Reader, None),
    ("GET", "/v1/servers/{server}/tree", Reader, None),
    ("GET", "/v1/servers/{server}/branches", Reader, None),
    ("GET", "/v1/snapshots", Reader, None),
    ("GET", "/v1/snapshots/{snapshot}", Reader, None),
    ("GET", "/v1/branches/{branch}", Reader, None),
    ("GET", "/v1/operations", Reader, None),
    ("GET", "/v1/operations/{operation}", Reader, None),
    ("GET", "/v1/engines", Admin, None),
    ("POST", "/v1/operations/{operation}/cancel", Member, None),
    ("PATCH", "/v1/snapshots/{snapshot}", Member, Some(r#"{"snapshot": {"name": "x"}}"#)),
    ("PATCH", "/v1/branches/{branch}", Member, Some(r#"{"branch": {"name": "x"}}"#)),
    ("POST", "/v1/snapshots", Member, Some(r#"{"snapshot": {"server_id": "{server}"}}"#)),
    ("POST", "/v1/snapshots/{snapshot}/restore", Member, Some(r#"{"restore": {}, "dry_run": true}"#)),
    ("POST", "/v1/branches/{branch}/restore", Member, Some(r#"{"restore": {}, "dry_run": true}"#)),
    ("POST", "/v1/snapshots/{snapshot}/restore", Member, Some(r#"{"restore": {}}"#)),
    ("POST", "/v1/branches/{branch}/restore", Member, Some(r#"{"restore": {}}"#)),
    ("DELETE", "/v1/snapshots/{snapshot}", Member, None),
    ("DELETE", "/v1/branches/{branch}", Member, None),
    ("DELETE", "/v1/servers/{server}/tree", Member, None),
];

const NOBODYS: &str = "00000000-0000-0000-0000-000000000000";

/// Ids of one server's things.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Things {
    server: String,
    snapshot: String,
    branch: String,
    operation: String,
}

impl Things {
    async fn of(house: &House) -> Self {
        let server = house.server();
        let snapshot = house.captured(server, "fresh").await;
        let operations = house.send("GET", &format!("/v1/operations?server_id={server}"), None).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            server: server.to_string(),
            snapshot: text(&snapshot["id"]),
            branch: text(&snapshot["branch_id"]),
            operation: text(&operations.body["operations"][0]["id"]),
        }
    }

    fn that_never_were() -> Self {
        let id = || NOBODYS.to_owned();
        Self { server: id(), snapshot: id(), branch: id(), operation: id() }
    }

    fn filled(&self, text: &str) -> String {
        let pairs = [("{server}", &self.server), ("{snapshot}", &self.snapshot), ("{branch}", &self.branch)];
        let text = pairs.into_iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id));
        text.replace("{operation}", &self.operation)
    }

    /// An answer without what names these things or the request, so that two can be compared.
    fn faceless(&self, answer: &Answer) -> (u16, String) {
        let mut text = answer.text.clone();
        for id in [&self.server, &self.snapshot, &self.branch, &self.operation] {
            text = text.replace(id.as_str(), "ID");
        }
        let Ok(mut value) = serde_json::from_str::<Value>(&text) else { return (answer.status, text) };
        if value["errors"][0].is_object() {
            value["errors"][0]["request_id"] = json!("");
        }
        (answer.status, value.to_string())
    }
}

async fn ask(house: &House, token: &str, route: (&str, &str, Needs, Option<&str>), things: &Things) -> Answer {
    let (method, path, _, body) = route;
    let body = body.map(|body| serde_json::from_str(&things.filled(body)).unwrap());
    house.send_as(token, method, &things.filled(path), body).await
}

#[test]
fn every_route_has_its_row() {
    let id = |path: &str| {
        path.split('/').map(|part| if part.starts_with('{') { "{id}" } else { part }).collect::<Vec<_>>().join("/")
    };
    let rows: BTreeSet<String> = ROUTES.iter().map(|(method, path, ..)| format!("{method} {}", id(path))).collect();
    assert_eq!(rows, routes_of_the_service());
}

#[tokio::test]
async fn a_role_allows_what_it_says_in_its_own_project() {
    for (role, reads, acts) in [
        ("", false, false),
        ("auditor", false, false),
        ("service", false, false),
        ("reader", true, false),
        ("member", true, true),
        ("manager", true, true),
        ("admin", true, true),
    ] {
        let house = House::open().await;
        let own = Things::of(&house).await;
        let token = if role.is_empty() { String::new() } else { format!("{PROJECT}/{role}") };
        for route in ROUTES {
            let answer = ask(&house, &token, route, &own).await;
            let may = match route.2 {
                Nobody => true,
                Reader => reads,
                Member => acts,
                Admin => role == "admin",
            };
            let expected = match (may, role) {
                (true, _) => None,
                (false, "") => Some(401),
                (false, _) => Some(403),
            };
            match expected {
                Some(status) => assert_eq!(answer.status, status, "{route:?} as {role:?}: {}", answer.text),
                // What stands in its way by now, such as an operation under way, is another matter.
                None => assert!(
                    answer.status < 300 || answer.status == 409,
                    "{route:?} as {role:?}: {} {}",
                    answer.status,
                    answer.text
                ),
            }
            if expected == Some(403) && route.2 == Member && role == "reader" {
                assert!(answer.message().contains("role member"), "{}", answer.message());
            }
        }
    }
}

#[tokio::test]
async fn another_projects_things_are_to_every_role_as_if_they_never_were_but_to_an_administrator() {
    let house = House::open().await;
    let (theirs, none) = (Things::of(&house).await, Things::that_never_were());
    for role in ["", "auditor", "service", "reader", "member", "manager"] {
        let token = if role.is_empty() { String::new() } else { format!("elsewhere/{role}") };
        for route in ROUTES.into_iter().filter(|(_, path, _, body)| path.contains('{') || body.is_some()) {
            let real = ask(&house, &token, route, &theirs).await;
            let never = ask(&house, &token, route, &none).await;
            assert_eq!(theirs.faceless(&real), none.faceless(&never), "{route:?} as {role:?}");
            // A server that a body names is not found there: 400, with the field.
            assert!([400, 401, 403, 404].contains(&real.status), "{route:?} as {role:?}: {}", real.text);
        }
        for (query, of) in lists() {
            let real = house.send_as(&token, "GET", &theirs.filled(&query), None).await;
            let never = house.send_as(&token, "GET", &none.filled(&query), None).await;
            assert_eq!(theirs.faceless(&real), none.faceless(&never), "{query} as {role:?}");
            assert!(real.status >= 400 || real.body[of] == json!([]), "{query} as {role:?}: {}", real.text);
        }
    }
    for route in ROUTES {
        let answer = ask(&house, "elsewhere/admin", route, &theirs).await;
        assert!(answer.status < 300 || answer.status == 409, "{route:?} as an administrator: {}", answer.text);
    }
}

/// Every way to ask a list for somebody's things, and the list's name.
fn lists() -> Vec<(String, &'static str)> {
    let mut lists = vec![];
    for (list, filters) in [
        ("snapshots", &["server_id={server}", "branch_id={branch}", "marker={snapshot}"][..]),
        ("operations", &["server_id={server}", "marker={operation}"]),
        ("servers", &["marker={server}"]),
    ] {
        lists.extend(filters.iter().map(|filter| (format!("/v1/{list}?{filter}"), list)));
    }
    lists
}

#[tokio::test]
async fn what_was_deleted_answers_its_own_people_as_if_it_had_never_been() {
    let house = House::open().await;
    let (gone, none) = (Things::of(&house).await, Things::that_never_were());
    let deleted = house.send("DELETE", &gone.filled("/v1/servers/{server}/tree"), None).await;
    house.finished(&deleted.body["tree"]["operation_id"]).await;
    for route in ROUTES.into_iter().filter(|(_, path, ..)| path.contains("{snapshot}")) {
        for role in ["reader", "member", "admin"] {
            let token = format!("{PROJECT}/{role}");
            let real = ask(&house, &token, route, &gone).await;
            let never = ask(&house, &token, route, &none).await;
            assert_eq!(gone.faceless(&real), none.faceless(&never), "{route:?} as {role}");
        }
    }
}

#[tokio::test]
async fn only_an_administrator_sees_all_projects() {
    let house = House::open().await;
    let server = house.server();
    house.captured(server, "fresh").await;
    for list in ["snapshots", "servers", "operations"] {
        let path = format!("/v1/{list}?all_projects=true");
        let admin = house.send_as("cloud/admin", "GET", &path, None).await;
        assert_eq!(admin.body[list].as_array().map(Vec::len), Some(1), "{list}");
        let member = house.send("GET", &path, None).await;
        assert_eq!(member.status, 403, "{list}");
        let other = house.send("GET", &format!("/v1/{list}?project_id=elsewhere"), None).await;
        assert_eq!(other.status, 403, "{list} of another project");
    }
}
