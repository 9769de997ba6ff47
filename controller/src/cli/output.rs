//! What commands print: words for people, or one JSON value for programs, never both on standard output.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use super::Failure;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub(super) is_json: bool,
}

impl Output {
    /// Prints the words, or the value.
    pub(super) fn say(self, words: &str, value: &impl Serialize) -> Result<(), Failure> {
        let text = if self.is_json { serde_json::to_string(value)? } else { words.to_owned() };
        match writeln!(io::stdout().lock(), "{text}") {
            // Whoever read it has read enough, as `head` has.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => Ok(printed?),
        }
    }

    /// Tells a person something beside the result.
    pub(super) fn tell(self, words: &str) {
        // A closed standard error is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "{words}");
    }
}

/// Says why a command was not done.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "tawi-controller: {text}");
}

/// Prints help or what is wrong with the command line; help goes to standard output and is no failure.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
