//! The OpenAPI document: it has every route and no other, its schemas are schemas, the reference's samples are what it describes,
//! and what the service refuses as unknown it refuses too. Whether real answers are as it says is asked in `fuzz.rs`.

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use serde_json::{Value, json};

use crate::house::House;
use crate::reference::{root, routes_of_the_service, sample};

async fn document() -> Value {
    let house = House::without_engine().await;
    let answer = house.send_as("", "GET", "/v1/openapi.json", None).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    answer.body
}

/// `GET /v1/snapshots/{id}` and so on, each with what the document says of it.
fn operations(document: &Value) -> BTreeMap<String, &Value> {
    let paths = document["paths"].as_object().unwrap().iter();
    let methods = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (path, method, operation))
    });
    methods.map(|(path, method, operation)| (format!("{} {path}", method.to_uppercase()), operation)).collect()
}

/// Judges by a schema, which may refer to those of the document.
fn judge(document: &Value, schema: &Value) -> Validator {
    let mut whole =
        json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "components": document["components"] });
    whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
    jsonschema::options()
        .should_validate_formats(true)
        .build(&whole)
        .unwrap_or_else(|error| panic!("{schema}: {error}"))
}

fn complaints(judge: &Validator, body: &Value) -> Vec<String> {
    judge.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[tokio::test]
async fn every_route_is_in_the_document_and_no_other() {
    let document = document().await;
    let documented: BTreeSet<String> = operations(&document).into_keys().collect();
    assert_eq!(documented, routes_of_the_service());
}

#[tokio::test]
async fn every_operation_says_who_it_is_and_what_it_answers() {
    let document = document().await;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(
        document["servers"][0]["url"].as_str().unwrap().starts_with("http://127.0.0.1:"),
        "{}",
        document["servers"]
    );
    let mut names = BTreeSet::new();
    for (route, operation) in operations(&document) {
        assert!(names.insert(operation["operationId"].to_string()), "{route}: another has its name");
        for word in ["summary", "tags", "responses"] {
            assert!(!operation[word].is_null(), "{route} has no {word}");
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(!parameter["description"].as_str().unwrap().is_empty(), "{route} {parameter}");
            judge(&document, &parameter["schema"]);
        }
        let answers = operation["responses"].as_object().unwrap();
        assert!(answers.keys().any(|status| status.starts_with('2')), "{route}");
        for (status, answer) in answers {
            assert!(!answer["description"].as_str().unwrap().is_empty(), "{route} {status}");
            assert!(answer["headers"]["X-OpenStack-Request-ID"].is_object(), "{route} {status}");
            for (_, content) in answer["content"].as_object().into_iter().flatten() {
                judge(&document, &content["schema"]);
            }
            let begun = status == "202" && operation["operationId"] != "cancel_operation";
            assert_eq!(answer["headers"]["Location"].is_object(), begun, "{route} {status}");
        }
    }
}

/// The samples of the reference, each with its route: they stand below it there.
fn samples() -> Vec<(String, String)> {
    let mut samples = Vec::new();
    for file in std::fs::read_dir(root().join("api-ref/source/v1")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut route = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(named) = line.strip_prefix(".. rest_method:: ") {
                let parts = named.split('/').map(|part| if part.starts_with('{') { "{id}" } else { part });
                route = parts.collect::<Vec<_>>().join("/");
            } else if let Some(name) = line.strip_prefix(".. literalinclude:: samples/") {
                samples.push((route.clone(), name.trim_end_matches(".json").to_owned()));
            }
        }
    }
    samples
}

#[tokio::test]
async fn the_samples_of_the_reference_are_what_the_document_describes() {
    let document = document().await;
    let operations = operations(&document);
    let mut seen = BTreeSet::new();
    for (route, name) in samples() {
        let operation = operations[&route];
        let answer = |status: &str| operation["responses"][status]["content"]["application/json"]["schema"].clone();
        let schema = match name.rsplit('-').next().unwrap() {
            "request" => operation["requestBody"]["content"]["application/json"]["schema"].clone(),
            _ if name.contains("-plan-") || answer("202").is_null() => answer("200"),
            _ => answer("202"),
        };
        assert!(schema.is_object(), "{route} has no schema for {name}");
        let found = complaints(&judge(&document, &schema), &sample(&name));
        assert!(found.is_empty(), "{route} {name}: {found:#?}");
        seen.insert(format!("{name}.json"));
    }
    for name in ["error-bad-request", "error-conflict"] {
        let found = complaints(&judge(&document, &json!({ "$ref": "#/components/schemas/Error" })), &sample(name));
        assert!(found.is_empty(), "{name}: {found:#?}");
        seen.insert(format!("{name}.json"));
    }
    let all = std::fs::read_dir(root().join("api-ref/source/samples")).unwrap();
    let all: BTreeSet<_> = all.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(seen, all, "samples that nothing was asked about");
}

/// The objects in a schema, with their places.
fn objects<'a>(document: &'a Value, place: &str, schema: &'a Value, found: &mut Vec<(String, &'a Value)>) {
    if let Some(name) = schema["$ref"].as_str() {
        let target = document.pointer(name.trim_start_matches('#')).unwrap();
        return objects(document, name, target, found);
    }
    if schema["properties"].is_object() {
        found.push((place.to_owned(), schema));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        objects(document, &format!("{place}.{name}"), property, found);
    }
    for either in schema["oneOf"].as_array().into_iter().flatten() {
        objects(document, place, either, found);
    }
}

#[tokio::test]
async fn a_member_that_the_service_refuses_is_refused_by_the_document() {
    let document = document().await;
    let mut checked = 0;
    for (route, operation) in operations(&document) {
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        let mut found = Vec::new();
        if schema.is_object() {
            objects(&document, &route, schema, &mut found);
            assert!(!found.is_empty(), "{route}");
        }
        for (place, object) in found {
            assert_eq!(object["additionalProperties"], false, "{place}");
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}
