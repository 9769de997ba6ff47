//! What is inside an envelope: one immutable struct per (type, version), written with postcard.
//!
//! A released struct is never edited: a change is a new `…V2`, a new type number and a `From`. Enumerations travel as
//! `u16` codes, so that an older end can say "unknown" instead of misreading. Decoding demands that nothing is left
//! over. `messages.rs` has the structs, `codes.rs` the codes. Golden vectors of every struct are frozen in
//! `shared/golden/`.

mod codes;
mod messages;

pub use codes::{
    Access, CommandKind, CommandStatus, EventKind, FailureKind, Lane, LinePart, ReleaseStanding, Restraint,
    RouterTrouble, Service, Setting, WriteStatus,
};
pub use messages::*;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::envelope::{self, EnvelopeError, Header};

/// The oldest and newest contract that this release speaks; both ends use the lower of the two newest.
pub const PROTOCOL_OLDEST: u16 = 1;
/// See [`PROTOCOL_OLDEST`]. What came with which: 2 has [`WelcomeV1`] and [`UsageTotalsV1`], 3 has [`TellNowV1`],
/// [`EventBatchV1`], [`CursorsV1`], [`LineReportV1`], [`SpreadV1`], [`AnswerV1`], [`SettingsV1`], and [`WantedReleaseV1`] with what
/// belongs to it.
pub const PROTOCOL_NEWEST: u16 = 3;
/// From this protocol on running totals are told by short names.
pub const PROTOCOL_SHORT_TOTALS: u16 = 2;
/// From this protocol on events are told together, and whatever waits for that is told when head office asks.
pub const PROTOCOL_TOGETHER: u16 = 3;
/// From this protocol on agents know of releases.
pub const PROTOCOL_RELEASES: u16 = 3;
/// The most events of one message.
pub const EVENTS_TOGETHER: usize = 64;

/// A struct that travels in an envelope under its own type number.
pub trait Body: Serialize + DeserializeOwned {
    /// The number in the envelope's `type` field: `0x00xx` goes up, `0x01xx` goes down.
    const TYPE: u16;
}

/// Why a message cannot be used. Bad bytes stay bad: count them and go on with the next message.
#[derive(Debug, Error)]
pub enum WireError {
    /// The envelope is damaged or too large.
    #[error("envelope: {0}")]
    Envelope(#[from] EnvelopeError),
    /// A type number that this release does not know, or that is not said in this direction.
    #[error("message type {0:#06x} is unknown here; update this side")]
    UnknownType(u16),
    /// The body is not what its type says.
    #[error("message type {message_type:#06x} does not decode: {source}")]
    Body {
        /// The type that the envelope claims.
        message_type: u16,
        /// What postcard found.
        source: postcard::Error,
    },
    /// The body decodes, and bytes are left over: it is some other struct.
    #[error("message type {message_type:#06x} has {count} bytes too many")]
    LeftOver {
        /// The type that the envelope claims.
        message_type: u16,
        /// How many bytes remain.
        count: usize,
    },
}

/// Writes `body` into an envelope.
///
/// # Errors
/// [`WireError::Envelope`] when the whole is larger than an envelope may be.
pub fn encode<B: Body>(body: &B, flags: u8, store_epoch: u32, seq: u64) -> Result<Vec<u8>, WireError> {
    let bytes =
        postcard::to_stdvec(body).map_err(|source| WireError::Body { message_type: B::TYPE, source })?;
    Ok(envelope::seal(Header { message_type: B::TYPE, flags, store_epoch, seq }, &bytes)?)
}

/// Whether a message of this type brings a release, or speaks of one.
#[must_use]
pub fn is_of_release(message_type: u16) -> bool {
    [WantedReleaseV1::TYPE, ReleasePartV1::TYPE, ReleasePartWantedV1::TYPE, ReleaseStandingV1::TYPE]
        .contains(&message_type)
}

/// How many bytes an item takes within a message; `usize::MAX` for what cannot be written.
#[must_use]
pub fn item_bytes<T: Serialize>(item: &T) -> usize {
    postcard::to_stdvec(item).map_or(usize::MAX, |bytes| bytes.len())
}

/// Reads a body of a known type, and demands that it uses every byte.
///
/// # Errors
/// [`WireError::Body`] or [`WireError::LeftOver`].
pub fn decode_body<B: Body>(bytes: &[u8]) -> Result<B, WireError> {
    from_exact_bytes(bytes).map_err(|error| match error {
        ExactError::Postcard(source) => WireError::Body { message_type: B::TYPE, source },
        ExactError::LeftOver(count) => WireError::LeftOver { message_type: B::TYPE, count },
    })
}

/// Why bytes are not exactly one value.
#[derive(Debug, Error)]
pub enum ExactError {
    /// Not that value at all.
    #[error(transparent)]
    Postcard(#[from] postcard::Error),
    /// That value, and so many bytes more.
    #[error("{0} bytes too many")]
    LeftOver(usize),
}

/// Reads one postcard value and demands that it uses every byte; stored records use it too.
///
/// # Errors
/// [`ExactError`] says whether the value is malformed or merely not alone.
pub fn from_exact_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ExactError> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(ExactError::LeftOver(rest.len())) }
}

macro_rules! direction {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident($body:ty)),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant($body),)+
        }

        impl $name {
            /// Opens an envelope and reads the message in it.
            ///
            /// # Errors
            /// [`WireError`]; the bytes are never worth a second look.
            pub fn decode(bytes: &[u8]) -> Result<(Header, Self), WireError> {
                let (header, body) = envelope::open(bytes)?;
                let message = match header.message_type {
                    $(<$body>::TYPE => Self::$variant(decode_body(body)?),)+
                    other => return Err(WireError::UnknownType(other)),
                };
                Ok((header, message))
            }
        }
    };
}

direction! {
    /// A message from an agent.
    UpMessage {
        /// Where the agent stands.
        Hello(HelloV1),
        /// A generation is safe on the agent's flash.
        Stored(StoredV1),
        /// A generation was applied to the routers and read back.
        Applied(AppliedV1),
        /// Session totals.
        Usage(UsageBatchV1),
        /// Something happened.
        Event(EventV1),
        /// The connection ended.
        Bye(ByeV1),
        /// What was written to routers.
        RouterWrites(RouterWritesV1),
        /// What became of a command.
        CommandResult(CommandResultV1),
        /// Rows that could be taken over.
        ForeignRows(ForeignRowsV1),
        /// What the guard holds.
        HeldPlan(HeldPlanV1),
        /// Running totals of sessions that were named before.
        UsageTotals(UsageTotalsV1),
        /// Several events.
        Events(EventBatchV1),
        /// What the line carried.
        Line(LineReportV1),
        /// What a command asked to know.
        Answer(AnswerV1),
        /// Part of a release is asked for.
        PartWanted(ReleasePartWantedV1),
        /// How the site stands with the release that is wanted.
        Release(ReleaseStandingV1),
        /// What became of settings.
        SettingsStanding(SettingsStandingV1),
    }
}

direction! {
    /// A message from the controller.
    DownMessage {
        /// Part of a whole desired state.
        Snapshot(StateSnapshotV1),
        /// What changed since a generation.
        Delta(StateDeltaV1),
        /// What the controller has taken in, and its time.
        Cursor(CursorV1),
        /// Something to do once.
        Command(CommandV1),
        /// What lines had moved before.
        UsageBefore(UsageBeforeV1),
        /// What both ends speak.
        Welcome(WelcomeV1),
        /// What waits is to be told.
        TellNow(TellNowV1),
        /// What the controller has taken in of several lanes.
        Cursors(CursorsV1),
        /// When to come back.
        Spread(SpreadV1),
        /// Which release is wanted.
        Wanted(WantedReleaseV1),
        /// Part of its file.
        Part(ReleasePartV1),
        /// Settings of the agent.
        Settings(SettingsV1),
    }
}

#[cfg(test)]
mod tests;
