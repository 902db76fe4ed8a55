//! Policy files: which go before which, when they are read again, and what is refused.

use std::path::Path;

use ratoon::policy::{Attributes, PolicyFiles, PolicyFilesSettings};
use serde_json::json;
use tempfile::TempDir;

const DEFAULTS: [(&str, &str); 2] = [("get", "role:reader"), ("create", "role:member")];

fn settings(folder: &TempDir) -> PolicyFilesSettings {
    PolicyFilesSettings {
        file: folder.path().join("policy.yaml"),
        folders: vec![folder.path().join("policy.d")],
        default_rule: "default".into(),
    }
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
    std::fs::write(path, text).unwrap();
}

fn opened(folder: &TempDir) -> PolicyFiles {
    PolicyFiles::open(settings(folder), &DEFAULTS).unwrap()
}

/// Whether somebody with this role may.
async fn may(files: &PolicyFiles, rule: &str, role: &str) -> bool {
    let caller: Attributes = json!({ "roles": [role] }).as_object().unwrap().clone();
    files.rules().ask(rule, &Attributes::new(), &caller, None).await.unwrap()
}

#[tokio::test]
async fn without_files_the_defaults_hold() {
    let folder = tempfile::tempdir().unwrap();
    let files = opened(&folder);
    assert!(may(&files, "get", "reader").await && !may(&files, "create", "reader").await);
    assert!(!may(&files, "unheard-of", "admin").await, "what is not there is for nobody");
}

#[tokio::test]
async fn what_stands_later_goes_before() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "policy.yaml",
        "# of the operator\n\"get\": \"role:a\"\n\"create\": \"role:a\"\n\"create\": \"role:b\"\n",
    );
    write(&folder, "policy.d/20-late.yaml", "get: role:c\n");
    write(
        &folder,
        "policy.d/10-early.json",
        r#"{"get": "role:d", "old": [["role:e"], ["role:f", "role:g"]], "open": ""}"#,
    );
    write(&folder, "policy.d/.20-late.yaml.swp", "get: role:nobody\n");
    write(&folder, "policy.d/folder/more.yaml", "get: role:nobody\n");
    write(&folder, "policy.d/30-nothing.yaml", "# nothing yet\n");
    let files = opened(&folder);
    assert!(may(&files, "get", "c").await && !may(&files, "get", "a").await);
    assert!(may(&files, "create", "b").await && !may(&files, "create", "a").await, "the later of two of one name");
    assert!(may(&files, "old", "e").await && !may(&files, "old", "f").await);
    assert!(may(&files, "open", "anybody").await);
}

#[tokio::test]
async fn a_rule_that_is_not_there_is_answered_by_the_default_one() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "policy.yaml", "default: role:admin\nget: rule:unheard-of\n");
    let files = opened(&folder);
    assert!(may(&files, "unheard-of", "admin").await && !may(&files, "unheard-of", "reader").await);
    assert!(may(&files, "get", "admin").await && !may(&files, "get", "reader").await);
}

#[tokio::test]
async fn files_are_read_again_when_they_change() {
    let folder = tempfile::tempdir().unwrap();
    let files = opened(&folder);
    for (name, text, role) in [
        ("policy.yaml", "get: role:one", "one"),
        ("policy.d/a.yaml", "get: role:two", "two"),
        ("policy.d/a.yaml", "get: role:six", "six"), // of the same length, at once
        ("policy.d/b.yaml", "get: role:three", "three"),
    ] {
        write(&folder, name, text);
        files.look_now();
        assert!(may(&files, "get", role).await, "{name}: {text}");
    }
    std::fs::remove_file(folder.path().join("policy.d/b.yaml")).unwrap();
    files.look_now();
    assert!(may(&files, "get", "six").await, "a file that is gone says nothing any more");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_refused_and_the_rules_stay() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "policy.yaml", "get: role:good");
    let files = opened(&folder);
    for (broken, word) in [
        ("get: [", "policy.yaml"),
        ("- get\n- create\n", "rules by name"),
        ("get: role:a and\n", "rule get"),
        ("get: 7\n", "rule get"),
        ("get: {role: a}\n", "rule get"),
        ("get: rule:create\ncreate: not rule:get\n", "refers to itself"),
    ] {
        write(&folder, "policy.yaml", broken);
        files.look_now();
        assert!(
            may(&files, "get", "good").await && !may(&files, "get", "reader").await,
            "{broken}: the old rule holds"
        );
        let error = PolicyFiles::open(settings(&folder), &DEFAULTS).err().expect("a start with it fails").chain();
        assert!(error.contains(word) && error.contains("policy.yaml"), "{broken}: {error}");
    }
    write(&folder, "policy.yaml", "get: role:mended");
    files.look_now();
    assert!(may(&files, "get", "mended").await);
}

#[test]
fn a_file_that_cannot_be_looked_for_is_not_taken_for_missing() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, "policy.yaml", "get: role:good");
    let inside = PolicyFilesSettings { file: folder.path().join("policy.yaml/inside"), ..settings(&folder) };
    let error = PolicyFiles::open(inside, &DEFAULTS).err().expect("the defaults do not hold instead").chain();
    assert!(error.contains("policy.yaml/inside") && error.contains("readable"), "{error}");
}
