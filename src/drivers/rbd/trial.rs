//! Whether Ceph lets us do what our work needs: the way of a restored disk, once, with empty images of our own.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::cluster::Cluster;
use super::connection::Connection;
use super::image::{Access, Image};
use super::naming::{CARRIER_SNAPSHOT, META_SERVER};
use super::pool::Pool;
use crate::clock;
use crate::error::{Error, Result};
use crate::ids::LayerId;

/// One object's size.
const SIZE_BYTES: u64 = 4 << 20;
/// Images of a trial begin so, an id that tells its time behind it.
const PREFIX: &str = "ratoon.doctor.";
/// A trial that began longer ago has died: this one removes what it left.
const TRIAL_SECONDS_MAX: u64 = 600;

/// Makes an image in Nova's pool, a snapshot of it, a clone of that in Glance's pool, and a clone of that one in Nova's pool; then
/// removes them all, also after a failure, and what earlier trials have left that were killed.
///
/// # Errors
/// What Ceph refuses, naming the pool.
pub async fn try_pools(cluster: &Cluster, pool: &str, glance_pool: &str) -> Result<()> {
    let (pool, glance_pool) = (pool.to_owned(), glance_pool.to_owned());
    cluster.run_briefly("try what the pools allow", move |connection| run(connection, &pool, &glance_pool)).await
}

fn run(connection: &Arc<Connection>, pool: &str, glance_pool: &str) -> Result<()> {
    let (pool, carriers) = (Pool::open(connection, pool)?, Pool::open(connection, glance_pool)?);
    for left in leftovers(&[&pool, &carriers])? {
        remove_all(&pool, &carriers, &left)?;
    }
    let source = format!("{PREFIX}{}", LayerId::new());
    let outcome = make(&pool, &carriers, &source);
    outcome.and(remove_all(&pool, &carriers, &source))
}

/// Names of the sources of trials that have died.
fn leftovers(pools: &[&Pool]) -> Result<BTreeSet<String>> {
    let now = u64::try_from(clock::now().timestamp()).unwrap_or_default();
    let mut found = BTreeSet::new();
    for pool in pools {
        for image in pool.list()? {
            let id = image.name.strip_prefix(PREFIX).and_then(|rest| rest.split('.').next());
            let begun = id.and_then(|id| Uuid::parse_str(id).ok()?.get_timestamp());
            if let (Some(id), Some(begun)) = (id, begun)
                && begun.to_unix().0 + TRIAL_SECONDS_MAX < now
            {
                found.insert(format!("{PREFIX}{id}"));
            }
        }
    }
    Ok(found)
}

fn names(source: &str) -> (String, String) {
    (format!("{source}.carrier"), format!("{source}.head"))
}

/// From the last one made to the first; what is not there is well.
fn remove_all(pool: &Pool, carriers: &Pool, source: &str) -> Result<()> {
    let (carrier, head) = names(source);
    pool.remove(&head)?;
    remove(carriers, &carrier)?;
    remove(pool, source)
}

fn make(pool: &Pool, carriers: &Pool, source: &str) -> Result<()> {
    let (carrier, head) = names(source);
    pool.create_empty(source, SIZE_BYTES)?;
    let image = need(pool, source)?;
    image.set_metadata(META_SERVER, "doctor")?;
    image.create_snapshot(CARRIER_SNAPSHOT)?;
    let shape = image.shape()?;
    pool.clone_image(source, CARRIER_SNAPSHOT, carriers, &carrier, &shape)?;
    need(carriers, &carrier)?.create_snapshot(CARRIER_SNAPSHOT)?;
    carriers.clone_image(&carrier, CARRIER_SNAPSHOT, pool, &head, &shape)
}

fn remove(pool: &Pool, name: &str) -> Result<()> {
    if let Some(image) = pool.open_name(name, Access::Write)?
        && image.snapshot(CARRIER_SNAPSHOT)?.is_some()
    {
        image.remove_snapshot(CARRIER_SNAPSHOT)?;
    }
    pool.remove(name).map(|_| ())
}

fn need(pool: &Pool, name: &str) -> Result<Image> {
    pool.open_name(name, Access::Write)?.ok_or_else(|| Error::not_found("RBD image", name))
}
