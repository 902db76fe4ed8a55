//! When a caller asks again, under the name (`client_token`) that it gave its request: it is told what the first time began.

use sha2::{Digest, Sha256};

use super::App;
use super::snapshot_create::CreateSnapshot;
use crate::error::{Error, Kind, Result};
use crate::ids::{OperationId, ServerId};
use crate::store::details::SnapshotDetail;

const LENGTH_MAX: usize = 64;

/// A request that its caller has named.
pub(super) struct NamedRequest {
    /// The name.
    pub token: String,
    /// Of what is asked for. What it is asked on (a dry run, a generation of the tree) is not part of it.
    pub digest: String,
}

impl NamedRequest {
    /// # Errors
    /// `BadRequest` for a name that is none.
    pub(super) fn of(request: &CreateSnapshot) -> Result<Option<Self>> {
        let Some(token) = &request.client_token else { return Ok(None) };
        if token.is_empty() || token.len() > LENGTH_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message = format!("client_token is 1 to {LENGTH_MAX} visible ASCII characters, as a UUID.");
            return Err(Error::bad_field("client_token", message));
        }
        let asked = serde_json::json!([
            request.name,
            request.description,
            request.consistency.as_str(),
            request.pause_limit_ms,
            request.exclude_disks,
        ]);
        let digest = format!("{:x}", Sha256::digest(asked.to_string()));
        Ok(Some(Self { token: token.clone(), digest }))
    }
}

impl App {
    /// What this request has begun before, if it has.
    ///
    /// # Errors
    /// `Conflict` when the name was given to another request, or what it began is gone.
    pub(super) async fn begun_before(
        &self,
        server: ServerId,
        request: &NamedRequest,
    ) -> Result<Option<(SnapshotDetail, OperationId)>> {
        let Some(known) = self.store.client_token(server, &request.token).await? else { return Ok(None) };
        let begun = known.operation_id;
        let used = |message: String| Error::new(Kind::Conflict, message).remedy("Ask under a new client_token.");
        if known.digest != request.digest {
            return Err(used(format!(
                "This client_token was given to another request, which began operation {begun}."
            )));
        }
        let gone = || used(format!("Snapshot {}, which was made under this client_token, is gone.", known.snapshot_id));
        let detail = self.store.snapshot_detail(known.snapshot_id).await?.ok_or_else(gone)?;
        Ok(Some((detail, begun)))
    }
}
