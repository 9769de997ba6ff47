//! The same story on routers of many releases, with names that are hard to quote, and as a user that may not write.

use std::time::Duration;

use crate::site::{Site, username};
use routeros_sim::WriteOutcome;
use tawi_agent::flow::Report;
use tawi_shared::wire::{Access, FailureKind, Service};

/// The oldest and the newest that are supported, and those between that brought what a client notices.
const RELEASES: [&str; 7] = ["6.49.10", "7.9", "7.10", "7.16.2", "7.18", "7.21", "7.24"];

#[tokio::test]
async fn every_release_opens_closes_and_forgets_a_line_without_a_refusal() {
    for release in RELEASES {
        let mut site = Site::start_with(|router| router.release = release.parse().unwrap(), |_| {}).await;
        let device = site.dial("plot1");
        let foreign = (site.foreign_rows("ppp/secret"), site.foreign_rows("ip/hotspot/user"));
        let failures = site
            .settle(|wants| {
                wants.open("plot1");
                wants.line_of("phone", Service::Hotspot);
            })
            .await;
        assert!(failures.is_empty(), "{release}: {failures:?}");
        site.online(&device).await;
        let is_reached = |report: &Report| match report {
            Report::RouterStatus { release: Some(said), .. } => Some(said.clone()),
            _ => None,
        };
        assert_eq!(site.until("the release", is_reached).await, release);
        let failures = site
            .settle(|wants| {
                wants.switch_off("plot1");
                wants.line("phone").access = Access::Off.code();
            })
            .await;
        assert!(failures.is_empty(), "{release}: {failures:?}");
        assert!(site.rows("ppp/active").is_empty(), "{release}");
        let failures = site.settle(|wants| wants.lines.clear()).await;
        assert!(failures.is_empty(), "{release}: {failures:?}");
        assert_eq!(
            foreign,
            (site.foreign_rows("ppp/secret"), site.foreign_rows("ip/hotspot/user")),
            "{release}"
        );
        let refused =
            site.router.writes_after(0).into_iter().find(|write| write.outcome != WriteOutcome::Applied);
        assert!(refused.is_none(), "{release}: {refused:?}");
    }
}

#[tokio::test]
async fn names_that_are_hard_to_quote_stay_what_they_are() {
    let names = ["007", "a>b", "x logged out, 1 2 3 4 5", "plot 1 o'clock=1", "ñandú ☕", "=.id=*1", "?name"];
    let mut site = Site::start().await;
    let failures = site
        .settle(|wants| {
            for (number, name) in names.iter().enumerate() {
                let line = wants.line(&format!("l-{number}"));
                line.username = (*name).to_owned();
                line.password = format!("={name}=");
            }
        })
        .await;
    assert!(failures.is_empty(), "{failures:?}");
    for (number, name) in names.iter().enumerate() {
        assert_eq!(site.secret(name).unwrap()["comment"], format!("tawi:l-{number}"));
    }
    assert!(
        site.settle(|wants| (0..names.len()).for_each(|number| wants.switch_off(&format!("l-{number}"))))
            .await
            .is_empty()
    );
    assert!(names.iter().all(|name| site.secret(name).unwrap()["disabled"] == "true"));
}

#[tokio::test]
async fn a_user_that_may_only_read_fails_each_line_with_the_routers_words_and_tries_no_more() {
    let mut site = Site::start().await;
    site.router.set_row("user", "admin", &[("group", "read")]).unwrap();
    let failures = site.settle(|wants| wants.open("plot1")).await;
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].kind, FailureKind::Refused);
    assert!(failures[0].detail.contains("not enough permissions"), "{}", failures[0].detail);
    let tried = site.router.writes_after(0).len();
    // Another generation goes past the line without a new attempt.
    site.settle(|wants| wants.profile("other", Service::Pppoe, 10)).await;
    assert_eq!(site.router.writes_after(0).len(), tried);
}

#[tokio::test]
async fn a_router_of_6_without_the_package_of_one_service_serves_the_others_and_tries_no_more() {
    let mut site = Site::start_with(|router| router.release = "6.49".parse().unwrap(), |_| {}).await;
    site.router.set_packages(&[("hotspot", routeros_sim::PackageState::Missing)]).unwrap();
    let failures = site
        .settle(|wants| {
            wants.open("plot1");
            wants.line_of("phone", Service::Hotspot);
        })
        .await;
    let failed: Vec<&str> = failures.iter().map(|failure| failure.line.as_str()).collect();
    assert_eq!(failed, ["phone"], "{failures:?}");
    assert_eq!(failures[0].kind, FailureKind::Refused);
    assert!(failures[0].detail.contains("no such command"), "{}", failures[0].detail);
    assert_eq!(site.secret(&username("plot1")).unwrap()["comment"], "tawi:plot1");
    let tried = site.router.writes_after(0).len();
    site.settle(|wants| wants.profile("other", Service::Pppoe, 10)).await;
    assert_eq!(site.router.writes_after(0).len(), tried);
}

#[tokio::test]
async fn a_policy_that_is_granted_later_is_used_without_anybody_touching_the_agent() {
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.full_check = Duration::from_millis(200)).await;
    site.router.set_row("user", "admin", &[("group", "read")]).unwrap();
    assert_eq!(site.settle(|wants| wants.open("plot1")).await.len(), 1);
    site.router.set_row("user", "admin", &[("group", "full")]).unwrap();
    let healed = |report: &Report| match report {
        Report::Settled { failures, .. } => failures.is_empty().then_some(()),
        _ => None,
    };
    site.until("the line to be opened", healed).await;
    assert_eq!(site.secret(&username("plot1")).unwrap()["comment"], "tawi:plot1");
}
