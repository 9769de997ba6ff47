//! Our own programs as child processes: started from where cargo put them, watched for their ready line, ended by id.
//!
//! A child never outlives its handle. Its standard error goes to a file in the run's directory, and its last lines
//! come along with every failure.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A debug build on a busy 2-core machine starts in about a second; more than this is a failure to start.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A program that was asked to stop has this long before it is ended by force.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// How much of a log a failure shows.
const LOG_LINES_SHOWN: usize = 40;

/// A running program of ours.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    ready_line: String,
}

/// Where cargo put the program `name`: beside the running one, one folder above a test, or among the debug builds when
/// the running one is none.
///
/// # Errors
/// When it was not built; the message says how.
pub fn path_of(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("asking for this program's own path")?;
    own.ancestors()
        .skip(1)
        .take(2)
        .flat_map(|folder| [folder.join(name), folder.with_file_name("debug").join(name)])
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built; run: cargo build --workspace --bins"))
}

/// Where cargo put the release build of the program `name`: the running one is a build of another profile beside it.
///
/// # Errors
/// When it was not built; `command` builds it.
pub fn release_path_of(name: &str, command: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("asking for this program's own path")?;
    let target = own.parent().and_then(Path::parent).context("this program is in a target folder")?;
    let program = target.join("release").join(name);
    anyhow::ensure!(program.is_file(), "run `{command}`: it builds the release of {name} first");
    Ok(program)
}

impl Program {
    /// Starts the program at `path` with `arguments`; its log goes to `<directory>/<label>.log`. Returns when the first line that begins with
    /// `ready_word` stands on its standard output, or at once when that is empty.
    ///
    /// # Errors
    /// When it cannot start, ends early or is not ready in time; with the end of its log.
    pub async fn start(
        path: &Path,
        label: &str,
        directory: &Path,
        arguments: &[&str],
        ready_word: &str,
    ) -> anyhow::Result<Self> {
        let log = directory.join(format!("{label}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", path.display()))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let mut program = Self { name: label.to_owned(), child, log, ready_line: String::new() };
        if !ready_word.is_empty() {
            let mut lines = BufReader::new(stdout).lines();
            let wait = async {
                while let Some(line) = lines.next_line().await? {
                    if line.starts_with(ready_word) {
                        return Ok::<_, anyhow::Error>(line);
                    }
                }
                bail!("it ended before it was ready")
            };
            program.ready_line = match timeout(READY_WITHIN, wait).await {
                Ok(Ok(line)) => line,
                Ok(Err(error)) => bail!("{label}: {error}\n{}", program.log_end()),
                Err(_) => bail!("{label}: not ready within {READY_WITHIN:?}\n{}", program.log_end()),
            };
            // Whatever it prints later must not fill the pipe and stop it.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        }
        Ok(program)
    }

    /// The value of `key=value` on the ready line.
    ///
    /// # Errors
    /// When the line has no such key.
    pub fn ready_value(&self, key: &str) -> anyhow::Result<&str> {
        self.ready_line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
            .with_context(|| format!("{}: no {key}= on its ready line {:?}", self.name, self.ready_line))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it ended by itself; with the end of its log.
    pub fn ensure_running(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait().with_context(|| format!("looking at {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself with {status}\n{}", self.name, self.log_end()),
        }
    }

    /// Tells it something.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        let pid =
            i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id is a positive number")?;
        kill_process(pid, signal).with_context(|| format!("telling {}", self.name))
    }

    /// The power goes: SIGKILL, no goodbye.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// Asks it to stop and waits; ends it by force when it does not.
    ///
    /// # Errors
    /// When it had to be ended by force, or its exit code says that something failed.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let Some(id) = self.child.id() else { return Ok(()) };
        let pid =
            i32::try_from(id).ok().and_then(Pid::from_raw).context("a process id is a positive number")?;
        // It may just have ended by itself; then there is nobody to ask.
        let _ = kill_process(pid, Signal::TERM);
        match timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                anyhow::ensure!(status.success(), "{} ended with {status}\n{}", self.name, self.log_end());
                Ok(())
            }
            Err(_) => {
                self.kill().await?;
                bail!("{} did not stop within {STOP_WITHIN:?}\n{}", self.name, self.log_end())
            }
        }
    }

    /// The last lines of its log, for a failure's message.
    #[must_use]
    pub fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_LINES_SHOWN);
        format!("--- end of {}:\n{}", self.log.display(), lines.get(from..).unwrap_or_default().join("\n"))
    }

    /// The processor time that it has taken since it started, in user and in system mode.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let id = self.child.id().context("the process has ended")?;
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The second field is the program's name in parentheses, which may hold anything; the twelfth and thirteenth
        // behind it are the ticks.
        let (_name, rest) = stat.rsplit_once(')').context("/proc/<id>/stat names the program")?;
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
        let ticks: u64 = ticks.sum::<Result<_, _>>().context("/proc/<id>/stat counts ticks")?;
        Ok(Duration::from_millis(ticks.saturating_mul(1_000) / rustix::param::clock_ticks_per_second()))
    }

    /// What it had written to a disk since it started, in bytes of whole pages, as Linux counts it.
    ///
    /// # Errors
    /// When the process is gone, or its system does not count.
    pub fn written_bytes(&self) -> anyhow::Result<u64> {
        let id = self.child.id().context("the process has ended")?;
        let io = std::fs::read_to_string(format!("/proc/{id}/io"))?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
        written.context("/proc/<id>/io has no write_bytes line")
    }

    /// What it holds of the machine's memory, in KiB.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_kib(&self) -> anyhow::Result<u64> {
        self.status_kib("VmRSS:")
    }

    /// Of that, what is no copy of a file: its own program's text is shared, and comes once.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn anonymous_kib(&self) -> anyhow::Result<u64> {
        self.status_kib("RssAnon:")
    }

    fn status_kib(&self, field: &str) -> anyhow::Result<u64> {
        let id = self.child.id().context("the process has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        status
            .lines()
            .find_map(|line| line.strip_prefix(field)?.split_whitespace().next()?.parse().ok())
            .with_context(|| format!("/proc/<id>/status has no {field} line"))
    }
}

/// Runs one of our programs to its end and returns its standard output.
///
/// # Errors
/// When it fails; with its standard error.
pub async fn run(name: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(path_of(name)?).args(arguments).stdin(Stdio::null()).output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "{name} {} ended with {}: {}",
        arguments.join(" "),
        output.status,
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_ended_by_itself_is_named_with_its_log() {
        let directory = std::env::temp_dir();
        let label = format!("tawi-ended-{}", tawi_shared::IdSource::system().hex(4));
        let script = "echo ready; read -r line < \"$0\"; echo the disk is full >&2; exit 3";
        let pipe = directory.join(format!("{label}.pipe"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let arguments = ["-c", script, pipe.to_str().unwrap()];
        let mut program =
            Program::start(Path::new("/bin/sh"), &label, &directory, &arguments, "ready").await.unwrap();
        program.ensure_running().unwrap();
        std::fs::write(&pipe, "go on\n").unwrap();
        program.child.wait().await.unwrap();
        let said = format!("{:#}", program.ensure_running().unwrap_err());
        assert!(said.contains(&label) && said.contains("exit status: 3"), "{said}");
        assert!(said.contains("the disk is full"), "{said}");
        std::fs::remove_file(pipe).unwrap();
        std::fs::remove_file(program.log).unwrap();
    }
}
