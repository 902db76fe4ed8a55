//! Snapshots: nodes of the forest.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, ModelTrait, Order, QueryFilter, QueryOrder, QuerySelect,
};

use super::operations::in_the_way;
use super::rows::snapshot;
use super::{
    Page, SortKey, Store, branches, database_error, from_id, from_json, from_optional_id, from_word, servers, to_json,
};
use crate::domain::snapshot::{Beside, Protection, Snapshot, SnapshotStatus};
use crate::error::{Error, Result};
use crate::ids::{BranchId, ServerId, SnapshotId};

impl TryFrom<snapshot::Model> for Snapshot {
    type Error = Error;
    fn try_from(row: snapshot::Model) -> Result<Self> {
        Ok(Self {
            id: from_id("snapshots.id", &row.id)?,
            server_id: from_id("snapshots.server_id", &row.server_id)?,
            project_id: row.project_id,
            user_id: row.user_id,
            parent_id: from_optional_id("snapshots.parent_id", row.parent_id.as_deref())?,
            branch_id: from_id("snapshots.branch_id", &row.branch_id)?,
            sequence: row.sequence,
            name: row.name,
            description: row.description,
            status: from_word("snapshots.status", &row.status, SnapshotStatus::parse)?,
            hidden: row.hidden,
            safety: row.safety,
            protection: row.protection.as_deref().map(|text| from_json("snapshots.protection", text)).transpose()?,
            consistency: from_json("snapshots.consistency", &row.consistency)?,
            partial: row.partial,
            at_rest: row.at_rest,
            left_out: from_json("snapshots.left_out", &row.left_out)?,
            server_name: row.server_name,
            flavor: row.flavor,
            fault: row.fault,
            beside: row.request.map(|request| Beside {
                request,
                image_id: row.image_id,
                backup: row.backup.unwrap_or(false),
            }),
            created_at: row.created_at.and_utc(),
            updated_at: row.updated_at.and_utc(),
        })
    }
}

fn row_of(snapshot: &Snapshot) -> Result<snapshot::ActiveModel> {
    let beside = snapshot.beside.as_ref();
    Ok(snapshot::ActiveModel {
        id: Set(snapshot.id.to_string()),
        server_id: Set(snapshot.server_id.to_string()),
        project_id: Set(snapshot.project_id.clone()),
        user_id: Set(snapshot.user_id.clone()),
        parent_id: Set(snapshot.parent_id.map(|id| id.to_string())),
        branch_id: Set(snapshot.branch_id.to_string()),
        sequence: Set(snapshot.sequence),
        name: Set(snapshot.name.clone()),
        description: Set(snapshot.description.clone()),
        status: Set(snapshot.status.as_str().to_owned()),
        hidden: Set(snapshot.hidden),
        safety: Set(snapshot.safety),
        protection: Set(snapshot.protection.as_ref().map(to_json).transpose()?),
        partial: Set(snapshot.partial),
        at_rest: Set(snapshot.at_rest),
        consistency: Set(to_json(&snapshot.consistency)?),
        left_out: Set(to_json(&snapshot.left_out)?),
        server_name: Set(snapshot.server_name.clone()),
        flavor: Set(snapshot.flavor.clone()),
        fault: Set(snapshot.fault.clone()),
        image_id: Set(beside.and_then(|beside| beside.image_id.clone())),
        request: Set(beside.map(|beside| beside.request.clone())),
        backup: Set(beside.map(|beside| beside.backup)),
        created_at: Set(snapshot.created_at.naive_utc()),
        updated_at: Set(snapshot.updated_at.naive_utc()),
    })
}

/// Writes a snapshot as it is now; name, description, protection, the safety mark and its image only where it is new.
pub(super) async fn save(connection: &impl ConnectionTrait, snapshot: &Snapshot) -> Result<()> {
    let mut row = row_of(snapshot)?;
    let there = snapshot::Entity::find_by_id(snapshot.id.to_string()).one(connection).await.map_err(database_error)?;
    if there.is_some() {
        // The words are the user's, and may have been changed since this row was read: see `describe_snapshot`. The image may
        // have been named since: see `name_image`.
        (row.name, row.description, row.safety, row.protection) = (NotSet, NotSet, NotSet, NotSet);
        (row.image_id, row.request, row.backup) = (NotSet, NotSet, NotSet);
        snapshot::Entity::update(row).exec(connection).await.map(|_| ()).map_err(database_error)
    } else {
        snapshot::Entity::insert(row).exec(connection).await.map(|_| ()).map_err(database_error)
    }
}

/// A snapshot that was not deleted.
pub(super) async fn there(connection: &impl ConnectionTrait, id: SnapshotId) -> Result<Option<Snapshot>> {
    snapshot::Entity::find_by_id(id.to_string())
        .filter(snapshot::Column::Status.ne(SnapshotStatus::Deleted.as_str()))
        .one(connection)
        .await
        .map_err(database_error)?
        .map(Snapshot::try_from)
        .transpose()
}

/// All snapshots of a server that are part of its tree, or about to be.
pub(super) async fn of_server(connection: &impl ConnectionTrait, server: ServerId) -> Result<Vec<Snapshot>> {
    let rows = snapshot::Entity::find()
        .filter(snapshot::Column::ServerId.eq(server.to_string()))
        .filter(snapshot::Column::Status.is_not_in([SnapshotStatus::Deleted.as_str()]))
        .order_by_asc(snapshot::Column::Sequence)
        .all(connection)
        .await
        .map_err(database_error)?;
    rows.into_iter().map(Snapshot::try_from).collect()
}

/// What a list of snapshots is limited to.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFilter {
    /// One owner; `None` = all.
    pub project_id: Option<String>,
    /// One server.
    pub server_id: Option<ServerId>,
    /// One status.
    pub status: Option<SnapshotStatus>,
    /// One branch.
    pub branch_id: Option<BranchId>,
    /// One name.
    pub name: Option<String>,
    /// Joints of trees too: snapshots that were deleted and had to stay.
    pub hidden: bool,
}

/// Name and description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
}

/// What shall be changed of a snapshot; `None` = as it is.
#[derive(Debug, Clone, Default)]
pub struct Description {
    /// Name.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Protection; `Some(None)` takes it away.
    pub protection: Option<Option<Protection>>,
}

/// A page of snapshots. Keyset paging: the cost does not grow with the page's number.
pub(super) async fn page(
    connection: &impl ConnectionTrait,
    filter: &SnapshotFilter,
    page: &Page,
) -> Result<Vec<Snapshot>> {
    let mut query = snapshot::Entity::find()
        .filter(snapshot::Column::Status.ne(SnapshotStatus::Deleted.as_str()))
        .limit(page.limit);
    if let Some(project) = &filter.project_id {
        query = query.filter(snapshot::Column::ProjectId.eq(project.as_str()));
    }
    if let Some(server) = filter.server_id {
        query = query.filter(snapshot::Column::ServerId.eq(server.to_string()));
    }
    if let Some(status) = filter.status {
        query = query.filter(snapshot::Column::Status.eq(status.as_str()));
    }
    if let Some(branch) = filter.branch_id {
        query = query.filter(snapshot::Column::BranchId.eq(branch.to_string()));
    }
    if let Some(name) = &filter.name {
        query = query.filter(snapshot::Column::Name.eq(name.as_str()));
    }
    if !filter.hidden {
        let failed = snapshot::Column::Status.eq(SnapshotStatus::ErrorDeleting.as_str());
        query = query.filter(Condition::any().add(snapshot::Column::Hidden.eq(false)).add(failed));
    }
    let key = match page.key {
        SortKey::CreatedAt => snapshot::Column::CreatedAt,
        SortKey::Name => snapshot::Column::Name,
    };
    let order = if page.ascending { Order::Asc } else { Order::Desc };
    query = query.order_by(key, order.clone()).order_by(snapshot::Column::Id, order);
    if let Some(marker) = &page.marker {
        let last = snapshot::Entity::find_by_id(marker.as_str())
            .one(connection)
            .await
            .map_err(database_error)?
            .filter(|row| filter.project_id.as_ref().is_none_or(|project| *project == row.project_id))
            .ok_or_else(|| Error::bad_field("marker", format!("No snapshot {marker} to go on from.")))?;
        let at = last.get(key);
        let (beyond, then) = if page.ascending {
            (key.gt(at.clone()), snapshot::Column::Id.gt(last.id))
        } else {
            (key.lt(at.clone()), snapshot::Column::Id.lt(last.id))
        };
        query = query.filter(Condition::any().add(beyond).add(Condition::all().add(key.eq(at)).add(then)));
    }
    let rows = query.all(connection).await.map_err(database_error)?;
    rows.into_iter().map(Snapshot::try_from).collect()
}

impl Store {
    /// A snapshot that was not deleted.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Option<Snapshot>> {
        there(&self.read, id).await
    }

    /// The snapshot that was made of a server for a request of Nova's, though it was deleted since.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn snapshot_of_request(&self, server: ServerId, request: &str) -> Result<Option<Snapshot>> {
        snapshot::Entity::find()
            .filter(snapshot::Column::ServerId.eq(server.to_string()))
            .filter(snapshot::Column::Request.eq(request))
            .one(&self.read)
            .await
            .map_err(database_error)?
            .map(Snapshot::try_from)
            .transpose()
    }

    /// Notes the image that a snapshot was made beside, unless one is noted. Its words become `now` as far as they are `then`:
    /// others are its owner's. Whether the image was not known before.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn name_image(&self, id: SnapshotId, image_id: &str, then: &Words, now: &Words) -> Result<bool> {
        let tx = self.begin().await?;
        let this = || snapshot::Entity::update_many().filter(snapshot::Column::Id.eq(id.to_string()));
        let noted = this()
            .col_expr(snapshot::Column::ImageId, Expr::value(image_id))
            .filter(snapshot::Column::ImageId.is_null())
            .exec(&tx)
            .await
            .map_err(database_error)?;
        if noted.rows_affected == 0 {
            return Ok(false);
        }
        this()
            .col_expr(snapshot::Column::Name, Expr::value(now.name.as_str()))
            .filter(snapshot::Column::Name.eq(then.name.as_str()))
            .exec(&tx)
            .await
            .map_err(database_error)?;
        this()
            .col_expr(snapshot::Column::Description, Expr::value(now.description.as_str()))
            .filter(snapshot::Column::Description.eq(then.description.as_str()))
            .exec(&tx)
            .await
            .map_err(database_error)?;
        tx.commit().await.map_err(database_error)?;
        Ok(true)
    }

    /// Changes the words of a snapshot, and its protection. A safety snapshot that is given a name or protected becomes an
    /// ordinary one: it is kept.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for what would keep a snapshot that an operation on its server may be about to remove.
    pub async fn describe_snapshot(&self, id: SnapshotId, wanted: &Description) -> Result<Snapshot> {
        let tx = self.begin().await?;
        let missing = || Error::not_found("Snapshot", id);
        let server = there(&tx, id).await?.ok_or_else(missing)?.server_id;
        let record = servers::lock(&tx, server).await?;
        let mut found = there(&tx, id).await?.ok_or_else(missing)?; // others may have changed it before the lock
        let protects = matches!(wanted.protection, Some(Some(_)));
        if protects || wanted.name.is_some() && found.safety {
            if let Some(operation) = record.and_then(|record| record.operation_id) {
                return Err(in_the_way(&operation)); // it may be removing this very snapshot
            }
            found.safety = false;
        }
        found.updated_at = crate::clock::now();
        // What was asked for alone: an engine, or whoever hears of an image, may be writing the rest.
        let mut update = snapshot::Entity::update_many()
            .col_expr(snapshot::Column::Safety, Expr::value(found.safety))
            .col_expr(snapshot::Column::UpdatedAt, Expr::value(found.updated_at.naive_utc()))
            .filter(snapshot::Column::Id.eq(id.to_string()));
        if let Some(name) = &wanted.name {
            name.clone_into(&mut found.name);
            update = update.col_expr(snapshot::Column::Name, Expr::value(name.as_str()));
        }
        if let Some(description) = &wanted.description {
            description.clone_into(&mut found.description);
            update = update.col_expr(snapshot::Column::Description, Expr::value(description.as_str()));
        }
        if let Some(protection) = &wanted.protection {
            found.protection.clone_from(protection);
            let column = protection.as_ref().map(to_json).transpose()?;
            update = update.col_expr(snapshot::Column::Protection, Expr::value(column));
            // Whoever has planned a deletion before looks again.
            branches::bump_generation(&tx, found.server_id).await?;
        }
        update.exec(&tx).await.map_err(database_error)?;
        tx.commit().await.map_err(database_error)?;
        Ok(found)
    }
}
