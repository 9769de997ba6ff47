//! The directory that is carried to a site: what the agent needs to know us and to be known by us.
//!
//! All or nothing: no file is overwritten, and what was written before a failure is removed. The key is readable for
//! its owner only; the agent refuses one that is not.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tawi_shared::release::ReleaseKey;

use crate::ids::SiteId;
use crate::pki::SiteCertificate;

/// A bundle that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Where.
    pub directory: PathBuf,
    /// Its files by name.
    pub files: Vec<String>,
    /// From when its certificate is refused, in milliseconds since 1970.
    pub expires_at: tawi_shared::UnixMillis,
}

/// Why a bundle was not written.
#[derive(Debug)]
pub enum NotWritten {
    /// This file is there already.
    Taken(PathBuf),
    /// The system refused.
    Failed {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Bundle {
    /// What a person does next, for the command line.
    #[must_use]
    pub fn next_steps(&self) -> String {
        format!(
            "The bundle is in {directory}. It holds the only copy of the agent's private key.\n\
             \n\
             1. Install tawi-agent at the site and stop it.\n\
             2. Copy the files of the bundle into /etc/tawi-agent/ there, and give agent.key to the agent's user with \
             mode 0600.\n\
             3. Prepare each router with `tawi-agent router-script` and name it in /etc/tawi-agent/routers.toml.\n\
             4. Start tawi-agent; `tawi-controller site list` shows the site as online, and the routers that it names appear at head office.\n\
             5. Delete the bundle here.\n",
            directory = self.directory.display()
        )
    }

    /// Removes the files again, and the directory when nothing else is in it.
    pub(super) fn remove(&self) {
        remove(&self.directory, &self.files);
    }
}

/// Writes the bundle.
pub(super) fn write(
    directory: &Path,
    site: &SiteId,
    addresses: &[String],
    (ca_pem, certificate): (&str, &SiteCertificate),
    release_key: Option<&ReleaseKey>,
) -> Result<Bundle, NotWritten> {
    // A device that enrols is told it; this one hears nobody before it has its settings.
    let upgrade = release_key
        .map(|key| format!("\n[upgrade]\nrelease_keys = [\"{}\"]\n", key.to_text()))
        .unwrap_or_default();
    let addresses = addresses.iter().map(|address| format!("\"{address}\"")).collect::<Vec<_>>().join(", ");
    let configuration = format!(
        "# Written by head office for site {site}. The full list of keys is in the agent's packaged agent.toml.\n\
         site = \"{site}\"\n\
         \n\
         [controller]\n\
         addresses = [{addresses}]\n\
         ca_file = \"ca.pem\"\n\
         certificate_file = \"agent.pem\"\n\
         key_file = \"agent.key\"\n{upgrade}"
    );
    let files: [(&str, &str, u32); 4] = [
        ("agent.key", &certificate.key_pem, 0o600),
        ("agent.pem", &certificate.issued.certificate_pem, 0o644),
        ("ca.pem", ca_pem, 0o644),
        ("agent.toml", &configuration, 0o644),
    ];
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| failed("creating", directory, source))?;
    for (name, _, _) in files {
        let path = directory.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(NotWritten::Taken(path));
        }
    }
    let mut written = Vec::new();
    for (name, content, mode) in files {
        if let Err(error) = write_new(&directory.join(name), content, mode) {
            remove(directory, &written);
            return Err(error);
        }
        written.push(name.to_owned());
    }
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    if let Err(source) = synced {
        remove(directory, &written);
        return Err(failed("writing", directory, source));
    }
    Ok(Bundle { directory: directory.to_owned(), files: written, expires_at: certificate.issued.expires_at })
}

fn write_new(path: &Path, content: &str, mode: u32) -> Result<(), NotWritten> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(
        |source| match source.kind() {
            io::ErrorKind::AlreadyExists => NotWritten::Taken(path.to_owned()),
            _ => failed("creating", path, source),
        },
    )?;
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| failed("writing", path, source))
}

fn remove(directory: &Path, names: &[String]) {
    for name in names {
        // Whoever reads the error that follows sees what is left.
        let _ = fs::remove_file(directory.join(name));
    }
    // Fails when there is anything else in it, and then it stays.
    let _ = fs::remove_dir(directory);
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> NotWritten {
    NotWritten::Failed { operation, path: path.to_owned(), source }
}
