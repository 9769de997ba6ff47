//! Routers that lie, hang, drop the line and reboot.

use std::time::Duration;

use crate::site::{FOREIGN, Site, username};
use routeros_sim::FaultsChange;
use tawi_agent::flow::Report;
use tawi_agent::reconcile::RouterSettings;
use tawi_shared::wire::{EventKind, FailureKind};

#[tokio::test]
async fn a_write_that_the_router_ignores_is_reported_and_then_healed() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot1")).await;
    site.router.set_faults(FaultsChange { ignore_writes: Some(2), ..FaultsChange::default() }).unwrap();
    let failures = site.settle(|wants| wants.switch_off("plot1")).await;
    assert_eq!(failures.len(), 1);
    assert_eq!((failures[0].line.as_str(), failures[0].kind), ("plot1", FailureKind::NotApplied));
    assert!(failures[0].detail.contains("disabled"), "{}", failures[0].detail);
    let healed = |report: &Report| match report {
        Report::Settled { failures, .. } if failures.is_empty() => Some(()),
        _ => None,
    };
    site.until("the line to be healed", healed).await;
    assert_eq!(site.secret(&username("plot1")).unwrap()["disabled"], "true");
}

#[tokio::test]
async fn a_removal_that_the_router_ignores_is_tried_again() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot1")).await;
    let ignoring = FaultsChange { ignore_writes_menu: Some("ppp/secret".into()), ..FaultsChange::default() };
    site.router.set_faults(ignoring).unwrap();
    let failures = site.settle(|wants| wants.lines.clear()).await;
    assert_eq!((failures[0].line.as_str(), failures[0].kind), ("plot1", FailureKind::NotApplied));
    site.router.clear_faults();
    let healed = |report: &Report| match report {
        Report::Settled { failures, .. } => failures.is_empty().then_some(()),
        _ => None,
    };
    site.until("the row to be gone", healed).await;
    assert!(site.secret(&username("plot1")).is_none());
}

#[tokio::test]
async fn a_change_that_the_router_refuses_fails_its_line_and_no_other() {
    let mut site = Site::start().await;
    // A rate that no profile can have, beside one that can.
    let failures = site
        .settle(|wants| {
            wants.open("plot1");
            wants.line("b").username = String::new();
        })
        .await;
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!((failures[0].line.as_str(), failures[0].kind), ("b", FailureKind::Refused));
    assert!(site.secret(&username("plot1")).is_some());
}

#[tokio::test]
async fn a_connection_cut_anywhere_leaves_every_line_right_and_none_doubled() {
    // One line is cut in each round, all within the hour.
    let many = |settings: &mut RouterSettings| settings.guard.lines = 100;
    let mut site = Site::start_with(|_| {}, many).await;
    site.settle(|wants| wants.open("a-0")).await;
    for (round, bytes) in [1, 20, 60, 90, 120, 150, 200, 300, 400, 700, 1_000].into_iter().enumerate() {
        let cut = FaultsChange { drop_after_bytes: Some(bytes), ..FaultsChange::default() };
        site.router.set_faults(cut).unwrap();
        let new = format!("n-{round}");
        let failures = site
            .settle(|wants| {
                wants.open(&new);
                wants.switch_off(&format!("a-{round}"));
                wants.open(&format!("a-{}", round + 1));
            })
            .await;
        assert!(failures.is_empty(), "cut after {bytes} bytes: {failures:?}");
        for (line, disabled) in [(new, "false"), (format!("a-{round}"), "true")] {
            let row = site.secret(&username(&line)).unwrap();
            assert_eq!(
                (row["disabled"].as_str(), row["comment"].as_str()),
                (disabled, format!("tawi:{line}").as_str())
            );
        }
        assert_eq!(site.rows("ppp/secret").len(), FOREIGN + 2 * (round + 1) + 1, "cut after {bytes} bytes");
    }
}

#[tokio::test]
async fn a_reboot_in_the_middle_is_ridden_out() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.router.set_faults(FaultsChange { latency_ms: Some(30), ..FaultsChange::default() }).unwrap();
    let generation = site.want(|wants| {
        wants.switch_off("plot1");
        for number in 0..20 {
            wants.open(&format!("n-{number}"));
        }
    });
    site.router.reboot(800);
    site.event(EventKind::RouterLost).await;
    site.event(EventKind::RouterFound).await;
    let settled = |report: &Report| match report {
        Report::Settled { generation: of, failures, .. } => {
            (*of == generation && failures.is_empty()).then_some(())
        }
        _ => None,
    };
    site.until("everything to be right after the reboot", settled).await;
    assert_eq!(site.rows("ppp/secret").len(), FOREIGN + 21);
    assert_eq!(site.secret(&username("plot1")).unwrap()["disabled"], "true");
    assert!(site.rows("ppp/active").is_empty());
}

#[tokio::test]
async fn what_waits_for_a_router_that_is_away_says_so() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot1")).await;
    site.router
        .set_faults(FaultsChange { refuse_connections: Some(true), ..FaultsChange::default() })
        .unwrap();
    site.router.drop_connections();
    site.event(EventKind::RouterLost).await;
    let failures = site.settle(|wants| wants.open("b")).await;
    let kinds: Vec<_> = failures.iter().map(|failure| (failure.line.as_str(), failure.kind)).collect();
    assert_eq!(kinds, [("b", FailureKind::RouterUnreachable)]);
    site.router.clear_faults();
    site.event(EventKind::RouterFound).await;
    let failures = site.settled(2).await;
    assert!(failures.is_empty(), "{failures:?}");
    let reachable: Vec<bool> = site
        .log
        .iter()
        .filter_map(|report| match report {
            Report::RouterStatus { is_reachable, .. } => Some(*is_reachable),
            _ => None,
        })
        .collect();
    assert_eq!(reachable, [true, false, true]);
}

#[tokio::test]
async fn a_short_absence_is_no_news() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot1")).await;
    site.router.drop_connections();
    site.settle(|wants| wants.open("b")).await;
    let lost = site
        .log
        .iter()
        .any(|report| matches!(report, Report::Event(event) if event.kind == EventKind::RouterLost));
    assert!(!lost);
}

#[tokio::test]
async fn a_router_that_hangs_is_left_and_met_again() {
    let mut site = Site::start_with(
        |_| {},
        |settings| settings.connect.deadlines.command_idle = Duration::from_millis(200),
    )
    .await;
    site.settle(|wants| wants.open("plot1")).await;
    site.router.set_faults(FaultsChange { stall: Some(true), ..FaultsChange::default() }).unwrap();
    let generation = site.want(|wants| wants.switch_off("plot1"));
    site.event(EventKind::RouterLost).await;
    site.router.clear_faults();
    let settled = |report: &Report| match report {
        Report::Settled { generation: of, failures, .. } => {
            (*of == generation && failures.is_empty()).then_some(())
        }
        _ => None,
    };
    site.until("the line to be off", settled).await;
    assert_eq!(site.secret(&username("plot1")).unwrap()["disabled"], "true");
}

#[tokio::test]
async fn sessions_that_a_cut_connection_left_up_are_ended_afterwards() {
    // Drops the connection right behind the disabling, before the session can be removed.
    for bytes in [40, 80, 120, 160, 200, 240, 280] {
        let mut site = Site::start().await;
        let device = site.dial("plot1");
        site.settle(|wants| wants.open("plot1")).await;
        site.online(&device).await;
        site.router
            .set_faults(FaultsChange { drop_after_bytes: Some(bytes), ..FaultsChange::default() })
            .unwrap();
        let generation = site.want(|wants| wants.switch_off("plot1"));
        let failures = site.settled(generation).await;
        assert!(failures.is_empty(), "{failures:?}");
        assert!(site.rows("ppp/active").is_empty(), "cut after {bytes} bytes");
    }
}
