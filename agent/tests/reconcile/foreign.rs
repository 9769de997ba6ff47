//! Rows of somebody else, in every menu that we write to, through a long and random life of the agent.

use std::time::Duration;

use crate::site::{PATIENCE, ROUTER, Site, username};
use routeros_sim::{NewDevice, Service as Dialler};
use tawi_agent::flow::Report;
use tawi_agent::reconcile::orders::What;
use tawi_shared::IdSource;
use tawi_shared::wire::{Access, LineV1, Restraint, RestraintV1, Service};

/// Enough for every kind of step to meet every other.
const STEPS: usize = 150;
const LINES: u64 = 14;

/// Every menu with rows of ours.
const MENUS: [&str; 7] = [
    "ppp/secret",
    "ppp/profile",
    "ip/hotspot/user",
    "ip/hotspot/user/profile",
    "queue/simple",
    "ip/firewall/address-list",
    "ip/hotspot/ip-binding",
];

type Bytes = Vec<Vec<(&'static str, Vec<u8>)>>;

/// What the router itself writes into rows, whoever made them.
const OF_THE_ROUTER: [&str; 12] = [
    "last-caller-id",
    "last-disconnect-reason",
    "last-logged-out",
    "bytes",
    "packets",
    "rate",
    "dropped",
    "uptime",
    "bytes-in",
    "bytes-out",
    "packets-in",
    "packets-out",
];

/// Rows without our mark that are not made by the router itself, byte for byte.
fn foreign(site: &Site) -> Vec<(&'static str, Bytes)> {
    let of_menu = |menu: &'static str| {
        let rows = site.router.rows(menu).unwrap();
        let is_ours = |row: &Vec<(&str, Vec<u8>)>| {
            row.iter().any(|(name, value)| match *name {
                "comment" => value.starts_with(b"tawi:"),
                "on-logout" => value == b"# tawi:profile",
                "dynamic" => value == b"true",
                _ => false,
            })
        };
        let rows = rows.into_iter().filter(|row| !is_ours(row));
        let fixed =
            rows.map(|row| row.into_iter().filter(|(name, _)| !OF_THE_ROUTER.contains(name)).collect());
        (menu, fixed.collect())
    };
    MENUS.map(of_menu).into()
}

/// Names, addresses and devices that lines want too.
fn fill(site: &Site) {
    for number in (0..LINES).step_by(3) {
        let name = username(&format!("line-{number}"));
        let address = format!("10.30.0.{}", number + 1);
        let mac = format!("02:00:00:00:01:{number:02X}");
        let text = "school, roof; ask the caretaker";
        site.router
            .add_row("ppp/secret", &[("name", name.as_str()), ("password", "theirs"), ("comment", text)])
            .unwrap();
        site.router.add_row("ip/hotspot/user", &[("name", name.as_str()), ("comment", text)]).unwrap();
        let target = format!("{address}/32");
        site.router
            .add_row(
                "queue/simple",
                &[("name", name.as_str()), ("target", target.as_str()), ("max-limit", "1M/1M")],
            )
            .unwrap();
        for list in ["tawi-off", "tawi-walled", "theirs"] {
            site.router
                .add_row("ip/firewall/address-list", &[("list", list), ("address", &address)])
                .unwrap();
        }
        site.router
            .add_row("ip/hotspot/ip-binding", &[("mac-address", mac.as_str()), ("type", "bypassed")])
            .unwrap();
    }
    for profile in ["gold", "slow"] {
        site.router.add_row("ppp/profile", &[("name", profile), ("rate-limit", "7M/7M")]).unwrap();
        site.router
            .add_row("ip/hotspot/user/profile", &[("name", profile), ("rate-limit", "7M/7M")])
            .unwrap();
    }
    // Almost a mark is none.
    for comment in ["tawi:", "tawi: line-1", "TAWI:line-1", "was tawi:line-1"] {
        let name = format!("almost {comment}");
        site.router.add_row("ppp/secret", &[("name", name.as_str()), ("comment", comment)]).unwrap();
    }
}

fn service(roll: u64) -> Service {
    let index = usize::try_from(roll).unwrap() % Service::ALL.len();
    Service::ALL[index]
}

fn order(site: &mut Site, roll: impl Fn(u64) -> u64) {
    let number = roll(LINES);
    let id = format!("line-{number}");
    let of = service(roll(7));
    let access = [Access::Open, Access::Off, Access::Suspended][usize::try_from(roll(3)).unwrap()];
    let how = Restraint::ALL[usize::try_from(roll(3)).unwrap()];
    let profile = ["home", "gold", "slow", "other"][usize::try_from(roll(4)).unwrap()];
    let (what, speed) = (roll(10), 10 + roll(4) * 10);
    site.want(|wants| match what {
        0 => drop(wants.lines.remove(&id)),
        1 => wants.speed("home", of, speed),
        2 => wants.speed("other", of, speed),
        _ => {
            wants.profile(profile, of, 20);
            wants.profile("other", of, 5);
            let line = LineV1 {
                line: id.clone(),
                router: ROUTER.into(),
                service: of.code(),
                username: username(&id),
                password: if what == 3 { String::new() } else { format!("password {speed}") },
                profile: profile.into(),
                access: access.code(),
                suspension: RestraintV1 { how: how.code(), profile: "other".into() },
                caller_id: if of == Service::HotspotDevice {
                    format!("02:00:00:00:01:{number:02X}")
                } else {
                    String::new()
                },
                address: format!("10.30.0.{}", number + 1),
                ..LineV1::default()
            };
            wants.lines.insert(id, line);
        }
    });
}

async fn live(seed: u64) {
    let dice = IdSource::seeded(seed);
    let roll = |sides: u64| dice.number() % sides;
    let mut site =
        Site::start_with(|_| {}, |settings| settings.timings.full_check = Duration::from_millis(150)).await;
    fill(&site);
    let before = foreign(&site);
    for number in 0..LINES {
        site.dial(&format!("line-{number}"));
    }
    for _ in 0..STEPS {
        match roll(20) {
            0 => site.restart(|_| {}).await,
            1 => site.router.drop_connections(),
            2 => site.rebuild.request(),
            3 => site.release.release("root"),
            _ => order(&mut site, roll),
        }
        let asked = site.router.summary().commands_total + roll(12);
        let router = site.router.clone();
        let look = || (router.summary().commands_total >= asked).then_some(());
        let _ = site.hearing(router.wait_for(Duration::from_millis(50), look)).await;
    }
    let last = site.want(|wants| {
        wants.profile("last", Service::Pppoe, 20);
        wants.line("last").profile = "last".into();
    });
    site.until(&format!("the last line to be there after seed {seed}"), |report| match report {
        Report::Settled { generation, failures, .. } => {
            (*generation == last && failures.iter().all(|failure| failure.line != "last")).then_some(())
        }
        _ => None,
    })
    .await;
    let look = || site.secret(&username("last"));
    site.router.wait_for(PATIENCE, look).await.unwrap();
    for ((menu, before), (_, after)) in before.iter().zip(foreign(&site)) {
        assert_eq!(*before, after, "{menu} after seed {seed}");
        assert!(!before.is_empty(), "the test needs foreign rows in {menu}");
    }
    assert!(site.writes() > 50, "the test needs an agent that writes");
}

#[tokio::test]
async fn whatever_the_agent_lives_through_no_foreign_row_is_changed_or_removed() {
    for seed in 1..=3 {
        live(seed).await;
    }
}

#[tokio::test]
async fn a_row_of_any_service_is_told_apart_from_one_of_pppoe() {
    let mut site = Site::start().await;
    for (name, service) in [("plot17", "any"), ("plot18", "pppoe")] {
        site.router
            .add_row("ppp/secret", &[("name", name), ("service", service), ("profile", "default")])
            .unwrap();
    }
    // Whoever is online under one tells which service the line of its customer is of.
    let secret = [("name", "plot19"), ("password", "plot19"), ("service", "any"), ("profile", "default")];
    site.router.add_row("ppp/secret", &secret).unwrap();
    site.router.set_row("interface/l2tp-server/server", "", &[("enabled", "yes")]).unwrap();
    let device = NewDevice::new("plot19", Dialler::L2tp, "plot19", "plot19");
    site.router.add_device(device.redialing_after_ms(20)).unwrap();
    site.online("plot19").await;
    let listed = site.order(What::ListForeign).await;
    let service_of = |name: &str| {
        let row = listed.rows.iter().find(|row| row.username == name);
        row.and_then(|row| Service::from_code(row.service))
    };
    assert_eq!(
        ["plot17", "plot18", "plot19"].map(service_of),
        [Service::Pppoe, Service::Pppoe, Service::L2tp].map(Some)
    );
    let is_any = |name: &str| listed.any_service.contains(name);
    assert_eq!(["plot17", "plot18", "plot19"].map(is_any), [true, false, true]);
}
