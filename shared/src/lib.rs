//! What Tawi's agents and its controller must agree on: the wire contract, and the few values that both print.
//!
//! Nothing here opens a socket, a file or a database. The clock and the id source are the two doors to the
//! outside, and each is behind one type so that tests can turn the hands themselves. Neighbours: `agent` and
//! `controller` both depend on this crate; it depends on neither.

use std::time::Duration;

pub mod bandwidth;
pub mod clock;
pub mod csv;
pub mod enrolment;
pub mod envelope;
pub mod gather;
pub mod ids;
pub mod release;
pub mod settings;
pub mod state_hash;
pub mod topics;
pub mod wire;
mod words;

pub use bandwidth::Bandwidth;
pub use clock::{Clock, UnixMillis};
pub use gather::Gather;
pub use ids::{IdSource, LineId, SiteId};
pub use words::{LET_GO_BY_OFFICE, counted, held_words};

/// East Africa Time: what every page and log shows, at head office and at the sites. It has had no summer time since 1960,
/// so that a fixed span is all of it.
pub const ZONE_AHEAD_OF_UTC: Duration = Duration::from_secs(3 * 3_600);
/// How it is named behind a time.
pub const ZONE: &str = "EAT";

/// The longest keep-alive that an agent may have: whoever is connected says something at least so often. Head office
/// judges by it who is offline, so that a longer one would be a longer lie about who can be told of a payment.
pub const KEEP_ALIVE_LONGEST: Duration = Duration::from_secs(300);
