//! `routers.toml`, changed by a program and still a person's file: one table is added or corrected, and every other line,
//! comments included, stays as it was.
//!
//! What is written is read back by the settings' own reader before it takes the place of the last one. A router is written
//! here once it was proven and not before: a table without its pin would keep the agent from starting.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use routeros_api::Fingerprint;
use thiserror::Error;

use crate::config::{ConfigError, check_routers_text};
use crate::rights::cure_of;

const TABLE: &str = "[[router]]";
/// What `router add` knows, and so corrects; `transport` and `tls_ca_file` would contradict the pin.
const KEYS: [&str; 5] = ["address", "user", "tls_pin", "transport", "tls_ca_file"];
/// These too, where the password has a file.
const PASSWORD_KEYS: [&str; 2] = ["password_file", "password"];
/// For the agent's user alone, since a password may stand there.
const MODE: u32 = 0o600;
const OF_OTHERS: u32 = 0o007;

/// A router that was proven.
#[derive(Clone, Debug)]
pub struct ProvenRouter<'r> {
    /// The name that head office's lines refer to.
    pub name: &'r str,
    /// Where it is, with its port if that is not the usual one.
    pub address: String,
    /// The agent's user there.
    pub user: &'r str,
    /// The file with the password, as it is to be named; `None` to leave what stands there.
    pub password_file: Option<String>,
    /// Of the certificate that it showed.
    pub pin: Fingerprint,
}

/// Why the file is as it was.
#[derive(Debug, Error)]
pub enum RoutersFileError {
    /// It cannot be written.
    #[error("{}: cannot be written: {source}\n  cure: {}", path.display(), cure_of(source))]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It would not be settings any more.
    #[error("the file is left as it was: {0}")]
    Read(#[from] ConfigError),
}

/// Puts a router into the file, which is made if need be and given to `owner`; one that is there keeps its owner.
///
/// # Errors
/// [`RoutersFileError`].
pub fn put(
    path: &Path,
    router: &ProvenRouter<'_>,
    owner: Option<(u32, u32)>,
) -> Result<(), RoutersFileError> {
    let failed = |source| RoutersFileError::Write { path: path.to_path_buf(), source };
    let before = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(failed(error)),
    };
    let text = with_router(&before, router);
    check_routers_text(path, &text)?;
    let (mode, owner) = match fs::metadata(path) {
        Ok(there) => {
            (there.permissions().mode() & 0o777 & !OF_OTHERS, owner.map(|_| (there.uid(), there.gid())))
        }
        Err(_) => (MODE, owner),
    };
    write(path, &text, mode, owner).map_err(failed)
}

/// Whether the text has a table of this router.
#[must_use]
pub fn is_named(text: &str, name: &str) -> bool {
    table_of(&text.lines().collect::<Vec<_>>(), name).is_some()
}

fn write(path: &Path, text: &str, mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    if let Some((user, group)) = owner {
        fchown(&file, Some(user), Some(group))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// The text with this router's table made or corrected.
fn with_router(text: &str, router: &ProvenRouter<'_>) -> String {
    let password = router.password_file.as_ref();
    let password = password.map_or_else(String::new, |file| format!("password_file = \"{file}\"\n"));
    let fields = format!(
        "address = \"{}\"\nuser = \"{}\"\n{password}tls_pin = \"{}\"\n",
        router.address, router.user, router.pin,
    );
    let is_corrected =
        |key: &str| KEYS.contains(&key) || (router.password_file.is_some() && PASSWORD_KEYS.contains(&key));
    let lines: Vec<&str> = text.lines().collect();
    let Some((begin, end)) = table_of(&lines, router.name) else {
        let gap = if text.is_empty() || text.ends_with("\n\n") {
            ""
        } else if text.ends_with('\n') {
            "\n"
        } else {
            "\n\n"
        };
        return format!("{text}{gap}{TABLE}\nname = \"{}\"\n{fields}", router.name);
    };
    let mut made = String::with_capacity(text.len() + fields.len());
    for (at, line) in lines.iter().enumerate() {
        let is_inside = at > begin && at < end;
        if is_inside && key_of(line).is_some_and(is_corrected) {
            continue;
        }
        made += line;
        made += "\n";
        if is_inside && key_of(line) == Some("name") {
            made += &fields;
        }
    }
    made
}

/// The lines of a router's table: its head, and what stands behind it.
fn table_of(lines: &[&str], name: &str) -> Option<(usize, usize)> {
    let heads: Vec<usize> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.trim_start().starts_with('['))
        .map(|(at, _)| at)
        .collect();
    let named = [format!("\"{name}\""), format!("'{name}'")];
    heads.iter().enumerate().find_map(|(number, begin)| {
        let end = heads.get(number + 1).copied().unwrap_or(lines.len());
        let body = lines.get(begin + 1..end)?;
        let is_it = body.iter().any(|line| {
            key_of(line) == Some("name")
                && line.split_once('=').is_some_and(|(_, value)| {
                    named.iter().any(|named| value.trim_start().starts_with(named.as_str()))
                })
        });
        is_it.then_some((*begin, end))
    })
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    Some(key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn router(name: &str) -> ProvenRouter<'_> {
        ProvenRouter {
            name,
            address: "192.168.88.1".to_owned(),
            user: "tawi",
            password_file: Some(format!("{name}.password")),
            pin: Fingerprint::parse(PIN).unwrap(),
        }
    }

    fn table(name: &str) -> String {
        format!(
            "[[router]]\nname = \"{name}\"\naddress = \"192.168.88.1\"\nuser = \"tawi\"\npassword_file = \"{name}.password\"\ntls_pin = \"{PIN}\"\n"
        )
    }

    #[test]
    fn a_router_is_added_behind_the_others_and_every_line_of_theirs_stays() {
        let check = |before: &str, gap: &str| {
            assert_eq!(with_router(before, &router("core")), format!("{before}{gap}{}", table("core")));
        };
        check("", "");
        check("# ours\n", "\n");
        check("# ours\n\n", "");
        check("# no end of line", "\n\n");
        check(&format!("# the roof\n{}# name = \"core\"\n", table("roof")), "\n");
    }

    #[test]
    fn a_router_that_is_there_is_corrected_in_its_place() {
        let before = "# all\n[[router]]\n# the tower\nname = 'core' # by the road\naddress = \"10.0.0.1\"\ntransport = \"plain\"\nuser=\"old\"\npassword = \"s\"\n\n# next\n[[router]]\nname = \"roof\"\naddress = \"10.0.0.2\"\n";
        let after = with_router(before, &router("core"));
        let expected = format!(
            "# all\n[[router]]\n# the tower\nname = 'core' # by the road\n{}\n# next\n[[router]]\nname = \"roof\"\naddress = \"10.0.0.2\"\n",
            table("core").strip_prefix("[[router]]\nname = \"core\"\n").unwrap()
        );
        assert_eq!(after, expected);
        assert_eq!(with_router(&after, &router("core")), after, "twice is once");
        let kept = with_router(before, &ProvenRouter { password_file: None, ..router("core") });
        assert!(kept.contains("\npassword = \"s\"\n") && !kept.contains("password_file"), "{kept}");
    }

    #[test]
    fn the_file_is_for_its_owner_alone_and_is_left_where_it_would_be_none() {
        let directory =
            std::env::temp_dir().join(format!("tawi-routers-{}", tawi_shared::IdSource::system().hex(6)));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("routers.toml");
        put(&path, &router("core"), None).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!((fs::read_to_string(&path).unwrap(), mode()), (table("core"), 0o600));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        put(&path, &router("roof"), None).unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap(), mode()),
            (table("core") + "\n" + &table("roof"), 0o640)
        );
        fs::write(&path, "nonsense").unwrap();
        let refused = put(&path, &router("core"), None).unwrap_err().to_string();
        assert!(refused.contains("left as it was") && refused.contains("cure: "), "{refused}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
        fs::remove_dir_all(&directory).unwrap();
    }
}
