//! Answers to head office: kept until nobody asks any more, and told in parts before the result of their command.
//!
//! Head office commands again until it knows the result, so a result that came has its answer before it. They are in memory
//! alone: after a restart the command is begun again, or its answer is lost and said so there.

use std::collections::VecDeque;
use std::time::Duration;

use tawi_shared::wire::{ANSWER_PART_BYTES, ANSWER_PARTS, AnswerV1};
use tokio::time::Instant;

/// Bytes of all answers that are kept: one of the largest.
const KEPT_BYTES: usize = ANSWER_PART_BYTES * ANSWER_PARTS;
/// How long: head office closes a command an hour after its last instant.
const KEPT_FOR: Duration = Duration::from_secs(90 * 60);
/// The least of a part where the line is metered: small enough that a report of the doctor is told within what may be told at
/// once, and large enough that what is around a part is little of it.
const METERED_PART_BYTES: usize = 4 * 1024;

/// What was told so long before a connection ended has arrived: the longest keep-alive finds a dead one within it.
const LOST_WITHIN: Duration = Duration::from_secs(450);
const TOLD_AT_MOST: u8 = 3;

#[derive(Debug)]
struct Kept {
    command: String,
    text: String,
    /// Where each part ends: between two characters.
    ends: Vec<usize>,
    since: Instant,
    /// The part that is told next; `None` when all were.
    next: Option<usize>,
    /// When each part was told last, and how often.
    told: Vec<(Instant, u8)>,
}

impl Kept {
    /// The first part that may have been lost with a connection. One that was told often enough counts as there: on a line that
    /// breaks every few minutes an answer would otherwise never end. Head office keeps what it has.
    fn first_doubtful(&self) -> Option<usize> {
        self.told.iter().position(|(at, times)| *times < TOLD_AT_MOST && at.elapsed() < LOST_WITHIN)
    }
}

/// The answers that may have to be told.
#[derive(Debug, Default)]
pub(super) struct Answers(VecDeque<Kept>);

impl Answers {
    /// Keeps an answer, and has it told; `false` when it is too large for that. On a metered line in smaller parts.
    pub(super) fn keep(&mut self, command: &str, text: String, is_metered: bool) -> bool {
        // One part fewer than there may be: each may end a few bytes early, between two characters.
        let even = text.len().div_ceil(ANSWER_PARTS - 1);
        let most = if is_metered { even.max(METERED_PART_BYTES) } else { ANSWER_PART_BYTES };
        let ends = ends_of(&text, most.min(ANSWER_PART_BYTES));
        if ends.len() > ANSWER_PARTS {
            return false;
        }
        self.0.retain(|kept| kept.command != command);
        while self.bytes().saturating_add(text.len()) > KEPT_BYTES {
            self.0.pop_front();
        }
        let (command, since) = (command.to_owned(), Instant::now());
        self.0.push_back(Kept { command, text, ends, since, next: Some(0), told: Vec::new() });
        true
    }

    /// Has an answer that was told told once more, before the result of its command is. One that is being told goes on: head
    /// office asks again while it waits.
    pub(super) fn tell_again(&mut self, command: &str) {
        let told = self.0.iter_mut().filter(|kept| kept.command == command && kept.next.is_none());
        told.for_each(|kept| {
            let from = kept.first_doubtful();
            kept.next = from.or(Some(0));
            if from.is_none() {
                kept.told.clear();
            }
        });
    }

    /// What was being told may have been lost with its connection.
    pub(super) fn begin_again(&mut self) {
        for kept in &mut self.0 {
            kept.next = kept.next.map(|next| kept.first_doubtful().map_or(next, |first| next.min(first)));
        }
    }

    /// Whether an answer is known, so that its result is told when head office asks for it, and after it.
    pub(super) fn has(&self, command: &str) -> bool {
        self.0.iter().any(|kept| kept.command == command)
    }

    /// Whether parts of it are still to be told.
    pub(super) fn is_being_told(&self, command: &str) -> bool {
        self.0.iter().any(|kept| kept.command == command && kept.next.is_some())
    }

    /// Whether there is a part that is to be told.
    pub(super) fn wait(&self) -> bool {
        self.0.iter().any(|kept| kept.next.is_some())
    }

    /// The next part that is to be told: of the shortest answer, so that a doctor's report does not wait for a bundle.
    pub(super) fn next(&mut self) -> Option<AnswerV1> {
        let waiting = self.0.iter_mut().filter(|kept| kept.next.is_some());
        let kept = waiting.min_by_key(|kept| kept.text.len())?;
        let part = kept.next?;
        let parts = kept.ends.len();
        let begin = part.checked_sub(1).and_then(|before| kept.ends.get(before)).copied().unwrap_or_default();
        let end = kept.ends.get(part).copied()?;
        let bytes = kept.text.get(begin..end).unwrap_or_default().as_bytes().to_vec();
        match kept.told.get_mut(part) {
            Some((at, times)) => (*at, *times) = (Instant::now(), times.saturating_add(1)),
            None => kept.told.push((Instant::now(), 1)),
        }
        kept.next = part.checked_add(1).filter(|next| *next < parts);
        let number = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        Some(AnswerV1 { command: kept.command.clone(), part: number(part), parts: number(parts), bytes })
    }

    /// Forgets what nobody asks about any more.
    pub(super) fn forget_old(&mut self) {
        self.0.retain(|kept| kept.since.elapsed() < KEPT_FOR);
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|kept| kept.text.len()).fold(0, usize::saturating_add)
    }
}

/// Where parts of a text of so many bytes at the most end; one of nothing has one part.
fn ends_of(text: &str, most: usize) -> Vec<usize> {
    let (mut ends, mut begin) = (Vec::new(), 0_usize);
    loop {
        let mut end = begin.saturating_add(most).min(text.len());
        while !text.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        ends.push(end);
        if end == text.len() {
            return ends;
        }
        begin = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::wire::encode;

    #[tokio::test]
    async fn an_answer_is_told_in_parts_that_fit_and_again_from_the_first() {
        let mut answers = Answers::default();
        let whole = format!("x{}", "ü".repeat(ANSWER_PART_BYTES + 5));
        assert!(answers.keep("a", whole.clone(), false));
        let first = answers.next().unwrap();
        assert_eq!((first.part, first.parts), (0, 3));
        answers.begin_again();
        for _ in 0..2 {
            let mut told = String::new();
            for part in 0..3 {
                assert!(answers.is_being_told("a"));
                let next = answers.next().unwrap();
                encode(&next, 0, 1, 0).unwrap();
                assert_eq!(next.part, part);
                told += std::str::from_utf8(&next.bytes).unwrap();
            }
            assert_eq!(told, whole);
            assert!(!answers.is_being_told("a") && answers.has("a") && answers.next().is_none());
            answers.begin_again();
            assert!(answers.next().is_none(), "what was told whole is told again when head office asks");
            answers.tell_again("a");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_ends_on_a_line_that_breaks_and_while_head_office_asks_and_behind_short_ones() {
        let mut answers = Answers::default();
        assert!(answers.keep("bundle", "x".repeat(40_000), true) && answers.keep("doctor", "y".into(), true));
        assert_eq!(answers.next().unwrap().command, "doctor");
        let (mut seen, mut told) = (std::collections::BTreeSet::new(), 0);
        loop {
            // A part in eight minutes, a break after each, and head office asks all the while.
            seen.insert(answers.next().unwrap().part);
            told += 1;
            if !answers.is_being_told("bundle") {
                break;
            }
            tokio::time::advance(Duration::from_secs(240)).await;
            answers.tell_again("bundle");
            answers.begin_again();
            tokio::time::advance(Duration::from_secs(240)).await;
            assert!(told <= 40, "it never ends: {seen:?}");
        }
        assert_eq!(seen.len(), 10);
        answers.tell_again("bundle");
        assert!(answers.is_being_told("bundle"), "asked for once more");
    }

    #[tokio::test]
    async fn on_a_metered_line_parts_are_small_and_no_more_than_there_may_be() {
        let check = |text: String, parts: usize| {
            let mut answers = Answers::default();
            assert!(answers.keep("a", text.clone(), true), "{} bytes", text.len());
            let told: Vec<_> = std::iter::from_fn(|| answers.next()).collect();
            assert!(told.len() <= ANSWER_PARTS && !answers.wait());
            assert_eq!(told.len(), parts, "{} bytes", text.len());
            let joined: Vec<u8> = told.into_iter().flat_map(|part| part.bytes).collect();
            assert!(joined == text.into_bytes());
        };
        check("x".repeat(10_000), 3);
        check("x".repeat(200_000), ANSWER_PARTS - 1);
        check("ü".repeat(100_001), ANSWER_PARTS);
        check("x".repeat(ANSWER_PART_BYTES * (ANSWER_PARTS - 1)), ANSWER_PARTS - 1);
        check("\u{10348}".repeat(ANSWER_PART_BYTES * (ANSWER_PARTS - 1) / 4), ANSWER_PARTS - 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_bounded() {
        let mut answers = Answers::default();
        assert!(!answers.keep("huge", "x".repeat(KEPT_BYTES + 1), false));
        assert!(answers.keep("a", "x".repeat(KEPT_BYTES), false) && answers.keep("b", String::new(), true));
        assert!(answers.has("a"));
        assert!(answers.keep("c", "1".into(), false));
        assert!(!answers.has("a") && answers.has("b") && answers.has("c"));
        let empty = answers.next().unwrap();
        assert_eq!((empty.part, empty.parts, empty.bytes.len()), (0, 1, 0));
        tokio::time::advance(KEPT_FOR).await;
        answers.forget_old();
        assert!(!answers.has("b"));
    }
}
