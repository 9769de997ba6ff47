//! `/ppp` and `/ip/pool`: who may dial in, with what, and who is in.

use super::{
    Kind, LIVE, Menu, PROFILE, Property, READ_ONLY, SETTINGS, Verb, bounded, choice, duration, fact, flag,
    number, reference, text,
};

const SERVICES: &[&str] = &["any", "async", "pptp", "pppoe", "l2tp", "ovpn", "sstp"];
const YES_NO_DEFAULT: &[&str] = &["yes", "no", "default"];
const REQUIRABLE: &[&str] = &["yes", "no", "default", "required"];

const fn address_or_pool(name: &'static str) -> Property {
    Property::new(name, Kind::Reference { menu: "ip/pool", words: &[], address: true })
}

pub(super) const MENUS: &[Menu] = &[
    Menu::list("ppp/secret", SECRET_VERBS, SECRET)
        .unique(&["name"], "failure: secret with the same name already exists"),
    Menu::list("ppp/profile", PROFILE, PPP_PROFILE)
        .unique(&["name"], "failure: profile with the same name already exists"),
    Menu::list("ppp/active", LIVE, ACTIVE),
    Menu::single("ppp/aaa", SETTINGS, AAA),
    Menu::list("ip/pool/used", READ_ONLY, POOL_USED).keyed_by("address"),
    Menu::list("ip/pool", POOL_VERBS, POOL).unique(&["name"], "failure: pool with such name exists"),
];

const SECRET_VERBS: &[Verb] = &[
    Verb::Print,
    Verb::Get,
    Verb::Listen,
    Verb::Add,
    Verb::Set,
    Verb::Remove,
    Verb::Enable,
    Verb::Unset,
    Verb::Comment,
];
const POOL_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Comment];

const SECRET: &[Property] = &[
    text("name").required(),
    choice("service", SERVICES, "any"),
    Property::new("caller-id", Kind::Caller),
    Property::new("password", Kind::Secret),
    reference("profile", "ppp/profile", &[]).initially("default"),
    Property::new("local-address", Kind::Address),
    Property::new("remote-address", Kind::Address),
    text("remote-ipv6-prefix"),
    text("routes"),
    text("ipv6-routes"),
    number("limit-bytes-in").initially("0"),
    number("limit-bytes-out").initially("0"),
    fact("last-logged-out"),
    fact("last-caller-id"),
    fact("last-disconnect-reason"),
    flag("disabled", "false"),
    text("comment"),
];

const PPP_PROFILE: &[Property] = &[
    text("name").required(),
    address_or_pool("local-address"),
    address_or_pool("remote-address"),
    text("bridge"),
    choice("bridge-learning", YES_NO_DEFAULT, "default"),
    number("bridge-horizon"),
    number("bridge-path-cost"),
    number("bridge-port-priority"),
    flag("bridge-port-trusted", "no").since(7, 17),
    bounded("bridge-port-vid", 1, 4094).since(7, 17),
    text("dhcpv6-pd-pool"),
    duration("dhcpv6-lease-time", &[]).since(7, 20),
    flag("dhcpv6-use-radius", "no").since(7, 20),
    text("remote-ipv6-prefix-pool"),
    flag("remote-ipv6-prefix-reuse", "no").since(7, 20),
    duration("session-timeout", &[]),
    duration("idle-timeout", &[]),
    choice("use-mpls", REQUIRABLE, "default"),
    choice("use-compression", YES_NO_DEFAULT, "default"),
    choice("use-encryption", REQUIRABLE, "default"),
    choice("use-ipv6", REQUIRABLE, "yes"),
    choice("use-upnp", YES_NO_DEFAULT, "default"),
    choice("only-one", YES_NO_DEFAULT, "default"),
    choice("change-tcp-mss", YES_NO_DEFAULT, "default"),
    Property::new("rate-limit", Kind::RateLimit),
    text("address-list"),
    text("incoming-filter"),
    text("outgoing-filter"),
    text("interface-list"),
    text("dns-server"),
    text("wins-server"),
    reference("parent-queue", "queue/simple", &["none"]),
    reference("insert-queue-before", "queue/simple", &["first", "bottom"]),
    text("queue-type"),
    text("on-up").initially(""),
    text("on-down").initially(""),
    fact("default"),
    text("comment"),
];

const ACTIVE: &[Property] = &[
    fact("name"),
    fact("service"),
    fact("caller-id"),
    fact("address"),
    fact("uptime"),
    fact("encoding"),
    fact("session-id"),
    fact("limit-bytes-in"),
    fact("limit-bytes-out"),
    fact("radius"),
    fact("comment"),
];

const AAA: &[Property] = &[
    flag("use-radius", "no"),
    flag("accounting", "yes"),
    duration("interim-update", &[]).initially("0s"),
    flag("use-circuit-id-in-nas-port-id", "no"),
    flag("enable-ipv6-accounting", "no").since(7, 16),
];

const POOL: &[Property] = &[
    text("name").required(),
    Property::new("ranges", Kind::Ranges).required(),
    reference("next-pool", "ip/pool", &["none"]),
    text("comment"),
];

const POOL_USED: &[Property] = &[fact("pool"), fact("address"), fact("owner"), fact("info")];
