//! What becomes of PPPoE lines on the router.

use crate::site::{FOREIGN, PATIENCE, Site, rows_of, username};
use routeros_sim::FaultsChange;
use tawi_agent::flow::Report;
use tawi_shared::wire::{Access, EventKind, FailureKind, Service};

#[tokio::test]
async fn a_new_line_is_on_the_router_with_its_mark_and_its_profile() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    assert!(site.settle(|wants| wants.open("plot1")).await.is_empty());
    let row = site.secret(&username("plot1")).unwrap();
    assert_eq!(row["comment"], "tawi:plot1");
    assert_eq!(
        (row["profile"].as_str(), row["service"].as_str(), row["disabled"].as_str()),
        ("home", "pppoe", "false")
    );
    let profile = site.row("ppp/profile", "home").unwrap();
    assert_eq!((profile["rate-limit"].as_str(), profile["comment"].as_str()), ("5M/20M", "tawi:profile"));
    site.online(&device).await;
}

#[tokio::test]
async fn nothing_is_written_before_the_controller_has_spoken() {
    let mut site = Site::start().await;
    site.router.add_row("ppp/secret", &[("name", "left-over"), ("comment", "tawi:left-over")]).unwrap();
    site.until("the router to be reached", |report| {
        matches!(report, Report::RouterStatus { .. }).then_some(())
    })
    .await;
    site.router.drop_connections();
    site.until("the router to be reached again", |report| {
        matches!(report, Report::RouterStatus { .. }).then_some(())
    })
    .await;
    assert_eq!(site.writes(), 0);
}

#[tokio::test]
async fn a_line_that_is_switched_off_loses_its_session_and_keeps_its_row() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    assert!(site.settle(|wants| wants.switch_off("plot1")).await.is_empty());
    assert_eq!(site.secret(&username("plot1")).unwrap()["disabled"], "true");
    assert!(site.rows("ppp/active").is_empty());
    site.offline(&device).await;
    assert!(site.settle(|wants| wants.line("plot1").access = Access::Open.code()).await.is_empty());
    site.online(&device).await;
}

#[tokio::test]
async fn a_line_expires_by_itself_the_moment_that_it_is_due() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    let until = site.in_millis(1_500);
    site.settle(|wants| wants.line("plot1").valid_until_ms = Some(until)).await;
    site.online(&device).await;
    let event = site.event(EventKind::LineExpired).await;
    assert_eq!(event.line.as_deref(), Some("plot1"));
    assert!((until..until + 1_000).contains(&event.at.0), "{} ms late", event.at.0 - until);
    assert_eq!(site.secret(&username("plot1")).unwrap()["disabled"], "true");
    site.offline(&device).await;
}

#[tokio::test]
async fn a_line_that_is_no_more_loses_its_session_and_its_row() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    assert!(site.settle(|wants| drop(wants.lines.remove("plot1"))).await.is_empty());
    assert!(site.secret(&username("plot1")).is_none());
    assert!(site.rows("ppp/active").is_empty());
}

#[tokio::test]
async fn a_new_user_name_and_a_new_password_move_the_row_and_never_double_it() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot1")).await;
    let device = site.dial("plot1");
    site.online(&device).await;
    let renamed = |wants: &mut crate::site::Wants<'_>| {
        let line = wants.line("plot1");
        line.username = "plot1-2@isp".into();
        line.password = "other".into();
    };
    assert!(site.settle(renamed).await.is_empty());
    assert!(site.secret(&username("plot1")).is_none());
    assert_eq!(site.secret("plot1-2@isp").unwrap()["comment"], "tawi:plot1");
    site.offline(&device).await;
    let device = routeros_sim::NewDevice::new("again", routeros_sim::Service::Pppoe, "plot1-2@isp", "other");
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.online("again").await;
    assert_eq!(site.rows("ppp/secret").len(), FOREIGN + 1);
}

#[tokio::test]
async fn a_line_that_changes_its_service_moves_to_the_other_menu() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot1")).await;
    let to_hotspot = |wants: &mut crate::site::Wants<'_>| {
        wants.lines.remove("plot1");
        wants.line_of("plot1", Service::Hotspot);
    };
    assert!(site.settle(to_hotspot).await.is_empty());
    assert!(site.secret(&username("plot1")).is_none());
    assert_eq!(site.row("ip/hotspot/user", &username("plot1")).unwrap()["comment"], "tawi:plot1");
}

#[tokio::test]
async fn another_profile_or_another_speed_reaches_a_running_session() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    let rate = |site: &Site| {
        let queues = site.rows("queue/simple");
        queues.first().map(|queue| queue["max-limit"].clone())
    };
    assert_eq!(rate(&site).as_deref(), Some("5000000/20000000"));
    let faster = |wants: &mut crate::site::Wants<'_>| {
        wants.profile("fast", Service::Pppoe, 40);
        wants.line("plot1").profile = "fast".into();
    };
    assert!(site.settle(faster).await.is_empty());
    let look = || rate(&site).filter(|rate| rate == "10000000/40000000");
    site.router.wait_for(PATIENCE, look).await.unwrap();
    assert!(site.settle(|wants| wants.speed("fast", Service::Pppoe, 80)).await.is_empty());
    let look = || rate(&site).filter(|rate| rate == "20000000/80000000");
    site.router.wait_for(PATIENCE, look).await.unwrap();
}

/// More than one pass changes, all online with the same profile.
async fn crowd(site: &mut Site) -> Vec<String> {
    let names: Vec<String> = (0..120).map(|number| format!("line-{number:03}")).collect();
    names.iter().for_each(|name| drop(site.dial(name)));
    let failures = site.settle(|wants| names.iter().for_each(|name| wants.open(name))).await;
    assert!(failures.is_empty(), "{failures:?}");
    all_run_at(site, names.len(), "5000000/20000000").await;
    names
}

async fn all_run_at(site: &mut Site, lines: usize, rate: &str) {
    let router = site.router.clone();
    let others = || {
        let queues = rows_of(&router, "queue/simple");
        queues.len().abs_diff(lines) + queues.iter().filter(|queue| queue["max-limit"] != rate).count()
    };
    let wait = router.wait_for(PATIENCE, || (others() == 0).then_some(()));
    if site.hearing(wait).await.is_err() {
        panic!("{} sessions do not run at {rate}", others());
    }
}

#[tokio::test]
async fn another_speed_reaches_every_running_session_of_a_profile_however_many_they_are() {
    let mut site = Site::start().await;
    let lines = crowd(&mut site).await.len();
    site.want(|wants| wants.speed("home", Service::Pppoe, 80));
    all_run_at(&mut site, lines, "20000000/80000000").await;
    assert_eq!(site.rows("ppp/secret").len(), FOREIGN + lines);
}

#[tokio::test]
async fn a_profile_that_was_put_right_beside_a_payment_reaches_the_sessions_of_everybody() {
    let mut site = Site::start().await;
    let lines = crowd(&mut site).await.len();
    // Nothing is heard of it: it is found beside the payment, and not before.
    site.router.set_faults(FaultsChange { silent_listens: Some(true), ..FaultsChange::default() }).unwrap();
    site.router.set_row("ppp/profile", "home", &[("rate-limit", "1M/1M")]).unwrap();
    for session in site.router.rows("ppp/active").unwrap() {
        let id = session.iter().find(|(name, _)| *name == ".id").unwrap();
        site.router.remove_row("ppp/active", std::str::from_utf8(&id.1).unwrap()).unwrap();
    }
    all_run_at(&mut site, lines, "1000000/1000000").await;
    // Another plan of the same payment makes the agent look at both profiles, and it finds one of them changed.
    site.want(|wants| {
        wants.speed("other", Service::Pppoe, 7);
        wants.line("new").profile = "other".into();
        wants.line("line-000").valid_until_ms = Some(i64::MAX);
    });
    all_run_at(&mut site, lines, "5000000/20000000").await;
}

#[tokio::test]
async fn foreign_rows_are_untouched_byte_for_byte_and_a_name_they_hold_is_a_failure() {
    let mut site = Site::start().await;
    site.router
        .add_row("ppp/secret", &[("name", "shared"), ("password", "theirs"), ("comment", "school, roof")])
        .unwrap();
    site.router.add_row("ppp/profile", &[("name", "office"), ("rate-limit", "1M/1M")]).unwrap();
    let before = (site.foreign_rows("ppp/secret"), site.foreign_rows("ppp/profile"));
    let failures = site
        .settle(|wants| {
            wants.line("plot1");
            wants.line("b").username = "shared".into();
            wants.profile("office", Service::Pppoe, 20);
            wants.line("c").profile = "office".into();
            wants.line("d").profile = "nowhere".into();
            wants.line("e").service = 99;
        })
        .await;
    let kinds: Vec<_> = failures.iter().map(|failure| (failure.line.as_str(), failure.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("b", FailureKind::ForeignRow),
            ("c", FailureKind::ForeignRow),
            ("d", FailureKind::Refused),
            ("e", FailureKind::Unsupported)
        ]
    );
    site.settle(|wants| {
        wants.switch_off("plot1");
        wants.switch_off("b");
    })
    .await;
    site.settle(|wants| wants.lines.clear()).await;
    assert_eq!(before, (site.foreign_rows("ppp/secret"), site.foreign_rows("ppp/profile")));
}

#[tokio::test]
async fn a_row_that_somebody_changes_is_put_right_at_once() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot1")).await;
    let name = username("plot1");
    site.router.set_row("ppp/secret", &name, &[("profile", "default"), ("disabled", "yes")]).unwrap();
    let event = site.event(EventKind::DriftRepaired).await;
    assert_eq!(event.line.as_deref(), Some("plot1"));
    assert!(event.detail.contains("profile, disabled"), "{}", event.detail);
    assert_eq!(site.secret(&name).unwrap()["profile"], "home");
    site.router.remove_row("ppp/secret", &name).unwrap();
    site.event(EventKind::DriftRepaired).await;
    assert_eq!(site.secret(&name).unwrap()["comment"], "tawi:plot1");
}

#[tokio::test]
async fn a_tool_that_fights_over_a_row_does_not_wear_out_the_flash() {
    let mut site = Site::start().await;
    site.settle(|wants| wants.open("plot1")).await;
    let name = username("plot1");
    for _ in 0..3 {
        site.router.set_row("ppp/secret", &name, &[("disabled", "yes")]).unwrap();
        site.event(EventKind::DriftRepaired).await;
    }
    let writes = site.writes();
    site.router.set_row("ppp/secret", &name, &[("disabled", "yes")]).unwrap();
    // Another line shows that the reconciler has gone past the news.
    site.settle(|wants| wants.open("b")).await;
    assert_eq!(site.secret(&name).unwrap()["disabled"], "true");
    assert_eq!(site.writes(), writes + 1, "only the new line");
}
