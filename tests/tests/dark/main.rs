//! A site that is dark for thirty days: what it tells when it is back, in which order, and what the line carries of it in any
//! hour. The heart of the agent, its flash, the controller's link and its database are whole; the messages between them are
//! carried by hand, and time by `office.rs` and `site.rs`, so that a month takes a minute. What a site costs its flash while
//! nothing happens is played by the same means in `steady.rs`, and what a month costs its line in `month.rs`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops; clippy's own exception knows only functions marked as tests"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "time stands still here, so that the threads of the store and of the database are waited for by the machine's clock"
)]

mod month;
mod office;
mod site;
mod steady;

use std::collections::VecDeque;
use std::time::Duration;

use office::Office;
use site::Site;
use tawi_shared::UnixMillis;
use tawi_shared::wire::SessionUsageV1;
use tawi_tests::money::scratch;
use tokio::time::Instant;

/// 2027-01-15, in Nairobi: no agent believes a time before it was built.
const BEGIN: UnixMillis = UnixMillis(1_800_000_000_000);
/// Subscribers of the site.
const LINES: usize = 100;
const DARK_DAYS: u64 = 30;
/// Each session lasts half a day.
const SESSION: Duration = Duration::from_secs(12 * 3_600);
/// What a site may tell in an hour, unless its settings say otherwise.
const HOURLY: u64 = 100_000;
const STEP: Duration = Duration::from_secs(60);
/// Running totals are read so often here.
const SAMPLE: Duration = Duration::from_secs(600);
const HOUR: Duration = Duration::from_secs(3_600);

/// What the customers do: each has one session after the other, and moves some bytes a second of its own.
struct Customers {
    lines: Vec<String>,
}

impl Customers {
    fn running(&self, line: usize, number: u64, at: Duration) -> SessionUsageV1 {
        let begun = self.begins(line, number);
        let lasted = at.saturating_sub(begun).min(SESSION);
        let rate = 1_000 + u64::try_from(line).unwrap();
        SessionUsageV1 {
            line: self.lines[line].clone(),
            session: format!("core/pppoe/8100{line:04x}/{}", begun.as_secs()),
            started_at_ms: BEGIN.plus(begun).0,
            sampled_at_ms: BEGIN.plus(begun + lasted).0,
            upload_bytes: rate * lasted.as_secs(),
            download_bytes: 9 * rate * lasted.as_secs(),
            is_ended: lasted == SESSION,
            address: String::new(),
            period_started_ms: 0,
        }
    }

    /// Their turns are spread over the half day.
    fn begins(&self, line: usize, number: u64) -> Duration {
        let parts = u32::try_from(self.lines.len()).unwrap();
        SESSION * u32::try_from(number).unwrap() + SESSION / parts * u32::try_from(line).unwrap()
    }

    /// The session of a line that runs at this time; `None` before the first.
    fn number_at(&self, line: usize, at: Duration) -> Option<u64> {
        let since = at.checked_sub(self.begins(line, 0))?;
        Some(since.as_secs() / SESSION.as_secs())
    }

    /// Whatever ends in a span, and the totals of what runs at its end.
    fn pass(&self, from: Duration, to: Duration) -> Vec<SessionUsageV1> {
        let mut totals = Vec::new();
        for line in 0..self.lines.len() {
            let Some(now) = self.number_at(line, to) else { continue };
            let before = self.number_at(line, from).unwrap_or(now);
            totals.extend((before..now).map(|number| self.running(line, number, to)));
            totals.push(self.running(line, now, to));
        }
        totals
    }

    /// Every session until then.
    fn all(&self, until: Duration) -> Vec<SessionUsageV1> {
        let of = |line| {
            Some((0..=self.number_at(line, until)?).map(move |number| self.running(line, number, until)))
        };
        (0..self.lines.len()).filter_map(of).flatten().collect()
    }
}

/// What the line carried, minute by minute of the last hour, and the most in any hour.
#[derive(Default)]
struct Meter {
    minutes: VecDeque<(Duration, u64)>,
    most: u64,
}

impl Meter {
    fn read(&mut self, now: Duration, carried: u64) {
        self.minutes.push_back((now, carried));
        while self.minutes.front().is_some_and(|(at, _)| now - *at > HOUR) {
            self.minutes.pop_front();
        }
        let first = self.minutes.front().map_or(0, |(_, carried)| *carried);
        self.most = self.most.max(carried - first);
    }
}

/// Carries what both say until neither says more: what is sealed may wait for the budget.
async fn exchange(site: &mut Site, office: &mut Office) {
    let mut quiet_rounds = 0;
    while quiet_rounds < 3 {
        let lanes = site.status().await.outbox;
        // An answer may be on its way while the database writes.
        if quiet_rounds > 0 && lanes.usage.sealed + lanes.events.sealed > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let words = site.said();
        let was_silent = words.is_empty();
        let mut is_answered = false;
        for (topic, bytes, is_light) in words {
            is_answered |= office.hear(&topic, bytes, is_light).await;
        }
        let answers = office.said(is_answered).await;
        quiet_rounds = if was_silent && answers.is_empty() { quiet_rounds + 1 } else { 0 };
        for word in answers {
            site.hear(&word.topic, word.bytes).await;
        }
    }
}

#[tokio::test]
async fn a_month_in_the_dark_is_told_in_order_within_the_budget_and_to_the_byte() {
    let directory = scratch();
    let mut office = Office::open(&directory, LINES).await;
    let _still = office::hold_time();
    let mut site = Site::start(&directory.join("site"), office.clock.clone(), HOURLY).await;
    let customers = Customers { lines: office.lines.clone() };
    let begun = Instant::now();
    let mut last = Duration::ZERO;

    // Half a day on the line, and then none.
    site.connect().await;
    exchange(&mut site, &mut office).await;
    while begun.elapsed() < SESSION {
        office.pass(SAMPLE).await;
        let now = begun.elapsed();
        site.report(customers.pass(last, now)).await;
        last = now;
        exchange(&mut site, &mut office).await;
    }
    let (status, known) = (site.status().await, office.sessions().await.len());
    assert!(status.controller.is_connected && known + 5 >= LINES, "{known} sessions are known: {status:?}");
    site.cut().await;
    let dark_since = begun.elapsed();
    let mut days = 0;
    while begun.elapsed() - dark_since < Duration::from_secs(DARK_DAYS * 86_400) {
        office.pass(6 * HOUR).await;
        let now = begun.elapsed();
        site.report(customers.pass(last, now)).await;
        last = now;
        // The power fails once a week.
        let day = (now - dark_since).as_secs() / 86_400;
        if day >= days + 7 {
            days = day;
            site = site.restart().await;
        }
    }
    let waiting = site.status().await;
    let (backlog, history) = (waiting.outbox.usage.backlog, waiting.outbox.events.backlog);
    let expected = u64::try_from(LINES).unwrap() * 2 * DARK_DAYS;
    assert!(backlog.abs_diff(expected) <= u64::try_from(LINES).unwrap(), "{backlog} sessions wait");
    assert!(history > backlog, "{history} who came and went wait");

    // The line is back.
    let back = begun.elapsed();
    // What it says at once is within the budget like all that it says then.
    let mut meter = Meter::default();
    meter.read(back, site.carried());
    site.connect().await;
    exchange(&mut site, &mut office).await;
    let (mut standing_after, mut usage_after, mut all_after) = (None, None, None);
    let (mut next_sample, mut next_minute) = (back, back);
    while all_after.is_none() {
        office.pass(STEP).await;
        let now = begun.elapsed();
        if now >= next_sample {
            site.report(customers.pass(last, now)).await;
            (last, next_sample) = (now, now + SAMPLE);
        }
        exchange(&mut site, &mut office).await;
        if now >= next_minute {
            next_minute = now + Duration::from_secs(60);
            site.keep_alive();
            meter.read(now, site.carried());
            let status = site.status().await;
            let (usage, events) = (status.outbox.usage, status.outbox.events);
            if usage.backlog > 0 {
                assert_eq!(events.backlog, history, "history waits for whatever was used");
                // Nothing that is fresh waits for longer than its own time.
                let told = office.newest_sample_of(&customers.lines[0]).await;
                let age = office.clock.now().since(UnixMillis(told));
                assert!(age <= Duration::from_secs(2_400), "{age:?} old");
            } else {
                usage_after.get_or_insert(now - back);
            }
            if events.pending == events.backlog {
                standing_after.get_or_insert(now - back);
            }
            if usage.backlog + events.backlog == 0 {
                all_after = Some(now - back);
            }
        }
        assert!(now - back < Duration::from_secs(10 * 86_400), "the backlog does not end");
    }
    // Everything that ran is told once more, and nothing waits.
    site.report(customers.pass(last, begun.elapsed())).await;
    last = begun.elapsed();
    for _ in 0..30 {
        office.pass(Duration::from_secs(60)).await;
        exchange(&mut site, &mut office).await;
    }

    // Each session is there once, and with every byte that it moved.
    let mut moved = std::collections::BTreeMap::new();
    for total in customers.all(last) {
        moved.insert(total.session.clone(), (total.upload_bytes, total.download_bytes));
    }
    let known = office.sessions().await;
    assert_eq!(known.len(), moved.len());
    for (session, bytes) in &moved {
        assert_eq!(known.get(session), Some(bytes), "{session}");
    }
    // Whose session is over came once and went once.
    let ended = customers.all(last).iter().filter(|total| total.is_ended).count();
    assert_eq!(office.turns().await, 2 * u64::try_from(ended).unwrap(), "every coming and going is there");
    assert_eq!(office.twice_told().await, 0, "events are told once");
    assert_eq!(office.by_day().await, moved.values().map(|(up, down)| up + down).sum::<u64>());

    let month = site.status().await.controller.line;
    println!(
        "{} sessions and {} events of {DARK_DAYS} days without a line, {HOURLY} bytes an hour:\n\
         how the lines stand after {standing_after:?}, all usage after {usage_after:?}, all history after {all_after:?};\n\
         the most in any hour {} bytes; {} bytes in all\n{}",
        backlog,
        history,
        meter.most,
        site.carried(),
        month.said()
    );
    assert!(meter.most <= HOURLY, "{} bytes in an hour", meter.most);
    assert!(standing_after.unwrap() <= Duration::from_secs(120), "{standing_after:?}");
    site.stop().await;
    let _ = std::fs::remove_dir_all(&directory);
}
