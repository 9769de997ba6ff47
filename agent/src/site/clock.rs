//! The core's part in the clock: what a restart must know of time, and what head office is told of it.
//!
//! Whom to believe is decided in `crate::clock`. The floor goes to flash when time is first trusted, after each turn of
//! it, and every five minutes: a run that lasts seconds must leave one behind, and a clock that flaps must not wear flash
//! out.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::EventKind;
use tokio::time::Instant;
use tracing::warn;

use super::Site;
use crate::clock::Reading;
use crate::health::{ClockStatus, spoken};

/// How often the clock's floor is kept: what a power cut may take from it.
const FLOOR_EVERY: Duration = Duration::from_secs(300);
/// How soon it is kept anew after time has turned. Once every ten seconds is what ordinary reports cost too.
const FLOOR_AGAIN: Duration = Duration::from_secs(10);
/// How long a doubt must last to be told. After each start the routers and head office are heard only seconds later.
const DOUBT_TOLD_AFTER: Duration = Duration::from_secs(60);

/// What was last seen and told of the clock.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    /// Since when it is doubted.
    doubted_since: Option<Instant>,
    is_doubt_told: bool,
    leaps: u32,
    taken_back: u32,
    /// When the floor was last kept; `None` before the first trusted reading.
    kept: Option<Instant>,
    is_turn_kept: bool,
}

/// What is to be told and done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Todo {
    is_doubt_news: bool,
    is_trust_news: bool,
    taken_back_by: Option<Duration>,
    is_floor_wanted: bool,
}

impl ClockWatch {
    fn look(&mut self, reading: &Reading, now: Instant) -> Todo {
        let mut todo = Todo::default();
        if reading.is_trusted {
            self.doubted_since = None;
            todo.is_trust_news = std::mem::take(&mut self.is_doubt_told);
        } else {
            let since = *self.doubted_since.get_or_insert(now);
            let is_old = now.saturating_duration_since(since) >= DOUBT_TOLD_AFTER;
            todo.is_doubt_news = is_old && !std::mem::replace(&mut self.is_doubt_told, is_old);
        }
        if self.taken_back != reading.taken_back {
            todo.taken_back_by = Some(reading.taken_back_by);
        }
        if (self.taken_back, self.leaps) != (reading.taken_back, reading.leaps) {
            (self.taken_back, self.leaps) = (reading.taken_back, reading.leaps);
            self.is_turn_kept = false;
        }
        todo.is_floor_wanted = match self.kept {
            None => reading.is_trusted,
            Some(at) => {
                let age = now.saturating_duration_since(at);
                age >= FLOOR_EVERY || (!self.is_turn_kept && age >= FLOOR_AGAIN)
            }
        };
        if todo.is_floor_wanted {
            self.kept = Some(now);
            self.is_turn_kept = true;
        }
        todo
    }
}

impl Site {
    /// Tells head office when the clock stops being trusted, when it is again, and when time was taken back; and keeps
    /// the floor.
    pub(super) async fn watch_clock(&mut self) {
        let reading = self.tools.clock.reading();
        let todo = self.clock_watch.look(&reading, Instant::now());
        if todo.is_floor_wanted {
            self.keep_marks().await;
        }
        let basis = reading.basis.as_str();
        if let Some(by) = todo.taken_back_by {
            let by = spoken(reading.now, reading.now.plus(by));
            let detail = format!("the site's time was {by} ahead and is taken back: {basis}");
            warn!(clock.is_trusted = reading.is_trusted, "{detail}");
            self.keep_event(EventKind::ClockTrusted, detail).await;
        } else if todo.is_trust_news {
            let detail = format!("the time is known again: {basis}");
            warn!(clock.is_trusted = true, "{detail}");
            self.keep_event(EventKind::ClockTrusted, detail).await;
        }
        if todo.is_doubt_news {
            let detail = ClockStatus::of(&reading, &self.tools.clock.voices()).doubt();
            warn!(clock.is_trusted = false, "{detail}");
            self.keep_event(EventKind::ClockDoubted, detail).await;
        }
    }

    /// Keeps what a restart must know of time.
    pub(super) async fn keep_marks(&self) {
        let floor: UnixMillis = self.tools.clock.floor();
        let heard = self.tools.contact.last_heard(floor);
        let kept = self.tools.outbox.call(move |keeper| {
            keeper.put_clock_floor(floor);
            heard.into_iter().for_each(|at| keeper.put_last_heard(at));
        });
        // The next ones come.
        let _ = kept.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Basis;

    fn reading(is_trusted: bool, leaps: u32, taken_back: u32) -> Reading {
        Reading {
            now: UnixMillis(0),
            is_trusted,
            basis: if is_trusted { Basis::OfficeAndMachine } else { Basis::Carried },
            leaps,
            taken_back,
            taken_back_by: Duration::from_secs(7),
            office: None,
        }
    }

    /// Readings at these seconds, and what they bring: the floor, a doubt, trust, a time that is taken back.
    fn check(name: &str, steps: &[(u64, Reading, &str)]) {
        let (mut watch, start) = (ClockWatch::default(), Instant::now());
        for (seconds, reading, expected) in steps {
            let todo = watch.look(reading, start + Duration::from_secs(*seconds));
            let said = [
                (todo.is_floor_wanted, "floor"),
                (todo.is_doubt_news, "doubt"),
                (todo.is_trust_news, "trust"),
                (todo.taken_back_by.is_some(), "back"),
            ];
            let said: Vec<_> = said.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            assert_eq!(said.join(" "), *expected, "{name}, second {seconds}");
        }
    }

    #[test]
    fn the_floor_is_kept_as_soon_as_time_is_trusted_then_every_five_minutes_and_after_a_turn() {
        let (good, bad) = (reading(true, 0, 0), reading(false, 0, 0));
        check("a good start", &[(0, good, "floor"), (1, good, ""), (299, good, ""), (300, good, "floor")]);
        check("after a doubt", &[(0, bad, ""), (5, bad, ""), (6, good, "floor"), (7, good, "")]);
        let (turned, again) = (reading(true, 1, 1), reading(true, 2, 1));
        check(
            "a turn",
            &[
                (0, good, "floor"),
                (1, turned, "back"),
                (9, turned, ""),
                (10, turned, "floor"),
                (19, turned, ""),
            ],
        );
        check("a leap", &[(0, turned, "floor back"), (30, again, "floor"), (35, reading(true, 3, 1), "")]);
    }

    #[test]
    fn a_doubt_is_told_when_it_lasts_and_ended_once() {
        let (good, bad) = (reading(true, 0, 0), reading(false, 0, 0));
        check("a start", &[(0, bad, ""), (59, bad, ""), (59, good, "floor"), (60, good, "")]);
        check(
            "a fault",
            &[
                (0, good, "floor"),
                (1, bad, ""),
                (61, bad, "doubt"),
                (62, bad, ""),
                (63, good, "trust"),
                (64, good, ""),
            ],
        );
    }
}
