//! Lines where nobody logs in: queues, address lists, bindings.

use crate::site::{PATIENCE, ROUTER, Site, Wants};
use routeros_sim::{FaultsChange, NewDevice, Service as Dialler};
use std::time::Duration;
use tawi_agent::flow::{LineFailure, Report};
use tawi_agent::reconcile::RouterSettings;
use tawi_shared::wire::{Access, EventKind, FailureKind, LineV1, Restraint, RestraintV1, Service};

const MAC: &str = "02:00:00:00:00:AF";

fn addressed(wants: &mut Wants<'_>, id: &str, service: Service, address: &str) {
    wants.profile("home", service, 20);
    wants.profile("slow", service, 1);
    let suspension = RestraintV1 { how: Restraint::Walled.code(), profile: "slow".into() };
    let line = LineV1 {
        address: address.into(),
        caller_id: if service == Service::HotspotDevice { MAC.into() } else { String::new() },
        suspension,
        password: String::new(),
        router: ROUTER.into(),
        ..wants.line_of(id, service).clone()
    };
    wants.lines.insert(id.to_owned(), line);
}

/// The entries of our lists as `list address comment`.
fn entries(site: &Site) -> Vec<String> {
    let rows = site.rows("ip/firewall/address-list");
    rows.iter().map(|row| format!("{} {} {}", row["list"], row["address"], row["comment"])).collect()
}

async fn access(site: &mut Site, id: &str, access: Access) -> Vec<LineFailure> {
    site.settle(|wants| {
        if let Some(line) = wants.lines.get_mut(id) {
            line.access = access.code();
        }
    })
    .await
}

#[tokio::test]
async fn an_address_is_held_back_by_its_queue_and_kept_out_by_an_entry() {
    let mut site = Site::start().await;
    let failures = site.settle(|wants| addressed(wants, "plot1", Service::Static, "10.20.0.7")).await;
    assert!(failures.is_empty(), "{failures:?}");
    let queue = site.row("queue/simple", "plot1@isp").unwrap();
    assert_eq!(
        (queue["target"].as_str(), queue["max-limit"].as_str(), queue["comment"].as_str()),
        ("10.20.0.7/32", "5000000/20000000", "tawi:plot1")
    );
    assert!(entries(&site).is_empty());

    assert!(access(&mut site, "plot1", Access::Suspended).await.is_empty());
    assert_eq!(entries(&site), ["tawi-walled 10.20.0.7 tawi:plot1"]);
    assert_eq!(site.row("queue/simple", "plot1@isp").unwrap()["max-limit"], "250000/1000000");
    assert!(access(&mut site, "plot1", Access::Off).await.is_empty());
    assert_eq!(entries(&site), ["tawi-off 10.20.0.7 tawi:plot1"]);
    assert!(access(&mut site, "plot1", Access::Open).await.is_empty());
    assert!(entries(&site).is_empty());

    // Another speed is set in place, and an address that moves takes its queue along.
    assert!(site.settle(|wants| wants.speed("home", Service::Static, 40)).await.is_empty());
    assert_eq!(site.row("queue/simple", "plot1@isp").unwrap()["max-limit"], "10000000/40000000");
    assert!(site.settle(|wants| addressed(wants, "plot1", Service::Static, "10.20.0.8")).await.is_empty());
    let queues = site.rows("queue/simple");
    assert_eq!(queues.iter().map(|row| row["target"].as_str()).collect::<Vec<_>>(), ["10.20.0.8/32"]);
    let writes = site.writes();
    assert!(site.settle(|wants| drop(wants.lines.remove("plot1"))).await.is_empty());
    assert!(site.rows("queue/simple").is_empty());
    assert_eq!(site.writes(), writes + 1);
}

#[tokio::test]
async fn a_device_behind_a_hotspot_passes_it_until_it_is_off() {
    let mut site = Site::start().await;
    let failures = site.settle(|wants| addressed(wants, "tv", Service::HotspotDevice, "10.5.5.9")).await;
    assert!(failures.is_empty(), "{failures:?}");
    let kind = |site: &Site| {
        let rows = site.rows("ip/hotspot/ip-binding");
        rows.iter()
            .map(|row| format!("{} {} {}", row["mac-address"], row["type"], row["comment"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(kind(&site), [format!("{MAC} bypassed tawi:tv")]);
    assert!(access(&mut site, "tv", Access::Off).await.is_empty());
    assert_eq!(kind(&site), [format!("{MAC} blocked tawi:tv")]);
    assert_eq!(entries(&site), ["tawi-off 10.5.5.9 tawi:tv"]);
    assert!(site.settle(|wants| wants.lines.clear()).await.is_empty());
    assert!(kind(&site).is_empty() && entries(&site).is_empty() && site.rows("queue/simple").is_empty());
}

#[tokio::test]
async fn new_lines_that_nobody_paid_for_are_barred_at_once_and_no_person_is_asked() {
    let mut site = Site::start().await;
    let failures = site
        .settle(|wants| {
            for number in 1..=40 {
                let (id, address) = (format!("plot{number}"), format!("10.20.0.{number}"));
                addressed(wants, &id, Service::Static, &address);
                if let Some(line) = wants.lines.get_mut(&id) {
                    line.access = Access::Off.code();
                }
            }
        })
        .await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(entries(&site).len(), 40);
    assert!(site.rows("queue/simple").is_empty());
    assert!(access(&mut site, "plot7", Access::Open).await.is_empty());
    assert_eq!((entries(&site).len(), site.rows("queue/simple").len()), (39, 1));
}

/// A customer waits at the portal when the payment comes, and is there again, still online, when the time is over.
#[tokio::test]
async fn a_device_that_is_at_the_portal_already_is_let_by_blocked_and_forgotten_at_once() {
    let mut site = Site::start().await;
    let device = NewDevice::new("tv", Dialler::Hotspot, "nobody", "nothing").redialing_after_ms(20);
    site.router.add_device(device.with_mac(MAC)).unwrap();
    let other = NewDevice::new("other", Dialler::Hotspot, "nobody", "nothing").redialing_after_ms(20);
    site.router.add_device(other).unwrap();
    let host = |site: &Site, mac: &str| {
        let hosts = site.rows("ip/hotspot/host").into_iter();
        hosts.filter(|row| (row["mac-address"] == MAC) == (mac == MAC)).collect::<Vec<_>>()
    };
    let is_there = || (host(&site, MAC).len() == 1 && host(&site, "").len() == 1).then(|| host(&site, MAC));
    let waiting = site.router.wait_for(PATIENCE, is_there).await.unwrap();
    let address = waiting[0]["address"].clone();
    let bystander = host(&site, "")[0][".id"].clone();
    assert_eq!(waiting[0]["bypassed"], "false", "the test needs a device that waits");

    assert!(site.settle(|wants| addressed(wants, "tv", Service::HotspotDevice, &address)).await.is_empty());
    site.online("tv").await;
    assert_eq!(host(&site, MAC)[0]["bypassed"], "true");
    assert!(access(&mut site, "tv", Access::Off).await.is_empty());
    site.offline("tv").await;
    assert!(access(&mut site, "tv", Access::Open).await.is_empty());
    site.online("tv").await;
    assert!(site.settle(|wants| wants.lines.clear()).await.is_empty());
    site.offline("tv").await;
    assert_eq!(host(&site, "")[0][".id"], bystander, "somebody else's was left alone");
}

/// Its lease is another after a restart of the router: every row is right, and it would get the portal for ever.
#[tokio::test]
async fn a_device_at_another_address_than_its_line_fails_with_the_cure_until_it_is_where_it_belongs() {
    let quick = |settings: &mut RouterSettings| settings.timings.full_check = Duration::from_millis(150);
    let mut site = Site::start_with(|_| {}, quick).await;
    let failures = site.settle(|wants| addressed(wants, "tv", Service::HotspotDevice, "10.5.5.9")).await;
    assert!(failures.is_empty(), "nobody is there yet: {failures:?}");
    let device = NewDevice::new("tv", Dialler::Hotspot, "nobody", "nothing").redialing_after_ms(20);
    site.router.add_device(device.with_mac(MAC)).unwrap();
    let host = || site.rows("ip/hotspot/host").first().map(|row| row["address"].clone());
    let address = site.router.wait_for(PATIENCE, host).await.unwrap();
    let told = |report: &Report| match report {
        Report::Settled { failures, .. } => failures.first().cloned(),
        _ => None,
    };
    let failure = site.until("the device to be missed", told).await;
    assert_eq!((failure.line.as_str(), failure.kind), ("tv", FailureKind::NotApplied));
    let words = format!("is at {address}, not at 10.5.5.9, ");
    let cure = format!("; cure: /ip dhcp-server lease add mac-address={MAC} address=10.5.5.9,");
    assert!(failure.detail.contains(&words) && failure.detail.contains(&cure), "{}", failure.detail);

    let failures = site.settle(|wants| addressed(wants, "tv", Service::HotspotDevice, &address)).await;
    assert!(failures.is_empty(), "{failures:?}");
    site.online("tv").await;
}

/// The only host of the hotspot, and how it is seen.
fn is_bypassed(site: &Site, is_so: &str) -> Option<()> {
    let hosts = site.rows("ip/hotspot/host");
    (hosts.len() == 1 && hosts[0]["bypassed"] == is_so).then_some(())
}

/// The connection is lost at any point between the binding and the hotspot's seeing the device anew.
#[tokio::test]
async fn a_device_at_the_portal_is_let_by_and_barred_though_the_connection_is_lost_on_the_way() {
    // One line that is cut off a dozen times is not what this test asks a person about.
    let mut site = Site::start_with(|_| {}, |settings| settings.guard.lines = 100).await;
    let device = NewDevice::new("tv", Dialler::Hotspot, "nobody", "nothing").redialing_after_ms(20);
    site.router.add_device(device.with_mac(MAC)).unwrap();
    let host = || site.rows("ip/hotspot/host").first().map(|row| row["address"].clone());
    let address = site.router.wait_for(PATIENCE, host).await.unwrap();
    for bytes in [1, 20, 60, 90, 120, 150, 200, 250, 300, 350, 400, 500, 700] {
        let cut = || FaultsChange { drop_after_bytes: Some(bytes), ..FaultsChange::default() };
        site.router.set_faults(cut()).unwrap();
        let failures = site.settle(|wants| addressed(wants, "tv", Service::HotspotDevice, &address)).await;
        assert!(failures.is_empty(), "cut after {bytes} bytes: {failures:?}");
        let let_by = site.router.wait_for(PATIENCE, || is_bypassed(&site, "true")).await;
        assert!(let_by.is_ok(), "not let by, cut after {bytes} bytes");
        site.router.set_faults(cut()).unwrap();
        let failures = site.settle(|wants| wants.lines.clear()).await;
        assert!(failures.is_empty(), "cut after {bytes} bytes: {failures:?}");
        let barred = site.router.wait_for(PATIENCE, || is_bypassed(&site, "false")).await;
        assert!(barred.is_ok(), "still let by, cut after {bytes} bytes");
    }
}

/// The agent dies between the binding and the hotspot's seeing the device anew; the binding is right afterwards.
#[tokio::test]
async fn a_device_at_the_portal_is_let_by_and_barred_though_the_agent_is_restarted_on_the_way() {
    let mut site = Site::start_with(|_| {}, |settings| settings.guard.lines = 100).await;
    let device = NewDevice::new("tv", Dialler::Hotspot, "nobody", "nothing").redialing_after_ms(20);
    site.router.add_device(device.with_mac(MAC)).unwrap();
    let host = || site.rows("ip/hotspot/host").first().map(|row| row["address"].clone());
    let address = site.router.wait_for(PATIENCE, host).await.unwrap();
    let binding = |site: &Site| site.rows("ip/hotspot/ip-binding").first().map(|row| row["type"].clone());
    type Change<'a> = &'a dyn Fn(&mut Wants<'_>);
    let with = |wants: &mut Wants<'_>, access: Access| {
        addressed(wants, "tv", Service::HotspotDevice, &address);
        wants.lines.values_mut().for_each(|line| line.access = access.code());
    };
    let steps: [(Change<'_>, Option<&str>, &str); 4] = [
        (&|wants| with(wants, Access::Open), Some("bypassed"), "true"),
        (&|wants| with(wants, Access::Off), Some("blocked"), "false"),
        (&|wants| with(wants, Access::Open), Some("bypassed"), "true"),
        (&|wants| wants.lines.clear(), None, "false"),
    ];
    for (change, kind, is_so) in steps {
        // The hotspot sees nothing anew as long as that agent is there, however late it is stopped.
        let refuse_writes_menu = Some("ip/hotspot/host".to_owned());
        site.router.set_faults(FaultsChange { refuse_writes_menu, ..FaultsChange::default() }).unwrap();
        site.want(change);
        let is_written = || (binding(&site).as_deref() == kind).then_some(());
        site.router.wait_for(PATIENCE, is_written).await.unwrap();
        site.stop();
        let is_gone = || (site.router.summary().connections == 0).then_some(());
        site.router.wait_for(PATIENCE, is_gone).await.unwrap();
        site.router.clear_faults();
        assert_ne!(is_bypassed(&site, is_so), Some(()), "the test needs a device that is not seen anew yet");
        site.restart(|_| {}).await;
        let seen = site.router.wait_for(PATIENCE, || is_bypassed(&site, is_so)).await;
        assert!(seen.is_ok(), "{kind:?}: {:?}", site.rows("ip/hotspot/host"));
        assert!(site.settle(|wants| wants.open("another")).await.is_empty());
    }
}

/// A customer left, and his address is another's by now: whatever happens to the line that is off bars nobody.
#[tokio::test]
async fn a_line_that_is_off_never_bars_whoever_has_its_address_by_now() {
    let mut site = Site::start().await;
    let failures = site
        .settle(|wants| {
            addressed(wants, "left", Service::Static, "10.20.0.7");
            wants.lines.values_mut().for_each(|line| line.access = Access::Off.code());
        })
        .await;
    assert_eq!((failures.len(), entries(&site)), (0, vec!["tawi-off 10.20.0.7 tawi:left".to_owned()]));
    let failing = |failures: &[LineFailure]| failures.iter().map(|failure| failure.line.clone()).collect();
    let is_left: Vec<String> = vec!["left".to_owned()];
    let failures = site.settle(|wants| addressed(wants, "new", Service::Static, "10.20.0.7")).await;
    let failing_now: Vec<String> = failing(&failures);
    assert_eq!((failing_now, entries(&site)), (is_left.clone(), vec![]));
    assert!(failures[0].detail.contains("line new has the address 10.20.0.7"), "{failures:?}");
    let failures = site.settle(|wants| wants.line("left").username = "gone".into()).await;
    let failing_now: Vec<String> = failing(&failures);
    assert_eq!((failing_now, entries(&site)), (is_left, vec![]));
    assert!(access(&mut site, "new", Access::Off).await.len() == 1 && entries(&site).len() == 1);
}

/// Whoever had the address leaves it: the line that is off is barred again at once, not at the next full check.
#[tokio::test]
async fn a_line_that_is_off_is_barred_as_soon_as_its_address_is_nobody_elses() {
    type Change<'a> = &'a dyn Fn(&mut Wants<'_>);
    let leaves: [(Change<'_>, &[&str]); 4] = [
        (&|wants| drop(wants.lines.remove("new")), &["tawi-off 10.20.0.7 tawi:left"]),
        (&|wants| addressed(wants, "new", Service::Static, "10.20.0.8"), &["tawi-off 10.20.0.7 tawi:left"]),
        (&|wants| wants.line("new").router = "elsewhere".into(), &["tawi-off 10.20.0.7 tawi:left"]),
        // Both are off, and the one who had it last is cut off.
        (&|wants| wants.line("new").access = Access::Off.code(), &["tawi-off 10.20.0.7 tawi:new"]),
    ];
    for (leave, expected) in leaves {
        let mut site = Site::start().await;
        site.settle(|wants| {
            addressed(wants, "left", Service::Static, "10.20.0.7");
            wants.lines.values_mut().for_each(|line| line.access = Access::Off.code());
        })
        .await;
        let failures = site.settle(|wants| addressed(wants, "new", Service::Static, "10.20.0.7")).await;
        assert_eq!((failures.len(), entries(&site)), (1, vec![]));
        site.want(leave);
        let is_barred = || (entries(&site) == expected).then_some(());
        let barred = site.router.wait_for(PATIENCE, is_barred).await;
        assert!(barred.is_ok(), "{:?}", entries(&site));
    }
}

/// A line that is off bars an address by its entry alone, which the guard does not count: it waits for whoever is to be
/// cut off there.
#[tokio::test]
async fn a_cut_that_is_held_back_does_not_come_by_the_entry_of_another_line() {
    type Change<'a> = &'a dyn Fn(&mut Wants<'_>, u8);
    let cuts: [Change<'_>; 2] =
        [&|wants, number| drop(wants.lines.remove(&format!("new{number}"))), &|wants, number| {
            wants.line(&format!("new{number}")).access = Access::Off.code();
        }];
    for cut in cuts {
        let mut site = Site::start_with(|_| {}, |settings| settings.guard.lines = 5).await;
        let each = |wants: &mut Wants<'_>, access: Access, name: &str| {
            for number in 1..=20 {
                let id = format!("{name}{number}");
                addressed(wants, &id, Service::Static, &format!("10.20.0.{number}"));
                wants.line(&id).access = access.code();
            }
        };
        site.settle(|wants| each(wants, Access::Off, "left")).await;
        assert_eq!(entries(&site).len(), 20);
        let failures = site.settle(|wants| each(wants, Access::Open, "new")).await;
        assert_eq!((failures.len(), entries(&site).len()), (20, 0), "{failures:?}");
        let failures = site.settle(|wants| (1..=20).for_each(|number| cut(wants, number))).await;
        let held = failures.iter().filter(|failure| failure.kind == FailureKind::Held).count();
        assert_eq!((held, entries(&site)), (20, vec![]), "{failures:?}");
        let queues = site.rows("queue/simple").len();
        assert_eq!(queues, 20);
        site.release.release("root");
        let are_barred = || (entries(&site).len() == 20).then_some(());
        let barred = site.router.wait_for(PATIENCE, are_barred).await;
        assert!(barred.is_ok(), "{:?}", entries(&site));
    }
}

#[tokio::test]
async fn the_queue_and_the_entry_of_a_line_that_is_off_leave_the_one_who_has_its_address_alone() {
    let every = Duration::from_millis(100);
    let mut site = Site::start_with(|_| {}, |settings| settings.timings.full_check = every).await;
    site.settle(|wants| addressed(wants, "left", Service::Static, "10.20.0.7")).await;
    assert!(access(&mut site, "left", Access::Off).await.is_empty());
    assert_eq!((site.rows("queue/simple").len(), entries(&site).len()), (1, 1));
    let failures = site.settle(|wants| addressed(wants, "new", Service::Static, "10.20.0.7")).await;
    let queues =
        |site: &Site| site.rows("queue/simple").iter().map(|row| row["comment"].clone()).collect::<Vec<_>>();
    assert_eq!((failures.len(), entries(&site), queues(&site)), (1, vec![], vec!["tawi:new".to_owned()]));
    let writes = site.writes();
    let by_hand = [("list", "tawi-off"), ("address", "10.20.0.7"), ("comment", "tawi:left")];
    site.router.add_row("ip/firewall/address-list", &by_hand).unwrap();
    let is_gone = || entries(&site).is_empty().then_some(());
    site.router.wait_for(PATIENCE, is_gone).await.unwrap();
    let failures = site.settle(|wants| addressed(wants, "another", Service::Static, "10.20.0.9")).await;
    assert_eq!((failures.len(), site.writes()), (1, writes + 2), "{failures:?}");
    assert_eq!(failures[0].kind, FailureKind::ForeignRow, "{failures:?}");
}

#[tokio::test]
async fn a_stay_at_the_portal_that_the_router_refuses_to_end_is_told_of_and_ended_once_it_lets() {
    let every = Duration::from_millis(50);
    let mut site = Site::start_with(|_| {}, |settings| settings.timings.full_check = every).await;
    let device = NewDevice::new("tv", Dialler::Hotspot, "nobody", "nothing").redialing_after_ms(20);
    site.router.add_device(device.with_mac(MAC)).unwrap();
    let host = || site.rows("ip/hotspot/host").first().map(|row| row["address"].clone());
    let address = site.router.wait_for(PATIENCE, host).await.unwrap();
    let refuse_writes_menu = Some("ip/hotspot/host".to_owned());
    site.router.set_faults(FaultsChange { refuse_writes_menu, ..FaultsChange::default() }).unwrap();
    let failures = site.settle(|wants| addressed(wants, "tv", Service::HotspotDevice, &address)).await;
    assert_eq!(failures[0].kind, FailureKind::Refused, "{failures:?}");
    site.router.clear_faults();
    let seen = site.router.wait_for(PATIENCE, || is_bypassed(&site, "true")).await;
    assert!(seen.is_ok(), "{:?}", site.rows("ip/hotspot/host"));
    assert!(site.settle(|wants| wants.open("another")).await.is_empty());
}

/// What is remembered for after a power cut is what is left to do, and none of it is lost behind what others do.
#[tokio::test]
async fn a_stay_that_the_router_does_not_end_is_remembered_alone_whatever_is_done_for_others() {
    let mut site = Site::start_with(|_| {}, |settings| settings.guard.lines = 100).await;
    let device = NewDevice::new("tv", Dialler::Hotspot, "nobody", "nothing").redialing_after_ms(20);
    site.router.add_device(device.with_mac(MAC)).unwrap();
    let host = || site.rows("ip/hotspot/host").first().map(|row| row["address"].clone());
    let address = site.router.wait_for(PATIENCE, host).await.unwrap();
    let refuse_writes_menu = Some("ip/hotspot/host".to_owned());
    site.router.set_faults(FaultsChange { refuse_writes_menu, ..FaultsChange::default() }).unwrap();
    site.settle(|wants| addressed(wants, "tv", Service::HotspotDevice, &address)).await;
    for number in 1..=20 {
        let failures = site
            .settle(|wants| {
                let id = format!("tv{number}");
                addressed(wants, &id, Service::HotspotDevice, &format!("10.5.6.{number}"));
                wants.lines.get_mut(&id).unwrap().caller_id = format!("02:00:00:00:01:{number:02X}");
            })
            .await;
        let failing: Vec<_> = failures.iter().map(|failure| failure.line.as_str()).collect();
        assert_eq!(failing, ["tv"], "{failures:?}");
    }
    // What was done last is forgotten after it was told.
    let is_alone = |report: &Report| match report {
        Report::Remember { memory, .. } => {
            let lines: Vec<_> = memory.speeds.iter().map(|change| change.line.as_str()).collect();
            (lines == ["tv"]).then_some(())
        }
        _ => None,
    };
    site.until("the memory of one device", is_alone).await;
    site.restart(|_| {}).await;
    site.router.clear_faults();
    let seen = site.router.wait_for(PATIENCE, || is_bypassed(&site, "true")).await;
    assert!(seen.is_ok(), "{:?}", site.rows("ip/hotspot/host"));
}

#[tokio::test]
async fn hands_on_a_queue_an_entry_or_a_binding_are_put_right_at_once() {
    let mut site = Site::start().await;
    site.settle(|wants| {
        addressed(wants, "tv", Service::HotspotDevice, "10.5.5.9");
        addressed(wants, "plot1", Service::Static, "10.20.0.7");
    })
    .await;
    assert!(access(&mut site, "plot1", Access::Off).await.is_empty());
    site.router.set_row("queue/simple", "tv@isp", &[("max-limit", "1M/1M")]).unwrap();
    assert_eq!(site.event(EventKind::DriftRepaired).await.line.as_deref(), Some("tv"));
    assert_eq!(site.row("queue/simple", "tv@isp").unwrap()["max-limit"], "5000000/20000000");
    site.router.remove_row("ip/hotspot/ip-binding", MAC).unwrap();
    assert_eq!(site.event(EventKind::DriftRepaired).await.line.as_deref(), Some("tv"));
    assert_eq!(site.rows("ip/hotspot/ip-binding").len(), 1);
    site.router.remove_row("ip/firewall/address-list", "10.20.0.7").unwrap();
    assert_eq!(site.event(EventKind::DriftRepaired).await.line.as_deref(), Some("plot1"));
    assert_eq!(entries(&site), ["tawi-off 10.20.0.7 tawi:plot1"]);
}
