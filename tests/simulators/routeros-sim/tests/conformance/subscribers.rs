//! Devices that dial in, as an API client sees them come and go.

use crate::client::{Client, DEADLINE, start};
use routeros_sim::{DeviceState, NewDevice, Router, Service};

async fn online(router: &Router, name: &str) {
    router.wait_for_device(name, DeviceState::Online, DEADLINE).await.unwrap();
}

async fn offline(router: &Router, name: &str) -> String {
    let refused =
        || router.device(name).ok().filter(|device| device.state == DeviceState::Dialing)?.last_error;
    router.wait_for(DEADLINE, refused).await.unwrap()
}

fn cpe(name: &str, username: &str, password: &str) -> NewDevice {
    NewDevice::new(name, Service::Pppoe, username, password).redialing_after_ms(20)
}

fn phone(name: &str, username: &str, password: &str) -> NewDevice {
    NewDevice::new(name, Service::Hotspot, username, password).redialing_after_ms(20)
}

#[tokio::test]
async fn a_cpe_keeps_dialing_until_its_secret_exists_and_appears_in_a_listen() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let mut client = Client::logged_in(&simulator).await;
    client.send("/ppp/active/listen =.proplist=.id,name,address .tag=l").await;
    router.add_device(cpe("cpe-1", "plot1", "w")).unwrap();
    assert_eq!(offline(&router, "cpe-1").await, "authentication failed: no such user");
    client.check("/ppp/secret/add =name=plot1 =password=w =service=pppoe", &["!done =ret=*1"]).await;
    assert_eq!(client.next().await.unwrap(), "!re =.id=*1 =name=plot1 =address=10.64.0.2 .tag=l");
    online(&router, "cpe-1").await;

    router.move_traffic("cpe-1", 1_300, 56_480_627).unwrap();
    let line = "/interface/print =.proplist=name,rx-byte,tx-byte ?dynamic=true ?type=pppoe-in .tag=i";
    let row = "!re =name=<pppoe-plot1> =rx-byte=1300 =tx-byte=56480627 .tag=i";
    client.check(line, &[row, "!done .tag=i"]).await;

    router.remove_device("cpe-1").unwrap();
    assert_eq!(client.next().await.unwrap(), "!re =.id=*1 =.dead=true .tag=l");
    let log = client.talk("/log/print =.proplist=message ?topics=pppoe,ppp,info,account .tag=p").await;
    assert!(
        log[1].contains(" logged out, ") && log[1].contains(" 1300 56480627 1 40344 from 02:00:"),
        "{}",
        log[1]
    );
}

#[tokio::test]
async fn a_subscriber_who_is_disabled_and_kicked_stays_out_and_one_who_is_only_kicked_returns() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let mut client = Client::logged_in(&simulator).await;
    client.talk("/ppp/secret/add =name=plot1 =password=w").await;
    router.add_device(cpe("cpe-1", "plot1", "w")).unwrap();
    online(&router, "cpe-1").await;

    client.check("/ppp/active/remove =numbers=plot1", &["!done"]).await;
    let returned = || router.device("cpe-1").ok().filter(|device| device.sessions == 2);
    router.wait_for(DEADLINE, returned).await.unwrap();

    client.check("/ppp/secret/disable =numbers=plot1", &["!done"]).await;
    client.check("/ppp/active/print =count-only=", &["!done =ret=1"]).await;
    client.check("/ppp/active/remove =numbers=plot1", &["!done"]).await;
    assert_eq!(offline(&router, "cpe-1").await, "authentication failed: user is disabled");
    client.check("/ppp/active/print =count-only=", &["!done =ret=0"]).await;
    client.check("/interface/print =count-only= ?dynamic=true", &["!done =ret=0"]).await;

    client.check("/ppp/secret/enable =numbers=plot1", &["!done"]).await;
    online(&router, "cpe-1").await;
    assert_eq!(router.device("cpe-1").unwrap().sessions, 3);
}

#[tokio::test]
async fn a_phone_returns_by_its_cookie_until_the_cookie_is_removed() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let mut client = Client::logged_in(&simulator).await;
    client.talk("/ip/hotspot/user/add =name=plot2 =password=w").await;
    router.add_device(phone("phone", "plot2", "w").forgetting_its_password()).unwrap();
    online(&router, "phone").await;
    let by = "/ip/hotspot/active/print =.proplist=user,login-by";
    client.check(by, &["!re =user=plot2 =login-by=http-chap", "!done"]).await;

    client.check("/ip/hotspot/active/remove =numbers=plot2", &["!done"]).await;
    let returned = || router.device("phone").ok().filter(|device| device.sessions == 2);
    router.wait_for(DEADLINE, returned).await.unwrap();
    client.check(by, &["!re =user=plot2 =login-by=cookie", "!done"]).await;

    client.check("/ip/hotspot/cookie/remove =numbers=plot2", &["!done"]).await;
    client.check("/ip/hotspot/active/remove =numbers=plot2", &["!done"]).await;
    assert_eq!(offline(&router, "phone").await, "the portal asks for a password");
    client
        .check(
            "/ip/hotspot/host/print =.proplist=address,authorized",
            &["!re =address=10.80.0.2 =authorized=false", "!done"],
        )
        .await;

    client
        .check(
            "/ip/hotspot/active/login =user=plot2 =password=no =ip=10.80.0.2",
            &["!trap =message=failure: authentication failed: wrong password", "!done"],
        )
        .await;
    client.check("/ip/hotspot/active/login =user=plot2 =password=w =ip=10.80.0.2", &["!done"]).await;
    online(&router, "phone").await;
}

#[tokio::test]
async fn traffic_through_a_device_that_is_offline_is_refused_and_a_used_up_limit_ends_it() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.add_row("ip/hotspot/user", &[("name", "plot2"), ("limit-bytes-total", "1000")]).unwrap();
    router.add_device(phone("phone", "plot2", "")).unwrap();
    online(&router, "phone").await;
    let view = router.move_traffic("phone", 400, 700).unwrap();
    assert_eq!((view.state, view.upload_bytes, view.download_bytes), (DeviceState::Dialing, 400, 700));
    assert_eq!(offline(&router, "phone").await, "user has reached its uptime or traffic limit");
    let refused = router.move_traffic("phone", 1, 1).unwrap_err();
    assert_eq!(refused.to_string(), "device `phone` is offline; wait until GET /devices/phone says online");
}

#[tokio::test]
async fn a_reboot_drops_everyone_and_everything_that_lives_in_memory() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let mut client = Client::logged_in(&simulator).await;
    client.talk("/ppp/secret/add =name=plot1 =password=w").await;
    client.talk("/ip/firewall/address-list/add =list=l =address=10.0.0.1 =timeout=1d").await;
    client.talk("/ip/firewall/address-list/add =list=l =address=10.0.0.2").await;
    router.add_device(cpe("cpe-1", "plot1", "w")).unwrap();
    online(&router, "cpe-1").await;
    router.move_traffic("cpe-1", 10, 20).unwrap();

    // The power stays away until the test is done with the dark; then it comes back at once.
    router.reboot(3_600_000);
    assert_eq!(client.next().await, None);
    assert_eq!(router.device("cpe-1").unwrap().state, DeviceState::Dialing);
    assert_eq!(offline(&router, "cpe-1").await, "router is down");
    let refused = tokio::net::TcpStream::connect(simulator.api_address()).await;
    assert!(refused.is_err(), "a router without power accepts nobody");

    router.reboot(0);
    online(&router, "cpe-1").await;
    let mut client = reconnected(&simulator).await;
    client
        .check(
            "/ppp/active/print =.proplist=.id,session-id",
            &["!re =.id=*1 =session-id=0x81200001", "!done"],
        )
        .await;
    let counters = "/interface/print =.proplist=rx-byte ?name=<pppoe-plot1>";
    client.check(counters, &["!re =rx-byte=0", "!done"]).await;
    client
        .check("/ip/firewall/address-list/print =.proplist=address", &["!re =address=10.0.0.2", "!done"])
        .await;
    client.check("/ppp/secret/print =.proplist=name", &["!re =name=plot1", "!done"]).await;
    let log = client.talk("/log/print =.proplist=.id,message").await;
    assert_eq!(log[0], "!re =.id=*1 =message=router was rebooted without proper shutdown");
}

/// The port opens again some time after the power is back.
async fn reconnected(simulator: &routeros_sim::Simulator) -> Client {
    let connecting = async {
        loop {
            match tokio::net::TcpStream::connect(simulator.api_address()).await {
                Ok(stream) => return Client::over(stream),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut client = tokio::time::timeout(DEADLINE, connecting).await.unwrap();
    client.log_in().await;
    client
}

#[tokio::test]
async fn the_api_can_reboot_the_router_which_just_drops_the_line() {
    let simulator = start("7.18").await;
    let mut client = Client::logged_in(&simulator).await;
    client.send("/system/reboot").await;
    assert_eq!(client.next().await, None);
    let mut client = reconnected(&simulator).await;
    client.check("/system/identity/print", &["!re =name=MikroTik", "!done"]).await;
    assert_eq!(simulator.router().summary().logins_total, 2);
}
