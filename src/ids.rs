//! Typed ids. Rows get UUID version 7, so that newer rows sort after older ones and indexes stay local.
//!
//! A Keystone project or user id is *not* a UUID (LDAP domains give 64 hex digits, the default domain is
//! called `default`): those stay strings, see [`ProjectId`].

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

/// An id of one kind of thing; ids of different kinds do not mix.
pub struct Id<K> {
    uuid: Uuid,
    kind: PhantomData<fn() -> K>,
}

/// The kinds of [`Id`].
pub mod kind {
    /// A server of Nova.
    #[derive(Debug)]
    pub struct Server;
    /// A node of a tree.
    #[derive(Debug)]
    pub struct Snapshot;
    /// One disk's part of a snapshot.
    #[derive(Debug)]
    pub struct DiskSnapshot;
    /// A named line of work.
    #[derive(Debug)]
    pub struct Branch;
    /// One storage object of a disk's history.
    #[derive(Debug)]
    pub struct Layer;
    /// A disk through all its layers.
    #[derive(Debug)]
    pub struct Disk;
    /// A durable operation.
    #[derive(Debug)]
    pub struct Operation;
    /// A process that runs operations.
    #[derive(Debug)]
    pub struct Engine;
}

/// A server's id, as Nova gave it.
pub type ServerId = Id<kind::Server>;
/// A snapshot's id.
pub type SnapshotId = Id<kind::Snapshot>;
/// A disk snapshot's id.
pub type DiskSnapshotId = Id<kind::DiskSnapshot>;
/// A branch's id.
pub type BranchId = Id<kind::Branch>;
/// A layer's id.
pub type LayerId = Id<kind::Layer>;
/// A disk's id: the same through all layers that grew from one another.
pub type DiskId = Id<kind::Disk>;
/// An operation's id.
pub type OperationId = Id<kind::Operation>;
/// An engine's id: new at each start of the process.
pub type EngineId = Id<kind::Engine>;
/// A Keystone project's id.
pub type ProjectId = String;
/// A Keystone user's id.
pub type UserId = String;

impl<K> Id<K> {
    /// A new id, newer than all before it (UUIDv7).
    #[must_use]
    pub fn new() -> Self {
        Self::from(Uuid::now_v7())
    }
}

impl<K> From<Uuid> for Id<K> {
    fn from(uuid: Uuid) -> Self {
        Self { uuid, kind: PhantomData }
    }
}

impl<K> Default for Id<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K> Copy for Id<K> {}
impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.uuid == other.uuid
    }
}
impl<K> Eq for Id<K> {}
impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.uuid.cmp(&other.uuid)
    }
}
impl<K> std::hash::Hash for Id<K> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.uuid.hash(state);
    }
}
impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.as_hyphenated().fmt(f)
    }
}
impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl<K> FromStr for Id<K> {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self::from)
    }
}
impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
impl<'de, K> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from)
    }
}
impl<K> PartialSchema for Id<K> {
    fn schema() -> RefOr<Schema> {
        let format = SchemaFormat::Custom("uuid".into());
        let text = ObjectBuilder::new().schema_type(Type::String).format(Some(format));
        text.description(Some("An id: a UUID with hyphens.")).build().into()
    }
}
/// One schema for all kinds: callers cannot tell them apart.
impl<K> ToSchema for Id<K> {
    fn name() -> Cow<'static, str> {
        "Id".into()
    }
}
