//! Who may say and hear what, in the words of each broker. The rule itself is `mqtt/acl.rs`; the topics are
//! `tawi_shared::topics`, so that a new one is in every output.

use std::fmt::Write as _;

use tawi_shared::topics::{ALL_SITES_UP, down_topics, up_topics};

use crate::ids::SiteId;
use crate::mqtt::acl::CONTROLLER_USER;

/// For mosquitto (`acl_file` in `man 5 mosquitto.conf`) and VerneMQ, whose file has the same words but no empty lines. Every
/// topic by itself: what is not named is neither taken nor delivered.
pub(super) fn mosquitto() -> String {
    let mut text = format!("user {CONTROLLER_USER}\n");
    for topic in up_topics("+") {
        let _ = writeln!(text, "topic read {topic}");
    }
    for topic in down_topics("+") {
        let _ = writeln!(text, "topic write {topic}");
    }
    text.push_str(&patterns(down_topics("%u")));
    text
}

/// VerneMQ compares the filter of a subscription with the lines, so that the two filters that are used stand there.
pub(super) fn vernemq() -> String {
    let mut text = format!("user {CONTROLLER_USER}\ntopic read {ALL_SITES_UP}\n");
    for topic in down_topics("+") {
        let _ = writeln!(text, "topic write {topic}");
    }
    text.push_str(&patterns(["v1/%u/down/#".to_owned()]));
    text
}

/// `%u` is the name in the certificate. They hold for everybody, and the controller's own name is no site's.
fn patterns(heard: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for topic in up_topics("%u") {
        let _ = writeln!(text, "pattern write {topic}");
    }
    for topic in heard {
        let _ = writeln!(text, "pattern read {topic}");
    }
    text
}

/// For EMQX: Erlang terms, the first that fits decides.
pub(super) fn emqx() -> String {
    let listed = |topics: Vec<String>| {
        topics.iter().map(|topic| format!("\"{topic}\"")).collect::<Vec<_>>().join(", ")
    };
    let (said, told) = (listed(up_topics("${username}").collect()), listed(down_topics("+").collect()));
    format!(
        "{{allow, {{username, \"{CONTROLLER_USER}\"}}, subscribe, [{{eq, \"{ALL_SITES_UP}\"}}]}}.\n\
         {{allow, {{username, \"{CONTROLLER_USER}\"}}, publish, [{told}]}}.\n\
         {{deny, {{username, \"{CONTROLLER_USER}\"}}, all, [\"#\"]}}.\n\
         {{allow, all, publish, [{said}]}}.\n\
         {{allow, all, subscribe, [\"v1/${{username}}/down/#\"]}}.\n\
         {{deny, all}}.\n"
    )
}

/// For NATS, which has no word for the name of whoever asks: a user for each site. A `/` of MQTT is a `.` there, and a filter
/// that ends in `/#` is two subjects. What QoS 1 is delivered by is NATS's own subject.
pub(super) fn nats_users(sites: &[SiteId]) -> String {
    let subject = |topic: String| topic.replace('/', ".").replace('+', "*");
    let listed = |topics: Vec<String>| {
        topics.iter().map(|topic| format!("\"{topic}\"")).collect::<Vec<_>>().join(", ")
    };
    let user = |name: &str, said: Vec<String>, heard: Vec<String>| {
        format!(
            "    {{user: \"CN={name}\", allowed_connection_types: [\"MQTT\"], permissions: {{\n\
             \x20     publish: {{allow: [{}]}}, subscribe: {{allow: [{}, \"$MQTT.sub.>\"]}}}}}}\n",
            listed(said),
            listed(heard),
        )
    };
    let mut text = user(
        CONTROLLER_USER,
        down_topics("+").map(subject).collect(),
        ["v1.*.up".to_owned(), "v1.*.up.>".to_owned()].to_vec(),
    );
    for site in sites {
        let name = site.as_str();
        let heard = [format!("v1.{name}.down"), format!("v1.{name}.down.>")].to_vec();
        text.push_str(&user(name, up_topics(name).map(subject).collect(), heard));
    }
    text
}
