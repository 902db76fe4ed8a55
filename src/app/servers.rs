//! When a user looks at servers and their trees.

use super::look::empty_tree;
use super::policy::{Rule, Target};
use super::{App, RequestContext};
use crate::error::{Error, Result};
use crate::ids::ServerId;
use crate::store::Page;
use crate::store::servers::{ServerRecord, Totals};
use crate::store::trees::ServerTree;

/// A server with what a view shows besides.
#[derive(Debug, Clone)]
pub struct ServerDetail {
    /// Our record.
    pub record: ServerRecord,
    /// Name of the branch that the next capture continues.
    pub current_branch: Option<String>,
    /// Its snapshots.
    pub totals: Totals,
}

impl App {
    /// The tree of a server; an empty one for a server that the caller owns and that was never captured.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`, in the same words whether it is missing or another project's.
    pub async fn server_tree(&self, caller: &RequestContext, id: ServerId) -> Result<ServerTree> {
        caller.allow(Rule::ServerGet, &caller.own()).await?;
        let tree = match self.store.tree(id).await? {
            Some(tree) => tree,
            None => empty_tree(&self.visible_server(caller, id).await?),
        };
        let target = Target::of_project(&tree.record.project_id);
        caller.allow_found(Rule::ServerGet, &target, || Error::not_found("Server", id)).await?;
        Ok(tree)
    }

    /// A server's record; a fresh one where there is none yet.
    ///
    /// # Errors
    /// As [`App::server_tree`].
    pub async fn get_server(&self, caller: &RequestContext, id: ServerId) -> Result<ServerDetail> {
        let tree = self.server_tree(caller, id).await?;
        Ok(ServerDetail {
            current_branch: tree
                .forest
                .current_branch
                .and_then(|id| tree.forest.branch(id))
                .map(|branch| branch.name.clone()),
            totals: Totals::of(&tree),
            record: tree.record,
        })
    }

    /// A page of servers that have a record.
    ///
    /// # Errors
    /// `Forbidden`; when the database does not answer.
    pub async fn list_servers(
        &self,
        caller: &RequestContext,
        project: Option<&str>,
        page: &Page,
    ) -> Result<Vec<ServerDetail>> {
        caller.allow(Rule::ServerGet, &caller.own()).await?;
        let mut details = Vec::new();
        let records = self.store.servers(project, page).await?;
        let totals = self.store.totals(&records.iter().map(|record| record.id).collect::<Vec<_>>()).await?;
        let branches: Vec<_> = records.iter().filter_map(|record| record.current_branch_id).collect();
        let branches = self.store.branch_names(&branches).await?;
        for record in records {
            details.push(ServerDetail {
                current_branch: record.current_branch_id.and_then(|id| branches.get(&id).cloned()),
                totals: totals.get(&record.id).copied().unwrap_or_default(),
                record,
            });
        }
        Ok(details)
    }
}
