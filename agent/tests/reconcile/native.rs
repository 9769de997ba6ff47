//! The router's own limits of bytes: what cuts a line when no agent is there, and what keeping them costs.

use std::time::Duration;

use crate::site::{PATIENCE, Site, password, username};
use routeros_api::{Client, Command, Options, Secret, Transport};
use routeros_sim::{DeviceState, FaultsChange, HotspotCounting, NewDevice, Service as Dialler};
use tawi_agent::flow::Report;
use tawi_agent::reconcile::plan::native::margin;
use tawi_shared::wire::{EventKind, QuotaV1, Restraint, RestraintV1, Service, SessionUsageV1};

const MIB: u64 = 1 << 20;
/// Its margin is 1 MiB.
const QUOTA: u64 = 64 * MIB;
const LIMIT: &str = "limit-bytes-total";

async fn site(counting: HotspotCounting) -> Site {
    Site::start_with(
        move |router| router.hotspot_counting = counting,
        |settings| settings.timings.full_check = Duration::from_millis(150),
    )
    .await
}

/// Wants a line with this quota, and waits until it is settled.
async fn grant(site: &mut Site, service: Service, from_ms: i64, bytes: u64) {
    let failures = site
        .settle(|wants| {
            let line = wants.line_of("plot1", service);
            line.quotas = vec![QuotaV1 { from_ms, bytes }];
            line.after_quota = RestraintV1 { how: Restraint::Off.code(), profile: String::new() };
        })
        .await;
    assert!(failures.is_empty(), "{failures:?}");
}

fn phone(site: &Site, dialler: Dialler) {
    let device = NewDevice::new("phone", dialler, &username("plot1"), &password("plot1"));
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
}

fn limit(site: &Site) -> u64 {
    site.row("ip/hotspot/user", &username("plot1")).unwrap()[LIMIT].parse().unwrap()
}

/// Waits until what the device moved so far is counted.
async fn counted(site: &mut Site, bytes: u64) {
    site.usage(|session| session.upload_bytes + session.download_bytes == bytes).await;
}

/// Waits for several full checks and samples.
async fn several_looks(site: &mut Site) {
    let router = site.router.clone();
    let enough = router.summary().prints_total + 60;
    let look = || (router.summary().prints_total >= enough).then_some(());
    site.hearing(router.wait_for(PATIENCE, look)).await.unwrap();
}

#[tokio::test]
async fn a_hotspot_user_is_cut_and_kept_out_at_his_quota_when_the_agent_is_dead() {
    for counting in [HotspotCounting::AtLogout, HotspotCounting::Live] {
        let mut site = site(counting).await;
        phone(&site, Dialler::Hotspot);
        let from_ms = site.in_millis(0);
        grant(&mut site, Service::Hotspot, from_ms, QUOTA).await;
        assert_eq!(limit(&site), QUOTA + margin(QUOTA));
        site.online("phone").await;
        site.router.move_traffic("phone", 10 * MIB, 20 * MIB).unwrap();
        counted(&mut site, 30 * MIB).await;
        several_looks(&mut site).await;
        site.stop();
        assert_eq!(site.router.move_traffic("phone", 0, 33 * MIB).unwrap().state, DeviceState::Online);
        let view = site.router.move_traffic("phone", 0, 2 * MIB).unwrap();
        assert_eq!(view.state, DeviceState::Dialing, "{counting:?}");
        let look = || site.router.device("phone").unwrap().last_error;
        let Ok(why) = site.router.wait_for(PATIENCE, look).await else {
            panic!("{:?} {:?}", site.router.device("phone"), site.rows("ip/hotspot/user"));
        };
        assert!(why.contains("traffic limit"), "{why}");
        assert_eq!(site.row("ip/hotspot/user", &username("plot1")).unwrap()["disabled"], "false");
    }
}

#[tokio::test]
async fn a_quota_that_is_used_in_several_sessions_costs_one_write_and_a_top_up_another() {
    for counting in [HotspotCounting::AtLogout, HotspotCounting::Live] {
        let mut site = site(counting).await;
        phone(&site, Dialler::Hotspot);
        let from_ms = site.in_millis(0);
        grant(&mut site, Service::Hotspot, from_ms, QUOTA).await;
        let writes = site.writes();
        for _ in 0..3 {
            site.online("phone").await;
            // More than one report may tell of a session before.
            let session = site.rows("ip/hotspot/active")[0][".id"].clone();
            let is_it = |told: &SessionUsageV1| told.session.contains(&format!("/{session}/"));
            let moved = |told: &SessionUsageV1| told.upload_bytes + told.download_bytes;
            site.router.move_traffic("phone", MIB, 9 * MIB).unwrap();
            site.usage(|told| is_it(told) && moved(told) == 10 * MIB).await;
            several_looks(&mut site).await;
            site.router.remove_row("ip/hotspot/active", &session).unwrap();
            site.usage(|told| is_it(told) && told.is_ended).await;
        }
        several_looks(&mut site).await;
        assert_eq!(site.writes(), writes, "{counting:?}");
        grant(&mut site, Service::Hotspot, from_ms, QUOTA + MIB / 2).await;
        assert_eq!(site.writes(), writes, "the margin holds a small top-up");
        grant(&mut site, Service::Hotspot, from_ms, 2 * QUOTA).await;
        let session = 10 * MIB;
        assert!((2 * QUOTA..=2 * QUOTA + session + 3 * MIB).contains(&limit(&site)), "{}", limit(&site));
        let next = site.in_millis(0);
        grant(&mut site, Service::Hotspot, next, QUOTA).await;
        let fresh = 30 * MIB + QUOTA;
        assert!((fresh..=fresh + session + 3 * MIB).contains(&limit(&site)), "{}", limit(&site));
        let is_drift = |report: &&Report| matches!(report, Report::Event(event) if event.kind == EventKind::DriftRepaired);
        assert_eq!(site.log.iter().filter(is_drift).count(), 0);
    }
}

#[tokio::test]
async fn a_ppp_session_is_cut_at_what_was_left_when_the_agent_is_dead() {
    let mut site = site(HotspotCounting::Live).await;
    phone(&site, Dialler::Pppoe);
    let from_ms = site.in_millis(0);
    grant(&mut site, Service::Pppoe, from_ms, QUOTA).await;
    let limits = |site: &Site| {
        let row = site.secret(&username("plot1")).unwrap();
        ["limit-bytes-in", "limit-bytes-out"].map(|name| row[name].parse::<u64>().unwrap())
    };
    let most = QUOTA + 2 * margin(QUOTA);
    assert_eq!(limits(&site), [most; 2]);
    let end = |site: &Site| {
        let session = site.rows("ppp/active")[0][".id"].clone();
        site.router.remove_row("ppp/active", &session).unwrap();
    };
    site.online("phone").await;
    let writes = site.writes();
    // A session that moved little costs nothing, nor does one that runs.
    site.router.move_traffic("phone", 0, MIB).unwrap();
    counted(&mut site, MIB).await;
    end(&site);
    site.usage(|session| session.is_ended).await;
    site.online("phone").await;
    site.router.move_traffic("phone", 0, 30 * MIB).unwrap();
    counted(&mut site, 30 * MIB).await;
    several_looks(&mut site).await;
    assert_eq!(site.writes(), writes);
    // One that moved much costs one write after its end.
    end(&site);
    let left = QUOTA - 31 * MIB;
    let look = || (limits(&site) == [left + 2 * MIB; 2]).then_some(());
    let router = site.router.clone();
    assert!(router.wait_for(PATIENCE, look).await.is_ok(), "{:?}", limits(&site));
    assert_eq!(site.writes(), writes + 1);
    site.usage(|session| session.is_ended && session.download_bytes == 30 * MIB).await;
    several_looks(&mut site).await;
    assert_eq!(site.writes(), writes + 1);
    // The session that runs dialled in before; the next one has the new limit.
    end(&site);
    site.offline("phone").await;
    site.online("phone").await;
    site.stop();
    let view = site.router.move_traffic("phone", 0, left + 2 * MIB).unwrap();
    assert_eq!(view.state, DeviceState::Dialing);
}

/// A power cut takes what the row has not put on disk, and the customer is online again at once: nobody ever sees the row
/// at rest.
#[tokio::test]
async fn a_hotspot_limit_is_lowered_after_the_router_lost_what_it_had_counted() {
    for counting in [HotspotCounting::AtLogout, HotspotCounting::Live] {
        let mut site = site(counting).await;
        phone(&site, Dialler::Hotspot);
        let from_ms = site.in_millis(0);
        grant(&mut site, Service::Hotspot, from_ms, QUOTA).await;
        site.online("phone").await;
        site.router.move_traffic("phone", 10 * MIB, 30 * MIB).unwrap();
        counted(&mut site, 40 * MIB).await;
        several_looks(&mut site).await;
        let writes = site.writes();
        site.router.reboot(50);
        lose_counters(&site).await;
        site.online("phone").await;
        site.router.move_traffic("phone", 0, 2 * MIB).unwrap();
        // Its number was given again, and it may pass for the one before, of which it is a further part then.
        let is_sampled = |moved| [2 * MIB, 42 * MIB].contains(&moved);
        site.usage(|session| is_sampled(session.upload_bytes + session.download_bytes)).await;
        let left = QUOTA - 42 * MIB;
        let row = |site: &Site| site.row("ip/hotspot/user", &username("plot1")).unwrap();
        // Three margins, and what was moved since the last sample when it was written: a full check may have come between.
        let too_much = 3 * MIB + 2 * MIB;
        let lowered = || (limit(&site) <= 2 * 2 * MIB + left + too_much).then_some(());
        let router = site.router.clone();
        assert!(router.wait_for(PATIENCE, lowered).await.is_ok(), "{counting:?} {:?}", row(&site));
        several_looks(&mut site).await;
        let since = site.writes() - writes;
        assert!(since <= 2, "{counting:?}: {since} writes");
        site.stop();
        // The session that runs keeps the limit that it began with.
        let session = site.rows("ip/hotspot/active")[0][".id"].clone();
        site.router.remove_row("ip/hotspot/active", &session).unwrap();
        site.online("phone").await;
        let view = site.router.move_traffic("phone", 0, left + 2 * MIB + too_much + MIB).unwrap();
        assert_eq!(view.state, DeviceState::Dialing, "{counting:?} {:?}", row(&site));
    }
}

/// The agent is away while he moves up to his limit, and its book is of before when it starts.
#[tokio::test]
async fn whom_the_router_has_cut_at_his_limit_is_not_let_in_again_by_an_agent_that_starts() {
    for counting in [HotspotCounting::AtLogout, HotspotCounting::Live] {
        let mut site = site(counting).await;
        phone(&site, Dialler::Hotspot);
        // Only a sample reads the interfaces.
        site.settle(|wants| wants.open("neighbour")).await;
        let from_ms = site.in_millis(0);
        grant(&mut site, Service::Hotspot, from_ms, QUOTA).await;
        site.online("phone").await;
        site.router.move_traffic("phone", 0, MIB).unwrap();
        counted(&mut site, MIB).await;
        several_looks(&mut site).await;
        site.stop();
        let view = site.router.move_traffic("phone", 0, 65 * MIB).unwrap();
        assert_eq!(view.state, DeviceState::Dialing, "{counting:?}");
        let open = crate::usage::counted(&site);
        let no_sample =
            FaultsChange { trap_prints_menu: Some("interface".into()), ..FaultsChange::default() };
        site.router.set_faults(no_sample).unwrap();
        let writes = site.writes();
        site.restart(|settings| settings.open_sessions = open).await;
        site.settled(1).await;
        several_looks(&mut site).await;
        assert_eq!((site.writes(), limit(&site)), (writes, QUOTA + margin(QUOTA)), "{counting:?}");
        assert_eq!(site.router.device("phone").unwrap().state, DeviceState::Dialing);
        site.router.clear_faults();
        site.event(EventKind::QuotaReached).await;
        let row =
            site.row_until("ip/hotspot/user", &username("plot1"), |row| row["disabled"] == "true").await;
        assert_eq!(row[LIMIT], (QUOTA + margin(QUOTA)).to_string(), "{counting:?}");
        assert_eq!(site.router.device("phone").unwrap().state, DeviceState::Dialing);
    }
}

/// As an administrator does by hand, once the router answers.
async fn lose_counters(site: &Site) {
    let options =
        Options::new(site.sim.api_address(), Transport::Plain, "admin", Secret::new(crate::site::PASSWORD));
    let reset = async {
        loop {
            if let Ok(client) = Client::connect(options.clone()).await {
                let reset = Command::new("/ip/hotspot/user/reset-counters");
                let reset = reset.attribute("numbers", username("plot1"));
                break client.run(reset).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reset).await.unwrap();
}

#[tokio::test]
async fn a_limit_on_a_line_without_a_quota_is_somebodys_and_goes() {
    let mut site = site(HotspotCounting::Live).await;
    site.settle(|wants| wants.open("plot1")).await;
    site.router.set_row("ppp/secret", &username("plot1"), &[("limit-bytes-out", "7")]).unwrap();
    let event = site.event(EventKind::DriftRepaired).await;
    assert!(event.detail.contains("limit-bytes-out"), "{}", event.detail);
    assert_eq!(site.secret(&username("plot1")).unwrap()["limit-bytes-out"], "0");
}

/// Whoever made the row before may have sold an hour, or so many bytes in one direction.
#[tokio::test]
async fn limits_of_a_hotspot_user_that_are_none_of_ours_go_and_the_customer_is_let_in() {
    let mut site = site(HotspotCounting::Live).await;
    let from_ms = site.in_millis(0);
    grant(&mut site, Service::Hotspot, from_ms, QUOTA).await;
    let theirs = [("limit-uptime", "1s"), ("limit-bytes-in", "1"), ("limit-bytes-out", "2")];
    site.router.set_row("ip/hotspot/user", &username("plot1"), &theirs).unwrap();
    let event = site.event(EventKind::DriftRepaired).await;
    assert!(
        event.detail.contains("limit-uptime") && event.detail.contains("limit-bytes-in"),
        "{}",
        event.detail
    );
    let row = site.row("ip/hotspot/user", &username("plot1")).unwrap();
    assert_eq!((row["limit-bytes-in"].as_str(), row["limit-bytes-out"].as_str()), ("0", "0"));
    assert_eq!(row.get("limit-uptime").map_or("0s", String::as_str), "0s");
    assert_eq!(limit(&site), QUOTA + margin(QUOTA));
    let writes = site.router.summary().writes_total;
    several_looks(&mut site).await;
    assert_eq!(site.router.summary().writes_total, writes, "and that is all");
    phone(&site, Dialler::Hotspot);
    let online = || (site.router.device("phone").unwrap().state == DeviceState::Online).then_some(());
    site.router.clone().wait_for(PATIENCE, online).await.unwrap();
}

#[tokio::test]
async fn a_router_that_keeps_no_large_limits_is_told_of_once_and_never_fought() {
    const GIB: u64 = 1 << 30;
    for service in [Service::Hotspot, Service::Pppoe] {
        let mut site = site(HotspotCounting::Live).await;
        let narrow = FaultsChange { narrow_limits: Some(true), ..FaultsChange::default() };
        site.router.set_faults(narrow).unwrap();
        let from_ms = site.in_millis(0);
        grant(&mut site, service, from_ms, 5 * GIB).await;
        let menu = if service == Service::Hotspot { "ip/hotspot/user" } else { "ppp/secret" };
        let name = if service == Service::Hotspot { LIMIT } else { "limit-bytes-in" };
        let shown = |site: &Site| site.row(menu, &username("plot1")).unwrap()[name].clone();
        assert_eq!(shown(&site), "0", "{service:?}");
        let told = |site: &Site| {
            let is_it = |report: &&Report| matches!(report, Report::Event(event) if event.detail.contains("does not keep a limit"));
            site.log.iter().filter(is_it).count()
        };
        assert_eq!(told(&site), 1);
        let writes = site.writes();
        several_looks(&mut site).await;
        site.restart(|_| {}).await;
        site.settled(1).await;
        several_looks(&mut site).await;
        assert_eq!((site.writes(), told(&site)), (writes, 0));
        // A small one is kept.
        grant(&mut site, service, from_ms, GIB).await;
        assert_ne!(shown(&site), "0");
        assert_eq!(site.writes(), writes + 1);
    }
}
