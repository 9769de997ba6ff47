//! The files of the set-up script: the password that the agent and the router share, and the script itself.
//!
//! A password is made here and nowhere else; it is never taken from a command line, which every user of the machine can
//! read. Both files are for their owner alone from the moment they exist. What stands in the script is
//! `router_script/`'s business.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tawi_shared::IdSource;
use thiserror::Error;

use crate::config::{ConfigError, Secret, read_secret_file};

/// 62 letters to the power of 32 are 190 bits, and no script or file has to quote them.
const PASSWORD_LETTERS: usize = 32;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Why a file cannot be had.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be written.
    #[error("{}: cannot be written: {source}\n  cure: run it as a user who may write there, or name another place", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ConfigError),
    /// A console would act on a letter of it.
    #[error("{}: the password holds something else than letters, digits and . _ -, which not every console takes as it is\n  cure: remove the file, and a password is made anew; then paste the script again", .0.display())]
    Letters(PathBuf),
}

/// The password of the file, or a new one that is written there first. `true` when it is new.
///
/// # Errors
/// [`FileError`].
pub fn take_password(path: &Path, ids: &IdSource) -> Result<(Secret, bool), FileError> {
    if !path.exists() {
        let password = make_password(ids);
        write_private(path, &format!("{}\n", password.reveal()), Replacing::Nothing)?;
        return Ok((password, true));
    }
    let password = read_secret_file("router.password_file", path)?;
    if !can_be_pasted(password.reveal()) {
        return Err(FileError::Letters(path.to_path_buf()));
    }
    Ok((password, false))
}

/// Whether a script carries the password to every console as it is.
#[must_use]
pub fn can_be_pasted(password: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !password.is_empty() && password.bytes().all(is_plain)
}

fn make_password(ids: &IdSource) -> Secret {
    let letter = |_| {
        // 2^64 is so many times 62 that what is left over favours nothing that could be noticed.
        let at = usize::try_from(ids.number() % 62).unwrap_or_default();
        char::from(ALPHABET.get(at).copied().unwrap_or(b'A'))
    };
    Secret::new((0..PASSWORD_LETTERS).map(letter).collect::<String>())
}

/// What a file may take the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replacing {
    /// Nothing: a password that is there is in use.
    Nothing,
    /// An earlier one.
    Earlier,
}

/// Writes a file that only its owner may read, whole or not at all.
///
/// # Errors
/// [`FileError::Write`].
pub fn write_private(path: &Path, text: &str, replacing: Replacing) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_path_buf(), source };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = path.with_file_name(name);
    // What an earlier try left there may be readable for others.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    match replacing {
        Replacing::Earlier => std::fs::rename(&beside, path).map_err(failed)?,
        // A link is refused where something stands already; a rename would put it away.
        Replacing::Nothing => {
            let linked = std::fs::hard_link(&beside, path);
            let _ = std::fs::remove_file(&beside);
            linked.map_err(failed)?;
        }
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all()).map_err(failed)
}

/// The address from which this machine would speak to the router. Nothing is sent.
#[must_use]
pub fn own_address_towards(router: Ipv4Addr, port: u16) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(SocketAddr::from((router, port))).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_unspecified() => Some(address),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tawi-script-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_password_is_made_once_and_is_for_its_owner_alone() {
        let directory = Directory::new("password");
        let path = directory.0.join("core.password");
        let (first, is_new) = take_password(&path, &IdSource::seeded(7)).unwrap();
        assert!(is_new && first.reveal().len() == PASSWORD_LETTERS);
        assert!(first.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (again, is_new) = take_password(&path, &IdSource::seeded(8)).unwrap();
        assert!(!is_new && again == first);
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_password_that_a_console_would_act_on_is_refused_with_the_cure() {
        let directory = Directory::new("letters");
        let path = directory.0.join("core.password");
        write_private(&path, "what?$x\n", Replacing::Earlier).unwrap();
        let error = take_password(&path, &IdSource::seeded(7)).unwrap_err().to_string();
        assert!(error.contains("cure: ") && !error.contains("what?"), "{error}");
    }

    #[test]
    fn a_script_that_took_the_place_of_a_readable_one_is_not_readable() {
        let directory = Directory::new("output");
        let path = directory.0.join("core.rsc");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(write_private(&path, "new", Replacing::Nothing).is_err());
        write_private(&path, "new", Replacing::Earlier).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_private(&directory.0.join("no/core.rsc"), "new", Replacing::Earlier).is_err());
    }

    #[test]
    fn the_machine_knows_from_where_it_speaks_to_itself() {
        assert_eq!(own_address_towards(Ipv4Addr::LOCALHOST, 8729), Some(Ipv4Addr::LOCALHOST));
    }
}
