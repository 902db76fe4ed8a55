//! The database: rows, and nothing else. The only room that contains SQL. Rows are private; what leaves is `domain`.
//!
//! SQLite: one host, one writer connection (`BEGIN IMMEDIATE`, so that a transaction never fails half way for want of the
//! write lock), readers beside it through WAL.
//!
//! PostgreSQL and MariaDB: a transaction that writes reads what is committed, and locks what it has read before it decides:
//! the operation's row first ([`operations`]), then the server's ([`servers::lock`]), which stands for the whole tree.
//!
//! No transaction is ever open while anything outside the database works.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait, sqlx,
};
use tokio::sync::Notify;

use crate::error::{Error, Kind, Result};

pub mod branches;
pub mod client_tokens;
pub mod details;
pub mod engines;
mod gauges;
mod history;
pub mod inbox;
pub mod layers;
pub mod operations;
mod rows;
mod schema;
pub mod servers;
pub mod snapshots;
pub mod trees;
mod unasked;

/// How long a transaction may stand still before PostgreSQL or MariaDB ends it. Ours last milliseconds.
const TRANSACTION_SECONDS: u32 = 60;

/// How to reach the database.
#[derive(Clone)]
pub struct StoreConfig {
    /// URL: `sqlite:///path`, `postgresql://…`, `mysql://…`.
    pub url: String,
    /// Most connections held open (readers; SQLite has one writer besides).
    pub connections_max: u32,
    /// How long to wait for a connection or a lock. PostgreSQL and MariaDB: a lock at least a second.
    pub busy_timeout: Duration,
}

/// The open database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    read: DatabaseConnection,
    write: DatabaseConnection,
    begun: Arc<Notify>,
}

/// A page of a list: at most `limit` rows after the row `marker`.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Most rows.
    pub limit: u64,
    /// Id of the last row of the page before.
    pub marker: Option<String>,
    /// What it is sorted by.
    pub key: SortKey,
    /// The smallest first, instead of the greatest.
    pub ascending: bool,
}

/// What a list is sorted by; what is equal in that, by id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortKey {
    /// Time of creation.
    #[default]
    CreatedAt,
    /// Name, as the database compares words.
    Name,
}

impl Store {
    /// Opens the database.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it does not answer; [`Kind::BadRequest`] for a URL that is none.
    pub async fn connect(config: &StoreConfig) -> Result<Self> {
        let url = url_of(&config.url);
        let open = |connections: u32| {
            let mut options = ConnectOptions::new(url.clone());
            options
                .max_connections(connections)
                .min_connections(0)
                .connect_timeout(config.busy_timeout)
                .acquire_timeout(config.busy_timeout.max(Duration::from_secs(10)))
                .sqlx_logging(false);
            let busy = config.busy_timeout;
            options.map_sqlx_sqlite_opts(move |options| {
                options
                    .pragma("journal_mode", "WAL")
                    .pragma("synchronous", "FULL")
                    .pragma("foreign_keys", "ON")
                    .busy_timeout(busy)
            });
            // MariaDB counts whole seconds.
            let seconds = busy.as_secs().max(1);
            options.map_sqlx_postgres_opts(move |options| {
                options.application_name("ratoon").options([
                    ("lock_timeout", format!("{seconds}s")),
                    ("idle_in_transaction_session_timeout", format!("{TRANSACTION_SECONDS}s")),
                ])
            });
            // Whatever charset the URL names: the tables hold all of Unicode.
            options.map_sqlx_mysql_opts(|options| options.charset("utf8mb4"));
            options.map_sqlx_mysql_pool_opts(move |pool| {
                pool.after_connect(move |connection, _| Box::pin(mysql_session(connection, seconds)))
            });
            options
        };
        let connect = |connections: u32| async move {
            Database::connect(open(connections)).await.map_err(|error| {
                Error::unavailable("The database does not answer.")
                    .remedy("Check [database] connection in ratoon.conf, and that the server or the folder is there.")
                    .source(error)
            })
        };
        let is_sqlite = url.starts_with("sqlite:");
        let write = connect(if is_sqlite { 1 } else { config.connections_max }).await?;
        let read = if is_sqlite { connect(config.connections_max).await? } else { write.clone() };
        Ok(Self { read, write, begun: Arc::default() })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Kind::Unavailable`].
    pub async fn ping(&self) -> Result<()> {
        let backend = self.read.get_database_backend();
        self.read.execute_raw(Statement::from_string(backend, "SELECT 1")).await.map(|_| ()).map_err(database_error)
    }

    /// Begins a write transaction; it is rolled back unless committed.
    async fn begin(&self) -> Result<DatabaseTransaction> {
        let is_sqlite = self.write.get_database_backend() == DbBackend::Sqlite;
        let options = TransactionOptions {
            sqlite_transaction_mode: is_sqlite.then_some(SqliteTransactionMode::Immediate),
            // MariaDB's default would go on reading what was there before a lock was waited for.
            isolation_level: (!is_sqlite).then_some(IsolationLevel::ReadCommitted),
            ..TransactionOptions::default()
        };
        begin_with(&self.write, options).await
    }
}

impl Store {
    /// Begins a transaction that sees one moment of the database, for what is read from several tables.
    async fn begin_read(&self) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            isolation_level: (self.read.get_database_backend() != DbBackend::Sqlite)
                .then_some(IsolationLevel::RepeatableRead),
            ..TransactionOptions::default()
        };
        begin_with(&self.read, options).await
    }
}

/// Begins a transaction in a task of its own, which no caller that is cut off in the middle can stop: a connection that has
/// begun without anybody's knowing would go back to the pool, and what others write on it would never be committed
/// (launchbadge/sqlx#4393).
async fn begin_with(connection: &DatabaseConnection, options: TransactionOptions) -> Result<DatabaseTransaction> {
    let connection = connection.clone();
    let begun = tokio::spawn(async move { connection.begin_with_options(options).await }).await;
    begun.map_err(|error| Error::internal("A transaction was not begun.").source(error))?.map_err(database_error)
}

/// The URL as the driver wants it. Those of oslo.db name a Python driver too, which operators copy with the rest.
fn url_of(configured: &str) -> String {
    if let Some(path) = configured.strip_prefix("sqlite://") {
        return format!("sqlite://{}?mode=rwc", path.split('?').next().unwrap_or(path));
    }
    let Some((scheme, rest)) = configured.split_once("://") else { return configured.to_owned() };
    let scheme = scheme.split('+').next().unwrap_or(scheme);
    match rest.split_once('?') {
        Some((place, query)) if scheme == "mysql" => format!("mysql://{place}?{}", mariadb_query(query)),
        _ => format!("{scheme}://{rest}"),
    }
}

/// Parameters of PyMySQL's as the driver names them. PyMySQL checks a server's certificate where it is given an authority.
fn mariadb_query(query: &str) -> String {
    let mut pairs: Vec<String> = query.split('&').map(|pair| pair.replacen("ssl_", "ssl-", 1)).collect();
    let names = |name: &str| pairs.iter().any(|pair| pair.starts_with(name));
    if names("ssl-ca=") && !names("ssl-mode=") {
        pairs.push("ssl-mode=VERIFY_CA".to_owned());
    }
    pairs.join("&")
}

/// Limits waits for locks and idle transactions (whose locks would outlive a host that has died), and has values that do not
/// fit refused instead of cut.
async fn mysql_session(
    connection: &mut sqlx::MySqlConnection,
    lock_seconds: u64,
) -> std::result::Result<(), sqlx::Error> {
    use sqlx::Executor;
    let version: String = sqlx::query_scalar("SELECT VERSION()").fetch_one(&mut *connection).await?;
    // MySQL ends sessions that stand still, in a transaction or not; the pool opens others.
    let idle = if version.contains("MariaDB") { "idle_transaction_timeout" } else { "wait_timeout" };
    let settings = format!(
        "SET SESSION innodb_lock_wait_timeout = {lock_seconds}, lock_wait_timeout = {lock_seconds}, \
         {idle} = {TRANSACTION_SECONDS}, sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')"
    );
    connection.execute(sqlx::AssertSqlSafe(settings)).await?;
    // As a statement, since the variable has one name in MariaDB and another in MySQL.
    connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.map(|_| ())
}

/// What a database error means to the rest of the house.
fn database_error(error: DbErr) -> Error {
    let kind = match &error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Kind::Unavailable,
        DbErr::RecordNotFound(_) => Kind::NotFound,
        other if other.to_string().contains("database is locked") => Kind::Unavailable,
        DbErr::Exec(_) | DbErr::Query(_) => Kind::Unavailable,
        _ => Kind::Internal,
    };
    // Its own words are full of SQL and addresses: they are the source.
    Error::new(kind, "The database did not do what was asked.")
        .remedy("Try again; the request id finds the reason in the service's log.")
        .source(error)
}

/// Reads a JSON column.
fn from_json<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|error| Error::internal(format!("Column {column} holds something unreadable ({error}).")))
}

/// Writes a JSON column.
fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::internal(format!("Could not write JSON ({error}).")))
}

/// Reads an id column.
fn from_id<K>(column: &str, text: &str) -> Result<crate::ids::Id<K>> {
    text.parse().map_err(|error| Error::internal(format!("Column {column} holds no id: {text} ({error}).")))
}

/// Reads an id column that may be null.
fn from_optional_id<K>(column: &str, text: Option<&str>) -> Result<Option<crate::ids::Id<K>>> {
    text.map(|text| from_id(column, text)).transpose()
}

/// Reads a word that stands for one of ours.
fn from_word<T>(column: &str, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(text).ok_or_else(|| Error::internal(format!("Column {column} holds an unknown word: {text}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_cannot_be_reached_is_named_with_the_remedy() {
        for url in ["sqlite:///no/such/folder/ratoon.sqlite", "postgresql://nobody@127.0.0.1:1/ratoon"] {
            let config = StoreConfig { url: url.to_owned(), connections_max: 2, busy_timeout: Duration::from_secs(1) };
            let error = Store::connect(&config).await.err().map(|error| error.chain()).unwrap_or_default();
            assert!(error.contains("The database does not answer"), "{url}: {error}");
            assert!(error.contains("[database] connection"), "{url}: {error}");
        }
    }

    #[test]
    fn urls_are_understood_as_oslo_db_writes_them() {
        for (configured, opened) in [
            ("mysql+pymysql://ratoon:secret@db/ratoon", "mysql://ratoon:secret@db/ratoon"),
            ("mysql+pymysql://r@db/ratoon?charset=utf8", "mysql://r@db/ratoon?charset=utf8"),
            ("mysql+pymysql://r@db/ratoon?ssl_ca=/ca", "mysql://r@db/ratoon?ssl-ca=/ca&ssl-mode=VERIFY_CA"),
            ("postgresql+psycopg2://ratoon@db/a+b", "postgresql://ratoon@db/a+b"),
            ("sqlite:////var/lib/ratoon.sqlite", "sqlite:////var/lib/ratoon.sqlite?mode=rwc"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(url_of(configured), opened);
        }
    }

    #[test]
    fn a_callers_error_has_no_sql() {
        for error in [DbErr::Custom("SELECT".into()), DbErr::Query(sea_orm::RuntimeErr::Internal("SELECT".into()))] {
            let error = database_error(error);
            assert!(error.chain().contains("SELECT") && !error.told().contains("SELECT"), "{}", error.told());
        }
    }
}
