//! What many bodies have: times, names, texts. [`Name`], [`Description`], [`Reason`], [`Word`], [`Flag`],
//! [`ClientToken`] and [`Generation`] only describe what `app` and `Query` check.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// A time: UTC, in whole seconds; in the log of an operation with microseconds.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(format = DateTime, examples("2026-11-21T03:27:05Z"))]
pub struct Time(String);

impl Time {
    /// In whole seconds.
    #[must_use]
    pub fn of(at: DateTime<Utc>) -> Self {
        Self(at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    /// With microseconds.
    #[must_use]
    pub fn exactly(at: DateTime<Utc>) -> Self {
        Self(at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
    }
}

/// A name of 1 to 255 characters, not blank, without control characters but line feed and tab.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 255,
    pattern = r"^[^\u0000-\u0008\u000B-\u001F\u007F-\u009F]*[^\s\u0000-\u001F\u007F-\u009F][^\u0000-\u0008\u000B-\u001F\u007F-\u009F]*$"
)]
pub struct Name(pub String);

/// A text of up to 4096 characters, without control characters but line feed and tab.
#[derive(ToSchema)]
#[schema(max_length = 4096, pattern = r"^[^\u0000-\u0008\u000B-\u001F\u007F-\u009F]*$")]
pub struct Description(pub String);

/// A text of up to 255 characters, without control characters but line feed and tab.
#[derive(ToSchema)]
#[schema(max_length = 255, pattern = r"^[^\u0000-\u0008\u000B-\u001F\u007F-\u009F]*$")]
pub struct Reason(pub String);

/// Text of a query: without control characters.
#[derive(ToSchema)]
#[schema(pattern = r"^[^\u0000-\u001F\u007F-\u009F]*$")]
pub struct Word(pub String);

/// Yes or no, in a query: `true`, `1`, `yes`, `false`, `0` or `no`, in any case.
#[derive(ToSchema)]
#[schema(pattern = "^([Tt][Rr][Uu][Ee]|1|[Yy][Ee][Ss]|[Ff][Aa][Ll][Ss][Ee]|0|[Nn][Oo])$")]
pub struct Flag(pub String);

/// The caller's own name for a request: visible ASCII characters, as a UUID.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 64, pattern = "^[!-~]+$")]
pub struct ClientToken(pub String);

/// The generation of a tree: counts its changes.
#[derive(ToSchema)]
#[schema(minimum = 0, maximum = 9223372036854775807_i64)]
pub struct Generation(pub i64);
