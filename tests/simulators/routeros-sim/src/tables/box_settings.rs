//! What a set-up script and a health check touch beside subscribers: addresses, DNS, logging, certificates, time,
//! scripts, RADIUS. Rows are kept and shown; scripts do not run, and nobody is asked for a name or a time.

use super::{
    EDITABLE, Kind, Menu, PROFILE, Property, READ_ONLY, SETTINGS, Verb, bounded, choice, duration, fact,
    flag, reference, text,
};

pub(super) const MENUS: &[Menu] = &[
    Menu::list("ip/address", EDITABLE, ADDRESS).keyed_by("address"),
    Menu::list("ip/arp", EDITABLE, ARP).keyed_by("address"),
    Menu::list("ip/dhcp-server/lease", LEASE_VERBS, LEASE).keyed_by("mac-address"),
    Menu::single("ip/dns", SETTINGS, DNS),
    Menu::list("radius", RADIUS_VERBS, RADIUS).keyed_by("address"),
    Menu::list("certificate", CERTIFICATE_VERBS, CERTIFICATE)
        .unique(&["name"], "failure: certificate with the same name already exists"),
    Menu::list("system/logging", EDITABLE, LOGGING).keyed_by("topics"),
    Menu::list("system/logging/action", ACTION_VERBS, LOGGING_ACTION)
        .unique(&["name"], "failure: action with the same name already exists"),
    Menu::single("system/ntp/client", SETTINGS, NTP_CLIENT),
    Menu::list("system/script", SCRIPT_VERBS, SCRIPT)
        .unique(&["name"], "failure: script with the same name already exists"),
    Menu::list("system/scheduler", EDITABLE, SCHEDULER)
        .unique(&["name"], "failure: scheduler with the same name already exists"),
    // One row of keys in 6, a row for each sensor since 7.
    Menu::single("system/health", super::FACTS, HEALTH_OF_SIX).until(7, 0),
    Menu::list("system/health", READ_ONLY, HEALTH).since(7, 0),
    Menu::list("container", PROFILE, CONTAINER).since(7, 4),
];

const LEASE_VERBS: &[Verb] = &[
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
const RADIUS_VERBS: &[Verb] = &[
    Verb::Print,
    Verb::Get,
    Verb::Listen,
    Verb::Add,
    Verb::Set,
    Verb::Remove,
    Verb::Enable,
    Verb::Comment,
    Verb::Move,
    Verb::ResetCounters,
];
const CERTIFICATE_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Unset, Verb::Sign];
const ACTION_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Comment];
const SCRIPT_VERBS: &[Verb] =
    &[Verb::Print, Verb::Get, Verb::Listen, Verb::Add, Verb::Set, Verb::Remove, Verb::Comment, Verb::Run];

const ADDRESS: &[Property] = &[
    text("address").required(),
    reference("interface", "interface", &[]).required(),
    fact("actual-interface"),
    fact("invalid"),
    fact("dynamic"),
    flag("disabled", "false"),
    text("comment"),
];

const ARP: &[Property] = &[
    Property::new("address", Kind::Address).required(),
    Property::new("mac-address", Kind::Mac),
    reference("interface", "interface", &[]).required(),
    flag("published", "false"),
    fact("status"),
    fact("invalid"),
    fact("DHCP"),
    fact("dynamic"),
    fact("complete"),
    flag("disabled", "false"),
    text("comment"),
];

const LEASE: &[Property] = &[
    Property::new("address", Kind::Address),
    Property::new("mac-address", Kind::Mac),
    text("server").initially("all"),
    flag("block-access", "false"),
    Property::new("rate-limit", Kind::RateLimit),
    fact("status"),
    fact("host-name"),
    fact("active-address"),
    fact("active-mac-address"),
    fact("radius"),
    fact("dynamic"),
    fact("blocked"),
    flag("disabled", "false"),
    text("comment"),
];

const DNS: &[Property] = &[
    text("servers").initially(""),
    fact("dynamic-servers"),
    text("use-doh-server").initially(""),
    flag("verify-doh-cert", "false"),
    flag("allow-remote-requests", "false"),
    bounded("max-udp-packet-size", 50, 65_507).initially("4096"),
    duration("query-server-timeout", &[]).initially("2s"),
    duration("query-total-timeout", &[]).initially("10s"),
    bounded("max-concurrent-queries", 1, 65_535).initially("100"),
    bounded("max-concurrent-tcp-sessions", 1, 65_535).initially("20"),
    bounded("cache-size", 64, 4_194_304).initially("2048"),
    duration("cache-max-ttl", &[]).initially("1w"),
    fact("cache-used"),
];

const RADIUS: &[Property] = &[
    text("service").initially(""),
    text("address").required(),
    Property::new("secret", Kind::Secret),
    text("called-id").initially(""),
    text("domain").initially(""),
    bounded("authentication-port", 0, 65_535).initially("1812"),
    bounded("accounting-port", 0, 65_535).initially("1813"),
    duration("timeout", &[]).initially("300ms"),
    flag("accounting-backup", "false"),
    text("realm").initially(""),
    choice("protocol", &["udp", "radsec"], "udp"),
    text("certificate").initially("none"),
    flag("disabled", "false"),
    text("comment"),
];

const CERTIFICATE: &[Property] = &[
    text("name").required(),
    text("common-name"),
    text("subject-alt-name"),
    text("key-size").initially("2048"),
    bounded("days-valid", 1, 36_500).initially("365"),
    text("key-usage"),
    flag("trusted", "false"),
    fact("key-type"),
    fact("fingerprint"),
    fact("serial-number"),
    fact("ca"),
    fact("invalid-before"),
    fact("invalid-after"),
    fact("expires-after"),
    fact("private-key"),
    fact("authority"),
    fact("issued"),
    fact("expired"),
];

const LOGGING: &[Property] = &[
    text("topics").initially("info"),
    reference("action", "system/logging/action", &[]).initially("memory"),
    text("prefix").initially(""),
    fact("invalid"),
    fact("default"),
    flag("disabled", "false"),
];

const LOGGING_ACTION: &[Property] = &[
    text("name").required(),
    choice("target", &["disk", "echo", "email", "memory", "remote", "script"], "memory"),
    bounded("memory-lines", 1, 65_535).initially("1000"),
    flag("memory-stop-on-full", "false"),
    fact("default"),
    text("comment"),
];

const NTP_CLIENT: &[Property] = &[
    flag("enabled", "no"),
    choice("mode", &["unicast", "broadcast", "manycast", "multicast"], "unicast").since(7, 0),
    text("servers").initially("").since(7, 0),
    text("vrf").initially("main").since(7, 0),
    fact("status").since(7, 0),
    Property::new("primary-ntp", Kind::Address).initially("0.0.0.0").until(7, 0),
    Property::new("secondary-ntp", Kind::Address).initially("0.0.0.0").until(7, 0),
    text("server-dns-names").initially("").until(7, 0),
];

const SCRIPT: &[Property] = &[
    text("name").required(),
    fact("owner"),
    Property::new("policy", Kind::Policies).initially(DEFAULT_POLICIES),
    flag("dont-require-permissions", "false"),
    text("source").initially(""),
    fact("run-count"),
    fact("invalid"),
    text("comment"),
];

const SCHEDULER: &[Property] = &[
    text("name").required(),
    text("start-date"),
    text("start-time"),
    duration("interval", &[]).initially("0s"),
    text("on-event").initially(""),
    fact("owner"),
    Property::new("policy", Kind::Policies).initially(DEFAULT_POLICIES),
    fact("run-count"),
    fact("inactive"),
    flag("disabled", "false"),
    text("comment"),
];
const DEFAULT_POLICIES: &str = "ftp,reboot,read,write,policy,test,password,sniff,sensitive,romon";

const HEALTH_OF_SIX: &[Property] = &[fact("voltage"), fact("temperature")];
const HEALTH: &[Property] = &[fact("name"), fact("value"), fact("type")];

const CONTAINER: &[Property] = &[
    text("name"),
    text("interface"),
    text("root-dir"),
    fact("status"),
    fact("tag"),
    fact("os"),
    fact("arch"),
    text("comment"),
];
