//! The totals that a router of `histories.rs` keeps of its hotspot's user: it adds a session to them when it ends, at once
//! or a little later, or all the time; somebody resets them, and a power cut takes of them what it likes.

use super::*;

/// By when the router has added a session that ended: well within a minute.
const ADDED_WITHIN: u64 = 40;

#[derive(Clone, Debug, Default)]
pub(super) struct Hotspot {
    /// Whether they move with the traffic.
    pub(super) is_live: bool,
    /// Whether nothing is moved while the totals are read.
    pub(super) is_quiet: bool,
    total: (u64, u64),
    /// What is about to be added, and when.
    pending: Vec<(u64, (u64, u64))>,
    /// Sessions that ended and were not settled yet.
    pub(super) closing: Vec<Live>,
    /// Whether the agent has a total of this run to start from, read when nothing could be about to be added to it.
    is_known: bool,
    last_end: u64,
}

impl Hotspot {
    pub(super) fn add(&mut self, (up, down): (u64, u64)) {
        self.total.0 += up;
        self.total.1 += down;
    }

    fn add_pending(&mut self, until: u64) {
        for (_, bytes) in self.pending.extract_if(.., |(due, _)| *due <= until).collect::<Vec<_>>() {
            self.add(bytes);
        }
    }
}

impl World {
    pub(super) fn log_out_of_hotspot(&mut self, gone: Live) {
        if !self.hotspot.is_live {
            let delay = if self.dice.one_in(4) { self.dice.below(ADDED_WITHIN) } else { 0 };
            self.hotspot.pending.push((self.second + delay, gone.moved));
        }
        self.hotspot.last_end = self.second;
        self.hotspot.closing.push(gone);
    }

    /// Reads the totals that are wanted, as after each sample, unless the router does not answer.
    pub(super) fn settle(&mut self) -> Outcome {
        self.tracker.expect_of(["h"].into_iter());
        if self.tracker.wanted_totals().is_empty() || self.dice.one_in(8) {
            return Outcome::default();
        }
        if !self.hotspot.is_quiet && self.dice.one_in(4) {
            self.move_bytes();
        }
        self.hotspot.add_pending(self.second);
        let (up, down) = self.hotspot.total;
        let total = UpDown { upload: up, download: down };
        if !self.hotspot.is_quiet && self.dice.one_in(4) {
            self.move_bytes();
        }
        let of_hotspot = self.live.iter().filter(|live| live.service == Service::Hotspot);
        let running: Vec<SeenSession> = of_hotspot
            .map(|live| SeenSession {
                service: live.service,
                number: live.number.clone(),
                user: live.user.to_owned(),
                address: String::new(),
                uptime: Duration::from_secs(self.second - live.started),
                bytes: Some(UpDown { upload: live.counters.0, download: live.counters.1 }),
                took: Duration::ZERO,
                is_new: false,
            })
            .collect();
        let outcome = self.tracker.settle(self.at(), &BTreeMap::from([("h".to_owned(), total)]), &running);
        let is_exact = self.hotspot.is_known
            && !self.hotspot.is_live
            && self.hotspot.pending.is_empty()
            && running.is_empty()
            && self.shut.is_none()
            && self.hotspot.closing.len() == 1;
        for gone in std::mem::take(&mut self.hotspot.closing) {
            let is_whole = gone.is_read && !gone.is_doubted && !gone.is_partial;
            if !(is_exact && is_whole) {
                self.lose(gone.line, gone.unsynced);
            }
        }
        // A sample may have seen the end as much later as two of them are late.
        let is_long_ago = self.second >= self.hotspot.last_end + 60 + 4 * LATEST;
        let has_gone = self.gone.iter().any(|(line, ..)| *line == "line-h");
        self.hotspot.is_known |= !has_gone && is_long_ago && self.hotspot.pending.is_empty();
        outcome
    }

    /// What was not settled by now may be missing.
    pub(super) fn close_hotspot(&mut self) {
        for gone in std::mem::take(&mut self.hotspot.closing) {
            self.lose(gone.line, gone.unsynced);
        }
        self.hotspot.add_pending(u64::MAX);
        self.hotspot.is_known = false;
    }

    pub(super) fn reset_total(&mut self) {
        self.hotspot.total = (0, 0);
        self.hotspot.is_known = false;
    }

    /// Whoever is in is added, or the power was cut.
    pub(super) fn reboot_hotspot(&mut self, live: &[Live]) {
        let is_clean = self.dice.one_in(2);
        if is_clean && !self.hotspot.is_live {
            let of_hotspot = live.iter().filter(|live| live.service == Service::Hotspot);
            of_hotspot.for_each(|live| self.hotspot.add(live.moved));
            self.hotspot.add_pending(u64::MAX);
        } else if !is_clean {
            let (up, down) = self.hotspot.total;
            self.hotspot.total = (self.dice.below(up + 1), self.dice.below(down + 1));
        }
        self.hotspot.pending.clear();
        self.close_hotspot();
    }
}
