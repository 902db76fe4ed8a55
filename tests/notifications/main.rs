//! The listener: what real services have sent, and a real RabbitMQ.
//!
//! The samples were recorded on a real cloud. What needs a broker runs where `RATOON_TEST_BROKER` is the transport URL of one
//! that tests may fill with queues and exchanges of their own (`devstack/broker` starts one); what stops a broker starts its
//! own.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod bench;
mod ear;
mod heard;
mod outages;
mod publisher;
mod samples;
