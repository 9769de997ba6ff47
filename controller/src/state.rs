//! What every part of the controller holds: the database, the bell, the clock and the id source.

use tawi_shared::{Clock, IdSource};

use crate::database::Database;
use crate::live::Live;
use crate::releases::ReleaseRoom;

/// The controller's shared state. Clones are handles to the same.
#[derive(Clone, Debug)]
pub struct Controller {
    /// Where everything is kept.
    pub database: Database,
    /// Tells pages and tasks that something changed.
    pub live: Live,
    /// The only source of `now`.
    pub clock: Clock,
    /// The only source of ids and tokens.
    pub ids: IdSource,
    /// Where releases of the agent are, and who signs them.
    pub releases: ReleaseRoom,
}

impl Controller {
    /// Over an open database, with the machine's clock and random source.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            database,
            live: Live::default(),
            clock: Clock::system(),
            ids: IdSource::system(),
            releases: ReleaseRoom::default(),
        }
    }
}
