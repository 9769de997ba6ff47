//! The arguments of `print` by menu and release.
//!
//! `.proplist` and `.tag` are words of the API, not arguments, and stand everywhere.

use super::{Menu, NEVER, Shape};
use crate::release::Release;

/// What an argument of `print` does over the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PrintArgument {
    /// Returns the number of rows only.
    CountOnly,
    /// Prints only the rows that it names.
    From,
    /// Shows passwords to those who may see them.
    ShowSensitive,
    /// Chooses a console layout, which an API reply does not have.
    Layout,
    /// Does something that the simulator does not.
    NotSimulated,
}

use PrintArgument::{CountOnly, From, Layout, NotSimulated, ShowSensitive};

/// Whose argument it is.
#[derive(Clone, Copy)]
enum Of {
    Everyone,
    Lists,
    Menus(&'static [&'static str]),
}

type Entry = (&'static str, PrintArgument, Of, Release, Release);

const EARLIEST: Release = super::EARLIEST;
const COUNTED: &[&str] = &["ip/hotspot/user", "ip/hotspot/host", "queue/simple"];
const SENSITIVE: &[&str] = &["ppp/secret", "interface/l2tp-server/server", "ip/hotspot/user", "user"];
const NUMBERED: &[&str] = &[
    "interface",
    "ip/hotspot/active",
    "queue/simple",
    "system/resource",
    "system/identity",
    "system/license",
];

const ENTRIES: &[Entry] = &[
    ("as-value", Layout, Of::Everyone, EARLIEST, NEVER),
    ("without-paging", Layout, Of::Everyone, EARLIEST, NEVER),
    ("file", NotSimulated, Of::Everyone, EARLIEST, NEVER),
    ("interval", NotSimulated, Of::Everyone, EARLIEST, NEVER),
    ("comments", Layout, Of::Everyone, Release::new(7, 22), NEVER),
    ("append", Layout, Of::Lists, EARLIEST, NEVER),
    ("brief", Layout, Of::Lists, EARLIEST, NEVER),
    ("detail", Layout, Of::Lists, EARLIEST, NEVER),
    ("proplist", Layout, Of::Lists, EARLIEST, NEVER),
    ("show-ids", Layout, Of::Lists, EARLIEST, NEVER),
    ("terse", Layout, Of::Lists, EARLIEST, NEVER),
    ("value-list", Layout, Of::Lists, EARLIEST, NEVER),
    ("count-only", CountOnly, Of::Lists, EARLIEST, NEVER),
    ("from", From, Of::Lists, EARLIEST, NEVER),
    ("where", NotSimulated, Of::Lists, EARLIEST, NEVER),
    ("follow", NotSimulated, Of::Lists, EARLIEST, NEVER),
    ("follow-only", NotSimulated, Of::Lists, EARLIEST, NEVER),
    ("follow-strict", NotSimulated, Of::Lists, EARLIEST, Release::new(7, 16)),
    ("group-by", NotSimulated, Of::Lists, Release::new(7, 17), NEVER),
    ("on-event", NotSimulated, Of::Lists, Release::new(7, 22), NEVER),
    ("timestamp", NotSimulated, Of::Lists, Release::new(7, 22), NEVER),
    ("order-by", NotSimulated, Of::Lists, Release::new(7, 24), NEVER),
    ("stats", Layout, Of::Menus(&["interface", "ip/hotspot/active", "queue/simple"]), EARLIEST, NEVER),
    ("stats-detail", Layout, Of::Menus(&["interface"]), EARLIEST, NEVER),
    ("status", Layout, Of::Menus(&["ip/hotspot/active", "ip/hotspot/host"]), EARLIEST, NEVER),
    ("bytes", Layout, Of::Menus(COUNTED), EARLIEST, NEVER),
    ("packets", Layout, Of::Menus(COUNTED), EARLIEST, NEVER),
    ("rate", Layout, Of::Menus(&["queue/simple"]), EARLIEST, NEVER),
    ("oid", Layout, Of::Menus(NUMBERED), EARLIEST, NEVER),
    ("with-extra-info", Layout, Of::Menus(&["log"]), Release::new(7, 19), NEVER),
    ("config", Layout, Of::Menus(&["system/device-mode"]), Release::new(7, 17), NEVER),
    ("show-sensitive", ShowSensitive, Of::Menus(SENSITIVE), Release::new(7, 21), NEVER),
    ("show-sensitive", ShowSensitive, Of::Menus(&["ip/hotspot/profile"]), Release::new(7, 24), NEVER),
];

/// What the argument does in this menu and release, if it exists there.
pub(crate) fn print_argument(menu: &Menu, name: &str, release: Release) -> Option<PrintArgument> {
    let is_here = |of: Of| match of {
        Of::Everyone => true,
        // The log is a list of its own: it grows while it is read, and has no `from`.
        Of::Lists => menu.shape == Shape::List && !(menu.path == "log" && name == "from"),
        Of::Menus(paths) => paths.contains(&menu.path),
    };
    let found = ENTRIES.iter().find(|(known, _, of, since, until)| {
        *known == name && is_here(*of) && *since <= release && release < *until
    });
    found.map(|(_, argument, ..)| *argument)
}
