//! The only place that asks what time it is, and the only one that sleeps.
#![allow(clippy::disallowed_methods)]

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

/// Now, in UTC, to the microsecond: what every supported database can store (`datetime(6)`).
#[must_use]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// A point on this process's own monotonic clock: for deadlines and leases, which must not trust wall clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(tokio::time::Instant);

impl Instant {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(tokio::time::Instant::now())
    }
    /// Time since then.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Waits.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}
