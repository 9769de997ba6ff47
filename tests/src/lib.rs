//! What Tawi's end-to-end tests and its demo are made of: a whole ISP on one machine, and the stories that it plays.
//!
//! Nothing of ours is mocked. The controller and the agents are processes, and the simulators of the outside world
//! speak the true protocols over real sockets. One thing runs in this process instead: `money`, which turns the real controller
//! by hand, a million steps in minutes.

pub mod backhaul;
pub mod broker;
pub mod browser;
pub mod carried;
pub mod disk;
pub mod figures;
pub mod interop;
pub mod life;
pub mod link;
pub mod money;
pub mod month;
pub mod office;
pub mod process;
pub mod replaced;
pub mod seed;
pub mod stories;
pub mod world;
pub mod worlds;
