//! `/ip/hotspot`: captive-portal servers, users, and who is logged in.

use super::{Kind, LIVE, Menu, Property, Verb, choice, duration, fact, flag, number, reference, text};

pub(super) const MENUS: &[Menu] = &[
    Menu::list("ip/hotspot", SERVER_VERBS, SERVER)
        .unique(&["name"], "failure: already have server with such name"),
    Menu::list("ip/hotspot/profile", PORTAL_PROFILE_VERBS, SERVER_PROFILE)
        .unique(&["name"], "failure: already have profile with this name"),
    Menu::list("ip/hotspot/user", USER_VERBS, USER)
        .unique(&["name", "server"], "failure: already have user with this name for this server"),
    Menu::list("ip/hotspot/user/profile", USER_PROFILE_VERBS, USER_PROFILE)
        .unique(&["name"], "failure: already have profile with this name"),
    Menu::list("ip/hotspot/active", ACTIVE_VERBS, ACTIVE).keyed_by("user"),
    Menu::list("ip/hotspot/cookie", LIVE, COOKIE).keyed_by("user"),
    Menu::list("ip/hotspot/host", LIVE, HOST).keyed_by("mac-address"),
];

const SERVER_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Enable];
const USER_VERBS: &[Verb] = &[
    Verb::Print,
    Verb::Get,
    Verb::Listen,
    Verb::Add,
    Verb::Set,
    Verb::Remove,
    Verb::Enable,
    Verb::Comment,
    Verb::ResetCounters,
];
const PORTAL_PROFILE_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove];
/// Hotspot profiles have no comment, so no mark can be left on them.
const USER_PROFILE_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Unset];
const ACTIVE_VERBS: &[Verb] = &[Verb::Print, Verb::Get, Verb::Listen, Verb::Remove, Verb::LogIn];
const LOGIN_METHODS: &[&str] = &["mac", "cookie", "http-chap", "https", "http-pap", "trial", "mac-cookie"];

const SERVER: &[Property] = &[
    text("name").required(),
    reference("interface", "interface", &[]).required(),
    reference("address-pool", "ip/pool", &["none"]).initially("none"),
    reference("profile", "ip/hotspot/profile", &[]).initially("default"),
    duration("idle-timeout", &["none"]).initially("5m"),
    duration("keepalive-timeout", &["none"]).initially("none"),
    duration("login-timeout", &["none"]).initially("none"),
    Property::new("addresses-per-mac", Kind::Number { least: 1, most: 65_535, words: &["unlimited"] })
        .initially("2"),
    fact("proxy-status"),
    fact("invalid"),
    fact("HTTPS"),
    fact("inactive").since(7, 0),
    fact("comment").since(7, 0),
    flag("disabled", "false"),
];

const SERVER_PROFILE: &[Property] = &[
    text("name").required(),
    Property::new("hotspot-address", Kind::Address),
    text("dns-name").initially(""),
    text("html-directory").initially("hotspot"),
    text("html-directory-override"),
    Property::new("rate-limit", Kind::RateLimit),
    text("http-proxy").initially("0.0.0.0:0"),
    Property::new("smtp-server", Kind::Address),
    Property::new("login-by", Kind::Choices(LOGIN_METHODS)).initially("cookie,http-chap"),
    duration("http-cookie-lifetime", &[]).initially("3d"),
    choice("mac-auth-mode", &["mac-as-username", "mac-as-username-and-password"], "mac-as-username"),
    Property::new("mac-auth-password", Kind::Secret),
    text("ssl-certificate"),
    flag("split-user-domain", "false"),
    flag("install-hotspot-queue", "false"),
    duration("trial-uptime-limit", &[]),
    duration("trial-uptime-reset", &[]),
    reference("trial-user-profile", "ip/hotspot/user/profile", &[]),
    flag("use-radius", "false"),
    flag("radius-accounting", "true"),
    duration("radius-interim-update", &["received"]).initially("received"),
    text("nas-port-type").initially("wireless-802.11"),
    text("radius-default-domain").initially(""),
    text("radius-location-id").initially(""),
    text("radius-location-name").initially(""),
    text("radius-mac-format").initially("XX:XX:XX:XX:XX:XX"),
    fact("default"),
];

const USER: &[Property] = &[
    reference("server", "ip/hotspot", &["all"]).initially("all"),
    text("name").required(),
    Property::new("password", Kind::Secret),
    Property::new("address", Kind::Address),
    Property::new("mac-address", Kind::Mac),
    reference("profile", "ip/hotspot/user/profile", &[]).initially("default"),
    text("routes"),
    text("email"),
    duration("limit-uptime", &[]),
    number("limit-bytes-in"),
    number("limit-bytes-out"),
    number("limit-bytes-total"),
    Property::new("totp-secret", Kind::Secret).since(7, 21).until(7, 22),
    Property::new("otp-secret", Kind::Secret).since(7, 22),
    fact("uptime"),
    fact("bytes-in"),
    fact("bytes-out"),
    fact("packets-in"),
    fact("packets-out"),
    fact("dynamic"),
    fact("default"),
    flag("disabled", "false"),
    text("comment"),
];

const USER_PROFILE: &[Property] = &[
    text("name").required(),
    reference("address-pool", "ip/pool", &["none"]),
    duration("session-timeout", &["none"]),
    duration("idle-timeout", &["none"]).initially("none"),
    duration("keepalive-timeout", &["none"]).initially("2m"),
    duration("status-autorefresh", &["none"]).initially("1m"),
    Property::new("shared-users", Kind::Number { least: 1, most: u64::MAX, words: &["unlimited"] })
        .initially("1"),
    flag("add-mac-cookie", "true"),
    duration("mac-cookie-timeout", &[]).initially("3d"),
    Property::new("rate-limit", Kind::RateLimit),
    text("address-list").initially(""),
    reference("parent-queue", "queue/simple", &["none"]),
    text("queue-type"),
    reference("insert-queue-before", "queue/simple", &["first", "bottom"]),
    text("incoming-filter"),
    text("outgoing-filter"),
    text("incoming-packet-mark"),
    text("outgoing-packet-mark"),
    choice("open-status-page", &["always", "http-login"], "always"),
    flag("transparent-proxy", "false"),
    flag("advertise", "no"),
    text("advertise-url"),
    text("advertise-interval"),
    text("advertise-timeout"),
    text("on-login"),
    text("on-logout"),
    fact("default"),
];

const ACTIVE: &[Property] = &[
    fact("server"),
    fact("user"),
    fact("domain"),
    fact("address"),
    fact("mac-address"),
    fact("login-by"),
    fact("uptime"),
    fact("idle-time"),
    fact("session-time-left"),
    fact("idle-timeout"),
    fact("keepalive-timeout"),
    fact("bytes-in"),
    fact("bytes-out"),
    fact("packets-in"),
    fact("packets-out"),
    fact("limit-bytes-in"),
    fact("limit-bytes-out"),
    fact("limit-bytes-total"),
    fact("radius"),
];

const COOKIE: &[Property] = &[
    fact("user"),
    fact("domain"),
    fact("mac-address"),
    Property::new("expires-in", Kind::Expiry).read_only(),
    fact("mac-cookie"),
];

const HOST: &[Property] = &[
    fact("mac-address"),
    fact("address"),
    fact("to-address"),
    fact("server"),
    fact("uptime"),
    fact("idle-time"),
    fact("idle-timeout"),
    fact("keepalive-timeout"),
    fact("bytes-in"),
    fact("bytes-out"),
    fact("packets-in"),
    fact("packets-out"),
    fact("found-by"),
    fact("dynamic"),
    fact("DHCP"),
    fact("authorized"),
    fact("bypassed"),
    fact("blocked"),
];
