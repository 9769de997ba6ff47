//! The shell around [`crate::session`]: one task that owns the stream, its buffers and its deadlines.
//!
//! ```text
//!  Client ──requests (bounded)──► Driver ──words──► stream
//!  RowStream ◄──rows (bounded)─── Driver ◄─sentences── stream
//! ```
//!
//! It reads and writes at once, so that a router that waits for us to read never waits for ever. Rows that are
//! not taken are held until the allowance of [`crate::held`] is used up; then it stops reading, which is
//! back-pressure all the way to the router; after a deadline it cancels the command that holds most, so that
//! one sleeper cannot stop the others. It refuses to reconnect: a lost connection is the caller's to judge.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::command::Command;
use crate::error::{Error, LoginError, Lost, Operation, ProtocolError};
use crate::held::{Allowance, RowSender, Sent};
use crate::options::{Deadlines, Options};
use crate::sentence::Row;
use crate::session::login::{Login, Step};
use crate::session::{Event, Session, Tag};
use crate::wire::{Decoder, Sentence, encode_sentence};

/// Bytes read at a time: a TLS record, or some forty rows.
const READ_BYTES: usize = 16 * 1024;
/// New commands wait while this much is still to be written.
const UNWRITTEN_BYTES: usize = 256 * 1024;
/// For saying goodbye to a peer that may not listen.
const GOODBYE: Duration = Duration::from_secs(1);

/// Where the answer of a command goes.
pub(crate) struct Channel {
    pub(crate) rows: RowSender,
    pub(crate) completion: oneshot::Sender<Result<Option<Bytes>, Error>>,
    /// Set when a row had to be dropped. Only listens have one: theirs is the one kind of row that a
    /// full print makes good.
    pub(crate) overflow: Option<Arc<AtomicBool>>,
}

/// A command on its way to the router.
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) channel: Channel,
    /// A place under the in-flight limit, held until the router is done with the command.
    pub(crate) place: OwnedSemaphorePermit,
}

/// What the handles and the driver share.
pub(crate) struct Shared {
    /// Wakes the driver to look for abandoned commands and for `is_closing`.
    pub(crate) attention: Notify,
    pub(crate) is_closing: AtomicBool,
    /// What untaken rows may cost.
    pub(crate) allowance: Arc<Allowance>,
}

/// Whoever waits for a tag.
struct Waiter {
    /// `None` once the caller was told, and for a keepalive.
    channel: Option<Channel>,
    is_keepalive: bool,
    _place: Option<OwnedSemaphorePermit>,
}

impl Waiter {
    fn is_abandoned(&self) -> bool {
        match &self.channel {
            Some(channel) => channel.completion.is_closed(),
            None => !self.is_keepalive,
        }
    }
}

enum Wake {
    Read(io::Result<usize>),
    Wrote(io::Result<usize>),
    Request(Option<Request>),
    Attention,
    /// Rows were taken: there is room to read on.
    Room,
    Deadline,
}

pub(crate) struct Driver<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    read_buffer: Vec<u8>,
    decoder: Decoder,
    session: Session<Waiter>,
    unwritten: Vec<u8>,
    written: usize,
    is_flush_due: bool,
    requests: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    /// Whether reading has stopped because the rows that wait have used up their allowance.
    is_stalled: bool,
    deadlines: Deadlines,
    keepalive: Option<Duration>,
    heard_at: Instant,
    lost: watch::Sender<Option<Lost>>,
}

impl<S: AsyncRead + AsyncWrite> Driver<S> {
    pub(crate) fn new(
        stream: S,
        decoder: Decoder,
        options: &Options,
        requests: mpsc::Receiver<Request>,
        shared: Arc<Shared>,
        lost: watch::Sender<Option<Lost>>,
    ) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer,
            read_buffer: vec![0; READ_BYTES],
            decoder,
            session: Session::new(options.deadlines.command_idle, options.deadlines.cancel_drain),
            unwritten: Vec::new(),
            written: 0,
            is_flush_due: false,
            requests,
            shared,
            is_stalled: false,
            deadlines: options.deadlines,
            keepalive: options.keepalive,
            heard_at: Instant::now(),
            lost,
        }
    }

    /// Runs until the connection is over, and tells everyone so.
    pub(crate) async fn run(mut self) {
        let lost = loop {
            if let Err(lost) = self.digest() {
                break lost;
            }
            let wake = self.wait().await;
            if let Err(lost) = self.handle(wake) {
                break lost;
            }
        };
        tracing::debug!(cause = %lost, "connection to the router ended");
        self.end(lost).await;
    }

    /// Applies every whole sentence read so far, until the rows that wait are too many.
    fn digest(&mut self) -> Result<(), Lost> {
        loop {
            self.is_stalled = self.shared.allowance.is_full();
            if self.is_stalled {
                return Ok(());
            }
            match self.decoder.poll() {
                Ok(Some(sentence)) => self.apply(sentence)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(Lost::Protocol(error.into())),
            }
        }
    }

    fn apply(&mut self, sentence: Sentence) -> Result<(), Lost> {
        match self.session.receive(sentence, now())? {
            Event::Row(tag, row) => self.deliver(tag, row)?,
            Event::Finished(waiter, outcome) => {
                if let Some(channel) = waiter.channel {
                    // A caller that has gone does not want it.
                    let _ = channel.completion.send(outcome.map_err(Error::Trap));
                }
            }
            Event::Nothing => {}
        }
        Ok(())
    }

    fn deliver(&mut self, tag: Tag, row: Row) -> Result<(), Lost> {
        let Some(channel) = self.session.waiter(tag).and_then(|waiter| waiter.channel.as_ref()) else {
            return Ok(());
        };
        match channel.rows.send(row) {
            Sent::Held => Ok(()),
            Sent::Unwanted => self.cancel(tag),
            Sent::NoRoom => {
                if let Some(overflow) = &channel.overflow {
                    overflow.store(true, Ordering::Release);
                }
                Ok(())
            }
        }
    }

    async fn wait(&mut self) -> Wake {
        let deadline = self.next_deadline();
        let unwritten = self.unwritten.get(self.written..).unwrap_or_default();
        let is_write_due = !unwritten.is_empty() || self.is_flush_due;
        let is_stalled = self.is_stalled;
        tokio::select! {
            read = self.reader.read(&mut self.read_buffer), if !is_stalled => Wake::Read(read),
            wrote = write_some(&mut self.writer, unwritten), if is_write_due => Wake::Wrote(wrote),
            request = self.requests.recv(), if unwritten.len() < UNWRITTEN_BYTES => Wake::Request(request),
            () = self.shared.attention.notified() => Wake::Attention,
            () = self.shared.allowance.room(), if is_stalled => Wake::Room,
            () = until(deadline) => Wake::Deadline,
        }
    }

    fn handle(&mut self, wake: Wake) -> Result<(), Lost> {
        match wake {
            Wake::Read(Ok(0)) => Err(Lost::Ended { mid_sentence: self.decoder.pending_bytes() > 0 }),
            Wake::Read(Ok(count)) => {
                self.heard_at = Instant::now();
                self.decoder.feed(self.read_buffer.get(..count).unwrap_or_default());
                Ok(())
            }
            Wake::Read(Err(error)) | Wake::Wrote(Err(error)) => Err(Lost::Io(Arc::new(error))),
            Wake::Wrote(Ok(count)) => {
                self.note_written(count);
                Ok(())
            }
            Wake::Request(Some(request)) => self.submit(request),
            // The last handle is gone, and with it everyone who could be waiting.
            Wake::Request(None) => Err(Lost::ClosedHere),
            Wake::Attention => self.look_around(),
            Wake::Room => {
                self.end_stall();
                Ok(())
            }
            Wake::Deadline => self.on_deadline(),
        }
    }

    fn note_written(&mut self, count: usize) {
        if self.unwritten.is_empty() {
            self.is_flush_due = false;
            return;
        }
        self.written = self.written.saturating_add(count);
        if self.written >= self.unwritten.len() {
            self.unwritten.clear();
            self.written = 0;
            self.is_flush_due = true;
        }
    }

    fn submit(&mut self, request: Request) -> Result<(), Lost> {
        let Request { command, channel, place } = request;
        if channel.completion.is_closed() {
            return Ok(());
        }
        let is_listen = channel.overflow.is_some();
        let waiter = Waiter { channel: Some(channel), is_keepalive: false, _place: Some(place) };
        let tag = self.session.next_tag();
        let words = self.session.submit(tag, waiter, &command, is_listen, now());
        self.send(&words)
    }

    fn send(&mut self, words: &[Bytes]) -> Result<(), Lost> {
        encode_sentence(words, &mut self.unwritten).map_err(|error| Lost::Protocol(error.into()))
    }

    /// Cancels what was abandoned; closes when asked to.
    fn look_around(&mut self) -> Result<(), Lost> {
        if self.shared.is_closing.load(Ordering::Acquire) {
            return Err(Lost::ClosedHere);
        }
        for tag in self.session.tags_where(Waiter::is_abandoned) {
            self.cancel(tag)?;
        }
        Ok(())
    }

    fn cancel(&mut self, tag: Tag) -> Result<(), Lost> {
        if let Some(waiter) = self.session.waiter_mut(tag) {
            // Nobody takes its rows any more, so they must not stand in the way of reading on to its `!done`.
            waiter.channel = None;
        }
        let cancel_tag = self.session.next_tag();
        match self.session.cancel(tag, cancel_tag, now()) {
            Some(words) => self.send(&words),
            None => Ok(()),
        }
    }

    /// Nothing was read during a stall, so nobody's silence counts.
    fn end_stall(&mut self) {
        let now = Instant::now();
        self.session.forgive_silence(now.into_std());
        self.heard_at = now;
        self.is_stalled = false;
    }

    /// The command whose rows take up most of the allowance, and since when none of them was taken.
    fn slowest_taker(&self) -> Option<(Tag, Instant)> {
        let waiting = self.session.waiters().filter_map(|(tag, waiter)| {
            let channel = waiter.channel.as_ref().filter(|channel| channel.overflow.is_none())?;
            let (bytes, since) = channel.rows.waiting();
            Some((bytes, tag, since))
        });
        waiting.max_by_key(|(bytes, ..)| *bytes).map(|(_, tag, since)| (tag, since))
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.is_stalled {
            return self.slowest_taker().map(|(_, since)| since + self.deadlines.row_taken);
        }
        let silence = self.session.next_deadline().map(Instant::from_std);
        // While an answer is due its own deadline watches the connection.
        silence.or_else(|| self.keepalive.map(|keepalive| self.heard_at + keepalive))
    }

    fn on_deadline(&mut self) -> Result<(), Lost> {
        let now = Instant::now();
        if self.is_stalled {
            return self.give_up_slowest(now);
        }
        if let Some(lost) = self.session.overdue(now.into_std()) {
            return Err(lost);
        }
        match self.keepalive {
            Some(keepalive) if self.session.next_deadline().is_none() && self.heard_at + keepalive <= now => {
                let command = Command::new("/system/identity/print").proplist(&["name"]);
                let waiter = Waiter { channel: None, is_keepalive: true, _place: None };
                let tag = self.session.next_tag();
                let words = self.session.submit(tag, waiter, &command, false, now.into_std());
                self.send(&words)
            }
            _ => Ok(()),
        }
    }

    /// Cancels the command whose rows are in everybody's way, if it has had its time.
    fn give_up_slowest(&mut self, now: Instant) -> Result<(), Lost> {
        let after = self.deadlines.row_taken;
        let Some((tag, _)) = self.slowest_taker().filter(|(_, since)| *since + after <= now) else {
            return Ok(());
        };
        if let Some(channel) = self.session.waiter_mut(tag).and_then(|waiter| waiter.channel.take()) {
            // With its end of the rows goes their claim on the allowance.
            let _ = channel.completion.send(Err(Error::SlowConsumer { after }));
        }
        self.end_stall();
        self.cancel(tag)
    }

    async fn end(mut self, lost: Lost) {
        // First the reason, for those who find their channel closed. Those who wait for a place get one when
        // the commands in flight are dropped below, and then find the queue closed.
        self.lost.send_replace(Some(lost.clone()));
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            let _ = request.channel.completion.send(Err(Error::Closed { cause: lost.clone() }));
        }
        for (waiter, error) in self.session.end(&lost, now()) {
            if let Some(channel) = waiter.channel {
                let _ = channel.completion.send(Err(error));
            }
        }
        // The peer may be gone; there is no one to tell.
        let _ = timeout(GOODBYE, self.writer.shutdown()).await;
    }
}

/// Writes some of it, or flushes when there is nothing to write (TLS holds records back).
async fn write_some<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) -> io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    match writer.write(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}

/// The session is pure and counts in the standard library's instants; the clock is tokio's, which tests
/// can move.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Logs in on a fresh stream. Nothing else is sent until the router has said `!done`.
pub(crate) async fn log_in<S>(stream: &mut S, decoder: &mut Decoder, options: &Options) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut login = Login::new(&options.user, options.password.clone(), options.legacy_login);
    let deadline = options.deadlines.login;
    match timeout(deadline, exchange(stream, decoder, &mut login)).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(match login.refusal() {
            Some(refused) => refused.into(),
            None => Error::Timeout { operation: Operation::Login, after: deadline },
        }),
    }
}

async fn exchange<S>(stream: &mut S, decoder: &mut Decoder, login: &mut Login) -> Result<(), LoginError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    send_now(stream, &login.words()).await.map_err(|error| broken(login, &error))?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        while let Some(sentence) =
            decoder.poll().map_err(|error| LoginError::NotTheApi(ProtocolError::Framing(error)))?
        {
            match login.receive(sentence)? {
                Step::Wait => {}
                Step::Send(words) => send_now(stream, &words).await.map_err(|error| broken(login, &error))?,
                Step::Ready => return Ok(()),
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) => return Err(login.ended()),
            Ok(count) => decoder.feed(buffer.get(..count).unwrap_or_default()),
            Err(error) => return Err(broken(login, &error)),
        }
    }
}

/// A source that the address lists do not allow is accepted and then dropped, often with a reset.
fn broken(login: &Login, error: &io::Error) -> LoginError {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
            login.ended()
        }
        _ => LoginError::Broken(error.to_string()),
    }
}

async fn send_now<S: AsyncWrite + Unpin>(stream: &mut S, words: &[Bytes]) -> io::Result<()> {
    let mut bytes = Vec::new();
    encode_sentence(words, &mut bytes).map_err(io::Error::other)?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}
