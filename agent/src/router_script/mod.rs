//! The script that prepares a router for the agent, and the one that takes it back.
//!
//! Pure: a [`Setup`] and a password in, text out. The text is made for one release, is safe to paste twice (every object
//! is looked for before it is made, by a comment that names its contents) and leaves alone what it did not make. How a
//! console reads it is `script.rs`; what stands in it is `blocks.rs`; how it is taken back is `removal.rs`. Files and
//! passwords are the command line's business.

mod blocks;
mod removal;
mod script;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use routeros_api::menu::Version;
use thiserror::Error;

/// The address list of customers who may reach the pay page alone.
pub const WALLED_LIST: &str = "tawi-walled";
/// The address list of customers who may reach nothing.
pub const OFF_LIST: &str = "tawi-off";
/// The address list of what walled customers may reach.
pub const PAY_LIST: &str = "tawi-pay";
/// The logging action whose memory buffer keeps the account lines. RouterOS takes letters and digits only.
pub const LOG_ACTION: &str = "tawiacct";
/// What the comments of everything that the script made begin with. The agent's own mark is another one, so that no
/// check of the agent takes these rows for lines of customers.
pub const MARK: &str = "tawi-setup";
/// The certificate of api-ssl.
pub const CERTIFICATE: &str = "tawi-api";

/// Where a router takes its time from that takes it from nowhere.
pub const TIME_SERVER: &str = "pool.ntp.org";

/// Releases before this one are refused: the agent does not serve them.
pub const OLDEST: Version = Version { major: 6, minor: 49, patch: 0 };
/// The oldest 7 that it serves: what came before was in flux.
pub const OLDEST_OF_SEVEN: Version = Version { major: 7, minor: 9, patch: 0 };

/// The newest release, by its first two numbers, whose commands and arguments are known. What is newer is given the script of
/// this one, with a warning.
pub const NEWEST: (u16, u16) = (7, 24);

/// RouterOS's own user, through whom a person gets in.
const BUILT_IN_USER: &str = "admin";
/// Groups that RouterOS comes with.
const BUILT_IN_GROUPS: [&str; 3] = ["read", "write", "full"];
/// The longest name of a user, group or interface that is taken.
const NAME_BYTES: usize = 32;
/// Hosts that walled customers may reach, resolvers and further addresses: enough for any pay page, and a limit.
const LIST_ENTRIES: usize = 64;

/// Why an option is not taken.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SetupError {
    /// The release is too old or of no known form.
    #[error(
        "{0:?} is no release that the agent serves\n  cure: give 6.49, or 7.9 or later, such as 7.12, 7.18.2 or v7.18.2: /system resource print; upgrade what lies between"
    )]
    Release(String),
    /// A name holds what a script cannot hold safely.
    #[error(
        "{what} {name:?} is not taken\n  cure: use 1 to {NAME_BYTES} letters, digits, blanks and . _ + / -"
    )]
    Name {
        /// Which option.
        what: &'static str,
        /// What was given.
        name: String,
    },
    /// One of RouterOS's own groups.
    #[error("the group {0:?} is RouterOS's own\n  cure: name a group of the agent's own, such as tawi")]
    BuiltInGroup(String),
    /// RouterOS's own user.
    #[error(
        "the user {BUILT_IN_USER:?} is how a person gets in\n  cure: name a user of the agent's own, such as tawi"
    )]
    BuiltInUser,
    /// Neither an IPv4 address nor a DNS name.
    #[error("{0:?} is neither an IPv4 address nor a DNS name\n  cure: give pay.isp.example or 203.0.113.10")]
    Host(String),
    /// No such policy.
    #[error("{0:?} is no policy that may be added\n  cure: add sensitive or test, or leave it out")]
    Policy(String),
    /// A prefix that is none.
    #[error("{0:?} is no IPv4 address or prefix\n  cure: give 192.168.88.10 or 192.168.88.0/24")]
    Prefix(String),
    /// Nothing may be reached, whatever its name is.
    #[error(
        "--resolver tells where customers who have not paid look up the pay page, and none is named\n  cure: name it with --allow-host or --pay-page, or leave --resolver out"
    )]
    ResolverForNothing,
    /// More than a script should carry.
    #[error(
        "{0} are given more than {LIST_ENTRIES} times\n  cure: leave out what customers do not need in order to pay"
    )]
    TooMany(&'static str),
}

/// A policy that the agent does without, and that a site may give all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExtraPolicy {
    /// Shows passwords in rows, so that the agent sees when somebody changed one.
    Sensitive,
    /// Some releases may ask for it where a profile carries a script.
    Test,
}

impl ExtraPolicy {
    /// Reads its name.
    ///
    /// # Errors
    /// [`SetupError::Policy`].
    pub fn parse(text: &str) -> Result<Self, SetupError> {
        match text {
            "sensitive" => Ok(Self::Sensitive),
            "test" => Ok(Self::Test),
            other => Err(SetupError::Policy(other.to_owned())),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sensitive => "sensitive",
            Self::Test => "test",
        }
    }
}

/// Something that walled customers may reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// An address.
    Address(Ipv4Addr),
    /// A name, which the router resolves by itself.
    Name(String),
}

impl Host {
    /// Reads an address or a name.
    ///
    /// # Errors
    /// [`SetupError::Host`]. RouterOS would take any text for a name, and such a row matches nothing.
    pub fn parse(text: &str) -> Result<Self, SetupError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_top = |label: &str| label.bytes().any(|byte| byte.is_ascii_alphabetic());
        let is_name =
            text.len() <= 253 && text.split('.').all(is_label) && text.rsplit('.').next().is_some_and(is_top);
        if is_name {
            Ok(Self::Name(text.to_ascii_lowercase()))
        } else {
            Err(SetupError::Host(text.to_owned()))
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A name that a script can hold between quotes without anything else in it being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Takes a name of a user, group or interface.
    ///
    /// # Errors
    /// [`SetupError::Name`].
    pub fn parse(what: &'static str, text: &str) -> Result<Self, SetupError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b" ._+/-".contains(&byte);
        if (1..=NAME_BYTES).contains(&text.len()) && text.trim() == text && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(SetupError::Name { what, name: text.to_owned() })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the router is to be prepared for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The router's release.
    pub release: Version,
    /// Where the agent speaks from, as the router sees it.
    pub agent: Ipv4Addr,
    /// Further addresses and prefixes that may use api-ssl, such as a monitoring server's.
    pub also_allowed: Vec<String>,
    /// Where the agent reaches the router.
    pub router: Ipv4Addr,
    /// The port of api-ssl.
    pub port: u16,
    /// The agent's user.
    pub user: Name,
    /// Its group.
    pub group: Name,
    /// Policies beyond the least.
    pub extra_policies: Vec<ExtraPolicy>,
    /// Whether the service without TLS stays as it is.
    pub keeps_plain_api: bool,
    /// The interfaces on which customers dial PPPoE, if they do.
    pub pppoe_interfaces: Vec<Name>,
    /// The tunnels that customers dial, where the router has one server of each.
    pub tunnels: BTreeSet<Tunnel>,
    /// The certificate of the OpenVPN server, where customers dial that.
    pub openvpn_certificate: Option<Name>,
    /// Whether the router serves a hotspot.
    pub has_hotspot: bool,
    /// What walled customers may reach.
    pub pay_hosts: Vec<Host>,
    /// Where the pages that they open over HTTP are led to.
    pub pay_page: Option<SocketAddrV4>,
    /// The resolvers that they may ask; none for the router itself.
    pub resolvers: Vec<Ipv4Addr>,
    /// Where the router takes its time from; `None` for [`TIME_SERVER`], where it takes it from nowhere.
    pub time_server: Option<Host>,
}

/// A tunnel of which a router has one server, which is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tunnel {
    /// L2TP.
    L2tp,
    /// PPTP.
    Pptp,
}

impl Tunnel {
    /// Its settings' menu.
    fn menu(self) -> &'static str {
        match self {
            Self::L2tp => "/interface l2tp-server server",
            Self::Pptp => "/interface pptp-server server",
        }
    }
}

/// Reads a release and refuses what the agent does not serve.
///
/// # Errors
/// [`SetupError::Release`].
pub fn parse_release(text: &str) -> Result<Version, SetupError> {
    Version::parse(text.strip_prefix(['v', 'V']).unwrap_or(text).as_bytes())
        .ok()
        .filter(|version| match version.major {
            6 => *version >= OLDEST,
            _ => *version >= OLDEST_OF_SEVEN,
        })
        .ok_or_else(|| SetupError::Release(text.to_owned()))
}

/// Reads an address or a prefix, in the form in which the router shows it: host bits cleared, `/32` spelled out.
///
/// # Errors
/// [`SetupError::Prefix`].
pub fn parse_prefix(text: &str) -> Result<String, SetupError> {
    let refuse = || SetupError::Prefix(text.to_owned());
    let (address, bits) = text.split_once('/').unwrap_or((text, "32"));
    let address: Ipv4Addr = address.parse().map_err(|_| refuse())?;
    let bits: u32 = bits.parse().ok().filter(|bits| (1..=32).contains(bits)).ok_or_else(refuse)?;
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    Ok(format!("{}/{bits}", Ipv4Addr::from(u32::from(address) & mask)))
}

impl Setup {
    /// Checks what no single option can say.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn check(&self) -> Result<(), SetupError> {
        if BUILT_IN_GROUPS.contains(&self.group.as_str()) {
            return Err(SetupError::BuiltInGroup(self.group.as_str().to_owned()));
        }
        if self.user.as_str() == BUILT_IN_USER {
            return Err(SetupError::BuiltInUser);
        }
        if !self.resolvers.is_empty() && self.reachable().is_empty() {
            return Err(SetupError::ResolverForNothing);
        }
        for (what, count) in [
            ("hosts", self.pay_hosts.len()),
            ("resolvers", self.resolvers.len()),
            ("further addresses", self.also_allowed.len()),
            ("interfaces", self.pppoe_interfaces.len()),
        ] {
            if count > LIST_ENTRIES {
                return Err(SetupError::TooMany(what));
            }
        }
        Ok(())
    }

    /// What is said of a release that is newer than any that is known; `None` for one that is.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let (major, minor) = (self.release.major, self.release.minor);
        ((major, minor) > NEWEST).then(|| {
            format!(
                "this script is written for RouterOS {}.{}, the newest release that is known, and untested on {major}.{minor}: \
                 read what it prints, and run tawi-agent doctor afterwards",
                NEWEST.0, NEWEST.1
            )
        })
    }

    /// The script. It holds the password, so it is as secret as the password is.
    #[must_use]
    pub fn script(&self, password: &str) -> String {
        blocks::write(self, password)
    }

    /// The script that removes what [`Setup::script`] made, and nothing else.
    #[must_use]
    pub fn removal(&self) -> String {
        removal::write(self)
    }

    /// Whether the router has any number of OpenVPN servers, and not one that is on or off.
    fn lists_openvpn(&self) -> bool {
        self.release >= Version { major: 7, minor: 17, patch: 0 }
    }

    fn is_six(&self) -> bool {
        self.release.major < 7
    }

    /// A service as a command names it. Since 7.19 the menu also lists open connections under the name of their service, so
    /// that a name alone may mean one of those, which cannot be set.
    fn service(&self, name: &str) -> String {
        if self.release >= (Version { major: 7, minor: 19, patch: 0 }) {
            format!("[{} find where name={} !dynamic]", blocks::SERVICE, script::quoted(name))
        } else {
            name.to_owned()
        }
    }

    /// What `/ip/service` calls the addresses that may connect.
    fn address_argument(&self) -> &'static str {
        let renamed = Version { major: 7, minor: 24, patch: 0 };
        if self.release >= renamed { "available-from" } else { "address" }
    }

    /// The hosts, without doubles, and the pay page with them.
    fn reachable(&self) -> Vec<Host> {
        let page = self.pay_page.map(|page| Host::Address(*page.ip()));
        let mut hosts: Vec<Host> = page.into_iter().chain(self.pay_hosts.iter().cloned()).collect();
        hosts.sort();
        hosts.dedup();
        hosts
    }
}
