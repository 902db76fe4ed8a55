//! The services we call. Only this room names the `openstack` crate.

pub mod compute;

tokio::task_local! {
    /// The request in whose name we call others: passed on, so that all logs correlate.
    pub static REQUEST_ID: String;
}
