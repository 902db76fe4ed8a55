//! A named place at which the process ends itself, for tests of recovery: `RATOON_FAILPOINT=snapshot_restore/swap:started`
//! aborts the engine right after that event was written. Nothing is flushed or cleaned up: to the world it is a kill -9.

use crate::domain::operation::{EventKind, Operation};
use crate::operations::{Probe, Verdict};

/// The production probe.
pub struct Failpoint(Option<String>);

impl Failpoint {
    /// From the environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self(std::env::var("RATOON_FAILPOINT").ok().filter(|name| !name.is_empty()))
    }
}

impl Probe for Failpoint {
    fn at(&self, operation: &Operation, step: &'static str, event: EventKind) -> Verdict {
        if let Some(wanted) = &self.0
            && *wanted == format!("{}/{step}:{}", operation.kind, event.as_str())
        {
            tracing::warn!(failpoint = %wanted, "aborting at a failpoint, as the environment asks");
            std::process::abort();
        }
        Verdict::Go
    }
}
