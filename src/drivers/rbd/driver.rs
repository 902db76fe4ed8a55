//! [`RbdDriver`]: disks that Nova keeps in Ceph, behind the trait that all drivers share. The acts are in the files
//! beside this one; here is which pool, which thread, and who may be waited for.

use std::sync::Arc;

use async_trait::async_trait;

use super::cluster::{Cluster, RbdConfig};
use super::connection::Connection;
pub use super::discover::HeadImage;
use super::image::Access;
use super::pool::Pool;
use super::prepare::{self, Wanted, discard, purge};
use super::{discover, flatten, open, snapshot, swap, takeover};
use crate::clock;
use crate::domain::disk::{Found, Layer, Placement};
use crate::domain::quota::Quota;
use crate::domain::server::ServerFacts;
use crate::drivers::{Call, Capabilities, Captured, Label, NewLayer, SnapshotDriver, Source, StandIn};
use crate::error::Result;
use crate::ids::{DiskSnapshotId, LayerId};

/// The driver's name in rows and messages.
pub const NAME: &str = "rbd";

/// What the driver must know.
#[derive(Debug, Clone)]
pub struct RbdDriverConfig {
    /// How to reach Ceph.
    pub cluster: RbdConfig,
    /// Nova's pool (`images_rbd_pool`): `vms`.
    pub pool: String,
    /// Glance's pool: where carriers go for heads whose own parent does not tell. `None`: such heads are cloned
    /// without a carrier.
    pub glance_pool: Option<String>,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct RbdDriver {
    cluster: Cluster,
    pool: String,
    glance_pool: Option<String>,
}

impl RbdDriver {
    /// A driver that connects at its first call.
    #[must_use]
    pub fn new(config: RbdDriverConfig) -> Self {
        Self { cluster: Cluster::new(config.cluster), pool: config.pool, glance_pool: config.glance_pool }
    }

    /// All heads in Nova's pool that snapshots cover, in one listing: what the sweep compares with the rows.
    ///
    /// # Errors
    /// `Unavailable` if Ceph does not answer.
    pub async fn heads(&self) -> Result<Vec<HeadImage>> {
        let pool = self.pool.clone();
        self.cluster
            .run_briefly("list the heads", move |connection| discover::heads(&Pool::open(connection, &pool)?))
            .await
    }

    fn pool_of(&self, layer: &Layer) -> String {
        if layer.pool.is_empty() { self.pool.clone() } else { layer.pool.clone() }
    }

    /// In which pool the carriers of a layer's snapshots stand; `None` where heads need none.
    fn carrier_pool_of(&self, layer: &Layer) -> Option<String> {
        let own = self.pool_of(layer);
        // A parent in Nova's own pool is a snapshot that a head was cloned from without a carrier: no sign of Glance.
        let parent = layer.facts.parent_pool.clone().filter(|pool| *pool != own);
        parent.or_else(|| self.glance_pool.clone()).filter(|pool| *pool != own)
    }

    /// See [`prepare::leftovers`].
    async fn clear_new(&self, pool: String, id: LayerId) -> Result<()> {
        let in_pool = pool.clone();
        let look = move |connection: &_| Ok(prepare::leftovers(&Pool::open(connection, &in_pool)?, id)?.is_empty());
        if self.cluster.run("look at a new RBD image", look).await? {
            return Ok(());
        }
        self.cluster
            .run_apart("clear an RBD image", move |connection| prepare::clear(&Pool::open(connection, &pool)?, id))
            .await
    }
}

fn open_all(connection: &Arc<Connection>, pool: &str, carriers: Option<&str>) -> Result<(Pool, Option<Pool>)> {
    Ok((
        Pool::open(connection, pool)?,
        match carriers {
            Some(name) => Some(Pool::open(connection, name)?),
            None => None,
        },
    ))
}

#[async_trait]
impl SnapshotDriver for RbdDriver {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { placement: Placement::Named, clones_may_hold_snapshots: false, copies: true }
    }

    async fn discover(&self, server: &ServerFacts) -> Result<Found> {
        let (pool, server) = (self.pool.clone(), server.clone());
        self.cluster
            .run_briefly("look for a server's disks in Ceph", move |connection| {
                discover::discover(&Pool::open(connection, &pool)?, NAME, &server)
            })
            .await
    }

    async fn capture(&self, _call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<Captured> {
        let (pool, layer) = (self.pool_of(layer), layer.clone());
        self.cluster
            .run_briefly("take an RBD snapshot", move |connection| {
                snapshot::capture(&Pool::open(connection, &pool)?, &layer, id)
            })
            .await
    }

    async fn remove_snapshot(&self, _call: &Call, layer: &Layer, id: DiskSnapshotId) -> Result<()> {
        let (pool, carriers, layer) = (self.pool_of(layer), self.carrier_pool_of(layer), layer.clone());
        self.cluster
            .run_briefly("remove an RBD snapshot", move |connection| {
                let (pool, carriers) = open_all(connection, &pool, carriers.as_deref())?;
                snapshot::remove(&pool, carriers.as_ref(), &layer, id)
            })
            .await
    }

    async fn prepare(&self, call: &Call, source: Source<'_>, new: &NewLayer) -> Result<String> {
        let (pool, carriers) = (self.pool_of(source.layer), self.carrier_pool_of(source.layer));
        let wanted = Wanted {
            layer: source.layer.clone(),
            origin: source.origin,
            snapshot_id: source.backend_id.to_owned(),
            new: new.clone(),
            operation_id: call.operation_id,
        };
        self.cluster
            .run("prepare an RBD image", move |connection| {
                let (pool, carriers) = open_all(connection, &pool, carriers.as_deref())?;
                prepare::prepare(&pool, carriers.as_ref(), &wanted)
            })
            .await
    }

    async fn discard(&self, _call: &Call, source: Source<'_>, new: &NewLayer) -> Result<()> {
        let (pool, carriers) = (self.pool_of(source.layer), self.carrier_pool_of(source.layer));
        let (origin, new) = (source.origin, new.id);
        self.clear_new(pool.clone(), new).await?;
        self.cluster
            .run("discard an RBD image", move |connection| {
                let (pool, carriers) = open_all(connection, &pool, carriers.as_deref())?;
                discard(&pool, carriers.as_ref(), origin, new)
            })
            .await
    }

    /// Nobody but operators can write to a parked image.
    async fn purge(&self, _call: &Call, layer: &Layer, origin: Option<DiskSnapshotId>) -> Result<bool> {
        let (pool, carriers, layer) = (self.pool_of(layer), self.carrier_pool_of(layer), layer.clone());
        self.clear_new(pool.clone(), layer.id).await?;
        self.cluster
            .run("purge an RBD image", move |connection| {
                let (pool, carriers) = open_all(connection, &pool, carriers.as_deref())?;
                purge(&pool, carriers.as_ref(), &layer, origin).map(|()| true)
            })
            .await
    }

    async fn exists(&self, layer: &Layer) -> Result<bool> {
        let (pool, layer) = (self.pool_of(layer), layer.clone());
        self.cluster
            .run_briefly("look for an RBD image", move |connection| {
                Ok(open::find(&Pool::open(connection, &pool)?, &layer, Access::Read)?.is_some())
            })
            .await
    }

    async fn used_bytes(&self, layer: &Layer) -> Result<u64> {
        let (pool, layer) = (self.pool_of(layer), layer.clone());
        self.cluster
            .run_briefly("measure an RBD image", move |connection| {
                let pool = Pool::open(connection, &pool)?;
                open::find(&pool, &layer, Access::Read)?.map_or(Ok(0), |image| image.used_bytes())
            })
            .await
    }

    async fn flatten_cost(&self, layer: &Layer) -> Result<Option<u64>> {
        let (pool, layer) = (self.pool_of(layer), layer.clone());
        self.cluster
            .run_briefly("measure an RBD image", move |connection| {
                flatten::cost(connection, &Pool::open(connection, &pool)?, &layer)
            })
            .await
    }

    async fn flatten(&self, layer: &Layer) -> Result<()> {
        let (pool, carriers, layer) = (self.pool_of(layer), self.carrier_pool_of(layer), layer.clone());
        self.clear_new(pool.clone(), layer.id).await?;
        self.cluster
            .run("flatten an RBD image", move |connection| {
                let (pool, carriers) = open_all(connection, &pool, carriers.as_deref())?;
                flatten::flatten(connection, &pool, carriers.as_ref(), &layer)
            })
            .await
    }

    async fn clear(&self, layer: &Layer) -> Result<()> {
        self.clear_new(self.pool_of(layer), layer.id).await
    }

    async fn users(&self, layer: &Layer) -> Result<Vec<String>> {
        let (pool, layer) = (self.pool_of(layer), layer.clone());
        self.cluster
            .run_briefly("ask who has an RBD image open", move |connection| {
                open::need(&Pool::open(connection, &pool)?, &layer, Access::Read)?.watchers()
            })
            .await
    }

    async fn swap(&self, _call: &Call, head: &Layer, next: &Layer) -> Result<()> {
        let (pool, head, next) = (self.pool_of(head), head.clone(), next.clone());
        // One act, and never given up half way: the two renames belong together.
        self.cluster
            .run("swap two RBD images", move |connection| swap::swap(&Pool::open(connection, &pool)?, &head, &next))
            .await
    }

    async fn label(&self, _call: &Call, layer: &Layer, label: Label<'_>) -> Result<String> {
        let (pool, layer) = (self.pool_of(layer), layer.clone());
        let when = (label != Label::InUse).then(|| clock::now().to_rfc3339());
        self.cluster
            .run_briefly("label an RBD image", move |connection| {
                snapshot::label(&Pool::open(connection, &pool)?, &layer, when.as_deref())
            })
            .await?;
        // Nothing of RBD changes with every write; `equals` looks at the bytes' own history instead.
        Ok(String::new())
    }

    async fn equals(&self, layer: &Layer, source: Source<'_>) -> Result<bool> {
        let (pool, origin) = (self.pool_of(layer), source.origin);
        let carriers = self.carrier_pool_of(source.layer);
        let (layer, source) = (layer.clone(), source.layer.clone());
        if self.pool_of(&source) != pool {
            return Ok(false);
        }
        // A caller of the API waits for this; no answer is an error, never a difference.
        self.cluster
            .run_briefly("compare an RBD image with its snapshot", move |connection| {
                let (pool, carriers) = open_all(connection, &pool, carriers.as_deref())?;
                if source.id == layer.id {
                    snapshot::equals(&pool, &layer, origin)
                } else {
                    snapshot::equals_origin(&pool, carriers.as_ref(), &layer, &source, origin)
                }
            })
            .await
    }

    async fn quota(&self, _project_id: &str) -> Result<Option<Quota>> {
        Ok(None)
    }

    async fn missing_heads(&self, heads: &[Layer]) -> Result<Vec<Layer>> {
        if heads.is_empty() {
            return Ok(vec![]);
        }
        let there = self.heads().await?;
        let carried =
            |layer: &Layer| there.iter().any(|head| head.server_id == layer.server_id && head.key == layer.key);
        Ok(heads.iter().filter(|layer| !carried(layer)).cloned().collect())
    }

    async fn take_over(&self, head: &Layer, stand_in: StandIn) -> Result<bool> {
        let (pool, layer) = (self.pool_of(head), head.clone());
        self.cluster
            .run("take a head over", move |connection| {
                takeover::take_over(&Pool::open(connection, &pool)?, &layer, stand_in)
            })
            .await
    }

    async fn bearer(&self, head: &Layer) -> Result<Option<String>> {
        let (pool, layer) = (self.pool_of(head), head.clone());
        self.cluster
            .run_briefly("ask who bears a head's name", move |connection| {
                takeover::bearer(&Pool::open(connection, &pool)?, &layer)
            })
            .await
    }

    async fn heal_head(&self, head: &Layer) -> Result<bool> {
        let (pool, layer) = (self.pool_of(head), head.clone());
        self.cluster
            .run("heal a head", move |connection| takeover::give_back(&Pool::open(connection, &pool)?, &layer))
            .await
    }
}
