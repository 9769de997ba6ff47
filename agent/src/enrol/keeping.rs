//! How an identity is put on flash so that a power cut at any step leaves the old one or the new one whole.
//!
//! ```text
//! agent.key.new         the key of an enrolment whose answer is still to come: asked with again, head office knows it
//! identity.new/         the next identity, file by file, each synced ──exchange──▶ identity/
//! identity.lock         held while one of these is written: the running agent and a person do not do it at once
//! ```
//!
//! Four files cannot be replaced at once, and one directory can: the next identity is whole before it takes the place of
//! the last. Where a file system cannot exchange two names, the last one is moved aside first, and counts until the next is
//! there (`config/identity.rs`). Run as root, everything is given to whoever owns the state directory.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown, lchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::geteuid;
use tawi_shared::SiteId;
use thiserror::Error;
use zeroize::Zeroizing;

use super::answer::Issued;
use super::key::{AgentKey, KeyError};
use crate::config::{CA_FILE, CERTIFICATE_FILE, FORMER_IDENTITY, IDENTITY, KEY_FILE, SETTINGS_FILE};
use crate::rights;

/// The user that the packaged unit runs the agent as.
const SERVICE_USER: &str = "tawi-agent";
const USERS: &str = "/etc/passwd";
const NEXT: &str = "identity.new";
const PENDING_KEY: &str = "agent.key.new";
const LOCK: &str = "identity.lock";
/// A key of ours is 241 bytes.
const KEY_BYTES: u64 = 16 * 1_024;

/// Why nothing could be kept. What was there before is as it was.
#[derive(Debug, Error)]
pub enum KeepError {
    /// The system refuses.
    #[error("{}: cannot {operation}: {source}\n  cure: {}", path.display(), cure_of(source))]
    Refused {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process writes an identity at this moment.
    #[error("another enrolment or renewal is at work in {}\n  cure: wait until it has ended, and try again", .0.display())]
    Busy(PathBuf),
    /// No key can be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

fn cure_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => rights::cure_of(error),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space: journalctl --vacuum-size=50M; apt-get clean; then repeat it with the same ticket"
        }
        _ => "look at the disk: dmesg; findmnt; then repeat it with the same ticket",
    }
}

/// What becomes the identity.
pub struct Next<'n> {
    /// Which site.
    pub site: &'n SiteId,
    /// Its key.
    pub key: &'n AgentKey,
    /// What head office answered.
    pub issued: &'n Issued,
}

/// The state directory, for whoever writes the identity. The lock ends with it.
#[derive(Debug)]
pub struct Place {
    directory: PathBuf,
    /// Given to these, where we are root.
    owner: Option<(u32, u32)>,
    _lock: File,
}

impl Place {
    /// Makes the state directory if need be, and locks the identity in it.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn take(directory: &Path) -> Result<Self, KeepError> {
        let refused = |operation, path: &Path, source| KeepError::Refused {
            operation,
            path: path.to_path_buf(),
            source,
        };
        let is_root = geteuid().is_root();
        if !directory.exists() {
            make_directory(directory, is_root).map_err(|source| refused("make it", directory, source))?;
        }
        let metadata = fs::metadata(directory).map_err(|source| refused("look at it", directory, source))?;
        let owner = is_root.then(|| (metadata.uid(), metadata.gid()));
        let path = directory.join(LOCK);
        let lock = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&path)
            .and_then(|file| give(&file, owner).map(|()| file))
            .map_err(|source| refused("make it", &path, source))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { directory: directory.to_path_buf(), owner, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(KeepError::Busy(directory.to_path_buf())),
            Err(TryLockError::Error(source)) => Err(refused("lock it", &path, source)),
        }
    }

    /// The key of an enrolment that did not hear its answer. One that cannot be used is as none.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn pending_key(&self) -> Result<Option<AgentKey>, KeepError> {
        read_key(&self.directory.join(PENDING_KEY))
    }

    /// Puts the key on flash before anybody is asked with it.
    ///
    /// # Errors
    /// [`KeepError`].
    pub fn keep_pending(&self, key: &AgentKey) -> Result<(), KeepError> {
        let path = self.directory.join(PENDING_KEY);
        let beside = self.directory.join(format!("{PENDING_KEY}.part"));
        let written = remove_file(&beside)
            .and_then(|()| self.write_new(&beside, key.to_pem().as_bytes(), 0o600))
            .and_then(|()| fs::rename(&beside, &path))
            .and_then(|()| sync(&self.directory));
        written.map_err(|source| KeepError::Refused { operation: "write it", path, source })
    }

    /// Makes this the identity.
    ///
    /// # Errors
    /// [`KeepError`]; the identity is the old one then, or the new one already, and whole.
    pub fn keep(&self, next: &Next<'_>) -> Result<(), KeepError> {
        self.keep_by(next, Way::Exchange, &mut |_| Ok(()))
    }

    /// `before` is asked before each step, and ends it there if it fails: so tests cut the power.
    fn keep_by(
        &self,
        next: &Next<'_>,
        way: Way,
        before: &mut dyn FnMut(&'static str) -> io::Result<()>,
    ) -> Result<(), KeepError> {
        let [new, own, former] = [NEXT, IDENTITY, FORMER_IDENTITY].map(|name| self.directory.join(name));
        let mut step = |operation: &'static str, path: &Path, act: &mut dyn FnMut() -> io::Result<()>| {
            let done = before(operation).and_then(|()| act());
            done.map_err(|source| KeepError::Refused { operation, path: path.to_path_buf(), source })
        };
        step("remove what was left", &new, &mut || remove_directory(&new))?;
        step("make it", &new, &mut || {
            DirBuilder::new().mode(0o700).create(&new)?;
            give_directory(&new, self.owner)
        })?;
        let settings = settings_of(next);
        let key = next.key.to_pem();
        let files = [
            (KEY_FILE, key.as_str(), 0o600),
            (CERTIFICATE_FILE, &next.issued.certificate, 0o600),
            (CA_FILE, &next.issued.authority, 0o644),
            (SETTINGS_FILE, &settings, 0o644),
        ];
        for (name, text, mode) in files {
            let path = new.join(name);
            step("write it", &path, &mut || self.write_new(&path, text.as_bytes(), mode))?;
        }
        step("sync it", &new, &mut || sync(&new))?;
        let is_replaced = own.symlink_metadata().is_ok();
        let has_exchanged = is_replaced && way == Way::Exchange && {
            let mut is_able = true;
            step(
                "exchange it",
                &own,
                &mut || match renameat_with(CWD, &new, CWD, &own, RenameFlags::EXCHANGE) {
                    // Not every file system can.
                    Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                        is_able = false;
                        Ok(())
                    }
                    outcome => Ok(outcome?),
                },
            )?;
            is_able
        };
        if !has_exchanged {
            if is_replaced {
                step("remove what was left", &former, &mut || remove_directory(&former))?;
                step("move it aside", &own, &mut || fs::rename(&own, &former))?;
            }
            step("put it in place", &own, &mut || fs::rename(&new, &own))?;
        }
        step("sync it", &self.directory, &mut || sync(&self.directory))?;
        // From here on the new one is in force; what is left is put away, and by the next one if not by us.
        let pending = self.directory.join(PENDING_KEY);
        // A renewal must not take away the key of an enrolment that is still without its answer.
        let is_used = |found: AgentKey| found.public_key() == next.key.public_key();
        if self.pending_key()?.is_none_or(is_used) {
            step("remove it", &pending, &mut || remove_file(&pending))?;
        }
        step("remove what was left", &new, &mut || remove_directory(&new))?;
        step("remove what was left", &former, &mut || remove_directory(&former))?;
        step("sync it", &self.directory, &mut || sync(&self.directory))
    }

    /// A file that was not there, on flash when this returns, and for its owner to change alone.
    fn write_new(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        give(&file, self.owner)?;
        file.write_all(bytes)?;
        file.sync_all()
    }
}

/// How the next identity takes the place of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Both names at once, where the file system can.
    Exchange,
    /// One after the other, as where it cannot.
    #[cfg(test)]
    Aside,
}

/// The key in a file; `None` where there is none, or one that cannot be used.
///
/// # Errors
/// [`KeepError`] where it is there and cannot be read.
pub fn read_key(path: &Path) -> Result<Option<AgentKey>, KeepError> {
    let refused = |source| KeepError::Refused { operation: "read it", path: path.to_path_buf(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(error)),
        Ok(metadata) if metadata.len() > KEY_BYTES => return Ok(None),
        Ok(_) => {}
    }
    let pem = Zeroizing::new(fs::read(path).map_err(refused)?);
    Ok(AgentKey::from_pem(&pem).ok())
}

/// Neither a site nor an address that was checked has a character that TOML would act on.
fn settings_of(next: &Next<'_>) -> String {
    let listed = |addresses: &[String]| {
        addresses.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ")
    };
    let brokers = match next.issued.brokers.as_slice() {
        [] => String::new(),
        brokers => format!("brokers = [{}]\n", listed(brokers)),
    };
    let release_key = match &next.issued.release_key {
        None => String::new(),
        Some(key) => format!("release_key = \"{}\"\n", key.to_text()),
    };
    format!(
        "# Written when this device was enrolled or its certificate renewed; what agent.toml names wins over it.\n\
         site = \"{}\"\naddresses = [{}]\n{brokers}{release_key}",
        next.site,
        listed(&next.issued.addresses),
    )
}

fn make_directory(directory: &Path, is_root: bool) -> io::Result<()> {
    if let Some(above) = directory.parent() {
        fs::create_dir_all(above)?;
    }
    DirBuilder::new().mode(0o700).create(directory)?;
    let users = if is_root { fs::read_to_string(USERS).unwrap_or_default() } else { String::new() };
    give_directory(directory, user_in(&users, SERVICE_USER))
}

/// User and group of a name in a file of the form of `/etc/passwd` (`man 5 passwd`).
fn user_in(users: &str, wanted: &str) -> Option<(u32, u32)> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        fields.next().filter(|name| *name == wanted)?;
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

fn give(file: &File, owner: Option<(u32, u32)>) -> io::Result<()> {
    owner.map_or(Ok(()), |(user, group)| fchown(file, Some(user), Some(group)))
}

/// To whom files of the agent belong that are written for it; `None` where only root could give them away.
#[must_use]
pub fn owner_for(state_directory: &Path) -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let there = fs::metadata(state_directory).ok().map(|metadata| (metadata.uid(), metadata.gid()));
    there.or_else(|| user_in(&fs::read_to_string(USERS).unwrap_or_default(), SERVICE_USER))
}

/// A link that somebody put in its place is given, and not what it leads to.
fn give_directory(directory: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    owner.map_or(Ok(()), |(user, group)| lchown(directory, Some(user), Some(group)))
}

fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default()
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn remove_file(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

fn remove_directory(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use tawi_shared::{IdSource, UnixMillis};

    use super::*;
    use crate::config::Identity;

    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("tawi-identity-{}", IdSource::system().hex(6)));
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn issued(word: &str) -> Issued {
        Issued {
            certificate: format!("certificate {word}"),
            authority: format!("authority {word}"),
            addresses: vec![format!("{word}.example:8883"), "[2001:db8::1]:443".to_owned()],
            brokers: vec![format!("mq.{word}.example:8883")],
            release_key: Some(key_of(word)),
            not_before: UnixMillis(0),
            not_after: UnixMillis(1),
        }
    }

    fn key_of(word: &str) -> tawi_shared::release::ReleaseKey {
        let seed = [u8::try_from(word.len()).unwrap(); 32];
        tawi_shared::release::SigningKey::from_seed(&seed).unwrap().public()
    }

    fn keep(place: &Place, word: &str, key: &AgentKey, way: Way, fails_at: usize) -> Result<(), KeepError> {
        let (site, issued) = (SiteId::parse(word).unwrap(), issued(word));
        let mut steps = 0;
        place.keep_by(&Next { site: &site, key, issued: &issued }, way, &mut |_| {
            steps += 1;
            if steps > fails_at { Err(io::Error::other("the power is gone")) } else { Ok(()) }
        })
    }

    /// The site of the identity, all of whose files must be of one piece.
    fn whole(directory: &Path, keys: &[(&str, &AgentKey)]) -> Option<String> {
        let identity = Identity::load(directory).unwrap()?;
        let word = identity.site.as_str();
        let expected = issued(word);
        let text = |name| fs::read_to_string(identity.file(name)).unwrap();
        assert_eq!(text(CERTIFICATE_FILE), expected.certificate);
        assert_eq!(text(CA_FILE), expected.authority);
        assert_eq!((&identity.addresses, &identity.brokers), (&expected.addresses, &expected.brokers));
        let (_, key) = keys.iter().find(|(known, _)| *known == word).unwrap();
        let found = read_key(&identity.file(KEY_FILE)).unwrap().unwrap();
        assert_eq!(found.public_key(), key.public_key());
        let mode = fs::metadata(identity.file(KEY_FILE)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        Some(word.to_owned())
    }

    #[test]
    fn a_power_cut_at_any_step_leaves_an_identity_that_is_whole_and_another_try_ends_it() {
        let (old, new) = (AgentKey::generate().unwrap(), AgentKey::generate().unwrap());
        let keys = [("old", &old), ("new", &new)];
        for way in [Way::Exchange, Way::Aside] {
            for begins_with in [None, Some("old")] {
                let mut seen = Vec::new();
                for fails_at in 0.. {
                    let directory = Directory::new();
                    let place = Place::take(&directory.0).unwrap();
                    if begins_with.is_some() {
                        keep(&place, "old", &old, way, usize::MAX).unwrap();
                    }
                    place.keep_pending(&new).unwrap();
                    let outcome = keep(&place, "new", &new, way, fails_at);
                    let found = whole(&directory.0, &keys);
                    let is_new = found.as_deref() == Some("new");
                    assert!(is_new || found.as_deref() == begins_with, "{way:?} {fails_at}: {found:?}");
                    assert!(outcome.is_err() || is_new);
                    // Until the new one is in force the key that was asked with is still known.
                    let pending = place.pending_key().unwrap().map(|key| key.public_key());
                    assert!(is_new || pending == Some(new.public_key()), "{way:?} {fails_at}");
                    keep(&place, "new", &new, way, usize::MAX).unwrap();
                    assert_eq!(whole(&directory.0, &keys).as_deref(), Some("new"), "{way:?} {fails_at}");
                    let mut left: Vec<_> =
                        fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
                    left.sort();
                    assert_eq!(left, [IDENTITY, LOCK], "{way:?} {fails_at}: nothing is left over");
                    seen.push(is_new);
                    if outcome.is_ok() {
                        break;
                    }
                }
                assert!(seen.len() > 10, "{} steps", seen.len());
                assert!(seen.is_sorted(), "once it is the new one it stays so: {seen:?}");
            }
        }
    }

    #[test]
    fn the_state_directory_is_made_for_its_owner_alone_and_one_at_a_time_writes_in_it() {
        let directory = Directory::new();
        let place = Place::take(&directory.0).unwrap();
        let mode = fs::metadata(&directory.0).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700);
        let busy = Place::take(&directory.0).unwrap_err();
        assert!(matches!(busy, KeepError::Busy(_)) && busy.to_string().contains("cure: "), "{busy}");
        drop(place);
        let place = Place::take(&directory.0).unwrap();
        assert!(place.pending_key().unwrap().is_none());
        fs::write(directory.0.join(PENDING_KEY), "nonsense").unwrap();
        assert!(place.pending_key().unwrap().is_none(), "one that cannot be used is as none");
    }

    #[test]
    fn whoever_the_service_runs_as_is_read_from_the_list_of_users() {
        let users = "root:x:0:0:root:/:/bin/sh\ntawi-agent:x:991:990:Tawi:/var/lib/tawi-agent:/usr/sbin/nologin\nbad:x:a:b\n";
        assert_eq!(user_in(users, "tawi-agent"), Some((991, 990)));
        assert_eq!(user_in(users, "tawi"), None);
        assert_eq!(user_in(users, "bad"), None);
    }

    /// Only where the tests run as root can files be given away; whoever runs them otherwise says that he does without.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "only whoever runs the tests knows whether this is accepted"
    )]
    fn what_root_writes_belongs_to_whoever_owns_the_state_directory() {
        if !geteuid().is_root() {
            assert!(
                std::env::var_os("TAWI_WITHOUT_ROOT").is_some_and(|value| value == "1"),
                "to whom files are given was not tried, which only root can\n  cure: run the tests as root, or set TAWI_WITHOUT_ROOT=1 to do without"
            );
            eprintln!("SKIPPED, as TAWI_WITHOUT_ROOT=1 says: giving files away needs root");
            return;
        }
        let directory = Directory::new();
        fs::create_dir(&directory.0).unwrap();
        std::os::unix::fs::chown(&directory.0, Some(54_321), Some(54_322)).unwrap();
        let place = Place::take(&directory.0).unwrap();
        let key = AgentKey::generate().unwrap();
        place.keep_pending(&key).unwrap();
        let owner = |path: &Path| (fs::metadata(path).unwrap().uid(), fs::metadata(path).unwrap().gid());
        assert_eq!(owner(&directory.0.join(PENDING_KEY)), (54_321, 54_322));
        keep(&place, "new", &key, Way::Exchange, usize::MAX).unwrap();
        let identity = directory.0.join(IDENTITY);
        for path in
            [identity.clone(), identity.join(KEY_FILE), identity.join(SETTINGS_FILE), directory.0.join(LOCK)]
        {
            assert_eq!(owner(&path), (54_321, 54_322), "{}", path.display());
        }
    }
}
