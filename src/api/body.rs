//! Reading what callers send: JSON bodies whose unknown, missing and mistyped fields are named, and ids.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::error::ErrorRequestTimeout;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpRequest};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};

use super::ApiState;
use super::fault::Fault;
use crate::error::{Error, Kind, Result};
use crate::ids::Id;

/// A request's body, read whole. Such a request has no query: what belongs into the body would be passed over there, and a
/// restore with `?dry_run=true` would be a restore.
///
/// One that trickles in is given up with a 408: the framework's own time limit ends with the head. What handlers do afterwards
/// needs no limit here: each call to a service, to Ceph and to the database has its own, and to drop a handler while it commits
/// would leave its caller in doubt.
pub struct Body(pub Bytes);

impl FromRequest for Body {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let state = request.app_data::<web::Data<ApiState>>().cloned();
        let reading = Bytes::from_request(request, payload);
        let query = request.query_string().split(['=', '&']).next().filter(|name| !name.is_empty()).map(str::to_owned);
        Box::pin(async move {
            if let Some(name) = query {
                let error = Error::bad_field(&name, format!("{name} stands in the query, where it has no effect."));
                return Err(Fault(error.remedy("Write it into the body.")).into());
            }
            let state = state.ok_or_else(|| Fault(Error::internal("The API has no state.")))?;
            match tokio::time::timeout(state.settings.request_timeout, reading).await {
                Ok(body) => body.map(Self),
                Err(late) => Err(ErrorRequestTimeout(late)),
            }
        })
    }
}

/// Refuses a body where there is none to read: what it says would be passed over, and a deletion with `{"dry_run": true}` would
/// be one.
///
/// # Errors
/// `BadRequest`.
pub fn no_body(request: &HttpRequest) -> Result<()> {
    let length = request.headers().get("content-length").and_then(|value| value.to_str().ok());
    if length.is_some_and(|length| length != "0") || request.headers().contains_key("transfer-encoding") {
        return Err(Error::new(Kind::BadRequest, "This request takes no body: what it says would have no effect.")
            .remedy("Write parameters into the query, and leave the body out."));
    }
    Ok(())
}

/// Reads a JSON body. `T` denies unknown fields.
///
/// # Errors
/// `BadRequest` naming the field's path and what is wrong with it.
pub fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T> {
    if body.is_empty() {
        return Err(Error::new(Kind::BadRequest, "The request has no body.").remedy("Send a JSON object."));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner().to_string();
        let what = inner.split(" at line ").next().unwrap_or(&inner).to_owned();
        if !path.starts_with(|first: char| first.is_ascii_alphabetic()) {
            Error::new(Kind::BadRequest, format!("The body cannot be read: {what}."))
        } else {
            Error::bad_field(path.clone(), format!("{path}: {what}."))
        }
    })?;
    reader.end().map_err(|_| Error::new(Kind::BadRequest, "The body goes on behind its JSON object."))?;
    Ok(value)
}

/// Reads a whole number of a body, also one that is written as `2000.0`: to JSON Schema that is an integer too.
///
/// # Errors
/// When it is not whole, or too large or too small for its type.
pub fn whole<'de, D: Deserializer<'de>, N: TryFrom<i128>>(deserializer: D) -> std::result::Result<Option<N>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let float = || number.as_f64().filter(|float| float.fract() == 0.0).map(|float| float as i128);
    let whole = number.as_i128().or_else(float).and_then(|whole| N::try_from(whole).ok());
    whole.map(Some).ok_or_else(|| D::Error::custom(format!("{number} is no whole number of this range")))
}

/// Reads an id of a path. What is no uuid cannot exist.
///
/// # Errors
/// `NotFound`.
pub fn path_id<K>(what: &str, text: &str) -> Result<Id<K>> {
    text.parse().map_err(|_| Error::not_found(what, text))
}

/// Reads an id of a body or a query.
///
/// # Errors
/// `BadRequest` naming the field.
pub fn field_id<K>(field: &str, text: &str) -> Result<Id<K>> {
    text.parse().map_err(|_| Error::bad_field(field, format!("{field} is not a uuid: {text}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        inner: Inner,
    }
    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        number: u8,
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        #[derive(Deserialize)]
        struct Numbers {
            #[serde(default, deserialize_with = "whole")]
            number: Option<u16>,
        }
        for (text, expected) in [
            ("{}", Some(None)),
            (r#"{"number": null}"#, Some(None)),
            (r#"{"number": 2000}"#, Some(Some(2000))),
            (r#"{"number": 2000.0}"#, Some(Some(2000))),
            (r#"{"number": 2e3}"#, Some(Some(2000))),
            (r#"{"number": 2000.5}"#, None),
            (r#"{"number": -1}"#, None),
            (r#"{"number": 65536}"#, None),
            (r#"{"number": 1e300}"#, None),
            (r#"{"number": "2000"}"#, None),
        ] {
            let read = parse::<Numbers>(&Bytes::from(text.to_owned()));
            assert_eq!(read.ok().map(|numbers| numbers.number), expected, "{text}");
        }
    }

    #[test]
    fn a_bad_body_is_refused_with_the_name_of_the_field() {
        for (text, expected) in [
            ("", "no body"),
            ("{", "cannot be read"),
            ("[]", "cannot be read"),
            (r#"{"inner":{"number":"x"}}"#, "inner.number: invalid type: string \"x\", expected u8"),
            (r#"{"inner":{"number":1,"more":2}}"#, "unknown field `more`"),
            (r#"{"inner":{}}"#, "missing field `number`"),
            (r#"{"inner":{"number":1}} tail"#, "goes on"),
            (r#"{"inner":{"number":300}}"#, "invalid value"),
        ] {
            let error = parse::<Outer>(&Bytes::from(text.to_owned())).unwrap_err();
            assert!(error.chain().contains(expected), "{text}: {}", error.chain());
            assert_eq!(error.kind(), Kind::BadRequest);
        }
    }
}
