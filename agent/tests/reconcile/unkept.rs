//! Changes that a router acknowledges and does not keep, and tools that undo them: nobody is thrown out again and again.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::site::{PATIENCE, Site, password, username};
use routeros_sim::{FaultsChange, NewDevice, Service as Dialler, Settings};
use tawi_agent::flow::Report;
use tawi_shared::wire::{Access, EventKind, FailureKind, LineV1, Restraint, RestraintV1, Service};

fn session_ids(site: &Site) -> BTreeSet<String> {
    site.rows("ppp/active").into_iter().map(|row| row["session-id"].clone()).collect()
}

fn ignore(site: &Site, menu: &str) {
    let change = FaultsChange { ignore_writes_menu: Some(menu.into()), ..FaultsChange::default() };
    site.router.set_faults(change).unwrap();
}

/// The reconciler has looked at the router a good many times more.
async fn looked(site: &mut Site) {
    let router = site.router.clone();
    let enough = router.summary().prints_total + 30;
    let look = || (router.summary().prints_total >= enough).then_some(());
    site.hearing(router.wait_for(PATIENCE, look)).await.unwrap();
}

async fn healed(site: &mut Site) {
    let is_healed = |report: &Report| match report {
        Report::Settled { failures, .. } => failures.is_empty().then_some(()),
        _ => None,
    };
    site.until("everything to be right", is_healed).await;
}

async fn runs_at(site: &mut Site, rate: &str) {
    let router = site.router.clone();
    let look = || {
        let queues = crate::site::rows_of(&router, "queue/simple");
        queues.iter().any(|queue| queue["max-limit"] == rate).then_some(())
    };
    site.hearing(router.wait_for(PATIENCE, look)).await.unwrap();
}

async fn online_site(change: impl FnOnce(&mut tawi_agent::reconcile::RouterSettings)) -> Site {
    let mut site = Site::start_with(|_| {}, change).await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site
}

#[tokio::test]
async fn a_profile_that_is_not_kept_throws_nobody_out_until_it_is() {
    let mut site = online_site(|_| {}).await;
    let before = session_ids(&site);
    ignore(&site, "ppp/profile");
    let failures = site.settle(|wants| wants.speed("home", Service::Pppoe, 80)).await;
    let kinds: Vec<_> = failures.iter().map(|failure| (failure.line.as_str(), failure.kind)).collect();
    assert_eq!(kinds, [("plot1", FailureKind::NotApplied)]);
    looked(&mut site).await;
    assert_eq!(session_ids(&site), before);
    site.router.clear_faults();
    healed(&mut site).await;
    runs_at(&mut site, "20000000/80000000").await;
}

#[tokio::test]
async fn a_row_that_is_not_kept_throws_nobody_out_until_it_is() {
    let mut site = online_site(|_| {}).await;
    let before = session_ids(&site);
    ignore(&site, "ppp/secret");
    let failures = site
        .settle(|wants| {
            wants.profile("fast", Service::Pppoe, 40);
            wants.line("plot1").profile = "fast".into();
        })
        .await;
    let kinds: Vec<_> = failures.iter().map(|failure| (failure.line.as_str(), failure.kind)).collect();
    assert_eq!(kinds, [("plot1", FailureKind::NotApplied)]);
    looked(&mut site).await;
    assert_eq!(session_ids(&site), before);
    site.router.clear_faults();
    healed(&mut site).await;
    runs_at(&mut site, "10000000/40000000").await;
}

#[tokio::test]
async fn a_tool_that_rewrites_a_profile_costs_sessions_once_and_is_told_each_time() {
    let mut site = online_site(|settings| settings.timings.full_check = Duration::from_millis(100)).await;
    let before = session_ids(&site);
    let slow = [("rate-limit", "1M/1M")];
    site.router.set_row("ppp/profile", "home", &slow).unwrap();
    site.event(EventKind::DriftRepaired).await;
    let router = site.router.clone();
    let is_back = || {
        let now: BTreeSet<String> = crate::site::rows_of(&router, "ppp/active")
            .into_iter()
            .map(|row| row["session-id"].clone())
            .collect();
        (!now.is_empty() && now != before).then_some(now)
    };
    let once = site.hearing(router.wait_for(PATIENCE, is_back)).await.unwrap();
    looked(&mut site).await;
    for _ in 0..3 {
        site.router.set_row("ppp/profile", "home", &slow).unwrap();
        site.event(EventKind::DriftRepaired).await;
        looked(&mut site).await;
        assert_eq!(site.row("ppp/profile", "home").unwrap()["rate-limit"], "5M/20M");
    }
    assert_eq!(session_ids(&site), once);
    // What head office wants is another matter.
    site.settle(|wants| wants.speed("home", Service::Pppoe, 80)).await;
    runs_at(&mut site, "20000000/80000000").await;
}

fn hiding(router: &mut Settings) {
    router.release = "7.22".parse().unwrap();
}

#[tokio::test]
async fn a_password_that_no_row_shows_is_settled_by_its_write() {
    let mut site = Site::start_with(hiding, |_| {}).await;
    assert!(site.settle(|wants| wants.open("plot1")).await.is_empty());
    assert!(site.settle(|wants| wants.open("plot2")).await.is_empty());
    let failures = site.settle(|wants| wants.line("plot1").password = "another".into()).await;
    assert!(failures.is_empty(), "{failures:?}");
    let writes = site.writes();
    looked_idle(&mut site).await;
    assert_eq!(site.writes(), writes);
}

/// A steady state that is looked at once more.
async fn looked_idle(site: &mut Site) {
    site.router.drop_connections();
    assert!(site.settle(|wants| wants.switch_off("nobody")).await.is_empty());
}

/// Whoever is off is only disabled: a password that changes meanwhile is not in his row, whatever was settled.
#[tokio::test]
async fn a_password_that_changed_while_a_line_was_off_is_written_when_it_opens() {
    let mut site = Site::start_with(hiding, |_| {}).await;
    site.settle(|wants| wants.open("plot1")).await;
    site.settle(|wants| wants.switch_off("plot1")).await;
    site.settle(|wants| wants.line("plot1").password = "another".into()).await;
    site.restart(|settings| settings.settled_generation = Some(3)).await;
    site.settled(3).await;
    assert!(site.settle(|wants| wants.line("plot1").access = Access::Open.code()).await.is_empty());
    let device = NewDevice::new("plot1", Dialler::Pppoe, &username("plot1"), "another");
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.online("plot1").await;
}

#[tokio::test]
async fn a_password_that_changed_while_a_hotspot_line_was_walled_in_is_written_when_it_opens() {
    let mut site = Site::start_with(hiding, |_| {}).await;
    let line = |wants: &mut crate::site::Wants<'_>, change: fn(&mut LineV1)| {
        wants.profile("slow", Service::Hotspot, 1);
        change(wants.line_of("plot1", Service::Hotspot));
    };
    assert!(site.settle(|wants| line(wants, |_| {})).await.is_empty());
    let walled = |line: &mut LineV1| {
        line.suspension = RestraintV1 { how: Restraint::Walled.code(), profile: "slow".into() };
        line.access = Access::Suspended.code();
    };
    assert!(site.settle(|wants| line(wants, walled)).await.is_empty());
    assert!(site.settle(|wants| line(wants, |line| line.password = "another".into())).await.is_empty());
    assert!(site.settle(|wants| line(wants, |line| line.access = Access::Open.code())).await.is_empty());
    let phone = NewDevice::new("plot1", Dialler::Hotspot, &username("plot1"), "another");
    site.router.add_device(phone.redialing_after_ms(20)).unwrap();
    site.online("plot1").await;
    assert_ne!(password("plot1"), "another");
}

#[tokio::test]
async fn a_single_line_that_is_slowed_down_is_remembered_and_a_payment_is_not() {
    let mut site = online_site(|_| {}).await;
    site.settle(|wants| {
        wants.profile("slow", Service::Pppoe, 1);
        let line = wants.line("plot1");
        line.suspension = RestraintV1 { how: Restraint::Throttled.code(), profile: "slow".into() };
        line.access = Access::Suspended.code();
    })
    .await;
    let remembers = |report: &&Report| match report {
        Report::Remember { memory, .. } => memory.speeds.iter().any(|change| change.line == "plot1"),
        _ => false,
    };
    assert_eq!(site.log.iter().filter(remembers).count(), 1);
    site.settle(|wants| wants.line("plot1").access = Access::Open.code()).await;
    assert_eq!(site.log.iter().filter(remembers).count(), 1);
}
