//! The inbox: what notifications have said of servers, each message once, from its arrival until an hour after it was looked at.
//!
//! Only the members of [`ServerEvent`] are kept. A broker hands a message out again when it is not sure; the message's own id
//! keeps it from being taken in twice.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, TryInsertResult,
};

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
    /// Takes messages in, all or none. Returns how many of them were new.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn take_in(&self, events: &[ServerEvent]) -> Result<u64> {
        if events.is_empty() {
            return Ok(0);
        }
        let received_at = clock::now().naive_utc();
        let row = |event: &ServerEvent| inbox::ActiveModel {
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
        let mut new = 0;
        for events in events.chunks(ROWS_MAX) {
            let inserted = inbox::Entity::insert_many(events.iter().map(row))
                .on_conflict_do_nothing()
                .exec_without_returning(&tx)
                .await
                .map_err(database_error)?;
            if let TryInsertResult::Inserted(rows) = inserted {
                new += rows;
            }
        }
        tx.commit().await.map_err(database_error)?;
        Ok(new)
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreConfig;

    async fn store(folder: &tempfile::TempDir) -> Store {
        let url = format!("sqlite://{}", folder.path().join("db").display());
        let config = StoreConfig { url, connections_max: 2, busy_timeout: Duration::from_secs(5) };
        let store = Store::connect(&config).await.unwrap();
        store.migrate().await.unwrap();
        store
    }

    fn event(message_id: &str, server: ServerId, what: What) -> ServerEvent {
        ServerEvent {
            message_id: message_id.to_owned(),
            server_id: server,
            what,
            project_id: Some("project".to_owned()),
            request_id: Some("req-1".to_owned()),
            image_id: Some("52b70235-f3a6-4c29-a973-eb6bd1bf2e38".to_owned()),
            sent_at: "2026-11-20T20:37:10.123456Z".parse().ok(),
        }
    }

    fn ids(events: &[ServerEvent]) -> Vec<&str> {
        events.iter().map(|event| event.message_id.as_str()).collect()
    }

    #[tokio::test]
    async fn a_message_comes_out_as_it_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let full = event("a", ServerId::new(), What::SnapshotStart);
        let bare = ServerEvent {
            message_id: "b".to_owned(),
            project_id: None,
            request_id: None,
            image_id: None,
            sent_at: None,
            ..event("b", ServerId::new(), What::Changed)
        };
        assert_eq!(store.take_in(&[full.clone(), bare.clone()]).await.unwrap(), 2);
        assert_eq!(store.unhandled(10, &[], &[]).await.unwrap(), [full, bare]);
    }

    #[tokio::test]
    async fn a_message_that_comes_twice_is_taken_in_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let server = ServerId::new();
        let (a, b) = (event("a", server, What::Changed), event("b", server, What::Changed));
        assert_eq!(store.take_in(&[a.clone(), a.clone()]).await.unwrap(), 1);
        assert_eq!(store.take_in(&[a.clone(), b]).await.unwrap(), 1);
        store.handled(&["a".to_owned()]).await.unwrap();
        assert_eq!(store.take_in(&[a]).await.unwrap(), 0, "nor when it was looked at meanwhile");
        assert_eq!(ids(&store.unhandled(10, &[], &[]).await.unwrap()), ["b"]);
    }

    #[tokio::test]
    async fn urgent_messages_come_first_and_then_the_oldest() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let server = ServerId::new();
        for (id, what) in [
            ("1", What::Changed),
            ("2", What::SnapshotStart),
            ("3", What::Deleting),
            ("4", What::Deleted),
            ("5", What::Rebuilding),
        ] {
            store.take_in(&[event(id, server, what)]).await.unwrap();
        }
        assert_eq!(ids(&store.unhandled(10, &[], &[]).await.unwrap()), ["3", "5", "2", "1", "4"]);
        assert_eq!(ids(&store.unhandled(2, &[], &[]).await.unwrap()), ["3", "5"]);
    }

    #[tokio::test]
    async fn messages_of_servers_that_wait_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let (one, other) = (ServerId::new(), ServerId::new());
        store.take_in(&[event("1", one, What::Deleting), event("2", other, What::Changed)]).await.unwrap();
        assert_eq!(ids(&store.unhandled(10, &[one], &[]).await.unwrap()), ["2"]);
        assert!(store.unhandled(10, &[one, other], &[]).await.unwrap().is_empty());
        let resting = store.unhandled(10, &[], &[one, other]).await.unwrap();
        assert_eq!(ids(&resting), ["1"], "what Nova is about to do waits for no pause");
    }

    #[tokio::test]
    async fn only_what_was_looked_at_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let server = ServerId::new();
        store.take_in(&[event("1", server, What::Changed), event("2", server, What::Changed)]).await.unwrap();
        store.handled(&["1".to_owned()]).await.unwrap();
        assert_eq!(store.forget_handled(Duration::from_secs(60)).await.unwrap(), 0, "it is too young");
        clock::sleep(Duration::from_millis(2)).await;
        assert_eq!(store.forget_handled(Duration::ZERO).await.unwrap(), 1);
        assert_eq!(ids(&store.unhandled(10, &[], &[]).await.unwrap()), ["2"]);
    }

    #[tokio::test]
    async fn a_server_was_last_heard_of_when_its_newest_message_came() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let server = ServerId::new();
        assert_eq!(store.last_heard(server).await.unwrap(), None);
        store.take_in(&[event("1", server, What::Changed), event("2", ServerId::new(), What::Changed)]).await.unwrap();
        let first = store.last_heard(server).await.unwrap().unwrap();
        store.handled(&["1".to_owned()]).await.unwrap();
        clock::sleep(Duration::from_millis(2)).await;
        store.take_in(&[event("3", server, What::Changed)]).await.unwrap();
        assert!(store.last_heard(server).await.unwrap().unwrap() > first);
    }

    #[tokio::test]
    async fn more_messages_than_one_statement_takes_are_taken_in_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let server = ServerId::new();
        let many: Vec<_> = (0..ROWS_MAX + 1).map(|id| event(&id.to_string(), server, What::Changed)).collect();
        assert_eq!(store.take_in(&many).await.unwrap(), many.len() as u64);
        let ids: Vec<_> = many.into_iter().map(|event| event.message_id).collect();
        store.handled(&ids).await.unwrap();
        assert!(store.unhandled(10, &[], &[]).await.unwrap().is_empty());
    }
}
