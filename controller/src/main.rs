//! The program `tawi-controller`. Everything that it does is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tawi_controller::cli::run()
}
