//! Every sample against `expected.txt`, where each has its line: sample, what, server, request, image.

use std::collections::BTreeMap;

use ratoon::consumer::notification::decode;
use ratoon::domain::event::ServerEvent;
use serde_json::Value;

/// One message as it was on the wire.
pub struct Sample {
    pub name: String,
    pub routing_key: String,
    pub body: Value,
}

impl Sample {
    /// The message within the envelope.
    pub fn message(&self) -> Value {
        serde_json::from_str(self.body["oslo.message"].as_str().unwrap()).unwrap()
    }

    /// What the table expects of it.
    pub fn expected(&self) -> [Option<String>; 4] {
        expected().remove(&self.name).unwrap_or_else(|| panic!("{} is not in expected.txt", self.name))
    }

    /// The body with another message in its envelope.
    pub fn with(message: &Value) -> Vec<u8> {
        serde_json::json!({"oslo.version": "2.0", "oslo.message": message.to_string()}).to_string().into_bytes()
    }
}

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/notifications")
}

pub fn samples() -> Vec<Sample> {
    let files = std::fs::read_dir(folder().join("samples")).unwrap();
    let mut samples: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            let read: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let text = |name: &str| read[name].as_str().unwrap().to_owned();
            Sample {
                name: path.file_stem().unwrap().to_string_lossy().into_owned(),
                routing_key: text("routing_key"),
                body: read["body"].clone(),
            }
        })
        .collect();
    samples.sort_by(|one, other| one.name.cmp(&other.name));
    samples
}

fn expected() -> BTreeMap<String, [Option<String>; 4]> {
    let text = std::fs::read_to_string(folder().join("expected.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let word = |at: usize| (words[at] != "-").then(|| words[at].to_owned());
            (words[0].to_owned(), [word(1), word(2), word(3), word(4)])
        })
        .collect()
}

/// An event in the words of the table.
pub fn shown(event: Option<ServerEvent>) -> [Option<String>; 4] {
    event.map_or([None, None, None, None], |event| {
        [Some(event.what.as_str().to_owned()), Some(event.server_id.to_string()), event.request_id, event.image_id]
    })
}

#[test]
fn every_sample_means_what_the_table_says() {
    let samples = samples();
    assert_eq!(samples.len(), expected().len(), "a line a sample");
    for sample in samples {
        for body in [sample.body.to_string(), sample.message().to_string()] {
            let event = decode(body.as_bytes()).unwrap_or_else(|error| panic!("{}: {}", sample.name, error.chain()));
            assert_eq!(shown(event), sample.expected(), "{}", sample.name);
        }
    }
}

#[test]
fn every_sample_that_counts_says_whose_server_it_is_when_and_once_only() {
    let mut ids = std::collections::BTreeSet::new();
    for sample in samples() {
        let Some(event) = decode(sample.body.to_string().as_bytes()).unwrap() else { continue };
        assert!(event.project_id.is_some(), "{}", sample.name);
        assert_eq!(event.sent_at.unwrap().date_naive().to_string(), "2026-11-20", "{}", sample.name);
        assert!(ids.insert(event.message_id), "{}", sample.name);
    }
}

#[test]
fn no_sample_has_a_live_token() {
    for sample in samples() {
        let text = sample.body.to_string();
        let tokens =
            text.match_indices("auth_token").map(|(at, _)| text[at + 10..].trim_start_matches(['\\', '"', ':', ' ']));
        for token in tokens {
            assert!(token.starts_with("null") || token.starts_with("REDACTED"), "{}", sample.name);
        }
    }
}
