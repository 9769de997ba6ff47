//! A large site in which nothing happens, and agents that come and go beside it.

use std::time::Duration;

use crate::site::{PATIENCE, Site, username};
use routeros_sim::{Release, Settings};
use tawi_agent::flow::Report;
use tawi_agent::reconcile::RouterSettings;

/// A large site.
const LINES: usize = 500;

fn fast_checks(settings: &mut RouterSettings) {
    settings.timings.full_check = Duration::from_millis(100);
}

fn names() -> impl Iterator<Item = String> {
    (0..LINES).map(|number| format!("line-{number:03}"))
}

async fn several_full_checks(site: &Site) {
    // Each full check prints seven menus; three of them, and the samples of usage in between.
    let enough = site.router.summary().prints_total + 3 * 7 + 20;
    let look = || (site.router.summary().prints_total >= enough).then_some(());
    site.router.wait_for(PATIENCE, look).await.unwrap();
}

#[tokio::test]
async fn five_hundred_lines_at_rest_cost_no_write_and_one_login() {
    let mut site = Site::start_with(|_| {}, fast_checks).await;
    let failures = site.settle(|wants| names().for_each(|name| wants.open(&name))).await;
    assert!(failures.is_empty(), "{failures:?}");
    let writes = site.writes();
    assert_eq!(writes, u64::try_from(LINES).unwrap() + 1, "one for each line and one for the profile");
    several_full_checks(&site).await;
    assert_eq!((site.writes(), site.router.summary().logins_total), (writes, 1));
}

async fn a_restart_writes_nothing(release: Release, change: fn(&mut RouterSettings)) {
    let mut site = Site::start_with(move |router| router.release = release, |_| {}).await;
    site.settle(|wants| {
        names().for_each(|name| wants.open(&name));
        wants.switch_off("line-007");
    })
    .await;
    let writes = site.writes();
    site.restart(|settings| {
        fast_checks(settings);
        change(settings);
    })
    .await;
    site.settled(1).await;
    several_full_checks(&site).await;
    assert_eq!(site.writes(), writes);
    let events = site.log.iter().filter(|report| matches!(report, Report::Event(_))).count();
    assert_eq!(events, 0);
}

#[tokio::test]
async fn a_restart_writes_nothing_where_passwords_are_shown() {
    a_restart_writes_nothing("7.18".parse().unwrap(), |_| {}).await;
}

#[tokio::test]
async fn a_restart_writes_nothing_where_passwords_are_hidden() {
    a_restart_writes_nothing("7.22".parse().unwrap(), |_| {}).await;
    a_restart_writes_nothing("7.22".parse().unwrap(), |settings| settings.settled_generation = Some(1)).await;
}

/// A password that changed while the agent was away, on a router that hides passwords.
#[tokio::test]
async fn a_password_that_was_not_settled_before_a_restart_is_written_once() {
    let release = |router: &mut Settings| router.release = "7.22".parse().unwrap();
    let mut site = Site::start_with(release, |_| {}).await;
    site.settle(|wants| {
        wants.open("plot1");
        wants.open("b");
    })
    .await;
    let writes = site.writes();
    // The agent dies before it hears of the change, and its core remembers that generation 1 was settled.
    site.restart(|settings| settings.settled_generation = Some(1)).await;
    site.want(|wants| wants.line("plot1").password = "another".into());
    site.settled(2).await;
    assert_eq!(site.writes(), writes + 1);
    let device =
        routeros_sim::NewDevice::new("plot1", routeros_sim::Service::Pppoe, &username("plot1"), "another");
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.online("plot1").await;
}

#[tokio::test]
async fn a_row_removed_while_no_agent_looked_is_back_after_the_next_full_check() {
    let mut site = Site::start_with(|_| {}, fast_checks).await;
    site.settle(|wants| wants.open("plot1")).await;
    site.router.set_row("ppp/profile", "home", &[("rate-limit", "1M/1M")]).unwrap();
    site.row_until("ppp/profile", "home", |row| row["rate-limit"] == "5M/20M").await;
}

#[tokio::test]
async fn a_copy_of_our_row_and_a_left_over_one_go_and_a_foreign_one_stays() {
    let mut site = Site::start_with(|_| {}, fast_checks).await;
    site.settle(|wants| wants.open("plot1")).await;
    let foreign = site.foreign_rows("ppp/secret");
    for (name, mark) in [("copy", "tawi:plot1"), ("left-over", "tawi:long-gone")] {
        site.router.add_row("ppp/secret", &[("name", name), ("comment", mark)]).unwrap();
    }
    let look = || (site.secret("copy").is_none() && site.secret("left-over").is_none()).then_some(());
    site.router.wait_for(PATIENCE, look).await.unwrap();
    assert!(site.secret(&username("plot1")).is_some());
    assert_eq!(site.foreign_rows("ppp/secret"), foreign);
}
