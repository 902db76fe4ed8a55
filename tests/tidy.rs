//! The house rules that no compiler knows, from `ARCHITECTURE.md`: who may import whom, who may name which crate, what
//! is never written, how long a file may be, and what the operations guide must have. Each rule is a pure function from text
//! to complaints, and each has a test that feeds it a breach: a rule that cannot go red guards nothing.
//!
//! What counts as test code is left alone: items under `#[cfg(test)]`, files called `tests.rs`, and folders `tests/`.

#[path = "tidy/files.rs"]
mod files;
#[path = "tidy/guide.rs"]
mod guide;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/rust.rs"]
mod rust;

use files::{python, text_files, tracked};
use rules::Complaint;

/// All complaints about a list of files under one rule, as one readable failure.
fn hold(complaints: Vec<Complaint>) {
    let text: Vec<_> = complaints.iter().map(ToString::to_string).collect();
    assert!(text.is_empty(), "the house is not tidy:\n{}", text.join("\n"));
}

fn each_source(rule: impl Fn(&str, &rust::Code) -> Vec<Complaint>) {
    let sources = files::rust();
    assert!(sources.len() > 10, "tests/tidy.rs does not find the sources");
    hold(sources.iter().flat_map(|(path, text)| rule(path, &rust::Code::of(text))).collect());
}

#[test]
fn rooms_import_only_what_lies_below_them() {
    each_source(rules::ladder);
}

#[test]
fn crates_and_the_clock_are_named_in_their_own_room_only() {
    each_source(rules::names);
}

#[test]
fn domain_is_pure() {
    each_source(rules::purity);
}

#[test]
fn nothing_is_left_undone_or_able_to_panic() {
    each_source(rules::words);
}

#[test]
fn files_are_short() {
    let rust = files::rust().into_iter().map(|(path, text)| (path, rust::Code::of(&text).lines()));
    let python = python().into_iter().map(|(path, text)| (path, text.lines().count()));
    hold(rust.chain(python).filter_map(|(path, lines)| rules::length(&path, lines)).collect());
}

#[test]
fn every_room_is_on_the_map() {
    let map = std::fs::read_to_string(files::root().join("ARCHITECTURE.md")).unwrap_or_default();
    assert!(!map.is_empty(), "ARCHITECTURE.md is missing: write the map of the rooms of src/ there");
    let paths = files::rust().into_iter().map(|(path, _)| path).collect::<Vec<_>>();
    hold(rules::map(&map, &paths));
}

#[test]
fn nothing_names_this_machine_or_its_package_hosts() {
    let files = text_files(&tracked());
    assert!(files.iter().any(|(path, _)| path == "Cargo.toml"), "tests/tidy.rs does not find the tracked files");
    hold(files.iter().flat_map(|(path, text)| rules::machine(path, text)).collect());
}

#[test]
fn all_that_is_said_to_operators_is_in_their_guide() {
    let pages = files::guide();
    assert!(pages.iter().any(|(path, _)| path.ends_with("/log.rst")), "tests/tidy.rs does not find the guide");
    let said: Vec<_> = files::rust().iter().flat_map(|(path, text)| guide::said(path, text)).collect();
    assert!(said.len() > 50, "tests/tidy.rs does not find what is said: {said:?}");
    hold(guide::missing(&said, &pages));
    hold(guide::stale(&said, &pages));
    each_source(guide::unnamed);
}
