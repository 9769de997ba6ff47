//! The half of the agent that faces routers, against a simulated router on real sockets.
//!
//! Nothing of ours is replaced: the client, the reconciler and the counting run as in production, and every promise is
//! checked on the router's side (its rows, its sessions, the writes that it saw) as well as in what was reported.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on stops; clippy's own exception knows only functions marked as tests"
)]

mod added;
mod api_log;
mod chaos;
mod console;
mod examined;
mod faults;
mod fixed;
mod foreign;
mod guard;
mod hotspot;
mod latency;
mod lines;
mod names;
mod native;
mod orders;
mod prepared;
mod profiles;
mod releases;
mod restarts;
mod restraints;
mod site;
mod steady;
mod unkept;
mod usage;
