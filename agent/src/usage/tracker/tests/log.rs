//! What the router logged while the agent was away, and what must come out.

use super::*;
use crate::usage::logout::{AccountLine, Caught, Heard, account_line};

/// A site whose log is heard: what stands there by then, and what was given out last of each session.
struct Logged {
    heard: Heard,
    log: Vec<AccountLine>,
    kept: BTreeMap<String, Counted>,
}

impl Logged {
    fn new() -> Self {
        Self { heard: Heard::default(), log: Vec::new(), kept: BTreeMap::new() }
    }

    fn says(&mut self, user: &str, seconds: u64, upload: u64, download: u64) {
        let message = format!("{user} logged out, {seconds} {upload} {download} 1 2 from AA:BB");
        self.log.push(account_line("pppoe,ppp,info,account", &message).unwrap());
    }

    fn keep(&mut self, outcome: Outcome) {
        for counted in outcome.usage {
            self.kept.insert(counted.total.session.clone(), counted);
        }
    }

    fn sample(&mut self, tracker: &mut Tracker, second: u64, seen: &[SeenSession]) {
        tracker.note_heard(self.heard.by_service());
        self.keep(tracker.sample(at(second), seen, line_of));
    }

    /// A line that the agent hears at once.
    fn hears(&mut self, tracker: &mut Tracker, second: u64) {
        let line = self.log.last().unwrap().clone();
        self.heard.hear(&line);
        tracker.note_heard(self.heard.by_service());
        self.keep(tracker.log_out(at(second), line.service, &line.word, None));
    }

    /// Another agent, which reads the log before it takes a sample.
    fn restart(&mut self, second: u64) -> Tracker {
        let mut tracker = Tracker::new("core");
        let open: Vec<Counted> =
            self.kept.values().filter(|counted| !counted.total.is_ended).cloned().collect();
        tracker.resume(&open);
        self.heard = Heard::default();
        let services = [Service::Pppoe].into();
        let Caught::Whole(printed) = self.heard.catch_up(&services, self.log.clone()) else { panic!() };
        tracker.note_heard(self.heard.by_service());
        self.keep(tracker.catch_up(at(second), &printed));
        tracker
    }

    /// Downloads, and whether they are over.
    fn totals(&self) -> Vec<(u64, bool)> {
        let totals = self.kept.values().map(|counted| &counted.total);
        totals.map(|total| (total.download_bytes, total.is_ended)).collect()
    }
}

#[test]
fn a_session_that_ended_during_a_restart_ends_with_the_routers_last_word_once() {
    let begun = |before: &[(u64, u64)]| {
        let mut site = Logged::new();
        for (seconds, download) in before {
            site.says("a", *seconds, 0, *download);
        }
        let mut tracker = site.restart(0);
        site.sample(&mut tracker, 10, &[seen("0x1", "a", 100, Some((0, 50)))]);
        site
    };
    let check = |mut site: Logged, expected: &[(u64, bool)]| {
        let mut tracker = site.restart(60);
        assert_eq!(site.totals(), expected);
        // However often it starts again, and whether or not a sample shows that it is over.
        site.restart(70);
        assert_eq!(site.totals(), expected);
        site.sample(&mut tracker, 80, &[]);
        let over: Vec<_> = expected.iter().map(|(bytes, _)| (*bytes, true)).collect();
        assert_eq!(site.totals(), over);
    };
    let mut site = begun(&[]);
    site.says("a", 140, 0, 70);
    check(site, &[(70, true)]);
    // What was there before is about sessions of before, however well it fits.
    check(begun(&[(120, 60)]), &[(50, false)]);
    let mut site = begun(&[(120, 60)]);
    site.says("a", 140, 0, 70);
    site.says("a", 141, 0, 80);
    check(site, &[(70, true)]);
    // The log was emptied, or made room: what stands there is younger.
    let mut site = begun(&[(120, 60)]);
    site.log.clear();
    site.says("b", 120, 0, 60);
    site.says("a", 140, 0, 70);
    check(site, &[(70, true)]);
    // Below what was counted, or younger, or older than it can have become.
    for (seconds, download) in [(140, 49), (90, 70), (9_000, 70)] {
        let mut site = begun(&[]);
        site.says("a", seconds, 0, download);
        check(site, &[(50, false)]);
    }
}

#[test]
fn a_line_about_another_session_of_the_user_ends_none_after_a_restart() {
    let both = [seen("0x1", "a", 100, Some((0, 5))), seen("0x2", "a", 100, Some((0, 6)))];
    let mut site = Logged::new();
    let mut tracker = site.restart(0);
    site.sample(&mut tracker, 10, &both[..1]);
    site.sample(&mut tracker, 11, &both);
    site.says("a", 110, 0, 9);
    site.restart(30);
    assert_eq!(site.totals(), [(5, false), (6, false)], "nobody knows which of them");

    // One ended in a sample, and the agent stopped before it heard the line.
    let mut site = Logged::new();
    let mut tracker = site.restart(0);
    site.sample(&mut tracker, 10, &both[..1]);
    site.sample(&mut tracker, 21, &[seen("0x3", "a", 5, Some((0, 1)))]);
    site.says("a", 105, 0, 9);
    let _ = site.restart(130);
    assert_eq!(site.totals(), [(5, true), (1, false)]);

    // It was heard while the next one ran already, which did not move since.
    let mut site = Logged::new();
    let mut tracker = site.restart(0);
    site.sample(&mut tracker, 10, &both[..1]);
    site.sample(&mut tracker, 21, &[]);
    site.sample(&mut tracker, 90, &[seen("0x3", "a", 5, Some((0, 1)))]);
    site.says("a", 50, 0, 9);
    site.hears(&mut tracker, 91);
    let _ = site.restart(150);
    assert_eq!(site.totals(), [(5, true), (1, false)]);
}
