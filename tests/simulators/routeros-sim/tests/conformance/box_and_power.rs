//! What the box itself decides: licence, device-mode, clock, log, and what is left after the power was gone.

use crate::client::{Client, DEADLINE, settings, start};
use routeros_sim::{
    DeviceState, FaultsChange, FlashChange, NewDevice, PackageState, Router, Service, Settings, Simulator,
};

async fn online(router: &Router, name: &str) {
    router.wait_for_device(name, DeviceState::Online, DEADLINE).await.unwrap();
}

async fn refused(router: &Router, name: &str, expected: &str) {
    let is_so = || {
        let device = router.device(name).ok()?;
        (device.last_error.as_deref() == Some(expected)).then_some(())
    };
    router.wait_for(DEADLINE, is_so).await.unwrap_or_else(|_| panic!("{:?}", router.device(name)));
}

fn device(service: Service, name: &str) -> NewDevice {
    NewDevice::new(name, service, name, "w").redialing_after_ms(20)
}

/// The port opens again some time after the power is back.
async fn reconnected(simulator: &Simulator) -> Client {
    let connecting = async {
        loop {
            match tokio::net::TcpStream::connect(simulator.api_address()).await {
                Ok(stream) => return Client::over(stream),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, connecting).await.unwrap()
}

#[tokio::test]
async fn a_licence_limits_the_sessions_of_each_service_and_a_higher_level_lets_more_in() {
    const LEVEL_4: usize = 200;
    let few = Settings { license_level: 4, ..settings("7.18") };
    let simulator = Simulator::start(few).await.unwrap();
    let router = simulator.router();
    router.set_row("ppp/profile", "default", &[("only-one", "no")]).unwrap();
    for number in 0..=LEVEL_4 {
        let name = format!("d{number:03}");
        router.add_row("ppp/secret", &[("name", name.as_str()), ("password", "w")]).unwrap();
        router.add_device(device(Service::Pppoe, &name)).unwrap();
    }
    let full = || (router.summary().sessions == LEVEL_4).then_some(());
    router.wait_for(DEADLINE, full).await.unwrap();
    let outside = || {
        let is_out = |device: &routeros_sim::DeviceView| device.last_error.is_some();
        router.devices().into_iter().find(is_out).and_then(|device| device.last_error)
    };
    let reason = router.wait_for(DEADLINE, outside).await.unwrap();
    assert_eq!(reason, "the licence allows no further session; POST /license raises its level");
    router.set_license_level(5).unwrap();
    let all = || (router.summary().sessions == LEVEL_4 + 1).then_some(());
    router.wait_for(DEADLINE, all).await.unwrap();
    let mut client = Client::logged_in(&simulator).await;
    client.check("/system/license/print =.proplist=nlevel", &["!re =nlevel=5", "!done"]).await;
    assert!(router.set_license_level(2).is_err());
}

#[tokio::test]
async fn a_level_3_licence_has_one_hotspot_user() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.set_license_level(3).unwrap();
    for name in ["one", "two"] {
        router.add_row("ip/hotspot/user", &[("name", name), ("password", "w")]).unwrap();
    }
    router.add_device(device(Service::Hotspot, "one")).unwrap();
    online(&router, "one").await;
    router.add_device(device(Service::Hotspot, "two")).unwrap();
    refused(&router, "two", "the licence allows no further session; POST /license raises its level").await;
}

#[tokio::test]
async fn device_mode_keeps_a_hotspot_inactive_and_refuses_a_container() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.set_device_mode("hotspot", false).unwrap();
    router.set_device_mode("l2tp", false).unwrap();
    let mut client = Client::logged_in(&simulator).await;
    client.check("/system/device-mode/print =.proplist=hotspot", &["!re =hotspot=false", "!done"]).await;
    client.check("/ip/hotspot/add =name=h2 =interface=ether4 =disabled=no", &["!done =ret=*2"]).await;
    let inactive = "!re =name=h2 =inactive=true =comment=inactivated, not allowed by device-mode";
    client.check("/ip/hotspot/print =.proplist=name,inactive,comment ?name=h2", &[inactive, "!done"]).await;
    let denied = ["!trap =message=failure: not allowed by device-mode", "!done"];
    client.check("/container/add =file=agent.tar =interface=veth1", &denied).await;
    client.check("/interface/l2tp-server/server/set =enabled=yes", &denied).await;
    router.add_row("ip/hotspot/user", &[("name", "u"), ("password", "w")]).unwrap();
    router.add_device(device(Service::Hotspot, "u")).unwrap();
    refused(&router, "u", "not allowed by device-mode").await;
    for feature in ["hotspot", "container", "l2tp"] {
        router.set_device_mode(feature, true).unwrap();
    }
    online(&router, "u").await;
    router.set_row("ip/hotspot", "hotspot1", &[("disabled", "yes")]).unwrap();
    router.set_row("ip/hotspot", "h2", &[("disabled", "yes")]).unwrap();
    refused(&router, "u", "no enabled server for this service").await;
    client.check("/ip/hotspot/host/print =count-only=", &["!done =ret=0"]).await;
    router.set_row("ip/hotspot", "hotspot1", &[("disabled", "no")]).unwrap();
    online(&router, "u").await;
    client
        .check(
            "/ip/hotspot/print =.proplist=name,inactive,comment ?name=h2",
            &["!re =name=h2 =inactive=false", "!done"],
        )
        .await;
    client.check("/container/add =file=agent.tar =interface=veth1", &["!done =ret=*1"]).await;
    client.check("/interface/l2tp-server/server/set =enabled=yes", &["!done"]).await;
    assert!(router.set_device_mode("teleport", false).is_err());
    assert!(start("6.49.10").await.router().set_device_mode("hotspot", false).is_err());
}

#[tokio::test]
async fn without_ntp_the_clock_stands_in_1970_after_a_boot_until_somebody_sets_it() {
    for (release, first, second) in [
        ("7.18", "1970-01-01", "2031-05-06 =time=07:08:0"),
        ("7.9", "jan/01/1970", "may/06/2031 =time=07:08:0"),
    ] {
        let simulator = start(release).await;
        let router = simulator.router();
        let clock = "/system/clock/print =.proplist=date,time";
        let mut client = Client::logged_in(&simulator).await;
        let right = client.talk(clock).await[0].clone();
        assert!(!right.contains("1970"), "{right}");
        client.check("/system/ntp/client/set =enabled=no", &["!done"]).await;
        assert!(!client.talk(clock).await[0].contains("1970"), "a clock that was right goes on");
        router.reboot(0);
        let mut client = reconnected(&simulator).await;
        client.log_in().await;
        let after = client.talk(clock).await;
        // The zone is three hours east, and the boot a moment ago.
        assert!(
            after[0].ends_with(&format!("=date={first}")) && after[0].contains("=time=03:00:"),
            "{after:?}"
        );
        let log = client.talk("/log/print =.proplist=time,message").await;
        assert!(log[0].contains("=time=03:00:00 "), "{log:?}");

        client.check("/system/clock/set =date=2031-05-06 =time=07:08:00", &["!done"]).await;
        let set = client.talk(clock).await;
        let swapped = set[0].replace("!re ", "");
        let mut words: Vec<&str> = swapped.split(' ').collect();
        words.sort_unstable();
        assert!(words.join(" ").starts_with(&format!("=date={second}")), "{set:?}");
        client
            .check(
                "/system/clock/set =date=yesterday",
                &["!trap =category=1 =message=invalid value for argument date", "!done"],
            )
            .await;
        client.check("/system/ntp/client/set =enabled=yes", &["!done"]).await;
        assert!(!client.talk(clock).await[0].contains("2031"), "the NTP client knows better");
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_reboot_starts_ids_and_counters_over_and_keeps_what_was_on_flash() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    for name in ["a", "b"] {
        router.add_row("ppp/secret", &[("name", name), ("password", "w")]).unwrap();
        router.add_device(device(Service::Pppoe, name)).unwrap();
        online(&router, name).await;
    }
    router.add_row("ip/hotspot/user", &[("name", "u"), ("password", "w")]).unwrap();
    router.add_device(device(Service::Hotspot, "u")).unwrap();
    online(&router, "u").await;
    router.move_traffic("u", 10, 20).unwrap();
    router.remove_row("ip/hotspot/active", "u").unwrap();
    online(&router, "u").await;
    router.move_traffic("u", 1_000, 2_000).unwrap();
    let list = "ip/firewall/address-list";
    router.add_row(list, &[("list", "l"), ("address", "10.0.0.1")]).unwrap();
    router.add_row(list, &[("list", "l"), ("address", "10.0.0.2"), ("timeout", "1h")]).unwrap();
    router.remove_device("a").unwrap();
    let of = |menu: &str, name: &str| -> Vec<String> {
        let rows = router.rows(menu).unwrap();
        let values = rows.iter().flatten().filter(|(property, _)| *property == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    };
    assert_eq!(of("ppp/active", ".id"), ["*2"]);
    router.reboot(0);
    for name in ["b", "u"] {
        online(&router, name).await;
    }
    assert_eq!(of("ppp/active", ".id"), ["*1"], "an id that was another session's");
    assert_eq!(of("ip/hotspot/active", "bytes-in"), ["0"]);
    assert_eq!(of("ip/hotspot/user", "bytes-in")[1..], ["10"], "what was not flushed is lost");
    assert_eq!(of(list, "address"), ["10.0.0.1"]);
    router.add_row(list, &[("list", "l"), ("address", "10.0.0.3")]).unwrap();
    assert_eq!(of(list, ".id"), ["*1", "*2"]);
    assert_eq!(of("log", ".id")[0], "*1");
    assert_eq!(of("log", "message")[0], "router was rebooted without proper shutdown");
}

#[tokio::test]
async fn a_reset_router_has_lost_everything_and_another_board_has_another_serial_number() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.add_row("ppp/secret", &[("name", "a"), ("password", "w")]).unwrap();
    router.add_row("user", &[("name", "agent"), ("group", "full"), ("password", "x")]).unwrap();
    router.add_device(device(Service::Pppoe, "a")).unwrap();
    online(&router, "a").await;
    let board = router.summary().serial_number;

    router.set_license_level(5).unwrap();
    router.reset_configuration(true, 0).unwrap();
    refused(&router, "a", "no enabled server for this service").await;
    let mut client = reconnected(&simulator).await;
    client.check("/login =name=agent =password=x", &["!done"]).await;
    client.check("/ppp/secret/print =count-only=", &["!done =ret=0"]).await;
    client.check("/ip/pool/print =count-only=", &["!done =ret=0"]).await;
    client
        .check(
            "/ppp/profile/print =.proplist=name,default",
            &["!re =name=default =default=true", "!re =name=default-encryption =default=true", "!done"],
        )
        .await;
    assert_eq!(router.summary().serial_number, board);
    assert_eq!(router.summary().license_level, "5", "the licence is the board's");

    client.send("/system/reset-configuration =keep-users=no").await;
    assert_eq!(client.next().await, None);
    let mut client = reconnected(&simulator).await;
    let nobody = ["!trap =message=invalid user name or password (6)", "!done"];
    client.check("/login =name=agent =password=x", &nobody).await;
    client.check("/login =name=admin =password=", &["!done"]).await;

    router.replace_board(0).unwrap();
    assert_ne!(router.summary().serial_number, board);
    assert_eq!(client.next().await, None);
    let mut client = reconnected(&simulator).await;
    client.check("/login =name=admin =password=", &["!done"]).await;
    client.check("/system/identity/print", &["!re =name=MikroTik", "!done"]).await;
}

#[tokio::test]
async fn the_log_keeps_as_many_lines_as_its_action_says_in_each_buffer_that_a_rule_leads_to() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let mut client = Client::logged_in(&simulator).await;
    client
        .check("/system/logging/action/add =name=acct =target=memory =memory-lines=5", &["!done =ret=*5"])
        .await;
    client.check("/system/logging/add =topics=ppp,account =action=acct =prefix=t", &["!done =ret=*5"]).await;
    client.check("/system/logging/action/set =numbers=memory =memory-lines=7", &["!done"]).await;
    router.add_row("ppp/secret", &[("name", "a"), ("password", "w")]).unwrap();
    router.add_device(device(Service::Pppoe, "a")).unwrap();
    for _ in 0..6 {
        online(&router, "a").await;
        router.remove_row("ppp/active", "a").unwrap();
    }
    online(&router, "a").await;
    client.check("/log/print =count-only= ?buffer=acct", &["!done =ret=5"]).await;
    client.check("/log/print =count-only= ?buffer=memory", &["!done =ret=7"]).await;
    let lines = client.talk("/log/print =.proplist=topics,message ?buffer=acct").await;
    assert_eq!(lines[4], "!re =topics=pppoe,ppp,info,account =message=t: a logged in, 10.64.0.8");
    assert!(lines[3].contains("=message=t: a logged out, 0 0 0 0 0 from 02:00:"), "{}", lines[3]);
    client.check("/system/logging/disable =numbers=*5", &["!done"]).await;
    router.remove_row("ppp/active", "a").unwrap();
    assert_eq!(client.talk("/log/print =.proplist=topics,message ?buffer=acct").await, lines);
    client
        .check(
            "/system/logging/action/remove =numbers=memory",
            &["!trap =message=failure: can not remove default item", "!done"],
        )
        .await;
}

#[tokio::test]
async fn what_a_router_shows_when_it_is_ill() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let mut client = Client::logged_in(&simulator).await;
    let change = |change: FaultsChange| router.set_faults(change).unwrap();
    let load = "/system/resource/print =.proplist=cpu-load";
    client.check(load, &["!re =cpu-load=3", "!done"]).await;
    change(FaultsChange { cpu_load: Some(97), ..FaultsChange::default() });
    client.check(load, &["!re =cpu-load=97", "!done"]).await;
    change(FaultsChange { cpu_load: Some(0), serial_ms: Some(50), ..FaultsChange::default() });
    for _ in 0..6 {
        client.talk("/system/identity/print").await;
    }
    let shown = client.talk(load).await;
    let percent: u64 = shown[0].strip_prefix("!re =cpu-load=").unwrap().parse().unwrap();
    assert!((10..=100).contains(&percent), "{percent}");

    router.clear_faults();
    change(FaultsChange { trap_prints: Some(1), ..FaultsChange::default() });
    let trapped = client.talk("/ppp/secret/print").await;
    assert!(trapped[0].starts_with("!trap =message=action timed out"), "{}", trapped[0]);
    client.check("/ppp/secret/print", &["!empty", "!done"]).await;
    change(FaultsChange { trap_prints_menu: Some("ppp/active".to_owned()), ..FaultsChange::default() });
    client.check("/ppp/secret/print", &["!empty", "!done"]).await;
    assert!(client.talk("/ppp/active/print").await[0].starts_with("!trap "));

    client.send("/ppp/secret/listen .tag=l").await;
    client.check("/system/identity/print .tag=x", &["!re =name=MikroTik .tag=x", "!done .tag=x"]).await;
    change(FaultsChange { silent_listens: Some(true), ..FaultsChange::default() });
    router.add_row("ppp/secret", &[("name", "unseen")]).unwrap();
    change(FaultsChange { silent_listens: Some(false), ..FaultsChange::default() });
    router.add_row("ppp/secret", &[("name", "seen")]).unwrap();
    let row = client.next().await.unwrap();
    assert!(row.starts_with("!re =.id=*2 =name=seen "), "{row}");
}

#[tokio::test]
async fn a_policy_that_is_taken_away_is_gone_from_open_connections_too() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.add_row("user/group", &[("name", "agents"), ("policy", "read,write,api")]).unwrap();
    router.add_row("user", &[("name", "agent"), ("group", "agents"), ("password", "x")]).unwrap();
    let mut client = Client::connect(simulator.api_address()).await;
    client.check("/login =name=agent =password=x", &["!done"]).await;
    client.check("/ppp/secret/add =name=a", &["!done =ret=*1"]).await;
    router.set_row("user/group", "agents", &[("policy", "!write")]).unwrap();
    let denied = ["!trap =message=not enough permissions (9)", "!done"];
    client.check("/ppp/secret/add =name=b", &denied).await;
    client.check("/ppp/secret/print =count-only=", &["!done =ret=1"]).await;
    router.set_row("user", "agent", &[("disabled", "yes")]).unwrap();
    client.check("/ppp/secret/print =count-only=", &denied).await;
}

#[tokio::test]
async fn a_row_that_is_gone_is_dead_in_the_word_of_the_release() {
    for (release, word) in [("6.49.10", "yes"), ("7.12", "true"), ("7.24", "true")] {
        let simulator = start(release).await;
        let mut client = Client::logged_in(&simulator).await;
        client.send("/ppp/secret/listen =.proplist=name .tag=l").await;
        client.check("/system/identity/print .tag=x", &["!re =name=MikroTik .tag=x", "!done .tag=x"]).await;
        let router = simulator.router();
        let id = router.add_row("ppp/secret", &[("name", "a")]).unwrap();
        router.remove_row("ppp/secret", &id).unwrap();
        assert_eq!(client.next().await.unwrap(), "!re =name=a .tag=l");
        assert_eq!(client.next().await.unwrap(), format!("!re =.id=*1 =.dead={word} .tag=l"));
        simulator.stop().await;
    }
}

#[tokio::test]
async fn without_its_package_a_menu_of_6_is_no_menu_and_nobody_dials_it() {
    let simulator = start("6.49").await;
    let router = simulator.router();
    router.add_row("ppp/secret", &[("name", "plot1"), ("password", "w")]).unwrap();
    router.add_device(device(Service::Pppoe, "plot1")).unwrap();
    online(&router, "plot1").await;
    router.set_packages(&[("ppp", PackageState::Disabled), ("hotspot", PackageState::Missing)]).unwrap();
    refused(
        &router,
        "plot1",
        "the package of this service is missing or disabled; POST /packages changes it",
    )
    .await;
    let mut client = reconnected(&simulator).await;
    client.log_in().await;
    for menu in ["/ppp/secret", "/interface/pppoe-server/server", "/ip/hotspot/walled-garden/ip"] {
        client.check(&format!("{menu}/print"), &["!trap =message=no such command prefix", "!done"]).await;
    }
    let packages = "/system/package/print =.proplist=name,disabled ?name=ppp ?name=hotspot ?#|";
    client.check(packages, &["!re =name=ppp =disabled=true", "!done"]).await;
    router.set_packages(&[("ppp", PackageState::Enabled)]).unwrap();
    online(&router, "plot1").await;
    let mut client = reconnected(&simulator).await;
    client.log_in().await;
    client.check("/ppp/secret/print =.proplist=name", &["!re =name=plot1", "!done"]).await;
}

#[tokio::test]
async fn the_ntp_package_of_6_puts_a_client_without_names_in_the_place_of_the_other() {
    let simulator = start("6.49").await;
    let router = simulator.router();
    let names = ("system/ntp/client", "set", Some("server-dns-names"));
    assert!(router.can_be_typed(names.0, names.1, names.2));
    let mut client = Client::logged_in(&simulator).await;
    client.check("/system/ntp/client/set =server-dns-names=ntp.example", &["!done"]).await;
    router.set_packages(&[("ntp", PackageState::Enabled)]).unwrap();
    let mut client = reconnected(&simulator).await;
    client.log_in().await;
    assert!(!router.can_be_typed(names.0, names.1, names.2));
    assert!(router.can_be_typed("system/ntp/client", "set", Some("primary-ntp")));
    let unknown = ["!trap =message=unknown parameter server-dns-names", "!done"];
    client.check("/system/ntp/client/set =server-dns-names=ntp.example", &unknown).await;
    let print = "/system/ntp/client/print =.proplist=enabled,primary-ntp,server-dns-names";
    client.check(print, &["!re =enabled=true =primary-ntp=0.0.0.0", "!done"]).await;
}

#[tokio::test]
async fn what_belongs_to_the_board_outlives_a_reset() {
    let simulator = start("6.49").await;
    let router = simulator.router();
    router.set_packages(&[("hotspot", PackageState::Disabled)]).unwrap();
    let flash = FlashChange {
        free_hdd_space: Some(300_000),
        write_sect_total: Some(90_000),
        write_sect_since_reboot: Some(900),
        bad_blocks: Some(1.5),
    };
    router.set_flash(flash).unwrap();
    let of = |names: [&str; 4]| {
        let row = router.rows("system/resource").unwrap().remove(0);
        names.map(|name| {
            let value = row.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
            String::from_utf8(value.unwrap()).unwrap()
        })
    };
    let shown = ["free-hdd-space", "write-sect-total", "write-sect-since-reboot", "bad-blocks"];
    assert_eq!(of(shown), ["300000", "90000", "900", "1.5"]);
    router.reset_configuration(true, 0).unwrap();
    assert_eq!(of(shown), ["300000", "90000", "0", "1.5"]);
    assert!(!router.can_be_typed("ip/hotspot", "add", None));
    assert!(router.set_flash(FlashChange { bad_blocks: Some(101.0), ..FlashChange::default() }).is_err());
    let nobody = router.set_packages(&[("system", PackageState::Missing)]).unwrap_err().to_string();
    assert!(nobody.contains("ppp, hotspot, dhcp, security, ntp"), "{nobody}");
}
