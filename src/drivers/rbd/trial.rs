//! Whether Ceph lets us do what our work needs: the way of a restored disk, once, with empty images of our own.

use std::sync::Arc;

use super::cluster::Cluster;
use super::connection::Connection;
use super::image::{Access, Image};
use super::naming::{CARRIER_SNAPSHOT, IMAGE_PREFIX, META_SERVER};
use super::pool::Pool;
use crate::error::{Error, Result};
use crate::ids::LayerId;

/// One object's size.
const SIZE_BYTES: u64 = 4 << 20;

/// Makes an image in Nova's pool, a snapshot of it, a clone of that in Glance's pool, and a clone of that one in Nova's pool; then
/// removes them all, also after a failure.
///
/// # Errors
/// What Ceph refuses, naming the pool.
pub async fn try_pools(cluster: &Cluster, pool: &str, glance_pool: &str) -> Result<()> {
    let (pool, glance_pool) = (pool.to_owned(), glance_pool.to_owned());
    cluster.run_briefly("try what the pools allow", move |connection| run(connection, &pool, &glance_pool)).await
}

fn run(connection: &Arc<Connection>, pool: &str, glance_pool: &str) -> Result<()> {
    let (pool, carriers) = (Pool::open(connection, pool)?, Pool::open(connection, glance_pool)?);
    let source = format!("{IMAGE_PREFIX}doctor.{}", LayerId::new());
    let (carrier, head) = (format!("{source}.carrier"), format!("{source}.head"));
    let outcome = make(&pool, &carriers, &source, &carrier, &head);
    let removed = pool.remove(&head).and_then(|_| remove(&carriers, &carrier)).and_then(|()| remove(&pool, &source));
    outcome.and(removed)
}

fn make(pool: &Pool, carriers: &Pool, source: &str, carrier: &str, head: &str) -> Result<()> {
    pool.create_empty(source, SIZE_BYTES)?;
    let image = need(pool, source)?;
    image.set_metadata(META_SERVER, "doctor")?;
    image.create_snapshot(CARRIER_SNAPSHOT)?;
    let shape = image.shape()?;
    pool.clone_image(source, CARRIER_SNAPSHOT, carriers, carrier, &shape)?;
    need(carriers, carrier)?.create_snapshot(CARRIER_SNAPSHOT)?;
    carriers.clone_image(carrier, CARRIER_SNAPSHOT, pool, head, &shape)
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
