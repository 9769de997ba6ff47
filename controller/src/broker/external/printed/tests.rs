//! The rules that are printed, read as each broker reads them, against `mqtt/acl.rs`.

use super::*;
use crate::mqtt::acl::{CONTROLLER_USER, Principal, may_publish, may_subscribe};

const SITES: [&str; 3] = ["a", "b", "ab"];

/// Topics and filters that somebody may try.
fn tried() -> Vec<String> {
    let mut all: Vec<String> =
        ["", "#", "+", "+/#", "v1/#", "v1/+/#", "v1/+/up/#", "v1/+/down/#", "$SYS/#", "/"]
            .map(str::to_owned)
            .to_vec();
    for site in SITES.iter().copied().chain([CONTROLLER_USER, "+"]) {
        for rest in [
            "up/hello",
            "up/ack",
            "up/usage",
            "up/event",
            "up/log",
            "up/bye",
            "up/other",
            "up",
            "up/hello/x",
            "up/#",
            "down/state",
            "down/cmd",
            "down/ack",
            "down/other",
            "down",
            "down/#",
            "#",
        ] {
            all.push(format!("v1/{site}/{rest}"));
        }
    }
    all
}

fn users() -> Vec<&'static str> {
    SITES.iter().copied().chain([CONTROLLER_USER]).collect()
}

fn text_of(kind: Kind, name: &str) -> String {
    let broker = ExternalBroker::parse("mqtts://mq.isp.example", None).unwrap();
    let sites = SITES.map(|site| SiteId::parse(site).unwrap());
    let about = About { broker: &broker, directory: "/etc/broker/tawi", connections: 100, sites: &sites };
    files(kind, &about).into_iter().find(|(found, _)| *found == name).unwrap().1
}

/// Whether all that `asked` matches is matched by `filter`.
fn covers(filter: &str, asked: &str) -> bool {
    let mut asked_levels = asked.split('/');
    for level in filter.split('/') {
        if level == "#" {
            return true;
        }
        match asked_levels.next() {
            Some(found) if level == found || (level == "+" && found != "#") => {}
            _ => return false,
        }
    }
    asked_levels.next().is_none()
}

/// Compares what a broker would allow with the rule, for everybody and everything.
fn check(kind: Kind, allows: impl Fn(&str, bool, &str) -> bool) {
    for user in users() {
        let principal = Principal::of_user(user).unwrap();
        for topic in tried() {
            let is_plain = !topic.contains(['+', '#']) && !topic.is_empty();
            if is_plain {
                let expected = may_publish(&principal, &topic);
                // Its own name is no site's, and the controller hears nothing of it.
                if user == CONTROLLER_USER && topic.contains(CONTROLLER_USER) {
                    continue;
                }
                assert_eq!(allows(user, true, &topic), expected, "{kind:?}: {user} says {topic}");
            }
            if may_subscribe(&principal, &topic) {
                assert!(allows(user, false, &topic), "{kind:?}: {user} must hear {topic}");
            } else if allows(user, false, &topic) {
                // More exact filters than the rule knows, and only within one's own.
                let own = format!("v1/{user}/down/");
                let is_own = topic.starts_with(&own) || topic == own.trim_end_matches('/');
                let is_up = user == CONTROLLER_USER
                    && parts(&topic).is_some_and(|[version, _, up]| version == "v1" && up == "up");
                assert!(is_own || is_up, "{kind:?}: {user} hears {topic}");
            }
        }
    }
}

fn parts(topic: &str) -> Option<[&str; 3]> {
    let mut levels = topic.split('/');
    Some([levels.next()?, levels.next()?, levels.next()?])
}

/// `user`, `topic` and `pattern` lines, as mosquitto and VerneMQ read them.
fn lines_allow(text: &str, user: &str, is_saying: bool, asked: &str) -> bool {
    let wanted = if is_saying { "write" } else { "read" };
    let mut of = "";
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).any(|line| {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["user", name] => {
                of = name;
                false
            }
            ["topic", access, topic] => of == user && *access == wanted && covers(topic, asked),
            ["pattern", access, topic] => *access == wanted && covers(&topic.replace("%u", user), asked),
            _ => panic!("{line}"),
        }
    })
}

#[test]
fn the_lines_for_mosquitto_deliver_and_take_what_the_rule_says() {
    let text = text_of(Kind::Mosquitto, "tawi.acl");
    // What is heard is judged message by message.
    for user in users() {
        let principal = Principal::of_user(user).unwrap();
        for topic in tried().into_iter().filter(|topic| !topic.contains(['+', '#']) && !topic.contains('$')) {
            assert_eq!(
                lines_allow(&text, user, true, &topic),
                may_publish(&principal, &topic),
                "{user} {topic}"
            );
            let is_meant = match &principal {
                Principal::Controller => tawi_shared::topics::parse_up(&topic).is_some(),
                Principal::Site(_) => may_subscribe(&principal, &topic),
            };
            assert_eq!(lines_allow(&text, user, false, &topic), is_meant, "{user} hears {topic}");
        }
    }
}

#[test]
fn the_lines_for_vernemq_say_what_the_rule_says() {
    let text = text_of(Kind::Vernemq, "tawi.acl");
    assert!(!text.contains("\n\n") && !text.contains('#') || text.lines().all(|line| !line.is_empty()));
    check(Kind::Vernemq, |user, is_saying, topic| lines_allow(&text, user, is_saying, topic));
}

/// `{allow, who, what, [topics]}.`, the first that fits decides.
fn terms_allow(text: &str, user: &str, is_saying: bool, asked: &str) -> bool {
    for line in text.lines().filter(|line| !line.starts_with("%%")) {
        if line == "{deny, all}." {
            return false;
        }
        let inner = line.strip_suffix("]}.").unwrap();
        let (head, topics) = inner.split_once('[').unwrap();
        let is_theirs = !head.contains("username") || head.contains(&format!("{{username, \"{user}\"}}"));
        let is_act = head.contains(", all, [")
            || head.ends_with(if is_saying { "publish, " } else { "subscribe, " })
            || head.ends_with(", all, ");
        let fits = topics.split(", ").any(|topic| {
            let topic = topic.replace("${username}", user);
            let plain = |text: &str| text.trim_matches(['{', '}', '"']).to_owned();
            match topic.as_str() {
                "{eq" => false,
                _ if topics.starts_with("{eq, ") => plain(&topic) == asked,
                _ => covers(&plain(&topic), asked),
            }
        });
        if is_theirs && is_act && fits {
            return head.starts_with("{allow");
        }
    }
    panic!("the last term decides for all");
}

#[test]
fn the_terms_for_emqx_say_what_the_rule_says() {
    let text = text_of(Kind::Emqx, "tawi.acl");
    check(Kind::Emqx, |user, is_saying, topic| terms_allow(&text, user, is_saying, topic));
    assert!(text_of(Kind::Emqx, "tawi.conf").contains("no_match = deny"));
}

#[test]
fn the_users_for_nats_say_what_the_rule_says() {
    let text = text_of(Kind::Nats, "tawi.conf");
    let subjects = |user: &str, act: &str| -> Vec<String> {
        let (_, block) = text.split_once(&format!("{{user: \"CN={user}\"")).unwrap();
        let (_, allowed) = block.split_once(&format!("{act}: {{allow: [")).unwrap();
        let (list, _) = allowed.split_once(']').unwrap();
        list.split(", ").map(|one| one.trim_matches('"').to_owned()).collect()
    };
    // A filter that ends in `/#` is its parent and all below it.
    let as_topic = |subject: &str| subject.replace('.', "/").replace('*', "+").replace('>', "#");
    check(Kind::Nats, |user, is_saying, topic| {
        let allowed = subjects(user, if is_saying { "publish" } else { "subscribe" });
        let asked = match topic.strip_suffix("/#") {
            Some(parent) => vec![parent.to_owned(), topic.to_owned()],
            None => vec![topic.to_owned()],
        };
        asked.iter().all(|asked| allowed.iter().any(|subject| covers(&as_topic(subject), asked)))
    });
    assert!(SITES.iter().all(|site| text.contains(&format!("\"CN={site}\""))));
}

#[test]
fn every_output_says_what_it_promises_and_what_nobody_proved() {
    for kind in [Kind::Mosquitto, Kind::Emqx, Kind::Vernemq, Kind::Nats] {
        let text = text_of(kind, "tawi.conf");
        assert!(text.contains("shut out") && text.contains("replaced by a new ticket"), "{kind:?}");
        assert_eq!(text.contains("NOT PROVEN"), kind != Kind::Mosquitto, "{kind:?}");
        assert!(text.contains("/etc/broker/tawi/broker.key") && !text.contains("PRIVATE"), "{kind:?}");
    }
}

/// What makes a broker ask everybody for a certificate, take the name in it for theirs, refuse who is not named, and keep nothing.
/// Without any of these lines the rules of who may say what hold for nobody.
#[test]
fn every_listener_asks_for_a_certificate_believes_its_name_alone_and_bounds_what_it_takes() {
    let check = |kind, name, lines: &[&str]| {
        let text = text_of(kind, name);
        for wanted in lines {
            let is_there = text.lines().any(|line| line.trim() == *wanted);
            assert!(is_there, "{kind:?} {name} lacks: {wanted}\n{text}");
        }
    };
    check(
        Kind::Mosquitto,
        "tawi.conf",
        &[
            "listener 8883",
            "cafile /etc/broker/tawi/ca.pem",
            "crlfile /etc/broker/tawi/revoked.crl",
            "require_certificate true",
            "use_identity_as_username true",
            "use_username_as_clientid true",
            "allow_anonymous false",
            "acl_file /etc/broker/tawi/tawi.acl",
            "persistence false",
            "retain_available false",
            "max_packet_size 262144",
            "max_connections 164",
        ],
    );
    check(
        Kind::Emqx,
        "tawi.conf",
        &[
            "bind = \"0.0.0.0:8883\"",
            "cacertfile = \"/etc/broker/tawi/ca.pem\"",
            "verify = verify_peer",
            "fail_if_no_peer_cert = true",
            "listeners.tcp.default.enable = false",
            "listeners.ws.default.enable = false",
            "listeners.wss.default.enable = false",
            "peer_cert_as_username = cn",
            "peer_cert_as_clientid = cn",
            "shared_subscription = false",
            "retain_available = false",
            "max_packet_size = 256KB",
            "max_connections = 164",
            "no_match = deny",
            "sources = [{type = file, enable = true, path = \"/etc/broker/tawi/tawi.acl\"}]",
        ],
    );
    check(
        Kind::Vernemq,
        "tawi.conf",
        &[
            "allow_anonymous = off",
            "plugins.vmq_passwd = off",
            "vmq_diversity.tawi.file = /etc/broker/tawi/tawi.lua",
            "vmq_acl.acl_file = /etc/broker/tawi/tawi.acl",
            "listener.ssl.tawi = 0.0.0.0:8883",
            "listener.ssl.tawi.cafile = /etc/broker/tawi/ca.pem",
            "listener.ssl.tawi.crlfile = /etc/broker/tawi/revoked.crl",
            "listener.ssl.tawi.require_certificate = on",
            "listener.ssl.tawi.use_identity_as_username = on",
            "listener.ssl.tawi.max_connections = 164",
            "max_message_size = 262144",
            "max_offline_messages = 0",
        ],
    );
    check(
        Kind::Vernemq,
        "tawi.lua",
        &[
            "return reg.username ~= nil and reg.client_id == reg.username",
            "hooks = { auth_on_register = auth_on_register }",
        ],
    );
    check(
        Kind::Nats,
        "tawi.conf",
        &[
            "listen: \"0.0.0.0:8883\"",
            "ca_file: \"/etc/broker/tawi/ca.pem\"",
            "verify_and_map: true",
            "max_payload: 262144",
            "max_connections: 164",
        ],
    );
}
