//! `/v1/snapshots`

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{accepted, how_to_delete, plan, project_of, time};
use crate::api::ApiState;
use crate::api::body::{Body, field_id, parse, path_id};
use crate::api::caller::Caller;
use crate::api::fault::Answer;
use crate::api::page::Query;
use crate::app::snapshot_create::CreateSnapshot;
use crate::app::snapshot_restore::RestoreSnapshot;
use crate::app::snapshots::{SnapshotDetail, UpdateSnapshot};
use crate::app::{self};
use crate::domain::disk::DiskKind;
use crate::domain::snapshot::{Consistency, SnapshotStatus};
use crate::error::{Error, Kind, Result};
use crate::ids::SnapshotId;
use crate::store::snapshots::SnapshotFilter;

/// Most words that a list in a body may have.
const WORDS_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    snapshot: CreateFields,
    #[serde(default)]
    dry_run: bool,
    tree_generation: Option<i64>,
    client_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateFields {
    server_id: String,
    name: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "consistency")]
    consistency: Option<Consistency>,
    pause_limit_ms: Option<u64>,
    #[serde(default)]
    exclude_disks: Vec<String>,
}

fn consistency<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Consistency>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| {
        Consistency::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is none of auto, none, crash")))
    })
    .transpose()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBody {
    snapshot: UpdateFields,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateFields {
    name: Option<String>,
    description: Option<String>,
    protected: Option<bool>,
    protected_reason: Option<String>,
}

/// The body of a restore, of a snapshot's or a branch's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RestoreBody {
    restore: RestoreFields,
    #[serde(default)]
    dry_run: bool,
    tree_generation: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestoreFields {
    disks: Option<Vec<String>>,
    branch_name: Option<String>,
    safety_snapshot: Option<bool>,
}

impl RestoreBody {
    pub(super) fn request(self, snapshot_id: SnapshotId) -> Result<RestoreSnapshot> {
        if self.restore.disks.as_ref().is_some_and(|disks| disks.len() > WORDS_MAX) {
            return Err(Error::bad_field("restore.disks", format!("At most {WORDS_MAX} disks can be named.")));
        }
        Ok(RestoreSnapshot {
            snapshot_id,
            disks: self.restore.disks,
            branch_name: self.restore.branch_name,
            safety_snapshot: self.restore.safety_snapshot.unwrap_or(true),
            dry_run: self.dry_run,
            tree_generation: self.tree_generation,
        })
    }
}

/// A snapshot as callers see it.
pub(super) fn view(detail: &SnapshotDetail) -> Value {
    let snapshot = &detail.snapshot;
    let record = &snapshot.consistency;
    let disks: Vec<Value> = detail
        .disks
        .iter()
        .map(|(part, layer)| {
            json!({
                "id": part.id,
                "disk_id": layer.disk_id,
                "kind": layer.kind.as_str(),
                "key": layer.key,
                "device": part.attachment.device,
                "tag": part.attachment.tag,
                "position": part.position,
                "size_bytes": part.size_bytes,
                "backend": layer.backend,
                "volume_id": (layer.kind == DiskKind::Volume).then_some(&layer.backend_id),
                "shared": part.origin != part.id,
            })
        })
        .collect();
    json!({
        "id": snapshot.id,
        "server_id": snapshot.server_id,
        "server_name": snapshot.server_name,
        "flavor": snapshot.flavor,
        "project_id": snapshot.project_id,
        "user_id": snapshot.user_id,
        "name": snapshot.name,
        "description": snapshot.description,
        "status": snapshot.status.as_str(),
        "hidden": snapshot.hidden,
        "safety": snapshot.safety,
        "protected": snapshot.protection.is_some(),
        "protection": snapshot.protection.as_ref().map(|protection| json!({
            "user_id": protection.user_id,
            "reason": protection.reason,
            "since": time(protection.since),
        })),
        "parent_id": snapshot.parent_id,
        "branch_id": snapshot.branch_id,
        "branch": detail.branch,
        "current": detail.current,
        "consistency": {
            "requested": record.requested.as_str(),
            "reached": record.reached.map(Consistency::as_str),
            "reason": record.reason,
            "pause_ms": record.pause_ms,
            "skew_ms": record.skew_ms,
        },
        "partial": snapshot.partial,
        "at_rest": snapshot.at_rest,
        "size_bytes": detail.disks.iter().map(|(part, _)| part.size_bytes).sum::<u64>(),
        "disks": disks,
        "left_out": snapshot.left_out,
        "image_id": snapshot.beside.as_ref().and_then(|beside| beside.image_id.as_deref()),
        "operation_id": detail.operation_id,
        "fault": snapshot.fault,
        "created_at": time(snapshot.created_at),
        "updated_at": time(snapshot.updated_at),
    })
}

/// `GET /v1/snapshots`
pub async fn list(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    let known = ["server_id", "status", "branch_id", "name", "hidden", "project_id", "all_projects"];
    let query = Query::of(&request, &known)?;
    let page = query.page(state.settings.limit_max)?;
    let filter = SnapshotFilter {
        project_id: project_of(&caller.0, &query).await?,
        server_id: query.text("server_id").map(|text| field_id("server_id", text)).transpose()?,
        branch_id: query.text("branch_id").map(|text| field_id("branch_id", text)).transpose()?,
        status: query
            .text("status")
            .map(|text| {
                SnapshotStatus::parse(text)
                    .ok_or_else(|| Error::bad_field("status", format!("There is no status {text}.")))
            })
            .transpose()?,
        name: query.text("name").map(str::to_owned),
        hidden: query.flag("hidden")?,
    };
    let details = state.app.list_snapshots(&caller.0, &filter, &page).await?;
    let last = details.last().map(|detail| detail.snapshot.id.to_string());
    let links = query.links(&state, &request, &page, last.as_deref(), details.len());
    Ok(HttpResponse::Ok().json(json!({
        "snapshots": details.iter().map(view).collect::<Vec<_>>(),
        "snapshots_links": links,
    })))
}

/// `GET /v1/snapshots/{id}`
pub async fn show(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>) -> Answer {
    let detail = state.app.get_snapshot(&caller.0, path_id("Snapshot", &id)?).await?;
    Ok(HttpResponse::Ok().json(json!({ "snapshot": view(&detail) })))
}

/// `POST /v1/snapshots`
pub async fn create(state: web::Data<ApiState>, caller: Caller, request: HttpRequest, body: Body) -> Answer {
    let body: CreateBody = parse(&body.0)?;
    let fields = body.snapshot;
    if fields.exclude_disks.len() > WORDS_MAX {
        return Err(
            Error::bad_field("snapshot.exclude_disks", format!("At most {WORDS_MAX} disks can be named.")).into()
        );
    }
    let wanted = CreateSnapshot {
        server_id: field_id("snapshot.server_id", &fields.server_id)?,
        name: fields.name,
        description: fields.description.unwrap_or_default(),
        consistency: fields.consistency.unwrap_or(Consistency::Auto),
        pause_limit_ms: fields.pause_limit_ms,
        exclude_disks: fields.exclude_disks,
        dry_run: body.dry_run,
        tree_generation: body.tree_generation,
        client_token: body.client_token,
    };
    let answer = match state.app.create_snapshot(&caller.0, wanted).await {
        // The server is named in the body, not in the path.
        Err(error) if error.kind() == Kind::NotFound => {
            return Err(Error::bad_field("snapshot.server_id", error.to_string()).into());
        }
        other => other?,
    };
    match answer {
        app::Answer::Plan(view) => Ok(plan(&view)),
        app::Answer::Accepted((snapshot, operation_id)) => {
            let detail = state.app.get_snapshot(&caller.0, snapshot.id).await?;
            let path = format!("snapshots/{}", snapshot.id);
            Ok(accepted(&state, &request, ("snapshot", view(&detail)), operation_id, path))
        }
    }
}

/// `PATCH /v1/snapshots/{id}`
pub async fn update(state: web::Data<ApiState>, caller: Caller, id: web::Path<String>, body: Body) -> Answer {
    let id = path_id("Snapshot", &id)?;
    let fields = parse::<UpdateBody>(&body.0)?.snapshot;
    let wanted = UpdateSnapshot {
        name: fields.name,
        description: fields.description,
        protected: fields.protected,
        protected_reason: fields.protected_reason,
    };
    let detail = state.app.update_snapshot(&caller.0, id, wanted).await?;
    Ok(HttpResponse::Ok().json(json!({ "snapshot": view(&detail) })))
}

/// `DELETE /v1/snapshots/{id}?subtree&dry_run&tree_generation`
pub async fn delete(state: web::Data<ApiState>, caller: Caller, request: HttpRequest, id: web::Path<String>) -> Answer {
    let id = path_id("Snapshot", &id)?;
    let how = how_to_delete(&request, &["subtree", "dry_run", "tree_generation"])?;
    match state.app.delete_snapshot(&caller.0, id, how).await? {
        app::Answer::Plan(view) => Ok(plan(&view)),
        app::Answer::Accepted((detail, operation_id)) => {
            let path = format!("operations/{operation_id}");
            Ok(accepted(&state, &request, ("snapshot", view(&detail)), operation_id, path))
        }
    }
}

/// `POST /v1/snapshots/{id}/restore`
pub async fn restore(
    state: web::Data<ApiState>,
    caller: Caller,
    request: HttpRequest,
    id: web::Path<String>,
    body: Body,
) -> Answer {
    let id = path_id("Snapshot", &id)?;
    let wanted = parse::<RestoreBody>(&body.0)?.request(id)?;
    match state.app.restore_snapshot(&caller.0, wanted).await? {
        app::Answer::Plan(view) => Ok(plan(&view)),
        app::Answer::Accepted((snapshot, operation_id)) => {
            let detail = state.app.get_snapshot(&caller.0, snapshot.id).await?;
            let path = format!("operations/{operation_id}");
            Ok(accepted(&state, &request, ("snapshot", view(&detail)), operation_id, path))
        }
    }
}
