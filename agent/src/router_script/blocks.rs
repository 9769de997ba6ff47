//! What stands in the script: the agent's user, its way in, the log of accounts, the walled garden, the time.
//!
//! Pure: a setup in, text out. Each block says what it is for before it does it. Rows are written by `script.rs`, which
//! makes them safe to paste twice; each name here has its counterpart in `removal.rs`, and a test holds them together.

use super::script::{Group, Row, Script, counted, quoted, signed};
use super::{CERTIFICATE, Host, LOG_ACTION, MARK, Name, OFF_LIST, PAY_LIST, Setup, TIME_SERVER, WALLED_LIST};

pub(super) const USER: &str = "/user";
pub(super) const USER_GROUP: &str = "/user group";
pub(super) const CERTIFICATES: &str = "/certificate";
pub(super) const SERVICE: &str = "/ip service";
pub(super) const FILTER: &str = "/ip firewall filter";
pub(super) const NAT: &str = "/ip firewall nat";
pub(super) const ADDRESS_LIST: &str = "/ip firewall address-list";
pub(super) const LOGGING: &str = "/system logging";
pub(super) const LOGGING_ACTION: &str = "/system logging action";
pub(super) const GARDEN: &str = "/ip hotspot walled-garden";
pub(super) const GARDEN_IP: &str = "/ip hotspot walled-garden ip";
/// Where OpenVPN is served: a list from RouterOS 7.17 on, and one row that is on or off before.
pub(super) const OPENVPN_SERVER: &str = "/interface ovpn-server server";
/// What ours is called in that list.
pub(super) const OPENVPN_NAME: &str = "tawi";
pub(super) const PPPOE_SERVER: &str = "/interface pppoe-server server";
pub(super) const NTP_CLIENT: &str = "/system ntp client";
const DNS: &str = "/ip dns";
const INTERFACE: &str = "/interface";
const PACKAGE: &str = "/system package";

/// Groups of rows by the name in their comments, with their menus.
pub(super) const GROUPS: [(&str, &str); 10] = [
    (FILTER, "api"),
    (FILTER, "names"),
    (NAT, "names"),
    (FILTER, "jumps"),
    (FILTER, "walled"),
    (FILTER, "off"),
    (NAT, "redirect"),
    (ADDRESS_LIST, "pay"),
    (GARDEN, "garden"),
    (GARDEN_IP, "garden-ip"),
];
/// Of the groups above, those of the hotspot, whose menus a router of release 6 may lack.
pub(super) const HOTSPOT_GROUPS: [&str; 2] = ["garden", "garden-ip"];
/// The service name of a PPPoE server of ours.
pub(super) const PPPOE_SERVICE: &str = "tawi";

/// How long a router may take to sign its certificate, in seconds: a slow MIPS board makes an RSA key in a minute.
const SIGNING_SECONDS: u32 = 120;
/// Lines of the account log that the router keeps: a day of 2,000 customers who reconnect twice.
const LOG_LINES: u32 = 10_000;
/// Ten years. A pin does not look at the date, and a certificate that must be renewed is a site that stops one day.
const CERTIFICATE_DAYS: u32 = 3_650;

/// What the agent cannot do without.
const LEAST_POLICIES: [&str; 3] = ["read", "write", "api"];
/// Every policy that both releases know, in the order in which they are shown.
const POLICIES: [&str; 16] = [
    "local",
    "telnet",
    "ssh",
    "ftp",
    "reboot",
    "read",
    "write",
    "policy",
    "test",
    "winbox",
    "password",
    "web",
    "sniff",
    "sensitive",
    "api",
    "romon",
];
const POLICIES_OF_SIX: [&str; 2] = ["dude", "tikapp"];
const POLICIES_OF_SEVEN: [&str; 1] = ["rest-api"];

pub(super) fn write(setup: &Setup, password: &str) -> String {
    let mut script = Script::default();
    head(&mut script, setup);
    script.blank();
    script.braced("{", |script| {
        refusals(script, setup);
        certificate(script, setup);
        service(script, setup);
        // Whoever waits until the user is let in sees the certificate that stays.
        user(script, setup, password);
        log(script, setup);
        lists(script, setup);
        walls(script, setup);
        if !setup.pppoe_interfaces.is_empty() {
            pppoe(script, &setup.pppoe_interfaces);
        }
        tunnels(script, setup);
        time(script, setup);
        if setup.has_hotspot {
            garden(script, setup);
        }
        end(script, setup);
    });
    script.into_text()
}

fn head(script: &mut Script, setup: &Setup) {
    let Setup { release, agent, router, port, .. } = setup;
    warning(script, setup);
    script.remark(&format!(
        "Prepares this MikroTik for Tawi's agent. Made for RouterOS {}.{}; on another release make it anew.",
        release.major, release.minor
    ));
    script.remark("SECRET: it holds the password of the agent's user. Remove this file from the router when it has run.");
    script.remark(
        "Paste all of it into a terminal, or copy it to the router and run: /import file-name=tawi.rsc\nIt may run again at any time: what is there already is left as it is, and what an earlier one made otherwise is replaced.\nEverything stands between one pair of braces: nothing happens before the last one, and where a line begins with STOP, nothing behind it has happened.",
    );
    script.remark(&format!(
        "Afterwards, in routers.toml beside agent.toml: address = \"{router}:{port}\", user = {}, and the tls_pin, which is the last line that it prints. The agent speaks from {agent}.",
        quoted(setup.user.as_str())
    ));
}

/// At the head, where whoever pastes it sees it first.
pub(super) fn warning(script: &mut Script, setup: &Setup) {
    if let Some(warning) = setup.warning() {
        script.remark(&format!("WARNING: {warning}."));
        script.blank();
    }
}

fn heading(script: &mut Script, text: &str) {
    script.blank();
    script.remark(text);
}

/// What stops it is looked for before anything is changed. At the top of a terminal an error ends its own statement only;
/// between braces it ends all that stands there.
fn refusals(script: &mut Script, setup: &Setup) {
    script.remark("What stops it, before anything is changed.");
    let user = setup.user.as_str();
    let named = format!("name={}", quoted(user));
    let ours = format!("{named} comment~\"^{MARK} user \"");
    let is_theirs = format!("({} = 1) && ({} = 0)", counted(USER, &named), counted(USER, &ours));
    script.when(&is_theirs, |script| {
        script.stop(&format!(
            "a user {user} is there that this script did not make. Nothing was changed. Choose another name with --user."
        ));
    });
    if let Some(certificate) = &setup.openvpn_certificate {
        let named = format!("name={}", quoted(certificate.as_str()));
        script.when(&format!("{} = 0", counted(CERTIFICATES, &named)), |script| {
            script.stop(&format!(
                "there is no certificate {certificate}. Nothing was changed. Look with /certificate print, and name one with --openvpn.",
                certificate = certificate.as_str()
            ));
        });
    }
    for interface in &setup.pppoe_interfaces {
        let interface = interface.as_str();
        let is_missing = format!("{} = 0", counted(INTERFACE, &format!("name={}", quoted(interface))));
        script.when(&is_missing, |script| {
            script.stop(&format!(
                "there is no interface {interface}. Nothing was changed. Look with /interface print, and name the one where customers are with --pppoe."
            ));
        });
    }
    if needs_names(setup) && setup.resolvers.is_empty() {
        script.when(&format!("[{DNS} get allow-remote-requests] = false"), |script| {
            script.stop("the router answers no questions for names, so that who has not paid would find no page. Nothing was changed. Name a resolver with --resolver; or let the router answer, and paste this again: /ip dns set allow-remote-requests=yes, with port 53 barred in the chain input on every interface to the Internet.");
        });
    }
}

/// Whether customers who have not paid may reach anything, which they look up by its name.
fn needs_names(setup: &Setup) -> bool {
    !setup.reachable().is_empty()
}

/// The policies in one word, with everything that is not granted denied in so many words: `set` leaves alone what it is
/// not told.
fn policies(setup: &Setup) -> String {
    let granted: Vec<&str> =
        LEAST_POLICIES.into_iter().chain(setup.extra_policies.iter().map(|extra| extra.name())).collect();
    let own: &[&str] = if setup.is_six() { &POLICIES_OF_SIX } else { &POLICIES_OF_SEVEN };
    let known = POLICIES.iter().chain(own);
    let words: Vec<String> = known
        .map(|name| if granted.contains(name) { (*name).to_owned() } else { format!("!{name}") })
        .collect();
    words.join(",")
}

fn user(script: &mut Script, setup: &Setup, password: &str) {
    let (user, group) = (setup.user.as_str(), setup.group.as_str());
    let policy = Row::new().with("policy", policies(setup));
    heading(
        script,
        "The agent's group and user, with no more rights than it needs. Mind that `write` may change most of the router: the password and the address are what guards it. The user is known by its comment, which changes with the password.",
    );
    script.when(&format!("{} = 0", counted(USER_GROUP, &format!("name={}", quoted(group)))), |script| {
        script.line(&format!("{USER_GROUP} add name={} policy={}", quoted(group), policies(setup)));
    });
    let address = agent_prefix(setup);
    let contents = [group, &policies(setup), &address, password].join("\n");
    let comment = signed("user", &contents);
    let row = |row: Row| {
        row.with("group", group)
            .with("address", address.clone())
            .with("password", password)
            .with("comment", comment.clone())
    };
    let named = format!("name={}", quoted(user));
    script.when(&format!("{} = 0", counted(USER, &named)), |script| {
        script.add(USER, &row(Row::new().with("name", user)));
    });
    let ours = format!("{named} comment~\"^{MARK} user \"");
    let right = format!("{named} comment={}", quoted(&comment));
    let is_old = format!("({} = 0) && ({} = 1)", counted(USER, &right), counted(USER, &ours));
    script.when(&is_old, |script| {
        script.set(USER_GROUP, &format!("name={}", quoted(group)), &policy);
        script.set(USER, &named, &row(Row::new()));
    });
}

fn agent_prefix(setup: &Setup) -> String {
    format!("{}/32", setup.agent)
}

fn certificate(script: &mut Script, setup: &Setup) {
    heading(
        script,
        "A certificate for api-ssl, signed by the router itself: without one RouterOS offers ciphers that prove nothing, and the agent refuses them. Making its key takes a while.",
    );
    let named = format!("name={}", quoted(CERTIFICATE));
    let found = format!("[{CERTIFICATES} find where {named}]");
    script.when(&format!("{} = 0", counted(CERTIFICATES, &named)), |script| {
        let row = Row::new()
            .with("name", CERTIFICATE)
            .with("common-name", CERTIFICATE)
            .with("key-size", "2048")
            .with("days-valid", CERTIFICATE_DAYS.to_string())
            .with("subject-alt-name", format!("IP:{}", setup.router));
        script.add(CERTIFICATES, &row);
    });
    let is_unsigned = format!("[:len [{CERTIFICATES} get {found} fingerprint]] < 64");
    script.when(&is_unsigned, |script| script.line(&format!("{CERTIFICATES} sign {found}")));
    script.braced("{", |script| {
        script.line(":local waited 0");
        script.braced(
            &format!(":while (({is_unsigned}) && ($waited < {SIGNING_SECONDS})) do={{"),
            |script| {
                script.line(":delay 1s");
                script.line(":set waited ($waited + 1)");
            },
        );
    });
    script.when(&is_unsigned, |script| {
        script.stop("the certificate is not signed yet. Wait a minute, and paste this script again.");
    });
}

fn service(script: &mut Script, setup: &Setup) {
    let name = "api-ssl";
    let argument = setup.address_argument();
    heading(
        script,
        "The API over TLS, for the agent's address alone. What was set before is printed, in case another program used it: allow that with --also-allow.",
    );
    let row = setup.service(name);
    let get = |property: &str| format!("[{SERVICE} get {row} {property}]");
    let set = |script: &mut Script, property: &'static str, value: &str| {
        script.set_only(SERVICE, &row, &Row::new().with(property, value));
    };
    script.when(&format!("{} != {}", get("certificate"), quoted(CERTIFICATE)), |script| {
        script.line(&format!(":put (\"api-ssl had the certificate: \" . {})", get("certificate")));
        set(script, "certificate", CERTIFICATE);
    });
    script.when(&format!("{} != \"only-1.2\"", get("tls-version")), |script| {
        set(script, "tls-version", "only-1.2");
    });
    let mut allowed = vec![agent_prefix(setup)];
    for prefix in &setup.also_allowed {
        if !allowed.contains(prefix) {
            allowed.push(prefix.clone());
        }
    }
    // A list is shown with semicolons where it is an array, and with commas where it is a text.
    let shown = format!("[:tostr {}]", get(argument));
    let mut is_other = format!("{shown} != {}", quoted(&allowed.join(",")));
    if allowed.len() > 1 {
        is_other = format!("({is_other}) && ({shown} != {})", quoted(&allowed.join(";")));
    }
    script.when(&is_other, |script| {
        script.line(&format!(":put (\"api-ssl was open for: \" . {shown})"));
        set(script, argument, &allowed.join(","));
    });
    script.when(&format!("{} = true", get("disabled")), |script| set(script, "disabled", "no"));
    if !setup.keeps_plain_api {
        script.remark("The API without TLS sends passwords in clear text. Programs that still need it: --keep-plain-api.");
        let plain = setup.service("api");
        script.when(&format!("[{SERVICE} get {plain} disabled] = false"), |script| {
            script.set_only(SERVICE, &plain, &Row::new().with("disabled", "yes"));
        });
    }
    script.remark("An address list leaves the port visible, so the firewall lets the agent in before any rule that drops.");
    let rows = allowed.iter().map(|prefix| {
        Row::new()
            .with("chain", "input")
            .with("action", "accept")
            .with("protocol", "tcp")
            .with("src-address", prefix.strip_suffix("/32").unwrap_or(prefix))
            .with("dst-port", setup.port.to_string())
    });
    script.ensure(&Group { menu: FILTER, name: "api", rows: rows.collect(), before_chain: Some("input") });
}

fn log(script: &mut Script, setup: &Setup) {
    heading(
        script,
        "Account lines hold the exact bytes of every session that ended. A memory buffer of their own keeps them while the agent is away, and costs no flash.",
    );
    script.when(
        &format!("{} = 0", counted(LOGGING_ACTION, &format!("name={}", quoted(LOG_ACTION)))),
        |script| {
            let row = Row::new()
                .with("name", LOG_ACTION)
                .with("target", "memory")
                .with("memory-lines", LOG_LINES.to_string());
            script.add(LOGGING_ACTION, &row);
        },
    );
    let topics: &[&str] =
        if setup.has_hotspot { &["ppp,account", "hotspot,account"] } else { &["ppp,account"] };
    let to_us = format!("action={}", quoted(LOG_ACTION));
    script.when(&format!("{} != {}", counted(LOGGING, &to_us), topics.len()), |script| {
        script.remove(LOGGING, &to_us);
        for topics in topics {
            script.add(LOGGING, &Row::new().with("topics", *topics).with("action", LOG_ACTION));
        }
    });
}

fn lists(script: &mut Script, setup: &Setup) {
    let hosts = setup.reachable();
    heading(
        script,
        &format!(
            "What customers who have not paid may reach: the pay page and what it needs. The router resolves these names by itself. Agent and profiles put such customers into the list {WALLED_LIST}, and those who may reach nothing into {OFF_LIST}."
        ),
    );
    if hosts.is_empty() {
        script.remark(&format!("No host was named (--allow-host, --pay-page): they reach what somebody else put into the list {PAY_LIST}, and ask nobody for names."));
    }
    let rows = hosts.iter().map(|host| Row::new().with("list", PAY_LIST).with("address", host.to_string()));
    script.ensure(&Group { menu: ADDRESS_LIST, name: "pay", rows: rows.collect(), before_chain: None });
}

fn walls(script: &mut Script, setup: &Setup) {
    heading(
        script,
        "The walled garden. Its rules stand in chains of their own, and the jumps to them before every rule of the router, above all before one that accepts established connections. FastTrack goes past all of them: leave these customers out of it.\nThey bar what passes through the router, and nothing of the router itself. Those in the lists go on asking it for an address and for names, which the pay page needs. Who may reach WinBox, SSH and its other services is the same question for customers who have paid: answer it in the chain input and with the addresses in /ip service. A web proxy or SOCKS server of the router would carry traffic past these rules: leave them off.\nThey bar IPv4 alone: lines have no IPv6 address that could be put into a list.",
    );
    script.ensure(&Group { menu: FILTER, name: "walled", rows: walled_rules(setup), before_chain: None });
    let off = Row::new().with("chain", OFF_LIST).with("action", "drop");
    script.ensure(&Group { menu: FILTER, name: "off", rows: vec![off], before_chain: None });
    names(script, setup);
    let jump = |side: &'static str, list: &'static str| {
        Row::new().with("chain", "forward").with("action", "jump").with("jump-target", list).with(side, list)
    };
    let jumps = vec![
        jump("src-address-list", OFF_LIST),
        jump("dst-address-list", OFF_LIST),
        jump("src-address-list", WALLED_LIST),
    ];
    script.ensure(&Group { menu: FILTER, name: "jumps", rows: jumps, before_chain: Some("forward") });
    let Some(page) = setup.pay_page else {
        script.remark("No pay page was named (--pay-page), so what they open over HTTP is not led anywhere.");
        script.ensure(&Group { menu: NAT, name: "redirect", rows: vec![], before_chain: None });
        return;
    };
    script.remark(
        "Pages that they open over HTTP are led to the pay page, which must answer for any host. HTTPS cannot be led anywhere without a false certificate.",
    );
    let redirect = Row::new()
        .with("chain", "dstnat")
        .with("action", "dst-nat")
        .with("protocol", "tcp")
        .with("src-address-list", WALLED_LIST)
        .with("dst-address-list", format!("!{PAY_LIST}"))
        .with("dst-port", "80")
        .with("to-addresses", page.ip().to_string())
        .with("to-ports", page.port().to_string());
    script.ensure(&Group { menu: NAT, name: "redirect", rows: vec![redirect], before_chain: Some("dstnat") });
}

/// Names, which the pay page needs: from the resolvers that were named, or from the router's own, whatever a customer's
/// device asks. On 6.49 as on 7 `redirect` leads to the router itself, so that it is met in the chain input and not in
/// forward.
fn names(script: &mut Script, setup: &Setup) {
    if !needs_names(setup) {
        script.ensure(&Group { menu: NAT, name: "names", rows: vec![], before_chain: None });
        script.ensure(&Group { menu: FILTER, name: "names", rows: vec![], before_chain: None });
        return;
    }
    let who = match setup.resolvers.first() {
        None => "the router itself".to_owned(),
        Some(first) => format!("{first}, the first that was named with --resolver, and any other that was"),
    };
    script.remark(&format!(
        "Names they get from {who}: whatever else they ask on port 53 is led there, past whichever resolver their device was given. Were any host open to them on that port, a tunnel there would be the whole Internet for nothing. What is left is a tunnel through a resolver that asks on for them, which is slow and cannot be barred without barring names.\nNAT looks at new connections alone: what a device had open before to another resolver is barred, until the device asks anew."
    ));
    // Another resolver answers for itself: the router is met in the chain input where it is the one that is asked.
    let asks_the_router = setup.resolvers.is_empty() || setup.resolvers.contains(&setup.router);
    if asks_the_router {
        script.remark("The accepts in the chain input stand before every other rule there, and fit a packet from the Internet that bears such a customer's address too: put a rule above them that drops such packets on the interfaces to the Internet, or, where answers go out the way that questions came in, let the router do it: /ip settings set rp-filter=strict");
    }
    let questions = |chain: &'static str, action: &'static str| {
        ["udp", "tcp"].map(|protocol| {
            let row = Row::new().with("chain", chain).with("action", action).with("protocol", protocol);
            row.with("src-address-list", WALLED_LIST).with("dst-port", "53")
        })
    };
    let mut rows = vec![];
    for resolver in &setup.resolvers {
        let to_it = |row: Row| row.with("dst-address", resolver.to_string());
        rows.extend(questions("dstnat", "accept").map(to_it));
    }
    rows.extend(match setup.resolvers.first() {
        None => questions("dstnat", "redirect").map(|row| row.with("to-ports", "53")),
        // The router may answer nobody: it was not to be asked.
        Some(first) => questions("dstnat", "dst-nat")
            .map(|row| row.with("to-addresses", first.to_string()).with("to-ports", "53")),
    });
    script.ensure(&Group { menu: NAT, name: "names", rows, before_chain: Some("dstnat") });
    let rows = if asks_the_router { questions("input", "accept").to_vec() } else { vec![] };
    script.ensure(&Group { menu: FILTER, name: "names", rows, before_chain: Some("input") });
}

fn walled_rules(setup: &Setup) -> Vec<Row> {
    let chain = || Row::new().with("chain", WALLED_LIST);
    let mut rows = Vec::new();
    for resolver in setup.resolvers.iter().filter(|_| needs_names(setup)) {
        for protocol in ["udp", "tcp"] {
            let row = chain().with("action", "accept").with("protocol", protocol).with("dst-port", "53");
            rows.push(row.with("dst-address", resolver.to_string()));
        }
    }
    rows.push(chain().with("action", "accept").with("dst-address-list", PAY_LIST));
    // A phone that is refused at once shows its sign-in page; one that waits shows nothing.
    rows.push(chain().with("action", "reject").with("protocol", "tcp").with("reject-with", "tcp-reset"));
    rows.push(chain().with("action", "drop"));
    rows
}

fn pppoe(script: &mut Script, interfaces: &[Name]) {
    heading(
        script,
        "A PPPoE server on each named interface, where none is. Profiles are copied from `default`, which needs a local address and a pool: tawi-agent doctor looks.",
    );
    let ours = format!("service-name={}", quoted(PPPOE_SERVICE));
    let elsewhere = interfaces
        .iter()
        .fold(ours, |condition, interface| format!("{condition} interface!={}", quoted(interface.as_str())));
    script.when(&format!("{} != 0", counted(PPPOE_SERVER, &elsewhere)), |script| {
        // Somebody may have made it by hand under our name, and people are on it.
        script.say("MIND: a PPPoE server called tawi is on another interface too. If an earlier script made it and it is not wanted there, remove it: /interface pppoe-server server print");
    });
    for interface in interfaces {
        let there = format!("interface={}", quoted(interface.as_str()));
        script.when(&format!("{} = 0", counted(PPPOE_SERVER, &there)), |script| {
            let row = Row::new()
                .with("service-name", PPPOE_SERVICE)
                .with("interface", interface.as_str())
                .with("one-session-per-host", "yes")
                .with("disabled", "no");
            script.add(PPPOE_SERVER, &row);
        });
    }
}

/// Servers of which a router has one are switched on. OpenVPN needs a certificate, which somebody else made: its name says
/// which.
fn tunnels(script: &mut Script, setup: &Setup) {
    if setup.tunnels.is_empty() && setup.openvpn_certificate.is_none() {
        return;
    }
    heading(script, "The servers of the tunnels that customers dial, on.");
    for tunnel in &setup.tunnels {
        let menu = tunnel.menu();
        script.when(&format!("[{menu} get enabled] = false"), |script| {
            script.set_only(menu, "", &Row::new().with("enabled", "yes"));
        });
    }
    let Some(certificate) = &setup.openvpn_certificate else { return };
    let with_certificate = Row::new().with("certificate", certificate.as_str());
    if setup.lists_openvpn() {
        let ours = format!("name={}", quoted(OPENVPN_NAME));
        let row = with_certificate.with("name", OPENVPN_NAME).with("disabled", "no");
        script.when(&format!("{} = 0", counted(OPENVPN_SERVER, &ours)), |script| {
            script.add(OPENVPN_SERVER, &row);
        });
    } else {
        script.when(&format!("[{OPENVPN_SERVER} get enabled] = false"), |script| {
            script.set_only(OPENVPN_SERVER, "", &with_certificate.with("enabled", "yes"));
        });
    }
}

fn time(script: &mut Script, setup: &Setup) {
    let server = setup.time_server.clone().unwrap_or_else(|| Host::Name(TIME_SERVER.to_owned()));
    let text = server.to_string();
    if setup.is_six() {
        time_of_six(script, &server, setup.time_server.is_none());
        return;
    }
    let row = Row::new().with("enabled", "yes").with("servers", text.clone());
    if setup.time_server.is_none() {
        heading(
            script,
            "The time, without which dates in the log mean nothing. A client that runs already is left as it is; --time-server sets it.",
        );
        script.when(&format!("[{NTP_CLIENT} get enabled] = false"), |script| {
            script.set_only(NTP_CLIENT, "", &row);
        });
        return;
    }
    heading(
        script,
        "The time, without which dates in the log mean nothing: from the server that was named, whatever was set before.",
    );
    let shown = format!("[:tostr [{NTP_CLIENT} get servers]]");
    let is_off = format!("[{NTP_CLIENT} get enabled] = false");
    script.when(&format!("({is_off}) || ({shown} != {})", quoted(&text)), |script| {
        script.line(&format!(":put (\"the time server was: \" . {shown})"));
        script.set_only(NTP_CLIENT, "", &row);
    });
}

/// In release 6 the package `ntp` brings a client of its own into the menu of the SNTP client. It takes addresses alone. A
/// console refuses the whole of these braces at an argument that it does not know, in a branch that is never taken too:
/// what only one of them knows is text until it is known which one is there.
fn time_of_six(script: &mut Script, server: &Host, leaves_what_runs: bool) {
    heading(
        script,
        if leaves_what_runs {
            "The time, without which dates in the log mean nothing. A client that runs already is left as it is; --time-server sets it. Which client it is, the router's own or that of the package ntp, decides what it takes."
        } else {
            "The time, without which dates in the log mean nothing: from the server that was named, whatever was set before. Which client it is, the router's own or that of the package ntp, decides what it takes: to the package a name is an address, looked up where it has none, and an address that is set there stays."
        },
    );
    let is_off = format!("[{NTP_CLIENT} get enabled] = false");
    let shown = |argument: &str| format!("[:tostr [{NTP_CLIENT} get {argument}]]");
    let text = server.to_string();
    let on = || Row::new().with("enabled", "yes");
    // Of the router's own client: an address or a name. What was named is the only server from then on.
    let argument = if matches!(server, Host::Address(_)) { "primary-ntp" } else { "server-dns-names" };
    let others: &[(&str, &str)] = match server {
        _ if leaves_what_runs => &[],
        Host::Address(_) => &[("secondary-ntp", "0.0.0.0"), ("server-dns-names", "")],
        Host::Name(_) => &[("primary-ntp", "0.0.0.0"), ("secondary-ntp", "0.0.0.0")],
    };
    let row =
        others.iter().fold(on().with(argument, text.clone()), |row, (name, value)| row.with(name, *value));
    let is_other = |argument: &str, wanted: &str| {
        if leaves_what_runs {
            is_off.clone()
        } else {
            format!("({is_off}) || ({} != {})", shown(argument), quoted(wanted))
        }
    };
    let condition = is_other(argument, &text);
    let own = format!(":if ({condition}) do={{ {NTP_CLIENT} set {} }}", row.words());
    let address = match server {
        Host::Address(_) => quoted(&text),
        Host::Name(_) => format!("[:tostr [:resolve {}]]", quoted(&text)),
    };
    let others = if leaves_what_runs { "" } else { " secondary-ntp=0.0.0.0" };
    // A name may have another address each time that it is looked up, so that it is looked up where none is set.
    let of_package_condition = match server {
        Host::Address(_) => is_other("primary-ntp", &text),
        Host::Name(_) if leaves_what_runs => is_off.clone(),
        Host::Name(_) => format!("({is_off}) || ({} = \"0.0.0.0\")", shown("primary-ntp")),
    };
    let of_package = |script: &mut Script| {
        script.line(":do {");
        script.indented(|script| {
            script.line(&format!(":local server {address}"));
            script.line(&format!("{NTP_CLIENT} set enabled=yes primary-ntp=$server{others}"));
        });
        script.braced("} on-error={", |script| {
            script.say("MIND: the time server could not be set. Give the client of the package ntp an address: /system ntp client set enabled=yes primary-ntp=...");
        });
    };
    let has_none = format!("{} = 0", counted(PACKAGE, "name=\"ntp\" !disabled"));
    script.line(&format!(":if ({has_none}) do={{"));
    script.indented(|script| {
        script.line(&format!(":local own [:parse {}]", quoted(&own)));
        script.line("$own");
    });
    script.braced("} else={", |script| {
        script.when(&of_package_condition, of_package);
    });
}

fn garden(script: &mut Script, setup: &Setup) {
    heading(
        script,
        "What guests of the hotspot may reach before they log in: pages by name, and everything else by address. The hotspot itself is made with: /ip hotspot setup",
    );
    let hosts = setup.reachable();
    let names = hosts.iter().filter(|host| matches!(host, Host::Name(_)));
    let rows = names.map(|host| Row::new().with("action", "allow").with("dst-host", host.to_string()));
    script.ensure(&Group { menu: GARDEN, name: "garden", rows: rows.collect(), before_chain: None });
    let rows = hosts.iter().map(|host| {
        let argument = if matches!(host, Host::Name(_)) { "dst-host" } else { "dst-address" };
        Row::new().with("action", "accept").with(argument, host.to_string())
    });
    script.ensure(&Group { menu: GARDEN_IP, name: "garden-ip", rows: rows.collect(), before_chain: None });
    script.when("[:len [/ip hotspot find]] = 0", |script| {
        script.say("MIND: no hotspot server is there yet: /ip hotspot setup");
    });
}

fn end(script: &mut Script, setup: &Setup) {
    let past = "MIND: the walls bar IPv4 alone. Where customers have IPv6 (/ipv6 address print), those who have not paid go on over it.";
    if setup.is_six() {
        heading(script, "IPv6 is a package of its own.");
        let there = "name=\"ipv6\" !disabled";
        script.when(&format!("{} != 0", counted(PACKAGE, there)), |script| {
            script.say(&format!("{past} Without need for it: /system package disable ipv6, and reboot."));
        });
    } else {
        heading(script, "IPv6 is part of release 7, and on unless somebody has switched it off.");
        script.say(&format!("{past} Without need for it: /ipv6 settings set disable-ipv6=yes"));
    }
    heading(script, "What the agent must know of this router, last.");
    let fingerprint =
        format!("[{CERTIFICATES} get [{CERTIFICATES} find where name={}] fingerprint]", quoted(CERTIFICATE));
    script.say("Done. Put the next line into routers.toml at the agent, in the [[router]] table of this router, in place of");
    script.say("any tls_pin that is there; then: systemctl restart tawi-agent; tawi-agent doctor");
    script.line(&format!(":put (\"tls_pin = \\\"\" . {fingerprint} . \"\\\"\")"));
}
