//! The Python clients that ours is compared with: where they are, and how one of their scripts is run.
//!
//! They are installed by `make interop`, never from here; where they are missing it says so, and nothing is skipped.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::process::Command;
use tokio::time::timeout;

/// The folder of scripts and requirements, from the root of this crate.
const SCRIPTS: &str = "interop";
/// The virtual environment, in cargo's target directory.
const ENVIRONMENT: &str = "interop";
const CURE: &str = "run: make interop";

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPTS)
}

/// The interpreter that has the clients of `requirements.txt`.
///
/// # Errors
/// When they are not installed, or others are; the message says how they are.
pub fn python() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("asking for this program's own path")?;
    // Programs are in target/debug, tests in target/debug/deps.
    let environment = own
        .ancestors()
        .skip(2)
        .take(2)
        .map(|folder| folder.join(ENVIRONMENT))
        .find(|folder| folder.join("bin/python").exists())
        .with_context(|| format!("the Python clients are not installed; {CURE}"))?;
    let wanted = std::fs::read(scripts().join("requirements.txt")).context("reading the requirements")?;
    match std::fs::read(environment.join("requirements.txt")) {
        Ok(installed) if installed == wanted => Ok(environment.join("bin/python")),
        _ => bail!("other Python clients are installed than the requirements name; {CURE}"),
    }
}

/// Runs a script of `tests/interop` and gives what it printed.
///
/// # Errors
/// When it cannot be run, fails or takes longer than `limit`; with what it said.
pub async fn run_script(name: &str, arguments: &[String], limit: Duration) -> anyhow::Result<String> {
    let running = Command::new(python()?)
        .arg(scripts().join(name))
        .args(arguments)
        // Or it would write its bytecode beside the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        timeout(limit, running).await.with_context(|| format!("{name} did not end within {limit:?}"))??;
    if !output.status.success() {
        bail!("{name} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name} printed what is no text"))
}
