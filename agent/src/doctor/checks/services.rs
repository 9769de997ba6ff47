//! What customers need of the router: servers, pools, profiles, licence, rules, the log of accounts.
//!
//! Pure. How bad a lack is depends on what is sold there; where the agent does not run nobody knows, and a lack is doubtful.

use tawi_shared::counted;

use super::super::facts::{Facts, Row, is_set, text};
use super::super::finding::{Finding, Verdict};
use crate::health::Walled;
use crate::reconcile::actual::PROFILE_MARK;
use crate::router_script::{LOG_ACTION, OFF_LIST, WALLED_LIST};

const PPP: [&str; 4] = ["pppoe", "l2tp", "pptp", "ovpn"];
/// As the agent names them.
const PPP_SERVICES: [&str; 4] = ["pppoe", "l2tp", "pptp", "openvpn"];
const TUNNELS: [&str; 3] = ["pppoe", "l2tp", "pptp"];
const HOTSPOT: [&str; 2] = ["hotspot", "hotspot-device"];
const BARRED_BY_LIST: [&str; 2] = ["static", "hotspot-device"];
const SCRIPT: &str = "paste the script of tawi-agent router-script again";
/// Of a long list of names, so many are shown.
const SHOWN: usize = 5;
/// From this share of a licence on it is time to think of the next, in per cent.
const FULL_PERCENT: u64 = 90;

/// Bad where something is sold that needs it, doubtful where nobody knows, nothing where nobody needs it.
fn lack(
    facts: &Facts,
    services: &[&str],
    check: &'static str,
    detail: impl Into<String>,
    cure: impl Into<String>,
) -> Option<Finding> {
    match facts.lines_of(services) {
        Some(0) => None,
        Some(lines) => {
            let concerned = counted(lines, "line");
            Some(Finding::bad(check, format!("{}; this concerns {concerned}", detail.into()), cure))
        }
        None => Some(Finding::doubtful(
            check,
            format!("{}; how many lines this concerns is known {}", detail.into(), facts.lines_known),
            cure,
        )),
    }
}

pub(super) fn device_mode(facts: &Facts) -> Vec<Finding> {
    let check = "device-mode";
    let Some(row) = facts.row("device-mode") else { return vec![] };
    let mode = text(row, "mode").unwrap_or("unknown");
    let forbidden: Vec<Finding> = [("hotspot", &HOTSPOT[..]), ("pptp", &["pptp"]), ("l2tp", &["l2tp"])]
        .into_iter()
        .filter(|(feature, _)| matches!(text(row, feature), Some("false" | "no")))
        .filter_map(|(feature, services)| {
            lack(
                facts,
                services,
                check,
                format!("device-mode {mode} forbids {feature}"),
                format!("at the router: /system device-mode update {feature}=yes, then press its button or cut its power within five minutes"),
            )
        })
        .collect();
    if forbidden.is_empty() {
        vec![Finding::good(check, format!("{mode}; it forbids nothing that is sold here"))]
    } else {
        forbidden
    }
}

pub(super) fn packages(facts: &Facts) -> Vec<Finding> {
    let check = "packages";
    if let Some((major, _)) = facts.release().filter(|(major, _)| *major >= 7) {
        return vec![Finding::good(check, format!("RouterOS {major} holds ppp and hotspot"))];
    }
    if !facts.was_read("packages") || facts.release().is_none() {
        return vec![];
    }
    let lacking: Vec<Finding> = [("ppp", &PPP_SERVICES[..]), ("hotspot", &HOTSPOT[..])]
        .into_iter()
        .filter(|(name, _)| lacks_package(facts, name))
        .filter_map(|(name, services)| {
            lack(
                facts,
                services,
                check,
                format!("the package {name} is missing or disabled"),
                format!("/system package enable {name}; if it is not listed, copy it from MikroTik's extra packages; then /system reboot"),
            )
        })
        .collect();
    if lacking.is_empty() {
        vec![Finding::good(check, "ppp and hotspot, as far as they are needed")]
    } else {
        lacking
    }
}

fn is_set_in(facts: &Facts, question: &str, property: &str) -> bool {
    facts.row(question).is_some_and(|row| is_set(row, property))
}

/// Whether a router of release 6 is known to do without a package. From release 7 on they are part of the one package.
fn lacks_package(facts: &Facts, name: &str) -> bool {
    facts.was_read("packages")
        && facts.release().is_some_and(|(major, _)| major < 7)
        && !facts
            .rows("packages")
            .iter()
            .any(|row| text(row, "name") == Some(name) && !is_set(row, "disabled"))
}

/// How many sessions a licence lets in at a time: of PPPoE, PPTP and L2TP each, and of the hotspot. `None` for no end.
fn limits(level: &str) -> Option<(Option<u64>, Option<u64>)> {
    match level {
        "0" | "1" => Some((Some(1), Some(1))),
        "3" => Some((Some(200), Some(1))),
        "4" => Some((Some(200), Some(200))),
        "5" => Some((Some(500), Some(500))),
        "6" => Some((None, None)),
        "p1" | "p10" | "p-unlimited" | "punlimited" => Some((None, None)),
        _ => None,
    }
}

pub(super) fn licence(facts: &Facts) -> Vec<Finding> {
    let check = "licence";
    let Some(level) = facts.value("license", "nlevel").or(facts.value("license", "level")) else {
        return vec![];
    };
    if level == "free" {
        return vec![Finding::bad(
            check,
            "the free licence of a CHR carries 1 Mbit/s an interface",
            "buy a licence p1 or better: /system license renew",
        )];
    }
    let Some((ppp, hotspot)) = limits(level) else {
        return vec![Finding::doubtful(
            check,
            format!("level {level} is not known"),
            "/system license print",
        )];
    };
    let rows = |name: &str| facts.counts.get(name).copied();
    let tunnels = TUNNELS.map(|service| (service, facts.lines_of(&[service]), ppp));
    let guests = ("hotspot", facts.lines_of(&["hotspot"]).or_else(|| rows("hotspot-users")), hotspot);
    // Without the agent only the sum of all secrets is known.
    let all = if facts.lines.is_none() { Some(("ppp", rows("secrets"), ppp)) } else { None };
    let mut findings = Vec::new();
    for (service, lines, limit) in tunnels.into_iter().chain([guests]).chain(all) {
        let (Some(lines), Some(limit)) = (lines, limit) else { continue };
        let detail = format!(
            "level {level} lets {} of {service} in at a time, and {lines} may come",
            counted(limit, "session")
        );
        let cure = "a higher level lets more in: /system license print; or put some on another router";
        if lines > limit {
            findings.push(Finding::bad(check, detail, cure));
        } else if lines.saturating_mul(100) >= limit.saturating_mul(FULL_PERCENT) && limit > 1 {
            findings.push(Finding::doubtful(check, detail, cure));
        }
    }
    if findings.is_empty() {
        findings.push(enough(facts, level, ppp, hotspot));
    }
    findings
}

/// No more than this licence lets in is known to come.
fn enough(facts: &Facts, level: &str, ppp: Option<u64>, hotspot: Option<u64>) -> Finding {
    let check = "licence";
    let (Some(ppp), Some(hotspot)) = (ppp, hotspot) else {
        return Finding::good(check, format!("level {level} lets everybody in"));
    };
    if facts.lines.is_some() {
        return Finding::good(check, format!("level {level} is enough for what is sold here"));
    }
    let detail = format!(
        "level {level} lets {} of each PPP service and {} of the hotspot in at a time; how many lines need it is known {}",
        counted(ppp, "session"),
        counted(hotspot, "session"),
        facts.lines_known,
    );
    match ppp {
        0 | 1 => Finding::doubtful(check, detail, "a higher level lets more in: /system license print"),
        _ => Finding::good(check, detail),
    }
}

pub(super) fn readable(facts: &Facts) -> Vec<Finding> {
    let check = "customers";
    let shown: Vec<String> = [("secrets", "PPP secrets"), ("hotspot-users", "hotspot users")]
        .into_iter()
        .filter_map(|(name, words)| facts.counts.get(name).map(|count| format!("{count} {words}")))
        .collect();
    let mut findings = vec![];
    if !shown.is_empty() {
        findings.push(Finding::good(check, format!("our user may read them: {}", shown.join(", "))));
    }
    for (name, services, package) in
        [("secrets", &PPP_SERVICES[..], "ppp"), ("hotspot-users", &HOTSPOT[..], "hotspot")]
    {
        // Of a package that is missing, `packages` has told.
        if facts.is_absent(name) && !lacks_package(facts, package) {
            findings.extend(lack(
                facts,
                services,
                check,
                format!("the router has no menu for {name}"),
                "install the package: /system package print",
            ));
        }
    }
    findings
}

pub(super) fn servers(facts: &Facts) -> Vec<Finding> {
    let check = "servers";
    let is_on = |row: &Row| !is_set(row, "disabled") && !is_set(row, "invalid");
    let pppoe = facts.rows("pppoe-servers").iter().filter(|row| is_on(row)).count();
    let hotspots = facts.rows("hotspots").iter().filter(|row| is_on(row)).count();
    let is_enabled = |question: &str| {
        // A list in newer releases, one row with `enabled` in older ones.
        facts
            .rows(question)
            .iter()
            .any(|row| is_set(row, "enabled") || matches!(text(row, "disabled"), Some("false" | "no")))
    };
    let there = [
        (
            "pppoe-servers",
            "pppoe",
            &["pppoe"][..],
            pppoe > 0,
            "tawi-agent router-script --pppoe <where customers are>, and paste what it prints",
        ),
        (
            "l2tp-server",
            "l2tp",
            &["l2tp"],
            is_enabled("l2tp-server"),
            "tawi-agent router-script --l2tp, and paste what it prints; or on the router: /interface l2tp-server server set enabled=yes",
        ),
        (
            "pptp-server",
            "pptp",
            &["pptp"],
            is_enabled("pptp-server"),
            "tawi-agent router-script --pptp, and paste what it prints; or on the router: /interface pptp-server server set enabled=yes",
        ),
        (
            "ovpn-server",
            "ovpn",
            &["openvpn"],
            is_enabled("ovpn-server"),
            "tawi-agent router-script --openvpn <its certificate>, and paste what it prints; or on the router: /interface ovpn-server server print, and enable one",
        ),
        (
            "hotspots",
            "hotspot",
            &HOTSPOT,
            hotspots > 0,
            "/ip hotspot setup; a server that is there and invalid: /ip hotspot print",
        ),
    ];
    let mut findings = Vec::new();
    let mut running = Vec::new();
    for (question, name, services, is_running, cure) in there {
        if is_running {
            running.push(name);
        } else if facts.was_read(question) && (facts.lines.is_some() || PPP.first() == Some(&name)) {
            findings.extend(lack(facts, services, check, format!("no {name} server is enabled"), cure));
        }
    }
    if findings.is_empty() && !running.is_empty() {
        findings.push(Finding::good(check, format!("enabled: {}", running.join(", "))));
    }
    findings
}

/// Rows whose pool is none of those that are there: `*2` is what a router shows of a pool that was removed.
fn without_pool<'f>(facts: &'f Facts, question: &str, property: &str) -> Vec<&'f str> {
    let is_pool = |value: &str| facts.rows("pools").iter().any(|pool| text(pool, "name") == Some(value));
    let is_known =
        |value: &str| value == "none" || value.parse::<std::net::IpAddr>().is_ok() || is_pool(value);
    let broken =
        facts.rows(question).iter().filter(|row| text(row, property).is_some_and(|value| !is_known(value)));
    broken.filter_map(|row| text(row, "name")).collect()
}

pub(super) fn pools(facts: &Facts) -> Vec<Finding> {
    let check = "pools";
    if !facts.was_read("pools") {
        return vec![];
    }
    let places = [
        (
            "ppp-profiles",
            "remote-address",
            "PPP profiles",
            "/ppp profile print; /ip pool add name=<as there> ranges=10.64.0.2-10.64.255.254",
        ),
        (
            "hotspot-profiles",
            "address-pool",
            "hotspot user profiles",
            "/ip hotspot user profile print; /ip pool print",
        ),
        ("hotspots", "address-pool", "hotspot servers", "/ip hotspot print; /ip pool print"),
    ];
    let mut findings = Vec::new();
    for (question, property, words, cure) in places {
        let broken = without_pool(facts, question, property);
        if let Some(more) = broken.len().checked_sub(1) {
            let names: Vec<&str> = broken.iter().take(SHOWN).copied().collect();
            let rest = if more >= SHOWN { " and more" } else { "" };
            findings.push(Finding::bad(
                check,
                format!("{words} name an address pool that is not there: {}{rest}", names.join(", ")),
                cure,
            ));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::good(
            check,
            format!("{}; every profile names one that is there", counted(facts.rows("pools").len(), "pool")),
        ));
    }
    findings
}

pub(super) fn default_profile(facts: &Facts) -> Vec<Finding> {
    let check = "default profile";
    let Some(row) = facts.rows("ppp-profiles").iter().find(|row| text(row, "name") == Some("default")) else {
        return vec![];
    };
    let lacking: Vec<&str> = ["local-address", "remote-address"]
        .into_iter()
        .filter(|property| text(row, property).is_none())
        .collect();
    if lacking.is_empty() {
        return vec![Finding::good(check, "it gives customers an address")];
    }
    let detail =
        format!("the PPP profile default, from which ours are made, has no {}", lacking.join(" and no "));
    let cure = "/ip pool add name=pppoe ranges=10.64.0.2-10.64.255.254; /ppp profile set default local-address=10.64.0.1 remote-address=pppoe";
    match facts.lines_by_template {
        // Each has an address of its own, or a pool by its plan.
        Some(0) => vec![],
        Some(lines) if lacking.contains(&"remote-address") => {
            let who = counted(lines, "line");
            let verb = if lines == 1 { "gets its" } else { "get their" };
            vec![Finding::bad(check, format!("{detail}; {who} {verb} address by it"), cure)]
        }
        // Lines may have addresses of their own, so this alone keeps nobody out for certain.
        _ => {
            let finding = lack(facts, &PPP_SERVICES, check, detail, cure);
            finding.into_iter().map(|finding| Finding { verdict: Verdict::Doubtful, ..finding }).collect()
        }
    }
}

/// Ours are made from `default`, and one that was made before that was finished gives nobody an address.
pub(super) fn our_profiles(facts: &Facts) -> Vec<Finding> {
    let check = "our profiles";
    let is_ours = |row: &&Row| text(row, "comment") == Some(PROFILE_MARK);
    let ours: Vec<&Row> = facts.rows("ppp-profiles").iter().filter(is_ours).collect();
    if ours.is_empty() {
        return vec![];
    }
    let is_lacking =
        |row: &&&Row| text(row, "local-address").is_none() || text(row, "remote-address").is_none();
    let names: Vec<&str> = ours.iter().filter(is_lacking).filter_map(|row| text(row, "name")).collect();
    if names.is_empty() {
        let detail =
            format!("{} of ours, and each gives customers an address", counted(ours.len(), "profile"));
        return vec![Finding::good(check, detail)];
    }
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    let rest = if names.len() > SHOWN { " and more" } else { "" };
    // Lines may have addresses of their own, so this alone keeps nobody out for certain.
    vec![Finding::doubtful(
        check,
        format!("made by the agent, and without an address for the router or for customers: {shown}{rest}"),
        format!(
            "give default both (/ppp profile print detail), which the agent's profiles follow within two minutes while it runs; else: tawi-agent rebuild --router {}",
            facts.router
        ),
    )]
}

/// Properties by which a rule speaks of some packets only.
const CONDITIONS: [&str; 11] = [
    "src-address-list",
    "dst-address-list",
    "connection-mark",
    "packet-mark",
    "in-interface",
    "in-interface-list",
    "out-interface",
    "out-interface-list",
    "src-address",
    "dst-address",
    "dst-address-type",
];

fn has_conditions(row: &Row) -> bool {
    CONDITIONS.iter().any(|name| text(row, name).is_some())
}

/// Whether a rule is on and speaks of questions for names alone.
fn is_of_names(row: &Row) -> bool {
    !is_set(row, "disabled")
        && text(row, "dst-port").is_some_and(|ports| ports.split(',').any(|port| port == "53"))
}

fn is_fasttrack(row: &Row) -> bool {
    text(row, "action") == Some("fasttrack-connection") && !is_set(row, "disabled")
}

pub(super) fn fasttrack(facts: &Facts) -> Vec<Finding> {
    let check = "fasttrack";
    if !facts.was_read("rules") {
        return vec![];
    }
    let mut rules = facts.rows("rules").iter().filter(|row| is_fasttrack(row)).peekable();
    if rules.peek().is_none() {
        return vec![Finding::good(check, "no rule lets traffic pass the queues")];
    }
    if rules.all(has_conditions) {
        return vec![Finding::doubtful(
            check,
            "a FastTrack rule lets some traffic pass the queues and the walled garden",
            "make sure that no customer's traffic fits it: /ip firewall filter print where action=fasttrack-connection; what is taken out of it costs the router's processor: /system resource monitor",
        )];
    }
    let cure = "/ip firewall filter disable [find where action=fasttrack-connection]; it costs the router's processor, which then handles every packet: look at the busy hour with /system resource monitor, and where it stays above 80 % get a faster router";
    let detail = "FastTrack lets all established traffic pass queues and walled garden: speeds are not kept, and usage counted by queues is too low";
    let all = [&PPP_SERVICES[..], &HOTSPOT, &["static"]].concat();
    vec![lack(facts, &all, check, detail, cure).unwrap_or_else(|| Finding::doubtful(check, detail, cure))]
}

pub(super) fn walls(facts: &Facts) -> Vec<Finding> {
    let check = "walled garden";
    if !facts.was_read("rules") {
        return vec![];
    }
    let rules = facts.rows("rules");
    // Lines without a login have nothing else that bars them; those of PPP have nothing else that walls them in.
    let barred = |list: &str, detail: String, cure: &'static str| {
        let walled = facts.walled.filter(|_| list == WALLED_LIST).and_then(said_of_walled);
        let detail = walled.as_ref().map_or(detail.clone(), |said| format!("{detail}; {said}"));
        match lack(facts, &BARRED_BY_LIST, check, detail.clone(), cure) {
            Some(finding) if walled.is_none() => finding,
            Some(finding) => Finding::bad(check, finding.detail, cure),
            None if walled.is_some() => Finding::bad(check, detail, cure),
            None => Finding::doubtful(check, detail, cure),
        }
    };
    let jump_to = |list: &str| {
        rules.iter().position(|row| {
            text(row, "chain") == Some("forward")
                && text(row, "jump-target") == Some(list)
                && !is_set(row, "disabled")
        })
    };
    let has_rules =
        |list: &str| rules.iter().any(|row| text(row, "chain") == Some(list) && !is_set(row, "disabled"));
    for list in [WALLED_LIST, OFF_LIST] {
        if jump_to(list).is_none() || !has_rules(list) {
            return vec![barred(
                list,
                format!("no rule speaks of the address list {list}: who is put there goes on as before"),
                SCRIPT,
            )];
        }
    }
    let last_jump = jump_to(WALLED_LIST).max(jump_to(OFF_LIST));
    let fasttrack = rules.iter().position(|row| is_fasttrack(row) && text(row, "chain") == Some("forward"));
    if fasttrack.is_some() && fasttrack < last_jump {
        return vec![barred(
            WALLED_LIST,
            "its rules stand behind a FastTrack rule, which most packets never get past".to_owned(),
            "/ip firewall filter move the jumps to the top of the chain forward, or remove them and paste the script again",
        )];
    }
    let is_open_to_all = |row: &Row| {
        let is_accepted = text(row, "chain") == Some(WALLED_LIST) && text(row, "action") == Some("accept");
        is_accepted && is_of_names(row) && !has_conditions(row)
    };
    if rules.iter().any(is_open_to_all) {
        return vec![Finding::doubtful(
            check,
            "who has not paid reaches any host on port 53, where a tunnel is the Internet for nothing",
            SCRIPT,
        )];
    }
    if let Some((detail, cure)) = lack_of_names(facts) {
        return vec![Finding::doubtful(check, detail, cure)];
    }
    vec![Finding::good(check, format!("rules for {WALLED_LIST} and {OFF_LIST} are there"))]
}

/// Who reaches everything where nothing walls in; `None` where nobody is to be walled in.
fn said_of_walled(walled: Walled) -> Option<String> {
    match walled {
        Walled { by_plan: 0, .. } => None,
        Walled { now: 0, by_plan: 1 } => Some("1 line has a plan that walls in".to_owned()),
        Walled { now: 0, by_plan } => Some(format!("{by_plan} lines have plans that wall in")),
        Walled { now, by_plan } => {
            let are = if now == 1 { "is" } else { "are" };
            let lines = counted(now, "line");
            Some(format!("{lines} {are} walled in at this moment, of {by_plan} with a plan that walls in"))
        }
    }
}

/// What keeps who has not paid from looking up what they may reach, with its cure.
fn lack_of_names(facts: &Facts) -> Option<(String, &'static str)> {
    let is_in_use = |row: &&Row| !is_set(row, "disabled");
    let reaches_nothing =
        facts.was_read("pay-list") && !facts.rows("pay-list").iter().any(|row| is_in_use(&row));
    if !facts.was_read("nat") || reaches_nothing {
        return None;
    }
    let find = |question: &str, chain: &str, actions: &[&str], protocol: &str| {
        facts.rows(question).iter().find(|row| {
            let does = text(row, "action").is_some_and(|action| actions.contains(&action));
            let fits = text(row, "protocol").is_none_or(|of| of == protocol);
            let is_theirs = text(row, "src-address-list") == Some(WALLED_LIST);
            text(row, "chain") == Some(chain) && does && fits && is_theirs && is_of_names(row)
        })
    };
    for protocol in ["udp", "tcp"] {
        let Some(led) = find("nat", "dstnat", &["redirect", "dst-nat"], protocol) else {
            let detail = format!(
                "questions for names over {protocol} are led nowhere, so that who has not paid and asks another resolver finds no page"
            );
            return Some((detail, SCRIPT));
        };
        // A resolver of its own answers for itself.
        if text(led, "action") != Some("redirect") {
            continue;
        }
        if facts.was_read("dns") && !is_set_in(facts, "dns", "allow-remote-requests") {
            return Some((
                "the router answers no questions for names, so that who has not paid finds no page"
                    .to_owned(),
                "/ip dns set allow-remote-requests=yes, with port 53 barred in the chain input on every interface to the Internet; or name resolvers: tawi-agent router-script --resolver",
            ));
        }
        if find("rules", "input", &["accept"], protocol).is_none() {
            let detail = format!(
                "no rule in the chain input lets who has not paid ask the router for names over {protocol}"
            );
            return Some((detail, SCRIPT));
        }
    }
    None
}

pub(super) fn logging(facts: &Facts) -> Vec<Finding> {
    let check = "account log";
    if !facts.was_read("logging") {
        return vec![];
    }
    let rules = facts.rows("logging").iter().filter(|row| !is_set(row, "disabled"));
    let speaks_of = |row: &Row, topic: &str| {
        text(row, "topics").is_some_and(|topics| topics.split([',', ';']).any(|word| word == topic))
    };
    let is_ours = |row: &&Row| text(row, "action") == Some(LOG_ACTION) && speaks_of(row, "account");
    if rules.clone().any(|row| is_ours(&row)) {
        return vec![Finding::good(check, "account lines have a buffer of their own")];
    }
    let is_kept = rules.clone().any(|row| speaks_of(row, "account") || speaks_of(row, "info"));
    let detail = if is_kept {
        "account lines share a buffer with everything else, which holds them for hours at best"
    } else {
        "no rule keeps account lines: the traffic of a session after the last sample is not counted"
    };
    vec![Finding::doubtful(check, detail, SCRIPT)]
}
