//! Every PPP service alike: who may dial in, the rows that show it, what it carries and how it ends.

use crate::client::{Client, DEADLINE, settings, start};
use routeros_sim::{DeviceState, NewDevice, Router, Service, Simulator};

pub(crate) const PPP: [Service; 4] = [Service::Pppoe, Service::L2tp, Service::Pptp, Service::Ovpn];

async fn online(router: &Router, name: &str) {
    router.wait_for_device(name, DeviceState::Online, DEADLINE).await.unwrap();
}

async fn refusal(router: &Router, name: &str) -> String {
    let refused =
        || router.device(name).ok().filter(|device| device.state == DeviceState::Dialing)?.last_error;
    router.wait_for(DEADLINE, refused).await.unwrap()
}

fn device(service: Service, name: &str, username: &str) -> NewDevice {
    NewDevice::new(name, service, username, "w").redialing_after_ms(20)
}

/// Lets every service in: PPPoE is served from the start, the others are not.
fn serve_all(router: &Router) {
    router.set_row("interface/l2tp-server/server", "", &[("enabled", "yes")]).unwrap();
    router.set_row("interface/pptp-server/server", "", &[("enabled", "yes")]).unwrap();
    let ovpn = "interface/ovpn-server/server";
    if router.add_row(ovpn, &[("name", "o1"), ("disabled", "no")]).is_err() {
        // Until 7.16 there is one server, which is not added.
        router.set_row(ovpn, "", &[("enabled", "yes")]).unwrap();
    }
}

#[tokio::test]
async fn a_session_of_every_service_shows_carries_and_is_logged_alike() {
    for (release, service) in
        ["6.49.10", "7.12", "7.22"].iter().flat_map(|release| PPP.map(|service| (*release, service)))
    {
        let simulator = start(release).await;
        let router = simulator.router();
        serve_all(&router);
        let word = service.word();
        let secret = [("name", "plot1"), ("password", "w"), ("service", word)];
        router.add_row("ppp/secret", &secret).unwrap();
        let caller = if service == Service::Pppoe { "02:AA:00:00:00:01" } else { "198.51.100.7" };
        let new = device(service, "cpe", "plot1").with_mac("02:aa:00:00:00:01").calling_from("198.51.100.7");
        router.add_device(new).unwrap();
        online(&router, "cpe").await;
        let mut client = Client::logged_in(&simulator).await;
        let active = format!("!re =name=plot1 =service={word} =caller-id={caller} =address=10.64.0.2");
        client
            .check("/ppp/active/print =.proplist=name,service,caller-id,address", &[&active, "!done"])
            .await;
        let from = if service == Service::Pppoe { "remote-address" } else { "client-address" };
        let session = format!("!re =name=<{word}-plot1> =user=plot1 ={from}={caller}");
        let line = format!("/interface/{word}-server/print =.proplist=name,user,{from}");
        client.check(&line, &[&session, "!done"]).await;
        let used = format!("!re =pool=pppoe-pool =address=10.64.0.2 =owner={word} =info=plot1");
        client.check("/ip/pool/used/print =.proplist=pool,address,owner,info", &[&used, "!done"]).await;

        router.move_traffic("cpe", 1_400, 5_000_000_000).unwrap();
        let counters = format!("!re =name=<{word}-plot1> =type={word}-in =rx-byte=1400 =tx-byte=5000000000");
        let line = "/interface/print =.proplist=name,type,rx-byte,tx-byte ?dynamic=true";
        client.check(line, &[&counters, "!done"]).await;

        router.remove_device("cpe").unwrap();
        client.check("/ppp/active/print =count-only=", &["!done =ret=0"]).await;
        client.check("/ip/pool/used/print =count-only=", &["!done =ret=0"]).await;
        let line = format!("/log/print =.proplist=message ?topics={word},ppp,info,account");
        let log = client.talk(&line).await;
        assert_eq!(log[0], "!re =message=plot1 logged in, 10.64.0.2");
        let tail = if release.starts_with('6') { String::new() } else { format!(" from {caller}") };
        let totals = format!(" 1400 5000000000 1 3571429{tail}");
        assert!(log[1].starts_with("!re =message=plot1 logged out, "), "{}", log[1]);
        assert!(log[1].ends_with(&totals), "{}", log[1]);
        simulator.stop().await;
    }
}

#[tokio::test]
async fn every_service_refuses_without_a_server_and_to_a_caller_who_is_not_the_one_bound() {
    for service in PPP {
        let simulator = start("7.18").await;
        let router = simulator.router();
        router.set_row("interface/pppoe-server/server", "service1", &[("disabled", "yes")]).unwrap();
        router.add_row("ppp/secret", &[("name", "plot1"), ("password", "w")]).unwrap();
        router.add_device(device(service, "cpe", "plot1")).unwrap();
        assert_eq!(refusal(&router, "cpe").await, "no enabled server for this service");
        router.set_row("interface/pppoe-server/server", "service1", &[("disabled", "no")]).unwrap();
        serve_all(&router);
        online(&router, "cpe").await;

        let bound_to = if service == Service::Pppoe { "02:BB:00:00:00:01" } else { "198.51.100.9" };
        router.set_row("ppp/secret", "plot1", &[("caller-id", bound_to)]).unwrap();
        router.remove_row("ppp/active", "plot1").unwrap();
        assert_eq!(refusal(&router, "cpe").await, "authentication failed: bound to another caller");
        router.remove_device("cpe").unwrap();
        let right = device(service, "right", "plot1").with_mac("02:BB:00:00:00:01");
        router.add_device(right.calling_from("198.51.100.9")).unwrap();
        online(&router, "right").await;
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_used_up_byte_limit_cuts_the_session_of_any_service_and_the_next_one_starts_from_zero() {
    for service in PPP {
        let simulator = start("7.20").await;
        let router = simulator.router();
        serve_all(&router);
        let secret = [("name", "plot1"), ("password", "w"), ("limit-bytes-out", "1000")];
        router.add_row("ppp/secret", &secret).unwrap();
        router.add_device(device(service, "cpe", "plot1")).unwrap();
        online(&router, "cpe").await;
        router.move_traffic("cpe", 5_000, 999).unwrap();
        let cut = router.move_traffic("cpe", 0, 1).unwrap();
        assert_eq!(cut.state, DeviceState::Dialing, "{}", service.word());
        online(&router, "cpe").await;
        assert_eq!(router.device("cpe").unwrap().sessions, 2);
        let view = router.move_traffic("cpe", 0, 999).unwrap();
        assert_eq!(view.state, DeviceState::Online);
        simulator.stop().await;
    }
}

#[tokio::test]
async fn rate_and_address_list_are_facts_of_the_session_that_a_changed_profile_does_not_touch() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    serve_all(&router);
    let profile = [
        ("name", "gold"),
        ("rate-limit", "5M/20M"),
        ("address-list", "walled"),
        ("local-address", "10.9.0.1"),
    ];
    router.add_row("ppp/profile", &profile).unwrap();
    let secret = [("name", "plot1"), ("password", "w"), ("profile", "gold"), ("remote-address", "10.9.0.7")];
    router.add_row("ppp/secret", &secret).unwrap();
    router.add_device(device(Service::L2tp, "cpe", "plot1")).unwrap();
    online(&router, "cpe").await;
    router.set_row("ppp/profile", "gold", &[("rate-limit", "1M/1M"), ("address-list", "")]).unwrap();

    let mut client = Client::logged_in(&simulator).await;
    let queues = "/queue/simple/print =.proplist=name,max-limit,dynamic";
    client
        .check(queues, &["!re =name=<l2tp-plot1> =max-limit=5000000/20000000 =dynamic=true", "!done"])
        .await;
    let entries = "/ip/firewall/address-list/print =.proplist=list,address,dynamic";
    client.check(entries, &["!re =list=walled =address=10.9.0.7 =dynamic=true", "!done"]).await;
    client.check("/ip/pool/used/print =count-only=", &["!done =ret=0"]).await;

    client.check("/ppp/active/remove =numbers=plot1", &["!done"]).await;
    let again = || router.device("cpe").ok().filter(|device| device.sessions == 2);
    router.wait_for(DEADLINE, again).await.unwrap();
    client.check(queues, &["!re =name=<l2tp-plot1> =max-limit=1000000/1000000 =dynamic=true", "!done"]).await;
    client.check(entries, &["!empty", "!done"]).await;
}

#[tokio::test]
async fn servers_hold_to_their_number_of_sessions_and_to_one_a_host() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    serve_all(&router);
    router.set_row("interface/l2tp-server/server", "", &[("max-sessions", "1")]).unwrap();
    router.set_row("interface/pppoe-server/server", "service1", &[("one-session-per-host", "yes")]).unwrap();
    for name in ["plot1", "plot2"] {
        router.add_row("ppp/secret", &[("name", name), ("password", "w")]).unwrap();
    }
    router.add_device(device(Service::L2tp, "one", "plot1")).unwrap();
    online(&router, "one").await;
    router.add_device(device(Service::L2tp, "two", "plot2")).unwrap();
    assert_eq!(refusal(&router, "two").await, "the server's max-sessions is reached");
    router.add_device(device(Service::Pppoe, "three", "plot1").with_mac("02:AA:00:00:00:01")).unwrap();
    online(&router, "three").await;
    router.add_device(device(Service::Pppoe, "four", "plot2").with_mac("02:AA:00:00:00:01")).unwrap();
    assert_eq!(refusal(&router, "four").await, "the server allows one session per host");
}

#[tokio::test]
async fn the_ovpn_server_is_one_until_7_16_and_a_list_from_7_17_on() {
    for (release, set, add) in [
        ("7.16", &["!done"][..], &["!trap =message=no such command", "!done"][..]),
        ("7.17", &["!trap =message=missing value(s) of argument(s) numbers", "!done"], &["!done =ret=*1"]),
    ] {
        let simulator = Simulator::start(settings(release)).await.unwrap();
        let mut client = Client::logged_in(&simulator).await;
        client.check("/interface/ovpn-server/server/set =port=1195", set).await;
        client.check("/interface/ovpn-server/server/add =name=o1 =port=1195", add).await;
        let shown = client.talk("/interface/ovpn-server/server/print =.proplist=.id,port").await;
        let row = if release == "7.16" { "!re =port=1195" } else { "!re =.id=*1 =port=1195" };
        assert_eq!(shown, [row, "!done"]);
        simulator.stop().await;
    }
}

#[tokio::test]
async fn a_static_binding_names_the_interface_and_its_counters_run_on_from_session_to_session() {
    for service in PPP {
        let simulator = start("7.18").await;
        let router = simulator.router();
        serve_all(&router);
        let menu = format!("interface/{}-server", service.word());
        router.add_row("ppp/secret", &[("name", "plot1"), ("password", "w")]).unwrap();
        router.add_row(&menu, &[("name", "head-office"), ("user", "plot1")]).unwrap();
        let mut client = Client::logged_in(&simulator).await;
        let interface = "/interface/print =.proplist=name,rx-byte,dynamic,running ?name=head-office";
        let row = |bytes: u64, is_up: bool| {
            format!("!re =name=head-office =rx-byte={bytes} =dynamic=false =running={is_up}")
        };
        client.check(interface, &[&row(0, false), "!done"]).await;
        router.add_device(device(service, "cpe", "plot1")).unwrap();
        online(&router, "cpe").await;
        router.move_traffic("cpe", 700, 0).unwrap();
        client.check(interface, &[&row(700, true), "!done"]).await;
        let session = format!("/{menu}/print =.proplist=name,user,running");
        client.check(&session, &["!re =name=head-office =user=plot1 =running=true", "!done"]).await;

        client.check("/ppp/active/remove =numbers=plot1", &["!done"]).await;
        let again = || router.device("cpe").ok().filter(|device| device.sessions == 2);
        router.wait_for(DEADLINE, again).await.unwrap();
        router.move_traffic("cpe", 300, 0).unwrap();
        client.check(interface, &[&row(1_000, true), "!done"]).await;

        // Somebody else of the same name gets a dynamic interface; its row can be removed, which ends it.
        router.add_device(device(service, "second", "plot1")).unwrap();
        online(&router, "second").await;
        let dynamic = format!("<{}-plot1>", service.word());
        client.check(&format!("/{menu}/remove =numbers={dynamic}"), &["!done"]).await;
        let again = || router.device("second").ok().filter(|device| device.sessions == 2);
        router.wait_for(DEADLINE, again).await.unwrap();

        client.check(&format!("/{menu}/remove =numbers=head-office"), &["!done"]).await;
        client.check(interface, &["!empty", "!done"]).await;
        let again = || router.device("cpe").ok().filter(|device| device.sessions == 3);
        router.wait_for(DEADLINE, again).await.unwrap();
        simulator.stop().await;
    }
}
