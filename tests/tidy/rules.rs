//! The rules, as tables and pure functions.

use std::fmt;

use super::rust::Code;

/// A breach, with the way out.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    place: String,
    rule: String,
    remedy: &'static str,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}: {}. {}", self.place, self.rule, self.remedy)
    }
}

/// A complaint about a line of a file.
pub fn complaint(path: &str, line: usize, rule: String, remedy: &'static str) -> Complaint {
    Complaint { place: format!("{path}:{line}"), rule, remedy }
}

const BASICS: &[&str] = &["config", "error", "ids", "clock", "measures", "telemetry"];
/// Above the ladder: they put the house together.
const TOP: &[&str] = &["lib", "main", "serve", "manage", "parts"];

/// Each room and the rooms below it, besides the basics; a room that is not here fails until somebody decides.
const LADDER: &[(&str, &[&str])] = &[
    ("api", &["app", "operations", "store", "drivers", "clients", "domain", "policy"]),
    ("consumer", &["app", "operations", "store", "drivers", "clients", "domain"]),
    ("background", &["app", "operations", "store", "drivers", "clients", "domain"]),
    ("app", &["operations", "store", "drivers", "clients", "domain", "policy"]),
    ("operations", &["store", "drivers", "clients", "domain"]),
    ("store", &["domain"]),
    ("drivers", &["clients", "domain"]),
    ("clients", &["domain", "policy"]),
    ("policy", &[]),
];

/// The room of `src/<room>/…` or `src/<room>.rs`.
fn room(path: &str) -> &str {
    let path = path.strip_prefix("src/").unwrap_or(path);
    path.split(['/', '.']).next().unwrap_or_default()
}

fn may_import(from: &str, to: &str) -> bool {
    match from {
        _ if from == to => true,
        "domain" => ["error", "ids"].contains(&to),
        _ if BASICS.contains(&from) => BASICS.contains(&to),
        _ => {
            let below = LADDER.iter().find(|(room, _)| *room == from).map_or(&[][..], |(_, below)| *below);
            BASICS.contains(&to) || below.contains(&to)
        }
    }
}

/// A path from the crate's root on: `crate::a::b`, and `super::super::a` where it climbs out of its room.
fn from_root(path: &str, file: &str) -> Option<String> {
    if let Some(rest) = path.strip_prefix("crate::") {
        return Some(rest.to_owned());
    }
    let mut rest = path;
    let mut climbed = 0;
    while let Some(above) = rest.strip_prefix("super::") {
        rest = above;
        climbed += 1;
    }
    let folders = file.strip_prefix("src/")?.matches('/').count();
    let depth = if file.ends_with("/mod.rs") { folders } else { folders + 1 };
    (climbed == depth && climbed > 0).then(|| rest.to_owned())
}

/// A room imports only rooms below it.
pub fn ladder(path: &str, code: &Code) -> Vec<Complaint> {
    const REMEDY: &str =
        "Move the code down to where it is needed, or pass the value in; the ladder is in ARCHITECTURE.md";
    let from = room(path);
    if TOP.contains(&from) {
        return Vec::new();
    }
    if from != "domain" && !BASICS.contains(&from) && !LADDER.iter().any(|(room, _)| *room == from) {
        let rule = format!("the room {from} has no place on the ladder");
        return vec![complaint(path, 1, rule, "Give it one in tests/tidy/rules.rs and ARCHITECTURE.md")];
    }
    let mut complaints = Vec::new();
    for (line, named) in code.paths() {
        let Some(rest) = from_root(&named, path) else { continue };
        let to = rest.split("::").next().unwrap_or_default();
        if !may_import(from, to) {
            complaints.push(complaint(path, line, format!("{from} may not import {to} ({named})"), REMEDY));
        }
    }
    complaints
}

/// What only some rooms may name: the start of a path, the rooms, and why.
const NAMES: &[(&[&str], &[&str], &str)] = &[
    (&["sea_orm", "sea_orm_migration", "sea_query", "sqlx", "migrations"], &["store"], "Only store knows SQL"),
    (&["actix_web", "actix_http", "actix_rt"], &["api", "serve"], "Only api speaks HTTP to callers"),
    (&["openstack", "osauth"], &["clients"], "Only clients speaks to the cloud"),
    (&["lapin", "async_rs"], &["consumer"], "Only consumer speaks to RabbitMQ"),
    (&["utoipa"], &["api", "app", "domain", "ids"], "Only what callers see has a schema"),
    (&["prometheus_client"], &["measures"], "Count with the functions of measures"),
    (
        &[
            "std::time::SystemTime",
            "std::time::Instant",
            "tokio::time::Instant",
            "chrono::Local",
            "Utc::now",
            "chrono::Utc::now",
        ],
        &["clock"],
        "Ask crate::clock for the time, so that tests can hold it still",
    ),
    (
        &[
            "tokio::time::sleep",
            "tokio::time::sleep_until",
            "tokio::time::interval",
            "std::thread::sleep",
            "thread::sleep",
        ],
        &["clock"],
        "Wait with crate::clock::sleep",
    ),
];

/// Crates, and the clock, are named in their own room only.
pub fn names(path: &str, code: &Code) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (line, named) in code.paths() {
        for (starts, rooms, remedy) in NAMES {
            // A bare name may be a variable or a field; a crate shows by the path behind it.
            let is = |start: &&str| {
                named
                    .strip_prefix(*start)
                    .is_some_and(|rest| rest.starts_with("::") || rest.is_empty() && start.contains("::"))
            };
            if starts.iter().any(is) && !rooms.contains(&room(path)) {
                complaints.push(complaint(
                    path,
                    line,
                    format!("{named} is named outside {}", rooms.join(", ")),
                    remedy,
                ));
            }
        }
    }
    complaints
}

/// `domain` neither waits nor touches the world.
pub fn purity(path: &str, code: &Code) -> Vec<Complaint> {
    if room(path) != "domain" {
        return Vec::new();
    }
    const WORLD: &[&str] =
        &["std::fs", "std::net", "std::io", "std::env", "std::process", "std::thread", "tokio", "reqwest"];
    let touches = |named: &str| {
        WORLD
            .iter()
            .any(|start| named.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::")))
    };
    let breach = |line, what: &str| {
        complaint(
            path,
            line,
            format!("domain is pure, and this is {what}"),
            "Decide here, and do it in operations or below",
        )
    };
    let named = code.paths().into_iter().filter(|(_, named)| touches(named) || named == "async" || named == "await");
    named.map(|(line, named)| breach(line, &named)).collect()
}

/// What is never written outside tests, and what to write instead. `unsafe` has a home.
const WORDS: &[(&str, &str, &str)] = &[
    ("todo!", "", "Do it, or leave it out"),
    ("unimplemented!", "", "Do it, or leave it out"),
    ("dbg!", "", "Use tracing"),
    ("println!", "", "Use tracing; commands write to a locked stdout"),
    ("print!", "", "Use tracing; commands write to a locked stdout"),
    (".unwrap()", "", "Return an Error with a remedy"),
    (".expect(", "", "Return an Error with a remedy"),
    ("unsafe", "src/drivers/rbd", "Only the librbd shim needs it"),
];

/// No leftovers, no panics, no `unsafe` but in its home.
pub fn words(path: &str, code: &Code) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (line, text) in code.iter() {
        for (word, home, remedy) in WORDS {
            let at_home = !home.is_empty() && path.starts_with(home);
            if !at_home && has_word(text, word) {
                complaints.push(complaint(path, line, format!("{word} is not written here"), remedy));
            }
        }
    }
    complaints
}

/// Whether the word occurs and is not a part of a longer name.
fn has_word(text: &str, word: &str) -> bool {
    let in_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (named_first, named_last) = (in_name(word.chars().next()), in_name(word.chars().last()));
    text.match_indices(word).any(|(at, _)| {
        let before = named_first && in_name(text[..at].chars().last());
        let after = named_last && in_name(text[at + word.len()..].chars().next());
        !before && !after
    })
}

/// A file can be read in one sitting.
pub fn length(path: &str, lines: usize) -> Option<Complaint> {
    const LIMIT: usize = 500;
    let rule = || format!("{lines} lines without tests, the limit is {LIMIT}");
    (lines > LIMIT).then(|| complaint(path, lines, rule(), "Split it by thing or act, never by layer"))
}

/// Every room of `src` is named on the map, as `room` in backticks or as src/room.
pub fn map(map: &str, paths: &[String]) -> Vec<Complaint> {
    let mut rooms: Vec<_> =
        paths.iter().map(|path| room(path)).filter(|room| !["lib", "main"].contains(room)).collect();
    rooms.sort_unstable();
    rooms.dedup();
    rooms.retain(|room| !map.contains(&format!("`{room}`")) && !map.contains(&format!("src/{room}")));
    let rule = |room| format!("the room {room} is not on the map");
    rooms.into_iter().map(|room| complaint("ARCHITECTURE.md", 1, rule(room), "Say there what it is for")).collect()
}

/// Written in halves, since this file is tracked too.
const MACHINE: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/tmp/", "wt/"),
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("py", "pi.org"),
    ("python", "hosted.org"),
    ("npm", "js.org"),
    ("proxy.go", "lang.org"),
];

/// The tree works on any machine, with any mirror.
pub fn machine(path: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for (left, right) in MACHINE {
            let word = format!("{left}{right}");
            if line.contains(&word) {
                complaints.push(complaint(
                    path,
                    number,
                    format!("{word} is named"),
                    "Leave paths and package hosts to the machine",
                ));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod red;
