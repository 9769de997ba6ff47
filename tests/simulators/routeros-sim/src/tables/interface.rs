//! `/interface`: ports, and the interfaces of those who dialled in.

use super::{
    Kind, Menu, Property, SETTINGS, Verb, bounded, choice, duration, fact, flag, number, reference, text,
};

const AUTHENTICATION: &[&str] = &["pap", "chap", "mschap1", "mschap2"];

pub(super) const MENUS: &[Menu] = &[
    Menu::list("interface", INTERFACE_VERBS, INTERFACE),
    Menu::list("interface/pppoe-server", SERVER_VERBS, PPPOE_SESSION)
        .unique(&["name"], "failure: already have interface with such name")
        .ending_sessions(),
    Menu::list("interface/pppoe-server/server", SERVER_VERBS, PPPOE_SERVER).keyed_by("service-name"),
    Menu::list("interface/l2tp-server", SERVER_VERBS, TUNNEL_SESSION)
        .unique(&["name"], "failure: already have interface with such name")
        .ending_sessions(),
    Menu::single("interface/l2tp-server/server", SETTINGS, L2TP_SERVER),
    Menu::list("interface/pptp-server", SERVER_VERBS, TUNNEL_SESSION)
        .unique(&["name"], "failure: already have interface with such name")
        .ending_sessions(),
    Menu::single("interface/pptp-server/server", SETTINGS, PPTP_SERVER),
    Menu::list("interface/ovpn-server", SERVER_VERBS, TUNNEL_SESSION)
        .unique(&["name"], "failure: already have interface with such name")
        .ending_sessions(),
    // One server until 7.16, a list of them since.
    Menu::single("interface/ovpn-server/server", SETTINGS, OVPN_SERVER).until(7, 17),
    Menu::list("interface/ovpn-server/server", SERVER_VERBS, OVPN_SERVERS)
        .since(7, 17)
        .unique(&["name"], "failure: already have server with such name"),
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
    text("name").required(),
    text("user").initially(""),
    text("service").initially(""),
    fact("remote-address"),
    fact("interface"),
    fact("mtu"),
    fact("mru"),
    fact("uptime"),
    fact("encoding"),
    fact("dynamic"),
    fact("running"),
    flag("disabled", "false"),
    text("comment"),
];

const TUNNEL_SESSION: &[Property] = &[
    text("name").required(),
    text("user").initially(""),
    fact("client-address"),
    fact("mtu"),
    fact("mru"),
    fact("uptime"),
    fact("encoding"),
    fact("dynamic"),
    fact("running"),
    flag("disabled", "false"),
    text("comment"),
];

const PPPOE_SERVER: &[Property] = &[
    text("service-name").initially("service1"),
    reference("interface", "interface", &[]).required(),
    Property::new("max-mtu", Kind::Number { least: 512, most: 65_535, words: &["auto"] }).initially("auto"),
    Property::new("max-mru", Kind::Number { least: 512, most: 65_535, words: &["auto"] }).initially("auto"),
    MRRU,
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

const PPTP_SERVER: &[Property] =
    &[ENABLED, TUNNEL_MTU, TUNNEL_MRU, MRRU, TUNNEL_AUTHENTICATION, TUNNEL_KEEPALIVE, TUNNEL_PROFILE];

const L2TP_SERVER: &[Property] = &[
    ENABLED,
    TUNNEL_MTU,
    TUNNEL_MRU,
    MRRU,
    TUNNEL_AUTHENTICATION,
    TUNNEL_KEEPALIVE,
    Property::new("max-sessions", Kind::Number { least: 1, most: 65_535, words: &["unlimited"] })
        .initially("unlimited"),
    TUNNEL_PROFILE,
    choice("use-ipsec", &["yes", "no", "required"], "no"),
    Property::new("ipsec-secret", Kind::Secret),
    choice("caller-id-type", &["ip-address", "number"], "ip-address"),
    flag("one-session-per-host", "no"),
    flag("allow-fast-path", "no"),
    choice("accept-proto-version", &["all", "l2tpv2", "l2tpv3"], "all"),
    choice("accept-pseudowire-type", &["all", "ether", "ppp"], "all"),
    text("l2tpv3-circuit-id").initially(""),
    choice("l2tpv3-cookie-length", &["0", "4-bytes", "8-bytes"], "0"),
    choice("l2tpv3-digest-hash", &["none", "md5", "sha1"], "md5"),
    text("l2tpv3-ether-interface-list"),
];

const OVPN_SERVER: &[Property] = &[
    ENABLED,
    OVPN_PORT,
    OVPN_MODE,
    OVPN_PROTOCOL,
    OVPN_NETMASK,
    OVPN_MAC,
    OVPN_MTU,
    OVPN_KEEPALIVE,
    OVPN_PROFILE,
    OVPN_CERTIFICATE,
    OVPN_CLIENT_CERTIFICATE,
    OVPN_TLS,
    OVPN_AUTH,
    OVPN_CIPHER,
    OVPN_RENEGOTIATION,
    text("redirect-gateway").initially("disabled").since(7, 0),
    text("push-routes").initially("").since(7, 14),
    flag("enable-tun-ipv6", "no").since(7, 0),
    number("ipv6-prefix-len").initially("64").since(7, 0),
    text("tun-server-ipv6").initially("::").since(7, 0),
];

const OVPN_SERVERS: &[Property] = &[
    text("name").required(),
    OVPN_PORT,
    OVPN_MODE,
    OVPN_PROTOCOL,
    OVPN_NETMASK,
    OVPN_MAC,
    OVPN_MTU,
    OVPN_KEEPALIVE,
    OVPN_PROFILE,
    OVPN_CERTIFICATE,
    OVPN_CLIENT_CERTIFICATE,
    OVPN_TLS,
    OVPN_AUTH,
    choice("user-auth-method", &["pap", "mschap2"], "pap"),
    OVPN_CIPHER,
    OVPN_RENEGOTIATION,
    text("redirect-gateway").initially("disabled"),
    text("push-routes").initially(""),
    text("push-routes-ipv6").since(7, 21),
    flag("enable-tun-ipv6", "no"),
    number("ipv6-prefix-len").initially("64"),
    text("tun-server-ipv6").initially("::"),
    text("vrf").initially("main"),
    flag("disabled", "yes"),
    text("comment"),
];

const OVPN_PORT: Property = bounded("port", 1, 65_535).initially("1194");
const OVPN_MODE: Property = choice("mode", &["ip", "ethernet"], "ip");
const OVPN_PROTOCOL: Property = choice("protocol", &["tcp", "udp"], "tcp").since(7, 0);
const OVPN_NETMASK: Property = bounded("netmask", 0, 32).initially("24");
const OVPN_MAC: Property = Property::new("mac-address", Kind::Mac).initially("FE:00:00:00:00:01");
const OVPN_MTU: Property = bounded("max-mtu", 1_280, 65_535).initially("1500");
const OVPN_KEEPALIVE: Property =
    Property::new("keepalive-timeout", Kind::Number { least: 0, most: 65_535, words: &["disabled"] })
        .initially("60");
const OVPN_PROFILE: Property = reference("default-profile", "ppp/profile", &[]).initially("default");
const OVPN_CERTIFICATE: Property = text("certificate").initially("none");
const OVPN_CLIENT_CERTIFICATE: Property = flag("require-client-certificate", "no");
const OVPN_TLS: Property = choice("tls-version", &["any", "only-1.2"], "any").since(7, 0);
const OVPN_AUTH: Property =
    Property::new("auth", Kind::Choices(&["md5", "sha1", "null", "sha256", "sha512"])).initially("sha1,md5");
const OVPN_CIPHER: Property = text("cipher").initially("blowfish128,aes128-cbc");
const OVPN_RENEGOTIATION: Property = number("reneg-sec").initially("3600").since(7, 0);

const ENABLED: Property = flag("enabled", "no");
const TUNNEL_MTU: Property = bounded("max-mtu", 512, 65_535).initially("1450");
const TUNNEL_MRU: Property = bounded("max-mru", 512, 65_535).initially("1450");
const MRRU: Property = Property::new("mrru", Kind::Number { least: 512, most: 65_535, words: &["disabled"] })
    .initially("disabled");
const TUNNEL_AUTHENTICATION: Property =
    Property::new("authentication", Kind::Choices(AUTHENTICATION)).initially("mschap1,mschap2");
const TUNNEL_KEEPALIVE: Property = duration("keepalive-timeout", &["disabled"]).initially("30s");
const TUNNEL_PROFILE: Property =
    reference("default-profile", "ppp/profile", &[]).initially("default-encryption");
