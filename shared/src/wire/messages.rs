//! The structs. Field order is the format: nothing here may be reordered, inserted or retyped after a release.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Body;

/// The most bytes of one part of an answer; an envelope has 64 KiB.
pub const ANSWER_PART_BYTES: usize = 48 * 1024;
/// The most parts of one answer.
pub const ANSWER_PARTS: usize = 20;

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
    /// Why it cannot be worked with: a code of `RouterTrouble`, and 0 while it can or when nothing is known yet. One that
    /// answers may have one too: another board than before.
    pub trouble: u16,
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
    /// When the period began that these bytes count towards; 0 where the line has no quota. A session that crosses into
    /// another period is told in parts, each with a name of its own, so that no part counts towards two.
    pub period_started_ms: i64,
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

/// How a line is kept from full use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestraintV1 {
    /// A [`Restraint`](super::Restraint) code.
    pub how: u16,
    /// Name of the [`ProfileV1`] that slows it down or walls it in; empty where it is off.
    pub profile: String,
}

/// What a line may move in one period, and what comes after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaV1 {
    /// When the period begins; it lasts until the next one of the line begins.
    pub from_ms: i64,
    /// What may be moved in it, upload and download together, with all that was topped up.
    pub bytes: u64,
}

/// What happens to a line while head office cannot be heard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfflineRuleV1 {
    /// For how long nothing happens, in hours.
    pub after_hours: u32,
    /// What happens then, until head office is heard again.
    pub then: RestraintV1,
}

/// What a line may use, and until when. Equal on both ends, hashed into [`StateHash`](crate::state_hash::StateHash).
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineV1 {
    /// Line id.
    pub line: String,
    /// Router name in the agent's configuration.
    pub router: String,
    /// A [`Service`](super::Service) code.
    pub service: u16,
    /// Name of the secret or hotspot user on the router; of the queue where nobody logs in.
    pub username: String,
    /// Its password. Empty: the one in the row stays, because nobody at head office knows it.
    pub password: String,
    /// Name of a [`ProfileV1`].
    pub profile: String,
    /// An [`Access`](super::Access) code.
    pub access: u16,
    /// The instant from which the line is suspended, in milliseconds since 1970; `None` for no end.
    pub valid_until_ms: Option<i64>,
    /// What being suspended means for it.
    pub suspension: RestraintV1,
    /// The only device that may use it: a MAC address in capitals, or for tunnels the address that is dialled from.
    /// Empty: any.
    pub caller_id: String,
    /// Its own address. Empty: one of the profile's pool. Never empty where nobody logs in.
    pub address: String,
    /// By `from_ms`, oldest first: the running period, and those that were bought ahead. Empty: no quota.
    pub quotas: Vec<QuotaV1>,
    /// What comes after the quota.
    pub after_quota: RestraintV1,
    /// `None`: the line is kept as it is.
    pub offline: Option<OfflineRuleV1>,
}

impl fmt::Debug for LineV1 {
    /// Without the password, the customer's user name, device and address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineV1")
            .field("line", &self.line)
            .field("router", &self.router)
            .field("service", &self.service)
            .field("profile", &self.profile)
            .field("access", &self.access)
            .field("valid_until_ms", &self.valid_until_ms)
            .field("suspension", &self.suspension)
            .field("quotas", &self.quotas)
            .field("after_quota", &self.after_quota)
            .field("offline", &self.offline)
            .finish_non_exhaustive()
    }
}

/// A speed profile that lines refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The average to the customer above which a burst ends; 0: the rate.
    pub download_threshold_bits_per_second: u64,
    /// The average from the customer above which a burst ends; 0: the rate.
    pub upload_threshold_bits_per_second: u64,
    /// Over how many seconds that average is taken; 0: the agent's default.
    pub burst_seconds: u32,
    /// From 1, served first, to 8; 0: the router's default, which is 8.
    pub priority: u16,
    /// How many devices may be logged in at once under one name; 0: the router's default.
    pub shared_users: u32,
    /// Pool on the router that clients get addresses from; empty: as the router's own default profile has it.
    pub pool: String,
    /// The router's own address towards the client; PPP only. Empty: as the router's own default profile has it.
    pub local_address: String,
    /// Address list on the router that clients are in while they use this profile; empty: none.
    pub address_list: String,
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

body! { 0x0007,
    /// What the agent wrote to routers, in the order in which it did: the API log.
    RouterWritesV1 {
        /// At least one.
        writes: Vec<RouterWriteV1>,
    }
}

/// One write to a router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterWriteV1 {
    /// When it was answered, by the agent's clock.
    pub at_ms: i64,
    /// Router name in the agent's configuration.
    pub router: String,
    /// The command, such as `/ppp/secret/set`.
    pub operation: String,
    /// Its parameters as `name=value`, secrets as `***`; at most 500 bytes.
    pub parameters: String,
    /// Line id, where it concerns one.
    pub line: Option<String>,
    /// A [`WriteStatus`](super::WriteStatus) code.
    pub status: u16,
    /// The router's words where it refused; at most 200 bytes.
    pub detail: String,
}

body! { 0x0008,
    /// What became of a [`CommandV1`]. Told again with each hello until the controller commands it no more.
    CommandResultV1 {
        /// Which.
        id: String,
        /// A [`CommandStatus`](super::CommandStatus) code.
        status: u16,
        /// When, by the agent's clock.
        at_ms: i64,
        /// For a person; at most 200 bytes, without secrets.
        detail: String,
    }
}

body! { 0x0009,
    /// Rows of a router that somebody else made and that could be taken over as lines, as a
    /// [`CommandKind::ListForeign`](super::CommandKind::ListForeign) asked.
    ForeignRowsV1 {
        /// The command that asked.
        command: String,
        /// From 0.
        chunk: u16,
        /// How many there are.
        chunks: u16,
        /// Router name in the agent's configuration.
        router: String,
        /// Rows of this chunk.
        rows: Vec<ForeignRowV1>,
    }
}

body! { 0x000E,
    /// What a command asked to know, in parts that fit an envelope. The result comes after the last part.
    AnswerV1 {
        /// The command that asked.
        command: String,
        /// From 0.
        part: u16,
        /// How many there are.
        parts: u16,
        /// Of this part, at most [`ANSWER_PART_BYTES`]; the whole is JSON, without secrets.
        bytes: Vec<u8>,
    }
}

/// A secret or hotspot user without our mark.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignRowV1 {
    /// A [`Service`](super::Service) code.
    pub service: u16,
    /// Name on the router.
    pub username: String,
    /// What somebody wrote beside it; at most 200 bytes.
    pub comment: String,
    /// Name of its profile.
    pub profile: String,
    /// The profile's rate limit in the router's words, upload first.
    pub rate_limit: String,
    /// Whether it may not log in.
    pub is_disabled: bool,
    /// Whether somebody is logged in under it now.
    pub is_online: bool,
    /// Its own address, if any.
    pub address: String,
    /// The only device that may use it, if any.
    pub caller_id: String,
}

impl fmt::Debug for ForeignRowV1 {
    /// Without whatever names a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForeignRowV1")
            .field("service", &self.service)
            .field("profile", &self.profile)
            .field("is_disabled", &self.is_disabled)
            .finish_non_exhaustive()
    }
}

body! { 0x000A,
    /// How many lines of a router lose access as soon as a person lets them, and which plan that is.
    HeldPlanV1 {
        /// Router name in the agent's configuration.
        router: String,
        /// Names exactly the lines that are held; a release must name it too. Empty: nothing is held any more.
        digest: String,
        /// How many lines are held.
        lines_total: u32,
        /// How many lines of the router work.
        lines_working: u32,
        /// The first of them, at most as many as fit an envelope.
        lines: Vec<String>,
        /// When, by the agent's clock.
        at_ms: i64,
    }
}

body! { 0x0104,
    /// Something to do once that is not state.
    CommandV1 {
        /// Random; the agent does each at most once.
        id: String,
        /// A [`CommandKind`](super::CommandKind) code.
        kind: u16,
        /// Not to be begun after this instant, in milliseconds since 1970.
        not_after_ms: i64,
        /// Router name in the agent's configuration, where it concerns one.
        router: String,
        /// Line id, where it concerns one.
        line: String,
        /// What the kind says: the digest of a held plan, the name of a foreign row.
        argument: String,
        /// A [`Service`](super::Service) code, where the kind takes one; 0 otherwise.
        service: u16,
    }
}

body! { 0x0105,
    /// What lines had moved in their running period before the agent's store began, or at another site. The agent adds
    /// what it counts itself. Sent after the hello of a store that the controller does not know yet, and with a line that
    /// comes from elsewhere.
    UsageBeforeV1 {
        /// The life of the agent's store that these exclude.
        store_epoch: u32,
        /// Lines with a quota that moved anything before.
        lines: Vec<LineUsageBeforeV1>,
    }
}

/// See [`UsageBeforeV1`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineUsageBeforeV1 {
    /// Line id.
    pub line: String,
    /// Which period.
    pub period_started_ms: i64,
    /// Upload and download together.
    pub bytes: u64,
}

body! { 0x000B,
    /// Running totals of sessions that a [`UsageBatchV1`] of this store's life named before: as absolute as those, and a
    /// fifth of their size. A short name that is not known, or is that of two sessions, is passed over: each session is
    /// named anew from time to time and when it ends. Said from protocol 2 on.
    UsageTotalsV1 {
        /// When the newest of them was read, by the agent's clock.
        sampled_at_ms: i64,
        /// One entry per session that changed.
        totals: Vec<RunningTotalV1>,
    }
}

/// What a session moved since it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningTotalV1 {
    /// [`short_name`] of the session.
    pub session: [u8; 4],
    /// How many seconds before the newest of the message it was read.
    pub seconds_before: u32,
    /// Bytes from the customer.
    pub upload_bytes: u64,
    /// Bytes to the customer.
    pub download_bytes: u64,
}

/// A session's name in four bytes: CRC-32C of [`SessionUsageV1::session`]. Names that differ in one run of up to four bytes never
/// have the same; whoever tells makes sure that no two running ones have.
#[must_use]
pub fn short_name(session: &str) -> [u8; 4] {
    crc32c::crc32c(session.as_bytes()).to_be_bytes()
}

body! { 0x0106,
    /// Answers the hello of an agent that speaks protocol 2 or newer: what both ends speak. Until it comes the agent says
    /// nothing that is newer than protocol 1.
    WelcomeV1 {
        /// The newest protocol of both.
        protocol: u16,
    }
}

body! { 0x000C,
    /// Events of positions that follow each other: the first has the position of the envelope. How they lie on the agent's flash,
    /// and are told to a controller of protocol 2, is each for itself.
    EventBatchV1 {
        /// In the order of their positions; at most [`EVENTS_TOGETHER`](super::EVENTS_TOGETHER).
        events: Vec<BatchedEventV1>,
    }
}

/// One of several events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchedEventV1 {
    /// Whether the site was cut off when it happened: what [`FLAG_HISTORICAL`](crate::envelope::FLAG_HISTORICAL) says of one alone.
    pub is_historical: bool,
    /// What happened.
    pub event: EventV1,
}

body! { 0x0107,
    /// Somebody looks at the site: what waits there to be told together is to be told now.
    TellNowV1 {
        /// Milliseconds since 1970 by the controller's clock.
        controller_clock_ms: i64,
    }
}

body! { 0x0109,
    /// Asks a site for patience, from protocol 3 on: so many sites cannot all come in the same second.
    SpreadV1 {
        /// When this connection ends, the next is tried at a random time within so many seconds; 0: nothing is
        /// said of it, and what this connection was told before stands.
        return_within_seconds: u16,
        /// Hello is to be said once more, at a random time within so many seconds; 0: it is not asked for.
        hello_within_seconds: u16,
    }
}

body! { 0x0108,
    /// Several cursors of one site, to an agent of protocol 3 or newer.
    CursorsV1 {
        /// The store epoch that they belong to.
        store_epoch: u32,
        /// Milliseconds since 1970 by the controller's clock.
        controller_clock_ms: i64,
        /// A [`Lane`](super::Lane) code, and up to which position all are committed.
        cursors: Vec<(u16, u64)>,
    }
}

body! { 0x000D,
    /// What the line carried in a month, in bytes with the headers of IP: as the agent counted it, so that it says the same as the
    /// bill of the link within some percent. Said after a hello and some times a day, from protocol 3 on.
    LineReportV1 {
        /// Milliseconds since 1970 by the agent's clock.
        at_ms: i64,
        /// What may be told in an hour, in bytes; 0 without a bound.
        hourly_bytes: u64,
        /// How often the silent connection is tried, in seconds.
        keep_alive_seconds: u16,
        /// Events and session totals of before, while the site was cut off, that wait for their turn.
        backlog_records: u64,
        /// The running month and the one before, as far as the agent knows them; at most two.
        months: Vec<LineMonthV1>,
    }
}

/// What the line carried in one month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineMonthV1 {
    /// Year and month in East Africa Time, such as 202611.
    pub month: u32,
    /// A [`LinePart`](super::LinePart) code, bytes to head office, and bytes from there.
    pub parts: Vec<(u16, u64, u64)>,
}

body! { 0x010A,
    /// The release that the site is to run, as it was signed for each kind of machine: said after a hello and when it changes, to an
    /// agent of protocol 3 or newer. The agent takes the one for its own, and asks for the parts of its file in its own time.
    WantedReleaseV1 {
        /// Grows each time that somebody at head office asks for it: a release that failed is not tried again before.
        asked: u64,
        /// At most [`RELEASES_TOGETHER`]. None: nothing is wanted, and what is on its way is given up.
        releases: Vec<SignedReleaseV1>,
    }
}

/// The most releases of one version that a site is told of.
pub const RELEASES_TOGETHER: usize = 8;

/// A manifest and who signed it, see [`Signed`](crate::release::Signed).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReleaseV1 {
    /// Its bytes, as they were signed.
    pub manifest: Vec<u8>,
    /// Ed25519.
    pub signature: Vec<u8>,
}

body! { 0x010B,
    /// Part of the file of a release, as [`ReleasePartWantedV1`] asked.
    ReleasePartV1 {
        /// SHA-256 of the whole file.
        file_sha256: [u8; 32],
        /// From which byte.
        offset: u64,
        /// At most [`PART_BYTES`](crate::release::PART_BYTES). Empty: head office does not have it.
        bytes: Vec<u8>,
    }
}

body! { 0x000F,
    /// Asks for part of the file of the release that is wanted here. One at a time; what does not come is asked for again.
    ReleasePartWantedV1 {
        /// SHA-256 of the whole file.
        file_sha256: [u8; 32],
        /// From which byte.
        offset: u64,
        /// How many, at most [`PART_BYTES`](crate::release::PART_BYTES).
        length: u32,
    }
}

body! { 0x0010,
    /// How the site stands with the release that is wanted there. Said when that changes, some times while it is downloaded, and
    /// after each hello.
    ReleaseStandingV1 {
        /// Which [`WantedReleaseV1`] it answers.
        asked: u64,
        /// Whose file.
        file_sha256: [u8; 32],
        /// A [`ReleaseStanding`](super::ReleaseStanding) code.
        standing: u16,
        /// How many bytes of the file are on flash.
        have_bytes: u64,
        /// When, by the agent's clock.
        at_ms: i64,
        /// For a person; at most 200 bytes, without secrets.
        detail: String,
    }
}

body! { 0x010C,
    /// Settings of the agent, in place of all that head office set before. Sent when they change, and with the hello of a run of
    /// the agent of which it is not known that it took this revision: otherwise they cost nothing.
    SettingsV1 {
        /// Grows with each change.
        revision: u64,
        /// [`Setting`](super::Setting) codes, and values as they stand in the agent's own file.
        values: Vec<(u16, String)>,
    }
}

body! { 0x0011,
    /// What became of settings: the answer to each of them.
    SettingsStandingV1 {
        /// Which revision.
        revision: u64,
        /// The run of the agent, as in [`HelloV1`].
        boot_id: u64,
        /// Whether the device lets head office set anything.
        is_allowed: bool,
        /// Whether they are on the agent's flash.
        is_kept: bool,
        /// [`Setting`](super::Setting) codes of values that are not taken, and why; the others hold.
        refused: Vec<(u16, String)>,
    }
}
