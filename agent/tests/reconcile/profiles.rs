//! Speed profiles that somebody else changes on the router.

use std::time::Duration;

use crate::site::{PATIENCE, Site, Wants, username};
use tawi_agent::flow::Report;
use tawi_shared::wire::{EventKind, FailureKind, Service};

const FAMILIES: [(Service, &str, &str); 2] = [
    (Service::Pppoe, "ppp/profile", "only-one"),
    (Service::Hotspot, "ip/hotspot/user/profile", "shared-users"),
];

async fn with_line(service: Service) -> Site {
    let mut site = Site::start().await;
    let add = |wants: &mut Wants<'_>| {
        wants.line_of("plot1", service);
    };
    let failures = site.settle(add).await;
    assert!(failures.is_empty(), "{failures:?}");
    site
}

/// What was put right; once it is told and the pass is over.
async fn repaired(site: &mut Site) -> String {
    let detail = site.event(EventKind::DriftRepaired).await.detail;
    site.settle(|wants| {
        let other = wants.line("other");
        other.valid_until_ms = Some(other.valid_until_ms.map_or(i64::MAX, |until| until - 1));
    })
    .await;
    detail
}

/// The next full check is a minute and more away: what is put right was heard.
#[tokio::test]
async fn a_profile_that_somebody_changes_or_removes_is_put_right_at_once() {
    for (service, menu, sharing) in FAMILIES {
        let mut site = with_line(service).await;
        site.router.set_row(menu, "home", &[("rate-limit", "1M/1M")]).unwrap();
        let detail = repaired(&mut site).await;
        assert!(detail.contains("profile home put right on the router: rate-limit"), "{detail}");
        assert_eq!(site.row(menu, "home").unwrap()["rate-limit"], "5M/20M");
        // What a plan leaves open is as the template has it.
        let other = if sharing == "only-one" { "yes" } else { "7" };
        let before = site.row(menu, "home").unwrap()[sharing].clone();
        site.router.set_row(menu, "home", &[(sharing, other)]).unwrap();
        assert!(repaired(&mut site).await.contains(sharing));
        assert_eq!(site.row(menu, "home").unwrap()[sharing], before);
        site.router.set_row(menu, "home", &[("name", "elsewhere")]).unwrap();
        site.row_until(menu, "home", |row| row["rate-limit"] == "5M/20M").await;
    }
}

/// One that no plan makes any more is taken off.
#[tokio::test]
async fn a_profile_of_ours_that_nobody_needs_goes_and_a_foreign_one_stays() {
    let every = Duration::from_millis(100);
    for (service, menu, _) in FAMILIES {
        let mut site = Site::start_with(|_| {}, |settings| settings.timings.full_check = every).await;
        site.router.add_row(menu, &[("name", "theirs-walled"), ("rate-limit", "1M/1M")]).unwrap();
        site.settle(|wants| {
            wants.line_of("plot1", service);
            wants.profile("home-walled", service, 20);
        })
        .await;
        site.row_until(menu, "home-walled", |row| row["rate-limit"] == "5M/20M").await;
        let names = |site: &Site| {
            let rows = site.rows(menu).into_iter();
            rows.map(|row| row["name"].clone()).collect::<Vec<_>>()
        };
        let before = names(&site);
        site.settle(|wants| drop(wants.profiles.remove(&(service.code(), "home-walled".to_owned())))).await;
        let others = before.iter().filter(|name| *name != "home-walled").cloned().collect::<Vec<_>>();
        let is_gone = || (names(&site) == others).then_some(());
        assert!(site.router.wait_for(PATIENCE, is_gone).await.is_ok(), "{:?} of {before:?}", names(&site));
        assert!(others.contains(&"theirs-walled".to_owned()));
    }
}

#[tokio::test]
async fn our_own_writes_of_profiles_are_no_news() {
    let mut site = with_line(Service::Pppoe).await;
    let checks = |site: &Site| {
        let is_check =
            |report: &&tawi_agent::flow::Report| matches!(report, tawi_agent::flow::Report::Checked { .. });
        site.log.iter().filter(is_check).count()
    };
    assert!(site.settle(|wants| wants.speed("home", Service::Pppoe, 80)).await.is_empty());
    assert!(site.settle(|wants| wants.line("plot1").valid_until_ms = Some(i64::MAX)).await.is_empty());
    assert!(site.settle(|wants| wants.switch_off("plot1")).await.is_empty());
    assert_eq!(checks(&site), 1);
}

#[tokio::test]
async fn a_tool_that_fights_over_a_profile_is_left_to_the_full_check() {
    let mut site = with_line(Service::Pppoe).await;
    for _ in 0..3 {
        site.router.set_row("ppp/profile", "home", &[("rate-limit", "1M/1M")]).unwrap();
        repaired(&mut site).await;
    }
    site.router.set_row("ppp/profile", "home", &[("rate-limit", "1M/1M")]).unwrap();
    // A row that is put right shows that the reconciler has gone past the news.
    site.router.set_row("ppp/secret", &username("plot1"), &[("disabled", "yes")]).unwrap();
    repaired(&mut site).await;
    assert_eq!(site.row("ppp/profile", "home").unwrap()["rate-limit"], "1M/1M");
}

/// Somebody tidied the profile that ours are made from, and sees no line of ours by it.
#[tokio::test]
async fn a_template_that_is_emptied_takes_no_address_away() {
    let mut site = Site::start().await;
    let addresses = [("local-address", "10.9.0.1"), ("remote-address", "10.9.0.7")];
    site.router.set_row("ppp/profile", "default", &addresses).unwrap();
    site.settle(|wants| wants.open("plot1")).await;
    site.router.set_row("ppp/profile", "default", &[("local-address", ""), ("remote-address", "")]).unwrap();
    // A row that is put right shows that the reconciler has gone past the news.
    site.router.set_row("ppp/secret", &username("plot1"), &[("disabled", "yes")]).unwrap();
    repaired(&mut site).await;
    site.settle(|wants| wants.speed("home", Service::Pppoe, 80)).await;
    let row = site.row("ppp/profile", "home").unwrap();
    assert_eq!((&*row["local-address"], &*row["remote-address"]), ("10.9.0.1", "10.9.0.7"), "{row:?}");
}

/// The router was reset, and somebody finished it only after the lines were there.
#[tokio::test]
async fn a_template_that_is_finished_late_is_followed() {
    let mut site = Site::start().await;
    site.router.set_row("ppp/profile", "default", &[("local-address", ""), ("remote-address", "")]).unwrap();
    let failures = site
        .settle(|wants| {
            wants.open("plot1");
            wants.open("fixed");
            wants.line("fixed").address = "10.9.0.99".into();
        })
        .await;
    // The row stands, and nobody could dial in by it; one with an address of its own can.
    let told: Vec<_> = failures.iter().map(|failure| (failure.line.as_str(), failure.kind)).collect();
    assert_eq!(told, [("plot1", FailureKind::NotApplied)], "{failures:?}");
    let words = &failures[0].detail;
    assert!(words.contains("no address") && words.contains("; cure: give default"), "{words}");
    let lacks = site.row("ppp/profile", "home").unwrap();
    assert!(!lacks.contains_key("local-address") || lacks["local-address"].is_empty(), "{lacks:?}");
    site.router
        .set_row("ppp/profile", "default", &[("local-address", "10.9.0.1"), ("remote-address", "10.9.0.7")])
        .unwrap();
    let row = site
        .row_until("ppp/profile", "home", |row| row.get("local-address").is_some_and(|is| is == "10.9.0.1"))
        .await;
    assert_eq!(row["remote-address"], "10.9.0.7");
    site.until("the line to work", |report| match report {
        Report::Settled { failures, .. } => failures.is_empty().then_some(()),
        _ => None,
    })
    .await;
}
