//! Use cases: what a caller asks for, looked up, allowed or refused, planned and recorded. The room that joins the store with
//! the outside; doors call it, engines finish what it began.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clients::TokenFacts;
use crate::clients::compute::Compute;
use crate::domain::plan::image::CaptureModes;
use crate::domain::quota::Need;
use crate::error::{Error, Result};
use crate::ids::{OperationId, ProjectId, UserId};
use crate::operations::Drivers;
use crate::store::Store;

pub mod backups;
pub mod branches;
pub mod client_token;
pub mod engines;
pub mod guard;
pub mod image_capture;
pub mod layer_flatten;
pub mod look;
pub mod observe;
pub mod operations;
pub mod plan_view;
pub mod policy;
pub mod servers;
pub mod snapshot_create;
pub mod snapshot_delete;
pub mod snapshot_restore;
pub mod snapshots;

/// Limits of what callers may ask for.
#[derive(Debug, Clone)]
pub struct AppSettings {
    /// Longest pause of a server when the caller names none, in milliseconds.
    pub pause_limit_ms: u64,
    /// Whether servers may be paused at all.
    pub allow_pause: bool,
    /// Most snapshots of one server.
    pub nodes_max: usize,
    /// Most clones of clones that a disk may stand on.
    pub clone_depth_max: usize,
    /// Most bytes that are written to flatten disks at once; 0 = nothing is flattened.
    pub flatten_bytes_max: u64,
    /// Whether heads are taken over before Nova removes them.
    pub guard: bool,
    /// How long the tree of a deleted server is kept.
    pub keep_deleted: Duration,
    /// How long operations that have ended, and rows of deleted snapshots, are kept; zero = for ever.
    pub keep_history: Duration,
    /// Whether notifications are listened to.
    pub listens: bool,
    /// When nodes are captured beside images that Nova makes.
    pub capture: CaptureModes,
}

/// The service's heart: everything that doors need.
#[derive(Clone)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Nova.
    pub compute: Arc<dyn Compute>,
    /// Storage.
    pub drivers: Drivers,
    /// Limits.
    pub settings: AppSettings,
}

/// Who asks.
#[derive(Clone)]
pub struct RequestContext {
    /// Project that the token is scoped to.
    pub project_id: ProjectId,
    /// User.
    pub user_id: UserId,
    /// The user's domain.
    pub user_domain_id: Option<String>,
    /// The project's domain.
    pub project_domain_id: Option<String>,
    /// Roles by name.
    pub roles: Vec<String>,
    /// The service that asks for the user, if one does; only rules of a policy file look at it.
    pub service: Option<Arc<TokenFacts>>,
    /// The request's id, passed on to all whom we call.
    pub request_id: String,
    /// What is asked whether the caller may: the same for the whole request.
    pub policy: policy::Policy,
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {:?} {}", self.project_id, self.user_id, self.roles, self.request_id)
    }
}

impl RequestContext {
    /// The service as its own caller, for what nobody has asked for: no rule is asked, and none would hold.
    #[must_use]
    pub fn service(project_id: &str) -> Self {
        Self {
            project_id: project_id.to_owned(),
            user_id: String::new(),
            user_domain_id: None,
            project_domain_id: None,
            roles: vec![],
            service: None,
            request_id: format!("req-{}", OperationId::new()),
            policy: policy::Policy::default(),
        }
    }
}

/// What a request for an act leads to.
#[derive(Debug, Clone)]
pub enum Answer<T> {
    /// Only the plan was asked for.
    Plan(Box<plan_view::PlanView>),
    /// The operation is recorded.
    Accepted(T),
}

impl App {
    /// Refuses a plan that does not fit into the project's quota, before anything is touched.
    ///
    /// # Errors
    /// `QuotaExceeded` with the numbers; whatever the backend fails with.
    pub(crate) async fn check_quota(&self, project_id: &str, needs: &[(String, Need)]) -> Result<()> {
        for (backend, need) in needs {
            if let Some(quota) = self.drivers.get(backend)?.quota(project_id).await? {
                quota.check(*need)?;
            }
        }
        Ok(())
    }
}

/// Longest name of anything, as in Nova and Cinder.
pub const NAME_LENGTH_MAX: usize = 255;
/// Longest description.
pub const DESCRIPTION_LENGTH_MAX: usize = 4096;

/// Checks a name that a caller gives.
///
/// # Errors
/// `BadRequest` naming the field.
pub fn check_name(field: &str, name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::bad_field(field, format!("{field} must not be empty.")));
    }
    check_text(field, name, NAME_LENGTH_MAX)
}

/// Checks a text that a caller gives.
///
/// # Errors
/// `BadRequest` naming the field.
pub fn check_text(field: &str, text: &str, length_max: usize) -> Result<()> {
    let length = text.chars().count();
    if length > length_max {
        return Err(Error::bad_field(
            field,
            format!("{field} has {length} characters; at most {length_max} are allowed."),
        ));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(Error::bad_field(field, format!("{field} contains control characters.")));
    }
    Ok(())
}
