//! One change at a time to a sound router, and what the checks make of it.

use std::collections::BTreeMap;

use super::super::facts::Row;
use super::super::finding::Verdict::{self, Bad, Doubtful, Good};
use super::super::memory::Seen;
use super::*;
use crate::health::Walled;
use crate::reconcile::actual::PROFILE_MARK;

fn rows(text: &str) -> Answer {
    let row = |line: &str| -> Row {
        line.split_whitespace()
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    Answer::Rows(text.split(" / ").filter(|line| !line.trim().is_empty()).map(row).collect())
}

/// A router as the set-up script leaves it, with 20 PPPoE lines and 10 guests.
fn sound() -> Facts {
    let answers = [
        (
            "resource",
            "version=7.18.2 board-name=RB5009 free-hdd-space=90000000 write-sect-total=9000 bad-blocks=0%",
        ),
        ("identity", "name=tower"),
        ("routerboard", "serial-number=H1"),
        ("license", "nlevel=5 software-id=ABCD"),
        ("ntp", "enabled=true"),
        ("device-mode", "mode=advanced hotspot=true pptp=true l2tp=true"),
        ("packages", "name=routeros disabled=false"),
        ("user", "name=tawi group=tawi"),
        ("groups", "name=full policy=read,write,api,policy / name=tawi policy=!local,read,write,api,!policy"),
        (
            "services",
            "name=api-ssl disabled=false address=10.0.0.2/32 certificate=tawi-api max-sessions=20 / name=api disabled=true",
        ),
        (
            "rules",
            "chain=forward jump-target=tawi-off / chain=forward jump-target=tawi-walled / chain=tawi-walled action=drop / chain=tawi-off action=drop / chain=input action=accept protocol=udp src-address-list=tawi-walled dst-port=53 / chain=input action=accept protocol=tcp src-address-list=tawi-walled dst-port=53",
        ),
        (
            "nat",
            "chain=dstnat action=redirect protocol=udp src-address-list=tawi-walled dst-port=53 / chain=dstnat action=redirect protocol=tcp src-address-list=tawi-walled dst-port=53",
        ),
        ("pay-list", "address=203.0.113.10"),
        ("dns", "allow-remote-requests=true"),
        ("logging", "topics=info action=memory / topics=ppp,account action=tawiacct"),
        ("pools", "name=pppoe"),
        (
            "ppp-profiles",
            "name=default local-address=10.64.0.1 remote-address=pppoe / name=own remote-address=10.9.9.9",
        ),
        ("pppoe-servers", "interface=ether2 disabled=false"),
        ("l2tp-server", "enabled=false"),
        ("pptp-server", "enabled=false"),
        ("ovpn-server", ""),
        ("hotspots", "name=hs disabled=false invalid=false address-pool=none"),
        ("hotspot-profiles", "name=default"),
    ];
    Facts {
        user: "tawi".to_owned(),
        answers: answers.into_iter().map(|(name, text)| (name, rows(text))).collect(),
        counts: BTreeMap::from([("secrets", 20), ("hotspot-users", 10)]),
        clock_ahead_seconds: Some(2),
        lines: Some(BTreeMap::from([("pppoe".to_owned(), 20), ("hotspot".to_owned(), 10)])),
        seen: Some(Seen { serial: Some("H1".to_owned()), sectors: Some((1_000, 0)), sectors_before: None }),
        lines_known: "when the agent runs",
        now_ms: 86_400_000,
        ..Facts::default()
    }
}

fn check(name: &str, change: impl FnOnce(&mut Facts), verdict: Verdict, says: &str) {
    let mut facts = sound();
    change(&mut facts);
    let findings = all(&facts);
    let found: Vec<_> = findings.iter().filter(|finding| finding.check == name).collect();
    let fits = |finding: &&Finding| finding.verdict == verdict && finding.detail.contains(says);
    assert!(found.iter().any(fits), "{name} should be {verdict:?} and say {says:?}: {found:#?}");
    for finding in &findings {
        assert_eq!(finding.cure.is_empty(), finding.verdict == Good, "{finding:?}");
    }
}

/// One answer is another.
fn answer(name: &'static str, text: &'static str) -> impl FnOnce(&mut Facts) {
    move |facts| {
        facts.answers.insert(name, rows(text));
    }
}

#[test]
fn a_router_as_the_script_leaves_it_is_good_throughout() {
    let findings = all(&sound());
    let bad: Vec<_> = findings.iter().filter(|finding| finding.verdict != Good).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    assert!(findings.len() >= 15, "{findings:#?}");
}

#[test]
fn who_is_told_to_switch_fasttrack_off_is_told_what_it_costs() {
    for rule in ["", " src-address=10.0.0.0/8"] {
        let mut facts = sound();
        let rule = format!("chain=forward action=fasttrack-connection{rule}");
        facts.answers.insert("rules", rows(&rule));
        let found = all(&facts).into_iter().find(|finding| finding.check == "fasttrack").unwrap();
        assert!(found.verdict != Good && found.cure.contains("costs the router's processor"), "{found:?}");
    }
}

#[test]
fn who_may_do_what() {
    let group = |policy: &'static str| {
        move |facts: &mut Facts| {
            let row = Row::from([("name".into(), "tawi".into()), ("policy".into(), policy.into())]);
            facts.answers.insert("groups", Answer::Rows(vec![row]));
        }
    };
    check("policies", group("read,!write,api"), Bad, "lacks write");
    check("policies", group("read,write,!api"), Bad, "lacks api: the next login is refused");
    let cure_of = |policy: &'static str| {
        let mut facts = sound();
        group(policy)(&mut facts);
        all(&facts).into_iter().find(|finding| finding.check == "policies").unwrap().cure
    };
    let cure = cure_of("read,!api");
    assert!(cure.contains("policy=write,api") && !cure.contains("paste"), "{cure}");
    assert!(cure_of("read,!write,api").contains("paste"));
    check("policies", group("read,write,api,sensitive,test"), Good, "sensitive");
    check("policies", group("read,write,api,policy,ssh"), Doubtful, "policy, ssh");
    check("api service", answer("services", "name=api-ssl certificate=c"), Doubtful, "from everywhere");
    check(
        "api service",
        answer("services", "name=api-ssl available-from=10.0.0.2 certificate=c"),
        Good,
        "few",
    );
    check(
        "api service",
        answer("services", "name=api-ssl address=1 certificate=none"),
        Doubtful,
        "no certificate",
    );
    check("api service", answer("services", "name=api address=10.0.0.2"), Doubtful, "clear text");
    check(
        "api service",
        answer("services", "name=api-ssl address=1 certificate=c max-sessions=2"),
        Doubtful,
        "2 sessions",
    );
    check(
        "api service",
        answer(
            "services",
            "name=api-ssl address=1 certificate=c / name=api dynamic=true / name=api connection=true",
        ),
        Good,
        "few",
    );
    check(
        "reads",
        |facts| {
            facts.answers.insert("rules", Answer::Refused);
            facts.answers.insert("pools", Answer::Refused);
        },
        Bad,
        "pools, rules",
    );
    check(
        "reads",
        |facts| {
            facts.answers.insert("rules", Answer::Failed("no".into()));
        },
        Doubtful,
        "rules could not be read: no",
    );
}

#[test]
fn how_the_box_is() {
    let resource = |text: &'static str| answer("resource", text);
    check("release", resource("version=6.48.6"), Bad, "6.48.6");
    check("release", resource("version=6.49.10"), Good, "6.49.10");
    check("release", resource("version=7.1beta4"), Doubtful, "early");
    check("release", resource("version=7.23.2"), Doubtful, "hundred times");
    check("release", resource("version=7.30"), Doubtful, "newer");
    check("release", resource("version=eight"), Doubtful, "nothing is known");
    check(
        "identity",
        answer("routerboard", "serial-number=H2"),
        Bad,
        "another router than before, which was H1",
    );
    check("identity", answer("routerboard", ""), Bad, "ABCD");
    check("identity", |facts| facts.seen = None, Good, "H1");
    let of_agent = |board: &'static str, serial: &'static str, is_accepted| {
        move |facts: &mut Facts| {
            facts.board = Some(board.to_owned());
            facts.is_accepted = is_accepted;
            facts.answers.insert("routerboard", rows(serial));
        }
    };
    check("identity", of_agent("H2", "serial-number=H2", false), Good, "that the agent works with");
    check("identity", of_agent("H2", "serial-number=H1", false), Bad, "the agent's, which is H2");
    check("identity", of_agent("H1", "serial-number=H2", true), Doubtful, "the agent worked with H1");
    for board in [None, Some("H2")] {
        let mut facts = sound();
        facts.router = "core".to_owned();
        facts.board = board.map(str::to_owned);
        facts.answers.insert("routerboard", rows("serial-number=H9"));
        let cure = all(&facts).into_iter().find(|finding| finding.check == "identity").unwrap().cure;
        assert!(cure.contains("tawi-agent rebuild --router core"), "{cure}");
    }
    check("clock", |facts| facts.clock_ahead_seconds = Some(-90), Doubtful, "90 s behind");
    check("clock", |facts| facts.clock_ahead_seconds = Some(7_200), Bad, "one of them is wrong");
    check("clock", |facts| facts.clock_ahead_seconds = Some(-1_795_671_927), Bad, "20783 days behind");
    check("clock", answer("ntp", "enabled=false"), Doubtful, "off");
    check("flash", resource("free-hdd-space=1000000"), Doubtful, "976 KiB");
    check("flash", resource("free-hdd-space=1000"), Bad, "may not be saved");
    check("flash wear", resource("bad-blocks=0.1%"), Doubtful, "0.1 %");
    check("flash wear", resource("bad-blocks=12%"), Bad, "12 %");
    check("flash wear", resource("write-sect-total=9000"), Good, "8000 sectors a day");
    check("flash wear", resource("write-sect-total=90000"), Doubtful, "89000 sectors a day");
    check("flash wear", resource("write-sect-total=900"), Good, "the next visit");
    check("flash wear", |facts| facts.now_ms = 60_000, Good, "the next visit");
    let young = |uptime: &'static str| {
        move |facts: &mut Facts| {
            facts.now_ms = 60_000;
            resource("write-sect-total=90000 write-sect-since-reboot=80000")(facts);
            let Some(Answer::Rows(rows)) = facts.answers.get_mut("resource") else { panic!() };
            rows[0].insert("uptime".to_owned(), uptime.to_owned());
        }
    };
    check(
        "flash wear",
        young("1d"),
        Doubtful,
        "80000 sectors a day were written since the router was started",
    );
    // On the day when a router is set up, more is written than on all others.
    for uptime in ["10m", "2h", "23h59m"] {
        check("flash wear", young(uptime), Good, "the next visit");
    }
}

#[test]
fn what_was_told_of_the_flash_is_told_again_within_the_hour() {
    let mut facts = sound();
    facts.answers.insert("resource", rows("version=7.18.2 write-sect-total=90000"));
    let wear = |facts: &Facts| all(facts).into_iter().find(|finding| finding.check == "flash wear").unwrap();
    assert_eq!(wear(&facts).verdict, Doubtful);
    let first = wear(&facts).detail;
    facts.seen = Some(remembered(&facts));
    assert_eq!(wear(&facts).detail, first);
    facts.now_ms += 60_000;
    facts.seen = Some(remembered(&facts));
    assert_eq!(wear(&facts).verdict, Doubtful, "{:?}", facts.seen);
    // A day later it is the day that counts.
    facts.now_ms += 86_400_000;
    assert_eq!((wear(&facts).verdict, wear(&facts).detail.starts_with("0 sectors")), (Good, true));
}

#[test]
fn who_has_not_paid_asks_for_names_and_reaches_nobody_else_on_that_port() {
    let with = |rule: &str, dns: &'static str| {
        let Answer::Rows(mut found) = sound().answers.remove("rules").unwrap() else { panic!() };
        let Answer::Rows(more) = rows(rule) else { panic!() };
        found.extend(more);
        move |facts: &mut Facts| {
            facts.answers.insert("rules", Answer::Rows(found));
            facts.answers.insert("dns", rows(dns));
        }
    };
    let any = "chain=tawi-walled action=accept dst-port=53 protocol=udp";
    check("walled garden", with(any, "allow-remote-requests=true"), Doubtful, "any host on port 53");
    check("walled garden", with("", "allow-remote-requests=false"), Doubtful, "no questions for names");
    // One that was named does not help who is led to the router.
    let named = "chain=tawi-walled action=accept dst-port=53 dst-address=10.0.0.53";
    check("walled garden", with(named, "allow-remote-requests=false"), Doubtful, "no questions for names");
    for limited in ["dst-address-list=dns", "out-interface=lan", "out-interface-list=lan", "in-interface=lan"]
    {
        let rule = format!("chain=tawi-walled action=accept dst-port=53 protocol=udp {limited}");
        check("walled garden", with(&rule, "allow-remote-requests=true"), Good, "are there");
    }
}

#[test]
fn what_leads_questions_for_names_is_missed_where_something_may_be_reached() {
    let nat = |text: &'static str| answer("nat", text);
    const UDP: &str = "chain=dstnat action=redirect protocol=udp src-address-list=tawi-walled dst-port=53";
    check("walled garden", nat(""), Doubtful, "led nowhere");
    check("walled garden", nat(UDP), Doubtful, "over tcp are led nowhere");
    let half = "chain=dstnat action=redirect protocol=udp src-address-list=tawi-walled dst-port=53 disabled=true / chain=dstnat action=redirect protocol=tcp src-address-list=tawi-walled dst-port=53";
    check("walled garden", nat(half), Doubtful, "over udp are led nowhere");
    let nothing_to_reach = |facts: &mut Facts| {
        nat("")(facts);
        facts.answers.insert("pay-list", rows(""));
    };
    check("walled garden", nothing_to_reach, Good, "are there");
    let without_input = |facts: &mut Facts| {
        let Some(Answer::Rows(rules)) = facts.answers.get_mut("rules") else { panic!() };
        rules.retain(|row| row["chain"] != "input");
    };
    check("walled garden", without_input, Doubtful, "chain input");
    // Led to a resolver that was named, the router itself is not asked.
    let to_another = "chain=dstnat action=dst-nat protocol=udp src-address-list=tawi-walled dst-port=53 to-addresses=10.0.0.53 / chain=dstnat action=dst-nat protocol=tcp src-address-list=tawi-walled dst-port=53 to-addresses=10.0.0.53";
    let named = |facts: &mut Facts| {
        without_input(facts);
        nat(to_another)(facts);
        facts.answers.insert("dns", rows("allow-remote-requests=false"));
    };
    check("walled garden", named, Good, "are there");
}

#[test]
fn nobody_is_told_to_stay_where_the_router_is_not_any_more() {
    for version in ["version=7.30", "version=8.1"] {
        let mut facts = sound();
        facts.answers.insert("resource", rows(version));
        let found = all(&facts).into_iter().find(|finding| finding.check == "release").unwrap();
        assert!(!found.cure.contains("stay with"), "{found:?}");
    }
    check("packages", answer("resource", "version=8.1"), Good, "RouterOS 8 holds");
}

/// Whoever keeps it has a reason, so that pasting the script again, which would switch it off, is no help.
#[test]
fn an_open_api_is_closed_to_all_but_the_program_that_needs_it() {
    for (release, words) in [
        ("version=7.18.2", "/ip service set api address=192.0.2.10/32"),
        ("version=7.19", "set [/ip service find where name=api !dynamic] address=192.0.2.10/32"),
        ("version=7.24", "set [/ip service find where name=api !dynamic] available-from=192.0.2.10/32"),
    ] {
        let mut facts = sound();
        facts.answers.insert("resource", rows(release));
        let services =
            "name=api-ssl disabled=false address=10.0.0.2/32 certificate=tawi-api / name=api disabled=false";
        facts.answers.insert("services", rows(services));
        let found: Vec<_> = all(&facts).into_iter().filter(|found| found.check == "api service").collect();
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].detail.contains("clear text") && found[0].cure.contains(words), "{found:?}");
        assert!(!found[0].cure.contains("router-script"), "{found:?}");
    }
}

#[test]
fn a_release_that_nobody_tried_is_doubtful_and_names_the_newest_that_was() {
    let version = |text: &'static str| answer("resource", text);
    check("release", version("version=7.24.3 board-name=RB5009"), Good, "RouterOS 7.24.3");
    for newer in ["version=7.25", "version=7.30.1"] {
        check(
            "release",
            version(newer),
            Doubtful,
            "newer than the newest that this agent was tried with, which is 7.24",
        );
    }
    check("release", version("version=8.1"), Doubtful, "another generation");
    check("release", version("version=8.1"), Doubtful, "which is 7.24");
}

#[test]
fn what_customers_need() {
    let sold = |service: &'static str, count: u64| {
        move |facts: &mut Facts| {
            facts.lines = Some(BTreeMap::from([(service.to_owned(), count)]));
        }
    };
    check(
        "device-mode",
        answer("device-mode", "mode=home hotspot=no"),
        Bad,
        "forbids hotspot; this concerns 10 lines",
    );
    check("device-mode", answer("device-mode", "mode=home l2tp=no"), Good, "forbids nothing");
    check(
        "packages",
        |facts| {
            facts.answers.insert("resource", rows("version=6.49.10"));
            facts.answers.insert("packages", rows("name=system / name=ppp disabled=true / name=hotspot"));
        },
        Bad,
        "package ppp",
    );
    check("packages", answer("packages", ""), Good, "RouterOS 7 holds");
    let mut facts = sound();
    facts.answers.insert("resource", rows("version=6.49.10"));
    facts.answers.insert("packages", rows("name=system"));
    facts.answers.insert("device-mode", Answer::Absent);
    facts.counts.clear();
    facts.answers.insert("secrets", Answer::Absent);
    facts.answers.insert("hotspot-users", Answer::Absent);
    let told: Vec<_> = all(&facts).into_iter().filter(|finding| finding.verdict == Bad).collect();
    assert!(told.len() == 2 && told.iter().all(|told| told.check == "packages"), "{told:#?}");
    check("licence", sold("pppoe", 501), Bad, "lets 500 sessions of pppoe");
    check("licence", sold("l2tp", 450), Doubtful, "450 may come");
    check("licence", answer("license", "nlevel=3"), Bad, "lets 1 session of hotspot");
    check("licence", answer("license", "nlevel=6"), Good, "level 6");
    check("licence", answer("license", "level=free"), Bad, "1 Mbit/s");
    let without_agent = |level: &'static str| {
        move |facts: &mut Facts| {
            facts.answers.insert("license", rows(level));
            facts.lines = None;
            facts.counts.insert("secrets", 0);
            facts.counts.insert("hotspot-users", 0);
        }
    };
    check("licence", without_agent("nlevel=1"), Doubtful, "is known when the agent runs");
    check("licence", without_agent("nlevel=4"), Good, "is known when the agent runs");
    check("licence", without_agent("nlevel=6"), Good, "lets everybody in");
    check("device-mode", answer("device-mode", "mode=home pptp=no"), Good, "forbids nothing");
    check(
        "licence",
        |facts| {
            facts.lines = None;
            facts.counts.insert("secrets", 900);
        },
        Bad,
        "900 may come",
    );
    check("servers", answer("pppoe-servers", "interface=ether2 disabled=true"), Bad, "no pppoe server");
    check("servers", answer("hotspots", "name=hs invalid=true"), Bad, "no hotspot server");
    check("servers", sold("openvpn", 3), Bad, "no ovpn server");
    check(
        "servers",
        |facts| {
            sold("openvpn", 3)(facts);
            facts.answers.insert("ovpn-server", rows("name=o disabled=false"));
        },
        Good,
        "ovpn",
    );
    check("pools", answer("ppp-profiles", "name=gold remote-address=*2"), Bad, "gold");
    let ours = |rest: &str| {
        let rows = rows(&format!("name=home comment={PROFILE_MARK}{rest}"));
        move |facts: &mut Facts| drop(facts.answers.insert("ppp-profiles", rows))
    };
    check("our profiles", ours(""), Doubtful, "home");
    check("our profiles", ours(" local-address=10.0.0.1"), Doubtful, "home");
    check("our profiles", ours(" local-address=10.0.0.1 remote-address=10.0.0.2"), Good, "1 profile");
    check("pools", answer("hotspot-profiles", "name=guest address-pool=gone"), Bad, "guest");
    check(
        "default profile",
        answer("ppp-profiles", "name=default"),
        Doubtful,
        "no local-address and no remote-address",
    );
    let by_template = |lines: u64, rest: &str| {
        let rows = rows(&format!("name=default{rest}"));
        move |facts: &mut Facts| {
            facts.lines_by_template = Some(lines);
            facts.answers.insert("ppp-profiles", rows);
        }
    };
    check("default profile", by_template(3, ""), Bad, "3 lines get their address by it");
    check("default profile", by_template(3, " remote-address=pppoe"), Doubtful, "no local-address");
    let walls = "chain=forward jump-target=tawi-off / chain=forward jump-target=tawi-walled / chain=tawi-walled action=drop / chain=tawi-off action=drop";
    check("walled garden", answer("rules", ""), Doubtful, "tawi-walled");
    for (what, says) in [
        ("", "goes on as before; this concerns 5 lines"),
        ("chain=forward action=fasttrack-connection / ", "behind"),
    ] {
        let text = if what.is_empty() { String::new() } else { format!("{what}{walls}") };
        let change = move |facts: &mut Facts| {
            facts.lines = Some(BTreeMap::from([("pppoe".to_owned(), 20), ("static".to_owned(), 5)]));
            facts.answers.insert("rules", rows(&text));
        };
        check("walled garden", change, Bad, says);
    }
    let with = |walled: Walled, text: &'static str| {
        move |facts: &mut Facts| {
            facts.walled = Some(walled);
            facts.answers.insert("rules", rows(text));
        }
    };
    let behind = "chain=forward action=fasttrack-connection / chain=forward jump-target=tawi-off / chain=forward jump-target=tawi-walled / chain=tawi-walled action=drop / chain=tawi-off action=drop";
    for text in ["", behind] {
        check(
            "walled garden",
            with(Walled { now: 1, by_plan: 3 }, text),
            Bad,
            "1 line is walled in at this moment, of 3",
        );
        check(
            "walled garden",
            with(Walled { now: 0, by_plan: 1 }, text),
            Bad,
            "1 line has a plan that walls in",
        );
        check("walled garden", with(Walled { now: 0, by_plan: 0 }, text), Doubtful, "");
    }
    // Who is off cannot log in by PPP, whatever stands in the firewall.
    let without_off = "chain=forward jump-target=tawi-walled / chain=tawi-walled";
    check("walled garden", with(Walled { now: 1, by_plan: 1 }, without_off), Doubtful, "tawi-off");
    check(
        "walled garden",
        answer("rules", "chain=forward jump-target=tawi-walled / chain=tawi-walled"),
        Doubtful,
        "tawi-off",
    );
    check(
        "walled garden",
        move |facts| {
            let text = format!("chain=forward action=fasttrack-connection / {walls}");
            facts.answers.insert("rules", rows(&text));
        },
        Doubtful,
        "behind a FastTrack rule",
    );
    check("fasttrack", answer("rules", "chain=forward action=fasttrack-connection"), Bad, "30 lines");
    check("fasttrack", answer("rules", "action=fasttrack-connection disabled=true"), Good, "no rule");
    check(
        "fasttrack",
        answer("rules", "action=fasttrack-connection src-address-list=staff"),
        Doubtful,
        "some traffic",
    );
    check("account log", answer("logging", "topics=info action=memory"), Doubtful, "share a buffer");
    check(
        "account log",
        answer("logging", "topics=ppp,account action=tawiacct disabled=true"),
        Doubtful,
        "no rule",
    );
}

#[test]
fn what_stands_before_our_rows_is_told_with_its_cure() {
    const OURS: &str = "name=l1 target=10.0.0.7/32 comment=tawi:l1";
    let queues = |text: &str, verdict, says: &str| {
        let found = rows(&text.replace("OURS", OURS));
        check("queues", |facts| drop(facts.answers.insert("queues", found)), verdict, says);
    };
    queues("OURS", Good, "nothing");
    queues("name=all target=10.0.0.0/24 / OURS", Doubtful, "all for 10.0.0.0/24 stands before ours, l1");
    queues("name=all / OURS", Doubtful, "everything");
    queues("name=two target=10.9.9.9/32,10.0.0.7/32 / OURS", Doubtful, "two");
    queues("OURS / name=all target=10.0.0.0/24", Good, "");
    queues("name=other target=10.0.1.0/24 / OURS", Good, "");
    queues("name=off target=10.0.0.0/24 disabled=true / OURS", Good, "");
    queues("name=port target=ether5 / OURS", Good, "");
    queues("name=marked target=10.0.0.7/32 packet-marks=voip / OURS", Good, "");
    queues(
        "name=unmarked target=10.0.0.7/32 packet-marks=no-mark dst=0.0.0.0/0 / OURS",
        Doubtful,
        "unmarked",
    );
    queues("name=one-site target=10.0.0.7/32 dst=203.0.113.1/32 / OURS", Good, "");
    let many: Vec<String> = (0..7).map(|number| format!("name=q{number} target=10.0.0.7")).collect();
    queues(&format!("{} / OURS", many.join(" / ")), Doubtful, "2 more");

    const DEVICE: &str = "mac-address=02:00:00:00:00:AF address=10.80.0.3 type=bypassed comment=tawi:l2";
    let bindings = |text: &str, verdict, says: &str| {
        let found = rows(&text.replace("OURS", DEVICE));
        check("bindings", |facts| drop(facts.answers.insert("bindings", found)), verdict, says);
    };
    bindings("OURS", Good, "nothing");
    bindings("mac-address=02:00:00:00:00:af type=blocked / OURS", Doubtful, "(blocked)");
    bindings("address=10.80.0.3 / OURS", Doubtful, "10.80.0.3");
    bindings("mac-address=02:00:00:00:00:AF address=10.80.0.9 type=blocked / OURS", Good, "");
    bindings("mac-address=02:00:00:00:00:01 type=blocked / OURS", Good, "");
    bindings("OURS / mac-address=02:00:00:00:00:AF type=blocked", Good, "");
}

#[test]
fn what_is_not_sold_is_not_missed_and_what_nobody_knows_is_doubtful() {
    let without_servers = |facts: &mut Facts| {
        facts.answers.insert("pppoe-servers", rows(""));
    };
    let mut facts = sound();
    without_servers(&mut facts);
    facts.lines = Some(BTreeMap::new());
    assert!(all(&facts).iter().all(|finding| finding.verdict == Good), "{:#?}", all(&facts));
    check(
        "servers",
        |facts| {
            without_servers(facts);
            facts.lines = None;
        },
        Doubtful,
        "no pppoe server",
    );
}

#[test]
fn a_router_that_nobody_accepted_is_not_taken_for_the_one_that_was() {
    let mut facts = sound();
    assert_eq!(remembered(&facts).sectors, Some((9_000, 86_400_000)));
    facts.answers.insert("routerboard", rows("serial-number=H2"));
    assert_eq!(remembered(&facts).serial.as_deref(), Some("H1"), "and is told of again");
    facts.board = Some("H2".to_owned());
    assert_eq!(
        remembered(&facts).serial.as_deref(),
        Some("H2"),
        "the agent was told that it is the right one"
    );
    facts.board = Some("H1".to_owned());
    assert_eq!(remembered(&facts).serial.as_deref(), Some("H1"));
    facts.is_accepted = true;
    assert_eq!(remembered(&facts).serial.as_deref(), Some("H2"));
    let mut facts = sound();
    facts.now_ms = 60_000;
    assert_eq!(
        remembered(&facts).sectors,
        Some((1_000, 0)),
        "a young reading stays, so that an hour goes by"
    );
}
