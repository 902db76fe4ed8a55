//! When a user follows or cancels operations.

use super::policy::Rule;
use super::{App, RequestContext};
use crate::domain::operation::{Operation, OperationEvent};
use crate::error::{Error, Result};
use crate::ids::OperationId;
use crate::store::Page;
use crate::store::operations::OperationFilter;

impl App {
    /// An operation that the caller may know of, with its log.
    ///
    /// # Errors
    /// `Forbidden`; `NotFound`, in the same words whether it is missing or another project's.
    pub async fn get_operation(
        &self,
        caller: &RequestContext,
        id: OperationId,
    ) -> Result<(Operation, Vec<OperationEvent>)> {
        caller.allow(Rule::OperationGet, &caller.own()).await?;
        let missing = || Error::not_found("Operation", id);
        let operation = self.store.operation(id).await?.ok_or_else(missing)?;
        caller.allow_found(Rule::OperationGet, &(&operation).into(), missing).await?;
        let events = self.store.events(id).await?;
        Ok((operation, events))
    }

    /// A page of operations.
    ///
    /// # Errors
    /// `Forbidden`, `BadRequest`; when the database does not answer.
    pub async fn list_operations(
        &self,
        caller: &RequestContext,
        filter: &OperationFilter,
        page: &Page,
    ) -> Result<Vec<Operation>> {
        caller.allow(Rule::OperationGet, &caller.own()).await?;
        self.store.operations(filter, page).await
    }

    /// Asks for an operation to be undone.
    ///
    /// # Errors
    /// `Forbidden`, `NotFound`; `Conflict` when it is past its point of no return, is being undone because it has failed, or is final.
    pub async fn cancel_operation(&self, caller: &RequestContext, id: OperationId) -> Result<Operation> {
        let (operation, _) = self.get_operation(caller, id).await?;
        caller.allow(Rule::OperationCancel, &(&operation).into()).await?;
        let operation = self.store.request_cancel(id).await?;
        tracing::info!(operation_id = %id, "cancel asked for");
        Ok(operation)
    }
}
