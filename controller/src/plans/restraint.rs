//! How a line is kept from full use: off, behind a wall with the pay page, or slow. Pure.
//!
//! A plan has one for lines that are suspended, one for those that used up their data, and one for a site that cannot
//! hear head office. What each means on a router is the agent's; which profile it needs there is `profiles`.

use std::fmt;

use tawi_shared::Bandwidth;
use tawi_shared::wire::{OfflineRuleV1, Restraint as Code, RestraintV1};

use super::{ConnectionType, profiles};

/// The words that are refused or stored.
const OFF: &str = "off";
const WALLED: &str = "walled";
const THROTTLED: &str = "throttled";

/// How a line is kept from full use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restraint {
    /// It may not use the network.
    #[default]
    Off,
    /// It reaches the pages on which its customer can pay, and nothing else.
    Walled,
    /// It goes on, slowly.
    Throttled {
        /// Towards the customer.
        download: Bandwidth,
        /// From the customer.
        upload: Bandwidth,
    },
}

/// What happens to a line while its site cannot hear head office.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OfflineRule {
    /// For how long nothing happens, in hours.
    pub after_hours: u32,
    /// What happens then.
    pub then: Restraint,
}

impl Restraint {
    /// `off`, `walled` or `throttled`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => OFF,
            Self::Walled => WALLED,
            Self::Throttled { .. } => THROTTLED,
        }
    }

    /// Both rates; no limit where it is not a throttle.
    #[must_use]
    pub fn rates(self) -> (Bandwidth, Bandwidth) {
        match self {
            Self::Throttled { download, upload } => (download, upload),
            Self::Off | Self::Walled => (Bandwidth::UNLIMITED, Bandwidth::UNLIMITED),
        }
    }

    /// From its word, and its rates where it is a throttle; `None` for another word.
    #[must_use]
    pub fn of(word: &str, download: Bandwidth, upload: Bandwidth) -> Option<Self> {
        match word {
            OFF => Some(Self::Off),
            WALLED => Some(Self::Walled),
            THROTTLED => Some(Self::Throttled { download, upload }),
            _ => None,
        }
    }

    /// The text in the database.
    #[must_use]
    pub fn stored(self) -> String {
        match self {
            Self::Off | Self::Walled => self.word().to_owned(),
            Self::Throttled { download, upload } => {
                format!("{THROTTLED} {}/{}", download.bits_per_second(), upload.bits_per_second())
            }
        }
    }

    /// Reads that text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (word, rates) = text.split_once(' ').unwrap_or((text, "0/0"));
        let (download, upload) = rates.split_once('/')?;
        let rate = |text: &str| text.parse().ok().map(Bandwidth::from_bits_per_second);
        Self::of(word, rate(download)?, rate(upload)?)
    }

    /// As sites are told, for a line on this connection type.
    #[must_use]
    pub fn told(self, kind: &ConnectionType) -> RestraintV1 {
        let how = match self {
            Self::Off => Code::Off,
            Self::Walled => Code::Walled,
            Self::Throttled { .. } => Code::Throttled,
        };
        let profile = profiles::name(kind.service, &kind.profile_name, self);
        RestraintV1 { how: how.code(), profile: profile.unwrap_or_default() }
    }
}

impl fmt::Display for Restraint {
    /// As staff say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Walled => f.write_str("pay page only"),
            Self::Throttled { download, upload } => write!(f, "slowed to {download} down, {upload} up"),
        }
    }
}

impl OfflineRule {
    /// As sites are told.
    #[must_use]
    pub fn told(self, kind: &ConnectionType) -> OfflineRuleV1 {
        OfflineRuleV1 { after_hours: self.after_hours, then: self.then.told(kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tawi_shared::wire::Service;

    #[test]
    fn a_restraint_comes_back_as_it_was_stored() {
        let rate = Bandwidth::from_bits_per_second;
        let slow = Restraint::Throttled { download: rate(1_000_000), upload: rate(512_000) };
        for (restraint, text) in
            [(Restraint::Off, "off"), (Restraint::Walled, "walled"), (slow, "throttled 1000000/512000")]
        {
            assert_eq!(restraint.stored(), text);
            assert_eq!(Restraint::parse(text), Some(restraint));
        }
        for bad in ["", "slow", "throttled 1", "throttled x/y", "OFF"] {
            assert_eq!(Restraint::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn sites_are_told_how_and_with_which_profile() {
        let rate = Bandwidth::from_bits_per_second;
        let slow = Restraint::Throttled { download: rate(1_000_000), upload: rate(512_000) };
        let mut kind = crate::plans::tests::home_plan().connection_type;
        let check = |kind: &ConnectionType, restraint: Restraint, how: Code, profile: &str| {
            let told = restraint.told(kind);
            assert_eq!((told.how, told.profile.as_str()), (how.code(), profile));
        };
        check(&kind, Restraint::Off, Code::Off, "");
        check(&kind, Restraint::Walled, Code::Walled, "home-10-walled");
        check(&kind, slow, Code::Throttled, "home-10-slow-1M-512k");
        kind.service = Service::Hotspot;
        check(&kind, Restraint::Walled, Code::Walled, "");
        check(&kind, slow, Code::Throttled, "home-10-slow-1M-512k");
    }
}
