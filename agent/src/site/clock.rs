//! The core's part in the clock: what a restart must know of time, and what head office is told of it.
//!
//! Whom to believe is decided in `crate::clock`. The floor goes to flash when time is first trusted or a minute after the
//! start, after each turn of it, when a rule for the silence of head office may have struck, and every five minutes, trusted or not: a run that is never trusted counts its hours too,
//! or power cuts would let time stand still. A clock that flaps must not wear flash out.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::EventKind;
use tokio::time::Instant;
use tracing::warn;

use super::Site;
use crate::clock::{Basis, Reading, TOLERANCE};
use crate::contact::KeptSilence;
use crate::health::{ClockStatus, spoken};
use crate::outbox::Marks;

/// How often the clock's floor is kept: what a power cut may take from it.
const FLOOR_EVERY: Duration = Duration::from_secs(300);
/// The same while a leap of time is in doubt.
const FLOOR_IN_DOUBT: Duration = Duration::from_secs(60);
/// How old it may be when a line is closed by it: lines of one wave share it.
const FLOOR_AFTER_CLOSING: Duration = Duration::from_secs(2);
/// How soon it is kept after a start in which nobody is believed.
const FLOOR_FIRST: Duration = Duration::from_secs(60);
/// How soon it is kept anew after time has turned. Once every ten seconds is what ordinary reports cost too.
const FLOOR_AGAIN: Duration = Duration::from_secs(10);
/// A silence whose end is kept at once. Below it a rule would strike minutes early at most, and a line that comes and goes
/// costs no more writes than the floor does.
const SILENCE_THAT_COUNTS: Duration = FLOOR_EVERY;
/// How long after time has turned nothing is dropped for being old.
const DROPS_AFTER_TURN: Duration = Duration::from_secs(3_600);
/// How long a doubt must last to be told. After each start the routers and head office are heard only seconds later.
const DOUBT_TOLD_AFTER: Duration = Duration::from_secs(60);
/// How often head office is asked for the time while it is doubted: it says so with its answers alone, and who contradicts
/// must be heard again after ten minutes. Three such words fit into them, and a hello is a few hundred bytes.
const OFFICE_ASKED_EVERY: Duration = Duration::from_secs(300);

/// What was last seen and told of the clock.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    /// Since when it is doubted.
    doubted_since: Option<Instant>,
    is_doubt_told: bool,
    /// When time last turned.
    turned: Option<Instant>,
    leaps: u32,
    taken_back: u32,
    /// Until when the leap that was told reaches.
    doubted_until: Option<UnixMillis>,
    /// When it was first looked at.
    begun: Option<Instant>,
    /// When the floor was last kept.
    kept: Option<Instant>,
    /// How long head office had been silent then.
    kept_silence: KeptSilence,
    is_turn_kept: bool,
}

/// What is to be told and done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Todo {
    is_doubt_news: bool,
    is_trust_news: bool,
    taken_back_by: Option<Duration>,
    /// How far time has moved on the word of this machine and a router alone, or of this machine.
    leapt_by: Option<Duration>,
    is_floor_wanted: bool,
}

impl ClockWatch {
    fn look(&mut self, reading: &Reading, silence: KeptSilence, now: Instant) -> Todo {
        let mut todo = Todo::default();
        // Against others that agree head office is not followed; a person must know that one of the clocks is wrong.
        let is_office_off = reading.office.is_some_and(|office| is_apart(office, reading.now));
        if reading.is_trusted && !is_office_off {
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
        let is_said = matches!(reading.basis, Basis::MachineAndRouter | Basis::Machine);
        match reading.leap_in_doubt {
            Some(leap) if is_said && self.doubted_until != Some(leap.until) => {
                self.doubted_until = Some(leap.until);
                todo.leapt_by = Some(leap.rest());
            }
            Some(_) => {}
            None => self.doubted_until = None,
        }
        if (self.taken_back, self.leaps) != (reading.taken_back, reading.leaps) {
            (self.taken_back, self.leaps) = (reading.taken_back, reading.leaps);
            self.is_turn_kept = false;
            self.turned = Some(now);
        }
        let begun = *self.begun.get_or_insert(now);
        todo.is_floor_wanted = match self.kept {
            None => reading.is_trusted || now.saturating_duration_since(begun) >= FLOOR_FIRST,
            Some(at) => {
                let age = now.saturating_duration_since(at);
                // A power cut right after head office was heard must not find the silence before it still there.
                let kept = self.kept_silence;
                let is_silence_over = kept.whole >= SILENCE_THAT_COUNTS && silence.whole < kept.whole;
                // Nor may a restart undo what a rule has just done.
                let has_struck = hours(silence.struck) > hours(kept.struck);
                let is_news = !self.is_turn_kept || is_silence_over || has_struck;
                // What passes in a doubt counts down what somebody has left.
                let every = if reading.leap_in_doubt.is_some() { FLOOR_IN_DOUBT } else { FLOOR_EVERY };
                age >= every || (is_news && age >= FLOOR_AGAIN)
            }
        };
        if todo.is_floor_wanted {
            self.kept = Some(now);
            self.kept_silence = silence;
            self.is_turn_kept = true;
        }
        todo
    }
}

impl ClockWatch {
    /// Whether head office is to say its time anew, where it was last asked so long ago.
    pub(super) fn asks_office(&self, asked_ago: Duration) -> bool {
        self.doubted_since.is_some() && asked_ago >= OFFICE_ASKED_EVERY
    }

    /// Lines were closed because their time was over. A floor from before that would open them again after a power cut, where
    /// the time that was off is in doubt.
    pub(super) fn keeps_after_closing(&mut self, now: Instant) -> bool {
        let is_due = self.kept.is_none_or(|kept| now.saturating_duration_since(kept) >= FLOOR_AFTER_CLOSING);
        if is_due {
            self.kept = Some(now);
        }
        is_due
    }

    /// The time by which what is old may be dropped for good; `None` while that could be a mistake. Head office must have
    /// been heard in this run and agree, and have had an hour since time last turned to take what waits for it.
    pub(super) fn drops_by(&self, reading: &Reading, now: Instant) -> Option<UnixMillis> {
        let is_settled =
            self.turned.is_none_or(|turned| now.saturating_duration_since(turned) >= DROPS_AFTER_TURN);
        let is_agreed = reading.office.is_some_and(|office| !is_apart(office, reading.now));
        (reading.is_trusted && is_settled && is_agreed).then_some(reading.now)
    }
}

/// Rules are made for whole hours.
fn hours(silence: Duration) -> u64 {
    silence.as_secs() / 3_600
}

fn is_apart(one: UnixMillis, other: UnixMillis) -> bool {
    one.since(other) > TOLERANCE || other.since(one) > TOLERANCE
}

impl Site {
    /// Tells head office when the clock stops being trusted, when it is again, and when time was taken back; and keeps
    /// the floor.
    pub(super) async fn watch_clock(&mut self) {
        let reading = self.tools.clock.reading();
        let silence = self.tools.contact.kept();
        let todo = self.clock_watch.look(&reading, silence, Instant::now());
        if todo.is_floor_wanted {
            self.keep_marks().await;
        }
        let basis = reading.basis.as_str();
        if let Some(by) = todo.taken_back_by {
            let by = spoken(reading.now, reading.now.plus(by));
            let detail = format!("the site's time was {by} ahead and is taken back: {basis}");
            warn!(clock.is_trusted = reading.is_trusted, "{detail}");
            self.keep_event(EventKind::ClockTrusted, detail).await;
        } else if let Some(by) = todo.leapt_by {
            let by = spoken(reading.now, reading.now.plus(by));
            let detail = format!(
                "time has moved {by} forward, and head office was not heard: {basis}; whose time ended within that keeps what was left of it"
            );
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

    /// Keeps what a restart must know of time. Never before it is known what lay there: it would be written over.
    pub(super) async fn keep_marks(&self) {
        if !self.is_store_joined {
            return;
        }
        let marks = Marks {
            time: self.tools.clock.kept(),
            silence: Some(self.tools.contact.kept()),
            lived: self.marks_found.lived.map(|lived| lived.saturating_add(self.started.elapsed())),
            line: self.line.kept(),
        };
        // The next ones come.
        let _ = self.tools.outbox.call(move |keeper| keeper.put_marks(marks)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::LeapInDoubt;

    fn reading(is_trusted: bool, leaps: u32, taken_back: u32) -> Reading {
        Reading {
            now: UnixMillis(0),
            is_trusted,
            basis: if is_trusted { Basis::OfficeAndMachine } else { Basis::Carried },
            leaps,
            leapt_by: Duration::from_secs(9),
            taken_back,
            taken_back_by: Duration::from_secs(7),
            office: None,
            leap_in_doubt: None,
        }
    }

    /// Readings at these seconds, and what they bring: the floor, a doubt, trust, a time that is taken back.
    fn check(name: &str, steps: &[(u64, Reading, &str)]) {
        let (mut watch, start) = (ClockWatch::default(), Instant::now());
        for (seconds, reading, expected) in steps {
            let todo = watch.look(reading, KeptSilence::default(), start + Duration::from_secs(*seconds));
            let said = [
                (todo.is_floor_wanted, "floor"),
                (todo.is_doubt_news, "doubt"),
                (todo.is_trust_news, "trust"),
                (todo.taken_back_by.is_some(), "back"),
                (todo.leapt_by.is_some(), "leap"),
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
        check(
            "never trusted",
            &[(0, bad, ""), (59, bad, ""), (60, bad, "floor doubt"), (359, bad, ""), (360, bad, "floor")],
        );
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
        let leap = LeapInDoubt { counted: UnixMillis(0), until: UnixMillis(9_000) };
        let alone =
            Reading { basis: Basis::MachineAndRouter, leap_in_doubt: Some(leap), ..reading(true, 4, 1) };
        check("a leap without head office", &[(0, good, "floor"), (1, alone, "back leap"), (2, alone, "")]);
        check("in doubt", &[(0, alone, "floor back leap"), (59, alone, ""), (60, alone, "floor")]);
        let back = Reading { leap_in_doubt: None, ..alone };
        check("back without head office", &[(0, good, "floor"), (1, back, "back")]);
        check("a leap", &[(0, turned, "floor back"), (30, again, "floor"), (35, reading(true, 3, 1), "")]);
    }

    #[test]
    fn the_end_of_a_long_silence_is_kept_at_once_and_that_of_a_short_one_with_the_floor() {
        let (good, start) = (reading(true, 0, 0), Instant::now());
        let kept = |silences: &[(u64, u64)]| -> Vec<u64> {
            let mut watch = ClockWatch::default();
            let mut look = |(at, silence): &(u64, u64)| {
                let (at, silence) = (Duration::from_secs(*at), Duration::from_secs(*silence));
                watch.look(&good, KeptSilence::unheeded(silence), start + at).is_floor_wanted
            };
            silences.iter().filter(|step| look(step)).map(|(at, _)| *at).collect()
        };
        let six_hours = 6 * 3_600;
        assert_eq!(
            kept(&[(0, six_hours), (5, six_hours + 5), (9, 0), (10, 1), (20, 0), (310, 0)]),
            [0, 10, 310]
        );
        assert_eq!(kept(&[(0, 299), (20, 0), (300, 0)]), [0, 300]);
        assert_eq!(kept(&[(0, six_hours), (299, six_hours + 299), (300, six_hours + 300)]), [0, 300]);
    }

    #[test]
    fn a_rule_that_may_have_struck_is_kept_at_once_and_no_other_minute_of_silence() {
        let (good, start) = (reading(true, 0, 0), Instant::now());
        let mut watch = ClockWatch::default();
        let mut look = |at: u64, struck: u64| {
            let silence =
                KeptSilence { whole: Duration::from_secs(9 * 3_600), struck: Duration::from_secs(struck) };
            watch.look(&good, silence, start + Duration::from_secs(at)).is_floor_wanted
        };
        let hour = 3_600;
        assert!(look(0, 2 * hour - 30));
        assert!(!look(29, 2 * hour - 1));
        assert!(look(30, 2 * hour));
        assert!(!look(31, 2 * hour + 1));
        assert!(!look(329, 2 * hour + 299));
        assert!(look(330, 2 * hour + 300));
        // The end of a run's own silence: from what it found to all of it.
        assert!(look(345, 9 * hour));
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
        let off = Reading { office: Some(UnixMillis(3 * 86_400_000)), ..good };
        check(
            "head office against two that agree",
            &[(0, off, "floor"), (59, off, ""), (60, off, "doubt"), (61, off, ""), (62, good, "trust")],
        );
    }

    #[test]
    fn head_office_is_asked_for_the_time_every_five_minutes_while_it_is_doubted() {
        let (good, start) = (reading(true, 0, 0), Instant::now());
        let off = Reading { office: Some(UnixMillis(3 * 86_400_000)), ..good };
        let mut watch = ClockWatch::default();
        for (reading, is_doubted) in [(good, false), (reading(false, 0, 0), true), (good, false), (off, true)]
        {
            watch.look(&reading, KeptSilence::default(), start);
            assert!(!watch.asks_office(Duration::from_secs(299)));
            assert_eq!(watch.asks_office(Duration::from_secs(300)), is_doubted, "{reading:?}");
        }
    }

    #[test]
    fn nothing_is_dropped_by_age_before_head_office_agrees_nor_soon_after_a_turn() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let heard =
            |leaps, office: i64| Reading { office: Some(UnixMillis(office)), ..reading(true, leaps, 0) };
        let mut watch = ClockWatch::default();
        let mut check = |seconds, reading: Reading, expected: bool, name: &str| {
            watch.look(&reading, KeptSilence::default(), at(seconds));
            assert_eq!(watch.drops_by(&reading, at(seconds)).is_some(), expected, "{name}");
        };
        check(0, reading(true, 0, 0), false, "machine and router alone");
        check(1, heard(0, 365 * 86_400_000), false, "head office says otherwise");
        check(2, heard(0, 5_000), true, "head office agrees");
        check(3, Reading { is_trusted: false, ..heard(0, 5_000) }, false, "nobody is believed");
        check(4, heard(1, 5_000), false, "time has just leapt");
        check(3_603, heard(1, 5_000), false, "an hour is not over");
        check(3_604, heard(1, 5_000), true, "an hour is over");
    }
}
