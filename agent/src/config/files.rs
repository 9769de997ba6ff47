//! Where the settings come from: files, their modes, and the environment.
//!
//! A relative name is looked for among systemd's credentials first and then beside the settings file, so that the
//! bundle of a new site works where it is unpacked. A secret that the world can read is refused.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tawi_shared::release::Sha256;

use super::ConfigError;
use crate::upgrade::launch;

/// The largest settings or secret file that is read, in bytes. Ours are a few hundred lines.
const FILE_BYTES: u64 = 1024 * 1024;
/// What to do where the settings file is missing. Nothing needs to stand in it on a device that was enrolled.
pub(super) const CREATE_IT: &str = "create it, empty at first (sudo install -D -m 640 -g tawi-agent /dev/null /etc/tawi-agent/agent.toml; the package brings one with every key explained), or name another with --config";
/// Any of these bits lets everybody on the machine read or change a file.
pub(crate) const WORLD_BITS: u32 = 0o007;

/// A text that must not be seen: it is neither printed nor logged.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What the agent takes from its environment, read once at start.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// systemd's `LoadCredential=` directory.
    pub credentials_directory: Option<PathBuf>,
    /// systemd's `RuntimeDirectory=`.
    pub runtime_directory: Option<PathBuf>,
    /// Whether colours are unwanted: `NO_COLOR` is set and not empty (<https://no-color.org>).
    pub is_colour_unwanted: bool,
    /// Whether somebody has said how the C library's allocator works: `MALLOC_ARENA_MAX` (`man mallopt`) or
    /// `GLIBC_TUNABLES` is set.
    pub is_allocator_set: bool,
    /// Which release this program is, by its hash, where what is installed started it as one (`upgrade::launch`).
    pub release: Option<Sha256>,
    /// And where what is installed is.
    pub installed: Option<PathBuf>,
    /// And whether that could not read the settings itself.
    pub is_unread: bool,
    /// Who is at the shell: `SUDO_USER`, or else `USER`. Head office writes it into its audit log.
    pub shell_user: String,
}

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    pub fn read() -> Self {
        let directory =
            |name: &str| std::env::var_os(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        Self {
            credentials_directory: directory("CREDENTIALS_DIRECTORY"),
            // systemd lists several with colons; the first is ours.
            runtime_directory: std::env::var("RUNTIME_DIRECTORY")
                .ok()
                .and_then(|list| list.split(':').next().map(PathBuf::from))
                .filter(|path| path.is_absolute()),
            is_colour_unwanted: std::env::var_os("NO_COLOR").is_some_and(|text| !text.is_empty()),
            is_allocator_set: ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"]
                .iter()
                .any(|name| std::env::var_os(name).is_some()),
            release: std::env::var(launch::RELEASE).ok().and_then(|text| Sha256::parse(&text)),
            installed: directory(launch::INSTALLED).filter(|path| path.is_absolute()),
            is_unread: directory(launch::UNREAD).is_some(),
            shell_user: ["SUDO_USER", "USER"]
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()))
                .unwrap_or_else(|| "unknown".to_owned()),
        }
    }
}

/// Finds the files that the settings name.
pub(super) struct Finder<'a> {
    directory: &'a Path,
    credentials: Option<&'a Path>,
}

impl<'a> Finder<'a> {
    pub(super) fn new(directory: &'a Path, environment: &'a Environment) -> Self {
        Self { directory, credentials: environment.credentials_directory.as_deref() }
    }

    /// The file that `name` means. An absolute name means itself.
    pub(super) fn find(&self, name: &str) -> PathBuf {
        let credential = self.credentials.map(|directory| directory.join(name)).filter(|path| path.exists());
        credential.unwrap_or_else(|| self.directory.join(name))
    }
}

pub(super) fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn read_text(path: &Path, cure: &'static str) -> Result<String, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: path.to_path_buf(), cure, source };
    let length = std::fs::metadata(path).map_err(unreadable)?.len();
    if length > FILE_BYTES {
        let problem =
            io::Error::new(io::ErrorKind::FileTooLarge, format!("{length} bytes are not a settings file"));
        return Err(unreadable(problem));
    }
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Reads TOML. The reader's own message would quote the line, and the line may hold a password.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Syntax {
        path: path.to_path_buf(),
        line: error.span().map_or(1, |span| line_at(text, span.start)),
        message: without_values(error.message().lines().next().unwrap_or_default()),
    })
}

/// The reader's words without what stood in the file: of a value of the wrong kind it repeats the value itself, and a
/// password may be all digits. Names of keys, which it puts between backticks too, follow other words.
fn without_values(message: &str) -> String {
    for said in ["invalid type: ", "invalid value: "] {
        if let Some((_, expected)) =
            message.strip_prefix(said).and_then(|rest| rest.rsplit_once(", expected "))
        {
            return format!("{said}expected {expected}");
        }
    }
    message.to_owned()
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// A secret file: readable by us and not by the world, one line, not empty.
pub(super) fn read_secret(key: &str, path: &Path) -> Result<Secret, ConfigError> {
    refuse_world_readable(key, path)?;
    let text =
        read_text(path, "create it with the secret on one line, owned by the agent's user, mode 0600")?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.contains('\n') {
        let problem = format!("{} does not hold exactly one line", path.display());
        return Err(ConfigError::value(key, problem, "put the secret on its first line, and nothing else"));
    }
    Ok(Secret::new(secret))
}

/// Refuses a secret that everybody on the machine can read. A file that is not there is another check's business.
pub(super) fn refuse_world_readable(key: &str, path: &Path) -> Result<(), ConfigError> {
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & WORLD_BITS == 0 {
        return Ok(());
    }
    let problem = format!("{} has mode {mode:04o}: every user of this machine can read it", path.display());
    Err(ConfigError::value(key, problem, format!("chmod o-rwx {}", path.display())))
}
