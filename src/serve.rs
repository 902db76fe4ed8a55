//! Serving: which parts of Ratoon one process runs.

use crate::config::Settings;
use crate::error::{Error, Result};

/// What one process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Answer requests.
    Api,
    /// Run operations and the background tasks.
    Engine,
}

/// Runs until the process is told to stop.
#[allow(clippy::unused_async)]
pub async fn serve(_settings: Settings, _role: Role) -> Result<()> {
    Err(Error::internal("not yet wired"))
}
