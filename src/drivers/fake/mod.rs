//! A cloud in memory: servers, two kinds of disks with real bytes, and planned faults. For tests, and for trying things out.
//!
//! [`FakeCloud`] plays Nova ([`Compute`](crate::clients::compute::Compute)) and gives out two drivers: [`named`] disks take
//! their place by their name, as images in a Ceph pool do; [`attached`] disks are volumes that Nova attaches, as Cinder's.
//! Where it matters they behave like the real ones: quotas, attachment order, locks that stop the owner but not us, request
//! ids, guests that write once more while they stop. What others do to the cloud (owner, guest, another administrator) is in
//! [`owner`] and [`removal`]; what goes wrong is in [`faults`]; [`dump`] prints all there is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock;
use crate::drivers::SnapshotDriver;
use crate::error::{Error, Result};

pub mod attached;
pub mod compute;
pub mod dump;
pub mod faults;
pub mod named;
pub mod owner;
pub mod removal;
mod state;

use faults::{Fault, Harm, When};
use state::State;
pub use state::{ATTACHED, NAMED, OUR_USER, SECTORS, scribble};

/// See the module's text. Cheap to clone; all clones are one cloud.
#[derive(Clone, Default)]
pub struct FakeCloud {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    died: Notify,
}

/// Where the fake cloud pretends to be: permanent faults name it for the log, and no caller may read it.
pub const ADDRESS: &str = "10.0.0.9:6789";

impl FakeCloud {
    /// An empty cloud.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another cloud that is as this one is now; from here on they go their own ways.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state().clone();
        Self { inner: Arc::new(Inner { state: Mutex::new(state), died: Notify::new() }) }
    }

    /// The driver of disks that take their place by name.
    #[must_use]
    pub fn named(&self) -> Arc<dyn SnapshotDriver> {
        Arc::new(named::Named::new(self.clone()))
    }

    /// The driver of disks that Nova attaches.
    #[must_use]
    pub fn attached(&self) -> Arc<dyn SnapshotDriver> {
        Arc::new(attached::Attached::new(self.clone()))
    }

    /// Ends when a call met [`Harm::Death`]: whoever runs the engine drops it then.
    pub async fn died(&self) {
        self.inner.died.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One outside call: counted, and harmed if that was planned. Others get their turn before and after its effect.
    async fn call<T>(&self, name: &'static str, act: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        tokio::task::yield_now().await;
        let fault = self.state().faults.meet(name);
        if let Some(Fault { when: When::Before, harm, .. }) = &fault {
            self.suffer(name, *harm).await?;
        }
        let answer = act(&mut self.state())?;
        if let Some(Fault { when: When::After, harm, .. }) = &fault {
            self.suffer(name, *harm).await?;
        }
        tokio::task::yield_now().await;
        Ok(answer)
    }

    async fn suffer(&self, name: &str, harm: Harm) -> Result<()> {
        match harm {
            Harm::Temporary => Err(Error::unavailable(format!("The fake cloud does not answer {name} now."))),
            Harm::Permanent => Err(Error::backend(format!("The fake cloud refuses {name}."))
                .detail(ADDRESS)
                .remedy("Pick another cloud.")),
            Harm::Missing => Err(Error::not_found("The object of", name)),
            Harm::Death => {
                self.inner.died.notify_one();
                std::future::pending().await
            }
            Harm::WhilePaused(server) => {
                while self.state().is_paused(server) {
                    clock::sleep(std::time::Duration::from_millis(1)).await;
                }
                Ok(())
            }
            Harm::NovaImages(server) => {
                self.owner_create_image(server)?;
                self.snapshot_for_image(server);
                Ok(())
            }
        }
    }
}
