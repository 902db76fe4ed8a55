//! When an operator looks at the engines.

use super::policy::Rule;
use super::{App, RequestContext};
use crate::error::Result;
use crate::store::engines::EngineRecord;

/// An engine with what a view shows besides.
#[derive(Debug, Clone)]
pub struct EngineDetail {
    /// Its record.
    pub record: EngineRecord,
    /// Operations that it holds and that are not final.
    pub operations: u64,
}

impl App {
    /// All engines that have entered and were neither ended nor taken for dead, the oldest first.
    ///
    /// # Errors
    /// `Forbidden`; when the database does not answer.
    pub async fn list_engines(&self, caller: &RequestContext) -> Result<Vec<EngineDetail>> {
        caller.allow(Rule::EngineGet, &caller.own()).await?;
        let at_work = self.store.engines_at_work().await?;
        let engines = self.store.engines().await?.into_iter();
        Ok(engines
            .map(|record| EngineDetail { operations: at_work.get(&record.id).copied().unwrap_or(0), record })
            .collect())
    }
}
