//! Options that are refused, what each release is told, and that all that is made is taken back.

use super::blocks::GROUPS;
use super::*;

fn setup(release: &str) -> Setup {
    Setup {
        release: parse_release(release).unwrap(),
        agent: Ipv4Addr::new(192, 168, 88, 2),
        also_allowed: vec![],
        router: Ipv4Addr::new(192, 168, 88, 1),
        port: 8729,
        user: Name::parse("--user", "tawi").unwrap(),
        group: Name::parse("--group", "tawi").unwrap(),
        extra_policies: vec![],
        keeps_plain_api: false,
        pppoe_interfaces: vec![Name::parse("--pppoe", "ether2").unwrap()],
        tunnels: BTreeSet::from([Tunnel::L2tp, Tunnel::Pptp]),
        openvpn_certificate: None,
        has_hotspot: true,
        pay_hosts: vec![Host::parse("pay.isp.example").unwrap()],
        pay_page: Some("203.0.113.10:8080".parse().unwrap()),
        resolvers: vec![],
        time_server: None,
    }
}

#[test]
fn options_that_a_script_cannot_hold_safely_are_refused() {
    for (text, is_right) in [
        ("pay.isp.example", true),
        ("203.0.113.10", true),
        ("203.0.113.1-254", false),
        ("203.0.113", false),
        ("pay isp", false),
        ("-pay.example", false),
        ("pay..example", false),
        ("", false),
        ("a\"b.example", false),
    ] {
        assert_eq!(Host::parse(text).is_ok(), is_right, "{text:?}");
    }
    for (text, is_right) in [
        ("tawi", true),
        ("ether2 wan", true),
        ("a\"; /user", false),
        ("$x", false),
        (" a", false),
        ("", false),
    ] {
        assert_eq!(Name::parse("--user", text).is_ok(), is_right, "{text:?}");
    }
    for (text, shown) in [
        ("192.168.88.7", Some("192.168.88.7/32")),
        ("192.168.88.7/24", Some("192.168.88.0/24")),
        ("192.168.88.7/0", None),
        ("192.168.88.7/33", None),
        ("all", None),
    ] {
        assert_eq!(parse_prefix(text).ok().as_deref(), shown, "{text:?}");
    }
    for (text, is_right) in [
        ("6.49", true),
        ("7.9", true),
        ("7.24", true),
        ("6.48.6", false),
        ("7.8", false),
        ("v7.18.2", true),
        ("7.30", true),
        ("8.1", true),
        ("5.26", false),
        ("vseven", false),
        ("seven", false),
    ] {
        assert_eq!(parse_release(text).is_ok(), is_right, "{text:?}");
    }
    let group = Name::parse("--group", "full").unwrap();
    assert_eq!(Setup { group, ..setup("7.18") }.check(), Err(SetupError::BuiltInGroup("full".to_owned())));
    let user = Name::parse("--user", "admin").unwrap();
    assert_eq!(Setup { user, ..setup("7.18") }.check(), Err(SetupError::BuiltInUser));
    assert_eq!(setup("7.18").check(), Ok(()));
}

#[test]
fn no_release_is_told_of_policies_and_arguments_that_it_does_not_know() {
    for (release, has, lacks) in [
        (
            "6.49",
            &["!dude", "!tikapp", "server-dns-names=", "set api-ssl address="][..],
            &["rest-api", "servers="][..],
        ),
        (
            "7.12",
            &["!rest-api", " servers=", "set api-ssl address="][..],
            &["dude", "tikapp", "server-dns"][..],
        ),
        ("7.18", &["/ip service get api-ssl disabled"][..], &["!dynamic] address="][..]),
        // Since then a name is also that of the connections to the service.
        (
            "7.19",
            &["/ip service set [/ip service find where name=\"api-ssl\" !dynamic] address="][..],
            &["service get api", "service set api"][..],
        ),
        ("7.24", &["!rest-api", "!dynamic] available-from="][..], &["!dynamic] address="][..]),
    ] {
        let script = setup(release).script("secret");
        has.iter().for_each(|text| assert!(script.contains(text), "{release} lacks {text}"));
        lacks.iter().for_each(|text| assert!(!script.contains(text), "{release} has {text}"));
    }
}

#[test]
fn tunnels_are_switched_on_as_the_release_has_them_and_only_those_that_are_asked_for() {
    let certificate = Name::parse("--openvpn", "vpn").unwrap();
    let with = |release| Setup { openvpn_certificate: Some(certificate.clone()), ..setup(release) };
    let on = "/interface l2tp-server server set enabled=yes";
    let one = "/interface ovpn-server server set certificate=vpn enabled=yes";
    let listed = "/interface ovpn-server server add certificate=vpn name=tawi disabled=no";
    for (release, has, lacks) in [("6.49", one, listed), ("7.16", one, listed), ("7.17", listed, one)] {
        let script = with(release).script("secret");
        assert!(script.contains(on) && script.contains(has), "{release}: {script}");
        assert!(!script.contains(lacks), "{release}: {script}");
        assert!(script.contains("there is no certificate vpn"), "{release}");
        assert_eq!(with(release).removal().contains("ovpn-server"), release == "7.17", "{release}");
    }
    let none = Setup { tunnels: BTreeSet::new(), ..setup("7.18") };
    let script = none.script("secret");
    assert!(!script.contains("l2tp-server") && !script.contains("pptp-server") && !script.contains("ovpn"));
}

#[test]
fn what_is_not_granted_is_denied_in_so_many_words() {
    let script = setup("7.18").script("secret");
    let policy = "policy=!local,!telnet,!ssh,!ftp,!reboot,read,write,!policy,!test,!winbox,!password,!web,!sniff,!sensitive,api,!romon,!rest-api";
    assert!(script.contains(policy), "{script}");
    let more = Setup { extra_policies: vec![ExtraPolicy::Sensitive, ExtraPolicy::Test], ..setup("7.18") };
    let script = more.script("secret");
    assert!(script.contains(",!policy,test,") && script.contains(",sensitive,api,"), "{script}");
}

#[test]
fn a_console_of_any_release_can_be_given_the_text() {
    for release in ["6.49", "7.24"] {
        let setup = setup(release);
        for text in [setup.script("Aa0"), setup.removal()] {
            assert!(text.is_ascii() && !text.contains(['?', '\t', '\r']), "a console would act on it");
            for line in text.lines().filter(|line| line.trim_start().starts_with('#')) {
                assert!(line.len() <= 100, "{line}");
            }
            let (opened, closed) = (text.matches('{').count(), text.matches('}').count());
            assert_eq!(opened, closed, "{text}");
        }
    }
}

#[test]
fn everything_that_is_made_by_group_is_taken_back_by_group() {
    let setup = setup("7.18");
    let (script, removal) = (setup.script("Zk3vTq8R"), setup.removal());
    for (menu, name) in GROUPS {
        assert!(
            script.contains(&format!("{menu} add ")) && script.contains(&format!("^{MARK} {name} ")),
            "{name}"
        );
        assert!(
            removal
                .contains(&format!("{menu} remove [{menu} find where comment~\"^{MARK} {name} \" !dynamic]")),
            "{name}"
        );
    }
    assert!(!removal.contains("Zk3vTq8R"));
}

#[test]
fn what_any_script_made_is_taken_back_whatever_this_one_is_asked_for() {
    let bare = |release: &str| Setup { has_hotspot: false, pppoe_interfaces: vec![], ..setup(release) };
    for release in ["6.49", "7.12", "7.18", "7.24"] {
        let removal = bare(release).removal();
        for (menu, name) in GROUPS {
            assert!(
                removal.contains(&format!("{menu} remove [{menu} find where comment~\"^{MARK} {name} \"")),
                "{release} {name}"
            );
        }
        assert!(removal.contains("pppoe-server server find where service-name=\"tawi\"]"), "{release}");
        assert_eq!(
            removal.contains("ovpn-server server find where name=\"tawi\"]"),
            release == "7.18" || release == "7.24"
        );
    }
    // A router of 6 that lacks a package stops at its line, when all else is done.
    let removal = bare("6.49").removal();
    assert!(removal.find("walled-garden").unwrap() > removal.find("/user remove").unwrap());
}

#[test]
fn a_release_that_is_newer_than_any_that_is_known_gets_the_script_of_the_newest_with_a_warning() {
    for release in ["7.30", "8.1"] {
        let newer = setup(release);
        for text in [newer.script("secret"), newer.removal()] {
            let head = text.lines().next().unwrap();
            assert!(head.starts_with("# WARNING: ") && head.contains("RouterOS 7.24"), "{head}");
            let words = text.replace("\n#", "");
            assert!(words.contains(&format!("untested on {release}")), "{text}");
        }
        let code = |text: String| {
            text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<String>()
        };
        assert_eq!(code(newer.script("secret")), code(setup("7.24").script("secret")));
    }
    assert_eq!(setup("7.24").warning(), None);
    assert!(!setup("7.24.3").script("secret").contains("WARNING"));
}

#[test]
fn resolvers_are_for_who_may_reach_a_page_and_the_router_is_open_only_where_it_is_asked() {
    let elsewhere = Setup { resolvers: vec![Ipv4Addr::new(10, 0, 0, 53)], ..setup("7.18") };
    let asks = "chain=input action=accept protocol=udp src-address-list=tawi-walled dst-port=53";
    assert!(!elsewhere.script("secret").contains(asks));
    assert!(setup("7.18").script("secret").contains(asks));
    let itself = Setup { resolvers: vec![elsewhere.router], ..elsewhere.clone() };
    assert!(itself.script("secret").contains(asks));
    let nothing = Setup { pay_hosts: vec![], pay_page: None, ..elsewhere };
    let refused = nothing.check().unwrap_err();
    assert_eq!(refused, SetupError::ResolverForNothing);
    assert!(refused.to_string().contains("--allow-host"), "{refused}");
}

#[test]
fn another_password_is_another_comment_and_the_same_is_the_same() {
    let comment = |password: &str| {
        let script = setup("7.18").script(password);
        let at = script.find("comment=\"tawi-setup user ").unwrap();
        script.get(at..).unwrap().chars().take(33).collect::<String>()
    };
    assert_eq!(comment("a"), comment("a"));
    assert_ne!(comment("a"), comment("b"));
}
