//! The broker of a world: the one inside the controller, or Debian's mosquitto with what `broker-config` writes.
//!
//! `TAWI_TEST_BROKER=mosquitto cargo test --workspace --test stories` runs a test of the first kind as the second.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::process::{self, Program};

/// It starts in a tenth of a second.
const UP_WITHIN: Duration = Duration::from_secs(30);
const PROGRAMS: [&str; 2] = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"];

/// Which broker a world has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// The controller's own.
    Embedded,
    /// Eclipse Mosquitto, as another process.
    Mosquitto,
}

impl Broker {
    /// What the environment says; the embedded one if it says nothing.
    ///
    /// # Panics
    /// When it names another: a run that tests something else than it says would be worse.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "a developer's switch, not configuration")]
    #[expect(clippy::panic, reason = "nothing that runs on would be what was asked for")]
    pub fn wanted() -> Self {
        match std::env::var("TAWI_TEST_BROKER").as_deref() {
            Err(_) | Ok("" | "embedded") => Self::Embedded,
            Ok("mosquitto") => Self::Mosquitto,
            Ok(other) => panic!("TAWI_TEST_BROKER={other}: it is embedded or mosquitto"),
        }
    }
}

/// A mosquitto that runs with the files of `broker-config`.
#[derive(Debug)]
pub struct Mosquitto {
    program: Program,
    directory: PathBuf,
    address: SocketAddr,
}

impl Mosquitto {
    /// Lets the controller with the settings `controller.toml` in `directory` write what a mosquitto at `address` needs, and
    /// starts that.
    ///
    /// # Errors
    /// When it is not installed, or does not start; with the end of its log.
    pub async fn start(directory: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        let files = directory.join("mosquitto");
        let (config, out) = (directory.join("controller.toml"), files.to_string_lossy().into_owned());
        let (config, url) = (config.to_string_lossy().into_owned(), format!("mqtts://{address}"));
        let arguments =
            ["broker-config", "mosquitto", "--url", &url, "--out", &out, "--config", &config, "--json"];
        process::run("tawi-controller", &arguments).await?;
        // What is written is used as it is; a broker that root starts would leave root and then not read its own key.
        let own = format!("user root\nlog_dest stderr\ninclude_dir {}\n", files.join("conf.d").display());
        std::fs::create_dir_all(files.join("conf.d"))?;
        std::os::unix::fs::symlink(files.join("tawi.conf"), files.join("conf.d/tawi.conf")).or_else(
            |error| if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) },
        )?;
        std::fs::write(files.join("mosquitto.conf"), own)?;
        let program = run(&files, directory).await?;
        let mut mosquitto = Self { program, directory: directory.to_owned(), address };
        mosquitto.is_up().await?;
        Ok(mosquitto)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The files that `broker-config` wrote.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.directory.join("mosquitto")
    }

    /// `systemctl reload`: access rules, certificates and the list of revoked ones are read again.
    ///
    /// # Errors
    /// When it is gone.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.program.signal(rustix::process::Signal::HUP)
    }

    /// `systemctl restart`: every connection ends.
    ///
    /// # Errors
    /// When it does not start again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.program.kill().await?;
        self.program = run(&self.files(), &self.directory).await?;
        self.is_up().await
    }

    /// The power goes.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.program.kill().await
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it did not end as it should.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.program.stop().await
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it ended by itself.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        self.program.ensure_running()
    }

    /// The end of its log, for a failure's message.
    #[must_use]
    pub fn log_end(&self) -> String {
        self.program.log_end()
    }

    async fn is_up(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + UP_WITHIN;
        while TcpStream::connect(self.address).await.is_err() {
            self.program.ensure_running()?;
            if Instant::now() > until {
                bail!("mosquitto does not listen at {}\n{}", self.address, self.program.log_end());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}

async fn run(files: &Path, directory: &Path) -> anyhow::Result<Program> {
    let program = PROGRAMS.iter().map(Path::new).find(|path| path.is_file());
    let program = program.context("mosquitto is not installed; run: make setup")?;
    let config = files.join("mosquitto.conf").to_string_lossy().into_owned();
    Program::start(program, "mosquitto", directory, &["-c", &config], "").await
}
