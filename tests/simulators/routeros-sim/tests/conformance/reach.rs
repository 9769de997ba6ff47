//! Whether a suspended device still reaches the pay page, and nothing else.

use crate::client::{DEADLINE, start};
use routeros_sim::{DeviceState, NewDevice, Reach, Router};

fn check(router: &Router, to: &str, expected: &Reach) {
    assert_eq!(&router.reach("house", to.parse().unwrap()).unwrap(), expected, "{to}");
}

fn dropped(rule: &str) -> Reach {
    Reach::Dropped { rule: rule.to_owned() }
}

#[tokio::test]
async fn a_walled_device_reaches_the_pay_page_is_turned_aside_on_port_80_and_nothing_else() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    let unknown = router.reach("house", "203.0.113.5:443".parse().unwrap()).unwrap_err();
    assert_eq!(unknown.to_string(), "there is no device named `house`; GET /devices lists them");
    router.add_device(NewDevice::ipoe("house", "10.9.0.5")).unwrap();
    router.wait_for_device("house", DeviceState::Online, DEADLINE).await.unwrap();
    let filter = "ip/firewall/filter";
    let walled = ("src-address-list", "walled");
    router
        .add_row(
            filter,
            &[("chain", "forward"), ("connection-state", "established,related"), ("action", "accept")],
        )
        .unwrap();
    router
        .add_row(filter, &[("chain", "forward"), walled, ("dst-address-list", "pay"), ("action", "accept")])
        .unwrap();
    router.add_row(filter, &[("chain", "forward"), walled, ("action", "drop")]).unwrap();
    let aside = [("chain", "dstnat"), walled, ("protocol", "tcp"), ("dst-port", "80,8000-8100")];
    let aside =
        [&aside[..], &[("action", "dst-nat"), ("to-addresses", "203.0.113.80"), ("to-ports", "8080")]];
    router.add_row("ip/firewall/nat", &aside.concat()).unwrap();
    router.add_row("ip/firewall/address-list", &[("list", "pay"), ("address", "203.0.113.80/28")]).unwrap();

    check(&router, "198.51.100.1:443", &Reach::Allowed);
    let entry = [("list", "walled"), ("address", "10.9.0.5"), ("timeout", "1h")];
    let entry = router.add_row("ip/firewall/address-list", &entry).unwrap();
    check(&router, "203.0.113.85:443", &Reach::Allowed);
    check(&router, "198.51.100.1:443", &dropped("*3"));
    let to_pay_page = Reach::Redirected { rule: "*1".to_owned(), to: "203.0.113.80:8080".to_owned() };
    check(&router, "198.51.100.1:80", &to_pay_page);
    check(&router, "198.51.100.1:8050", &to_pay_page);
    router.set_row("ip/firewall/nat", "*1", &[("action", "redirect")]).unwrap();
    let to_router = Reach::Redirected { rule: "*1".to_owned(), to: "router".to_owned() };
    check(&router, "198.51.100.1:80", &to_router);
    router.set_row(filter, "*3", &[("disabled", "yes")]).unwrap();
    check(&router, "198.51.100.1:443", &Reach::Allowed);
    router.set_row(filter, "*3", &[("disabled", "no"), ("dst-address", "!203.0.113.0/24")]).unwrap();
    check(&router, "203.0.113.1:443", &Reach::Allowed);
    check(&router, "198.51.100.1:443", &dropped("*3"));
    router.remove_row("ip/firewall/address-list", &entry).unwrap();
    check(&router, "198.51.100.1:443", &Reach::Allowed);
}

#[tokio::test]
async fn chains_jump_and_return_and_what_is_not_read_is_said() {
    let simulator = start("7.18").await;
    let router = simulator.router();
    router.add_device(NewDevice::ipoe("house", "10.9.0.5")).unwrap();
    router.wait_for_device("house", DeviceState::Online, DEADLINE).await.unwrap();
    let filter = "ip/firewall/filter";
    router
        .add_row(filter, &[("chain", "forward"), ("action", "jump"), ("jump-target", "customers")])
        .unwrap();
    router
        .add_row(
            filter,
            &[("chain", "customers"), ("dst-port", "443"), ("protocol", "tcp"), ("action", "return")],
        )
        .unwrap();
    router.add_row(filter, &[("chain", "customers"), ("protocol", "udp"), ("action", "drop")]).unwrap();
    router.add_row(filter, &[("chain", "customers"), ("action", "reject")]).unwrap();
    check(&router, "198.51.100.1:443", &Reach::Allowed);
    check(&router, "198.51.100.1:25", &dropped("*4"));
    router.set_row(filter, "*4", &[("jump-target", "customers"), ("action", "jump")]).unwrap();
    check(&router, "198.51.100.1:25", &Reach::Allowed);
    let odd =
        [("chain", "forward"), ("in-interface-list", "WAN"), ("action", "drop"), ("place-before", "*1")];
    router.add_row(filter, &odd).unwrap();
    let undecided = Reach::Undecided { rule: "*5".to_owned(), matcher: "in-interface-list".to_owned() };
    check(&router, "198.51.100.1:443", &undecided);
}
