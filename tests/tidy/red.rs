//! Every rule can go red, and stays green where it should.

use super::*;

type Rule = fn(&str, &Code) -> Vec<Complaint>;

fn breaches(rule: Rule, path: &str, text: &str) -> Vec<String> {
    rule(path, &Code::of(text)).iter().map(ToString::to_string).collect()
}

fn red(rule: Rule, path: &str, text: &str, wanted: &str) {
    let found = breaches(rule, path, text);
    assert!(found.len() == 1 && found[0].contains(wanted), "{path}: {text}: {found:?}");
}

fn green(rule: Rule, path: &str, text: &str) {
    let found = breaches(rule, path, text);
    assert!(found.is_empty(), "{path}: {text}: {found:?}");
}

#[test]
fn the_ladder() {
    red(
        ladder,
        "src/store/snapshot.rs",
        "\nuse crate::drivers::Call;",
        "src/store/snapshot.rs:2: store may not import drivers",
    );
    red(ladder, "src/store/snapshot.rs", "use crate::{domain::disk, clients::nova};", "store may not import clients");
    red(ladder, "src/drivers/rbd/mod.rs", "fn f(x: crate::store::Store) {}", "drivers may not import store");
    red(ladder, "src/clients/nova.rs", "use super::super::app::X;", "clients may not import app");
    red(ladder, "src/drivers/rbd/mod.rs", "use super::super::store::X;", "drivers may not import store");
    red(ladder, "src/domain/disk.rs", "use crate::config::Settings;", "domain may not import config");
    red(ladder, "src/telemetry.rs", "use crate::domain::disk::Disk;", "telemetry may not import domain");
    red(ladder, "src/api/x.rs", "use crate::background::Y;", "api may not import background");
    red(ladder, "src/consumer/x.rs", "use crate::background::Y;", "consumer may not import background");
    red(ladder, "src/app/x.rs", "use crate::consumer::Y;", "app may not import consumer");
    red(ladder, "src/app/x.rs", "use crate::manage::Y;", "app may not import manage");
    red(ladder, "src/operations/x.rs", "use crate::serve::Role;", "operations may not import serve");
    red(ladder, "src/helpers.rs", "", "the room helpers has no place on the ladder");

    green(ladder, "src/drivers/cinder.rs", "use crate::clients::volume;\nuse crate::domain::disk;\nuse super::Call;");
    green(ladder, "src/drivers/rbd/shim.rs", "use super::super::Call; // crate::store::X");
    green(ladder, "src/domain/plan/delete.rs", "use crate::{domain::disk, error::Result, ids};");
    green(ladder, "src/store/x.rs", "#[cfg(test)]\nmod tests {\n    use crate::drivers::fake;\n}\n");
    green(ladder, "src/manage/db.rs", "use crate::store;");
    green(ladder, "src/api/x.rs", "use crate::app::X;\nuse crate::telemetry;\n");
}

#[test]
fn the_names() {
    red(names, "src/app/x.rs", "use sea_orm::{EntityTrait};", "sea_orm::EntityTrait is named outside store");
    red(names, "src/manage/db.rs", "migrations::up(x)", "migrations::up is named outside store");
    red(names, "src/app/x.rs", "fn f(r: actix_web::HttpRequest) {}", "outside api, serve");
    red(names, "src/drivers/cinder.rs", "use osauth::Session;", "osauth::Session is named outside clients");
    red(names, "src/serve.rs", "use lapin::Connection;", "lapin::Connection is named outside consumer");
    red(names, "src/app/x.rs", "use std::time::{Duration, Instant};", "Ask crate::clock");
    red(names, "src/app/x.rs", "let x = Utc::now();", "Ask crate::clock");
    red(names, "src/app/x.rs", "tokio::time::sleep(d).await", "Wait with crate::clock::sleep");

    green(names, "src/store/x.rs", "use sea_orm::EntityTrait;");
    green(names, "src/serve.rs", "use actix_web::HttpServer;");
    green(names, "src/consumer/x.rs", "use lapin::{Channel, Connection};");
    green(names, "src/clock.rs", "Utc::now()");
    green(
        names,
        "src/app/x.rs",
        "use crate::clock::Instant;\nuse std::time::Duration;\nlet openstack = 1;\ntokio::time::timeout(d, f)",
    );
}

#[test]
fn the_purity_of_domain() {
    red(purity, "src/domain/x.rs", "async fn f() {}", "this is async");
    red(purity, "src/domain/x.rs", "let x = std::fs::read(p);", "this is std::fs::read");
    green(purity, "src/domain/x.rs", "use std::collections::BTreeMap; // async");
    green(purity, "src/app/x.rs", "async fn f() {}");
}

#[test]
fn the_words() {
    for text in [
        "todo!()",
        "unimplemented!()",
        "dbg!(x)",
        "println!(\"\")",
        "print!(\"\")",
        "x.unwrap()",
        "x.expect(\"y\")",
        "unsafe { f() }",
    ] {
        red(words, "src/app/x.rs", text, "is not written here");
    }
    green(words, "src/drivers/rbd/shim.rs", "unsafe { f() }");
    green(
        words,
        "src/app/x.rs",
        "#![allow(unsafe_code)]\nx.unwrap_or(1); x.expect_none(); \"todo!\"; // .unwrap()\nx.unwrap_or_default()",
    );
    green(words, "src/app/x.rs", "#[cfg(test)]\nmod tests {\n    x.unwrap();\n}\n");
}

#[test]
fn the_length() {
    assert_eq!(length("src/a.rs", 500), None);
    assert!(length("src/a.rs", 501).is_some_and(|found| found.to_string().contains("501 lines without tests")));
    let tests = "x\n".repeat(400) + "#[cfg(test)]\nmod tests {\n" + &"    x\n".repeat(400) + "}\n";
    assert_eq!(Code::of(&tests).lines(), 400);
}

#[test]
fn the_map() {
    let paths =
        ["src/api/mod.rs", "src/store/a.rs", "src/store/b.rs", "src/clock.rs", "src/main.rs"].map(str::to_owned);
    let found: Vec<_> = super::map("`api` and src/clock.rs", &paths).iter().map(ToString::to_string).collect();
    assert!(found.len() == 1 && found[0].contains("the room store is not on the map"), "{found:?}");
}

#[test]
fn the_machine() {
    for (left, right) in MACHINE {
        let found = machine("README.md", &format!("\nsee {left}{right}x"));
        assert!(found.len() == 1 && found[0].to_string().contains("README.md:2: "), "{found:?}");
    }
    assert_eq!(machine("README.md", "the framework/house works; crates.io"), []);
}
