//! Commands of a technician that take more than a line to answer.
//!
//! Each reads its options, asks the library, and prints. What is decided is in the library.

pub mod adopt;
pub mod doctor;
pub mod enrol;
pub mod router_add;
pub mod router_script;

use std::io::Write as _;

/// Wrong use, as clap has it.
pub const USAGE: u8 = 2;

/// Beside what a command prints, which may go into a pipe.
pub fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "tawi-agent: {text}");
}
