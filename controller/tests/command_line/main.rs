//! The program `tawi-controller` as a shell and systemd see it.

#[cfg(test)]
mod program;
