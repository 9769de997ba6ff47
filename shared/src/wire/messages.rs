//! The structs. Field order is the format: nothing here may be reordered, inserted or retyped after a release.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Body;

macro_rules! body {
    ($type_number:literal, $(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $kind:ty),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[$doc])* pub $field: $kind,)+
        }

        impl Body for $name {
            const TYPE: u16 = $type_number;
        }
    };
}

body! { 0x0001,
    /// The agent's first word after connecting. The controller answers with cursors and with whatever state is missing.
    HelloV1 {
        /// Random for each start of the agent's process.
        boot_id: u64,
        /// Grows with each connection of this agent, across restarts; a last will carries it too.
        connection_epoch: u64,
        /// Oldest contract spoken.
        protocol_oldest: u16,
        /// Newest contract spoken.
        protocol_newest: u16,
        /// The generation safe on flash; 0 when nothing is.
        stored_generation: u64,
        /// The newest generation verified on all routers.
        applied_generation: u64,
        /// Hash of the stored state.
        state_hash: [u8; 16],
        /// Milliseconds since 1970 by the agent's clock.
        clock_ms: i64,
        /// Whether the agent trusts that clock.
        is_clock_trusted: bool,
        /// Such as `0.1.0`.
        agent_version: String,
        /// The routers of the site's configuration.
        routers: Vec<RouterStatusV1>,
    }
}

/// One router as the agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatusV1 {
    /// Name in the agent's configuration; the controller's lines refer to it.
    pub name: String,
    /// Whether it answers.
    pub is_reachable: bool,
    /// RouterOS release such as `7.18.2`; empty when never reached.
    pub release: String,
}

body! { 0x0002,
    /// Sent as soon as a generation is safe on flash.
    StoredV1 {
        /// Which generation.
        generation: u64,
        /// When, by the agent's clock.
        stored_at_ms: i64,
    }
}

body! { 0x0003,
    /// Sent when a generation was applied and read back. Lines that are not listed are verified.
    AppliedV1 {
        /// Which generation.
        generation: u64,
        /// Hash of the stored state.
        state_hash: [u8; 16],
        /// When the last read-back ended, by the agent's clock.
        applied_at_ms: i64,
        /// The lines that are not as they should be. At most as many as fit an envelope; `failures_total` counts all.
        failures: Vec<LineFailureV1>,
        /// How many lines failed altogether.
        failures_total: u32,
    }
}

/// One line that is not on its router as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineFailureV1 {
    /// Line id.
    pub line: String,
    /// A [`FailureKind`](super::FailureKind) code.
    pub kind: u16,
    /// For a person; at most 200 bytes, without secrets.
    pub detail: String,
}

body! { 0x0004,
    /// Session totals, absolute: a lost batch is healed by the next, a doubled one changes nothing.
    UsageBatchV1 {
        /// One entry per session that changed.
        sessions: Vec<SessionUsageV1>,
    }
}

/// What one session moved since it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionUsageV1 {
    /// Line id.
    pub line: String,
    /// Unique for the site: router, session id and start.
    pub session: String,
    /// When it began, by the agent's clock.
    pub started_at_ms: i64,
    /// When this total was read.
    pub sampled_at_ms: i64,
    /// Bytes from the customer.
    pub upload_bytes: u64,
    /// Bytes to the customer.
    pub download_bytes: u64,
    /// Whether the session is over and this total final.
    pub is_ended: bool,
    /// The customer's address; empty when unknown.
    pub address: String,
}

body! { 0x0005,
    /// Something that head office wants to know at once.
    EventV1 {
        /// When, by the agent's clock.
        at_ms: i64,
        /// An [`EventKind`](super::EventKind) code.
        kind: u16,
        /// Line id, where it concerns one.
        line: Option<String>,
        /// Router name, where it concerns one.
        router: Option<String>,
        /// For a person; at most 200 bytes, without secrets.
        detail: String,
    }
}

body! { 0x0006,
    /// The last will, or a farewell before a restart.
    ByeV1 {
        /// The connection that ended; a bye of an older one is ignored.
        connection_epoch: u64,
    }
}

/// What a line may use, and until when. Equal on both ends, hashed into [`StateHash`](crate::state_hash::StateHash).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineV1 {
    /// Line id.
    pub line: String,
    /// Router name in the agent's configuration.
    pub router: String,
    /// A [`Service`](super::Service) code.
    pub service: u16,
    /// Name of the secret or hotspot user on the router.
    pub username: String,
    /// Its password.
    pub password: String,
    /// Name of a [`ProfileV1`].
    pub profile: String,
    /// An [`Access`](super::Access) code.
    pub access: u16,
    /// The instant from which the line is off, in milliseconds since 1970; `None` for no end.
    pub valid_until_ms: Option<i64>,
}

impl fmt::Debug for LineV1 {
    /// Without the password and the customer's user name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineV1")
            .field("line", &self.line)
            .field("router", &self.router)
            .field("service", &self.service)
            .field("profile", &self.profile)
            .field("access", &self.access)
            .field("valid_until_ms", &self.valid_until_ms)
            .finish_non_exhaustive()
    }
}

/// A speed profile that lines refer to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileV1 {
    /// Name on the router; unique within its service at a site.
    pub name: String,
    /// A [`Service`](super::Service) code.
    pub service: u16,
    /// To the customer, bits per second; 0 for no limit.
    pub download_bits_per_second: u64,
    /// From the customer, bits per second; 0 for no limit.
    pub upload_bits_per_second: u64,
    /// Short-term speed to the customer; 0 for no burst.
    pub download_burst_bits_per_second: u64,
    /// Short-term speed from the customer; 0 for no burst.
    pub upload_burst_bits_per_second: u64,
}

body! { 0x0101,
    /// Part of a whole desired state. It takes effect when all chunks of one generation are there.
    StateSnapshotV1 {
        /// The generation of the whole.
        generation: u64,
        /// Hash of the whole.
        state_hash: [u8; 16],
        /// From 0.
        chunk: u16,
        /// How many there are.
        chunks: u16,
        /// Lines of this chunk.
        lines: Vec<LineV1>,
        /// Profiles of this chunk.
        profiles: Vec<ProfileV1>,
    }
}

body! { 0x0102,
    /// What changed since a generation. An agent that stands between `from` and `to` takes it too: each item is whole.
    StateDeltaV1 {
        /// The agent must stand at this generation or later.
        from_generation: u64,
        /// Where it stands afterwards.
        to_generation: u64,
        /// Hash of the whole state afterwards.
        state_hash: [u8; 16],
        /// New or changed lines.
        lines: Vec<LineV1>,
        /// Lines that are no more.
        removed_lines: Vec<String>,
        /// New or changed profiles.
        profiles: Vec<ProfileV1>,
        /// Profiles that are no more: (service code, name).
        removed_profiles: Vec<(u16, String)>,
    }
}

body! { 0x0103,
    /// What the controller has committed of one lane; the agent forgets up to it.
    CursorV1 {
        /// A [`Lane`](super::Lane) code.
        lane: u16,
        /// The store epoch that the cursor belongs to.
        store_epoch: u32,
        /// All positions up to this one are committed.
        cursor: u64,
        /// The controller's clock when it said so.
        controller_clock_ms: i64,
    }
}
