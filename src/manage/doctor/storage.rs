//! Each backend: Ceph by doing, Cinder by its calls (`cloud`).

use super::PATIENCE;
use super::report::Report;
use crate::config::Settings;
use crate::drivers::rbd::{Cluster, trial};
use crate::parts::rbd_config;

pub(super) async fn look(settings: &Settings, report: &mut Report) {
    let (rbd, cinder) = (&settings.rbd, &settings.cinder);
    if rbd.enabled {
        let mut config = rbd_config(settings);
        // Six of these are what an act may take.
        config.timeout = config.timeout.min(PATIENCE / 3);
        match trial::try_pools(&Cluster::new(config), &rbd.pool, &rbd.glance_pool).await {
            Ok(()) => report.ok(
                "ceph",
                format!(
                    "client.{} may make, capture, clone and remove images in {} and {}.",
                    rbd.user, rbd.pool, rbd.glance_pool
                ),
            ),
            Err(error) => report.fail("ceph", &error),
        }
    } else {
        report.warn(
            "ceph",
            "[rbd] enabled is false: no system disk can be captured.",
            "Set it to true, unless Nova keeps none in Ceph.",
        );
    }
    if !cinder.enabled {
        report.warn(
            "cinder",
            "[cinder] enabled is false: no data volume can be captured.",
            "Set it to true, unless there is no Cinder.",
        );
    }
}
