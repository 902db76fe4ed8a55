//! A database for one test: a file of SQLite; or, where RATOON_TEST_DATABASE is the URL of a PostgreSQL or a MariaDB
//! (`devstack/databases` prints them), a schema of its own there, which ends with the test.
#![allow(dead_code)] // each suite takes what it needs

use std::time::Duration;

use ratoon::store::{Store, StoreConfig};
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use uuid::Uuid;

pub struct TestDatabase {
    url: String,
    place: Place,
}

enum Place {
    Folder { _kept: TempDir },
    Schema { server: String, name: String },
}

async fn connection(url: &str) -> DatabaseConnection {
    let mode = if url.starts_with("sqlite:") { "?mode=rwc" } else { "" };
    let mut options = ConnectOptions::new(format!("{url}{mode}"));
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await.unwrap()
}

async fn run(url: &str, statements: &str) {
    let connection = connection(url).await;
    connection.execute_unprepared(statements).await.unwrap_or_else(|error| panic!("{statements}: {error}"));
    connection.close().await.unwrap();
}

impl TestDatabase {
    /// An empty one.
    pub async fn empty() -> Self {
        let Ok(server) = std::env::var("RATOON_TEST_DATABASE") else {
            let folder = tempfile::tempdir().unwrap();
            let url = format!("sqlite://{}", folder.path().join("ratoon.sqlite").display());
            return Self { url, place: Place::Folder { _kept: folder } };
        };
        let name = format!("t{}", Uuid::now_v7().simple());
        let url = if server.starts_with("postgresql:") {
            run(&server, &format!("CREATE SCHEMA {name}")).await;
            format!("{server}?options=-c%20search_path%3D{name}")
        } else {
            // As an operator's may be: names that differ in case only are the same, unless Ratoon's tables say otherwise.
            run(&server, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")).await;
            format!("{server}{name}")
        };
        Self { url, place: Place::Schema { server, name } }
    }

    /// One with the newest schema, and the store that has opened it.
    pub async fn with_schema(connections: u32, busy_timeout: Duration) -> (Self, Store) {
        let database = Self::empty().await;
        let store = database.open(connections, busy_timeout).await;
        store.migrate().await.unwrap();
        (database, store)
    }

    /// Opens it.
    pub async fn open(&self, connections: u32, busy_timeout: Duration) -> Store {
        let config = StoreConfig { url: self.url.clone(), connections_max: connections, busy_timeout };
        Store::connect(&config).await.unwrap()
    }

    /// One connection, behind the store's back.
    pub async fn sql(&self) -> DatabaseConnection {
        connection(&self.url).await
    }

    /// Keeps everybody else from it.
    pub async fn is_away(&self) -> Outage {
        let connection = self.sql().await;
        let statements = match &self.place {
            Place::Folder { .. } => "BEGIN EXCLUSIVE".to_owned(),
            Place::Schema { name, .. } => {
                let tables = tables(&connection, name).await;
                if connection.get_database_backend() == DbBackend::Postgres {
                    format!("BEGIN; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE", tables.join(", "))
                } else {
                    format!("LOCK TABLES {} WRITE", tables.join(" WRITE, "))
                }
            }
        };
        // Whoever is in the middle of a transaction may be in the way for a moment.
        for _ in 0..20 {
            if connection.execute_unprepared(&statements).await.is_ok() {
                return Outage { connection };
            }
            let _ = connection.execute_unprepared("ROLLBACK").await;
        }
        panic!("the database cannot be locked: {statements}")
    }

    /// Another one that holds what this one holds.
    pub async fn copy(&self) -> Self {
        let from = self.sql().await;
        let copy = match &self.place {
            Place::Folder { .. } => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("ratoon.sqlite").display().to_string();
                from.execute_unprepared(&format!("VACUUM INTO '{path}'")).await.unwrap();
                Self { url: format!("sqlite://{path}"), place: Place::Folder { _kept: folder } }
            }
            Place::Schema { name, .. } => {
                let copy = Self::empty().await;
                let Place::Schema { name: there, .. } = &copy.place else { unreachable!() };
                let postgresql = from.get_database_backend() == DbBackend::Postgres;
                for table in tables(&from, name).await {
                    let like = if postgresql {
                        format!("(LIKE {name}.{table} INCLUDING ALL)")
                    } else {
                        format!("LIKE {name}.{table}")
                    };
                    for statement in [
                        format!("CREATE TABLE {there}.{table} {like}"),
                        format!("INSERT INTO {there}.{table} SELECT * FROM {name}.{table}"),
                    ] {
                        from.execute_unprepared(&statement).await.unwrap();
                    }
                }
                if postgresql {
                    // A copied table begins to count anew.
                    let sequence = format!("pg_get_serial_sequence('{there}.operation_events', 'id')");
                    let next = format!("SELECT coalesce(max(id), 0) + 1 FROM {there}.operation_events");
                    from.execute_unprepared(&format!("SELECT setval({sequence}, ({next}))")).await.unwrap();
                }
                copy
            }
        };
        from.close().await.unwrap();
        copy
    }
}

/// A database that answers nobody but this.
pub struct Outage {
    connection: DatabaseConnection,
}

impl Outage {
    /// The database is back.
    pub async fn end(self) {
        let last = if self.connection.get_database_backend() == DbBackend::MySql { "UNLOCK TABLES" } else { "COMMIT" };
        self.connection.execute_unprepared(last).await.unwrap();
    }
}

async fn tables(connection: &DatabaseConnection, schema: &str) -> Vec<String> {
    let query = format!("SELECT table_name AS name FROM information_schema.tables WHERE table_schema = '{schema}'");
    let rows =
        connection.query_all_raw(Statement::from_string(connection.get_database_backend(), query)).await.unwrap();
    rows.iter().map(|row| row.try_get::<String>("", "name").unwrap()).collect()
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let Place::Schema { server, name } = &self.place else { return };
        let (server, name) = (server.clone(), name.clone());
        // The test's own runtime may be at its end. What cannot be dropped goes with the server.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let statement = if server.starts_with("postgresql:") {
                    format!("SET lock_timeout = '2s'; DROP SCHEMA {name} CASCADE")
                } else {
                    format!("SET lock_wait_timeout = 2; DROP DATABASE {name}")
                };
                let connection = connection(&server).await;
                let _ = connection.execute_unprepared(&statement).await;
            });
        });
        let _ = dropping.join();
    }
}
