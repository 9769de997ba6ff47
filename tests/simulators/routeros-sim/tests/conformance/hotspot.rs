//! The hotspot as phones and its admin see it, and IPoE devices, which see no portal at all.

use crate::client::{Client, DEADLINE, start};
use routeros_sim::{DeviceState, NewDevice, Router, Service};

const MAC: &str = "02:AA:00:00:00:07";

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

fn phone(name: &str, username: &str) -> NewDevice {
    NewDevice::new(name, Service::Hotspot, username, "w").redialing_after_ms(20).with_mac(MAC)
}

#[tokio::test]
async fn the_first_binding_that_names_a_phone_decides_and_a_new_one_once_its_host_is_gone() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let mut client = Client::logged_in(&simulator).await;
    let add = "/ip/hotspot/ip-binding/add =mac-address=02:aa:00:00:00:07";
    client.check(&format!("{add} =type=bypassed =comment=second"), &["!done =ret=*1"]).await;
    router.add_device(phone("phone", "nobody")).unwrap();
    online(&router, "phone").await;
    client.check("/ip/hotspot/active/print =count-only=", &["!done =ret=0"]).await;
    let host = "/ip/hotspot/host/print =.proplist=mac-address,bytes-out,bypassed,blocked";
    let row = |rest: &str| format!("!re =mac-address={MAC} {rest}");
    router.move_traffic("phone", 10, 3_000).unwrap();
    client.check(host, &[&row("=bytes-out=3000 =bypassed=true =blocked=false"), "!done"]).await;

    client.check(&format!("{add} =type=blocked =place-before=*1"), &["!done =ret=*2"]).await;
    assert_eq!(router.device("phone").unwrap().state, DeviceState::Online);
    client.check(&format!("/ip/hotspot/host/remove =numbers={MAC}"), &["!done"]).await;
    refused(&router, "phone", "this device is blocked").await;
    client.check(host, &[&row("=bytes-out=0 =bypassed=false =blocked=true"), "!done"]).await;

    client.check("/ip/hotspot/ip-binding/move =numbers=*2", &["!done"]).await;
    client.check(&format!("/ip/hotspot/host/remove =numbers={MAC}"), &["!done"]).await;
    online(&router, "phone").await;
    client.check("/ip/hotspot/ip-binding/disable =numbers=*1,*2", &["!done"]).await;
    client.check(&format!("/ip/hotspot/host/remove =numbers={MAC}"), &["!done"]).await;
    refused(&router, "phone", "authentication failed: no such user").await;
}

#[tokio::test]
async fn a_user_is_bound_to_a_mac_address_a_server_and_an_address() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let user =
        [("name", "u"), ("password", "w"), ("mac-address", "02:BB:00:00:00:01"), ("address", "10.7.7.7")];
    router.add_row("ip/hotspot/user", &user).unwrap();
    router.add_device(phone("phone", "u")).unwrap();
    refused(&router, "phone", "authentication failed: bound to another caller").await;
    router.set_row("ip/hotspot/user", "u", &[("mac-address", "00:00:00:00:00:00")]).unwrap();
    online(&router, "phone").await;
    let mut client = Client::logged_in(&simulator).await;
    client
        .check(
            "/ip/hotspot/active/print =.proplist=user,address,mac-address",
            &[&format!("!re =user=u =address=10.7.7.7 =mac-address={MAC}"), "!done"],
        )
        .await;
    let host = "/ip/hotspot/host/print =.proplist=address,to-address,authorized";
    client.check(host, &["!re =address=10.80.0.2 =to-address=10.7.7.7 =authorized=true", "!done"]).await;
    router.add_row("ip/hotspot", &[("name", "other"), ("interface", "ether4"), ("disabled", "yes")]).unwrap();
    router.set_row("ip/hotspot/user", "u", &[("server", "other")]).unwrap();
    router.remove_row("ip/hotspot/active", "u").unwrap();
    refused(&router, "phone", "authentication failed: no such user").await;
}

#[tokio::test]
async fn a_phone_that_the_router_knows_by_its_mac_address_needs_no_name() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.set_row("ip/hotspot/profile", "default", &[("login-by", "mac,http-pap")]).unwrap();
    router.add_row("ip/hotspot/user", &[("name", MAC)]).unwrap();
    router.add_device(phone("phone", "")).unwrap();
    online(&router, "phone").await;
    let mut client = Client::logged_in(&simulator).await;
    let active = format!("!re =user={MAC} =login-by=mac");
    client.check("/ip/hotspot/active/print =.proplist=user,login-by", &[&active, "!done"]).await;
    client.check("/ip/hotspot/cookie/print =count-only=", &["!done =ret=0"]).await;
}

#[tokio::test]
async fn a_mac_cookie_lasts_as_the_users_profile_says_and_lets_the_phone_in_silently() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.set_row("ip/hotspot/profile", "default", &[("login-by", "http-chap,mac-cookie")]).unwrap();
    router.set_row("ip/hotspot/user/profile", "default", &[("mac-cookie-timeout", "1w")]).unwrap();
    router.add_row("ip/hotspot/user", &[("name", "u"), ("password", "w")]).unwrap();
    router.add_device(phone("phone", "u").forgetting_its_password()).unwrap();
    online(&router, "phone").await;
    let mut client = Client::logged_in(&simulator).await;
    let cookies = client.talk("/ip/hotspot/cookie/print =.proplist=user,mac-cookie,expires-in").await;
    let lasts_a_week = |row: &str| row.contains("=expires-in=1w ") || row.contains("=expires-in=6d23h59m");
    assert!(lasts_a_week(&cookies[0]), "{}", cookies[0]);
    assert!(cookies[0].ends_with(" =mac-cookie=true"), "{}", cookies[0]);
    client.check("/ip/hotspot/active/remove =numbers=u", &["!done"]).await;
    let again = || router.device("phone").ok().filter(|device| device.sessions == 2);
    router.wait_for(DEADLINE, again).await.unwrap();
    let by = "/ip/hotspot/active/print =.proplist=login-by";
    client.check(by, &["!re =login-by=mac-cookie", "!done"]).await;
}

#[tokio::test]
async fn an_ipoe_device_moves_bytes_through_the_first_static_queue_that_names_it() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let mut client = Client::logged_in(&simulator).await;
    let add = "/queue/simple/add =name=";
    client.check(&format!("{add}all =target=10.9.0.0/24"), &["!done =ret=*1"]).await;
    client
        .check(
            &format!("{add}plot1 =target=10.9.0.5/32 =max-limit=5M/20M =place-before=*1"),
            &["!done =ret=*2"],
        )
        .await;
    router.add_device(NewDevice::ipoe("house", "10.9.0.5").with_mac(MAC)).unwrap();
    online(&router, "house").await;
    router.move_traffic("house", 1_000, 60_000_000_000).unwrap();
    let queues = "/queue/simple/print =.proplist=name,bytes";
    client
        .check(queues, &["!re =name=plot1 =bytes=1000/60000000000", "!re =name=all =bytes=0/0", "!done"])
        .await;
    let arp = format!("!re =address=10.9.0.5 =mac-address={MAC} =interface=bridge1 =dynamic=true");
    client.check("/ip/arp/print =.proplist=address,mac-address,interface,dynamic", &[&arp, "!done"]).await;

    client.check("/queue/simple/disable =numbers=plot1", &["!done"]).await;
    router.move_traffic("house", 1, 2).unwrap();
    client
        .check(queues, &["!re =name=plot1 =bytes=1000/60000000000", "!re =name=all =bytes=1/2", "!done"])
        .await;
    client.check("/queue/simple/reset-counters =numbers=plot1", &["!done"]).await;
    router.reboot(0);
    online(&router, "house").await;
    let rows = router.rows("queue/simple").unwrap();
    assert!(rows.iter().flatten().all(|(name, value)| *name != "bytes" || value == b"0/0"), "{rows:?}");
    let shown = router.remove_device("house");
    assert!(shown.is_ok() && router.rows("ip/arp").unwrap().is_empty());
}

#[tokio::test]
async fn a_blocked_lease_keeps_an_ipoe_device_out() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let lease = [("address", "10.9.0.5"), ("mac-address", MAC), ("block-access", "yes")];
    let id = router.add_row("ip/dhcp-server/lease", &lease).unwrap();
    router.add_device(NewDevice::ipoe("house", "10.9.0.5").with_mac(MAC).redialing_after_ms(20)).unwrap();
    refused(&router, "house", "this device is blocked").await;
    router.set_row("ip/dhcp-server/lease", &id, &[("block-access", "no")]).unwrap();
    online(&router, "house").await;
}

#[tokio::test]
async fn limits_of_bytes_and_time_cut_the_session_and_refuse_the_next_login_until_they_are_raised() {
    const LIMIT: &str = "user has reached its uptime or traffic limit";
    for (limit, upload, download) in
        [("limit-bytes-in", 1_000, 0), ("limit-bytes-out", 0, 1_000), ("limit-bytes-total", 400, 600)]
    {
        let simulator = start("7.18").await;
        let router = simulator.router();
        let user = [("name", "u"), ("password", "w"), (limit, "1000")];
        router.add_row("ip/hotspot/user", &user).unwrap();
        router.add_device(phone("phone", "u")).unwrap();
        online(&router, "phone").await;
        let mut client = Client::logged_in(&simulator).await;
        let shown = format!("!re ={limit}=1000");
        client.check(&format!("/ip/hotspot/active/print =.proplist={limit}"), &[&shown, "!done"]).await;
        let view = router.move_traffic("phone", upload, download).unwrap();
        assert_eq!(view.state, DeviceState::Dialing, "{limit}");
        refused(&router, "phone", LIMIT).await;
        client.check(&format!("/ip/hotspot/user/set =numbers=u ={limit}=5000000000"), &["!done"]).await;
        online(&router, "phone").await;
        let left = format!("!re ={limit}=4999999000");
        client.check(&format!("/ip/hotspot/active/print =.proplist={limit}"), &[&left, "!done"]).await;
        simulator.stop().await;
    }
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.add_row("ip/hotspot/user", &[("name", "u"), ("password", "w"), ("limit-uptime", "1s")]).unwrap();
    router.add_device(phone("phone", "u")).unwrap();
    online(&router, "phone").await;
    refused(&router, "phone", LIMIT).await;
    let mut client = Client::logged_in(&simulator).await;
    client.check("/ip/hotspot/user/print =.proplist=uptime ?name=u", &["!re =uptime=1s", "!done"]).await;
    router.set_row("ip/hotspot/user", "u", &[("limit-uptime", "1h")]).unwrap();
    online(&router, "phone").await;
    let left = client.talk("/ip/hotspot/active/print =.proplist=session-time-left").await;
    assert!(left[0].starts_with("!re =session-time-left=59m5"), "{}", left[0]);
}

#[tokio::test]
async fn an_entry_with_a_timeout_vanishes_by_itself_and_a_second_one_is_refused() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    client.send("/ip/firewall/address-list/listen =.proplist=list,address,dynamic .tag=l").await;
    client.check("/system/identity/print .tag=x", &["!re =name=MikroTik .tag=x", "!done .tag=x"]).await;
    let router = simulator.router();
    let entry = [("list", "walled"), ("address", "10.9.0.5"), ("timeout", "1s")];
    router.add_row("ip/firewall/address-list", &entry).unwrap();
    let again = router.add_row("ip/firewall/address-list", &[("list", "walled"), ("address", "10.9.0.5")]);
    assert_eq!(again.unwrap_err().to_string(), "the router refused: failure: already have such entry");
    let row = client.next().await.unwrap();
    assert_eq!(row, "!re =list=walled =address=10.9.0.5 =dynamic=true .tag=l");
    assert_eq!(client.next().await.unwrap(), "!re =.id=*1 =.dead=true .tag=l");
}
