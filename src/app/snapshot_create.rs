//! When a user captures a server: look, plan, check the quota, record the node with its operation.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::client_token::NamedRequest;
use super::look::Look;
use super::plan_view::PlanView;
use super::policy::{Rule, Target};
use super::{Answer, App, DESCRIPTION_LENGTH_MAX, RequestContext, check_name, check_text};
use crate::clock;
use crate::domain::disk::DiskSnapshot;
use crate::domain::operation::{Operation, OperationStatus};
use crate::domain::plan::BranchChoice;
use crate::domain::plan::capture::{self, CapturePlan, CaptureRequest, CaptureWorld};
use crate::domain::server::ServerFacts;
use crate::domain::snapshot::{Beside, Branch, Consistency, ConsistencyRecord, Snapshot, SnapshotStatus};
use crate::error::{Error, Kind, Result};
use crate::ids::{BranchId, DiskSnapshotId, OperationId, ProjectId, ServerId, SnapshotId};
use crate::operations::snapshot_create::{KIND, Params, STEPS};
use crate::operations::{Step, untyped};
use crate::store::client_tokens::ClientToken;
use crate::store::details::SnapshotDetail;
use crate::store::trees::TreeChange;

/// Longest pause that a caller may ask for, in milliseconds.
const PAUSE_LIMIT_MS_MAX: u64 = 60_000;

/// What the caller asks for.
#[derive(Debug, Clone)]
pub struct CreateSnapshot {
    /// The server.
    pub server_id: ServerId,
    /// Name; made up when absent.
    pub name: Option<String>,
    /// Description.
    pub description: String,
    /// Level.
    pub consistency: Consistency,
    /// Longest pause in milliseconds; the cloud's default when absent.
    pub pause_limit_ms: Option<u64>,
    /// Disks to leave out.
    pub exclude_disks: Vec<String>,
    /// Only plan.
    pub dry_run: bool,
    /// The tree must still be of this generation.
    pub tree_generation: Option<i64>,
    /// The caller's own name for this request: under it a server is captured once, however often that is asked for.
    pub client_token: Option<String>,
}

impl App {
    /// Captures a server.
    ///
    /// # Errors
    /// `BadRequest`, `Forbidden`, `NotFound`, `Conflict`, `QuotaExceeded`: then nothing was changed.
    pub async fn create_snapshot(
        &self,
        caller: &RequestContext,
        request: CreateSnapshot,
    ) -> Result<Answer<(SnapshotDetail, OperationId)>> {
        caller.allow(Rule::SnapshotCreate, &caller.own()).await?;
        if let Some(name) = &request.name {
            check_name("name", name)?;
        }
        check_text("description", &request.description, DESCRIPTION_LENGTH_MAX)?;
        let pause_limit_ms = request.pause_limit_ms.unwrap_or(self.settings.pause_limit_ms);
        if pause_limit_ms > PAUSE_LIMIT_MS_MAX {
            return Err(Error::bad_field("pause_limit_ms", format!("pause_limit_ms is at most {PAUSE_LIMIT_MS_MAX}.")));
        }
        let named = NamedRequest::of(&request)?.filter(|_| !request.dry_run);
        let server = self.visible_server(caller, request.server_id).await?;
        caller.allow(Rule::SnapshotCreate, &Target::of_project(&server.project_id)).await?;
        let id = server.id;
        if let Some(named) = &named
            && let Some(begun) = self.begun_before(id, named).await?
        {
            return Ok(Answer::Accepted(begun));
        }
        let answer = self.capture(caller, request, pause_limit_ms, server, named.as_ref()).await;
        match (answer, &named) {
            // The same request, sent again before the first one was answered, may be what is in the way.
            (Err(error), Some(named)) if error.kind() == Kind::Conflict => {
                self.begun_before(id, named).await?.map(Answer::Accepted).ok_or(error)
            }
            (answer, _) => answer,
        }
    }

    async fn capture(
        &self,
        caller: &RequestContext,
        request: CreateSnapshot,
        pause_limit_ms: u64,
        server: ServerFacts,
        named: Option<&NamedRequest>,
    ) -> Result<Answer<(SnapshotDetail, OperationId)>> {
        let look = self.look(server, &request.exclude_disks).await?;
        look.must_be_free(request.tree_generation)?;
        let exclude = request.exclude_disks.iter().filter(|word| !look.is_left_out(word)).cloned().collect();
        let wanted = CaptureRequest { consistency: request.consistency, exclude };
        let plan = self.plan_capture(&look, &wanted, false).await?;
        if request.dry_run {
            return Ok(Answer::Plan(Box::new(PlanView::of_capture(&look, &plan))));
        }
        let name = || format!("snapshot-{}", clock::now().format("%Y%m%d-%H%M%S"));
        let node = NewNode {
            name: request.name.unwrap_or_else(name),
            description: request.description,
            consistency: request.consistency,
            pause_limit_ms,
            image: None,
        };
        let (snapshot, operation) = self.begin_capture(caller, node, &look, &plan, named).await?;
        Ok(Answer::Accepted((self.detail_of(snapshot.id).await?, operation)))
    }

    /// Plans a capture that fits into the quota. `amid_image`: it may go on beside an image that Nova makes of the server.
    ///
    /// # Errors
    /// `BadRequest`, `Conflict`, `QuotaExceeded`; whatever the backends fail with.
    pub(super) async fn plan_capture(
        &self,
        look: &Look,
        wanted: &CaptureRequest,
        amid_image: bool,
    ) -> Result<CapturePlan> {
        let plan = capture::plan(
            &CaptureWorld {
                server: &look.server,
                live: &look.live,
                left_out: &look.left_out,
                forest: &look.tree.forest,
                disk_snapshots: &look.tree.disk_snapshots,
                unchanged_since: look.unchanged_since,
                placement: &|backend| self.drivers.placement(backend),
                pause_allowed: self.pause_allowed(look),
                nodes_max: self.settings.nodes_max,
                amid_image,
            },
            wanted,
        )?;
        self.check_quota(&look.server.project_id, &plan.needs).await?;
        Ok(plan)
    }

    /// Records a capture as planned: the node, its parts, and the operation.
    ///
    /// # Errors
    /// `Conflict`: another operation, or another tree than the one that was looked at.
    pub(super) async fn begin_capture(
        &self,
        caller: &RequestContext,
        node: NewNode,
        look: &Look,
        plan: &CapturePlan,
        named: Option<&NamedRequest>,
    ) -> Result<(Snapshot, OperationId)> {
        let (snapshot, mut change, params) = rows(caller, node, look, plan);
        let operation = new_operation(caller, &Subject::of(look), (KIND, &STEPS), snapshot.id, &params)?;
        change.client_token = named.map(|named| ClientToken {
            token: named.token.clone(),
            digest: named.digest.clone(),
            snapshot_id: snapshot.id,
            operation_id: operation.id,
        });
        let generation = Some(look.tree.record.generation);
        self.store.begin_operation(&operation, &look.server.name, change, generation).await?;
        tracing::info!(operation_id = %operation.id, snapshot_id = %snapshot.id, server_id = %look.server.id, "capture accepted");
        Ok((snapshot, operation.id))
    }

    /// Whether the cloud's settings and the server's own metadata (`ratoon_pause = never`) allow a pause.
    fn pause_allowed(&self, look: &Look) -> std::result::Result<(), String> {
        if !self.settings.allow_pause {
            return Err("this cloud does not allow servers to be paused".to_owned());
        }
        if look.server.metadata.get("ratoon_pause").is_some_and(|value| value.eq_ignore_ascii_case("never")) {
            return Err("the server's metadata ratoon_pause is \"never\"".to_owned());
        }
        Ok(())
    }
}

/// What a capture is to become.
pub(super) struct NewNode {
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Level.
    pub consistency: Consistency,
    /// Longest pause.
    pub pause_limit_ms: u64,
    /// Set where it is made because Nova makes an image.
    pub image: Option<ImageMoment>,
}

/// The image that a capture is made beside.
pub(super) struct ImageMoment {
    /// Which.
    pub beside: Beside,
    /// Whether Nova is still making it, or another one.
    pub amid: bool,
    /// When Nova told that it began.
    pub begun_at: Option<DateTime<Utc>>,
}

/// Whom an operation is about.
pub(super) struct Subject {
    /// The server.
    pub server_id: ServerId,
    /// Its owner.
    pub project_id: ProjectId,
}

impl Subject {
    pub(super) fn of(look: &Look) -> Self {
        Self { server_id: look.server.id, project_id: look.server.project_id.clone() }
    }
}

/// An operation that waits for an engine.
pub(super) fn new_operation(
    caller: &RequestContext,
    subject: &Subject,
    (kind, steps): (&str, &[Step]),
    snapshot_id: SnapshotId,
    params: &impl Serialize,
) -> Result<Operation> {
    Ok(Operation {
        id: OperationId::new(),
        kind: kind.to_owned(),
        status: OperationStatus::Queued,
        server_id: subject.server_id,
        snapshot_id,
        project_id: subject.project_id.clone(),
        user_id: caller.user_id.clone(),
        request_id: caller.request_id.clone(),
        params: untyped(params)?,
        state: serde_json::Value::Null,
        step: 0,
        steps_total: steps.len() as i32,
        phase: None,
        committed: false,
        cancel_requested: false,
        warnings: vec![],
        error: None,
        engine_id: None,
        generation: 0,
        created_at: clock::now(),
        started_at: None,
        finished_at: None,
    })
}

/// A node that is about to be captured.
pub(super) fn new_snapshot(caller: &RequestContext, look: &Look, branch_id: BranchId, name: String) -> Snapshot {
    let now = clock::now();
    Snapshot {
        id: SnapshotId::new(),
        server_id: look.server.id,
        project_id: look.server.project_id.clone(),
        user_id: caller.user_id.clone(),
        parent_id: None,
        branch_id,
        sequence: 0, // given by the store
        name,
        description: String::new(),
        status: SnapshotStatus::Creating,
        hidden: false,
        safety: false,
        protection: None,
        consistency: ConsistencyRecord::asked(Consistency::Auto),
        partial: false,
        at_rest: false,
        left_out: vec![],
        beside: None,
        server_name: look.server.name.clone(),
        flavor: look.server.flavor.clone(),
        fault: None,
        created_at: now,
        updated_at: now,
    }
}

/// A branch that begins now.
pub(super) fn new_branch(look: &Look, name: &str, fork_snapshot_id: Option<SnapshotId>) -> Branch {
    Branch {
        id: BranchId::new(),
        server_id: look.server.id,
        name: name.to_owned(),
        fork_snapshot_id,
        created_at: clock::now(),
    }
}

fn rows(caller: &RequestContext, node: NewNode, look: &Look, plan: &CapturePlan) -> (Snapshot, TreeChange, Params) {
    let mut change = TreeChange { layers: look.seen_layers(), ..TreeChange::default() };
    let mut begun = None;
    let branch_id = match &plan.branch {
        BranchChoice::Continue(id) => *id,
        BranchChoice::New(name) => {
            let branch = new_branch(look, name, None);
            begun = Some(branch.id);
            change.branches.push(branch.clone());
            branch.id
        }
    };
    let mut snapshot = new_snapshot(caller, look, branch_id, node.name);
    snapshot.description = node.description;
    snapshot.parent_id = plan.parent;
    snapshot.consistency.requested = node.consistency;
    snapshot.beside = node.image.as_ref().map(|image| image.beside.clone());
    snapshot.left_out.clone_from(&plan.left_out);
    let mut take = Vec::new();
    for capture in &plan.disks {
        let live = &look.live[capture.live];
        let id = DiskSnapshotId::new();
        let shared =
            capture.share.and_then(|origin| look.tree.disk_snapshots.iter().find(|part| part.origin == origin));
        if shared.is_none() {
            take.push(id);
        }
        change.disk_snapshots.push(DiskSnapshot {
            id,
            snapshot_id: snapshot.id,
            layer_id: live.layer.id,
            origin: shared.map_or(id, |part| part.origin),
            backend_id: shared.map(|part| part.backend_id.clone()).unwrap_or_default(),
            position: live.disk.position,
            size_bytes: live.disk.size_bytes,
            attachment: live.disk.attachment.clone(),
        });
    }
    change.snapshots.push(snapshot.clone());
    let params = Params {
        snapshot_id: snapshot.id,
        take,
        pause: plan.pause,
        pause_limit_ms: node.pause_limit_ms,
        crash_required: node.consistency == Consistency::Crash,
        level_without_pause: plan.level_without_pause,
        pause_reason: plan.pause_reason.clone(),
        new_layers: look.live.iter().filter(|live| live.is_new).map(|live| live.layer.id).collect(),
        new_branch: begun,
        amid_image: node.image.as_ref().is_some_and(|image| image.amid),
        image_begun_at: node.image.and_then(|image| image.begun_at),
    };
    (snapshot, change, params)
}
