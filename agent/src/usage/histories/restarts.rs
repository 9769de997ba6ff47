//! What happens to a site of `histories.rs` when its agent stops and starts: flash goes back, is lost or does not open
//! for a while, sessions end unseen, and the router's log tells of them, or not.

use super::*;
use crate::usage::logout::LineDigest;
use crate::usage::session::UPTIME_SLACK;

impl World {
    pub(super) fn restart(&mut self, power_fails: bool, is_store_lost: bool) {
        self.found = None;
        self.close_hotspot();
        if let Some(shut) = self.shut.take() {
            // What was in memory only is gone with it.
            (self.flash, self.synced) = (shut.clone(), shut);
            self.live.iter_mut().for_each(Live::forget);
        }
        if power_fails {
            self.flash = self.synced.clone();
            self.live.iter_mut().for_each(Live::forget);
        }
        let before: Vec<(&'static str, String)> =
            self.live.iter().map(|live| (live.user, live.number.clone())).collect();
        let findable = self.be_away();
        self.agent_started = self.second;
        let is_shifted = self.dice.one_in(6);
        if is_shifted {
            let seconds =
                [-400_000, -700, -20, 20, 700, 400_000][usize::try_from(self.dice.below(6)).unwrap()];
            self.shift_ms += seconds * 1_000;
            self.has_shifted = true;
        }
        if is_store_lost {
            let untold: Vec<_> = self.flash.sessions.values().map(|counted| counted.total.clone()).collect();
            for total in untold {
                let told = self.office.billed_of(&total.session);
                let line = self.lines.iter().position(|line| line.line == total.line).unwrap();
                self.lose(USERS[line].2, bytes_of(&total).saturating_sub(told));
            }
            self.flash = Flash::default();
            self.synced = Flash::default();
            self.epoch += 1;
            self.is_told_before = false;
        }
        let is_shut = !is_store_lost && self.dice.one_in(4);
        if is_shut {
            self.shut = Some(std::mem::take(&mut self.flash));
        }
        let sessions = self.flash.sessions.values();
        let open: Vec<Counted> = sessions.filter(|counted| !counted.total.is_ended).cloned().collect();
        self.tracker = Tracker::new("core");
        self.tracker.resume(&open);
        if is_store_lost || is_shut || open.is_empty() {
            self.tracker.doubt_running();
        }
        self.come_again(is_store_lost || is_shut);
        self.remember_total(is_store_lost || is_shut || is_shifted);
        let epoch = if is_shut { 0 } else { self.epoch };
        self.book = QuotaBook::load(epoch, &self.flash.records, &open);
        for (line, bytes, is_missed) in &mut self.gone {
            *self.lost.entry(line).or_default() += *bytes;
            *is_missed = false;
        }
        self.is_fresh = true;
        self.looks.clear();
        self.queues_seen = None;
        // Listens tell of nothing that was before them.
        self.words.clear();
        // Of those that ended meanwhile some have no word, and the next one may be theirs.
        let is_there = |(user, number): &(&'static str, String)| {
            self.live.iter().any(|live| live.user == *user && live.number == *number)
        };
        let ended_meanwhile = before.iter().filter(|known| !is_there(known)).map(|(user, _)| *user);
        // So have those that ended before, and are open on flash because no sample missed them.
        let is_open = |user: &&str| open.iter().any(|counted| counted.mark.user == *user);
        self.unworded.retain(is_open);
        self.unworded.extend(ended_meanwhile);
        for live in &mut self.live {
            let is_known = open.iter().any(|counted| {
                counted.mark.counters.is_some()
                    && counted.total.session.contains(&format!("/{}/", live.number))
            });
            // What is open on flash under its number may be one that is gone.
            let has_gone = self.gone.iter().any(|(line, ..)| *line == live.line);
            let is_mixed_up = has_gone && (live.service == Service::Hotspot || self.has_rebooted);
            live.is_doubted |= !is_known || is_mixed_up || is_shifted || is_store_lost || is_shut;
            live.is_read = false;
            live.is_seen = false;
        }
        self.heard = Heard::default();
        self.read_log();
        for gone in findable {
            let is_there = self.log.contains(&last_word(&gone.0, gone.1));
            if is_there && !(self.has_shifted || is_store_lost || is_shut) {
                self.check_found(&gone.0);
            } else {
                self.note_gone(&gone.0);
                self.lose(gone.0.line, gone.0.unsynced);
            }
        }
    }

    /// Whether nothing keeps the router's last word on a session from being found after a restart.
    fn is_findable(&self, gone: &Live) -> bool {
        let of_user = self.flash.sessions.values().filter(|counted| counted.mark.user == gone.user);
        let mut open = of_user.filter(|counted| !counted.total.is_ended);
        let Some(counted) = open.next().filter(|_| open.next().is_none()) else { return false };
        let (of, is_whole) = (format!("/{}/", gone.number), !gone.is_partial && gone.mistaken_at.is_none());
        let name = &counted.total.session;
        // One that is older bore the same number before the router was restarted: what lies on flash is of the store that
        // was shut since. None seems to have begun before it did.
        let started_at_ms = START_MS + i64::try_from(gone.started * 1_000).unwrap();
        let is_it = counted.total.started_at_ms >= started_at_ms;
        let Some(heard) = counted.mark.heard else { return false };
        is_it && is_whole && name.contains(&of) && !name.contains('+') && self.is_first_word(heard, counted)
    }

    /// Whether the newest line of the log is the first behind the digest that can be about this session. One on another of
    /// its user that no sample showed, and that lasted as long, is taken for its own: nothing tells the two apart.
    fn is_first_word(&self, heard: LineDigest, counted: &Counted) -> bool {
        let behind = self.log.iter().rposition(|line| line.digest() == heard).map_or(0, |heard| heard + 1);
        let may_be = |line: &&AccountLine| {
            line.word.user == counted.mark.user
                && line.word.lasted + UPTIME_SLACK >= Duration::from_secs(counted.mark.uptime_seconds)
        };
        self.log[behind..].iter().filter(may_be).count() == 1
    }

    /// Its total is what it moved, to the byte, and it is over.
    fn check_found(&mut self, gone: &Live) {
        let of = format!("/{}/", gone.number);
        let is_it =
            |counted: &&Counted| counted.mark.user == gone.user && counted.total.session.contains(&of);
        let parts = self.flash.sessions.values().filter(is_it);
        let last = parts.max_by_key(|counted| (counted.total.started_at_ms, counted.total.session.len()));
        let Some(Counted { total, mark, .. }) = last else { panic!("{gone:?} is forgotten") };
        let whole = (total.upload_bytes + mark.before.0, total.download_bytes + mark.before.1);
        assert_eq!((whole, total.is_ended), (gone.moved, true), "{gone:?}");
    }

    /// Time passes while nobody counts. Sessions end, and the router may log it, forget all that it logged, or nothing.
    /// Gives the sessions whose last words must be found, with how long they lasted.
    fn be_away(&mut self) -> Vec<(Live, u64)> {
        let mut findable: Vec<(Live, u64)> = Vec::new();
        self.move_bytes();
        self.second += 1 + self.dice.below(90);
        while self.dice.one_in(3) {
            let is_hotspot = self.dice.one_in(3);
            let ends = |live: &Live| {
                if is_hotspot { live.service == Service::Hotspot } else { is_ppp(live.service) }
            };
            let Some(index) = self.live.iter().position(ends) else { break };
            let gone = self.live.remove(index);
            if is_hotspot {
                self.log_out_unseen(gone);
                self.second += self.dice.below(20);
                continue;
            }
            let seconds = self.second - gone.started;
            let is_logged = !self.dice.one_in(4);
            if is_logged {
                self.log.push(last_word(&gone, seconds));
            }
            let who = USERS.iter().position(|(user, ..)| *user == gone.user).unwrap();
            if is_logged && self.is_findable(&gone) {
                findable.push((gone, seconds));
            } else {
                self.note_gone(&gone);
                self.lose(gone.line, gone.unsynced);
            }
            if self.dice.one_in(3) {
                // And dials in again, perhaps for a moment only.
                self.second += 1 + self.dice.below(5);
                self.dial(who);
                self.move_bytes();
            }
            self.second += self.dice.below(20);
        }
        if self.dice.one_in(8) {
            let kept = self.dice.below(3);
            let forgotten = self.log.len().saturating_sub(usize::try_from(kept).unwrap());
            self.log.drain(..forgotten);
        }
        findable
    }

    /// Reads what the router logged, as after each connection.
    pub(super) fn read_log(&mut self) {
        let services = USERS.iter().map(|(_, service, _)| *service).collect();
        let caught = self.heard.catch_up(&services, self.log.clone());
        self.heard_lines = self.log.len();
        self.tracker.note_heard(self.heard.by_service());
        let Caught::Whole(printed) = caught else { return };
        let outcome = self.tracker.catch_up(self.at(), &printed);
        self.keep(outcome);
    }

    /// The store opens after all: what was in memory goes down beside what lies there.
    pub(super) fn open_store(&mut self) {
        let Some(mut flash) = self.shut.take() else { return };
        let open: Vec<Counted> =
            flash.sessions.values().filter(|counted| !counted.total.is_ended).cloned().collect();
        let mut found = QuotaBook::load(self.epoch, &flash.records, &open);
        let befores = found.note_all(&self.flash.records.befores);
        flash.records.befores.extend(befores);
        flash.records.periods.extend(found.close());
        for open in &open {
            let total = SessionUsageV1 { is_ended: true, ..open.total.clone() };
            flash.sessions.insert(total.session.clone(), Counted { total, ..open.clone() });
        }
        self.book.join(&found);
        let memory = std::mem::take(&mut self.flash);
        for (line, record) in memory.records.periods {
            let beside = record.beside(found.record_of(&line));
            flash.records.periods.insert(line, beside);
        }
        flash.sessions.extend(memory.sessions);
        self.found = Some(found);
        self.flash = flash;
        // What was told belongs to no life of the store.
        self.is_told_before = false;
        self.sync();
    }

    /// Head office tells a store that it does not know what was billed before.
    pub(super) fn tell_before(&mut self) {
        let now = self.at().time;
        // A store that never opened has no life, and has told nothing: it is told all that is known.
        let store_epoch = if self.shut.is_some() { 0 } else { self.epoch };
        let before = if self.shut.is_some() { u32::MAX } else { self.epoch };
        let mut told = UsageBeforeV1 { store_epoch, lines: Vec::new() };
        for line in &self.lines {
            let Some(quota) = running_quota(line, now) else { continue };
            told.lines.push(LineUsageBeforeV1 {
                line: line.line.clone(),
                period_started_ms: quota.from_ms,
                bytes: self.office.billed(&line.line, Some(quota.from_ms), before),
            });
        }
        if let Some(befores) = self.book.note_before(&told) {
            self.flash.records.befores.extend(befores);
        }
        self.is_told_before = self.shut.is_none();
        self.sync();
    }
}
