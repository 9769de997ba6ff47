//! The arguments of `print` by menu and release.
//!
//! Which there are is [`super::arguments`]; here is what they do. `.proplist` and `.tag` are words of the API,
//! not arguments, and stand everywhere.

use super::{Menu, Shape, Verb, knows};
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

/// Where no dump tells of a menu, it is taken to print like one of the same shape that dumps know.
const LIKE_ANY_LIST: &str = "ip/pool";
const LIKE_ANY_SETTINGS: &str = "ppp/aaa";

/// What the argument does in this menu and release, if it exists there.
pub(crate) fn print_argument(menu: &Menu, name: &str, release: Release) -> Option<PrintArgument> {
    let like = match menu.shape {
        Shape::List => LIKE_ANY_LIST,
        Shape::Single => LIKE_ANY_SETTINGS,
    };
    let is_known = knows(menu.path, Verb::Print, name, release)
        .or_else(|| knows(like, Verb::Print, name, release))
        .unwrap_or(false);
    is_known.then_some(match name {
        "count-only" => CountOnly,
        "from" => From,
        "show-sensitive" => ShowSensitive,
        "where" | "follow" | "follow-only" | "follow-strict" | "interval" | "file" | "group-by"
        | "on-event" | "timestamp" | "order-by" => NotSimulated,
        _ => Layout,
    })
}
