//! Callers' own names for their requests: who asks twice under one name is told what the first time began.

use chrono::TimeDelta;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::rows::client_token;
use super::{Store, database_error, from_id};
use crate::clock;
use crate::error::{Error, Result};
use crate::ids::{OperationId, ServerId, SnapshotId};

/// How long a name is remembered. Whoever has not heard an answer asks again within minutes.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// A request that its caller has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientToken {
    /// The name.
    pub token: String,
    /// A digest of what was asked for under it, so that something else is not taken for the same.
    pub digest: String,
    /// What was asked for.
    pub snapshot_id: SnapshotId,
    /// What makes it. Its row may be forgotten before this one.
    pub operation_id: OperationId,
}

impl Store {
    /// What was asked for under a name for a server, within the last day.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn client_token(&self, server: ServerId, token: &str) -> Result<Option<ClientToken>> {
        find(&self.read, server, token).await
    }
}

async fn find(connection: &impl ConnectionTrait, server: ServerId, token: &str) -> Result<Option<ClientToken>> {
    let key = (server.to_string(), token.to_owned());
    let row = client_token::Entity::find_by_id(key)
        .filter(client_token::Column::CreatedAt.gt((clock::now() - KEPT).naive_utc()))
        .one(connection)
        .await
        .map_err(database_error)?;
    row.map(|row| {
        Ok(ClientToken {
            token: row.token,
            digest: row.digest,
            snapshot_id: from_id("client_tokens.snapshot_id", &row.snapshot_id)?,
            operation_id: from_id("client_tokens.operation_id", &row.operation_id)?,
        })
    })
    .transpose()
}

/// Notes a name, and forgets old ones. The server's row must be locked.
pub(super) async fn take(connection: &impl ConnectionTrait, server: ServerId, new: &ClientToken) -> Result<()> {
    if let Some(there) = find(connection, server, &new.token).await? {
        return Err(Error::conflict(format!("Operation {} has begun under this client_token.", there.operation_id)));
    }
    let now = clock::now();
    client_token::Entity::delete_many()
        .filter(client_token::Column::CreatedAt.lte((now - KEPT).naive_utc()))
        .exec(connection)
        .await
        .map_err(database_error)?;
    let row = client_token::ActiveModel {
        server_id: Set(server.to_string()),
        token: Set(new.token.clone()),
        digest: Set(new.digest.clone()),
        snapshot_id: Set(new.snapshot_id.to_string()),
        operation_id: Set(new.operation_id.to_string()),
        created_at: Set(now.naive_utc()),
    };
    client_token::Entity::insert(row).exec(connection).await.map(|_| ()).map_err(database_error)
}
