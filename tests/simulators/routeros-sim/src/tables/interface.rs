//! `/interface`: ports, and the interfaces of those who dialled in.

use super::{
    Kind, LIVE, Menu, Property, SETTINGS, Verb, bounded, choice, duration, fact, flag, number, reference,
    text,
};

const AUTHENTICATION: &[&str] = &["pap", "chap", "mschap1", "mschap2"];

pub(super) const MENUS: &[Menu] = &[
    Menu::list("interface", INTERFACE_VERBS, INTERFACE),
    Menu::list("interface/pppoe-server", LIVE, PPPOE_SESSION),
    Menu::list("interface/pppoe-server/server", SERVER_VERBS, PPPOE_SERVER).keyed_by("service-name"),
    Menu::list("interface/l2tp-server", LIVE, TUNNEL_SESSION),
    Menu::single("interface/l2tp-server/server", SETTINGS, TUNNEL_SERVER),
    Menu::list("interface/pptp-server", LIVE, TUNNEL_SESSION),
    Menu::single("interface/pptp-server/server", SETTINGS, TUNNEL_SERVER),
    Menu::list("interface/ovpn-server", LIVE, TUNNEL_SESSION),
];

const INTERFACE_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Set, Verb::Enable, Verb::Comment, Verb::ResetCounters];
const SERVER_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Enable, Verb::Comment];

const INTERFACE: &[Property] = &[
    text("name"),
    fact("default-name"),
    fact("type"),
    number("mtu"),
    fact("actual-mtu"),
    number("l2mtu"),
    fact("mac-address"),
    fact("last-link-down-time"),
    fact("last-link-up-time"),
    fact("link-downs"),
    fact("rx-byte"),
    fact("tx-byte"),
    fact("rx-packet"),
    fact("tx-packet"),
    fact("rx-drop"),
    fact("tx-drop"),
    fact("tx-queue-drop"),
    fact("rx-error"),
    fact("tx-error"),
    fact("fp-rx-byte"),
    fact("fp-tx-byte"),
    fact("dynamic"),
    fact("running"),
    flag("disabled", "false"),
    text("comment"),
];

const PPPOE_SESSION: &[Property] = &[
    fact("name"),
    fact("user"),
    fact("service"),
    fact("remote-address"),
    fact("interface"),
    fact("mtu"),
    fact("mru"),
    fact("uptime"),
    fact("encoding"),
    fact("dynamic"),
    fact("running"),
    fact("disabled"),
    fact("comment"),
];

const TUNNEL_SESSION: &[Property] = &[
    fact("name"),
    fact("user"),
    fact("client-address"),
    fact("mtu"),
    fact("mru"),
    fact("uptime"),
    fact("encoding"),
    fact("dynamic"),
    fact("running"),
    fact("disabled"),
    fact("comment"),
];

const PPPOE_SERVER: &[Property] = &[
    text("service-name").initially("service1"),
    reference("interface", "interface", &[]).required(),
    Property::new("max-mtu", Kind::Number { least: 512, most: 65_535, words: &["auto"] }).initially("auto"),
    Property::new("max-mru", Kind::Number { least: 512, most: 65_535, words: &["auto"] }).initially("auto"),
    Property::new("mrru", Kind::Number { least: 512, most: 65_535, words: &["disabled"] })
        .initially("disabled"),
    Property::new("authentication", Kind::Choices(AUTHENTICATION)).initially("pap,chap,mschap1,mschap2"),
    duration("keepalive-timeout", &["disabled"]).initially("10s"),
    flag("one-session-per-host", "false"),
    Property::new("max-sessions", Kind::Number { least: 1, most: 65_535, words: &["unlimited"] })
        .initially("unlimited"),
    duration("pado-delay", &[]).initially("0s"),
    reference("default-profile", "ppp/profile", &[]).initially("default"),
    flag("accept-empty-service", "true"),
    flag("accept-untagged", "true").since(7, 20),
    text("pppoe-over-vlan-range").since(7, 17),
    fact("invalid"),
    flag("disabled", "false"),
    text("comment"),
];

const TUNNEL_SERVER: &[Property] = &[
    flag("enabled", "no"),
    bounded("max-mtu", 512, 65_535).initially("1450"),
    bounded("max-mru", 512, 65_535).initially("1450"),
    Property::new("mrru", Kind::Number { least: 512, most: 65_535, words: &["disabled"] })
        .initially("disabled"),
    Property::new("authentication", Kind::Choices(AUTHENTICATION)).initially("mschap1,mschap2"),
    duration("keepalive-timeout", &["disabled"]).initially("30s"),
    reference("default-profile", "ppp/profile", &[]).initially("default-encryption"),
    choice("use-ipsec", &["yes", "no", "required"], "no"),
];
