//! The script that takes back what `blocks.rs` made, and nothing else.
//!
//! Pure: a setup in, text out. Everything is found by the comments and names that only our script gives. What had another
//! value before cannot be known any more: api-ssl is closed, the API without TLS stays off, the clock goes on being set.

use super::blocks::{
    CERTIFICATES, GROUPS, HOTSPOT_GROUPS, LOGGING, LOGGING_ACTION, OPENVPN_NAME, OPENVPN_SERVER,
    PPPOE_SERVER, PPPOE_SERVICE, SERVICE, USER, USER_GROUP, warning,
};
use super::script::{Script, any_of, counted, quoted};
use super::{CERTIFICATE, LOG_ACTION, MARK, Setup};

pub(super) fn write(setup: &Setup) -> String {
    let mut script = Script::default();
    warning(&mut script, setup);
    script.remark("Takes back what Tawi's set-up script made on this MikroTik, and leaves everything else.");
    script.remark("It does not touch customers: their secrets and hotspot users stay, and stay open.");
    script.remark(
        "What was set before the set-up is not known any more: api-ssl is closed, the API without TLS stays as it is, the NTP client goes on, and so do servers of L2TP, PPTP and, before 7.17, OpenVPN.",
    );
    script.blank();
    script.remark("Rules and lists of the walled garden, the jumps first.");
    let (jumps, others): (Vec<_>, Vec<_>) = GROUPS
        .into_iter()
        .filter(|(_, name)| !HOTSPOT_GROUPS.contains(name))
        .partition(|(_, name)| *name == "jumps");
    for (menu, name) in jumps.into_iter().chain(others) {
        script.remove(menu, &any_of(name));
    }
    script.blank();
    script.remark("The log of accounts.");
    script.remove(LOGGING, &format!("action={}", quoted(LOG_ACTION)));
    script.remove(LOGGING_ACTION, &format!("name={}", quoted(LOG_ACTION)));
    if !setup.is_six() {
        services(&mut script, setup);
    }
    script.blank();
    script.remark("The way in.");
    let row = setup.service("api-ssl");
    script.when(&format!("[{SERVICE} get {row} certificate] = {}", quoted(CERTIFICATE)), |script| {
        script.line(&format!(
            "{SERVICE} set {row} disabled=yes certificate=none {}=\"\"",
            setup.address_argument()
        ));
    });
    script.remove(CERTIFICATES, &format!("name={}", quoted(CERTIFICATE)));
    let (user, group) = (quoted(setup.user.as_str()), quoted(setup.group.as_str()));
    let ours = format!("name={user} comment~\"^{MARK} user \"");
    script.when(&format!("{} = 1", counted(USER, &ours)), |script| {
        script.remove(USER, &ours);
        script.when(&format!("{} = 0", counted(USER, &format!("group={group}"))), |script| {
            script.remove(USER_GROUP, &format!("name={group}"));
        });
    });
    if setup.is_six() {
        script.blank();
        script.remark("Services, behind everything else: a router without the package of one does not know its line, and nothing is left to do there.");
        services(&mut script, setup);
    }
    script.into_text()
}

/// What any script of ours may have made for the services, whichever of them this one names.
fn services(script: &mut Script, setup: &Setup) {
    script.blank();
    script.remark("Hosts of the hotspot's walled garden.");
    for (menu, name) in GROUPS.into_iter().filter(|(_, name)| HOTSPOT_GROUPS.contains(name)) {
        script.remove(menu, &any_of(name));
    }
    script.blank();
    script.remark(
        "PPPoE servers by our name: customers on them are cut off. Of several, --pppoe says which one goes.",
    );
    let ours = format!("service-name={}", quoted(PPPOE_SERVICE));
    for interface in &setup.pppoe_interfaces {
        script.remove(PPPOE_SERVER, &format!("interface={} {ours}", quoted(interface.as_str())));
    }
    if setup.pppoe_interfaces.is_empty() {
        script.remove(PPPOE_SERVER, &ours);
    }
    if setup.lists_openvpn() {
        script.blank();
        script.remark("The OpenVPN server that is ours: customers on it are cut off.");
        script.remove(OPENVPN_SERVER, &format!("name={}", quoted(OPENVPN_NAME)));
    }
}
