//! Hotspot users, their sessions, and the cookies that let a phone back in without asking.

use crate::site::{Site, password, username};
use routeros_sim::{NewDevice, Service as Dialler};
use tawi_shared::wire::Service;

fn phone(site: &Site, line: &str) -> NewDevice {
    let device =
        NewDevice::new(line, Dialler::Hotspot, &username(line), &password(line)).redialing_after_ms(20);
    assert!(site.rows("ip/hotspot/user").iter().all(|row| row["name"] != line));
    device
}

#[tokio::test]
async fn a_hotspot_line_has_its_user_its_profile_and_its_mark() {
    let mut site = Site::start().await;
    let device = phone(&site, "plot1");
    site.router.add_device(device).unwrap();
    assert!(
        site.settle(|wants| {
            wants.line_of("plot1", Service::Hotspot);
        })
        .await
        .is_empty()
    );
    let user = site.row("ip/hotspot/user", &username("plot1")).unwrap();
    assert_eq!(
        (user["comment"].as_str(), user["profile"].as_str(), user["disabled"].as_str()),
        ("tawi:plot1", "home", "false")
    );
    let profile = site.row("ip/hotspot/user/profile", "home").unwrap();
    assert_eq!((profile["rate-limit"].as_str(), profile["on-logout"].as_str()), ("5M/20M", "# tawi:profile"));
    site.online("plot1").await;
}

#[tokio::test]
async fn a_phone_that_is_switched_off_does_not_come_back_by_its_cookie() {
    let mut site = Site::start().await;
    let device = phone(&site, "plot1").forgetting_its_password();
    site.router.add_device(device).unwrap();
    site.settle(|wants| {
        wants.line_of("plot1", Service::Hotspot);
    })
    .await;
    site.online("plot1").await;
    assert_eq!(site.rows("ip/hotspot/cookie").len(), 1, "the test needs a cookie to take away");
    assert!(site.settle(|wants| wants.line_of("plot1", Service::Hotspot).access = 2).await.is_empty());
    assert!(site.rows("ip/hotspot/cookie").is_empty());
    assert!(site.rows("ip/hotspot/active").is_empty());
    assert_eq!(site.row("ip/hotspot/user", &username("plot1")).unwrap()["disabled"], "true");
    site.offline("plot1").await;
}

#[tokio::test]
async fn a_faster_hotspot_profile_reaches_whoever_is_logged_in() {
    let mut site = Site::start().await;
    let device = phone(&site, "plot1");
    site.router.add_device(device).unwrap();
    site.settle(|wants| {
        wants.line_of("plot1", Service::Hotspot);
    })
    .await;
    site.online("plot1").await;
    assert!(site.settle(|wants| wants.speed("home", Service::Hotspot, 40)).await.is_empty());
    assert_eq!(site.row("ip/hotspot/user/profile", "home").unwrap()["rate-limit"], "10M/40M");
    let look = || {
        let queues = site.rows("queue/simple");
        queues.first().map(|queue| queue["max-limit"].clone()).filter(|rate| rate == "10000000/40000000")
    };
    site.router.wait_for(crate::site::PATIENCE, look).await.unwrap();
}

#[tokio::test]
async fn a_removed_hotspot_line_leaves_nothing_behind_and_foreign_users_stay() {
    let mut site = Site::start().await;
    site.router
        .add_row("ip/hotspot/user", &[("name", "guest"), ("password", "guest"), ("comment", "lobby")])
        .unwrap();
    let before = site.foreign_rows("ip/hotspot/user");
    let device = phone(&site, "plot1");
    site.router.add_device(device).unwrap();
    site.settle(|wants| {
        wants.line_of("plot1", Service::Hotspot);
    })
    .await;
    site.online("plot1").await;
    assert!(site.settle(|wants| wants.lines.clear()).await.is_empty());
    assert_eq!(site.foreign_rows("ip/hotspot/user"), before);
    assert!(site.row("ip/hotspot/user", &username("plot1")).is_none());
    assert!(site.rows("ip/hotspot/active").is_empty() && site.rows("ip/hotspot/cookie").is_empty());
}
