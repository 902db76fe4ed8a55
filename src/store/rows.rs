//! The rows, as the tables have them (`migrations/`). Private to this room: each noun's file converts.

pub mod server {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "servers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub project_id: String,
        pub name: String,
        pub current_snapshot_id: Option<String>,
        pub current_branch_id: Option<String>,
        pub generation: i64,
        pub next_sequence: i64,
        pub operation_id: Option<String>,
        pub equals_snapshot_id: Option<String>,
        pub equals_mark: Option<String>,
        pub reclaim_pending_bytes: Option<i64>,
        pub deleted_at: Option<ChronoDateTime>,
        pub rebuild_seen: Option<String>,
        pub warnings: Option<String>,
        pub created_at: ChronoDateTime,
        pub updated_at: ChronoDateTime,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod branch {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "branches")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub server_id: String,
        pub name: String,
        pub fork_snapshot_id: Option<String>,
        pub created_at: ChronoDateTime,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod snapshot {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "snapshots")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub server_id: String,
        pub project_id: String,
        pub user_id: String,
        pub parent_id: Option<String>,
        pub branch_id: String,
        pub sequence: i64,
        pub name: String,
        pub description: String,
        pub status: String,
        pub hidden: bool,
        pub safety: bool,
        pub protection: Option<String>,
        pub partial: bool,
        pub at_rest: bool,
        pub consistency: String,
        pub left_out: String,
        pub server_name: String,
        pub flavor: String,
        pub fault: Option<String>,
        pub image_id: Option<String>,
        pub request: Option<String>,
        pub backup: Option<bool>,
        pub created_at: ChronoDateTime,
        pub updated_at: ChronoDateTime,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod layer {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "layers")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub server_id: String,
        pub disk_id: String,
        pub backend: String,
        pub pool: String,
        pub backend_id: String,
        pub key: String,
        pub kind: String,
        pub role: String,
        pub parent_disk_snapshot_id: Option<String>,
        pub parent_layer_id: Option<String>,
        pub equals_disk_snapshot_id: Option<String>,
        pub parked_mark: String,
        pub facts: String,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod disk_snapshot {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "disk_snapshots")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub server_id: String,
        pub snapshot_id: String,
        pub layer_id: String,
        pub origin_id: String,
        pub backend_id: String,
        pub position: i64,
        pub size_bytes: i64,
        pub attachment: String,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod operation {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "operations")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub kind: String,
        pub status: String,
        pub server_id: String,
        pub snapshot_id: String,
        pub project_id: String,
        pub user_id: String,
        pub request_id: String,
        pub params: String,
        pub state: String,
        pub step: i64,
        pub steps_total: i64,
        pub phase: Option<String>,
        pub committed: bool,
        pub cancel_requested: bool,
        pub warnings: String,
        pub error: Option<String>,
        pub engine_id: Option<String>,
        pub generation: i64,
        pub created_at: ChronoDateTime,
        pub started_at: Option<ChronoDateTime>,
        pub finished_at: Option<ChronoDateTime>,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod operation_event {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "operation_events")]
    pub struct Model {
        #[sea_orm(primary_key)]
        pub id: i64,
        pub operation_id: String,
        pub at: ChronoDateTime,
        pub step: String,
        pub kind: String,
        pub detail: Option<String>,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod client_token {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "client_tokens")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub server_id: String,
        #[sea_orm(primary_key, auto_increment = false)]
        pub token: String,
        pub digest: String,
        pub snapshot_id: String,
        pub operation_id: String,
        pub created_at: ChronoDateTime,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod engine {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "engines")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: String,
        pub host: String,
        pub beats: i64,
        pub started_at: ChronoDateTime,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}

pub mod inbox {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "inbox")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub message_id: String,
        pub server_id: String,
        pub what: String,
        pub urgency: i64,
        pub project_id: Option<String>,
        pub request_id: Option<String>,
        pub image_id: Option<String>,
        pub sent_at: Option<ChronoDateTime>,
        pub received_at: ChronoDateTime,
        pub handled_at: Option<ChronoDateTime>,
    }
    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}
    impl ActiveModelBehavior for ActiveModel {}
}
