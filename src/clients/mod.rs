//! The services we call. Only this room names the `openstack` crate.

pub mod compute;
