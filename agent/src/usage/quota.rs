//! What each line moved in the running period of its quota.
//!
//! ```text
//! used = before (head office told, for this life of the store) + ended parts + open parts     all of the running period
//!        + found (what the store had counted, where it opened only after the agent had begun to count without it)
//! ```
//!
//! Pure. Whole totals are kept and never differences, so that nothing counts twice: the ended parts of a line are on flash
//! in one commit with the totals that they are made of, and the open ones are there anyway. Parts of another period than
//! the running one count for nothing here. A line is forgotten with the line; of each two periods are remembered, the
//! running one and the last: the clock may leap across the begin of a period and be taken back. What
//! follows from a quota that is used up is `crate::enforce`; the handle that tasks share is `book.rs`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use tawi_shared::Gather as _;
use tawi_shared::wire::{QuotaV1, UsageBeforeV1};

use super::counted::{Counted, bytes_of};

/// Lines that are remembered: several times a large site. Head office may tell of lines whose state is still to come.
const LINES: usize = 20_000;

/// What the ended parts of a line moved in a period. It lies on flash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodCounted {
    /// When the period began.
    pub period_ms: i64,
    /// Upload and download together.
    pub ended_bytes: u64,
    /// The quota of which head office was told that it is used up.
    pub told_bytes: Option<u64>,
}

/// What a line moved in its running period and in the one that ran before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeriodRecord {
    /// The running one.
    pub running: PeriodCounted,
    /// The one that ran before it, which may be the later one; its begin is 0 where there was none.
    pub last: PeriodCounted,
}

impl PeriodRecord {
    fn of(self, period_ms: i64) -> Option<PeriodCounted> {
        [self.running, self.last].into_iter().find(|counted| counted.period_ms == period_ms)
    }

    /// What belongs on flash where `found` lay there before this agent began to count beside it: nothing of the two is in
    /// the other, and of its periods those are kept that have a place.
    #[must_use]
    pub fn beside(self, found: Option<Self>) -> Self {
        let Some(found) = found else { return self };
        let of_other = [found.running, found.last].into_iter();
        let mut of_other = of_other.filter(|counted| counted.period_ms != self.running.period_ms);
        let last = match self.last.period_ms {
            0 => of_other.next().unwrap_or_default(),
            period_ms => self.last.beside(found.of(period_ms)),
        };
        Self { running: self.running.beside(found.of(self.running.period_ms)), last }
    }
}

/// What a line had moved in a period before this life of the store began, or elsewhere. It lies on flash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountedBefore {
    /// When the period began.
    pub period_ms: i64,
    /// What is added to what this store counted.
    pub bytes: u64,
    /// What this store had counted itself when its present life began: head office's figures may have it in them.
    pub own_bytes: u64,
}

impl PeriodCounted {
    fn beside(self, found: Option<Self>) -> Self {
        let Some(found) = found else { return self };
        Self {
            ended_bytes: self.ended_bytes.saturating_add(found.ended_bytes),
            // A quota only grows within its period.
            told_bytes: self.told_bytes.max(found.told_bytes),
            ..self
        }
    }
}

/// Everything the book puts on flash, by line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookRecords {
    /// See [`PeriodRecord`].
    pub periods: BTreeMap<String, PeriodRecord>,
    /// See [`CountedBefore`].
    pub befores: BTreeMap<String, CountedBefore>,
}

/// One period of a line.
#[derive(Clone, Debug, Default)]
struct PeriodBook {
    counted: PeriodCounted,
    /// Open parts of that period, by name.
    open: BTreeMap<String, u64>,
}

impl PeriodBook {
    fn of(counted: PeriodCounted) -> Self {
        Self { counted, open: BTreeMap::new() }
    }

    fn bytes(&self) -> u64 {
        self.open.values().fold(self.counted.ended_bytes, |sum, bytes| sum.saturating_add(*bytes))
    }

    /// Lets its open parts be over as they are.
    fn close(&mut self) {
        self.counted.ended_bytes = self.bytes();
        self.open.clear();
    }
}

#[derive(Clone, Debug, Default)]
struct LineBook {
    running: PeriodBook,
    last: PeriodBook,
    before: Option<CountedBefore>,
    /// What lay on flash when a store opened late. It never changes, so that records of before and after that moment mean
    /// the same.
    found: Option<PeriodRecord>,
}

impl LineBook {
    fn book(&self, period_ms: i64) -> Option<&PeriodBook> {
        [&self.running, &self.last].into_iter().find(|book| book.counted.period_ms == period_ms)
    }

    fn book_mut(&mut self, period_ms: i64) -> Option<&mut PeriodBook> {
        [&mut self.running, &mut self.last].into_iter().find(|book| book.counted.period_ms == period_ms)
    }

    /// What this store counted itself in a period, with what was found in it.
    fn own(&self, period_ms: i64) -> u64 {
        let found = self.found_of(period_ms).map_or(0, |found| found.ended_bytes);
        found.saturating_add(self.book(period_ms).map_or(0, PeriodBook::bytes))
    }

    fn used(&self, period_ms: i64) -> u64 {
        self.own(period_ms).saturating_add(self.before_of(period_ms).bytes)
    }

    fn found_of(&self, period_ms: i64) -> Option<PeriodCounted> {
        self.found.and_then(|found| found.of(period_ms))
    }

    /// The newest period that ran when anything was counted.
    fn period(&self) -> i64 {
        self.running.counted.period_ms.max(self.found.map_or(0, |found| found.running.period_ms))
    }

    fn before_of(&self, period_ms: i64) -> CountedBefore {
        let known = self.before.filter(|before| before.period_ms == period_ms);
        known.unwrap_or(CountedBefore { period_ms, ..CountedBefore::default() })
    }

    fn record(&self) -> PeriodRecord {
        PeriodRecord { running: self.running.counted, last: self.last.counted }
    }

    /// Lets a period run; says whether that is another one. The one that ran last goes on where it was.
    fn turn(&mut self, period_ms: i64) -> bool {
        if self.running.counted.period_ms == period_ms {
            return false;
        }
        std::mem::swap(&mut self.running, &mut self.last);
        if self.running.counted.period_ms != period_ms {
            self.running = PeriodBook::of(PeriodCounted { period_ms, ..PeriodCounted::default() });
        }
        true
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct QuotaBook {
    epoch: u32,
    lines: BTreeMap<String, LineBook>,
}

impl QuotaBook {
    /// Goes on from flash: the life of the store, its records, and the sessions that were not over.
    #[must_use]
    pub fn load(epoch: u32, records: &BookRecords, open: &[Counted]) -> Self {
        let mut book = Self { epoch, lines: BTreeMap::new() };
        for (id, record) in &records.periods {
            let line = book.lines.entry(id.clone()).or_default();
            (line.running, line.last) = (PeriodBook::of(record.running), PeriodBook::of(record.last));
        }
        for (line, before) in &records.befores {
            book.lines.entry(line.clone()).or_default().before = Some(*before);
        }
        let parts = open.iter().map(|open| &open.total).filter(|total| total.period_started_ms != 0);
        for total in parts {
            let line = book.lines.entry(total.line.clone()).or_default();
            if line.running.counted.period_ms == 0 {
                line.turn(total.period_started_ms);
            }
            if let Some(book) = line.book_mut(total.period_started_ms) {
                book.open.insert(total.session.clone(), bytes_of(total));
            }
        }
        book
    }

    /// What the line moved in a period.
    #[must_use]
    pub fn used(&self, line: &str, period_ms: i64) -> u64 {
        self.lines.get(line).map_or(0, |line| line.used(period_ms))
    }

    /// Takes what was counted; `running` says when the running period of a line began, and 0 where none does. Gives the
    /// records that belong into one commit with these totals.
    pub fn take(
        &mut self,
        usage: &[Counted],
        running: impl Fn(&str) -> i64,
    ) -> BTreeMap<String, PeriodRecord> {
        let mut changed = BTreeSet::new();
        for counted in usage {
            let total = &counted.total;
            let period_ms = running(&total.line);
            let is_known = self.lines.contains_key(&total.line);
            // What ends of a line that was forgotten does not bring it back.
            if !is_known && (period_ms == 0 || total.is_ended && total.period_started_ms != period_ms) {
                continue;
            }
            let line = self.lines.entry(total.line.clone()).or_default();
            if period_ms != 0 && line.turn(period_ms) {
                changed.insert(total.line.clone());
            }
            if total.period_started_ms == 0 {
                continue;
            }
            let Some(book) = line.book_mut(total.period_started_ms) else { continue };
            let known = book.open.remove(&total.session).unwrap_or(0);
            let bytes = known.saturating_add(counted.grown_bytes);
            if total.is_ended {
                book.counted.ended_bytes = book.counted.ended_bytes.saturating_add(bytes);
                changed.insert(total.line.clone());
            } else {
                book.open.insert(total.session.clone(), bytes);
            }
        }
        self.records_of(changed)
    }

    /// Whether the line has used this quota up and head office was not told of it; the record says that it is now.
    pub fn newly_reached(&mut self, line: &str, quota: &QuotaV1) -> Option<PeriodRecord> {
        if self.used(line, quota.from_ms) < quota.bytes {
            return None;
        }
        let line = self.lines.entry(line.to_owned()).or_default();
        line.turn(quota.from_ms);
        let told = line.found_of(quota.from_ms).and_then(|found| found.told_bytes);
        let is_told = line.running.counted.told_bytes.max(told) == Some(quota.bytes);
        line.running.counted.told_bytes = Some(quota.bytes);
        (!is_told).then_some(line.record())
    }

    /// Takes what head office tells of the time before; `None` where it speaks of another life of the store. A period
    /// that is over stays so.
    pub fn note_before(&mut self, told: &UsageBeforeV1) -> Option<BTreeMap<String, CountedBefore>> {
        if told.store_epoch != self.epoch {
            return None;
        }
        let mut changed = BTreeMap::new();
        for entry in &told.lines {
            let is_known = self.lines.contains_key(&entry.line);
            if (!is_known && self.lines.len() >= LINES) || entry.period_started_ms == 0 {
                continue;
            }
            let line = self.lines.entry(entry.line.clone()).or_default();
            if entry.period_started_ms < line.period() {
                continue;
            }
            let mut before = line.before_of(entry.period_started_ms);
            // The larger one: they come in any order, and what was moved is never less than was known.
            before.bytes = before.bytes.max(entry.bytes.saturating_sub(before.own_bytes));
            line.before = Some(before);
            changed.insert(entry.line.clone(), before);
        }
        Some(changed)
    }

    /// The store begins another life with its records intact. Head office will tell what it knows of the one before, of
    /// which this book knows most already.
    ///
    /// What this store counted itself is noted of the newest period alone. Where the clock was taken back across the begin
    /// of a period just before, and head office tells of the other one after, what was counted in that one counts twice
    /// until it ends: for two rare things at once there is no second record of every line on flash.
    pub fn begin_epoch(&mut self, epoch: u32) -> BTreeMap<String, CountedBefore> {
        if std::mem::replace(&mut self.epoch, epoch) == epoch {
            return BTreeMap::new();
        }
        let mut changed = BTreeMap::new();
        for (id, line) in &mut self.lines {
            let period_ms = line.period();
            let before = CountedBefore { own_bytes: line.own(period_ms), ..line.before_of(period_ms) };
            if before.period_ms != 0 {
                line.before = Some(before);
                changed.insert(id.clone(), before);
            }
        }
        changed
    }

    /// Takes what head office told an agent whose store was still shut, into the book of that store once it is open. It was
    /// told of all that head office knows, so that what this store counted itself is in it. Gives what belongs on flash.
    pub fn note_all(&mut self, told: &BTreeMap<String, CountedBefore>) -> BTreeMap<String, CountedBefore> {
        let mut changed = BTreeMap::new();
        for (id, all) in told {
            let line = self.lines.entry(id.clone()).or_default();
            if all.period_ms < line.period() {
                continue;
            }
            let mut before = line.before_of(all.period_ms);
            before.bytes = before.bytes.max(all.bytes.saturating_sub(line.own(all.period_ms)));
            line.before = Some(before);
            changed.insert(id.clone(), before);
        }
        changed
    }

    /// Lets every open part be over as it is: nobody goes on with it. Gives the records of their lines.
    pub fn close(&mut self) -> BTreeMap<String, PeriodRecord> {
        let has_open = |line: &LineBook| !(line.running.open.is_empty() && line.last.open.is_empty());
        let with_open = self.lines.iter_mut().filter(|(_, line)| has_open(line));
        let closed = with_open.map(|(id, line)| {
            line.running.close();
            line.last.close();
            (id.clone(), line.record())
        });
        closed.into_map()
    }

    /// Goes on with a store that opened after this agent had begun to count without it: `found` is its book, which was
    /// told by [`QuotaBook::note_all`] what this one was told, and closed. What the two counted is never of one part of a session,
    /// because an agent that remembers nothing begins parts of its own.
    pub fn join(&mut self, found: &Self) {
        self.epoch = found.epoch;
        for (id, of_store) in &found.lines {
            let line = self.lines.entry(id.clone()).or_default();
            line.found = (of_store.running.counted.period_ms != 0).then_some(of_store.record());
            line.before = of_store.before;
        }
    }

    /// What the ended parts of a line moved, as its record has it.
    #[must_use]
    pub fn record_of(&self, line: &str) -> Option<PeriodRecord> {
        self.lines.get(line).map(LineBook::record)
    }

    /// All records of ended parts: a store that was begun anew has none of them.
    #[must_use]
    pub fn records(&self) -> BTreeMap<String, PeriodRecord> {
        let of_period = self.lines.iter().filter(|(_, line)| line.running.counted.period_ms != 0);
        of_period.map(|(id, line)| (id.clone(), line.record())).into_map()
    }

    /// Forgets lines that are no more; gives those that were known.
    pub fn forget<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
        let gone = lines.into_iter().filter(|line| self.lines.remove(*line).is_some());
        gone.map(str::to_owned).collect()
    }

    /// The lines that it knows.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    fn records_of(&self, lines: BTreeSet<String>) -> BTreeMap<String, PeriodRecord> {
        lines
            .into_iter()
            .filter_map(|id| {
                let record = self.lines.get(&id)?.record();
                Some((id, record))
            })
            .into_map()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::wire::{LineUsageBeforeV1, SessionUsageV1};

    const P1: i64 = 1_000;
    const P2: i64 = 2_000;

    fn part(session: &str, period: i64, bytes: u64, is_ended: bool) -> SessionUsageV1 {
        SessionUsageV1 {
            line: "a".into(),
            session: session.into(),
            started_at_ms: 0,
            sampled_at_ms: 0,
            upload_bytes: 0,
            download_bytes: bytes,
            is_ended,
            address: String::new(),
            period_started_ms: period,
        }
    }

    fn running(running: PeriodCounted) -> PeriodRecord {
        PeriodRecord { running, last: PeriodCounted::default() }
    }

    /// A book and what a store would hold of it.
    #[derive(Default)]
    struct Kept {
        book: QuotaBook,
        records: BookRecords,
        totals: BTreeMap<String, SessionUsageV1>,
    }

    impl Kept {
        fn take(&mut self, running: i64, parts: &[SessionUsageV1]) {
            let usage: Vec<Counted> = parts
                .iter()
                .map(|total| {
                    let known = self.totals.insert(total.session.clone(), total.clone());
                    let grown_bytes = bytes_of(total) - known.map_or(0, |known| bytes_of(&known));
                    Counted { grown_bytes, ..Counted::from(total.clone()) }
                })
                .collect();
            self.records.periods.extend(self.book.take(&usage, |_| running));
        }

        fn told(&mut self, epoch: u32, period_started_ms: i64, bytes: u64) {
            let lines = vec![LineUsageBeforeV1 { line: "a".into(), period_started_ms, bytes }];
            let told = self.book.note_before(&UsageBeforeV1 { store_epoch: epoch, lines });
            self.records.befores.extend(told.unwrap_or_default());
        }

        fn restart(&mut self) {
            let open = self.totals.values().filter(|total| !total.is_ended).cloned();
            let open: Vec<Counted> = open.map(Counted::from).collect();
            self.book = QuotaBook::load(self.book.epoch, &self.records, &open);
        }

        fn check(&mut self, period: i64, expected: u64) {
            assert_eq!(self.book.used("a", period), expected);
            self.restart();
            assert_eq!(self.book.used("a", period), expected, "after a restart");
        }
    }

    #[test]
    fn open_and_ended_parts_of_the_running_period_count_once_each() {
        let mut kept = Kept::default();
        kept.take(P1, &[part("x", P1, 10, false), part("y", P1, 5, false)]);
        kept.check(P1, 15);
        kept.take(P1, &[part("x", P1, 30, false)]);
        kept.check(P1, 35);
        kept.take(P1, &[part("x", P1, 40, true)]);
        kept.check(P1, 45);
        // The router's last word came late.
        kept.take(P1, &[part("x", P1, 42, true)]);
        kept.check(P1, 47);
        kept.check(P2, 0);
    }

    #[test]
    fn another_period_begins_at_nothing_and_what_comes_late_of_the_last_one_counts_for_neither() {
        let mut kept = Kept::default();
        kept.take(P1, &[part("x", P1, 10, false), part("y", P1, 5, false)]);
        kept.take(P2, &[part("x", P1, 12, true), part("x#2", P2, 0, false)]);
        kept.check(P2, 0);
        kept.take(P2, &[part("x#2", P2, 3, false), part("y", P1, 9, true)]);
        kept.check(P2, 3);
        kept.check(P1, 12 + 9);
    }

    #[test]
    fn a_period_that_runs_again_because_time_was_taken_back_goes_on_where_it_was() {
        for is_restarted in [false, true] {
            let mut kept = Kept::default();
            let restart = |kept: &mut Kept| {
                if is_restarted {
                    kept.restart();
                }
            };
            kept.take(P1, &[part("x", P1, 10, true), part("y", P1, 5, false)]);
            let quota = QuotaV1 { from_ms: P1, bytes: 15 };
            let told = kept.book.newly_reached("a", &quota).expect("it is used up");
            kept.records.periods.insert("a".to_owned(), told);
            restart(&mut kept);
            // The clock leaps into the next period; the session's part is over with it.
            kept.take(P2, &[part("y", P1, 8, true), part("y#2", P2, 0, false)]);
            restart(&mut kept);
            kept.take(P2, &[part("y#2", P2, 4, false)]);
            kept.check(P2, 4);
            // And is taken back.
            kept.take(P1, &[part("y#2", P2, 6, true), part("y#3", P1, 0, false)]);
            kept.check(P1, 10 + 8);
            restart(&mut kept);
            kept.take(P1, &[part("y#3", P1, 3, false)]);
            kept.check(P1, 10 + 8 + 3);
            assert_eq!(kept.book.newly_reached("a", &quota), None, "head office knows");
            // What was moved while the next one seemed to run is not lost, and belongs to no other.
            kept.take(P2, &[part("y#3", P1, 3, true), part("y#4", P2, 1, false)]);
            kept.check(P2, 6 + 1);
        }
    }

    #[test]
    fn a_third_period_lets_the_one_before_the_last_go() {
        const P3: i64 = 3_000;
        let mut kept = Kept::default();
        for (period, bytes) in [(P1, 1), (P2, 2), (P3, 3)] {
            kept.take(period, &[part(&format!("x{period}"), period, bytes, true)]);
        }
        kept.check(P3, 3);
        kept.check(P2, 2);
        kept.check(P1, 0);
    }

    #[test]
    fn bytes_without_a_period_and_of_one_that_has_not_begun_count_for_nothing() {
        let mut kept = Kept::default();
        kept.take(0, &[part("x", 0, 10, false)]);
        assert_eq!(kept.book.lines().count(), 0);
        kept.take(P1, &[part("x", 0, 12, true), part("x#2", P1, 1, false)]);
        kept.check(P1, 1);
    }

    #[test]
    fn what_head_office_tells_is_added_for_its_period_and_this_life_of_the_store_only() {
        let mut kept = Kept { book: QuotaBook::load(7, &BookRecords::default(), &[]), ..Kept::default() };
        kept.told(6, P1, 1_000);
        kept.check(P1, 0);
        kept.told(7, P1, 100);
        kept.check(P1, 100);
        kept.take(P1, &[part("x", P1, 10, false)]);
        kept.told(7, P1, 100);
        kept.told(7, P1, 90);
        kept.check(P1, 110);
        kept.told(7, P1, 120);
        kept.check(P1, 130);
        kept.take(P2, &[part("x", P1, 11, true)]);
        kept.told(7, P1, 500);
        kept.check(P2, 0);
        kept.told(7, P2, 4);
        kept.check(P2, 4);
    }

    #[test]
    fn a_store_that_begins_another_life_does_not_count_its_own_bytes_twice() {
        let mut kept = Kept { book: QuotaBook::load(7, &BookRecords::default(), &[]), ..Kept::default() };
        kept.told(7, P1, 100);
        kept.take(P1, &[part("x", P1, 10, true), part("y", P1, 5, false)]);
        kept.records.befores.extend(kept.book.begin_epoch(8));
        kept.check(P1, 115);
        // All that head office had heard: what was before, and most of what this store counted.
        kept.told(8, P1, 113);
        kept.check(P1, 115);
        // It knows more: the flash is a copy of days ago.
        kept.told(8, P1, 215);
        kept.check(P1, 215);
        kept.take(P1, &[part("y", P1, 8, false)]);
        kept.check(P1, 218);
        assert!(kept.book.begin_epoch(8).is_empty());
    }

    /// A store that opens late: what it held, what was told and counted meanwhile, and what must have been used then.
    #[test]
    fn a_store_that_opens_late_adds_what_it_held_to_what_was_counted_without_it() {
        let check =
            |held: (i64, u64, u64), before: u64, told: u64, counted: &[SessionUsageV1], expected: u64| {
                let (period_ms, ended_bytes, open) = held;
                let counted_there = PeriodCounted { period_ms, ended_bytes, told_bytes: Some(5_000) };
                let before = CountedBefore { period_ms, bytes: before, own_bytes: 0 };
                let on_flash = BookRecords {
                    periods: BTreeMap::from([("a".to_owned(), running(counted_there))]),
                    befores: BTreeMap::from([("a".to_owned(), before)]),
                };
                let open = Counted::from(part("old", period_ms, open, false));
                let mut kept = Kept::default();
                if told > 0 {
                    kept.told(0, P2, told);
                }
                kept.take(P2, counted);
                // What the keeper of the store does.
                let mut found = QuotaBook::load(7, &on_flash, std::slice::from_ref(&open));
                let befores = found.note_all(&kept.records.befores);
                let closed = found.close();
                kept.records.befores = on_flash.befores.into_iter().chain(befores).collect();
                kept.book.join(&found);
                let case = format!("{held:?}, {told} told, {} counted", counted.len());
                assert_eq!(kept.book.used("a", P2), expected, "{case}");
                // Records of before and after that moment are put down beside what was found.
                let records = kept.records.periods.iter();
                let beside = records.map(|(id, record)| (id.clone(), record.beside(found.record_of(id))));
                kept.records.periods = on_flash.periods.into_iter().chain(closed).chain(beside).collect();
                kept.totals.insert("old".into(), SessionUsageV1 { is_ended: true, ..open.total });
                kept.restart();
                assert_eq!(kept.book.used("a", P2), expected, "{case}, after a restart");
            };
        let counted = [part("x", P2, 10, true), part("y", P2, 5, false)];
        check((P2, 100, 20), 7, 0, &[], 127);
        check((P2, 100, 20), 7, 0, &counted, 142);
        // Head office knew all of that but for what was not told yet.
        check((P2, 100, 20), 7, 110, &counted, 142);
        // It knew more: the flash is a copy of days ago.
        check((P2, 100, 20), 7, 200, &counted, 215);
        // Another period runs by now.
        check((P1, 100, 20), 7, 0, &counted, 15);
        check((P1, 100, 20), 7, 30, &counted, 45);
    }

    #[test]
    fn a_quota_that_was_told_of_before_the_store_was_shut_is_not_told_again() {
        let record = PeriodCounted { period_ms: P1, ended_bytes: 100, told_bytes: Some(100) };
        let periods = BTreeMap::from([("a".to_owned(), running(record))]);
        let records = BookRecords { periods, ..BookRecords::default() };
        let mut book = QuotaBook::default();
        book.join(&QuotaBook::load(7, &records, &[]));
        assert_eq!(book.newly_reached("a", &QuotaV1 { from_ms: P1, bytes: 100 }), None);
        let more = book.newly_reached("a", &QuotaV1 { from_ms: P1, bytes: 90 });
        assert!(more.is_some(), "another quota is another matter");
    }

    #[test]
    fn reaching_a_quota_is_told_once_and_again_when_a_top_up_is_used_up_too() {
        let mut kept = Kept::default();
        let mut check = |bytes: u64, quota: u64, expected: bool| {
            kept.take(P1, &[part("x", P1, bytes, false)]);
            let reached = kept.book.newly_reached("a", &QuotaV1 { from_ms: P1, bytes: quota });
            assert_eq!(reached.is_some(), expected, "{bytes} of {quota}");
            kept.records.periods.extend(reached.map(|record| ("a".to_owned(), record)));
            kept.restart();
        };
        check(99, 100, false);
        check(100, 100, true);
        check(130, 100, false);
        check(130, 200, false);
        check(200, 200, true);
        check(201, 200, false);
    }

    #[test]
    fn a_forgotten_line_stays_forgotten() {
        let mut kept = Kept::default();
        kept.take(P1, &[part("x", P1, 10, false)]);
        assert_eq!(kept.book.forget(["a", "b"]), ["a"]);
        kept.take(0, &[part("x", P1, 11, true)]);
        assert_eq!((kept.book.lines().count(), kept.book.used("a", P1)), (0, 0));
    }
}
