//! Routers that the set-up script prepared: it may be pasted twice, takes back what it made, leaves foreign rows alone, and
//! the agent works on the router as the user that it made.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;

use routeros_api::{Client, Fingerprint, Options, Secret, TlsTrust, Transport};
use routeros_sim::{PackageState, Reach, Router};
use tawi_agent::doctor::pin_of;
use tawi_agent::router_script::{Host, Name, Setup, Tunnel, parse_release};

use crate::console::{Command, Console, commands, parse};
use crate::site::{Site, username};

/// The releases that the simulator has profiles of.
const RELEASES: [&str; 8] = ["6.49.10", "7.9", "7.12", "7.16", "7.18", "7.20", "7.22", "7.24"];
/// One of each dialect: the NTP client and policies of 6, those of 7, and the address list of services in 7.24.
const DIALECTS: [&str; 3] = ["6.49", "7.18", "7.24"];
/// What each release knows, as the simulator has it from public dumps.
const KNOWN: &str = include_str!("../../../tests/simulators/routeros-sim/data/arguments.txt");
/// Menus that the dumps leave out; the simulator's own tables judge them.
const NOT_DUMPED: [&str; 1] = ["system/ntp/client"];
pub const PASSWORD: &str = "Zk3vTq8RmW1xYb6NcH5dLs9JpF2gAe7U";

const MENUS: [&str; 17] = [
    "user",
    "user/group",
    "certificate",
    "ip/service",
    "ip/firewall/filter",
    "ip/firewall/nat",
    "ip/firewall/address-list",
    "system/logging",
    "system/logging/action",
    "ip/hotspot/walled-garden",
    "ip/hotspot/walled-garden/ip",
    "interface/pppoe-server/server",
    "interface/l2tp-server/server",
    "interface/pptp-server/server",
    "interface/ovpn-server/server",
    "system/ntp/client",
    "ppp/secret",
];

pub fn setup(release: &str) -> Setup {
    Setup {
        release: parse_release(release).unwrap(),
        agent: Ipv4Addr::LOCALHOST,
        also_allowed: vec![],
        router: Ipv4Addr::new(192, 168, 88, 1),
        port: 8729,
        user: Name::parse("--user", "tawi").unwrap(),
        group: Name::parse("--group", "tawi").unwrap(),
        extra_policies: vec![],
        keeps_plain_api: false,
        pppoe_interfaces: vec![Name::parse("--pppoe", "ether4").unwrap()],
        tunnels: BTreeSet::new(),
        openvpn_certificate: None,
        has_hotspot: true,
        pay_hosts: vec![Host::parse("pay.isp.example").unwrap(), Host::parse("198.51.100.7").unwrap()],
        pay_page: Some("203.0.113.10:8080".parse().unwrap()),
        resolvers: vec![],
        time_server: None,
    }
}

/// A router with rules of somebody else in every menu that the script writes to.
pub async fn foreign_site(release: &str) -> Site {
    let prepare = |router: &mut routeros_sim::Settings| {
        router.release = release.parse().unwrap();
        router.tls_listen = Some("127.0.0.1:0".parse().unwrap());
    };
    let site = Site::start_with(prepare, |_| {}).await;
    let rows: [(&str, &[(&str, &str)]); 8] = [
        ("ip/firewall/filter", &[("chain", "input"), ("action", "drop"), ("comment", "theirs")]),
        ("ip/firewall/filter", &[("chain", "forward"), ("action", "fasttrack-connection")]),
        (
            "ip/firewall/filter",
            &[("chain", "forward"), ("action", "accept"), ("comment", "tawi-setupx walled 1")],
        ),
        ("ip/firewall/nat", &[("chain", "dstnat"), ("action", "redirect"), ("comment", "their proxy")]),
        (
            "ip/firewall/address-list",
            &[("list", "tawi-pay"), ("address", "192.0.2.1"), ("comment", "theirs")],
        ),
        ("system/logging/action", &[("name", "theirs"), ("target", "memory")]),
        ("system/logging", &[("topics", "ppp,account"), ("action", "theirs")]),
        ("ip/hotspot/walled-garden", &[("dst-host", "news.example"), ("comment", "theirs")]),
    ];
    for (menu, row) in rows {
        site.router.add_row(menu, row).unwrap();
    }
    answer_names(&site, true);
    site
}

/// Whether the router answers questions for names, without which the script asks for a resolver.
pub fn answer_names(site: &Site, does: bool) {
    let does = if does { "yes" } else { "no" };
    site.router.set_row("ip/dns", "", &[("allow-remote-requests", does)]).unwrap();
}

pub async fn admin(site: &Site) -> Console {
    let options =
        Options::new(site.sim.api_address(), Transport::Plain, "admin", Secret::new("correct horse"));
    Console::new(Client::connect(options).await.unwrap(), site.router.clone())
}

/// How the agent connects: over TLS, by the pin of the certificate, as the user that the script made.
pub fn as_agent(site: &Site, password: &str) -> Options {
    let pin = Fingerprint::parse(&site.sim.tls_pin().unwrap()).unwrap();
    let address = site.sim.tls_address().unwrap();
    Options::new(address, Transport::Tls(TlsTrust::Pin(pin)), "tawi", Secret::new(password.to_owned()))
}

type Shown = BTreeMap<&'static str, Vec<Vec<(&'static str, Vec<u8>)>>>;

/// All rows, without when somebody last logged in.
fn everything(router: &Router) -> Shown {
    let rows_of = |menu: &&'static str| {
        let mut rows = router.rows(menu).unwrap();
        rows.iter_mut().for_each(|row| row.retain(|(name, _)| *name != "last-logged-in"));
        (*menu, rows)
    };
    MENUS.iter().map(rows_of).collect()
}

/// Compares without printing a whole router.
fn check_same(before: &Shown, after: &Shown, what: &str) {
    for (menu, rows) in before {
        assert!(Some(rows) == after.get(menu), "{what}: {menu} differs");
    }
    assert_eq!(before.len(), after.len());
}

#[tokio::test]
async fn a_script_that_is_pasted_twice_changes_nothing_the_second_time() {
    for release in RELEASES {
        let site = foreign_site(release).await;
        let mut console = admin(&site).await;
        let before = everything(&site.router);
        let script = setup(release).script(PASSWORD);
        console.paste(&script).await;
        let (once, writes) = (everything(&site.router), site.writes());
        assert!(before != once, "{release}");
        console.paste(&script).await;
        check_same(&once, &everything(&site.router), release);
        assert_eq!(site.writes(), writes, "{release}: a second paste writes nothing to the flash");
        // What is printed for the agent's settings is what the port shows.
        let printed = console.printed.iter().filter_map(|line| line.strip_prefix("tls_pin = "));
        let pins: Vec<&str> = printed.map(|pin| pin.trim_matches('"')).collect();
        let shown = pin_of(&site.sim.tls_address().unwrap().to_string()).await.unwrap();
        assert_eq!(pins, [&shown.to_string(), &shown.to_string()], "{release}: {:?}", console.printed);

        // Every foreign row is as it was, byte for byte, and in its order.
        for (menu, rows) in &before {
            if ["ip/service", "system/ntp/client"].contains(menu) {
                continue;
            }
            let after: Vec<_> = once[menu].iter().filter(|row| rows.contains(row)).collect();
            assert_eq!(after, rows.iter().collect::<Vec<_>>(), "{release} {menu}");
        }
    }
}

#[tokio::test]
async fn rules_stand_before_those_of_others_and_in_their_order() {
    for release in DIALECTS {
        let site = foreign_site(release).await;
        admin(&site).await.paste(&setup(release).script(PASSWORD)).await;
        let rules = site.rows("ip/firewall/filter");
        let of = |chain: &str| -> Vec<String> {
            let rules = rules.iter().filter(|rule| rule["chain"] == chain);
            rules
                .map(|rule| {
                    format!("{} {}", rule["action"], rule.get("src-address-list").map_or("", |list| list))
                })
                .collect()
        };
        let input = ["accept tawi-walled", "accept tawi-walled", "accept ", "drop "];
        assert_eq!(of("input"), input, "{release}");
        let forward = ["jump tawi-off", "jump ", "jump tawi-walled", "fasttrack-connection ", "accept "];
        assert_eq!(of("forward"), forward, "{release}");
        assert_eq!(of("tawi-walled"), ["accept ", "reject ", "drop "], "{release}");
        let nat = site.rows("ip/firewall/nat");
        let actions: Vec<&str> = nat.iter().map(|rule| rule["action"].as_str()).collect();
        assert_eq!(actions, ["dst-nat", "redirect", "redirect", "redirect"], "{release}");
    }
}

#[tokio::test]
async fn what_the_script_made_is_taken_back_and_nothing_else_is() {
    for release in RELEASES {
        let site = foreign_site(release).await;
        let mut console = admin(&site).await;
        let before = everything(&site.router);
        let setup = setup(release);
        // A removal where nothing was made finds nothing, and harms nothing.
        console.paste(&setup.removal()).await;
        check_same(&before, &everything(&site.router), release);
        console.paste(&setup.script(PASSWORD)).await;
        console.paste(&setup.removal()).await;
        let mut after = everything(&site.router);
        let mut before = before;
        // What these were before is not known any more, and the script says so.
        for menu in ["ip/service", "system/ntp/client"] {
            after.remove(menu);
            before.remove(menu);
        }
        check_same(&before, &after, release);
    }
}

/// A router makes an entry for each address of a name, with the comment of the one that it is made of.
#[tokio::test]
async fn what_the_router_makes_of_our_entries_by_itself_is_neither_counted_nor_touched() {
    const MENU: &str = "ip/hotspot/walled-garden/ip";
    for release in DIALECTS {
        let site = foreign_site(release).await;
        let mut console = admin(&site).await;
        console.paste(&setup(release).script(PASSWORD)).await;
        let comments: Vec<String> =
            site.rows(MENU).iter().filter_map(|row| row.get("comment").cloned()).collect();
        assert!(!comments.is_empty(), "{release}");
        for comment in &comments {
            let copy = [("comment", comment.as_str()), ("dst-address", "198.51.100.77")];
            site.router.add_dynamic_row(MENU, &copy).unwrap();
        }
        let copies = || {
            let is_dynamic =
                |row: &crate::site::Shown| row.get("dynamic").is_some_and(|is_so| is_so == "true");
            site.rows(MENU).into_iter().filter(is_dynamic).count()
        };
        assert_eq!(copies(), comments.len(), "{release}");
        let writes = site.writes();
        console.paste(&setup(release).script(PASSWORD)).await;
        assert_eq!(site.writes(), writes, "{release}: they do not look like rows that are there too often");
        // Other hosts, and then none: our own entries go, and nothing is asked of the router's own.
        let mut other = setup(release);
        other.pay_hosts = vec![Host::parse("other.example").unwrap()];
        console.paste(&other.script(PASSWORD)).await;
        console.paste(&other.removal()).await;
        assert_eq!(copies(), comments.len(), "{release}");
        assert_eq!(site.rows(MENU).len(), comments.len(), "{release}: nothing else is left");
    }
}

#[tokio::test]
async fn a_script_with_other_options_replaces_what_an_earlier_one_made() {
    let site = foreign_site("7.18").await;
    let mut console = admin(&site).await;
    console.paste(&setup("7.18").script(PASSWORD)).await;
    let other = Setup {
        pay_hosts: vec![],
        pay_page: None,
        resolvers: vec![Ipv4Addr::new(192, 168, 88, 1)],
        has_hotspot: true,
        ..setup("7.18")
    };
    console.paste(&other.script("another1password2of3thirty4twoXY")).await;
    let ours = |menu: &str| {
        let rows = site.rows(menu).into_iter();
        rows.filter(|row| row.get("comment").is_some_and(|comment| comment.starts_with("tawi-setup ")))
            .count()
    };
    assert_eq!(
        (ours("ip/firewall/nat"), ours("ip/firewall/address-list"), ours("ip/hotspot/walled-garden")),
        (0, 0, 0),
        "who may reach nothing needs no names"
    );
    let rules = site.rows("ip/firewall/filter");
    let walled: Vec<_> = rules.iter().filter(|rule| rule["chain"] == "tawi-walled").collect();
    assert_eq!(walled.len(), 3);
    assert!(rules.iter().all(|rule| rule.get("dst-port").is_none_or(|port| port != "53")));
    for (password, is_right) in [("another1password2of3thirty4twoXY", true), (PASSWORD, false)] {
        assert_eq!(Client::connect(as_agent(&site, password)).await.is_ok(), is_right, "{password}");
    }
}

#[tokio::test]
async fn a_user_of_somebody_else_by_that_name_is_left_alone_and_told_of() {
    let site = foreign_site("7.18").await;
    site.router.add_row("user", &[("name", "tawi"), ("group", "full"), ("password", "theirs")]).unwrap();
    let mut console = admin(&site).await;
    let before = everything(&site.router).remove("user").unwrap();
    console.paste(&setup("7.18").script(PASSWORD)).await;
    assert!(everything(&site.router)["user"] == before);
    assert!(console.printed.iter().any(|line| line.starts_with("STOP: a user tawi is there")));
    console.paste(&setup("7.18").removal()).await;
    assert!(everything(&site.router)["user"] == before);
}

/// A terminal reads on after an error, and an import does not: neither does anything after a refusal.
#[tokio::test]
async fn where_the_script_refuses_nothing_has_happened_and_nothing_does() {
    for release in DIALECTS {
        let site = foreign_site(release).await;
        let mut console = admin(&site).await;
        let before = everything(&site.router);
        let pppoe_interfaces =
            ["ether4", "ether99"].map(|name| Name::parse("--pppoe", name).unwrap()).to_vec();
        let no_interface = Setup { pppoe_interfaces, ..setup(release) };
        for (setup, says) in
            [(no_interface, "STOP: there is no interface ether99"), (setup(release), "STOP: a user tawi")]
        {
            let script = setup.script(PASSWORD);
            console.printed.clear();
            console.paste(&script).await;
            console.import(&script).await;
            assert_eq!(console.printed.len(), 2, "{release}: {:?}", console.printed);
            assert!(
                console.printed.iter().all(|line| line.starts_with(says)),
                "{release}: {:?}",
                console.printed
            );
            let mut now = everything(&site.router);
            now.get_mut("user").unwrap().retain(|row| before["user"].contains(row));
            check_same(&before, &now, release);
            let theirs = [("name", "tawi"), ("group", "full"), ("password", "theirs")];
            let _ = site.router.add_row("user", &theirs);
        }
    }
}

/// The technician reads the last lines on the screen.
#[tokio::test]
async fn the_last_line_that_is_printed_is_the_pin_and_what_to_mind_stands_before_it() {
    for release in DIALECTS {
        let site = foreign_site(release).await;
        let mut console = admin(&site).await;
        console.import(&setup(release).script(PASSWORD)).await;
        let at = |beginning: &str| console.printed.iter().position(|line| line.starts_with(beginning));
        assert_eq!(at("tls_pin = "), Some(console.printed.len() - 1), "{:?}", console.printed);
        assert!(console.printed.iter().any(|line| line.contains("routers.toml")), "{:?}", console.printed);
        let packages = site.rows("system/package");
        let has_ipv6 = !release.starts_with('6')
            || packages.iter().any(|row| row["name"] == "ipv6" && row["disabled"] == "false");
        assert_eq!(
            at("MIND: the walls bar IPv4 alone").is_some(),
            has_ipv6,
            "{release}: {:?}",
            console.printed
        );
    }
}

#[tokio::test]
async fn another_time_server_replaces_the_one_before_and_a_server_on_another_interface_is_told_of() {
    let names = |interfaces: &[&str]| -> Vec<Name> {
        interfaces.iter().map(|name| Name::parse("--pppoe", name).unwrap()).collect()
    };
    for release in DIALECTS {
        let site = foreign_site(release).await;
        let theirs = [("service-name", "theirs"), ("interface", "ether5"), ("disabled", "no")];
        site.router.add_row("interface/pppoe-server/server", &theirs).unwrap();
        let mut console = admin(&site).await;
        let time_server = Some(Host::parse("ntp.isp.example").unwrap());
        let first = Setup { time_server, ..setup(release) };
        console.paste(&first.script(PASSWORD)).await;
        let address = "192.0.2.123";
        let time_server = Some(Host::parse(address).unwrap());
        let second = Setup { pppoe_interfaces: names(&["ether1", "ether3"]), time_server, ..setup(release) };
        console.paste(&second.script(PASSWORD)).await;
        let servers = site.rows("interface/pppoe-server/server");
        let mut servers: Vec<String> =
            servers.iter().map(|row| format!("{} {}", row["interface"], row["service-name"])).collect();
        servers.sort();
        assert_eq!(
            servers,
            ["ether1 tawi", "ether2 service1", "ether3 tawi", "ether4 tawi", "ether5 theirs"],
            "{release}"
        );
        assert!(console.printed.iter().any(|line| line.contains("on another interface too")), "{release}");
        let ntp = site.rows("system/ntp/client").remove(0);
        let said: Vec<&str> = ["servers", "primary-ntp", "secondary-ntp", "server-dns-names"]
            .into_iter()
            .filter_map(|property| ntp.get(property).map(String::as_str))
            .filter(|value| !["", "0.0.0.0"].contains(value))
            .collect();
        assert_eq!((said, ntp["enabled"].as_str()), (vec![address], "true"), "{release}");
        let (once, writes) = (everything(&site.router), site.writes());
        console.paste(&second.script(PASSWORD)).await;
        check_same(&once, &everything(&site.router), release);
        // Nobody named a time server: the one that is used stays.
        console.paste(&Setup { time_server: None, ..second.clone() }.script(PASSWORD)).await;
        check_same(&once, &everything(&site.router), release);
        assert_eq!(site.writes(), writes, "{release}");
        console.paste(&second.removal()).await;
        let left = site.rows("interface/pppoe-server/server");
        let ours: Vec<&str> = left
            .iter()
            .filter(|row| row["service-name"] == "tawi")
            .map(|row| row["interface"].as_str())
            .collect();
        assert_eq!(ours, ["ether4"], "{release}: only those that are named");
    }
}

/// A console refuses all of a script at one argument that it does not know.
#[tokio::test]
async fn the_time_is_set_on_6_with_the_package_ntp_and_without_it() {
    let named = |server: &str| Setup { time_server: Some(Host::parse(server).unwrap()), ..setup("6.49") };
    for (has_package, setup, shown) in [
        (false, setup("6.49"), ["0.0.0.0", "pool.ntp.org"]),
        (true, setup("6.49"), ["192.0.2.5", ""]),
        (false, named("ntp.isp.example"), ["0.0.0.0", "ntp.isp.example"]),
        (true, named("ntp.isp.example"), ["192.0.2.6", ""]),
        (false, named("192.0.2.7"), ["192.0.2.7", ""]),
        (true, named("192.0.2.7"), ["192.0.2.7", ""]),
    ] {
        let site = foreign_site("6.49").await;
        site.router.set_row("system/ntp/client", "", &[("enabled", "no")]).unwrap();
        if has_package {
            site.router.set_packages(&[("ntp", PackageState::Enabled)]).unwrap();
        }
        let mut console = admin(&site).await;
        console.names.insert("pool.ntp.org".to_owned(), "192.0.2.5".to_owned());
        console.names.insert("ntp.isp.example".to_owned(), "192.0.2.6".to_owned());
        console.paste(&setup.script(PASSWORD)).await;
        assert!(console.printed.last().unwrap().starts_with("tls_pin = "), "{:?}", console.printed);
        let ntp = || {
            let row = site.rows("system/ntp/client").remove(0);
            let of = |name: &str| row.get(name).cloned().unwrap_or_default();
            (of("enabled"), [of("primary-ntp"), of("server-dns-names")])
        };
        let expected = ("true".to_owned(), shown.map(str::to_owned));
        assert_eq!(ntp(), expected, "{has_package} {:?}", setup.time_server);
        let writes = site.writes();
        console.paste(&setup.script(PASSWORD)).await;
        assert_eq!((ntp(), site.writes()), (expected, writes), "{has_package} {:?}", setup.time_server);
        assert!(!console.printed.iter().any(|line| line.contains("time server could not")));
    }
}

#[tokio::test]
async fn a_name_of_a_time_server_that_nobody_resolves_does_not_end_the_script() {
    let site = foreign_site("6.49").await;
    site.router.set_packages(&[("ntp", PackageState::Enabled)]).unwrap();
    let time_server = Some(Host::parse("ntp.isp.example").unwrap());
    let mut console = admin(&site).await;
    console.import(&Setup { time_server, ..setup("6.49") }.script(PASSWORD)).await;
    assert!(console.printed.iter().any(|line| line.starts_with("MIND: the time server could not be set")));
    assert!(console.printed.last().unwrap().starts_with("tls_pin = "), "{:?}", console.printed);
}

#[tokio::test]
async fn what_guests_may_reach_is_read_back_as_it_was_given_and_once() {
    for release in DIALECTS {
        let site = foreign_site(release).await;
        let mut console = admin(&site).await;
        for _ in 0..2 {
            console.paste(&setup(release).script(PASSWORD)).await;
            let ours = |menu: &str, property: &str| -> Vec<String> {
                let is_ours = |row: &crate::site::Shown| {
                    row.get("comment").is_some_and(|comment| comment.starts_with("tawi-setup "))
                };
                let rows = site.rows(menu).into_iter().filter(is_ours);
                let mut shown: Vec<String> = rows
                    .filter_map(|row| {
                        let value = row.get(property).filter(|value| !value.is_empty())?;
                        Some(format!("{} {value}", row["action"]))
                    })
                    .collect();
                shown.sort();
                shown
            };
            let garden = "ip/hotspot/walled-garden";
            assert_eq!(ours(garden, "dst-host"), ["allow pay.isp.example"], "{release}");
            let ip = "ip/hotspot/walled-garden/ip";
            assert_eq!(ours(ip, "dst-host"), ["accept pay.isp.example"], "{release}");
            assert_eq!(ours(ip, "dst-address"), ["accept 198.51.100.7", "accept 203.0.113.10"], "{release}");
        }
        let theirs = site.rows("ip/hotspot/walled-garden");
        assert!(theirs.iter().any(|row| row.get("comment").is_some_and(|comment| comment == "theirs")));
    }
}

#[tokio::test]
async fn who_has_not_paid_asks_the_router_for_names_and_reaches_no_other_host_on_that_port() {
    for release in DIALECTS {
        let site = foreign_site(release).await;
        let device = serde_json::json!({"name": "house", "service": "ipoe", "address": "10.9.0.5"});
        site.router.add_device(serde_json::from_value(device).unwrap()).unwrap();
        let deadline = std::time::Duration::from_secs(10);
        site.router.wait_for_device("house", routeros_sim::DeviceState::Online, deadline).await.unwrap();
        // Their proxy turns aside whatever comes by.
        let proxy = site.rows("ip/firewall/nat").remove(0);
        site.router.remove_row("ip/firewall/nat", &proxy[".id"]).unwrap();
        let reach = |to: &str| site.router.reach("house", to.parse().unwrap()).unwrap();
        let mut console = admin(&site).await;
        console.paste(&setup(release).script(PASSWORD)).await;
        let list = [("list", "tawi-walled"), ("address", "10.9.0.5")];
        site.router.add_row("ip/firewall/address-list", &list).unwrap();
        let is_led_to_the_router =
            |to: &str| matches!(reach(to), Reach::Redirected { to, .. } if to == "router");
        assert!(is_led_to_the_router("203.0.113.99:53"), "{release}: {:?}", reach("203.0.113.99:53"));
        assert!(matches!(reach("203.0.113.99:853"), Reach::Dropped { .. }), "{release}");
        assert_eq!(reach("198.51.100.7:443"), Reach::Allowed, "{release}: what the pay page needs");
        // From a router that does not answer they are led to the first that was named.
        answer_names(&site, false);
        let resolvers = ["203.0.113.53", "203.0.113.54"].map(|text| text.parse().unwrap()).to_vec();
        let other = Setup { resolvers, ..setup(release) };
        console.paste(&other.script(PASSWORD)).await;
        for named in ["203.0.113.53:53", "203.0.113.54:53"] {
            assert_eq!(reach(named), Reach::Allowed, "{release}: those that were named");
        }
        let is_led_to_it =
            |to: &str| matches!(reach(to), Reach::Redirected { to, .. } if to == "203.0.113.53:53");
        for asked in ["203.0.113.99:53", "192.168.88.1:53"] {
            assert!(is_led_to_it(asked), "{release}: {:?}", reach(asked));
        }
        assert!(console.printed.iter().all(|line| !line.contains("questions for names")), "{release}");
        let input: Vec<_> = site.rows("ip/firewall/filter");
        let names = input
            .iter()
            .filter(|row| row["chain"] == "input" && row.get("dst-port").is_some_and(|port| port == "53"));
        assert_eq!(names.count(), 0, "{release}: the router is not asked, and not opened for it");
    }
}

/// A paste of before let them ask anybody: it must not be replaced by one that lets them ask nobody.
#[tokio::test]
async fn a_router_that_answers_no_names_keeps_what_it_has_until_a_resolver_is_named() {
    for release in DIALECTS {
        let site = foreign_site(release).await;
        answer_names(&site, false);
        let before = everything(&site.router);
        let mut console = admin(&site).await;
        let script = setup(release).script(PASSWORD);
        console.paste(&script).await;
        console.import(&script).await;
        check_same(&before, &everything(&site.router), release);
        assert_eq!(console.printed.len(), 2, "{release}: {:?}", console.printed);
        let is_told = |line: &String| line.starts_with("STOP:") && line.contains("--resolver");
        assert!(console.printed.iter().all(is_told), "{release}: {:?}", console.printed);
        // Nothing that they may reach has a name.
        let none = Setup { pay_hosts: vec![], pay_page: None, ..setup(release) };
        console.paste(&none.script(PASSWORD)).await;
        assert!(console.printed.last().unwrap().starts_with("tls_pin = "), "{:?}", console.printed);
    }
}

/// A pool of time servers has another address each time.
#[tokio::test]
async fn a_named_time_server_is_looked_up_once_by_the_package_ntp() {
    let site = foreign_site("6.49").await;
    site.router.set_packages(&[("ntp", PackageState::Enabled)]).unwrap();
    let time_server = Some(Host::parse("ntp.isp.example").unwrap());
    let script = Setup { time_server, ..setup("6.49") }.script(PASSWORD);
    let mut console = admin(&site).await;
    console.names.insert("ntp.isp.example".to_owned(), "192.0.2.6".to_owned());
    console.paste(&script).await;
    let writes = site.writes();
    console.names.insert("ntp.isp.example".to_owned(), "192.0.2.7".to_owned());
    console.paste(&script).await;
    console.names.clear();
    console.paste(&script).await;
    assert_eq!(site.rows("system/ntp/client").remove(0)["primary-ntp"], "192.0.2.6");
    assert_eq!(site.writes(), writes);
    assert!(!console.printed.iter().any(|line| line.contains("time server could not")));
}

#[tokio::test]
async fn servers_of_tunnels_are_switched_on_once_and_openvpn_with_a_certificate_that_is_there() {
    for release in DIALECTS {
        let site = foreign_site(release).await;
        let mut console = admin(&site).await;
        let with = Setup {
            tunnels: BTreeSet::from([Tunnel::L2tp, Tunnel::Pptp]),
            openvpn_certificate: Some(Name::parse("--openvpn", "vpn").unwrap()),
            ..setup(release)
        };
        let before = everything(&site.router);
        console.paste(&with.script(PASSWORD)).await;
        check_same(&before, &everything(&site.router), release);
        site.router.add_row("certificate", &[("name", "vpn"), ("common-name", "vpn")]).unwrap();
        console.paste(&with.script(PASSWORD)).await;
        for menu in ["interface/l2tp-server/server", "interface/pptp-server/server"] {
            assert_eq!(site.rows(menu).remove(0)["enabled"], "true", "{release} {menu}");
        }
        let openvpn = site.rows("interface/ovpn-server/server");
        let row =
            openvpn.iter().find(|row| row.get("certificate").is_some_and(|name| name == "vpn")).unwrap();
        let is_on = row.get("enabled").is_some_and(|on| on == "true");
        assert!(is_on || row["disabled"] == "false", "{release}: {row:?}");
        let (once, writes) = (everything(&site.router), site.writes());
        console.paste(&with.script(PASSWORD)).await;
        check_same(&once, &everything(&site.router), release);
        assert_eq!(site.writes(), writes, "{release}");
    }
}

#[tokio::test]
async fn the_agent_works_on_the_router_as_the_user_that_the_script_made() {
    for release in RELEASES {
        let mut site = foreign_site(release).await;
        admin(&site).await.paste(&setup(release).script(PASSWORD)).await;
        let options = as_agent(&site, PASSWORD);
        site.restart(|settings| settings.connect = options.clone()).await;
        let failures = site
            .settle(|wants| {
                wants.open("plot1");
                wants.line_of("phone", tawi_shared::wire::Service::Hotspot);
            })
            .await;
        assert!(failures.is_empty(), "{release}: {failures:?}");
        assert!(site.secret(&username("plot1")).is_some(), "{release}");
        // What it was not given it does not have.
        let client = Client::connect(options).await.unwrap();
        let refused = client.run(routeros_api::Command::new("/user/add").attribute("name", "x")).await;
        assert!(refused.is_err(), "{release}: the group has no policy to make users");
        client.close();
    }
}

/// `name`, `name@7.17`, `name@..7.16` and `name@7.20..7.23` of the simulator's table.
fn knows(word: &str, name: &str, release: (u16, u16)) -> bool {
    let (known, range) = word.split_once('@').unwrap_or((word, ""));
    let (since, until) = range.split_once("..").unwrap_or((range, ""));
    let read = |text: &str| {
        let (major, minor) = text.split_once('.').unwrap();
        (major.parse::<u16>().unwrap(), minor.parse::<u16>().unwrap())
    };
    known == name
        && (since.is_empty() || read(since) <= release)
        && (until.is_empty() || release < read(until))
}

fn check_known(command: &Command, release: (u16, u16)) {
    let Command { menu, verb, arguments, .. } = command;
    if ["find", "get", "sign"].contains(&verb.as_str()) || NOT_DUMPED.contains(&menu.as_str()) {
        return;
    }
    let head = format!("{menu} {verb}");
    let line = KNOWN.lines().find(|line| line.split([':', '@']).next() == Some(head.as_str()));
    let words = line.unwrap_or_else(|| panic!("no dump knows {head}")).split_once(':').unwrap().1;
    for (name, _) in arguments {
        let is_known = words.split_ascii_whitespace().any(|word| knows(word, name, release));
        assert!(is_known, "{release:?}: {head} has no argument {name}");
    }
}

#[test]
fn every_menu_and_argument_of_the_script_is_known_to_its_release() {
    for release in [
        "7.9", "7.10", "7.12", "7.14", "7.16", "7.17", "7.18", "7.19", "7.20", "7.21", "7.22", "7.23", "7.24",
    ] {
        let (major, minor) = release.split_once('.').unwrap();
        let numbers = (major.parse().unwrap(), minor.parse().unwrap());
        let setup = setup(release);
        for text in [setup.script(PASSWORD), setup.removal()] {
            let commands = commands(&parse(&text));
            assert!(commands.len() > 20, "{release}");
            commands.iter().for_each(|command| check_known(command, numbers));
        }
    }
}

/// Compares with the file; what differs is written beside it, to be looked at.
fn check_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reconcile/golden").join(name);
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected != text {
        std::fs::write(path.with_extension("rsc.new"), text).unwrap();
        panic!(
            "{name} differs; what is written now is beside it as {name}.new: compare, and rename it if it is right"
        );
    }
}

#[test]
fn the_script_of_each_dialect_is_the_one_that_was_looked_at() {
    for release in DIALECTS {
        check_golden(&format!("prepare-{release}.rsc"), &setup(release).script(PASSWORD));
    }
    check_golden("take-back-7.18.rsc", &setup("7.18").removal());
}
