//! Sessions so short that no sample shows them: the router's last word is all that is known of them.
//!
//! Pure. Such a word counts only where it can be about nothing that was counted, or will be. It was not heard before in
//! this run; it fits no session of its user that a sample showed; the session began after the first look of this run, so
//! that no earlier agent can have told of it, and after its line came; and it lasted no longer than the time between two looks. Two sessions of one
//! user whose lines are the same to the byte and the second count once. Sessions that samples show are `tracker.rs`.

use std::collections::{BTreeSet, VecDeque};

use ring::digest::{SHA256, digest};
use tawi_shared::wire::Service;

use super::{ENDED_REMEMBERED, Kinship, LAST_WORD_WITHIN, Outcome, Owner, SampledAt, SeenSession, Tracker};
use crate::usage::logout::LogOut;
use crate::usage::session::UPTIME_SLACK;

/// Words that are remembered as heard: those of a town that falls dark, twice, as the router's own buffer has no more.
const SAID_REMEMBERED: usize = 10_000;

/// What was heard already, so that a line that comes again is no news.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    known: BTreeSet<u64>,
    oldest_first: VecDeque<u64>,
}

impl Said {
    fn has(&self, service: Service, word: &LogOut) -> bool {
        self.known.contains(&number_of(service, word))
    }

    /// Whether this is the first time.
    pub(super) fn note(&mut self, service: Service, word: &LogOut) -> bool {
        let number = number_of(service, word);
        if !self.known.insert(number) {
            return false;
        }
        if self.oldest_first.len() >= SAID_REMEMBERED
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.oldest_first.push_back(number);
        true
    }
}

/// 64 bits of SHA-256 stand for a word.
fn number_of(service: Service, word: &LogOut) -> u64 {
    let (seconds, bytes) = (word.lasted.as_secs(), word.bytes);
    let text = format!("{} {seconds} {} {} {}", service.code(), bytes.upload, bytes.download, word.user);
    let digest = digest(&SHA256, text.as_bytes());
    u64::from_be_bytes(digest.as_ref().first_chunk().copied().unwrap_or_default())
}

impl Tracker {
    /// Whether no sample can have shown the session of this word, and nobody can have counted it.
    pub(super) fn is_unseen(&self, at: SampledAt, service: Service, word: &LogOut, line: &str) -> bool {
        if self.printed.has(service, word) {
            return false;
        }
        let (Some(first), (Some(before), Some(last))) = (self.first_look, self.looks) else { return false };
        // A word may be late, and so its session may have begun that much earlier.
        let began_at_least =
            last.asked.checked_sub(word.lasted.saturating_add(LAST_WORD_WITHIN).saturating_add(UPTIME_SLACK));
        let gap = last.elapsed.saturating_sub(before.asked).max(at.elapsed.saturating_sub(last.asked));
        let is_short = word.lasted <= gap.saturating_add(UPTIME_SLACK);
        // So many ended at once that its own may be forgotten.
        let oldest = self.ended.front().filter(|_| self.ended.len() >= ENDED_REMEMBERED);
        let is_remembered =
            oldest.is_none_or(|(.., ended)| at.elapsed.saturating_sub(ended.elapsed) >= LAST_WORD_WITHIN);
        let since = self.came_at(line).map_or(first, |came| came.max(first));
        is_short && is_remembered && began_at_least.is_some_and(|began| began >= since)
    }

    /// Counts it, as over.
    pub(super) fn count_unseen(
        &mut self,
        at: SampledAt,
        service: Service,
        word: &LogOut,
        owner: Owner<'_>,
        outcome: &mut Outcome,
    ) {
        // The router's own number is not in the line.
        let number = format!("~{:016x}", number_of(service, word));
        let session = SeenSession {
            service,
            number: number.clone(),
            user: word.user.clone(),
            address: String::new(),
            uptime: word.lasted,
            bytes: Some(word.bytes),
            took: at.elapsed.saturating_sub(at.asked),
            is_new: false,
        };
        let mut counted = Box::new(self.begin(owner, &session, at, Kinship::Another));
        counted.has_last_word = true;
        outcome.usage.push(counted.counted(at.time, true));
        if self.ended.len() >= ENDED_REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back(((service, number), counted, at));
    }
}
