//! The forest of one server: its nodes, their parents, its branches, and where the live disks are ("You are here").
//!
//! Loaded whole with one query and walked in memory; a server has at most some hundred nodes. The invariants are checked
//! after loading and before saving ([`Forest::check`]).

use std::collections::HashMap;

use crate::domain::snapshot::{Branch, Snapshot};
use crate::error::{Error, Result};
use crate::ids::{BranchId, ServerId, SnapshotId};

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Forest {
    /// The server.
    pub server_id: ServerId,
    /// The live nodes, in order of capture.
    pub nodes: Vec<Snapshot>,
    /// The branches, in order of their beginning.
    pub branches: Vec<Branch>,
    /// The node that the live disks grew from.
    pub current: Option<SnapshotId>,
    /// The branch that the next capture continues.
    pub current_branch: Option<BranchId>,
    /// Counts changes of the tree.
    pub generation: i64,
    index: HashMap<SnapshotId, usize>,
}

impl Forest {
    /// Puts nodes (live ones only are kept) and branches in order.
    #[must_use]
    pub fn new(
        server_id: ServerId,
        mut nodes: Vec<Snapshot>,
        mut branches: Vec<Branch>,
        current: Option<SnapshotId>,
        current_branch: Option<BranchId>,
        generation: i64,
    ) -> Self {
        nodes.retain(|node| node.status.is_live());
        nodes.sort_by_key(|node| node.sequence);
        branches.sort_by_key(|branch| (branch.created_at, branch.id));
        let index = nodes.iter().enumerate().map(|(place, node)| (node.id, place)).collect();
        Self { server_id, nodes, branches, current, current_branch, generation, index }
    }

    /// A live node.
    #[must_use]
    pub fn node(&self, id: SnapshotId) -> Option<&Snapshot> {
        self.index.get(&id).map(|place| &self.nodes[*place])
    }

    /// A branch.
    #[must_use]
    pub fn branch(&self, id: BranchId) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.id == id)
    }

    /// A branch by its name.
    #[must_use]
    pub fn branch_named(&self, name: &str) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.name == name)
    }

    /// The children of a node, or the roots, in order of capture. A hidden node is a node.
    #[must_use]
    pub fn children(&self, parent: Option<SnapshotId>) -> Vec<&Snapshot> {
        self.nodes.iter().filter(|node| node.parent_id == parent).collect()
    }

    /// The newest live node of a branch that a user may see; else the node it begins at.
    #[must_use]
    pub fn tip(&self, branch: BranchId) -> Option<SnapshotId> {
        self.nodes
            .iter()
            .rev()
            .find(|node| node.branch_id == branch && !node.hidden)
            .map(|node| node.id)
            .or_else(|| self.branch(branch).and_then(|branch| branch.fork_snapshot_id))
    }

    /// Whether the branch has a node of its own.
    #[must_use]
    pub fn has_nodes(&self, branch: BranchId) -> bool {
        self.nodes.iter().any(|node| node.branch_id == branch)
    }

    /// Nodes in the order in which a tree is drawn: parents before children, each with its depth (roots: 0).
    #[must_use]
    pub fn preorder(&self) -> Vec<(usize, &Snapshot)> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut stack: Vec<(usize, &Snapshot)> = self.children(None).into_iter().rev().map(|root| (0, root)).collect();
        while let Some((depth, node)) = stack.pop() {
            order.push((depth, node));
            stack.extend(self.children(Some(node.id)).into_iter().rev().map(|child| (depth + 1, child)));
        }
        order
    }

    /// A name for a new branch: `main` for the first, else `branch-2` and so on. `taken` is one more that is about to be used.
    #[must_use]
    pub fn free_branch_name(&self, taken: Option<&str>) -> String {
        let first = self.branches.is_empty().then(|| "main".to_owned());
        first
            .into_iter()
            .chain((2..).map(|number| format!("branch-{number}")))
            .find(|name| self.branch_named(name).is_none() && taken != Some(name.as_str()))
            .unwrap_or_else(|| "branch".to_owned())
    }

    /// Asserts what must always hold: parents are there and on the same server, no cycle, names of branches unique,
    /// `current` and its branch exist, every node's branch exists.
    ///
    /// # Errors
    /// [`crate::error::Kind::Internal`], naming the node: the data is damaged and nothing may be planned on it.
    pub fn check(&self) -> Result<()> {
        let damaged = |what: String| {
            Error::internal(format!("The tree of server {} is damaged: {what}.", self.server_id))
                .remedy("Nothing was changed. Keep the database as it is and report this.")
        };
        for node in &self.nodes {
            if node.server_id != self.server_id {
                return Err(damaged(format!("snapshot {} belongs to server {}", node.id, node.server_id)));
            }
            if let Some(parent) = node.parent_id
                && self.node(parent).is_none()
            {
                return Err(damaged(format!("the parent {parent} of snapshot {} is missing", node.id)));
            }
            if self.branch(node.branch_id).is_none() {
                return Err(damaged(format!("the branch {} of snapshot {} is missing", node.branch_id, node.id)));
            }
        }
        if self.preorder().len() != self.nodes.len() {
            return Err(damaged("its parents form a cycle".to_owned()));
        }
        for (place, branch) in self.branches.iter().enumerate() {
            if self.branches[..place].iter().any(|other| other.name == branch.name) {
                return Err(damaged(format!("two branches are named {}", branch.name)));
            }
        }
        if let Some(current) = self.current
            && self.node(current).is_none()
        {
            return Err(damaged(format!("its current snapshot {current} is missing")));
        }
        if let Some(branch) = self.current_branch
            && self.branch(branch).is_none()
        {
            return Err(damaged(format!("its current branch {branch} is missing")));
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(missing_docs)]
pub mod tests {
    use super::*;
    use crate::clock;
    use crate::domain::snapshot::{Consistency, ConsistencyRecord, SnapshotStatus};

    /// Builds forests from words: `("b", Some("a"), "main")` is node b above a on main.
    pub struct Grove {
        pub forest: Forest,
        pub ids: HashMap<String, SnapshotId>,
        pub branch_ids: HashMap<String, BranchId>,
    }

    pub fn grove(nodes: &[(&str, Option<&str>, &str)], current: Option<&str>, current_branch: &str) -> Grove {
        let server_id = ServerId::new();
        let mut ids: HashMap<String, SnapshotId> = HashMap::new();
        let mut branch_ids: HashMap<String, BranchId> = HashMap::new();
        let mut rows = Vec::new();
        let mut branches = Vec::new();
        let begun = |name: &str,
                     fork: Option<SnapshotId>,
                     branch_ids: &mut HashMap<String, BranchId>,
                     branches: &mut Vec<Branch>| {
            *branch_ids.entry(name.to_owned()).or_insert_with(|| {
                let id = BranchId::new();
                branches.push(Branch {
                    id,
                    server_id,
                    name: name.to_owned(),
                    fork_snapshot_id: fork,
                    created_at: clock::now(),
                });
                id
            })
        };
        for (sequence, (name, parent, branch)) in nodes.iter().enumerate() {
            let parent_id = parent.map(|parent| ids[parent]);
            let branch_id = begun(branch, parent_id, &mut branch_ids, &mut branches);
            let id = SnapshotId::new();
            ids.insert((*name).to_owned(), id);
            rows.push(node(id, server_id, parent_id, branch_id, sequence as i64, name));
        }
        let current = current.map(|name| ids[name]);
        let current_branch = begun(current_branch, current, &mut branch_ids, &mut branches);
        let forest = Forest::new(server_id, rows, branches, current, Some(current_branch), 1);
        Grove { forest, ids, branch_ids }
    }

    pub fn node(
        id: SnapshotId,
        server_id: ServerId,
        parent_id: Option<SnapshotId>,
        branch_id: BranchId,
        sequence: i64,
        name: &str,
    ) -> Snapshot {
        Snapshot {
            id,
            server_id,
            project_id: "p".into(),
            user_id: "u".into(),
            parent_id,
            branch_id,
            sequence,
            name: name.to_owned(),
            description: String::new(),
            status: SnapshotStatus::Available,
            hidden: false,
            safety: false,
            protection: None,
            consistency: ConsistencyRecord::asked(Consistency::Auto),
            partial: false,
            at_rest: false,
            left_out: vec![],
            beside: None,
            server_name: "web".into(),
            flavor: "tiny".into(),
            fault: None,
            created_at: clock::now(),
            updated_at: clock::now(),
        }
    }

    #[test]
    fn the_tip_of_a_branch_is_its_newest_node_else_its_fork() {
        let g = grove(&[("a", None, "main"), ("b", Some("a"), "main"), ("c", Some("a"), "side")], Some("c"), "empty");
        assert_eq!(g.forest.tip(g.branch_ids["main"]), Some(g.ids["b"]));
        assert_eq!(g.forest.tip(g.branch_ids["side"]), Some(g.ids["c"]));
        assert_eq!(g.forest.tip(g.branch_ids["empty"]), Some(g.ids["c"]), "a branch without nodes: where it begins");
    }

    #[test]
    fn preorder_draws_parents_before_children_and_children_by_age() {
        let g = grove(
            &[("a", None, "main"), ("b", Some("a"), "main"), ("c", Some("a"), "side"), ("d", Some("b"), "main")],
            Some("d"),
            "main",
        );
        let drawn: Vec<(usize, &str)> =
            g.forest.preorder().into_iter().map(|(depth, node)| (depth, node.name.as_str())).collect();
        assert_eq!(drawn, [(0, "a"), (1, "b"), (2, "d"), (1, "c")]);
    }

    #[test]
    fn damage_is_found_before_anything_is_planned_on_it() {
        let fine = grove(&[("a", None, "main"), ("b", Some("a"), "main")], Some("b"), "main").forest;
        fine.check().unwrap();

        let mut missing_parent = fine.clone();
        missing_parent.nodes[1].parent_id = Some(SnapshotId::new());
        let mut cycle = fine.clone();
        cycle.nodes[0].parent_id = Some(cycle.nodes[1].id);
        let mut lost_current = fine.clone();
        lost_current.current = Some(SnapshotId::new());
        let mut lost_branch = fine.clone();
        lost_branch.branches.clear();
        let mut foreign = fine.clone();
        foreign.nodes[0].server_id = ServerId::new();
        let mut twins = fine.clone();
        twins.branches.push(Branch { id: BranchId::new(), ..twins.branches[0].clone() });
        for (name, forest) in [
            ("a parent is missing", missing_parent),
            ("a cycle", cycle),
            ("current is missing", lost_current),
            ("a branch is missing", lost_branch),
            ("a node of another server", foreign),
            ("two branches of one name", twins),
        ] {
            assert!(forest.check().is_err(), "{name}");
        }
    }

    #[test]
    fn unnamed_branches_are_numbered_without_reuse_of_a_taken_name() {
        let g = grove(&[("a", None, "main"), ("b", Some("a"), "branch-2")], Some("b"), "branch-2");
        assert_eq!(g.forest.free_branch_name(None), "branch-3");
    }
}
