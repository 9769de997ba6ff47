//! `/queue/simple` and `/ip/firewall/address-list`: what holds traffic back.

use super::{EDITABLE, Kind, Menu, Property, Verb, fact, flag, reference, text};

pub(super) const MENUS: &[Menu] = &[
    Menu::list("queue/simple", QUEUE_VERBS, SIMPLE)
        .unique(&["name"], "failure: already have queue with such name"),
    Menu::list("ip/firewall/address-list", EDITABLE, ADDRESS_LIST)
        .keyed_by("address")
        .unique(&["list", "address"], "failure: already have such entry"),
];

const QUEUE_VERBS: &[Verb] = &[
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

const fn rate(name: &'static str) -> Property {
    Property::new(name, Kind::RatePair).initially("0/0")
}

const SIMPLE: &[Property] = &[
    text("name").required(),
    text("target").initially(""),
    text("dst"),
    reference("parent", "queue/simple", &["none"]).initially("none"),
    text("packet-marks").initially(""),
    text("priority").initially("8/8"),
    text("queue").initially("default-small/default-small"),
    rate("limit-at"),
    rate("max-limit"),
    rate("burst-limit"),
    rate("burst-threshold"),
    text("burst-time").initially("0s/0s"),
    text("bucket-size").initially("0.1/0.1"),
    text("time"),
    text("total-queue"),
    text("total-priority"),
    text("total-limit-at"),
    text("total-max-limit"),
    text("total-burst-limit"),
    text("total-burst-threshold"),
    text("total-burst-time"),
    text("total-bucket-size"),
    fact("bytes"),
    fact("total-bytes"),
    fact("packets"),
    fact("total-packets"),
    fact("dropped"),
    fact("rate"),
    fact("invalid"),
    fact("dynamic"),
    flag("disabled", "false"),
    text("comment"),
];

const ADDRESS_LIST: &[Property] = &[
    text("list").required(),
    Property::new("address", Kind::AddressSet).required(),
    fact("creation-time"),
    Property::new("timeout", Kind::Expiry),
    flag("dynamic", "false"),
    flag("disabled", "false"),
    text("comment"),
];
