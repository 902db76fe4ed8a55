//! Who may do what. Rules are named as oslo.policy names them (`server-snapshot:<resource>:<verb>`), and asked with the owner
//! of the object in hand. Another project's thing is not forbidden, it is not there: see [`RequestContext::owns`].

use super::RequestContext;
use crate::error::{Error, Kind, Result};

/// The least role that a rule asks for. Keystone's roles imply one another in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Reader,
    Member,
    Admin,
}

/// Something that a caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// See servers, trees and branches.
    ServerGet,
    /// See snapshots.
    SnapshotGet,
    /// Capture.
    SnapshotCreate,
    /// Rename and describe.
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
    /// See all projects' things.
    AllProjects,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 12] = [
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
            Self::AllProjects => "server-snapshot:all_projects",
        }
    }

    fn least_role(self) -> Role {
        match self {
            Self::ServerGet | Self::SnapshotGet | Self::OperationGet => Role::Reader,
            Self::SnapshotCreate
            | Self::SnapshotUpdate
            | Self::SnapshotRestore
            | Self::SnapshotDelete
            | Self::BranchUpdate
            | Self::BranchDelete
            | Self::TreeDelete
            | Self::OperationCancel => Role::Member,
            Self::AllProjects => Role::Admin,
        }
    }
}

impl RequestContext {
    fn role(&self) -> Option<Role> {
        let has = |name: &str| self.roles.iter().any(|role| role.eq_ignore_ascii_case(name));
        [(Role::Admin, "admin"), (Role::Member, "manager"), (Role::Member, "member"), (Role::Reader, "reader")]
            .into_iter()
            .find(|(_, name)| has(name))
            .map(|(role, _)| role)
    }

    /// Whether the caller administers the cloud.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.role() == Some(Role::Admin)
    }

    /// Whether the caller may know of a project's things at all.
    #[must_use]
    pub fn owns(&self, project_id: &str) -> bool {
        self.project_id == project_id || self.is_admin()
    }

    /// Asks a rule.
    ///
    /// # Errors
    /// `Forbidden` naming the rule and the role it asks for.
    pub fn allow(&self, rule: Rule) -> Result<()> {
        if self.role().is_some_and(|role| role >= rule.least_role()) {
            return Ok(());
        }
        Err(Error::new(Kind::Forbidden, format!("Policy does not allow {} to be performed.", rule.name())).remedy(
            format!("It needs the role {} in this project.", format!("{:?}", rule.least_role()).to_lowercase()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(roles: &[&str]) -> RequestContext {
        RequestContext {
            project_id: "mine".into(),
            user_id: "u".into(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            request_id: "req-1".into(),
        }
    }

    #[test]
    fn each_rule_holds_for_the_roles_that_it_names() {
        use Rule::*;
        let table: [(&[&str], &[Rule]); 6] = [
            (&[], &[]),
            (&["service"], &[]),
            (&["reader"], &[ServerGet, SnapshotGet, OperationGet]),
            (
                &["Member"],
                &[
                    ServerGet,
                    SnapshotGet,
                    OperationGet,
                    SnapshotCreate,
                    SnapshotUpdate,
                    SnapshotRestore,
                    SnapshotDelete,
                    BranchDelete,
                    TreeDelete,
                    BranchUpdate,
                    OperationCancel,
                ],
            ),
            (
                &["manager"],
                &[
                    ServerGet,
                    SnapshotGet,
                    OperationGet,
                    SnapshotCreate,
                    SnapshotUpdate,
                    SnapshotRestore,
                    SnapshotDelete,
                    BranchDelete,
                    TreeDelete,
                    BranchUpdate,
                    OperationCancel,
                ],
            ),
            (&["reader", "admin"], &Rule::ALL),
        ];
        for (roles, allowed) in table {
            for rule in Rule::ALL {
                assert_eq!(caller(roles).allow(rule).is_ok(), allowed.contains(&rule), "{roles:?} {}", rule.name());
            }
        }
    }

    #[test]
    fn only_an_admin_knows_of_another_projects_things() {
        assert!(caller(&["reader"]).owns("mine"));
        assert!(!caller(&["member"]).owns("theirs"));
        assert!(caller(&["admin"]).owns("theirs"));
    }
}
