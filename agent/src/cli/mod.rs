//! Commands of a technician that take more than a line to answer.
//!
//! Each reads its options, asks the library, and prints. What is decided is in the library.

pub mod adopt;
pub mod doctor;
pub mod router_script;
