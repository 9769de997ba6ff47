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
    /// Whether the agent has a total to start from, read when nothing could be about to be added to it.
    is_known: bool,
    /// The same of what is safe on flash.
    is_known_safely: bool,
    last_end: u64,
    /// One that ended while the agent was away, and that its user's total must tell of to the byte.
    pub(super) away: Option<Live>,
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
        self.tracker.expect_of([("h", "line-h")].into_iter());
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
        let away = self.hotspot.away.take();
        let is_exact = self.hotspot.is_known
            && !self.hotspot.is_live
            && self.hotspot.pending.is_empty()
            && running.is_empty()
            && self.shut.is_none()
            && self.hotspot.closing.len() == 1;
        let of_hotspot = self.live.iter().filter(|live| live.service == Service::Hotspot);
        let is_unbounded = |live: &Live| live.is_doubted || live.is_partial;
        let are_bounded = !of_hotspot.chain(&self.hotspot.closing).any(is_unbounded);
        for gone in std::mem::take(&mut self.hotspot.closing) {
            let is_whole = gone.is_read && !gone.is_doubted && !gone.is_partial;
            if !(is_exact && is_whole) {
                self.lose(gone.line, gone.unsynced);
                away.iter().for_each(|away| self.may_be_mixed_up(away));
            }
        }
        // A sample may have seen the end as much later as two of them are late.
        let is_long_ago = self.second >= self.hotspot.last_end + 60 + 4 * LATEST;
        let has_gone = self.gone.iter().any(|(line, ..)| *line == "line-h");
        self.hotspot.is_known |= !has_gone && is_long_ago && self.hotspot.pending.is_empty();
        // Nobody knows what one moved before it was looked at.
        self.hotspot.is_known &= are_bounded;
        outcome
    }

    /// The agent is away, and somebody's session ends. Whether its bytes must be found follows from what is on flash.
    pub(super) fn log_out_unseen(&mut self, gone: Live) {
        let of = format!("/{}/", gone.number);
        let open = self.flash.sessions.values().filter(|counted| counted.mark.user == gone.user);
        let open: Vec<_> = open.filter(|counted| !counted.total.is_ended).collect();
        let is_remembered = |counted: &&&Counted| {
            counted.mark.expected.is_some()
                && counted.total.session.contains(&of)
                && !counted.total.session.contains('+')
        };
        let is_alone = self.live.iter().all(|other| other.user != gone.user);
        let is_remembered = open.len() == 1 && open.iter().find(is_remembered).is_some();
        let is_first = self.hotspot.closing.is_empty() && self.hotspot.away.is_none();
        if is_remembered && is_alone && is_first && !self.gone.iter().any(|(line, ..)| *line == gone.line) {
            self.hotspot.away = Some(gone.clone());
        } else {
            self.note_gone(&gone);
        }
        self.log_out_of_hotspot(gone);
    }

    /// What is known of the totals after a restart is what is on flash, if that is there.
    pub(super) fn remember_total(&mut self, is_lost: bool) {
        self.hotspot.is_known = self.hotspot.is_known_safely && self.hotspot.away.is_some() && !is_lost;
        if is_lost && let Some(away) = self.hotspot.away.take() {
            self.may_be_mixed_up(&away);
        }
    }

    pub(super) fn keep_total(&mut self) {
        self.hotspot.is_known_safely = self.hotspot.is_known;
    }

    /// Another session by its number may be taken for it, and then only what that moved beyond it is counted.
    pub(super) fn may_be_mixed_up(&mut self, gone: &Live) {
        self.lose(gone.line, gone.moved.0 + gone.moved.1);
        self.note_gone(gone);
    }

    /// What was not settled by now may be missing.
    pub(super) fn close_hotspot(&mut self) {
        if let Some(away) = self.hotspot.away.take() {
            self.may_be_mixed_up(&away);
        }
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
