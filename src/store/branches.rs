//! Branches.

use std::collections::HashMap;

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::operations::in_the_way;
use super::rows::{branch, server};
use super::{Store, database_error, from_id, from_optional_id, servers};
use crate::domain::snapshot::Branch;
use crate::error::{Error, Result};
use crate::ids::{BranchId, ServerId};

impl TryFrom<branch::Model> for Branch {
    type Error = Error;
    fn try_from(row: branch::Model) -> Result<Self> {
        Ok(Self {
            id: from_id("branches.id", &row.id)?,
            server_id: from_id("branches.server_id", &row.server_id)?,
            name: row.name,
            fork_snapshot_id: from_optional_id("branches.fork_snapshot_id", row.fork_snapshot_id.as_deref())?,
            created_at: row.created_at.and_utc(),
        })
    }
}

fn row_of(branch: &Branch) -> branch::ActiveModel {
    branch::ActiveModel {
        id: Set(branch.id.to_string()),
        server_id: Set(branch.server_id.to_string()),
        name: Set(branch.name.clone()),
        fork_snapshot_id: Set(branch.fork_snapshot_id.map(|id| id.to_string())),
        created_at: Set(branch.created_at.naive_utc()),
    }
}

/// Writes a branch that is not there yet; there already is success.
pub(super) async fn insert(connection: &impl ConnectionTrait, branch: &Branch) -> Result<()> {
    if branch::Entity::find_by_id(branch.id.to_string()).one(connection).await.map_err(database_error)?.is_some() {
        return Ok(());
    }
    branch::Entity::insert(row_of(branch)).exec(connection).await.map(|_| ()).map_err(database_error)
}

/// Lets a branch begin at another node.
pub(super) async fn move_fork(connection: &impl ConnectionTrait, branch: &Branch) -> Result<()> {
    branch::Entity::update_many()
        .col_expr(branch::Column::ForkSnapshotId, Expr::value(branch.fork_snapshot_id.map(|id| id.to_string())))
        .filter(branch::Column::Id.eq(branch.id.to_string()))
        .exec(connection)
        .await
        .map(|_| ())
        .map_err(database_error)
}

async fn there(connection: &impl ConnectionTrait, id: BranchId) -> Result<Option<Branch>> {
    branch::Entity::find_by_id(id.to_string())
        .one(connection)
        .await
        .map_err(database_error)?
        .map(Branch::try_from)
        .transpose()
}

/// All branches of a server.
pub(super) async fn of_server(connection: &impl ConnectionTrait, server: ServerId) -> Result<Vec<Branch>> {
    let rows = branch::Entity::find()
        .filter(branch::Column::ServerId.eq(server.to_string()))
        .order_by_asc(branch::Column::Id)
        .all(connection)
        .await
        .map_err(database_error)?;
    rows.into_iter().map(Branch::try_from).collect()
}

impl Store {
    /// The names of these branches; one that is not there is left out.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn branch_names(&self, ids: &[BranchId]) -> Result<HashMap<BranchId, String>> {
        let rows: Vec<(String, String)> = branch::Entity::find()
            .select_only()
            .column(branch::Column::Id)
            .column(branch::Column::Name)
            .filter(branch::Column::Id.is_in(ids.iter().map(BranchId::to_string)))
            .into_tuple()
            .all(&self.read)
            .await
            .map_err(database_error)?;
        rows.into_iter().map(|(id, name)| Ok((from_id("branches.id", &id)?, name))).collect()
    }

    /// A branch.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn branch(&self, id: BranchId) -> Result<Option<Branch>> {
        there(&self.read, id).await
    }

    /// Gives a branch another name.
    ///
    /// # Errors
    /// `Conflict` when another branch of the server has it, or an operation is under way; `NotFound`.
    pub async fn rename_branch(&self, id: BranchId, name: &str) -> Result<Branch> {
        let tx = self.begin().await?;
        let missing = || Error::not_found("Branch", id);
        let server = there(&tx, id).await?.ok_or_else(missing)?.server_id;
        let record = servers::lock(&tx, server).await?;
        if let Some(operation) = record.and_then(|record| record.operation_id) {
            return Err(in_the_way(&operation)); // it may be about to enter a branch of this name
        }
        let mut branches = of_server(&tx, server).await?;
        if branches.iter().any(|other| other.name == name && other.id != id) {
            return Err(
                Error::conflict(format!("The server has another branch named {name}.")).remedy("Choose another name.")
            );
        }
        let at = branches.iter().position(|branch| branch.id == id).ok_or_else(missing)?;
        let mut found = branches.swap_remove(at);
        name.clone_into(&mut found.name);
        branch::Entity::update(row_of(&found)).exec(&tx).await.map_err(database_error)?;
        bump_generation(&tx, server).await?;
        tx.commit().await.map_err(database_error)?;
        Ok(found)
    }
}

/// Counts a change of a server's tree.
pub(super) async fn bump_generation(connection: &impl ConnectionTrait, server: ServerId) -> Result<()> {
    use sea_orm::ExprTrait;

    server::Entity::update_many()
        .col_expr(server::Column::Generation, Expr::col(server::Column::Generation).add(1))
        .col_expr(server::Column::UpdatedAt, Expr::value(crate::clock::now().naive_utc()))
        .filter(server::Column::Id.eq(server.to_string()))
        .exec(connection)
        .await
        .map(|_| ())
        .map_err(database_error)
}
