//! The RBD driver against a real Ceph.
//!
//! Runs where `RATOON_TEST_CEPH_CONF` names a configuration file with keyrings for `client.admin` (the `rbd` and `ceph`
//! commands) and for `client.$RATOON_TEST_CEPH_USER` (the driver; `ratoon` if not set), and where the pools `vms` and
//! `images` exist. Each test makes images under ids of its own and removes them: nothing else in the pools is touched.

mod bench;
mod discover;
mod faults;
mod flatten;
mod prepare;
mod snapshot;
mod swap;
mod takeover;
mod trial;
