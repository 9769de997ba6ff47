//! How a person asks the running agent: a Unix socket in the state directory, one line each way.
//!
//! ```text
//! → status                 ← the JSON of `health::Status`
//! → release <router> <who> ← {"released":"<router>"}: cuts that the guard of that router holds may go ahead
//! → rebuild <router>       ← {"done":"…"}: every row of that router is made anew, whatever the guard would say
//! → rows <router>          ← {"rows":[…],"lines":[…]}: rows that somebody else made there, and the lines that it should have
//! → adopt {…}              ← {"done":"…"}: a row was made a line's own
//! → log                    ← {"lines":[]}: the files of the API log have all that was written to routers by now
//! → log <name>             ← {"lines":[…]}: the same, and the ids of lines that are called so today
//! otherwise                ← {"error":"…"}
//! ```
//!
//! Whoever may open the socket (the agent's user, and root) may ask. It changes nothing but what these words say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tawi_shared::wire::{CommandStatus, ForeignRowV1, Service};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info};

use crate::adoption::StateLine;
use crate::clock::TrustedClock;
use crate::flow::{Done, StateReceiver};
use crate::health::{RouterStatus, Status};
use crate::reconcile::GuardRelease;
use crate::reconcile::orders::{Answer, Order, Orders, What};
use crate::site::Question;
use crate::trouble::BOARD;

/// A question and its answer; the heart of the agent answers between two pieces of work.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// An order of a router, which has to be reached for it, and may have thousands of rows.
const ORDER_DEADLINE: Duration = Duration::from_secs(60);
/// How often whoever waits for an order learns whether its router can be worked with at all.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a person's side of an order waits: for the order, and for the answers around it.
const ORDER_ANSWER_DEADLINE: Duration = Duration::from_secs(75);
/// The longest question, in bytes: an order with the names in it.
const QUESTION_BYTES: u64 = 1024;
/// The longest answer, in bytes: 4,096 rows and as many lines, at the most that each may have.
const ANSWER_BYTES: u64 = 8 * 1024 * 1024;
/// Questions that are answered at a time: one person, and what watches.
const AT_ONCE: usize = 4;
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
    #[error("the agent does not answer within {} s; it hangs\n  cure: systemctl restart tawi-agent", .0.as_secs())]
    NoAnswer(Duration),
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
    held_lines: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct DoneWords {
    done: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct LinesNamed {
    lines: Vec<String>,
}

/// Rows that somebody else made on a router, and the lines that it should have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsAndLines {
    /// Rows without our mark.
    pub rows: Vec<ForeignRowV1>,
    /// The names of those whose service is `any`.
    #[serde(default)]
    pub any_service: BTreeSet<String>,
    /// Lines of the state.
    pub lines: Vec<StateLine>,
}

/// A row to be made a line's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptRow {
    /// On which router.
    pub router: String,
    /// Whose it becomes.
    pub line: String,
    /// Where it is.
    pub service: u16,
    /// Its name there.
    pub username: String,
}

/// What a person may order through the socket.
#[derive(Clone, Debug)]
pub struct Doors {
    /// The guards' releases, by router.
    pub releases: BTreeMap<String, GuardRelease>,
    /// The routers' orders.
    pub orders: BTreeMap<String, Orders>,
    /// What head office wants.
    pub state: StateReceiver,
    /// Time.
    pub clock: TrustedClock,
    /// Where the heart of the agent is asked.
    pub questions: mpsc::Sender<Question>,
}

impl Doors {
    /// Orders something of a router and waits for what became of it: no longer than the router can be worked with.
    async fn order(&self, router: &str, what: What) -> Result<Done, String> {
        let Some(orders) = self.orders.get(router) else {
            return Err(self.no_such(router));
        };
        if let Some(problem) = self.problem_of(router).await {
            return Err(format!("nothing was done: {problem}; it is tried again within a minute"));
        }
        info!(router.name = router, "a person orders something of a router");
        let (answer, mut answered) = oneshot::channel();
        let not_after = self.clock.now().plus(ORDER_DEADLINE);
        let order = Order { what, not_after, answer: Answer::Here(answer) };
        orders.give(order).map_err(|_| "too many orders wait for that router".to_owned())?;
        let late = Instant::now() + ORDER_DEADLINE;
        loop {
            let look = late.min(Instant::now() + LOOK_EVERY);
            match timeout_at(look, &mut answered).await {
                Ok(done) => {
                    let done = done.map_err(|_| "the agent is stopping".to_owned())?;
                    return if done.status == CommandStatus::Succeeded { Ok(done) } else { Err(done.detail) };
                }
                // What nobody waits for is not begun.
                Err(_) if late <= Instant::now() => {
                    let waited = ORDER_DEADLINE.as_secs();
                    let words =
                        format!("router {router} does not answer within {waited} s; the order is taken back");
                    return Err(words);
                }
                Err(_) => {
                    if let Some(problem) = self.problem_of(router).await {
                        return Err(format!("the order is taken back: {problem}"));
                    }
                }
            }
        }
    }

    fn no_such(&self, router: &str) -> String {
        let names: Vec<&str> = self.orders.keys().map(String::as_str).collect();
        format!("no router {router:?} is configured at this site; there are: {}", names.join(", "))
    }

    /// How the router stands, by the heart of the agent; `None` while that has no time.
    async fn standing_of(&self, router: &str) -> Option<RouterStatus> {
        let asking = async {
            let (sender, receiver) = oneshot::channel();
            self.questions.send(Question::Standing(sender)).await.ok()?;
            receiver.await.ok()?.routers.into_iter().find(|standing| standing.name == router)
        };
        timeout(ANSWER_DEADLINE, asking).await.ok().flatten()
    }

    /// Why nothing can be ordered of the router now, with the cure. One that is another than before can be asked.
    async fn problem_of(&self, router: &str) -> Option<String> {
        let standing = self.standing_of(router).await?;
        let part = standing.problem_part.as_deref()?;
        (part != BOARD).then(|| standing.said())
    }

    /// Lets what the guard holds go ahead, and says how much that is.
    async fn release(&self, wanted: &str) -> Result<Released, String> {
        let (router, by) = wanted.split_once(' ').unwrap_or((wanted, "somebody"));
        let release = self.releases.get(router).ok_or_else(|| self.no_such(router))?;
        let standing = self.standing_of(router).await.unwrap_or_default();
        if standing.problem_part.as_deref() == Some(BOARD) {
            return Err(format!("nothing was let go: {}", standing.said()));
        }
        info!(router.name = router, "a person released what the guard holds");
        release.release(by);
        Ok(Released { released: router.to_owned(), held_lines: standing.held_lines })
    }

    async fn rows(&self, router: &str) -> Result<RowsAndLines, String> {
        let Done { rows, lines, any_service, .. } = self.order(router, What::ListForeign).await?;
        Ok(RowsAndLines { rows, any_service, lines })
    }

    /// Has the API log put down, and names the lines that are called so today: what was written may say another name.
    async fn log(&self, name: &str) -> Result<LinesNamed, String> {
        let (sender, receiver) = oneshot::channel();
        let stopping = "the agent is stopping";
        self.questions.send(Question::PutLogDown(sender)).await.map_err(|_| stopping)?;
        receiver.await.map_err(|_| stopping)?;
        let state = std::sync::Arc::clone(&self.state.borrow());
        let named = state.lines.values().filter(|held| !name.is_empty() && held.item.username == name);
        Ok(LinesNamed { lines: named.map(|held| held.item.line.clone()).collect() })
    }

    async fn adopt(&self, text: &str) -> Result<DoneWords, String> {
        let row: AdoptRow = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let service = Service::from_code(row.service).ok_or("no such service")?;
        let what = What::Adopt { line: row.line, service, username: row.username };
        Ok(DoneWords { done: self.order(&row.router, what).await?.detail })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Refusal {
    error: String,
}

/// Answers questions for as long as the heart of the agent does.
pub async fn serve(listener: UnixListener, doors: Doors) {
    let mut answering = JoinSet::new();
    while !doors.questions.is_closed() {
        // A process that is out of file descriptors must not spin here.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ANSWER_DEADLINE).await;
            continue;
        };
        // A few at a time: people ask, and whoever holds the line is cut off by the deadline.
        if answering.len() >= AT_ONCE {
            answering.join_next().await;
        }
        let doors = doors.clone();
        answering.spawn(async move {
            if answer(stream, &doors).await.is_err() {
                debug!("somebody asked and did not wait for the answer");
            }
        });
    }
}

async fn answer(mut stream: UnixStream, doors: &Doors) -> io::Result<()> {
    let mut question = String::new();
    let mut reader = BufReader::new((&mut stream).take(QUESTION_BYTES));
    timeout(ANSWER_DEADLINE, reader.read_line(&mut question))
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    let refusal = |error: &str| json(&Refusal { error: error.to_owned() });
    let text = match question.trim().split_once(' ') {
        None if question.trim() == "status" => {
            let (sender, receiver) = oneshot::channel();
            match doors.questions.send(Question::Standing(sender)).await {
                Ok(()) => {
                    receiver.await.map_or_else(|_| refusal("the agent is stopping"), |status| json(&status))
                }
                Err(_) => refusal("the agent is stopping"),
            }
        }
        None if question.trim() == "log" => {
            doors.log("").await.map_or_else(|why| refusal(&why), |lines| json(&lines))
        }
        Some(("log", name)) => doors.log(name).await.map_or_else(|why| refusal(&why), |lines| json(&lines)),
        Some(("rebuild", router)) => match doors.order(router, What::Rebuild).await {
            Ok(done) => json(&DoneWords { done: done.detail }),
            Err(why) => refusal(&why),
        },
        Some(("rows", router)) => {
            doors.rows(router).await.map_or_else(|why| refusal(&why), |rows| json(&rows))
        }
        Some(("adopt", row)) => doors.adopt(row).await.map_or_else(|why| refusal(&why), |done| json(&done)),
        Some(("release", router)) => {
            doors.release(router).await.map_or_else(|why| refusal(&why), |released| json(&released))
        }
        _ => refusal(
            "ask `status`, `release <router> <who>`, `rebuild <router>`, `rows <router>`, `adopt {…}`, `log` or `log <name>`",
        ),
    };
    let written = async {
        stream.write_all(text.as_bytes()).await?;
        stream.shutdown().await
    };
    timeout(ANSWER_DEADLINE, written).await.map_err(|_| io::ErrorKind::TimedOut)?
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
    let text = ask(socket, "status\n", ANSWER_DEADLINE).await?;
    serde_json::from_str(&text).map_err(|_| refused(&text))
}

/// Lets what the guard of `router` holds go ahead, as `by` says. Answers with how many lines that are.
///
/// # Errors
/// [`AskError`] says what to do.
pub async fn ask_release(socket: &Path, router: &str, by: &str) -> Result<u64, AskError> {
    let text = ask(socket, &format!("release {router} {by}\n"), ANSWER_DEADLINE).await?;
    serde_json::from_str::<Released>(&text).map(|released| released.held_lines).map_err(|_| refused(&text))
}

/// Has every row of `router` made anew from the store, whatever its guard would say. Answers with the agent's words.
///
/// # Errors
/// [`AskError`] says what to do.
pub async fn ask_rebuild(socket: &Path, router: &str) -> Result<String, AskError> {
    let text = ask(socket, &format!("rebuild {router}\n"), ORDER_ANSWER_DEADLINE).await?;
    serde_json::from_str::<DoneWords>(&text).map(|words| words.done).map_err(|_| refused(&text))
}

/// Has the API log put down. Answers with the ids of lines that are called `name` today.
///
/// # Errors
/// [`AskError`] says what to do.
pub async fn ask_log(socket: &Path, name: Option<&str>) -> Result<Vec<String>, AskError> {
    let question = name.map_or_else(|| "log\n".to_owned(), |name| format!("log {name}\n"));
    let text = ask(socket, &question, ANSWER_DEADLINE).await?;
    serde_json::from_str::<LinesNamed>(&text).map(|named| named.lines).map_err(|_| refused(&text))
}

/// The rows that somebody else made on `router`, and the lines that it should have.
///
/// # Errors
/// [`AskError`] says what to do.
pub async fn ask_rows(socket: &Path, router: &str) -> Result<RowsAndLines, AskError> {
    let text = ask(socket, &format!("rows {router}\n"), ORDER_ANSWER_DEADLINE).await?;
    serde_json::from_str(&text).map_err(|_| refused(&text))
}

/// Has a row made a line's own. Answers with the agent's words.
///
/// # Errors
/// [`AskError`] says what to do.
pub async fn ask_adopt(socket: &Path, row: &AdoptRow) -> Result<String, AskError> {
    let text = ask(socket, &format!("adopt {}", json(row)), ORDER_ANSWER_DEADLINE).await?;
    serde_json::from_str::<DoneWords>(&text).map(|words| words.done).map_err(|_| refused(&text))
}

fn refused(text: &str) -> AskError {
    serde_json::from_str::<Refusal>(text)
        .map_or(AskError::Unreadable, |refusal| AskError::Refused(refusal.error))
}

async fn ask(socket: &Path, question: &str, deadline: Duration) -> Result<String, AskError> {
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
    match timeout(deadline, asking).await {
        Ok(answered) => answered.map_err(broken),
        Err(_) => Err(AskError::NoAnswer(deadline)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{DesiredState, Revised};
    use crate::link::dialer::bind_private;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, Mutex};
    use tawi_shared::wire::LineV1;
    use tokio::sync::watch;

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
        let (sender, mut questions) = mpsc::channel::<Question>(1);
        let release = GuardRelease::default();
        let releases = BTreeMap::from([("core".to_owned(), release.clone())]);
        let (state_sender, state) = watch::channel(Arc::default());
        let clock = TrustedClock::new(tawi_shared::Clock::system(), crate::clock::KeptTime::default());
        let orders = BTreeMap::from([("core".to_owned(), Orders::default())]);
        let doors = Doors { releases, orders, state, clock, questions: sender };
        tokio::spawn(serve(bind_private(&path.0).unwrap(), doors));
        let standing = Arc::new(Mutex::new(RouterStatus { name: "core".into(), ..RouterStatus::default() }));
        let told = Arc::clone(&standing);
        let puts = Arc::new(AtomicU32::new(0));
        let put_down = Arc::clone(&puts);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                let answer = match question {
                    Question::Standing(answer) => answer,
                    Question::PutLogDown(answer) => {
                        put_down.fetch_add(1, Ordering::Relaxed);
                        let _ = answer.send(());
                        continue;
                    }
                };
                let routers = vec![told.lock().unwrap().clone()];
                let _ = answer.send(Status { site: "nyeri-01".into(), routers, ..Status::default() });
            }
        });
        assert_eq!(ask_status(&path.0).await.unwrap().site, "nyeri-01");
        assert!(ask_log(&path.0, None).await.unwrap().is_empty());
        let mut state = DesiredState::default();
        let item = LineV1 { line: "b7k2".into(), username: "plot 18".into(), ..LineV1::default() };
        state.lines.insert("b7k2".into(), Arc::new(Revised { revision: 1, item }));
        state_sender.send_replace(Arc::new(state));
        assert_eq!(ask_log(&path.0, Some("plot 18")).await.unwrap(), ["b7k2"]);
        assert!(ask_log(&path.0, Some("plot")).await.unwrap().is_empty());
        assert_eq!(puts.load(Ordering::Relaxed), 3, "it is put down for whoever reads, each time");
        assert_eq!(ask_release(&path.0, "core", "root").await.unwrap(), 0);
        standing.lock().unwrap().held_lines = 12;
        assert_eq!(ask_release(&path.0, "core", "root").await.unwrap(), 12);
        let say = |part: &str| {
            let mut standing = standing.lock().unwrap();
            standing.problem = Some("what is wrong".into());
            standing.cure = Some("what helps".into());
            standing.problem_part = Some(part.to_owned());
        };
        // The router refuses the login: whoever orders something hears it at once, and nothing waits for it.
        say("login");
        let asked = Instant::now();
        for refused in [
            ask_rebuild(&path.0, "core").await.unwrap_err(),
            ask_rows(&path.0, "core").await.map(drop).unwrap_err(),
        ] {
            let words = refused.to_string();
            assert!(words.contains("what is wrong") && words.contains("what helps"), "{words}");
        }
        assert!(asked.elapsed() < ANSWER_DEADLINE);
        say(BOARD);
        let refused = ask_release(&path.0, "core", "root").await.unwrap_err().to_string();
        assert!(refused.contains("what is wrong"), "{refused}");
        let refused = ask_release(&path.0, "attic", "root").await.unwrap_err();
        assert!(matches!(refused, AskError::Refused(why) if why.contains("attic")));
        let refused = ask(&path.0, "dance\n", ANSWER_DEADLINE).await.unwrap();
        assert!(refused.contains("error"));
        for row in ["attic", "core"] {
            let router = row.to_owned();
            let (line, username) = ("a".to_owned(), "a".to_owned());
            let refused = ask_adopt(&path.0, &AdoptRow { router, line, service: 999, username }).await;
            assert!(matches!(refused, Err(AskError::Refused(why)) if why.contains("service")));
        }
        let refused = ask_rebuild(&path.0, "attic").await.unwrap_err();
        assert!(matches!(refused, AskError::Refused(why) if why.contains("attic")));
        drop(state_sender);
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
        assert!(
            matches!(ask_status(&path.0).await, Err(AskError::NoAnswer(waited)) if waited == ANSWER_DEADLINE)
        );
        drop(listener);
    }
}
