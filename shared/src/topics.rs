//! Every MQTT topic that Tawi uses, built and parsed in one place.
//!
//! ```text
//! v1/<site>/up/{hello,ack,usage,event,log,bye}     agent → controller
//! v1/<site>/down/{state,cmd,ack}                   controller → agent
//! ```
//!
//! Two prefixes a site, so that an access rule is two lines. The rule itself is the controller's `mqtt/acl.rs`.

use crate::ids::SiteId;

/// The filter by which the controller hears every site.
pub const ALL_SITES_UP: &str = "v1/+/up/#";

/// What an agent says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Up {
    /// First word after connecting: where the agent stands.
    Hello,
    /// What was stored and what was verified on the routers.
    Ack,
    /// Session totals.
    Usage,
    /// Something happened that head office wants to know at once.
    Event,
    /// Writes to routers; first to be dropped.
    Log,
    /// The last will, or a farewell.
    Bye,
}

/// What the controller says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Down {
    /// Desired state: deltas and snapshots.
    State,
    /// One-off commands.
    Command,
    /// Cursors and the controller's time.
    Ack,
}

impl Up {
    const ALL: [(Self, &str); 6] = [
        (Self::Hello, "hello"),
        (Self::Ack, "ack"),
        (Self::Usage, "usage"),
        (Self::Event, "event"),
        (Self::Log, "log"),
        (Self::Bye, "bye"),
    ];

    /// The topic on which `site` says this.
    #[must_use]
    pub fn topic(self, site: &SiteId) -> String {
        format!("v1/{site}/up/{}", name_of(&Self::ALL, self))
    }
}

impl Down {
    const ALL: [(Self, &str); 3] = [(Self::State, "state"), (Self::Command, "cmd"), (Self::Ack, "ack")];

    /// The topic on which `site` hears this.
    #[must_use]
    pub fn topic(self, site: &SiteId) -> String {
        format!("v1/{site}/down/{}", name_of(&Self::ALL, self))
    }
}

/// The one filter that an agent subscribes to.
#[must_use]
pub fn down_filter(site: &SiteId) -> String {
    format!("v1/{site}/down/#")
}

/// Every topic on which a site speaks, with `place` where its name stands: for access rules of brokers, which have a word of
/// their own there.
pub fn up_topics(place: &str) -> impl Iterator<Item = String> {
    Up::ALL.into_iter().map(move |(_, name)| format!("v1/{place}/up/{name}"))
}

/// The same of what a site hears.
pub fn down_topics(place: &str) -> impl Iterator<Item = String> {
    Down::ALL.into_iter().map(move |(_, name)| format!("v1/{place}/down/{name}"))
}

/// The prefix of all that `site` may publish, with the closing slash.
#[must_use]
pub fn up_prefix(site: &SiteId) -> String {
    format!("v1/{site}/up/")
}

/// Reads a topic that an agent published. `None` for anything that is not exactly one of ours.
#[must_use]
pub fn parse_up(topic: &str) -> Option<(SiteId, Up)> {
    let (site, name) = parse(topic, "up")?;
    Some((site, find(&Up::ALL, name)?))
}

/// Reads a topic that the controller published. `None` for anything that is not exactly one of ours.
#[must_use]
pub fn parse_down(topic: &str) -> Option<(SiteId, Down)> {
    let (site, name) = parse(topic, "down")?;
    Some((site, find(&Down::ALL, name)?))
}

fn parse<'a>(topic: &'a str, direction: &str) -> Option<(SiteId, &'a str)> {
    let mut levels = topic.split('/');
    let (version, site, found, name) = (levels.next()?, levels.next()?, levels.next()?, levels.next()?);
    if version != "v1" || found != direction || levels.next().is_some() {
        return None;
    }
    Some((SiteId::parse(site).ok()?, name))
}

fn name_of<T: PartialEq + Copy>(table: &[(T, &'static str)], wanted: T) -> &'static str {
    table.iter().find(|(entry, _)| *entry == wanted).map_or("", |(_, name)| name)
}

fn find<T: Copy>(table: &[(T, &str)], wanted: &str) -> Option<T> {
    table.iter().find(|(_, name)| *name == wanted).map(|(entry, _)| *entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_reads_back_as_what_was_built() {
        let site = SiteId::parse("nyeri-01").unwrap();
        for (up, name) in Up::ALL {
            assert_eq!(up.topic(&site), format!("v1/nyeri-01/up/{name}"));
            assert_eq!(parse_up(&up.topic(&site)), Some((site.clone(), up)));
            assert_eq!(parse_down(&up.topic(&site)), None);
        }
        for (down, _) in Down::ALL {
            assert_eq!(parse_down(&down.topic(&site)), Some((site.clone(), down)));
        }
    }

    #[test]
    fn rules_name_every_topic() {
        let read = |topics: Vec<String>| -> Vec<bool> {
            topics.iter().map(|topic| parse_up(topic).is_some() || parse_down(topic).is_some()).collect()
        };
        assert_eq!(read(up_topics("a").collect()), [true; 6]);
        assert_eq!(read(down_topics("a").collect()), [true; 3]);
        assert_eq!(down_topics("%u").next().unwrap(), "v1/%u/down/state");
    }

    #[test]
    fn anything_else_is_not_ours() {
        for topic in
            ["", "v1", "v1/a/up", "v1/a/up/hello/x", "v2/a/up/hello", "v1/+/up/hello", "v1//up/hello"]
        {
            assert_eq!(parse_up(topic), None, "{topic}");
        }
    }
}
