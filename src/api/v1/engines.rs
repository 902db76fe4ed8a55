//! `/v1/engines`

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::schema::Time;
use crate::api::ApiState;
use crate::api::caller::Caller;
use crate::api::fault::Answer;
use crate::api::page::Query;
use crate::app::engines::EngineDetail;
use crate::ids::EngineId;

/// All engines.
#[derive(Serialize, ToSchema)]
pub struct Engines {
    /// The engines, the oldest first.
    engines: Vec<EngineView>,
}

/// A process that runs operations.
#[derive(Serialize, ToSchema)]
#[schema(as = Engine)]
struct EngineView {
    /// New at each start.
    id: EngineId,
    /// Name of its host.
    host: String,
    /// When it started.
    started_at: Time,
    /// Operations that it has taken and that are not final.
    operations: u64,
}

impl From<EngineDetail> for EngineView {
    fn from(detail: EngineDetail) -> Self {
        let record = detail.record;
        Self {
            id: record.id,
            host: record.host,
            started_at: Time::of(record.started_at),
            operations: detail.operations,
        }
    }
}

/// List engines
///
/// One that has died is listed until another has taken over its operations.
#[utoipa::path(
    get, path = "/v1/engines", tag = "engines", operation_id = "list_engines",
    responses((status = 200, description = "All engines.", body = Engines)),
)]
pub async fn list(state: web::Data<ApiState>, caller: Caller, request: HttpRequest) -> Answer {
    Query::none(&request)?;
    let engines = state.app.list_engines(&caller.0).await?.into_iter().map(EngineView::from).collect();
    Ok(HttpResponse::Ok().json(Engines { engines }))
}
