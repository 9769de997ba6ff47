//! What helps whoever may not read or write a file of the agent's. Nobody who is root already is told to become root.

use std::io;

use rustix::process::geteuid;

/// What helps against an error of a file.
#[must_use]
pub fn cure_of(error: &io::Error) -> &'static str {
    cure_for(error.kind(), geteuid().is_root())
}

fn cure_for(kind: io::ErrorKind, is_root: bool) -> &'static str {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space: df -h; journalctl --vacuum-size=50M; apt-get clean"
        }
        io::ErrorKind::PermissionDenied if !is_root => "run it as root (sudo), or as the agent's user",
        _ => "look at the disk: dmesg; findmnt; lsattr",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_not_told_to_become_root() {
        let check = |kind, is_root, words: &str| {
            let cure = cure_for(kind, is_root);
            assert!(cure.contains(words), "{cure}");
            assert!(!(is_root && cure.contains("as root")), "{cure}");
        };
        check(io::ErrorKind::PermissionDenied, false, "as root (sudo)");
        check(io::ErrorKind::PermissionDenied, true, "lsattr");
        check(io::ErrorKind::ReadOnlyFilesystem, false, "findmnt");
        check(io::ErrorKind::StorageFull, true, "free some space");
    }
}
