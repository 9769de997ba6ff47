//! What customers moved, as counted from the router, against what their devices know that they moved.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::site::{Site, password, username};
use routeros_sim::{FaultsChange, HotspotCounting, NewDevice, Service as Dialler};
use tawi_agent::flow::Report;
use tawi_agent::usage::counted::Counted;
use tawi_shared::wire::{Access, EventKind, QuotaV1, Restraint, RestraintV1, Service, SessionUsageV1};

/// The newest totals of each session that was reported.
fn totals(site: &Site) -> Vec<SessionUsageV1> {
    let mut totals: Vec<SessionUsageV1> = Vec::new();
    for report in &site.log {
        let Report::Usage { sessions, .. } = report else { continue };
        for session in sessions.iter().map(|counted| &counted.total) {
            match totals.iter_mut().find(|known| known.session == session.session) {
                Some(known) => *known = session.clone(),
                None => totals.push(session.clone()),
            }
        }
    }
    totals
}

/// What the outbox would have kept of sessions that are not over.
pub fn counted(site: &Site) -> Vec<Counted> {
    let mut newest: BTreeMap<String, Counted> = BTreeMap::new();
    for report in &site.log {
        let Report::Usage { sessions, .. } = report else { continue };
        newest.extend(sessions.iter().map(|counted| (counted.total.session.clone(), counted.clone())));
    }
    newest.into_values().filter(|counted| !counted.total.is_ended).collect()
}

#[tokio::test]
async fn a_session_is_counted_with_upload_and_download_the_right_way_round() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    let came = site.event(EventKind::LineOnline).await;
    assert_eq!(came.line.as_deref(), Some("plot1"));
    site.router.move_traffic(&device, 1_000, 20_000).unwrap();
    let usage = site.usage(|session| session.download_bytes >= 20_000).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes, usage.is_ended), (1_000, 20_000, false));
    assert_eq!(usage.line, "plot1");
    assert!(usage.session.starts_with("core/pppoe/0x"), "{}", usage.session);
    assert_eq!(Some(usage.address), site.router.device(&device).unwrap().address);
    site.router.move_traffic(&device, 5, 7).unwrap();
    let usage = site.usage(|session| session.download_bytes > 20_000).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes), (1_005, 20_007));
    site.want(|wants| wants.switch_off("plot1"));
    site.event(EventKind::LineOffline).await;
    let usage = site.usage(|session| session.is_ended).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes), (1_005, 20_007));
    assert_eq!(totals(&site).len(), 1, "{:#?}", totals(&site));
}

#[tokio::test]
async fn bytes_between_the_last_sample_and_the_log_out_are_not_lost() {
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.sample = Duration::from_secs(3_600)).await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.event(EventKind::LineOnline).await;
    site.router.move_traffic(&device, 5_000_000_000, 70_000).unwrap();
    site.want(|wants| wants.switch_off("plot1"));
    let whole = |session: &SessionUsageV1| session.is_ended && session.upload_bytes == 5_000_000_000;
    assert_eq!(site.usage(whole).await.download_bytes, 70_000);
    assert_eq!(totals(&site).len(), 1, "{:#?}", totals(&site));
}

#[tokio::test]
async fn a_service_that_is_new_at_a_site_is_listened_to_at_once() {
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.sample = Duration::from_secs(3_600)).await;
    // The first look is over, and there was nothing to count.
    site.settle(|_| {}).await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.event(EventKind::LineOnline).await;
    site.router.move_traffic(&device, 200, 300).unwrap();
    site.router.remove_device(&device).unwrap();
    let usage = site.usage(|session| session.is_ended).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes), (200, 300));
}

#[tokio::test]
async fn a_hotspot_session_is_exact_to_its_end_however_its_user_is_counted() {
    for counting in [HotspotCounting::AtLogout, HotspotCounting::Live] {
        let mut site = Site::start_with(
            move |router| router.hotspot_counting = counting,
            |settings| settings.timings.sample = Duration::from_secs(3_600),
        )
        .await;
        site.settle(|wants| drop(wants.line_of("plot1", Service::Hotspot).clone())).await;
        let mut moved = (0, 0);
        // The user's total is known once its first session, which moves nothing, has come and gone.
        for bytes in [(0, 0), (7_000_000, 8_000_000), (9_000_000, 1)] {
            let device = NewDevice::new("phone", Dialler::Hotspot, &username("plot1"), &password("plot1"));
            site.router.add_device(device.redialing_after_ms(20)).unwrap();
            site.online("phone").await;
            site.event(EventKind::LineOnline).await;
            // No sample comes before the log-out.
            site.router.move_traffic("phone", bytes.0, bytes.1).unwrap();
            site.router.remove_device("phone").unwrap();
            let is_whole = |session: &SessionUsageV1| session.is_ended && session.upload_bytes == bytes.0;
            let usage = site.usage(is_whole).await;
            assert_eq!(usage.download_bytes, bytes.1, "{counting:?}");
            moved = (moved.0 + bytes.0, moved.1 + bytes.1);
        }
        let user = site.row("ip/hotspot/user", &username("plot1")).unwrap();
        assert_eq!(user["bytes-in"], moved.0.to_string());
        let billed = totals(&site);
        let sum = |of: fn(&SessionUsageV1) -> u64| billed.iter().map(of).sum::<u64>();
        assert_eq!((sum(|it| it.upload_bytes), sum(|it| it.download_bytes)), moved, "{billed:#?}");
    }
}

#[tokio::test]
async fn what_was_logged_while_the_agent_was_away_is_read_when_it_is_back() {
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.sample = Duration::from_secs(3_600)).await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.event(EventKind::LineOnline).await;
    site.router.move_traffic(&device, 5_000_000_000, 70_000).unwrap();
    let refuse =
        |is_refusing| FaultsChange { refuse_connections: Some(is_refusing), ..FaultsChange::default() };
    site.router.set_faults(refuse(true)).unwrap();
    site.router.drop_connections();
    site.event(EventKind::RouterLost).await;
    site.router.remove_device(&device).unwrap();
    site.router.set_faults(refuse(false)).unwrap();
    let usage = site.usage(|session| session.is_ended).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes), (5_000_000_000, 70_000));
    assert_eq!(totals(&site).len(), 1, "{:#?}", totals(&site));
}

#[tokio::test]
async fn a_log_out_during_a_restart_of_the_agent_is_found_in_the_log() {
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.sample = Duration::from_secs(3_600)).await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.usage(|session| !session.is_ended).await;
    site.stop();
    site.router.move_traffic(&device, 5_000_000_000, 70_000).unwrap();
    site.router.remove_device(&device).unwrap();
    let open = counted(&site);
    site.restart(|settings| settings.open_sessions = open).await;
    let usage = site.usage(|session| session.is_ended).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes), (5_000_000_000, 70_000));
    assert_eq!(totals(&site).len(), 1, "{:#?}", totals(&site));
}

#[tokio::test]
async fn a_hotspot_session_is_counted_too() {
    let mut site = Site::start().await;
    let device = NewDevice::new("phone", Dialler::Hotspot, &username("plot1"), &password("plot1"));
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.settle(|wants| {
        wants.line_of("plot1", Service::Hotspot);
    })
    .await;
    site.online("phone").await;
    site.router.move_traffic("phone", 300, 4_000).unwrap();
    let usage = site.usage(|session| session.download_bytes > 0).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes), (300, 4_000));
    assert!(usage.session.starts_with("core/hotspot/*"), "{}", usage.session);
}

#[tokio::test]
async fn strangers_are_nobodys_usage() {
    let mut site = Site::start().await;
    let stranger = NewDevice::new("stranger", Dialler::Pppoe, "foreign-00001", "foreign-00001");
    site.router.add_device(stranger.redialing_after_ms(20)).unwrap();
    site.online("stranger").await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.router.move_traffic("stranger", 9, 9).unwrap();
    site.router.move_traffic(&device, 1, 1).unwrap();
    site.usage(|session| session.download_bytes > 0).await;
    assert!(totals(&site).iter().all(|session| session.line == "plot1"));
}

#[tokio::test]
async fn a_reboot_starts_new_sessions_and_loses_none_of_what_was_counted() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.router.move_traffic(&device, 10, 100).unwrap();
    site.usage(|session| session.download_bytes == 100).await;
    site.router.reboot(100);
    site.usage(|session| session.is_ended).await;
    site.online(&device).await;
    site.router.move_traffic(&device, 1, 2).unwrap();
    site.usage(|session| session.download_bytes == 2).await;
    let totals: Vec<_> =
        totals(&site).iter().map(|session| (session.upload_bytes, session.download_bytes)).collect();
    assert_eq!(totals, [(10, 100), (1, 2)]);
}

#[tokio::test]
async fn a_restart_of_the_agent_goes_on_with_the_same_session() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.router.move_traffic(&device, 10, 100).unwrap();
    let before = site.usage(|session| session.download_bytes == 100).await;
    let stored = before.clone();
    site.restart(|settings| settings.open_sessions = vec![stored.into()]).await;
    site.router.move_traffic(&device, 1, 1).unwrap();
    let after = site.usage(|session| session.download_bytes == 101).await;
    assert_eq!((after.session, after.started_at_ms), (before.session, before.started_at_ms));
    let online = site
        .log
        .iter()
        .filter(|report| matches!(report, Report::Event(event) if event.kind == EventKind::LineOnline));
    assert_eq!(online.count(), 0, "it never went away");
}

#[tokio::test]
async fn a_quota_is_enforced_when_it_is_crossed_and_a_top_up_opens_the_line_at_once() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    let from_ms = site.in_millis(0);
    let quota = |bytes| vec![QuotaV1 { from_ms, bytes }];
    site.settle(|wants| {
        let line = wants.line("plot1");
        line.quotas = quota(1_000);
        line.after_quota = RestraintV1 { how: Restraint::Off.code(), profile: String::new() };
    })
    .await;
    site.online(&device).await;
    site.router.move_traffic(&device, 300, 600).unwrap();
    let usage = site.usage(|session| session.download_bytes == 600).await;
    assert_eq!(usage.period_started_ms, from_ms);
    assert_eq!(site.secret("plot1@isp").unwrap()["disabled"], "false");
    site.router.move_traffic(&device, 100, 0).unwrap();
    let event = site.event(EventKind::QuotaReached).await;
    assert_eq!((event.line.as_deref(), event.detail.as_str()), (Some("plot1"), "1000 bytes are used up"));
    site.offline(&device).await;
    assert_eq!(site.secret("plot1@isp").unwrap()["disabled"], "true");
    site.settle(|wants| wants.line("plot1").quotas = quota(5_000)).await;
    site.online(&device).await;
    site.router.move_traffic(&device, 0, 50).unwrap();
    site.usage(|session| session.download_bytes == 50).await;
    let reached =
        |report: &&Report| matches!(report, Report::Event(event) if event.kind == EventKind::QuotaReached);
    assert_eq!(site.log.iter().filter(reached).count(), 1);
}

#[tokio::test]
async fn a_session_that_runs_when_a_period_begins_goes_on_in_another_part() {
    let mut site = Site::start().await;
    let device = site.dial("plot1");
    site.settle(|wants| wants.open("plot1")).await;
    site.online(&device).await;
    site.router.move_traffic(&device, 10, 100).unwrap();
    let before = site.usage(|session| session.download_bytes == 100).await;
    let from_ms = site.in_millis(0);
    site.settle(|wants| wants.line("plot1").quotas = vec![QuotaV1 { from_ms, bytes: 1_000 }]).await;
    site.usage(|session| session.session == before.session && session.is_ended).await;
    site.router.move_traffic(&device, 1, 2).unwrap();
    let part = site.usage(|session| session.download_bytes == 2).await;
    assert_eq!(part.session, format!("{}#2", before.session));
    assert_eq!((part.upload_bytes, part.period_started_ms, part.is_ended), (1, from_ms, false));
}

#[tokio::test]
async fn tunnels_over_ip_are_counted_and_their_last_word_is_heard() {
    let mut site = Site::start().await;
    for menu in ["interface/l2tp-server/server", "interface/pptp-server/server"] {
        site.router.set_row(menu, "", &[("enabled", "yes")]).unwrap();
    }
    for (line, dialler, service) in
        [("plot1", Dialler::L2tp, Service::L2tp), ("plot2", Dialler::Pptp, Service::Pptp)]
    {
        let device = NewDevice::new(line, dialler, &username(line), &password(line));
        site.router.add_device(device.redialing_after_ms(20)).unwrap();
        site.settle(|wants| drop(wants.line_of(line, service).clone())).await;
        site.online(line).await;
        site.router.move_traffic(line, 7, 5_000_000_000).unwrap();
        let usage = site.usage(|session| session.download_bytes == 5_000_000_000).await;
        assert_eq!((usage.upload_bytes, usage.line.as_str()), (7, line));
        assert!(usage.session.starts_with(&format!("core/{}/0x", service.as_str())), "{}", usage.session);
        site.settle(|wants| wants.line_of(line, service).access = Access::Off.code()).await;
        site.usage(|session| session.is_ended && session.line == line).await;
    }
}

#[tokio::test]
async fn a_line_where_nobody_logs_in_is_counted_by_its_queue() {
    let mut site = Site::start().await;
    site.router.add_device(NewDevice::ipoe("plot1", "10.20.0.9")).unwrap();
    site.settle(|wants| {
        let line = wants.line_of("plot1", Service::Static);
        line.address = "10.20.0.9".into();
        line.password = String::new();
    })
    .await;
    // The first reading is where counting begins.
    site.usage(|session| session.line == "plot1").await;
    site.router.move_traffic("plot1", 7, 5_000_000_000).unwrap();
    let usage = site.usage(|session| session.download_bytes > 0).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes, usage.is_ended), (7, 5_000_000_000, false));
    assert_eq!(usage.address, "10.20.0.9");
    assert!(usage.session.starts_with("core/static/*"), "{}", usage.session);
}

#[tokio::test]
async fn a_queue_that_was_made_under_our_eyes_counts_from_its_beginning() {
    // Long enough that a queue moves all of it between two looks.
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.sample = Duration::from_millis(1_500)).await;
    let line_of = |wants: &mut crate::site::Wants<'_>, name: &str, address: &str| {
        let line = wants.line_of(name, Service::Static);
        line.address = address.into();
        line.password = String::new();
    };
    site.router.add_device(NewDevice::ipoe("plot1", "10.20.0.9")).unwrap();
    site.router.add_device(NewDevice::ipoe("plot2", "10.20.0.8")).unwrap();
    site.settle(|wants| line_of(wants, "plot2", "10.20.0.8")).await;
    site.usage(|session| session.line == "plot2").await;
    site.settle(|wants| line_of(wants, "plot1", "10.20.0.9")).await;
    site.router.move_traffic("plot1", 7, 1_100_000_000).unwrap();
    let usage = site.usage(|session| session.line == "plot1" && session.download_bytes > 0).await;
    assert_eq!((usage.upload_bytes, usage.download_bytes), (7, 1_100_000_000));
}
