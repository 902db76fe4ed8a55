//! What the changes are written with: columns that mean the same in SQLite, PostgreSQL and MariaDB.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectionTrait, DbBackend, Statement};

/// A UUID, as text. Not `char`: PostgreSQL uses no index of such a column when it is compared with a text, as values are.
pub fn id(name: &'static str) -> ColumnDef {
    word(name, 36)
}

/// Text of any length. MariaDB's `text` would end at 64 KiB.
pub fn text(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    match backend {
        DbBackend::MySql => column.custom(Alias::new("mediumtext")),
        _ => column.text(),
    };
    column
}

/// Text of at most so many characters.
pub fn word(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).string_len(length).take()
}

/// A whole number.
pub fn number(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).big_integer().take()
}

/// Yes or no.
pub fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(Alias::new(name)).boolean().take()
}

/// A time in UTC. MariaDB's `datetime` keeps whole seconds unless told, and its `timestamp` ends in 2038.
pub fn time(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(Alias::new(name));
    match backend {
        DbBackend::MySql => column.custom(Alias::new("datetime(6)")),
        _ => column.date_time(),
    };
    column
}

/// A table.
pub fn table(name: &'static str, columns: Vec<ColumnDef>) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(Alias::new(name)).if_not_exists();
    for column in columns {
        table.col(column);
    }
    table
}

/// Makes a table, unless it is there. The default of MariaDB and MySQL would take names for the same that differ in case, in
/// accents, or in blanks at their end; each has another word for the collation that does not.
pub async fn make_table(manager: &SchemaManager<'_>, mut table: TableCreateStatement) -> Result<(), DbErr> {
    let backend = manager.get_database_backend();
    if backend == DbBackend::MySql {
        let version = Statement::from_string(backend, "SELECT VERSION() AS version");
        let version = manager.get_connection().query_one_raw(version).await?;
        let version: String = version.map_or(Ok(String::new()), |row| row.try_get("", "version"))?;
        let collation = if version.contains("MariaDB") { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
        table.character_set("utf8mb4").collate(collation);
    }
    manager.create_table(table).await
}

/// Makes an index, unless it is there: in MariaDB there is no "if not exists" for one.
pub async fn make_index(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
    unique: bool,
) -> Result<(), DbErr> {
    let name = format!("{}_{table}_{}", if unique { "ux" } else { "ix" }, columns.join("_"));
    if manager.has_index(table, &name).await? {
        return Ok(());
    }
    let mut index = Index::create();
    index.name(name).table(Alias::new(table));
    for column in columns {
        index.col(Alias::new(*column));
    }
    if unique {
        index.unique();
    }
    manager.create_index(index).await
}

/// Adds columns that are not there yet: a change that was cut off in MariaDB has left some of them.
pub async fn add_columns(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: Vec<ColumnDef>,
) -> Result<(), DbErr> {
    // One at a time: SQLite adds one column a statement.
    for column in columns {
        if !manager.has_column(table, column.get_column_name()).await? {
            manager.alter_table(Table::alter().table(Alias::new(table)).add_column(column).take()).await?;
        }
    }
    Ok(())
}

/// Takes columns away.
pub async fn drop_columns(
    manager: &SchemaManager<'_>,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    for column in columns {
        manager.alter_table(Table::alter().table(Alias::new(table)).drop_column(Alias::new(*column)).take()).await?;
    }
    Ok(())
}
