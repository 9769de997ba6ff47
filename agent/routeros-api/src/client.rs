//! The handle: what callers hold, clone and await.
//!
//! A [`Client`] is one connection. It runs many commands at a time by tags, and it ends for good: after a
//! timeout or a lost connection every call fails, and the caller makes a new one when it has read back
//! what it was writing. Dropping a future or a stream cancels its command at the router.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::command::Command;
use crate::connection::{Channel, Driver, Request, Shared, log_in};
use crate::error::{Error, Lost, Operation};
use crate::held::{self, Allowance, RowReceiver};
use crate::options::{Options, Transport};
use crate::sentence::Row;
use crate::tls;
use crate::value::RouterId;
use crate::wire::{Decoder, Limits, WireError};
use crate::witness::Witness;

/// Rows that [`Client::run`] collects before it gives up: a hundred times the accounts of a large site.
pub const REPLY_ROWS: usize = 100_000;
/// What a tag adds to a command: its length prefix, `.tag=` and twenty digits.
const TAG_BYTES: usize = 26;

/// A whole reply, in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The rows in the order sent.
    pub rows: Vec<Row>,
    /// What `=ret=` of the `!done` carried: the new `.id` of an `add`, the number of a count.
    pub ret: Option<Bytes>,
}

/// One connection to one router. Cloning is cheap; the connection closes when the last clone and the
/// last stream are gone.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

struct Handle {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    in_flight: Arc<Semaphore>,
    listens: Arc<Semaphore>,
    lost: watch::Receiver<Option<Lost>>,
    limits: Limits,
    witness: Option<Witness>,
}

impl Client {
    /// Connects, proves who the router is if asked to, and logs in.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::Tls`], [`Error::Login`] or [`Error::Timeout`].
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), routeros_api::Error> {
    /// use routeros_api::{Client, Command, Fingerprint, Options, Secret, TlsTrust, Transport};
    /// let pin = Fingerprint::parse("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")?;
    /// let password = Secret::new(std::fs::read("/etc/router-password").unwrap_or_default());
    /// let options = Options::new("192.168.88.1", Transport::Tls(TlsTrust::Pin(pin)), "api", password);
    /// let client = Client::connect(options).await?;
    /// let reply = client.run(Command::new("/system/resource/print").proplist(&["version"])).await?;
    /// # Ok(()) }
    /// ```
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let (host, port) = options.host_and_port();
        let connect = options.deadlines.connect;
        let stream = match timeout(connect, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(source)) => {
                return Err(Error::Connect { address: options.address, source: Arc::new(source) });
            }
            Err(_) => return Err(Error::Timeout { operation: Operation::Connect, after: connect }),
        };
        // Commands are small and waited for; a socket that refuses this still works.
        let _ = stream.set_nodelay(true);
        match &options.transport {
            Transport::Plain => Self::over(stream, &options).await,
            Transport::Tls(trust) => {
                let name = options.server_name.as_deref().unwrap_or(&host);
                let handshake = Box::pin(tls::handshake(stream, trust, name));
                match timeout(options.deadlines.tls, handshake).await {
                    Ok(stream) => Self::over(stream?, &options).await,
                    Err(_) => Err(Error::Timeout { operation: Operation::Tls, after: options.deadlines.tls }),
                }
            }
        }
    }

    /// Logs in over a stream that is already there: a tunnel, a test's duplex pipe. Address and transport
    /// of the options are not looked at.
    ///
    /// # Errors
    /// [`Error::Login`] or [`Error::Timeout`].
    pub async fn over<S>(mut stream: S, options: &Options) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut decoder = Decoder::new(options.limits);
        log_in(&mut stream, &mut decoder, options).await?;
        let places = options.in_flight.max(1);
        let (requests, queue) = mpsc::channel(places);
        let (lost_sender, lost) = watch::channel(None);
        let shared = Arc::new(Shared {
            attention: Notify::new(),
            is_closing: AtomicBool::new(false),
            allowance: Arc::new(Allowance::new(options.held_bytes)),
        });
        let driver = Driver::new(stream, decoder, options, queue, Arc::clone(&shared), lost_sender);
        tokio::spawn(driver.run());
        let in_flight = Arc::new(Semaphore::new(places));
        let listens = Arc::new(Semaphore::new(options.listens.max(1)));
        let (limits, witness) = (options.limits, options.witness.clone());
        Ok(Self { handle: Arc::new(Handle { requests, shared, in_flight, listens, lost, limits, witness }) })
    }

    /// Runs a command and collects its rows.
    ///
    /// Dropping the future cancels the command at the router; a write may have been carried out by then.
    ///
    /// # Errors
    /// Any [`Error`] but those of connecting; [`Error::ReplyTooLarge`] beyond [`REPLY_ROWS`].
    pub async fn run(&self, command: Command) -> Result<Reply, Error> {
        let mut stream = self.rows(command).await?;
        let mut rows = Vec::new();
        while let Some(row) = stream.next().await {
            if rows.len() >= REPLY_ROWS {
                return Err(Error::ReplyTooLarge { limit: REPLY_ROWS });
            }
            rows.push(row?);
        }
        Ok(Reply { rows, ret: stream.ret() })
    }

    /// Runs a command whose rows are taken one by one.
    ///
    /// Rows that are not taken are held, [`Options::held_bytes`] of them over all commands in flight; so far
    /// nobody waits for a slow caller. Beyond that nothing is read from the router, which holds the rest, until
    /// rows are taken; if none of this command's are for [`crate::Deadlines::row_taken`] while they are the most,
    /// it is cancelled. So do not wait for another command's answer between two rows of a large print: take the
    /// rows first, or run the other from another task.
    ///
    /// # Errors
    /// [`Error::Closed`] and [`Error::InvalidCommand`]; others come from the stream.
    pub async fn rows(&self, command: Command) -> Result<RowStream, Error> {
        self.start(command, None).await
    }

    /// Listens for rows that appear, change or go: a command whose path ends in `/listen`.
    ///
    /// There is no snapshot to begin with, and counters that move make no rows: listen first, then print,
    /// then merge by `.id`, and print again from time to time.
    ///
    /// # Errors
    /// As [`Client::rows`].
    pub async fn listen(&self, command: Command) -> Result<Listen, Error> {
        let overflow = Arc::new(AtomicBool::new(false));
        let rows = self.start(command, Some(Arc::clone(&overflow))).await?;
        Ok(Listen { rows, overflow })
    }

    /// Closes the connection; what is in flight fails. Returns at once; see [`Client::closed`].
    pub fn close(&self) {
        self.handle.shared.is_closing.store(true, Ordering::Release);
        self.handle.shared.attention.notify_one();
    }

    /// Waits until the connection is over and says why.
    pub async fn closed(&self) -> Lost {
        let mut lost = self.handle.lost.clone();
        match lost.wait_for(Option::is_some).await.ok().and_then(|lost| lost.clone()) {
            Some(lost) => lost,
            // The driver was dropped with its runtime.
            None => Lost::ClosedHere,
        }
    }

    /// Memory that rows of commands in flight take until somebody takes *them*, in bytes. At most
    /// [`Options::held_bytes`] and one row.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.handle.shared.allowance.held_bytes()
    }

    /// Whether the connection is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.handle.requests.is_closed()
    }

    async fn start(&self, command: Command, overflow: Option<Arc<AtomicBool>>) -> Result<RowStream, Error> {
        check(&command, self.handle.limits).map_err(Error::InvalidCommand)?;
        let places = if overflow.is_some() { &self.handle.listens } else { &self.handle.in_flight };
        let place = Arc::clone(places).acquire_owned().await.map_err(|_| self.never_sent())?;
        let (row_sender, rows) = held::rows(&self.handle.shared.allowance, overflow.is_some());
        let (completion_sender, completion) = oneshot::channel();
        let is_read = command.is_read();
        let witness = self.handle.witness.clone().filter(|_| !is_read);
        let witnessed = witness.map(|witness| (witness, command.clone()));
        let channel = Channel { rows: row_sender, completion: completion_sender, overflow };
        let request = Request { command, channel, place };
        self.handle.requests.send(request).await.map_err(|_| self.never_sent())?;
        Ok(RowStream {
            client: self.clone(),
            is_read,
            witnessed,
            rows,
            completion,
            is_over: false,
            ret: None,
        })
    }

    fn never_sent(&self) -> Error {
        let lost = self.handle.lost.borrow().clone();
        Error::Closed { cause: lost.unwrap_or(Lost::ClosedHere) }
    }

    /// The answer will not come. If the driver gave a reason, it never took the command; if it went
    /// without one (its runtime was shut down), a write may have been sent.
    fn without_answer(&self, is_read: bool) -> Error {
        let lost = self.handle.lost.borrow().clone();
        match lost {
            None if !is_read => Error::OutcomeUnknown { cause: Lost::ClosedHere },
            lost => Error::Closed { cause: lost.unwrap_or(Lost::ClosedHere) },
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Client").field("is_closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Refuses what our own limits would refuse from the router: it could not be read back.
fn check(command: &Command, limits: Limits) -> Result<(), WireError> {
    let words = command.words();
    // One more for the tag.
    if words.len() >= limits.words {
        return Err(WireError::TooManyWords { limit: limits.words });
    }
    let mut sentence_bytes = TAG_BYTES;
    for word in words {
        if word.is_empty() {
            return Err(WireError::EmptyWord);
        }
        if word.len() > limits.word_bytes {
            return Err(WireError::WordTooLong { claimed: word.len(), limit: limits.word_bytes });
        }
        sentence_bytes = sentence_bytes.saturating_add(word.len()).saturating_add(5);
    }
    if sentence_bytes > limits.sentence_bytes {
        return Err(WireError::SentenceTooLong { limit: limits.sentence_bytes });
    }
    Ok(())
}

/// The rows of one command. Dropping it before its end cancels the command at the router.
pub struct RowStream {
    client: Client,
    is_read: bool,
    /// A write that somebody wants to hear of.
    witnessed: Option<(Witness, Command)>,
    rows: RowReceiver,
    completion: oneshot::Receiver<Result<Option<Bytes>, Error>>,
    is_over: bool,
    ret: Option<Bytes>,
}

impl RowStream {
    /// The next row; `None` after the last one of a command that ended well. After an error it is over.
    ///
    /// Safe to drop and call again: no row is lost.
    pub async fn next(&mut self) -> Option<Result<Row, Error>> {
        if self.is_over {
            return None;
        }
        if let Some(row) = self.rows.recv().await {
            return Some(Ok(row));
        }
        let outcome = (&mut self.completion).await;
        self.is_over = true;
        let outcome = outcome.unwrap_or_else(|_| Err(self.client.without_answer(self.is_read)));
        if let Some((witness, command)) = self.witnessed.take() {
            witness.tell(&command, outcome.as_ref().map(drop));
        }
        match outcome {
            Ok(ret) => {
                self.ret = ret;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }

    /// What `=ret=` carried, once the stream has ended well.
    #[must_use]
    pub fn ret(&self) -> Option<Bytes> {
        self.ret.clone()
    }
}

impl Drop for RowStream {
    fn drop(&mut self) {
        if !self.is_over {
            // Closed before the driver looks, or it would find someone still waiting.
            self.rows.close();
            self.completion.close();
            self.client.handle.shared.attention.notify_one();
            if let Some((witness, command)) = self.witnessed.take() {
                witness.tell_unknown(&command);
            }
        }
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RowStream").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// What a listen has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A row appeared or changed; all its properties as they are now.
    Row(Row),
    /// The row with this id is gone.
    Removed(RouterId),
    /// Changes came faster than they were taken and some were dropped: print the menu again.
    Resync,
}

/// Changes of one menu, until it is dropped (which cancels it) or the connection ends.
#[derive(Debug)]
pub struct Listen {
    rows: RowStream,
    overflow: Arc<AtomicBool>,
}

impl Listen {
    /// The next change; `None` only if the router ended the listen of itself.
    ///
    /// Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Result<Change, Error>> {
        if self.has_overflowed() {
            return Some(Ok(Change::Resync));
        }
        let row = match self.rows.next().await? {
            Ok(row) => row,
            Err(error) => return Some(Err(error)),
        };
        if self.has_overflowed() {
            return Some(Ok(Change::Resync));
        }
        Some(Ok(match (row.is_dead(), row.id()) {
            (false, _) => Change::Row(row),
            (true, Some(id)) => Change::Removed(id),
            // Something is gone and we cannot tell what.
            (true, None) => Change::Resync,
        }))
    }

    /// Rows were dropped; those still held are older than the print to come, and are thrown away lest
    /// they bring back what that print no longer has.
    fn has_overflowed(&mut self) -> bool {
        let has_overflowed = self.overflow.swap(false, Ordering::AcqRel);
        if has_overflowed {
            self.rows.rows.discard();
        }
        has_overflowed
    }
}
