//! The services we call: Keystone, Nova, Cinder, Glance. Only this room names the `openstack` and `osauth` crates, and
//! it takes from them what they do well: login, catalog, transport. Bodies are our own tolerant structs, because the
//! crates' typed ones refuse a whole list for one volume without a name or one status they have not heard of.
//!
//! - [`session`] who we are: the service user, scoped to its own project or to a customer's;
//! - [`call`](self) every request goes through one place: login, retries, deadlines, errors, tracing;
//! - [`keystone`], [`nova`], [`cinder`], [`glance`] one file a service, [`catalog`] our own entry in Keystone;
//! - [`policy_server`] no service of OpenStack: whom an operator's rules may ask.

mod call;
pub mod catalog;
pub mod cinder;
pub mod compute;
pub mod credentials;
pub mod diagnosis;
mod fault;
mod glance;
pub mod keystone;
pub mod nova;
pub mod policy_server;
mod service;
pub mod session;

pub use cinder::Cinder;
pub use compute::Compute;
pub use credentials::ServiceCredentials;
pub use keystone::{AccessRule, AccessRules, Keystone, TokenFacts};
pub use nova::Nova;
pub use session::{OpenStack, Session};

tokio::task_local! {
    /// The global request id (`req-<uuid>`) of what is being done: sent along with every call, so that the logs of all
    /// services can be read together. Set it with `REQUEST_ID.scope(id, future)`; calls outside a scope send none.
    pub static REQUEST_ID: String;
}

/// The global request id of the running task, if it is one that every service accepts.
fn request_id() -> Option<String> {
    let id = REQUEST_ID.try_with(Clone::clone).ok()?;
    let uuid = id.strip_prefix("req-")?;
    uuid::Uuid::try_parse(uuid).ok().filter(|_| uuid.len() == 36).map(|_| id)
}
