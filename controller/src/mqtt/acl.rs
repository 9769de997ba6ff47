//! Who may say and hear what. Pure: names in, yes or no out.
//!
//! A site says `v1/<site>/up/…` and hears `v1/<site>/down/…`; the controller the reverse, of all sites. What is not
//! named here is refused: there is no wildcard before the site's own name, so no filter that is accepted for one
//! site can match a topic of another. The embedded broker asks these functions; another broker would have to be
//! given the same rules.

use tawi_shared::topics;

use crate::ids::SiteId;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The controller itself.
    Controller,
    /// The agent of a site.
    Site(SiteId),
}

/// The user name of the controller. It cannot be a site's: `$` has no place in a site id.
pub const CONTROLLER_USER: &str = "$controller";

impl Principal {
    /// Whose user name this is; `None` for a name that nobody can have.
    #[must_use]
    pub fn of_user(user_name: &str) -> Option<Self> {
        if user_name == CONTROLLER_USER {
            return Some(Self::Controller);
        }
        SiteId::parse(user_name).ok().map(Self::Site)
    }
}

/// Whether `principal` may publish to `topic`; a last will is a publish too.
#[must_use]
pub fn may_publish(principal: &Principal, topic: &str) -> bool {
    match principal {
        Principal::Controller => topics::parse_down(topic).is_some(),
        Principal::Site(site) => topics::parse_up(topic).is_some_and(|(spoken, _)| spoken == *site),
    }
}

/// Whether `principal` may subscribe to `filter`.
#[must_use]
pub fn may_subscribe(principal: &Principal, filter: &str) -> bool {
    match principal {
        Principal::Controller => {
            filter == topics::ALL_SITES_UP || shared_filter(filter) == Some(topics::ALL_SITES_UP)
        }
        Principal::Site(site) => {
            filter == topics::down_filter(site)
                || topics::parse_down(filter).is_some_and(|(heard, _)| heard == *site)
        }
    }
}

/// The filter within `$share/<group>/<filter>`: replicas of the controller divide the sites' messages by it.
fn shared_filter(filter: &str) -> Option<&str> {
    let (group, inner) = filter.strip_prefix("$share/")?.split_once('/')?;
    let is_plain = !group.is_empty() && !group.contains(['+', '#']);
    is_plain.then_some(inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tawi_shared::topics::{Down, Up};

    use super::*;

    fn site(id: &str) -> Principal {
        Principal::Site(SiteId::parse(id).unwrap())
    }

    #[test]
    fn a_site_speaks_only_upwards_and_only_for_itself() {
        let check = |topic: &str, expected: bool| {
            assert_eq!(may_publish(&site("a"), topic), expected, "{topic:?}");
        };
        for topic in ["hello", "ack", "usage", "event", "log", "bye"] {
            check(&format!("v1/a/up/{topic}"), true);
            check(&format!("v1/b/up/{topic}"), false);
            check(&format!("v1/ab/up/{topic}"), false);
        }
        for topic in [
            "",
            "/",
            "v1",
            "v1/a",
            "v1/a/up",
            "v1/a/up/",
            "v1/a/up/other",
            "v1/a/up/hello/",
            "v1/a/up/hello/x",
            "/v1/a/up/hello",
            "v1//up/hello",
            "v1/a/down/state",
            "v2/a/up/hello",
            "V1/a/up/hello",
            "v1/A/up/hello",
            "v1/+/up/hello",
            "v1/a/up/#",
            "v1/a/up/+",
            "$SYS/broker",
            "$share/g/v1/a/up/hello",
            "v1/a/up/hello\0",
        ] {
            check(topic, false);
        }
    }

    #[test]
    fn a_site_hears_only_what_is_for_it() {
        let check = |filter: &str, expected: bool| {
            assert_eq!(may_subscribe(&site("a"), filter), expected, "{filter:?}");
        };
        for filter in ["v1/a/down/#", "v1/a/down/state", "v1/a/down/cmd", "v1/a/down/ack"] {
            check(filter, true);
        }
        for filter in [
            "",
            "#",
            "+",
            "/",
            "/#",
            "+/#",
            "v1/#",
            "v1/+/#",
            "v1/+/down/#",
            "v1/+/down/state",
            "+/a/down/#",
            "v1/a/#",
            "v1/a/+/#",
            "v1/a/+/state",
            "v1/a/up/#",
            "v1/a/up/hello",
            "v1/b/down/#",
            "v1/b/down/state",
            "v1/ab/down/#",
            "v1//down/#",
            "v1/a/down",
            "v1/a/down/",
            "v1/a/down/#/",
            "$SYS/#",
            "$SYS/broker/+",
            "$share/g/#",
            "$share/g/v1/a/down/#",
            "$share/g/v1/b/down/#",
            "$share//v1/a/down/#",
            "$share/g",
            "$queue/v1/a/down/#",
            "$exclusive/v1/a/down/#",
        ] {
            check(filter, false);
        }
    }

    #[test]
    fn the_controller_hears_all_sites_and_speaks_to_each() {
        let controller = Principal::Controller;
        assert!(may_subscribe(&controller, "v1/+/up/#"));
        assert!(may_subscribe(&controller, "$share/controllers/v1/+/up/#"));
        for filter in
            ["#", "v1/#", "v1/+/down/#", "$SYS/#", "$share/+/v1/+/up/#", "$share//v1/+/up/#", "$share/g/#"]
        {
            assert!(!may_subscribe(&controller, filter), "{filter}");
        }
        assert!(may_publish(&controller, "v1/a/down/state"));
        assert!(!may_publish(&controller, "v1/a/up/hello"));
    }

    #[test]
    fn no_site_can_have_the_controllers_name() {
        assert!(SiteId::parse(CONTROLLER_USER).is_err());
        assert_eq!(Principal::of_user(CONTROLLER_USER), Some(Principal::Controller));
        assert_eq!(Principal::of_user("nyeri-01"), Some(site("nyeri-01")));
        assert_eq!(Principal::of_user("Nyeri"), None);
    }

    /// Whether `filter` matches `topic`, as section 4.7 of MQTT 3.1.1 says it, with `$share` of MQTT 5 before it.
    fn matches(filter: &str, topic: &str) -> bool {
        let filter = match filter.strip_prefix("$share/") {
            Some(rest) => match rest.split_once('/') {
                Some((_group, inner)) => inner,
                None => return false,
            },
            None => filter,
        };
        if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
            return false;
        }
        let mut topic_levels = topic.split('/');
        for level in filter.split('/') {
            if level == "#" {
                return true;
            }
            match topic_levels.next() {
                Some(found) if level == "+" || level == found => {}
                _ => return false,
            }
        }
        topic_levels.next().is_none()
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("v1".to_owned()),
            Just("a".to_owned()),
            Just("b".to_owned()),
            Just("up".to_owned()),
            Just("down".to_owned()),
            Just("state".to_owned()),
            Just("hello".to_owned()),
            Just("+".to_owned()),
            Just("#".to_owned()),
            Just(String::new()),
            Just("$SYS".to_owned()),
            Just("$share".to_owned()),
            Just("g".to_owned()),
            "[a-z+#$/]{0,4}",
        ]
    }

    fn filter() -> impl Strategy<Value = String> {
        proptest::collection::vec(level(), 1..7).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn no_filter_that_is_accepted_for_one_site_matches_a_topic_of_another(filter in filter()) {
            if may_subscribe(&site("a"), &filter) {
                let other = SiteId::parse("b").unwrap();
                for topic in [Down::State, Down::Command, Down::Ack].map(|down| down.topic(&other)) {
                    prop_assert!(!matches(&filter, &topic), "{filter} hears {topic}");
                }
                for topic in [Up::Hello, Up::Ack, Up::Usage, Up::Event, Up::Log, Up::Bye] {
                    prop_assert!(!matches(&filter, &topic.topic(&other)), "{filter}");
                    prop_assert!(!matches(&filter, &topic.topic(&SiteId::parse("a").unwrap())), "{filter}");
                }
                prop_assert!(!matches(&filter, "$SYS/broker/clients"));
            }
        }

        #[test]
        fn what_a_site_may_say_no_other_site_may(topic in filter()) {
            prop_assert!(!(may_publish(&site("a"), &topic) && may_publish(&site("b"), &topic)));
            prop_assert!(!(may_publish(&site("a"), &topic) && may_publish(&Principal::Controller, &topic)));
        }
    }
}
