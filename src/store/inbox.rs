//! The inbox: what notifications have said of servers, each message once, from its arrival until an hour after it was looked at.
//!
//! Only the members of [`ServerEvent`] are kept. A broker hands a message out again when it is not sure; the message's own id
//! keeps it from being taken in twice.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::rows::inbox;
use super::{Store, database_error, from_id, from_word};
use crate::clock;
use crate::domain::event::{ServerEvent, What};
use crate::error::{Error, Result};
use crate::ids::ServerId;

/// Rows, or ids, of one statement: databases bound the number of values.
const ROWS_MAX: usize = 500;

impl TryFrom<inbox::Model> for ServerEvent {
    type Error = Error;
    fn try_from(row: inbox::Model) -> Result<Self> {
        Ok(Self {
            server_id: from_id("inbox.server_id", &row.server_id)?,
            what: from_word("inbox.what", &row.what, What::parse)?,
            message_id: row.message_id,
            project_id: row.project_id,
            request_id: row.request_id,
            image_id: row.image_id,
            sent_at: row.sent_at.map(|at| at.and_utc()),
        })
    }
}

impl Store {
    /// Takes messages in, all or none; those that are known stay as they are.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_in(&self, events: &[ServerEvent]) -> Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        // Two processes that are handed the same messages wait for one another in one order.
        let mut events: Vec<&ServerEvent> = events.iter().collect();
        events.sort_by(|a, b| a.message_id.cmp(&b.message_id));
        let received_at = clock::now().naive_utc();
        let row = |event: &&ServerEvent| inbox::ActiveModel {
            message_id: Set(event.message_id.clone()),
            server_id: Set(event.server_id.to_string()),
            what: Set(event.what.as_str().to_owned()),
            urgency: Set(i64::from(event.what.urgency())),
            project_id: Set(event.project_id.clone()),
            request_id: Set(event.request_id.clone()),
            image_id: Set(event.image_id.clone()),
            sent_at: Set(event.sent_at.map(|at| at.naive_utc())),
            received_at: Set(received_at),
            handled_at: Set(None),
        };
        let tx = self.begin().await?;
        for events in events.chunks(ROWS_MAX) {
            inbox::Entity::insert_many(events.iter().map(row))
                .on_conflict_do_nothing()
                .exec_without_returning(&tx)
                .await
                .map_err(database_error)?;
        }
        tx.commit().await.map_err(database_error)
    }

    /// Messages that nobody has looked at yet: the urgent ones first, then the oldest. None of servers of `except`, and of those
    /// of `resting` only the urgent ones. One that cannot be read (a later release has written it) is put aside.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unhandled(&self, limit: u64, except: &[ServerId], resting: &[ServerId]) -> Result<Vec<ServerEvent>> {
        let is_due = Condition::any()
            .add(inbox::Column::Urgency.eq(i64::from(What::Deleting.urgency())))
            .add(inbox::Column::ServerId.is_not_in(resting.iter().map(ToString::to_string)));
        let rows = inbox::Entity::find()
            .filter(inbox::Column::HandledAt.is_null())
            .filter(inbox::Column::ServerId.is_not_in(except.iter().map(ToString::to_string)))
            .filter(is_due)
            .order_by_asc(inbox::Column::Urgency)
            .order_by_asc(inbox::Column::ReceivedAt)
            .order_by_asc(inbox::Column::SentAt)
            .limit(limit)
            .all(&self.read)
            .await
            .map_err(database_error)?;
        let (mut events, mut unreadable) = (Vec::new(), Vec::new());
        for row in rows {
            let id = row.message_id.clone();
            match row.try_into() {
                Ok(event) => events.push(event),
                Err(error) => {
                    let error: crate::error::Error = error;
                    tracing::error!(message_id = %id, error = %error.chain(), "a message in the inbox cannot be read; it is put aside");
                    unreadable.push(id);
                }
            }
        }
        self.handled(&unreadable).await?;
        Ok(events)
    }

    /// Marks messages as looked at.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn handled(&self, message_ids: &[String]) -> Result<()> {
        for ids in message_ids.chunks(ROWS_MAX) {
            inbox::Entity::update_many()
                .col_expr(inbox::Column::HandledAt, Expr::value(clock::now().naive_utc()))
                .filter(inbox::Column::MessageId.is_in(ids.iter().map(String::as_str)))
                .exec(&self.write)
                .await
                .map_err(database_error)?;
        }
        Ok(())
    }

    /// Forgets messages that were looked at longer ago than this. Returns how many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn forget_handled(&self, older_than: Duration) -> Result<u64> {
        let deleted = inbox::Entity::delete_many()
            .filter(inbox::Column::HandledAt.lt((clock::now() - older_than).naive_utc()))
            .exec(&self.write)
            .await
            .map_err(database_error)?;
        Ok(deleted.rows_affected)
    }

    /// Whether a message has told of an image that Nova made of a server by this request, as far as messages are kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn has_told_of_image(&self, server: ServerId, request: &str) -> Result<bool> {
        let row = inbox::Entity::find()
            .filter(inbox::Column::ServerId.eq(server.to_string()))
            .filter(inbox::Column::RequestId.eq(request))
            .filter(inbox::Column::What.is_in([What::SnapshotStart, What::SnapshotEnd].map(What::as_str)))
            .one(&self.read)
            .await
            .map_err(database_error)?;
        Ok(row.is_some())
    }

    /// When the newest message of a server arrived, as far as messages are kept.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn last_heard(&self, server: ServerId) -> Result<Option<DateTime<Utc>>> {
        let row = inbox::Entity::find()
            .filter(inbox::Column::ServerId.eq(server.to_string()))
            .order_by_desc(inbox::Column::ReceivedAt)
            .limit(1)
            .one(&self.read)
            .await
            .map_err(database_error)?;
        Ok(row.map(|row| row.received_at.and_utc()))
    }

    /// When the newest message of all that are still kept was taken in.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn newest_message(&self) -> Result<Option<DateTime<Utc>>> {
        let newest = inbox::Entity::find().order_by_desc(inbox::Column::ReceivedAt).limit(1);
        let row = newest.one(&self.read).await.map_err(database_error)?;
        Ok(row.map(|row| row.received_at.and_utc()))
    }
}
