//! The head gives up the name that Nova expects, another layer takes it: two renames, 0.05 s each, any size.
//!
//! Ceph has no rename of two images at once, so between the renames nobody bears the name. What may happen there:
//! - **we die.** The next call, or the sweep ([`super::takeover::give_back`]), finds nobody under the name and gives it to `next`.
//! - **somebody opens the old head just before the first rename** (an administrator's `server start` passes Nova's lock):
//!   he writes to an image that is being parked. So its watchers are read before, between and after; whoever is found
//!   gets his name back, and the caller a conflict that passes. After the second rename only the *old* head's users
//!   matter: who opens the name then, opens the right disk.
//! - **somebody makes a new image under the name** (Nova's rebuild): the second rename fails with a conflict, and
//!   nothing of his is touched.

use super::image::Access;
use super::naming::{head_name_of, layer_name};
use super::open;
use super::pool::Pool;
use crate::domain::disk::Layer;
use crate::error::{Error, Result};

/// See the module's text. Both layers are addressed by their image ids.
pub(super) fn swap(pool: &Pool, head: &Layer, next: &Layer) -> Result<()> {
    let swap = Swap { pool, head, next, name: head_name_of(head) };
    if head_name_of(next) != swap.name || head.backend_id == next.backend_id {
        return Err(Error::internal(format!("Layers {} and {} are not two layers of one disk.", head.id, next.id)));
    }
    match pool.holder(&swap.name)? {
        Some(id) if id == next.backend_id => swap.settle(),
        Some(id) if id == head.backend_id => swap.exchange(),
        Some(id) => Err(Error::conflict(format!(
            "RBD image {}/{} is image id {id}, which is neither the head ({}) nor the one to take its place ({}).",
            pool.name(),
            swap.name,
            head.backend_id,
            next.backend_id
        ))
        .remedy("Somebody made a new disk for the server (a rebuild); look at it before anything else.")),
        None => swap.finish(),
    }
}

struct Swap<'a> {
    pool: &'a Pool,
    head: &'a Layer,
    next: &'a Layer,
    name: String,
}

impl Swap<'_> {
    /// Both stand where they stood at first.
    fn exchange(&self) -> Result<()> {
        // All that can be wrong is found before anything moves.
        let next = open::need(self.pool, self.next, Access::Read)?;
        let users = next.watchers()?;
        if !users.is_empty() {
            return Err(in_use(&next.label(), &users));
        }
        drop(next);
        let users = self.users_of(self.head)?;
        if !users.is_empty() {
            return Err(in_use(&format!("{}/{}", self.pool.name(), self.name), &users));
        }
        self.pool.rename(&self.head.backend_id, &self.name, &layer_name(self.head.id))?;
        self.finish()
    }

    /// The head is away, nobody bears the name.
    fn finish(&self) -> Result<()> {
        let free = self.users_of(self.head).and_then(|users| {
            if users.is_empty() { Ok(()) } else { Err(in_use(&format!("{}/{}", self.pool.name(), self.name), &users)) }
        });
        let own = layer_name(self.next.id);
        if let Err(error) = free.and_then(|()| self.pool.rename(&self.next.backend_id, &own, &self.name)) {
            return Err(self.give_back(error));
        }
        self.settle()
    }

    /// `next` bears the name: is the old head really left alone?
    fn settle(&self) -> Result<()> {
        let users = self.users_of(self.head)?;
        if users.is_empty() {
            return Ok(());
        }
        let old = format!("{}/{}", self.pool.name(), layer_name(self.head.id));
        let new_users = self.users_of(self.next)?;
        if !new_users.is_empty() {
            // Taking the name from under a running guest would help nobody.
            return Err(Error::conflict(format!(
                "RBD image {old} was opened while it was being parked, and so was its successor {}/{}.",
                self.pool.name(),
                self.name,
            ))
            .detail(format!("{}; {}", users.join(", "), new_users.join(", ")))
            .remedy("Stop the server, then repeat or cancel the operation."));
        }
        let error = in_use(&old, &users);
        match self.pool.rename(&self.next.backend_id, &self.name, &layer_name(self.next.id)) {
            Ok(()) => Err(self.give_back(error)),
            Err(second) => Err(second.context(format!("{error} And the names cannot be given back"))),
        }
    }

    /// The head gets its name back, for the reason given; if that fails, the reason tells both.
    fn give_back(&self, reason: Error) -> Error {
        // An absent head (its row is old) has nothing to get back.
        let back = match open::find(self.pool, self.head, Access::Read) {
            Ok(None) => return reason,
            Ok(Some(_)) => self.pool.rename(&self.head.backend_id, &layer_name(self.head.id), &self.name),
            Err(error) => Err(error),
        };
        match back {
            Ok(()) => reason,
            Err(second) => {
                let text =
                    format!("{reason} And {}/{} did not get its name back ({second})", self.pool.name(), self.name);
                reason.context(text)
            }
        }
    }

    /// Who has a layer open; nobody if it is gone.
    fn users_of(&self, layer: &Layer) -> Result<Vec<String>> {
        open::find(self.pool, layer, Access::Read)?.map_or_else(|| Ok(Vec::new()), |image| image.watchers())
    }
}

fn in_use(label: &str, users: &[String]) -> Error {
    Error::conflict(format!("RBD image {label} is open."))
        .detail(users.join(", "))
        .retryable()
        .remedy("Wait until the server is stopped and nobody has the image open.")
}
