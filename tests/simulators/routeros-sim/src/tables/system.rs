//! `/system`, `/log`, `/user` and `/ip/service`: the box and who may talk to it.

use super::{
    EDITABLE, FACTS, Kind, Menu, Property, READ_ONLY, SETTINGS, Verb, bounded, choice, duration, fact, flag,
    reference, text,
};

pub(super) const MENUS: &[Menu] = &[
    Menu::single("system/resource", FACTS, RESOURCE),
    Menu::single("system/identity", SETTINGS, &[text("name").initially("MikroTik")]),
    Menu::single("system/clock", SETTINGS, CLOCK),
    Menu::single("system/license", FACTS, LICENSE),
    Menu::single("system/routerboard", FACTS, ROUTERBOARD),
    Menu::single("system/device-mode", FACTS, DEVICE_MODE).since(7, 0),
    Menu::list("system/package", READ_ONLY, PACKAGE),
    Menu::list("log", READ_ONLY, LOG).keyed_by("message"),
    Menu::list("user", EDITABLE, USER)
        .unique(&["name"], "failure: user with the same name already exists")
        .written_with("policy"),
    Menu::list("user/group", GROUP_VERBS, GROUP)
        .unique(&["name"], "failure: group with the same name already exists")
        .written_with("policy"),
    Menu::list("user/active", READ_ONLY, USER_ACTIVE),
    Menu::list("ip/service", SERVICE_VERBS, SERVICE),
];

const GROUP_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Comment];
const SERVICE_VERBS: &[Verb] = &[Verb::Print, Verb::Get, Verb::Listen, Verb::Set, Verb::Enable];

const RESOURCE: &[Property] = &[
    fact("uptime"),
    fact("version"),
    fact("build-time"),
    fact("factory-software"),
    fact("free-memory"),
    fact("total-memory"),
    fact("cpu"),
    fact("cpu-count"),
    fact("cpu-frequency"),
    fact("cpu-load"),
    fact("free-hdd-space"),
    fact("total-hdd-space"),
    fact("write-sect-since-reboot"),
    fact("write-sect-total"),
    fact("bad-blocks"),
    fact("architecture-name"),
    fact("board-name"),
    fact("platform"),
];

const ZONE_NAMES: &[&str] = &[
    "UTC",
    "Africa/Nairobi",
    "Africa/Kampala",
    "Africa/Dar_es_Salaam",
    "Africa/Addis_Ababa",
    "Africa/Mogadishu",
    "Africa/Kigali",
];

const CLOCK: &[Property] = &[
    fact("time"),
    fact("date"),
    flag("time-zone-autodetect", "true"),
    choice("time-zone-name", ZONE_NAMES, "Africa/Nairobi"),
    fact("gmt-offset"),
    fact("dst-active"),
];

const LICENSE: &[Property] = &[fact("software-id"), fact("nlevel"), fact("features")];

const ROUTERBOARD: &[Property] = &[
    fact("routerboard"),
    fact("board-name"),
    fact("model"),
    fact("revision"),
    fact("serial-number"),
    fact("firmware-type"),
    fact("factory-firmware"),
    fact("current-firmware"),
    fact("upgrade-firmware"),
];

const DEVICE_MODE: &[Property] = &[
    fact("mode"),
    fact("flagged"),
    fact("flagging-enabled"),
    fact("container"),
    fact("hotspot"),
    fact("fetch"),
    fact("scheduler"),
    fact("pptp"),
    fact("l2tp"),
];

const PACKAGE: &[Property] =
    &[fact("name"), fact("version"), fact("build-time"), fact("scheduled"), fact("disabled")];

const LOG: &[Property] = &[fact("time"), fact("topics"), fact("message"), fact("buffer")];

const USER: &[Property] = &[
    text("name").required(),
    reference("group", "user/group", &[]).required(),
    text("address").initially(""),
    Property::new("password", Kind::Secret),
    duration("inactivity-timeout", &[]).initially("10m").since(7, 16),
    choice("inactivity-policy", &["none", "lockscreen", "logout"], "none").since(7, 16),
    fact("last-logged-in"),
    fact("expired"),
    flag("disabled", "false"),
    text("comment"),
];

const GROUP: &[Property] = &[
    text("name").required(),
    Property::new("policy", Kind::Policies).initially(""),
    text("skin").initially("default"),
    text("comment"),
];

const USER_ACTIVE: &[Property] = &[fact("when"), fact("name"), fact("address"), fact("via"), fact("group")];

const SERVICE: &[Property] = &[
    fact("name"),
    bounded("port", 1, 65_535),
    text("address").initially(""),
    text("available-from").since(7, 24),
    text("certificate"),
    choice("tls-version", &["any", "only-1.2"], "any"),
    text("vrf").initially("main"),
    bounded("max-sessions", 1, 1000).initially("20").since(7, 16),
    fact("invalid"),
    flag("disabled", "false"),
];
