//! What this program is: the mark that whoever signs it reads in it, and that it goes by itself.

use std::hint::black_box;
use std::time::Duration;

use tawi_shared::release::{Mark, Version};

use super::PROVE_WITHIN;

/// The shape in which this agent leaves its store. It grows with a change that the release before could not read: whoever went
/// to such a release could not go back by itself.
pub const STORE_FORMAT: u32 = 1;

macro_rules! target {
    ($($name:literal if $when:meta;)+) => {
        $(#[cfg($when)]
        macro_rules! mark { () => { concat!("tawi-agent-release/", env!("CARGO_PKG_VERSION"), "/", $name, "/1/1-3;") } })+
    };
}

target! {
    "aarch64-linux-gnu" if all(target_arch = "aarch64", target_env = "gnu");
    "aarch64-linux-musl" if all(target_arch = "aarch64", target_env = "musl");
    "x86_64-linux-gnu" if all(target_arch = "x86_64", target_env = "gnu");
    "x86_64-linux-musl" if all(target_arch = "x86_64", target_env = "musl");
    "arm-linux-gnueabihf" if all(target_arch = "arm", target_env = "gnu", target_abi = "eabihf");
    "arm-linux-musleabihf" if all(target_arch = "arm", target_env = "musl", target_abi = "eabihf");
    "arm-linux-gnueabi" if all(target_arch = "arm", target_env = "gnu", not(target_abi = "eabihf"));
    "arm-linux-musleabi" if all(target_arch = "arm", target_env = "musl", not(target_abi = "eabihf"));
    "other" if not(any(
        all(any(target_arch = "aarch64", target_arch = "x86_64", target_arch = "arm"),
            any(target_env = "gnu", target_env = "musl"))
    ));
}

/// Found in the program's file by whoever signs it.
const MARK: &str = mark!();

/// What this program is, and how long it has to prove itself when it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// What it says of itself.
    pub mark: Mark,
    /// See [`PROVE_WITHIN`].
    pub prove_within: Duration,
}

impl Build {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        Self::of(black_box(MARK))
    }

    /// One with this mark; what cannot be read is the oldest there can be, for nothing.
    #[must_use]
    pub fn of(mark: &str) -> Self {
        let nothing = || Mark {
            version: Version::default(),
            target: "other".to_owned(),
            store_format: STORE_FORMAT,
            protocol_oldest: 1,
            protocol_newest: 1,
        };
        Self { mark: Mark::parse(mark).unwrap_or_else(nothing), prove_within: PROVE_WITHIN }
    }
}

#[cfg(test)]
mod tests {
    use tawi_shared::wire::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};

    use super::*;

    #[test]
    fn the_mark_says_what_the_program_is() {
        let mark = Build::this().mark;
        assert_eq!(Mark::parse(MARK), Some(mark.clone()));
        assert_eq!(mark.version.to_string(), env!("CARGO_PKG_VERSION"));
        assert_eq!(mark.store_format, STORE_FORMAT);
        assert_eq!((mark.protocol_oldest, mark.protocol_newest), (PROTOCOL_OLDEST, PROTOCOL_NEWEST));
        assert!(mark.target.contains(std::env::consts::ARCH), "{}", mark.target);
    }
}
