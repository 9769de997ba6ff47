//! What head office commands once, and that it is done at most once. Pure: commands and times in, what to do out.
//!
//! ```text
//!            ┌────────── no room ──────────> failed
//! command ───┼────────── too late ─────────> expired
//!            └─> waits for its router ─> executing ─> succeeded | failed
//!                        ^── restart, and twice is once ──┘
//! ```
//!
//! A command may come any number of times: with each hello, and again while head office has not heard what became of it.
//! What is executing is on flash before anything is done, so that a restart in the middle never does it again; whether it
//! was done is then not known, and said so: it has failed. Only what is the same done twice as once is begun again, when it comes again.
//! Results are kept and told again until nobody can ask any more. Doing it is `reconcile/orders.rs`; keeping it on flash is
//! `outbox`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tawi_shared::UnixMillis;
use tawi_shared::wire::{CommandKind, CommandResultV1, CommandStatus, CommandV1};

/// Commands that are kept, whatever their state: each row of a large router taken over on one day, twice.
pub const KEPT: usize = 4_096;
/// How long after its last instant a result is kept: head office asks no more than a day behind.
pub const KEPT_AFTER: Duration = Duration::from_secs(2 * 86_400);
/// The longest id that is taken, in bytes; the longest argument is a name on a router.
const ID_BYTES: usize = 64;
const ARGUMENT_BYTES: usize = 255;

/// What is kept of a command on flash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which.
    pub id: String,
    /// Until when it might have been begun.
    pub not_after_ms: i64,
    /// A [`CommandStatus`] code.
    pub status: u16,
    /// When that was.
    pub at_ms: i64,
    /// For a person.
    pub detail: String,
}

impl From<Kept> for CommandResultV1 {
    fn from(kept: Kept) -> Self {
        kept.result()
    }
}

impl Kept {
    /// What is left of a damaged record: it was begun, and nobody knows more.
    #[must_use]
    pub fn unreadable(id: &str) -> Self {
        let status = CommandStatus::Failed.code();
        let detail = "what became of it was damaged on flash; look before you command it again".to_owned();
        Self { id: id.to_owned(), not_after_ms: i64::MAX, status, at_ms: 0, detail }
    }

    fn result(&self) -> CommandResultV1 {
        CommandResultV1 {
            id: self.id.clone(),
            status: self.status,
            at_ms: self.at_ms,
            detail: self.detail.clone(),
        }
    }
}

/// What to do with a command that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing new: tell what became of it.
    Answer(CommandResultV1),
    /// A restart cut it short and it is not begun again: nobody will know more. To be kept, and told.
    Over(Kept),
    /// It waits for its router now; it did so already if it came before.
    Waits,
}

/// All commands that are known.
#[derive(Clone, Debug, Default)]
pub struct Commands {
    kept: BTreeMap<String, Kept>,
    /// Not begun in this run. They are not on flash: head office commands them again.
    waiting: BTreeMap<String, CommandV1>,
    /// What was executing when the agent was stopped, and did not come again yet.
    interrupted: BTreeSet<String>,
}

/// What is said of a command that a restart cut short and that is not begun again.
const INTERRUPTED: &str = "the agent was restarted while it was at it; whether it was done is not known: look before you command it again";

/// Whether done twice it is the same as done once, so that it may be begun again although it may have been done: a row that
/// is the line's own already stays so, and to name rows or look at something changes nothing.
fn is_repeatable(kind: u16) -> bool {
    match CommandKind::from_code(kind) {
        Some(CommandKind::Adopt | CommandKind::ListForeign) => true,
        Some(kind) if kind.is_of_site() => true,
        _ => false,
    }
}

impl Commands {
    /// Goes on with what was found on flash. What was executing then may have been done.
    #[must_use]
    pub fn restored(found: Vec<Kept>) -> Self {
        let mut commands = Self::default();
        for mut kept in found {
            if kept.status == CommandStatus::Executing.code() {
                "the agent was restarted while it was at it; look before you command it again"
                    .clone_into(&mut kept.detail);
                commands.interrupted.insert(kept.id.clone());
            }
            commands.kept.insert(kept.id.clone(), kept);
        }
        commands
    }

    /// Goes on with what was found on flash only after others had come: what was begun before is not begun again.
    pub fn join(&mut self, found: Vec<Kept>) {
        // What the store itself refuses to have begun again is not.
        let found = Self::restored(found);
        self.interrupted.extend(found.interrupted);
        for (id, kept) in found.kept {
            self.waiting.remove(&id);
            // Nothing is begun without flash: what came meanwhile was refused, and that is not what became of it.
            self.kept.insert(id, kept);
        }
    }

    /// Takes a command. What is refused here is refused for good.
    pub fn take(&mut self, command: CommandV1, now: UnixMillis) -> Taken {
        if let Some(known) = self.take_known(&command, now) {
            return known;
        }
        if self.waiting.contains_key(&command.id) {
            return Taken::Waits;
        }
        let answer = |status: CommandStatus, detail: &str| {
            let detail = detail.to_owned();
            Taken::Answer(CommandResultV1 {
                id: command.id.clone(),
                status: status.code(),
                at_ms: now.0,
                detail,
            })
        };
        if command.id.is_empty() || command.id.len() > ID_BYTES || command.argument.len() > ARGUMENT_BYTES {
            return answer(CommandStatus::Failed, "the command cannot be read");
        }
        if CommandKind::from_code(command.kind).is_none() {
            return answer(CommandStatus::Failed, "this agent does not know that command; update it");
        }
        if command.not_after_ms < now.0 {
            return answer(CommandStatus::Expired, "it came too late and was not begun");
        }
        if self.kept.len().saturating_add(self.waiting.len()) >= KEPT {
            return answer(CommandStatus::Failed, "too many commands are known here; try again tomorrow");
        }
        self.waiting.insert(command.id.clone(), command);
        Taken::Waits
    }

    /// What there is to say of a command that was begun before; `None` for another.
    fn take_known(&mut self, command: &CommandV1, now: UnixMillis) -> Option<Taken> {
        let kept = self.kept.get_mut(&command.id)?;
        if !self.interrupted.remove(&command.id) {
            return Some(Taken::Answer(kept.result()));
        }
        if is_repeatable(command.kind) && command.not_after_ms >= now.0 {
            "the agent was restarted while it was at it; it is begun again".clone_into(&mut kept.detail);
            self.waiting.insert(command.id.clone(), command.clone());
            return Some(Taken::Answer(kept.result()));
        }
        self.settle(&command.id, CommandStatus::Failed, now, INTERRUPTED).map(Taken::Over)
    }

    /// What waits and `is_ready` to be begun; the oldest first, by their last instant.
    #[must_use]
    pub fn due(&self, is_ready: impl Fn(&CommandV1) -> bool) -> Vec<CommandV1> {
        let mut due: Vec<_> = self.waiting.values().filter(|command| is_ready(command)).cloned().collect();
        due.sort_by(|one, other| (one.not_after_ms, &one.id).cmp(&(other.not_after_ms, &other.id)));
        due
    }

    /// What waited for too long, and why: to be told, and kept.
    pub fn expire(&mut self, now: UnixMillis, why: &str) -> Vec<Kept> {
        let late: Vec<String> = self
            .waiting
            .values()
            .filter(|command| command.not_after_ms < now.0)
            .map(|command| command.id.clone())
            .collect();
        let settle = |id: &String| {
            let was_begun = self.kept.contains_key(id);
            let begun =
                (CommandStatus::Failed, "it was begun before a restart; whether it was done is not known");
            let (status, why) = if was_begun { begun } else { (CommandStatus::Expired, why) };
            self.settle(id, status, now, why)
        };
        late.iter().filter_map(settle).collect()
    }

    /// Notes that a command is about to be begun. It must be on flash before anything is done; `None` for one that does
    /// not wait.
    pub fn begin(&mut self, id: &str, now: UnixMillis) -> Option<Kept> {
        self.settle(id, CommandStatus::Executing, now, "")
    }

    /// Notes what became of a command; `None` for one that is not known, or is over.
    pub fn settle(&mut self, id: &str, status: CommandStatus, now: UnixMillis, detail: &str) -> Option<Kept> {
        let not_after_ms = match (self.waiting.remove(id), self.kept.get(id)) {
            (Some(command), _) => command.not_after_ms,
            (None, Some(kept)) if kept.status == CommandStatus::Executing.code() => kept.not_after_ms,
            _ => return None,
        };
        let detail = detail.to_owned();
        let kept = Kept { id: id.to_owned(), not_after_ms, status: status.code(), at_ms: now.0, detail };
        self.kept.insert(id.to_owned(), kept.clone());
        Some(kept)
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// What became of the commands that head office may still ask about.
    #[must_use]
    pub fn results(&self) -> Vec<CommandResultV1> {
        self.kept.values().map(Kept::result).collect()
    }

    /// Forgets what nobody asks about any more, and says what to take off flash. `now` only while the clock is trusted.
    pub fn forget_old(&mut self, now: UnixMillis) -> Vec<String> {
        let is_old = |kept: &Kept| now.since(UnixMillis(kept.not_after_ms)) > KEPT_AFTER;
        let old: Vec<String> = self.kept.extract_if(.., |_, kept| is_old(kept)).map(|(id, _)| id).collect();
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn kick(id: &str, not_after: i64) -> CommandV1 {
        CommandV1 {
            id: id.into(),
            kind: CommandKind::Kick.code(),
            not_after_ms: not_after,
            router: "core".into(),
            line: "b7k2".into(),
            argument: String::new(),
            service: 0,
        }
    }

    fn status(taken: Taken) -> Option<CommandStatus> {
        match taken {
            Taken::Answer(result) => CommandStatus::from_code(result.status),
            Taken::Over(kept) => CommandStatus::from_code(kept.status),
            Taken::Waits => None,
        }
    }

    #[test]
    fn a_command_is_begun_once_however_often_it_comes_and_whatever_restarts() {
        let mut commands = Commands::default();
        assert_eq!(commands.take(kick("a", 2_000_000), NOW), Taken::Waits);
        assert_eq!(commands.take(kick("a", 2_000_000), NOW), Taken::Waits);
        assert_eq!(commands.due(|_| true).len(), 1);
        assert_eq!(commands.due(|command| command.router != "core").len(), 0);
        let kept = commands.begin("a", NOW).unwrap();
        assert_eq!(commands.begin("a", NOW).map(|kept| kept.id), Some("a".into()), "still executing");
        assert!(commands.due(|_| true).is_empty());
        let mut restarted = Commands::restored(vec![kept]);
        let Taken::Over(kept) = restarted.take(kick("a", 2_000_000), NOW) else {
            panic!("it is begun again")
        };
        assert_eq!(CommandStatus::from_code(kept.status), Some(CommandStatus::Failed));
        assert!(kept.detail.contains("not known"));
        let done = commands.settle("a", CommandStatus::Succeeded, NOW, "1 session ended").unwrap();
        assert_eq!(commands.settle("a", CommandStatus::Failed, NOW, ""), None, "what is over stays so");
        let mut restarted = Commands::restored(vec![done]);
        assert_eq!(status(restarted.take(kick("a", 2_000_000), NOW)), Some(CommandStatus::Succeeded));
        assert_eq!(restarted.results().len(), 1);
    }

    #[test]
    fn what_is_the_same_done_twice_is_begun_again_after_a_restart_and_nothing_else() {
        for kind in CommandKind::ALL {
            let command = CommandV1 { kind: kind.code(), ..kick("a", 2_000_000) };
            let mut before = Commands::default();
            before.take(command.clone(), NOW);
            let begun = before.begin("a", NOW).unwrap();
            assert_eq!(status(before.take(command.clone(), NOW)), Some(CommandStatus::Executing));
            assert!(before.due(|_| true).is_empty(), "{kind:?} is begun twice in one run");
            let mut late = Commands::restored(vec![begun.clone()]);
            late.take(command.clone(), UnixMillis(2_000_001));
            assert!(late.due(|_| true).is_empty(), "{kind:?} is begun too late");

            let mut restarted = Commands::restored(vec![begun]);
            let is_again = matches!(kind, CommandKind::Adopt | CommandKind::ListForeign) || kind.is_of_site();
            let wanted = if is_again { CommandStatus::Executing } else { CommandStatus::Failed };
            for _ in 0..2 {
                assert_eq!(status(restarted.take(command.clone(), NOW)), Some(wanted), "{kind:?}");
            }
            assert_eq!(restarted.due(|_| true).len(), usize::from(is_again), "{kind:?}");
            let said = &restarted.results()[0].detail;
            assert_eq!(said.contains("begun again"), is_again, "{kind:?}: {said}");
            let mut silent = restarted.clone();
            let expired = silent.expire(UnixMillis(2_000_001), "its router did not answer in time");
            let expired: Vec<_> = expired.iter().map(|kept| kept.status).collect();
            let unknown = is_again.then_some(CommandStatus::Failed.code());
            assert_eq!(expired, Vec::from_iter(unknown), "{kind:?}: nobody knows whether it was done");
            restarted.begin("a", NOW);
            restarted.take(command.clone(), NOW);
            assert!(restarted.due(|_| true).is_empty(), "{kind:?} is begun a third time");
            let done = restarted.settle("a", CommandStatus::Succeeded, NOW, "");
            assert_eq!(done.is_some(), is_again, "{kind:?}: what nobody knows is over");
            assert_eq!(status(late.take(command, UnixMillis(2_000_002))), Some(CommandStatus::Failed));
        }
    }

    #[test]
    fn a_command_that_was_begun_before_a_start_without_flash_is_not_begun_when_flash_is_found() {
        let mut before = Commands::default();
        before.take(kick("begun", 2_000_000), NOW);
        let begun = before.begin("begun", NOW).unwrap();
        let mut commands = Commands::default();
        for id in ["begun", "new"] {
            assert_eq!(commands.take(kick(id, 2_000_000), NOW), Taken::Waits);
        }
        commands.join(vec![begun]);
        let due: Vec<_> = commands.due(|_| true).into_iter().map(|command| command.id).collect();
        assert_eq!(due, ["new"]);
        let Taken::Over(kept) = commands.take(kick("begun", 2_000_000), NOW) else {
            panic!("it is begun again")
        };
        assert!(kept.detail.contains("restarted"), "{}", kept.detail);
    }

    #[test]
    fn what_comes_too_late_or_waits_too_long_is_not_begun() {
        let mut commands = Commands::default();
        assert_eq!(status(commands.take(kick("late", NOW.0 - 1), NOW)), Some(CommandStatus::Expired));
        commands.take(kick("waits", NOW.0 + 5), NOW);
        assert!(commands.expire(UnixMillis(NOW.0 + 5), "").is_empty());
        let expired = commands.expire(UnixMillis(NOW.0 + 6), "");
        assert_eq!(expired.iter().map(|kept| kept.id.as_str()).collect::<Vec<_>>(), ["waits"]);
        assert!(commands.due(|_| true).is_empty());
        assert_eq!(status(commands.take(kick("waits", NOW.0 + 5), NOW)), Some(CommandStatus::Expired));
    }

    #[test]
    fn strange_commands_are_refused_and_what_is_kept_is_bounded() {
        let mut commands = Commands::default();
        let check = |commands: &mut Commands, command: CommandV1| {
            assert_eq!(status(commands.take(command, NOW)), Some(CommandStatus::Failed));
        };
        check(&mut commands, kick("", NOW.0));
        check(&mut commands, kick(&"x".repeat(65), NOW.0));
        check(&mut commands, CommandV1 { kind: 999, ..kick("a", NOW.0) });
        check(&mut commands, CommandV1 { argument: "x".repeat(256), ..kick("a", NOW.0) });
        for number in 0..KEPT {
            assert_eq!(commands.take(kick(&number.to_string(), NOW.0), NOW), Taken::Waits);
        }
        check(&mut commands, kick("one more", NOW.0));
        commands.expire(UnixMillis(NOW.0 + 1), "");
        assert!(commands.forget_old(UnixMillis(NOW.0 + 1)).is_empty());
        let after = UnixMillis(NOW.0 + 1).plus(KEPT_AFTER);
        assert_eq!(commands.forget_old(after).len(), KEPT);
        assert_eq!(commands.take(kick("one more", after.0), after), Taken::Waits);
    }
}
