//! One API connection: sentences in, commands run in their order, replies out by tag.
//!
//! ```text
//! before login ── /login ok ──> ready ── /quit, error, fault ──> closed
//!      └─ any other command: !fatal not logged in ──────────────────┘
//! ```
//!
//! Latency is like that of a network: each command waits its own time, beside the others. Running is
//! serial, across all connections, when the fault `serial_ms` gives commands a length. `/cancel` does
//! not wait for the processor. What commands do is in [`crate::engine`].

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use routeros_api::wire::{Decoder, Limits, WireError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::engine::Answer;
use crate::outbox::{Outbox, Reply};
use crate::policies::Actor;
use crate::request::Request;
use crate::router::Router;
use crate::state::{ConnectionId, Pushed};
use crate::trap::Trap;

/// Commands of one connection that wait; further ones stay in the socket.
const MOST_WAITING_COMMANDS: usize = 256;
/// Replies of one connection that wait before it is read again: two prints of a large router.
const MOST_WAITING_REPLIES: usize = 50_000;
/// Rows pushed to a connection's listens that wait; more, and the connection is cut.
const MOST_WAITING_PUSHES: usize = 16_384;
/// Size of one read.
const READ_BYTES: usize = 16 * 1024;
/// What the router needs before login: a name and a password, not a megabyte.
const LIMITS: Limits = Limits { word_bytes: 64 * 1024, words: 1024, sentence_bytes: 256 * 1024 };
/// How long a closing connection tries to send its last words.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a `/system/reboot` takes.
const REBOOT_MS: u64 = 2_000;

/// Why a connection ended, other than by its peer or by a fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The socket failed.
    #[error("socket failed: {0}")]
    Socket(#[from] io::Error),
    /// The bytes are no sentences.
    #[error("bytes are no sentences: {0}")]
    Wire(#[from] WireError),
}

/// A command on its way.
struct Waiting {
    request: Request,
    ready_at: Instant,
    has_processor: bool,
}

struct Session {
    router: Router,
    id: ConnectionId,
    actor: Option<Actor>,
    decoder: Decoder,
    waiting: VecDeque<Waiting>,
    outbox: Outbox,
    push_sender: mpsc::Sender<Pushed>,
    pushes: mpsc::Receiver<Pushed>,
    is_closing: bool,
}

/// Serves a connection until it ends.
pub(crate) async fn serve<S>(
    stream: S,
    router: Router,
    service: &'static str,
    peer: IpAddr,
) -> Result<(), SessionError>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    // A source that is not allowed, and one connection too many, see an accept and then the end.
    let Some(id) = router.open(service, peer) else { return Ok(()) };
    let _close = CloseOnDrop { router: router.clone(), id };
    let (push_sender, pushes) = mpsc::channel(MOST_WAITING_PUSHES);
    let session = Session {
        router,
        id,
        actor: None,
        decoder: Decoder::new(LIMITS),
        waiting: VecDeque::new(),
        outbox: Outbox::default(),
        push_sender,
        pushes,
        is_closing: false,
    };
    let (reader, writer) = tokio::io::split(stream);
    session.run(reader, writer).await
}

struct CloseOnDrop {
    router: Router,
    id: ConnectionId,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.router.close(self.id);
    }
}

/// What woke a connection.
enum Woken {
    Read(usize),
    Wrote(usize),
    Flushed,
    Push(Option<Pushed>),
    Due,
    Gate,
    Cut,
}

impl Session {
    async fn run<S: AsyncRead + AsyncWrite>(
        mut self,
        mut reader: ReadHalf<S>,
        mut writer: WriteHalf<S>,
    ) -> Result<(), SessionError> {
        let (mut cuts, mut gate, mut stopping) =
            (self.router.cuts(), self.router.gate(), self.router.stopping());
        let mut buffer = vec![0; READ_BYTES];
        let mut needs_flush = false;
        loop {
            let is_stalled = self.router.is_stalled();
            if !is_stalled {
                self.run_due();
            }
            if self.router.is_cut_off(self.id) {
                return Ok(());
            }
            let due_at = self.waiting.front().map(|waiting| waiting.ready_at);
            let may_read = !is_stalled
                && !self.is_closing
                && self.waiting.len() < MOST_WAITING_COMMANDS
                && self.outbox.waiting() < MOST_WAITING_REPLIES;
            let may_push = !is_stalled && self.outbox.waiting() < MOST_WAITING_REPLIES;
            let unsent = self.outbox.unsent()?;
            let unsent = unsent.get(..self.router.may_send(unsent.len())).unwrap_or_default();
            if self.is_closing && unsent.is_empty() {
                // Whether the peer still takes the last words is its own affair.
                let _peer_gone = tokio::time::timeout(LAST_WORDS, writer.shutdown()).await;
                return Ok(());
            }
            let woken = tokio::select! {
                read = reader.read(&mut buffer), if may_read => Woken::Read(read?),
                sent = send(&mut writer, unsent, needs_flush), if !is_stalled => sent?,
                push = self.pushes.recv(), if may_push => Woken::Push(push),
                () = sleep_until(due_at), if !is_stalled => Woken::Due,
                _ = gate.changed() => Woken::Gate,
                _ = cuts.changed() => Woken::Cut,
                _ = stopping.changed() => Woken::Cut,
            };
            match woken {
                Woken::Read(0) | Woken::Wrote(0) | Woken::Cut | Woken::Push(None) => return Ok(()),
                Woken::Read(count) => self.take(buffer.get(..count).unwrap_or_default())?,
                Woken::Wrote(count) => {
                    self.outbox.advance(count);
                    needs_flush = true;
                    if self.router.sent(count) {
                        // The fault: the last byte leaves, and then nothing more does.
                        writer.flush().await?;
                        return Ok(());
                    }
                }
                Woken::Flushed => needs_flush = false,
                Woken::Push(Some(push)) => self.outbox.push(&push.tag, Reply::Row(push.row)),
                Woken::Due | Woken::Gate => {}
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.decoder.feed(bytes);
        let ready_at = Instant::now() + self.router.latency();
        while let Some(sentence) = self.decoder.poll()? {
            if let Some(request) = Request::from_words(&sentence.0) {
                self.waiting.push_back(Waiting { request, ready_at, has_processor: false });
            }
        }
        Ok(())
    }

    /// Runs every command whose time has come.
    fn run_due(&mut self) {
        self.run_due_cancels();
        loop {
            let now = Instant::now();
            let Some(front) = self.waiting.front_mut() else { return };
            if front.ready_at > now || self.is_closing {
                return;
            }
            if !front.has_processor {
                front.has_processor = true;
                let waited = now.saturating_duration_since(front.ready_at);
                front.ready_at = now + self.router.reserve_processor(&front.request, waited);
                continue;
            }
            if let Some(waiting) = self.waiting.pop_front() {
                self.run_one(&waiting.request);
            }
        }
    }

    fn run_due_cancels(&mut self) {
        let now = Instant::now();
        let is_due = |waiting: &Waiting| waiting.ready_at <= now && waiting.request.is_cancel();
        while let Some(at) = self.waiting.iter().position(is_due) {
            if self.actor.is_none() {
                return;
            }
            if let Some(cancel) = self.waiting.remove(at) {
                self.cancel(&cancel.request);
            }
        }
    }

    fn run_one(&mut self, request: &Request) {
        let path = (request.menu.as_str(), request.command.as_str());
        if path == ("", "login") {
            let reply = self.router.log_in(self.id, request);
            let answer = reply.map(|actor| {
                self.actor = Some(actor);
                Answer::default()
            });
            return self.reply(request, answer, false);
        }
        let Some(actor) = self.actor.clone() else {
            return self.end_with("not logged in");
        };
        match path {
            ("", "quit") => self.end_with("session terminated on request"),
            ("", "cancel") => self.cancel(request),
            ("system", "reboot") if actor.may("reboot") => {
                self.router.reboot(REBOOT_MS);
            }
            ("system", "reset-configuration") if actor.may("policy") => self.reset_configuration(request),
            ("system", "reboot" | "reset-configuration") => {
                self.reply(request, Err(Trap::not_permitted()), false);
            }
            _ => {
                let answer = self.router.execute(self.id, request, &actor, &self.push_sender);
                if request.command == "listen" && answer.is_ok() {
                    return;
                }
                let is_print = matches!(request.command.as_str(), "print" | "getall");
                self.reply(request, answer, is_print);
            }
        }
    }

    /// Answers only when it is refused; otherwise the line drops.
    fn reset_configuration(&mut self, request: &Request) {
        const KNOWN: [&[u8]; 3] = [b"keep-users", b"no-defaults", b"skip-backup"];
        if let Some((name, _)) = request.arguments.iter().find(|(name, _)| !KNOWN.contains(&name.as_slice()))
        {
            return self.reply(request, Err(Trap::unknown_parameter(name)), false);
        }
        let keeps_users = matches!(request.argument("keep-users"), Some(b"yes" | b"true"));
        if self.router.reset_configuration(keeps_users, REBOOT_MS).is_err() {
            self.reply(request, Err(Trap::failure("failure: cannot reset")), false);
        }
    }

    fn reply(&mut self, request: &Request, answer: Result<Answer, Trap>, says_empty: bool) {
        let tag = &request.tag;
        let ret = match answer {
            Ok(answer) => {
                if says_empty && answer.rows.is_empty() && answer.ret.is_none() && self.router.says_empty() {
                    self.outbox.push(tag, Reply::Empty);
                }
                answer.rows.into_iter().for_each(|row| self.outbox.push(tag, Reply::Row(row)));
                answer.ret
            }
            Err(trap) => {
                self.outbox.push(tag, Reply::Trap(trap));
                None
            }
        };
        self.outbox.push(tag, Reply::Done(ret));
    }

    fn cancel(&mut self, request: &Request) {
        let answer = match request.argument("tag") {
            Some(tag) if self.interrupt(tag) => Ok(Answer::default()),
            Some(_) => Err(Trap::no_such_item()),
            None => {
                let mut tags: Vec<Vec<u8>> =
                    self.waiting.iter().map(|waiting| waiting.request.tag.clone()).collect();
                tags.extend(self.outbox.tags());
                tags.extend(self.router.listening_tags(self.id));
                tags.sort();
                tags.dedup();
                for tag in tags {
                    self.interrupt(&tag);
                }
                Ok(Answer::default())
            }
        };
        self.reply(request, answer, false);
    }

    /// Stops what runs under a tag, which then gets its trap and its `!done`; whether anything did.
    fn interrupt(&mut self, tag: &[u8]) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|waiting| waiting.request.tag != tag || waiting.request.is_cancel());
        let was_waiting = self.waiting.len() < before;
        let was_listening = self.router.stop_listening(self.id, tag);
        // Rows that are on their way to a listen must not follow its `!done`.
        while let Ok(push) = self.pushes.try_recv() {
            self.outbox.push(&push.tag, Reply::Row(push.row));
        }
        let was_sending = self.outbox.cancel(tag);
        let was_there = was_waiting || was_listening || was_sending;
        if was_there {
            self.outbox.push(tag, Reply::Trap(Trap::interrupted()));
            self.outbox.push(tag, Reply::Done(None));
        }
        was_there
    }

    fn end_with(&mut self, reason: &'static str) {
        self.outbox.push(b"", Reply::Fatal(reason));
        self.is_closing = true;
    }
}

impl Request {
    fn is_cancel(&self) -> bool {
        self.menu.is_empty() && self.command == "cancel"
    }
}

/// Writes some bytes, or flushes what was written (TLS holds back a part), or has nothing to do. Safe to
/// drop and call again.
async fn send<W: AsyncWrite + Unpin>(writer: &mut W, unsent: &[u8], needs_flush: bool) -> io::Result<Woken> {
    if !unsent.is_empty() {
        writer.write(unsent).await.map(Woken::Wrote)
    } else if needs_flush {
        writer.flush().await.map(|()| Woken::Flushed)
    } else {
        std::future::pending().await
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
