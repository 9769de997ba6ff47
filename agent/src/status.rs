//! How a person asks the running agent: a Unix socket in the state directory, one line each way.
//!
//! ```text
//! → status                 ← the JSON of `health::Status`
//! → release <router>       ← {"released":"<router>"}: cuts that the guard of that router holds may go ahead
//! otherwise                ← {"error":"…"}
//! ```
//!
//! Whoever may open the socket (the agent's user, and root) may ask. It changes nothing but what `release` says.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::health::Status;
use crate::reconcile::GuardRelease;
use crate::site::StatusRequest;

/// A question and its answer; the heart of the agent answers between two pieces of work.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// The longest question, in bytes: a command and a router's name.
const QUESTION_BYTES: u64 = 128;
/// The longest answer, in bytes: 64 routers with a line each, many times over.
const ANSWER_BYTES: u64 = 256 * 1024;
/// Questions that wait.
pub const QUESTIONS: usize = 4;

/// Why there was no answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("the agent is not running: nothing listens on {}\n  cure: systemctl start tawi-agent; then journalctl -u tawi-agent", .0.display())]
    NotRunning(PathBuf),
    /// The socket belongs to another user.
    #[error("{}: this user may not ask the agent\n  cure: run it as root, or with sudo", .0.display())]
    NotAllowed(PathBuf),
    /// It listens and does not answer.
    #[error("the agent does not answer within {} s; it hangs\n  cure: systemctl restart tawi-agent", ANSWER_DEADLINE.as_secs())]
    NoAnswer,
    /// The socket broke.
    #[error("{}: {source}", path.display())]
    Broken {
        /// Which socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer is none.
    #[error("the agent answered with something else than a status; is it another release than this command?")]
    Unreadable,
    /// The agent refuses.
    #[error("{0}")]
    Refused(String),
}

#[derive(Debug, Serialize, Deserialize)]
struct Released {
    released: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    error: String,
}

/// Answers questions for as long as the heart of the agent does.
pub async fn serve(
    listener: UnixListener,
    questions: mpsc::Sender<StatusRequest>,
    releases: BTreeMap<String, GuardRelease>,
) {
    while !questions.is_closed() {
        // A process that is out of file descriptors must not spin here.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ANSWER_DEADLINE).await;
            continue;
        };
        // One at a time: people ask, and a person who holds the line is cut off by the deadline.
        let answered = timeout(ANSWER_DEADLINE, answer(stream, &questions, &releases)).await;
        if !matches!(answered, Ok(Ok(()))) {
            debug!("somebody asked and did not wait for the answer");
        }
    }
}

async fn answer(
    mut stream: UnixStream,
    questions: &mpsc::Sender<StatusRequest>,
    releases: &BTreeMap<String, GuardRelease>,
) -> io::Result<()> {
    let mut question = String::new();
    BufReader::new((&mut stream).take(QUESTION_BYTES)).read_line(&mut question).await?;
    let refusal = |error: &str| json(&Refusal { error: error.to_owned() });
    let text = match question.trim().split_once(' ') {
        None if question.trim() == "status" => {
            let (sender, receiver) = oneshot::channel();
            match questions.send(sender).await {
                Ok(()) => {
                    receiver.await.map_or_else(|_| refusal("the agent is stopping"), |status| json(&status))
                }
                Err(_) => refusal("the agent is stopping"),
            }
        }
        Some(("release", router)) => match releases.get(router) {
            Some(release) => {
                info!(router.name = router, "a person released what the guard holds");
                release.release();
                json(&Released { released: router.to_owned() })
            }
            None => refusal(&format!("no router {router:?} is configured at this site")),
        },
        _ => refusal("ask `status` or `release <router>`"),
    };
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

fn json<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

/// Asks the running agent how it stands.
///
/// # Errors
/// [`AskError`] says what to do.
pub async fn ask_status(socket: &Path) -> Result<Status, AskError> {
    let text = ask(socket, "status\n").await?;
    serde_json::from_str(&text).map_err(|_| refused(&text))
}

/// Lets what the guard of `router` holds go ahead.
///
/// # Errors
/// [`AskError`] says what to do.
pub async fn ask_release(socket: &Path, router: &str) -> Result<(), AskError> {
    let text = ask(socket, &format!("release {router}\n")).await?;
    serde_json::from_str::<Released>(&text).map(drop).map_err(|_| refused(&text))
}

fn refused(text: &str) -> AskError {
    serde_json::from_str::<Refusal>(text)
        .map_or(AskError::Unreadable, |refusal| AskError::Refused(refusal.error))
}

async fn ask(socket: &Path, question: &str) -> Result<String, AskError> {
    let broken = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            AskError::NotRunning(socket.to_path_buf())
        }
        io::ErrorKind::PermissionDenied => AskError::NotAllowed(socket.to_path_buf()),
        _ => AskError::Broken { path: socket.to_path_buf(), source },
    };
    let asking = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(question.as_bytes()).await?;
        let mut text = String::new();
        stream.take(ANSWER_BYTES).read_to_string(&mut text).await?;
        Ok(text)
    };
    match timeout(ANSWER_DEADLINE, asking).await {
        Ok(answered) => answered.map_err(broken),
        Err(_) => Err(AskError::NoAnswer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::dialer::bind_private;

    struct Socket(PathBuf);

    impl Drop for Socket {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn socket(name: &str) -> Socket {
        Socket(std::env::temp_dir().join(format!("tawi-status-{}-{name}", std::process::id())))
    }

    #[tokio::test]
    async fn a_running_agent_tells_how_it_stands_and_releases_what_a_person_names() {
        let path = socket("answers");
        let (sender, mut questions) = mpsc::channel::<StatusRequest>(1);
        let release = GuardRelease::default();
        let releases = BTreeMap::from([("core".to_owned(), release.clone())]);
        tokio::spawn(serve(bind_private(&path.0).unwrap(), sender, releases));
        tokio::spawn(async move {
            while let Some(answer) = questions.recv().await {
                let _ = answer.send(Status { site: "nyeri-01".into(), ..Status::default() });
            }
        });
        assert_eq!(ask_status(&path.0).await.unwrap().site, "nyeri-01");
        ask_release(&path.0, "core").await.unwrap();
        let refused = ask_release(&path.0, "attic").await.unwrap_err();
        assert!(matches!(refused, AskError::Refused(why) if why.contains("attic")));
        let refused = ask(&path.0, "dance\n").await.unwrap();
        assert!(refused.contains("error"));
    }

    #[tokio::test]
    async fn an_agent_that_is_not_running_is_named_with_the_cure() {
        let path = socket("nobody");
        let message = ask_status(&path.0).await.unwrap_err().to_string();
        assert!(message.contains("not running") && message.contains("systemctl start"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_hangs_is_not_waited_for() {
        let path = socket("hangs");
        let listener = bind_private(&path.0).unwrap();
        assert!(matches!(ask_status(&path.0).await, Err(AskError::NoAnswer)));
        drop(listener);
    }
}
