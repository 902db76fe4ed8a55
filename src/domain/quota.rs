//! A project's quota, and whether a plan fits into it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{Error, Kind, Result};

/// One counted resource. A limit below 0 means "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Most that may be used.
    pub limit: i64,
    /// Used and reserved.
    pub used: i64,
}

impl Allowance {
    /// Whether `more` fits.
    #[must_use]
    pub fn fits(self, more: i64) -> bool {
        self.limit < 0 || self.used + more <= self.limit
    }
}

/// What a project may have of block storage. `gigabytes` counts volumes and snapshots together, as Cinder does by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Volumes.
    pub volumes: Allowance,
    /// Volume snapshots.
    pub snapshots: Allowance,
    /// GiB.
    pub gigabytes: Allowance,
}

/// What a plan would create.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Need {
    /// Volumes.
    pub volumes: i64,
    /// Volume snapshots.
    pub snapshots: i64,
    /// GiB, of both.
    pub gigabytes: i64,
}

impl Quota {
    /// Refuses a need that does not fit, with all the numbers and the way out.
    ///
    /// # Errors
    /// [`Kind::QuotaExceeded`].
    pub fn check(&self, need: Need) -> Result<()> {
        let lines: Vec<String> = [
            ("volumes", self.volumes, need.volumes),
            ("snapshots", self.snapshots, need.snapshots),
            ("gigabytes", self.gigabytes, need.gigabytes),
        ]
        .into_iter()
        .filter(|(_, allowance, more)| *more > 0 && !allowance.fits(*more))
        .map(|(name, allowance, more)| {
            format!("{name}: {more} more needed, {} of {} in use", allowance.used, allowance.limit)
        })
        .collect();
        if lines.is_empty() {
            return Ok(());
        }
        Err(Error::new(
            Kind::QuotaExceeded,
            format!("The block storage quota does not allow it ({}).", lines.join("; ")),
        )
        .remedy("Delete snapshots or volumes that are no longer needed, or ask for a larger quota."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(limit: i64, used: i64) -> Quota {
        let allowance = Allowance { limit, used };
        Quota { volumes: allowance, snapshots: allowance, gigabytes: Allowance { limit: 1000, used: 0 } }
    }

    #[test]
    fn a_need_fits_up_to_the_last_one_and_unlimited_means_unlimited() {
        let need = |n| Need { volumes: n, snapshots: n, gigabytes: n };
        for (limit, used, more, fits) in
            [(10, 8, 2, true), (10, 8, 3, false), (-1, 500, 400, true), (10, 10, 0, true), (0, 0, 1, false)]
        {
            assert_eq!(quota(limit, used).check(need(more)).is_ok(), fits, "{used} of {limit}, {more} more");
        }
    }

    #[test]
    fn a_refusal_names_each_resource_with_its_numbers() {
        let error = quota(10, 9).check(Need { volumes: 2, snapshots: 1, gigabytes: 1 }).unwrap_err();
        assert!(error.chain().contains("volumes: 2 more needed, 9 of 10 in use"), "{}", error.chain());
        assert!(!error.chain().contains("snapshots:"), "{}", error.chain());
    }
}
