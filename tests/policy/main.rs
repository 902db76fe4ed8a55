//! Policy rules: compared with the Python original, and read from files as operators have them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod files;
mod like_python;
mod server;
