//! Random orders, random hands on the router and random faults, from a seed; at the end everything must be right.

use std::time::Duration;

use crate::site::{PATIENCE, Shown, Site, username};
use routeros_sim::FaultsChange;
use tawi_agent::flow::Report;
use tawi_shared::IdSource;
use tawi_shared::wire::{Access, LineV1, Service};

/// Enough for every kind of step to meet every other; a seed takes about a second.
const STEPS: usize = 60;
const LINES: u64 = 12;

struct Dice(IdSource);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        self.0.number() % sides
    }

    fn line(&self) -> String {
        format!("line-{}", self.roll(LINES))
    }
}

fn order(site: &mut Site, dice: &Dice) {
    let line = dice.line();
    let roll = dice.roll(10);
    let speed = 10 + dice.roll(4) * 10;
    site.want(|wants| match roll {
        0..=2 => wants.line(&line).access = Access::Open.code(),
        3..=4 => wants.switch_off(&line),
        5 => drop(wants.lines.remove(&line)),
        6 => wants.line(&line).password = format!("password {speed}"),
        7 => wants.line(&line).username = format!("{line}-{speed}@isp"),
        8 => {
            wants.profile("fast", Service::Pppoe, 90);
            wants.line(&line).profile = "fast".into();
        }
        _ => {
            wants.line(&line);
            wants.speed("home", Service::Pppoe, speed);
        }
    });
}

/// What a person with WinBox may do to our rows; it may hit a row that is not there.
fn meddle(site: &Site, dice: &Dice) {
    let name = username(&dice.line());
    let _ = match dice.roll(4) {
        0 => site.router.set_row("ppp/secret", &name, &[("disabled", "yes")]),
        1 => site.router.set_row("ppp/secret", &name, &[("profile", "default"), ("disabled", "no")]),
        2 => site.router.remove_row("ppp/secret", &name),
        _ => site.router.set_row("ppp/profile", "home", &[("rate-limit", "1M/1M")]),
    };
}

fn break_something(site: &Site, dice: &Dice) {
    let none = FaultsChange::default();
    let fault = match dice.roll(6) {
        0 => FaultsChange { drop_after_bytes: Some(1 + dice.roll(800)), ..none },
        1 => FaultsChange { ignore_writes: Some(dice.roll(3)), ..none },
        2 => FaultsChange { latency_ms: Some(dice.roll(10)), ..none },
        3 => FaultsChange { serial_ms: Some(dice.roll(3)), ..none },
        4 => return site.router.drop_connections(),
        _ => return site.router.reboot(dice.roll(60)),
    };
    site.router.set_faults(fault).unwrap();
}

fn is_right(site: &Site, line: &LineV1) -> bool {
    let mark = format!("tawi:{}", line.line);
    let rows = site.rows("ppp/secret");
    let own: Vec<_> = rows.iter().filter(|row| row.get("comment") == Some(&mark)).collect();
    let is_online = site.rows("ppp/active").iter().any(|row| row["name"] == line.username);
    match (own.as_slice(), line.access == Access::Open.code()) {
        ([row], true) => {
            row["disabled"] == "false" && row["name"] == line.username && row["profile"] == line.profile
        }
        ([row], false) => row["disabled"] == "true" && !is_online,
        ([], false) => !is_online,
        _ => false,
    }
}

async fn play(seed: u64) {
    let dice = Dice(IdSource::seeded(seed));
    let mut site = Site::start_with(
        |_| {},
        |settings| {
            settings.timings.full_check = Duration::from_millis(150);
            settings.connect.deadlines.command_idle = Duration::from_secs(1);
        },
    )
    .await;
    let foreign = site.foreign_rows("ppp/secret");
    for number in 0..LINES {
        site.dial(&format!("line-{number}"));
    }
    for _ in 0..STEPS {
        match dice.roll(4) {
            0 | 1 => order(&mut site, &dice),
            2 => meddle(&site, &dice),
            _ => break_something(&site, &dice),
        }
        // Until the router has been asked something more, or is away: steps fall between ours at random places.
        let asked = site.router.summary().commands_total + dice.roll(12);
        let look = || (site.router.summary().commands_total >= asked).then_some(());
        let _ = site.router.wait_for(Duration::from_millis(50), look).await;
    }
    site.router.clear_faults();
    let last = site.want(|wants| wants.open("last"));
    let settled = |report: &Report| match report {
        Report::Settled { generation, failures, .. } => {
            (*generation == last && failures.is_empty()).then_some(())
        }
        _ => None,
    };
    site.until(&format!("everything to settle after seed {seed}"), settled).await;
    let lines: Vec<LineV1> = site.lines().cloned().collect();
    let all_right = || lines.iter().all(|line| is_right(&site, line)).then_some(());
    if site.router.wait_for(PATIENCE, all_right).await.is_err() {
        let wrong: Vec<_> = lines.iter().filter(|line| !is_right(&site, line)).collect();
        panic!("seed {seed}: {wrong:?}\n{:#?}\n{:#?}", site.rows("ppp/secret"), site.rows("ppp/active"));
    }
    let is_stray = |row: &&Shown| {
        let mark = row.get("comment").and_then(|comment| comment.strip_prefix("tawi:"));
        mark.is_some_and(|mark| !lines.iter().any(|line| line.line == mark))
    };
    let rows = site.rows("ppp/secret");
    let strays: Vec<_> = rows.iter().filter(is_stray).collect();
    assert!(strays.is_empty(), "seed {seed}: rows of lines that are no more: {strays:?}");
    assert_eq!(site.foreign_rows("ppp/secret"), foreign, "seed {seed}");
}

#[tokio::test]
async fn whatever_happens_the_router_ends_up_right_and_foreign_rows_as_they_were() {
    for seed in 1..=4 {
        play(seed).await;
    }
}
