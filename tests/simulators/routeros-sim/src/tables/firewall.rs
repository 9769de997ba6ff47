//! `/ip/firewall/filter` and `nat`, and the walled gardens of the hotspot: ordered rules that are kept, counted
//! and moved. Whether a connection would pass them is [`crate::reach`]; no traffic is held back.

use super::{Kind, Menu, Property, Verb, choice, fact, flag, reference, text};

pub(super) const MENUS: &[Menu] = &[
    Menu::list("ip/firewall/filter", RULE_VERBS, FILTER).keyed_by("comment"),
    Menu::list("ip/firewall/nat", RULE_VERBS, NAT).keyed_by("comment"),
    Menu::list("ip/hotspot/walled-garden", RULE_VERBS, WALLED_GARDEN).keyed_by("comment"),
    Menu::list("ip/hotspot/walled-garden/ip", GARDEN_IP_VERBS, WALLED_GARDEN_IP).keyed_by("comment"),
    Menu::list("ip/hotspot/ip-binding", BINDING_VERBS, IP_BINDING).keyed_by("mac-address"),
];

const RULE_VERBS: &[Verb] = &[
    Verb::Print,
    Verb::Get,
    Verb::Listen,
    Verb::Add,
    Verb::Set,
    Verb::Remove,
    Verb::Enable,
    Verb::Unset,
    Verb::Comment,
    Verb::Move,
    Verb::ResetCounters,
];
const GARDEN_IP_VERBS: &[Verb] = &[
    Verb::Print,
    Verb::Get,
    Verb::Listen,
    Verb::Add,
    Verb::Set,
    Verb::Remove,
    Verb::Enable,
    Verb::Unset,
    Verb::Comment,
    Verb::Move,
];
const BINDING_VERBS: &[Verb] = &[
    Verb::Print,
    Verb::Get,
    Verb::Listen,
    Verb::Add,
    Verb::Set,
    Verb::Remove,
    Verb::Enable,
    Verb::Comment,
    Verb::Move,
];

const FILTER_ACTIONS: &[&str] = &[
    "accept",
    "add-dst-to-address-list",
    "add-src-to-address-list",
    "drop",
    "fasttrack-connection",
    "jump",
    "log",
    "passthrough",
    "reject",
    "return",
    "tarpit",
];
const NAT_ACTIONS: &[&str] = &[
    "accept",
    "add-dst-to-address-list",
    "add-src-to-address-list",
    "dst-nat",
    "endpoint-independent-nat",
    "jump",
    "log",
    "masquerade",
    "netmap",
    "passthrough",
    "redirect",
    "return",
    "same",
    "src-nat",
];

const FILTER: &[Property] = &[
    text("chain").required(),
    choice("action", FILTER_ACTIONS, "accept"),
    flag("log", "false"),
    text("log-prefix").initially(""),
    fact("bytes"),
    fact("packets"),
    fact("invalid"),
    fact("dynamic"),
    flag("disabled", "false"),
    text("comment"),
];

const NAT: &[Property] = &[
    text("chain").required(),
    choice("action", NAT_ACTIONS, "accept"),
    flag("log", "false"),
    text("log-prefix").initially(""),
    fact("bytes"),
    fact("packets"),
    fact("invalid"),
    fact("dynamic"),
    flag("disabled", "false"),
    text("comment"),
];

const WALLED_GARDEN: &[Property] = &[
    reference("server", "ip/hotspot", &["all"]),
    choice("action", &["allow", "deny"], "allow"),
    fact("hits"),
    fact("dynamic"),
    flag("disabled", "false"),
    text("comment"),
];

const WALLED_GARDEN_IP: &[Property] = &[
    reference("server", "ip/hotspot", &["all"]),
    choice("action", &["accept", "drop", "reject"], "accept"),
    fact("invalid"),
    fact("dynamic"),
    flag("disabled", "false"),
    text("comment"),
];

const IP_BINDING: &[Property] = &[
    Property::new("mac-address", Kind::Mac),
    Property::new("address", Kind::AddressSet),
    Property::new("to-address", Kind::Address),
    reference("server", "ip/hotspot", &["all"]).initially("all"),
    choice("type", &["regular", "bypassed", "blocked"], "regular"),
    fact("bypassed"),
    fact("blocked"),
    flag("disabled", "false"),
    text("comment"),
];
