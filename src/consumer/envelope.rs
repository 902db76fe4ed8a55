//! The envelope that oslo.messaging puts around a notification, and the message within it.
//!
//! The driver `messagingv2` sends JSON whose member `oslo.message` is a text of JSON again; the driver `messaging` sends the
//! message bare. Both arrive at the same queue. Errors say where reading has failed and never quote what was read: some
//! messages carry a user's token.

use std::borrow::Cow;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// A notification, as far as all services agree. What is in its payload is read by kind, and only where it matters.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    /// New for each message of one sender.
    #[serde(default, deserialize_with = "lenient")]
    pub message_id: Option<String>,
    /// Such as `instance.delete.start`.
    #[serde(default, deserialize_with = "lenient")]
    pub event_type: Option<String>,
    /// The sender's clock, UTC without saying so.
    #[serde(default, deserialize_with = "lenient")]
    timestamp: Option<String>,
    /// The request's id, in Nova's messages that of Nova's list of actions.
    #[serde(default, rename = "_context_request_id", deserialize_with = "lenient")]
    pub request_id: Option<String>,
    /// The request's id at the service that the user called, in messages of those called by it.
    #[serde(default, rename = "_context_global_request_id", deserialize_with = "lenient")]
    pub global_request_id: Option<String>,
    /// Unread.
    #[serde(borrow, default)]
    pub payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "oslo.version", borrow, default)]
    version: Option<Cow<'a, str>>,
    #[serde(rename = "oslo.message", borrow, default)]
    message: Option<Cow<'a, str>>,
}

/// Takes the envelope off, if there is one, and lets `read` have the message.
///
/// # Errors
/// `Backend` for what is no notification, or one of another major version.
pub fn open<T>(body: &[u8], read: impl FnOnce(&Message<'_>) -> Result<T>) -> Result<T> {
    let text = std::str::from_utf8(body).map_err(|_| unreadable("The body is not UTF-8."))?;
    let envelope: Envelope<'_> = parsed("The body", text)?;
    match (&envelope.version, &envelope.message) {
        (Some(version), _) if version.split('.').next() != Some("2") => {
            Err(unreadable("The envelope is of another major version of oslo.messaging than 2."))
        }
        (_, Some(message)) => read(&parsed("The message in the envelope", message)?),
        (Some(_), None) => Err(unreadable("The envelope is empty.")),
        (None, None) => read(&parsed("The body", text)?),
    }
}

impl Message<'_> {
    /// When it was sent, by the sender's clock.
    #[must_use]
    pub fn sent_at(&self) -> Option<DateTime<Utc>> {
        let text = self.timestamp.as_deref()?;
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), "%Y-%m-%dT%H:%M:%S%.f"))
            .ok()
            .map(|at| at.and_utc())
    }
}

/// The error of a message that nobody here will ever be able to read.
pub fn unreadable(why: impl Into<String>) -> Error {
    Error::backend(why)
}

/// Reads JSON. The library's own words are left out, since they may quote the value.
pub fn parsed<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| {
        let problem = if error.is_data() { "not of the expected shape" } else { "not JSON" };
        unreadable(format!("{what} is {problem} (line {}, column {}).", error.line(), error.column()))
    })
}

/// A member that may be missing, null, or something else than expected: then it is as if it were missing. Most members tell
/// us nothing that we could not do without.
pub fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(body: &str) -> std::result::Result<String, String> {
        open(body.as_bytes(), |message| Ok(message.event_type.clone().unwrap_or_default()))
            .map_err(|error| error.chain())
    }

    fn wrapped(version: &str, message: &str) -> String {
        serde_json::json!({"oslo.version": version, "oslo.message": message}).to_string()
    }

    #[test]
    fn a_message_is_the_same_with_and_without_its_envelope() {
        let bare = r#"{"event_type": "instance.update", "payload": {"uuid": "\u00e9"}}"#;
        for body in [bare.to_owned(), wrapped("2.0", bare), wrapped("2.1", bare)] {
            assert_eq!(kind(&body), Ok("instance.update".to_owned()), "{body}");
        }
    }

    #[test]
    fn what_is_no_notification_is_refused_and_not_quoted() {
        let secret = "gAAAAA-a-token";
        for (body, why) in [
            (wrapped("1.0", "{}"), "another major version"),
            (wrapped("3.0", "{}"), "another major version"),
            (wrapped("2.0", secret), "The message in the envelope is not JSON"),
            (wrapped("2.0", &format!("\"{secret}\"")), "not of the expected shape"),
            (r#"{"oslo.version": "2.0"}"#.to_owned(), "The envelope is empty"),
            (secret.to_owned(), "The body is not JSON"),
            (format!(r#""{secret}""#), "not of the expected shape"),
            (format!(r#"{{"oslo.message": ["{secret}"]}}"#), "not of the expected shape"),
            (String::new(), "The body is not JSON"),
        ] {
            let said = kind(&body).unwrap_err();
            assert!(said.contains(why) && !said.contains(secret), "{body}: {said}");
        }
        assert!(open(b"\xff\xfe", |_| Ok(())).is_err_and(|error| error.chain().contains("not UTF-8")));
    }

    #[test]
    fn a_timestamp_without_a_zone_is_utc() {
        for (text, wanted) in [
            ("2026-11-20 20:37:10.123456", Some("2026-11-20T20:37:10.123456Z")),
            ("2026-11-20 20:37:10", Some("2026-11-20T20:37:10Z")),
            ("2026-11-20T20:37:10.5Z", Some("2026-11-20T20:37:10.5Z")),
            ("yesterday", None),
        ] {
            let body = serde_json::json!({"timestamp": text}).to_string();
            let at = open(body.as_bytes(), |message| Ok(message.sent_at())).unwrap();
            assert_eq!(at, wanted.map(|at| at.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_member_of_an_odd_type_counts_as_missing() {
        let read = open(br#"{"message_id": 7, "event_type": "x", "timestamp": {}}"#, |message| {
            Ok((message.message_id.clone(), message.event_type.clone(), message.sent_at()))
        });
        assert_eq!(read.unwrap(), (None, Some("x".to_owned()), None));
    }
}
