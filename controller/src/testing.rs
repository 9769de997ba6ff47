//! What the controller's own tests share: a directory that vanishes, and a log that they can read.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use crate::audit::Actor;
use crate::ids::{IdSource, SiteId};
use crate::sites::{self, SiteError};
use crate::state::Controller;

/// A fresh directory, removed when dropped.
#[derive(Debug)]
pub(crate) struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("tawi-{}", IdSource::system().hex(8)));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// A file that nobody else can read.
    pub(crate) fn write_secret(&self, name: &str, text: &str) {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(self.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn database_url(&self) -> String {
        format!("sqlite://{}", self.path().join("tawi.db").display())
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        // Left-over files of a failed test are no reason to fail another.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Shuts a site out as its page does.
pub(crate) async fn revoke(controller: &Controller, site: &SiteId) -> Result<bool, SiteError> {
    let mut transaction = controller.database.write().await?;
    let (actor, by) = (Actor::CommandLine("test".into()), (&controller.ids, controller.clock.now()));
    let is_done = sites::revoke(&mut transaction, site, &actor, by).await?;
    transaction.commit().await?;
    sites::tell_revoked(&controller.live, site);
    Ok(is_done)
}

/// What the thread of a test logs, from [`Log::listen`] on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

/// As long as it lives, the log is listened to.
pub(crate) struct Listening {
    _guard: tracing::subscriber::DefaultGuard,
}

/// A second subscriber besides that of a test. While there is one alone, a place in the code that another thread comes by
/// first is asked of that thread's, which has none, and stays silent for the test as well.
static SECOND: OnceLock<tracing::Dispatch> = OnceLock::new();

impl Log {
    pub(crate) fn listen(&self) -> Listening {
        SECOND.get_or_init(|| tracing::Dispatch::new(tracing_subscriber::registry()));
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        Listening { _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
