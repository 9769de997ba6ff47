//! Head office's commands on their way to a router and back, and what routers' guards hold.
//!
//! ```text
//! command ─> Commands ─> its router answers ─> "executing", synced ─> Orders ─> Report::Ordered ─> kept, told
//! ```
//!
//! Nothing is done that is not on flash as begun: as long as the store did not open since the start, commands wait for it,
//! and head office, the log and the status say so. Results are told a few at a time, so that a large batch does not fill
//! the link's queue; whatever is lost on the way is told again, because head office asks again. What a command does is
//! `reconcile/orders.rs`; that it is done once is `crate::commands`.

use std::collections::{BTreeMap, VecDeque};

use tawi_shared::UnixMillis;
use tawi_shared::wire::{
    ANSWER_PART_BYTES, AnswerV1, CommandKind, CommandResultV1, CommandStatus, CommandV1, ForeignRowV1,
    ForeignRowsV1, HeldPlanV1, Service, item_bytes,
};
use tokio::sync::mpsc::error::TrySendError;
use tracing::{info, warn};

use super::Site;
use super::answers::Answers;
use super::talk::Talk;
use crate::commands::{Commands, Kept, Taken};
use crate::flow::Done;
use crate::outbox::{StoreHealth, shortened};
use crate::reconcile::held::Held;
use crate::reconcile::orders::{Answer, Order, Orders, What};
use crate::remote::{Asked, Errand};

/// Results that are told at a time: a quarter of what the link takes without being emptied.
const RESULTS_AT_ONCE: usize = 32;
/// Answers with rows that are told at a time, each of up to [`ROWS_BYTES`].
const ROWS_AT_ONCE: usize = 4;
/// Parts of answers that are told at a time: with the heart's tick, 48 KiB a second, and less on a metered line.
const ANSWERS_AT_ONCE: usize = 1;
/// Rows of one message, in bytes; an envelope has 64 KiB.
const ROWS_BYTES: usize = 40 * 1024;
/// Line ids of one message about held lines, in bytes.
const HELD_BYTES: usize = 40 * 1024;
/// Orders of one router that are begun and not done: it carries out one after the other, and of what only waits for its
/// turn a restart should not have to say that nobody knows. Not one alone, so that the router does not wait for flash.
const BEGUN_AHEAD: usize = 4;

/// Why a command was not begun in time.
const ROUTER_SILENT: &str = "its router did not answer in time";
/// The same, where nobody knows what an agent of before began.
const STORE_SHUT: &str =
    "the agent could not read its disk since it was started; whether it was begun before is not known";

/// Commands, and what is to be told of them.
#[derive(Debug, Default)]
pub(super) struct Desk {
    commands: Commands,
    orders: BTreeMap<String, Orders>,
    /// Commands that routers were given and have not answered, with the router of each.
    begun: BTreeMap<String, String>,
    results: VecDeque<CommandResultV1>,
    rows: VecDeque<ForeignRowsV1>,
    held: BTreeMap<String, HeldPlanV1>,
    answers: Answers,
}

impl Desk {
    pub(super) fn new(orders: BTreeMap<String, Orders>, found: Vec<Kept>) -> Self {
        Self { commands: Commands::restored(found), orders, ..Self::default() }
    }

    /// How many more orders a router may be given.
    fn room(&self, router: &str) -> usize {
        BEGUN_AHEAD.saturating_sub(self.begun.values().filter(|of| *of == router).count())
    }

    fn tell(&mut self, result: CommandResultV1) {
        self.results.retain(|waiting| waiting.id != result.id);
        self.results.push_back(result);
    }
}

impl Site {
    /// Takes a command; what waited before it goes first.
    pub(super) async fn take_command(&mut self, command: CommandV1) {
        let now = self.tools.clock.now();
        info!(command.id, command.kind, "head office commands");
        let (id, known) = (command.id.clone(), self.desk.commands.waiting());
        let waits_for_disk = !self.is_store_joined && !is_of_site(&command);
        match self.desk.commands.take(command, now) {
            Taken::Answer(result) => {
                // Head office does not know the result, and may not have the answer either.
                self.desk.answers.tell_again(&result.id);
                self.desk.tell(result);
            }
            Taken::Over(kept) => {
                self.desk.tell(kept.clone().into());
                // Where the disk does not take it, the next start says the same.
                self.keep(vec![kept]).await;
            }
            Taken::Waits if waits_for_disk => {
                let detail = self.words_of_shut_store();
                if self.desk.commands.waiting() > known {
                    warn!(command.id = id, store.why = detail, "a command waits for the disk");
                }
                let detail = shortened(&detail).to_owned();
                self.desk.tell(CommandResultV1 {
                    id,
                    status: CommandStatus::Waiting.code(),
                    at_ms: now.0,
                    detail,
                });
            }
            Taken::Waits => {}
        }
    }

    /// Why nothing is begun while the store is shut.
    fn words_of_shut_store(&self) -> String {
        let waits = "it waits for the agent's disk, as it may have been begun before the agent was started";
        match &self.overview.health {
            StoreHealth::Unwell { error, .. } => format!("{waits}; {}", error.said()),
            StoreHealth::Well => waits.to_owned(),
        }
    }

    /// Commands that wait because the store did not open since the start.
    pub(super) fn waiting_for_disk(&self) -> usize {
        if self.is_store_joined { 0 } else { self.desk.commands.waiting() }
    }

    /// Goes on with commands that were on flash after all.
    pub(super) fn join_commands(&mut self, found: Vec<Kept>) {
        self.desk.commands.join(found);
        self.tell_desk_again();
    }

    /// What became of every command may have been lost with the last connection, and so may what is held.
    pub(super) fn tell_desk_again(&mut self) {
        self.desk.answers.begin_again();
        for result in self.desk.commands.results() {
            // After its answer, when head office asks.
            if !self.desk.answers.has(&result.id) {
                self.desk.tell(result);
            }
        }
        for plan in self.desk.held.values().cloned().collect::<Vec<_>>() {
            self.with_talk(|talk| talk.held(&plan));
        }
    }

    /// Begins what can be begun, and tells what can be told.
    pub(super) async fn work_at_desk(&mut self) {
        let now = self.tools.clock.now();
        let why = if self.is_store_joined { ROUTER_SILENT } else { STORE_SHUT };
        let expired = self.desk.commands.expire(now, why);
        for kept in &expired {
            self.desk.tell(kept.clone().into());
        }
        if self.is_store_joined {
            self.keep(expired).await;
        }
        let due = self.desk.commands.due(|command| self.is_ready(command));
        let (mut begun, mut rooms) = (Vec::new(), BTreeMap::new());
        for command in due {
            let room = rooms.entry(command.router.clone()).or_insert_with(|| self.desk.room(&command.router));
            let Some(left) = room.checked_sub(1) else { continue };
            *room = left;
            match work_of(&command) {
                Ok(what) => {
                    begun
                        .extend(self.desk.commands.begin(&command.id, now).map(|kept| (kept, command, what)));
                }
                Err(why) => self.settle(&command.id, &Done::failed(why)).await,
            }
        }
        if !begun.is_empty() {
            let kept: Vec<Kept> = begun.iter().map(|(kept, ..)| kept.clone()).collect();
            let is_safe = self.keep(kept).await;
            for (_, command, what) in begun {
                self.give(command, what, is_safe).await;
            }
        }
        self.tell_from_desk();
    }

    /// Whether a command can be begun now: its router answers, and a row that is taken over has its line. Before the store
    /// opened any may have been begun before the start, and only what may be done twice is begun: where the disk fails, the
    /// doctor is wanted most.
    fn is_ready(&self, command: &CommandV1) -> bool {
        if is_of_site(command) || !self.is_store_joined {
            return is_of_site(command);
        }
        let is_adopt = command.kind == CommandKind::Adopt.code();
        let is_known = self.desk.orders.contains_key(&command.router);
        let is_there =
            self.progress.routers().any(|(name, router)| name == command.router && router.is_reachable);
        (!is_known || is_there) && (!is_adopt || self.desired.lines.contains_key(&command.line))
    }

    async fn give(&mut self, command: CommandV1, work: Work, is_safe: bool) {
        let what = match work {
            Work::OfRouter(what) => what,
            Work::OfAgent(errand) => {
                let asked = Asked { id: command.id.clone(), errand };
                match self.tools.errands.try_send(asked) {
                    Ok(()) => drop(self.desk.begun.insert(command.id, command.router)),
                    // The heart waits for nobody.
                    Err(refused) => {
                        let why = match refused {
                            TrySendError::Full(_) => "the agent is at too much already; ask again later",
                            TrySendError::Closed(_) => "the agent stops; ask again when it is back",
                        };
                        self.settle(&command.id, &Done::failed(why)).await;
                    }
                }
                return;
            }
        };
        let orders = self.desk.orders.get(&command.router);
        let done = match orders {
            // Were it done now, a power cut could have it done twice.
            _ if !is_safe => Done::failed("the agent's disk takes nothing; nothing was done"),
            None => Done::failed("no router of that name is configured at this site"),
            Some(orders) => {
                let not_after = UnixMillis(command.not_after_ms);
                let order = Order { what, not_after, answer: Answer::HeadOffice(command.id.clone()) };
                match orders.give(order) {
                    Ok(()) => {
                        self.desk.begun.insert(command.id, command.router);
                        return;
                    }
                    Err(_) => Done::failed("too many orders wait for that router"),
                }
            }
        };
        self.settle(&command.id, &done).await;
    }

    /// Takes what became of an order.
    pub(super) async fn take_done(&mut self, router: &str, id: &str, done: Done) {
        if !done.rows.is_empty() {
            let chunks = chunks_of(id, router, &done.rows);
            self.desk.rows.retain(|waiting| waiting.command != id);
            self.desk.rows.extend(chunks);
        }
        self.settle(id, &done).await;
        self.tell_from_desk();
    }

    /// Takes what a command asked to know. What must arrive is told before the command's result; what the next one replaces is
    /// left out where the line may not carry it now.
    pub(super) fn take_answer(&mut self, id: String, text: String, is_whole: bool) {
        if !is_whole {
            let is_heard = self.talk.as_ref().is_some_and(Talk::is_answered);
            if is_heard && text.len() <= ANSWER_PART_BYTES && self.allowance().answers {
                let answer = AnswerV1 { command: id, part: 0, parts: 1, bytes: text.into_bytes() };
                self.tell_answer(&answer, true);
            }
        } else if !self.desk.answers.keep(&id, text, self.line.is_metered()) {
            warn!(command.id = id, "an answer is too large to be told");
        }
    }

    fn tell_answer(&mut self, answer: &AnswerV1, is_light: bool) {
        self.line.told_answer(answer.bytes.len());
        self.with_talk(|talk| talk.answer(answer, is_light));
    }

    async fn settle(&mut self, id: &str, done: &Done) {
        let now = self.tools.clock.now();
        let detail = shortened(&done.detail);
        self.desk.begun.remove(id);
        if let Some(kept) = self.desk.commands.settle(id, done.status, now, detail) {
            self.desk.tell(kept.clone().into());
            self.keep(vec![kept]).await;
        }
    }

    /// Takes what a router's guard holds, and tells of it.
    pub(super) fn take_held(&mut self, router: String, held: &Held) {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let mut bytes = 0_usize;
        let fits = |line: &&String| {
            bytes = bytes.saturating_add(item_bytes(*line));
            bytes <= HELD_BYTES
        };
        let plan = HeldPlanV1 {
            router: router.clone(),
            digest: held.digest(),
            lines_total: count(held.lines.len()),
            lines_working: count(held.working),
            lines: held.lines.iter().take_while(fits).cloned().collect(),
            at_ms: self.tools.clock.now().0,
        };
        self.with_talk(|talk| talk.held(&plan));
        self.desk.held.insert(router, plan);
    }

    /// Forgets commands that nobody asks about any more.
    pub(super) async fn tidy_desk(&mut self, now: UnixMillis) {
        self.desk.answers.forget_old();
        let old = self.desk.commands.forget_old(now);
        if !old.is_empty() {
            let _ = self.tools.outbox.call(move |keeper| keeper.forget_commands(&old)).await;
        }
    }

    fn tell_from_desk(&mut self) {
        if !self.talk.as_ref().is_some_and(Talk::is_answered) {
            return;
        }
        for _ in 0..ANSWERS_AT_ONCE {
            let may_be_told = self.desk.answers.wait() && self.allowance().answers;
            let Some(answer) = may_be_told.then(|| self.desk.answers.next()).flatten() else { break };
            self.tell_answer(&answer, false);
        }
        for _ in 0..RESULTS_AT_ONCE.min(self.desk.results.len()) {
            let Some(result) = self.desk.results.pop_front() else { break };
            if self.desk.answers.is_being_told(&result.id) {
                self.desk.results.push_back(result);
            } else {
                self.with_talk(|talk| talk.result(&result));
            }
        }
        for _ in 0..ROWS_AT_ONCE {
            let Some(rows) = self.desk.rows.pop_front() else { break };
            self.with_talk(|talk| talk.foreign_rows(&rows));
        }
        self.drop_lost();
    }

    /// Puts commands on flash; whether they are safe there.
    async fn keep(&self, kept: Vec<Kept>) -> bool {
        if kept.is_empty() {
            return true;
        }
        let put = self.tools.outbox.call(move |keeper| keeper.put_commands(&kept)).await;
        match put.and_then(|put| put) {
            Ok(()) => true,
            Err(error) => {
                warn!(%error, "what became of a command is not on flash");
                false
            }
        }
    }
}

/// What a command asks for.
#[derive(Debug)]
enum Work {
    OfRouter(What),
    OfAgent(Errand),
}

fn is_of_site(command: &CommandV1) -> bool {
    CommandKind::from_code(command.kind).is_some_and(CommandKind::is_of_site)
}

fn work_of(command: &CommandV1) -> Result<Work, &'static str> {
    let kind = CommandKind::from_code(command.kind);
    match kind.and_then(|kind| Errand::of(kind, command)) {
        Some(errand) => errand.map(Work::OfAgent),
        None => what_of(command).map(Work::OfRouter),
    }
}

fn what_of(command: &CommandV1) -> Result<What, &'static str> {
    let line = command.line.clone();
    match CommandKind::from_code(command.kind) {
        Some(CommandKind::ReleaseHeld) => Ok(What::LetGo { digest: command.argument.clone() }),
        Some(CommandKind::Kick) => Ok(What::EndSessions { line }),
        Some(CommandKind::Rebuild) => Ok(What::Rebuild),
        Some(CommandKind::ListForeign) => Ok(What::ListForeign),
        Some(CommandKind::Adopt) => {
            let service = Service::from_code(command.service).ok_or("the command names no service")?;
            Ok(What::Adopt { line, service, username: command.argument.clone() })
        }
        _ => Err("this agent does not know that command; update it"),
    }
}

/// Rows in messages that each fit an envelope.
fn chunks_of(command: &str, router: &str, rows: &[ForeignRowV1]) -> Vec<ForeignRowsV1> {
    let mut parts: Vec<Vec<ForeignRowV1>> = Vec::new();
    let mut bytes = ROWS_BYTES;
    for row in rows {
        let size = item_bytes(row);
        if bytes.saturating_add(size) > ROWS_BYTES {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes = bytes.saturating_add(size);
        if let Some(part) = parts.last_mut() {
            part.push(row.clone());
        }
    }
    let chunks = u16::try_from(parts.len()).unwrap_or(u16::MAX);
    let message = |(chunk, rows): (u16, Vec<ForeignRowV1>)| ForeignRowsV1 {
        command: command.to_owned(),
        chunk,
        chunks,
        router: router.to_owned(),
        rows,
    };
    (0..).zip(parts).map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::wire::encode;

    #[test]
    fn rows_are_cut_into_messages_that_fit() {
        let row = |number: usize| ForeignRowV1 {
            service: 1,
            username: format!("plot{number}"),
            comment: "x".repeat(200),
            profile: "home".into(),
            rate_limit: "5M/10M".into(),
            is_disabled: false,
            is_online: true,
            address: "10.0.0.1".into(),
            caller_id: "AA:BB:CC:DD:EE:FF".into(),
        };
        let rows: Vec<_> = (0..2_000).map(row).collect();
        let chunks = chunks_of("c", "core", &rows);
        assert!(chunks.len() > 5);
        for (index, chunk) in chunks.iter().enumerate() {
            assert_eq!((usize::from(chunk.chunk), usize::from(chunk.chunks)), (index, chunks.len()));
            encode(chunk, 0, 1, 0).unwrap();
        }
        let joined: Vec<_> = chunks.into_iter().flat_map(|chunk| chunk.rows).collect();
        assert_eq!(joined, rows);
        assert!(chunks_of("c", "core", &[]).is_empty());
    }

    #[test]
    fn every_command_asks_for_something() {
        for kind in CommandKind::ALL {
            let command = CommandV1 {
                id: "a".into(),
                kind: kind.code(),
                not_after_ms: 0,
                router: "core".into(),
                line: "b7k2".into(),
                argument: "plot17".into(),
                service: Service::Pppoe.code(),
            };
            let argument = match kind {
                CommandKind::SetLogLevel => "warn",
                CommandKind::Watch => "60",
                _ => "plot17",
            };
            let command = CommandV1 { argument: argument.into(), ..command };
            assert!(work_of(&command).is_ok(), "{kind:?}");
            let nowhere = CommandV1 { service: 999, ..command };
            assert_eq!(work_of(&nowhere).is_err(), *kind == CommandKind::Adopt, "{kind:?}");
        }
    }
}
