//! What a payment costs: commands, and time from the state's change to the proof.

use std::time::Duration;

use crate::site::{Site, username};
use routeros_sim::FaultsChange;
use tawi_agent::flow::Report;
use tawi_shared::wire::Access;
use tokio::time::Instant;

/// A router on the same site, as it would answer over a busy LAN.
const LATENCY: Duration = Duration::from_millis(5);

/// A router behind a radio link: so slow that the machine under this test hardly counts.
const FAR: Duration = Duration::from_millis(60);

/// Time from the change to its proof, in commands and in the router's latencies.
async fn measure(site: &mut Site, change: impl FnOnce(&mut crate::site::Wants<'_>)) -> (u64, Duration) {
    let before = site.router.summary().commands_total;
    let generation = site.want(change);
    let started = Instant::now();
    assert!(site.settled(generation).await.is_empty());
    (site.router.summary().commands_total - before, started.elapsed())
}

async fn quiet_site() -> Site {
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.sample = Duration::from_secs(3_600)).await;
    site.settle(|wants| (0..200).for_each(|number| wants.open(&format!("line-{number:03}")))).await;
    site.settle(|wants| (0..10).for_each(|number| wants.switch_off(&format!("line-{number:03}")))).await;
    set_latency(&site, LATENCY);
    site
}

fn set_latency(site: &Site, latency: Duration) {
    let millis = u64::try_from(latency.as_millis()).unwrap();
    site.router.set_faults(FaultsChange { latency_ms: Some(millis), ..FaultsChange::default() }).unwrap();
}

#[tokio::test]
async fn a_payment_is_two_round_trips_from_the_state_to_the_proof() {
    let mut site = quiet_site().await;
    set_latency(&site, FAR);
    let mut times = Vec::new();
    for number in 0..10 {
        let line = format!("line-{number:03}");
        let pay = |wants: &mut crate::site::Wants<'_>| wants.line(&line).access = Access::Open.code();
        let (commands, took) = measure(&mut site, pay).await;
        assert_eq!(site.secret(&username(&line)).unwrap()["disabled"], "false");
        assert_eq!(commands, 3, "read; write and read back together");
        times.push(took);
    }
    times.sort();
    println!("a payment, ten times, 3 commands each: {times:?}");
    assert!(times[0] >= 2 * FAR && times[0] < 3 * FAR, "{times:?}");
}

#[tokio::test]
async fn payments_that_come_together_are_one_pass() {
    let mut site = quiet_site().await;
    let open = |wants: &mut crate::site::Wants<'_>| {
        (0..10).for_each(|number| wants.line(&format!("line-{number:03}")).access = Access::Open.code());
    };
    let (commands, took) = measure(&mut site, open).await;
    println!("ten payments: {commands} commands, {took:?}");
    assert_eq!(commands, 12, "read, ten writes, read back");
}

#[tokio::test]
async fn a_cut_is_four_round_trips_and_ends_the_session() {
    let mut site = quiet_site().await;
    let device = site.dial("line-100");
    site.online(&device).await;
    let (commands, took) = measure(&mut site, |wants| wants.switch_off("line-100")).await;
    println!("one cut: {commands} commands, {took:?}");
    assert!(site.rows("ppp/active").is_empty());
    assert!(took >= 4 * LATENCY && took < 25 * LATENCY, "{took:?}");
}

#[tokio::test]
async fn a_payment_does_not_wait_behind_a_router_that_is_filled_anew() {
    const LINES: usize = 400;
    let mut site = quiet_site().await;
    let slow = FaultsChange { latency_ms: Some(0), serial_ms: Some(3), ..FaultsChange::default() };
    site.router.set_faults(slow).unwrap();
    let filling = site.want(|wants| (0..LINES).for_each(|number| wants.open(&format!("new-{number:03}"))));
    let ours = |site: &Site| site.rows("ppp/secret").len();
    let before = ours(&site);
    site.router.wait_for(crate::site::PATIENCE, || (ours(&site) > before).then_some(())).await.unwrap();
    let paid = site.want(|wants| wants.line("line-000").access = Access::Open.code());
    let failures = site.settled(paid).await;
    let added = ours(&site) - before;
    println!("a payment was proven while {added} of {LINES} new rows were written");
    assert!(added < LINES / 2, "{added} rows went first");
    assert_eq!(site.secret(&username("line-000")).unwrap()["disabled"], "false");
    assert!(failures.iter().all(|failure| failure.line.starts_with("new-")), "{failures:?}");
    assert!(!failures.is_empty(), "what waits is not told as done");
    let done = |report: &Report| match report {
        Report::Settled { generation, failures, .. } => {
            (*generation == paid && failures.is_empty()).then_some(())
        }
        _ => None,
    };
    site.until("all rows to be there", done).await;
    assert_eq!(ours(&site), before + LINES);
    assert!(paid > filling);
}
