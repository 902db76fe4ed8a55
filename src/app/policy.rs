//! Who may do what: Ratoon's rules, in oslo.policy's language, with what they say where no policy file does. They are asked with
//! the object in hand. Another project's thing is not forbidden, it is not there: see [`RequestContext::owns`].

use std::fmt::Write;
use std::sync::Arc;

use serde_json::json;

use super::RequestContext;
use crate::domain::operation::Operation;
use crate::domain::snapshot::Snapshot;
use crate::error::{Error, Kind, Result};
use crate::ids::{ProjectId, UserId};
use crate::policy::{Attributes, RemoteCheck, Rules};

/// Rules that others refer to.
const BASE: [(&str, &str, &str); 5] = [
    ("context_is_admin", "role:admin", "Who administers the cloud."),
    (
        "project_member",
        "(role:member or role:manager) and project_id:%(project_id)s",
        "Who may change the things of a project.",
    ),
    (
        "project_reader",
        "role:reader and project_id:%(project_id)s or rule:project_member",
        "Who may see the things of a project.",
    ),
    (
        "project_member_or_admin",
        "rule:project_member or rule:context_is_admin",
        "The usual rule of what changes something.",
    ),
    (
        "project_reader_or_admin",
        "rule:project_reader or rule:context_is_admin",
        "The usual rule of what shows something.",
    ),
];

/// Something that a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// See servers, trees and branches.
    ServerGet,
    /// See snapshots.
    SnapshotGet,
    /// Capture.
    SnapshotCreate,
    /// Rename, describe and protect.
    SnapshotUpdate,
    /// Restore.
    SnapshotRestore,
    /// Delete snapshots.
    SnapshotDelete,
    /// Rename a branch.
    BranchUpdate,
    /// Delete a branch with its snapshots.
    BranchDelete,
    /// Delete all snapshots of a server.
    TreeDelete,
    /// See operations.
    OperationGet,
    /// Cancel an operation.
    OperationCancel,
    /// See engines.
    EngineGet,
    /// Know of other projects' things.
    AllProjects,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 13] = [
        Self::ServerGet,
        Self::SnapshotGet,
        Self::SnapshotCreate,
        Self::SnapshotUpdate,
        Self::SnapshotRestore,
        Self::SnapshotDelete,
        Self::BranchUpdate,
        Self::BranchDelete,
        Self::TreeDelete,
        Self::OperationGet,
        Self::OperationCancel,
        Self::EngineGet,
        Self::AllProjects,
    ];

    /// The rule's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerGet => "server-snapshot:server:get",
            Self::SnapshotGet => "server-snapshot:snapshot:get",
            Self::SnapshotCreate => "server-snapshot:snapshot:create",
            Self::SnapshotUpdate => "server-snapshot:snapshot:update",
            Self::SnapshotRestore => "server-snapshot:snapshot:restore",
            Self::SnapshotDelete => "server-snapshot:snapshot:delete",
            Self::BranchUpdate => "server-snapshot:branch:update",
            Self::BranchDelete => "server-snapshot:branch:delete",
            Self::TreeDelete => "server-snapshot:tree:delete",
            Self::OperationGet => "server-snapshot:operation:get",
            Self::OperationCancel => "server-snapshot:operation:cancel",
            Self::EngineGet => "server-snapshot:engine:get",
            Self::AllProjects => "server-snapshot:all_projects",
        }
    }

    /// What it says unless a policy file says something else, and the least role by that.
    fn default(self) -> (&'static str, &'static str) {
        match self {
            Self::ServerGet | Self::SnapshotGet | Self::OperationGet => ("rule:project_reader_or_admin", "reader"),
            Self::EngineGet | Self::AllProjects => ("rule:context_is_admin", "admin"),
            _ => ("rule:project_member_or_admin", "member"),
        }
    }

    /// What it allows, and the calls that ask it.
    fn calls(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::ServerGet => (
                "See servers with their trees and branches.",
                &[
                    "GET /v1/servers",
                    "GET /v1/servers/{server_id}",
                    "GET /v1/servers/{server_id}/tree",
                    "GET /v1/servers/{server_id}/branches",
                    "GET /v1/branches/{branch_id}",
                ],
            ),
            Self::SnapshotGet => ("See snapshots.", &["GET /v1/snapshots", "GET /v1/snapshots/{snapshot_id}"]),
            Self::SnapshotCreate => ("Create a snapshot.", &["POST /v1/snapshots"]),
            Self::SnapshotUpdate => {
                ("Rename, describe and protect a snapshot.", &["PATCH /v1/snapshots/{snapshot_id}"])
            }
            Self::SnapshotRestore => (
                "Take a server back to a snapshot, or to the tip of a branch.",
                &["POST /v1/snapshots/{snapshot_id}/restore", "POST /v1/branches/{branch_id}/restore"],
            ),
            Self::SnapshotDelete => ("Delete a snapshot.", &["DELETE /v1/snapshots/{snapshot_id}"]),
            Self::BranchUpdate => ("Rename a branch.", &["PATCH /v1/branches/{branch_id}"]),
            Self::BranchDelete => ("Delete a branch with its snapshots.", &["DELETE /v1/branches/{branch_id}"]),
            Self::TreeDelete => ("Delete all snapshots of a server.", &["DELETE /v1/servers/{server_id}/tree"]),
            Self::OperationGet => ("See operations.", &["GET /v1/operations", "GET /v1/operations/{operation_id}"]),
            Self::OperationCancel => ("Cancel an operation.", &["POST /v1/operations/{operation_id}/cancel"]),
            Self::EngineGet => ("See the processes that run operations.", &["GET /v1/engines"]),
            Self::AllProjects => (
                "Know of the things of other projects. Whoever may not finds them missing.",
                &["GET /v1/servers", "GET /v1/snapshots", "GET /v1/operations"],
            ),
        }
    }
}

/// What the rules say where no policy file does.
#[must_use]
pub fn defaults() -> Vec<(&'static str, &'static str)> {
    let base = BASE.iter().map(|(name, check, _)| (*name, *check));
    base.chain(Rule::ALL.iter().map(|rule| (rule.name(), rule.default().0))).collect()
}

/// A policy file that says nothing new: each rule with its default, commented out.
#[must_use]
pub fn sample() -> String {
    let mut text = String::from(
        "# Rules of Ratoon, in the language of oslo.policy. What stands here commented out is the default.\n\
         # A rule is asked with the object in hand: project_id is its owner's, user_id of the one who asked for it\n\
         # (of snapshots and operations).\n",
    );
    for (name, check, what) in BASE {
        let _ = write!(text, "\n# {what}\n#\"{name}\": \"{check}\"\n");
    }
    for rule in Rule::ALL {
        let (what, calls) = rule.calls();
        let _ = writeln!(text, "\n# {what}");
        for call in calls {
            let _ = writeln!(text, "# {call}");
        }
        let _ = writeln!(text, "# Intended scope(s): project\n#\"{}\": \"{}\"", rule.name(), rule.default().0);
    }
    text
}

/// The rules that one request is asked by, and whom those ask that are kept on another server.
#[derive(Clone, Default)]
pub struct Policy {
    /// The rules.
    pub rules: Arc<Rules>,
    /// For checks of the kind `http:`.
    pub remote: Option<Arc<dyn RemoteCheck>>,
}

impl Policy {
    /// The defaults alone.
    ///
    /// # Errors
    /// `BadRequest`: never, which a test shows.
    pub fn by_default() -> Result<Self> {
        Ok(Self { rules: Arc::new(Rules::new(&defaults(), &[], "default")?), remote: None })
    }
}

/// The object in hand, as far as rules may ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    project_id: ProjectId,
    user_id: Option<UserId>,
}

impl Target {
    /// Something of a project's.
    #[must_use]
    pub fn of_project(project_id: &str) -> Self {
        Self { project_id: project_id.to_owned(), user_id: None }
    }

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        attributes.insert("project_id".into(), json!(self.project_id));
        if let Some(user_id) = &self.user_id {
            attributes.insert("user_id".into(), json!(user_id));
        }
        attributes
    }
}

impl From<&Snapshot> for Target {
    fn from(snapshot: &Snapshot) -> Self {
        Self { project_id: snapshot.project_id.clone(), user_id: Some(snapshot.user_id.clone()) }
    }
}

impl From<&Operation> for Target {
    fn from(operation: &Operation) -> Self {
        Self { project_id: operation.project_id.clone(), user_id: Some(operation.user_id.clone()) }
    }
}

impl RequestContext {
    /// What the caller might make, or own already: asked before it is looked for.
    #[must_use]
    pub fn own(&self) -> Target {
        Target { project_id: self.project_id.clone(), user_id: Some(self.user_id.clone()) }
    }

    /// Whether the caller may know of a project's things at all.
    ///
    /// # Errors
    /// When a policy server gives no answer.
    pub async fn owns(&self, project_id: &str) -> Result<bool> {
        Ok(self.project_id == project_id || self.holds(Rule::AllProjects, &Target::of_project(project_id)).await?)
    }

    /// Asks a rule of something that was found; to those who may not know of it, it is `missing`.
    ///
    /// # Errors
    /// `missing`; as [`RequestContext::allow`].
    pub async fn allow_found(&self, rule: Rule, target: &Target, missing: impl FnOnce() -> Error) -> Result<()> {
        if !self.owns(&target.project_id).await? {
            return Err(missing());
        }
        self.allow(rule, target).await
    }

    /// Asks a rule.
    ///
    /// # Errors
    /// `Forbidden` naming the rule; when a policy server gives no answer.
    pub async fn allow(&self, rule: Rule, target: &Target) -> Result<()> {
        if self.holds(rule, target).await? {
            return Ok(());
        }
        Err(Error::new(Kind::Forbidden, format!("Policy does not allow {} to be performed.", rule.name())).remedy(
            format!("Unless the operator has changed it, it needs the role {} in this project.", rule.default().1),
        ))
    }

    async fn holds(&self, rule: Rule, target: &Target) -> Result<bool> {
        self.policy
            .rules
            .ask(rule.name(), &target.attributes(), &self.attributes(), self.policy.remote.as_deref())
            .await
    }

    /// The caller as rules see him, under the names that oslo.context has for them.
    fn attributes(&self) -> Attributes {
        let service = self.service.as_deref();
        let attributes = json!({
            "user_id": self.user_id,
            "project_id": self.project_id,
            "user_domain_id": self.user_domain_id,
            "project_domain_id": self.project_domain_id,
            "domain_id": null,
            "system_scope": null,
            "roles": self.roles,
            "service_user_id": service.map(|service| &service.user_id),
            "service_user_domain_id": service.and_then(|service| service.user_domain_id.as_ref()),
            "service_project_id": service.and_then(|service| service.project_id.as_ref()),
            "service_project_domain_id": service.and_then(|service| service.project_domain_id.as_ref()),
            "service_roles": service.map(|service| &service.roles),
        });
        attributes.as_object().cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(roles: &[&str]) -> RequestContext {
        RequestContext {
            project_id: "mine".into(),
            user_id: "u".into(),
            user_domain_id: None,
            project_domain_id: None,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            service: None,
            request_id: "req-1".into(),
            policy: Policy::by_default().unwrap(),
        }
    }

    #[tokio::test]
    async fn each_rule_holds_for_the_roles_that_it_names() {
        use Rule::*;
        let act: Vec<Rule> = Rule::ALL.into_iter().filter(|rule| !matches!(rule, AllProjects | EngineGet)).collect();
        let table: [(&[&str], &[Rule]); 6] = [
            (&[], &[]),
            (&["service"], &[]),
            (&["reader"], &[ServerGet, SnapshotGet, OperationGet]),
            (&["Member"], &act),
            (&["manager"], &act),
            (&["reader", "admin"], &Rule::ALL),
        ];
        for (roles, allowed) in table {
            for rule in Rule::ALL {
                let caller = caller(roles);
                let told = caller.allow(rule, &caller.own()).await;
                assert_eq!(told.is_ok(), allowed.contains(&rule), "{roles:?} {}", rule.name());
            }
        }
    }

    #[tokio::test]
    async fn only_an_admin_knows_of_another_projects_things_and_acts_on_them() {
        let theirs = Target::of_project("theirs");
        for (role, knows) in [("reader", false), ("member", false), ("manager", false), ("admin", true)] {
            let caller = caller(&[role]);
            assert!(caller.owns("mine").await.unwrap());
            assert_eq!(caller.owns("theirs").await.unwrap(), knows, "{role}");
            assert_eq!(caller.allow(Rule::SnapshotDelete, &theirs).await.is_ok(), knows, "{role}");
        }
    }

    #[test]
    fn the_sample_in_the_tree_is_the_one_made_here() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/etc/ratoon/policy.yaml.sample");
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(stored == sample(), "make it again: make sample");
    }

    #[test]
    fn the_sample_says_what_holds_without_it() {
        let text: String =
            sample().lines().filter_map(|line| line.strip_prefix("#\"")).map(|line| format!("\"{line}\n")).collect();
        let said: std::collections::BTreeMap<String, String> = serde_norway::from_str(&text).unwrap();
        let held = defaults().into_iter().map(|(name, check)| (name.to_owned(), check.to_owned())).collect();
        assert_eq!(said, held);
    }
}
