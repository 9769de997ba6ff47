//! How the agent stands: the answer to `status`, what systemd shows, and what counts as a problem.
//!
//! Plain data and judgements on it. Where it comes from is `site`; how it travels to whoever asks is `status.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tawi_shared::{UnixMillis, counted};

use crate::clock::{Reading, TOLERANCE, Voice};
use crate::outbox::{LaneSizes, Overview, StoreHealth};

/// How the agent stands. The JSON of `tawi-agent status --json`; keys are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The agent's release.
    pub version: String,
    /// Which site it serves.
    pub site: String,
    /// When the process started, by the agent's clock.
    pub started_at_ms: i64,
    /// The line to head office.
    pub controller: ControllerStatus,
    /// What head office wants, and how far it is.
    pub state: StateStatus,
    /// Each configured router, by name.
    pub routers: Vec<RouterStatus>,
    /// What waits for head office.
    pub outbox: OutboxStatus,
    /// How flash fares.
    pub store: StoreStatus,
    /// What time it is, and whether that is believed.
    pub clock: ClockStatus,
    /// Messages from head office that could not be read since the start.
    pub messages_refused: u64,
    /// Commands of head office that wait because the store did not open since the start.
    #[serde(default)]
    pub commands_waiting_for_disk: u64,
    /// What runs, and what is to.
    #[serde(default)]
    pub upgrade: UpgradeStatus,
    /// Memory in use, in bytes; 0 when the system does not say.
    pub rss_bytes: u64,
    /// What can be set from head office, and whose what stands is.
    #[serde(default)]
    pub settings: SettingsStatus,
}

/// The settings that head office may set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsStatus {
    /// Of those that head office set; 0 for none.
    pub revision: u64,
    /// Whether the device's own settings let it.
    pub is_allowed: bool,
    /// Each of them.
    pub settings: Vec<SettingStatus>,
    /// How much is logged for now, where head office asked for another level than the one that lasts.
    #[serde(default)]
    pub log_level_for_now: Option<String>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingStatus {
    /// Its name in the settings.
    pub name: String,
    /// What stands.
    pub value: String,
    /// Whether that is what head office set; otherwise it is what `agent.toml` says, or its default.
    pub is_from_office: bool,
    /// What head office wants in its place.
    pub wanted: Option<String>,
    /// Why that is not taken, where it cannot be.
    pub refused: Option<String>,
}

impl SettingsStatus {
    /// For people: what stands, by whose word. Empty for a status of a release before.
    #[must_use]
    pub fn said(&self) -> String {
        let of = |is_from_office: bool| {
            let its = self.settings.iter().filter(|setting| setting.is_from_office == is_from_office);
            its.map(|setting| format!("{} {}", setting.name, setting.value)).collect::<Vec<_>>().join(", ")
        };
        let groups = [("head office", of(true)), ("agent.toml", of(false))];
        let said = groups.iter().filter(|(_, settings)| !settings.is_empty());
        let said = said.map(|(whose, settings)| format!("by {whose}: {settings}"));
        let for_now = self.log_level_for_now.iter().map(|level| {
            format!("for now by head office: log_level {level}, until a restart and for a day at most")
        });
        said.chain(for_now).collect::<Vec<_>>().join("; ")
    }

    /// What of head office's is not taken, and why.
    #[must_use]
    pub fn refusals(&self) -> Vec<String> {
        let wanted = self.settings.iter().filter_map(|setting| Some((setting, setting.wanted.as_ref()?)));
        wanted
            .map(|(setting, wanted)| {
                let why = "agent.toml says settings_from_head_office = false".to_owned();
                let why = setting.refused.clone().unwrap_or(why);
                format!("{} {wanted:?} of head office is not taken: {why}", setting.name)
            })
            .collect()
    }
}

/// How the agent stands with releases of head office.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeStatus {
    /// Whether a release of head office runs, and not what the package installed.
    pub is_release: bool,
    /// Whether it has yet to prove itself.
    pub is_on_trial: bool,
    /// The version that head office wants here.
    pub wanted: Option<String>,
    /// Where that stands: a stable word.
    pub standing: Option<String>,
    /// How much of its file is here.
    pub have_bytes: u64,
    /// How large that is.
    pub file_bytes: u64,
    /// Why, where it was refused or rolled back.
    pub detail: String,
}

impl UpgradeStatus {
    /// For people; empty where there is nothing to say.
    #[must_use]
    pub fn said(&self) -> String {
        let runs = match (self.is_release, self.is_on_trial) {
            (_, true) => "a release of head office runs on trial",
            (true, false) => "a release of head office runs",
            (false, false) => "what the package installed runs",
        };
        let wanted = match (&self.wanted, &self.standing) {
            (Some(version), Some(standing)) => {
                let share = self.have_bytes.saturating_mul(100).checked_div(self.file_bytes);
                let share = share.filter(|share| *share < 100 && self.detail.is_empty());
                let share = share.map_or_else(String::new, |share| format!(", {share} % here"));
                let why = if self.detail.is_empty() { String::new() } else { format!(": {}", self.detail) };
                format!("; {version} is wanted, {standing}{share}{why}")
            }
            _ if !self.is_release && !self.is_on_trial => return String::new(),
            _ => String::new(),
        };
        format!("release     {runs}{wanted}\n")
    }
}

/// The line to head office.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerStatus {
    /// Whether the controller has answered our hello on this connection.
    pub is_connected: bool,
    /// Which address answered.
    pub address: Option<String>,
    /// Since when this connection is up.
    pub connected_since_ms: Option<i64>,
    /// Why the last connection or try ended.
    pub last_problem: Option<String>,
    /// Bytes to the controller since the start, as they left the machine.
    pub bytes_sent: u64,
    /// Bytes from the controller since the start.
    pub bytes_received: u64,
    /// What the line carried in this month, and may carry.
    #[serde(default)]
    pub line: LineStatus,
}

/// What the line to head office carries, in bytes with the headers of IP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineStatus {
    /// The running month in East Africa Time, such as 202611; 0 while the clock is not believed.
    pub month: u32,
    /// Both directions since it began, as far as the agent ran.
    pub month_bytes: u64,
    /// The same of the month before.
    pub month_before_bytes: u64,
    /// Of the running month, by what it was for.
    pub parts: Vec<LinePartStatus>,
    /// What may be told in an hour; 0 without a bound.
    pub hourly_bytes: u64,
    /// How often the silent connection is tried, in seconds; 0 before the first one.
    pub keep_alive_seconds: u64,
    /// What was noted while the site was cut off, and waits for its turn.
    pub backlog_records: u64,
}

impl LineStatus {
    /// For people: what the month came to, for what, and what may be told. Empty before the month is known.
    #[must_use]
    pub fn said(&self) -> String {
        let megabytes = |bytes: u64| {
            let tenths = bytes.saturating_add(50_000) / 100_000;
            // So little would be said as 0.0 or 0.1.
            if bytes < 100_000 {
                format!("{} kB", bytes.saturating_add(500) / 1_000)
            } else {
                format!("{}.{} MB", tenths / 10, tenths % 10)
            }
        };
        if self.month == 0 {
            return String::new();
        }
        let both = |part: &LinePartStatus| part.bytes_sent.saturating_add(part.bytes_received);
        let parts = self.parts.iter().filter(|part| both(part) >= 50_000);
        let parts: Vec<_> = parts.map(|part| format!("{} {}", part.part, megabytes(both(part)))).collect();
        let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        let bound = match self.hourly_bytes {
            0 => "no bound".to_owned(),
            bytes => format!("{} kB an hour", bytes / 1_000),
        };
        let backlog = match self.backlog_records {
            0 => String::new(),
            records => format!("; {} of the time without a line wait", counted(records, "record")),
        };
        let (year, month) = (self.month / 100, self.month % 100);
        format!("line        {}{parts} in {year}-{month:02}; {bound}{backlog}\n", megabytes(self.month_bytes))
    }
}

/// See [`LineStatus::parts`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinePartStatus {
    /// A stable word.
    pub part: String,
    /// To head office.
    pub bytes_sent: u64,
    /// From there.
    pub bytes_received: u64,
}

/// What head office wants, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateStatus {
    /// The newest generation that is enforced.
    pub generation: u64,
    /// The newest generation that a power cut cannot take.
    pub stored_generation: u64,
    /// The newest generation that was read back from every router; 0 while one is another board than before.
    pub applied_generation: u64,
    /// Lines of the site.
    pub lines: u64,
    /// Speed profiles of the site.
    pub profiles: u64,
    /// Lines that are not on their router as they should be.
    pub failing_lines: u64,
    /// The first of them, with why and what helps; at most [`FAILING_NAMED`].
    #[serde(default)]
    pub failing: Vec<FailingLine>,
    /// Lines that are closed or slowed down because head office is silent, as their plans say.
    #[serde(default)]
    pub offline_rule_lines: u64,
    /// Since when the first of them is; `None` while none is.
    #[serde(default)]
    pub offline_rule_since_ms: Option<i64>,
}

/// Lines that fail and are named. Who needs all of them has head office's pages.
pub const FAILING_NAMED: usize = 5;

/// A line that is not on its router as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingLine {
    /// Line id.
    pub line: String,
    /// Its name on the router; empty where the state knows the line no more.
    pub username: String,
    /// Which router; empty where that is not known.
    pub router: String,
    /// Why.
    pub why: String,
    /// What helps; empty where nothing is known to.
    pub cure: String,
}

impl FailingLine {
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.found(), self.cure_said())
    }

    /// Without what helps.
    pub(crate) fn found(&self) -> String {
        let name = if self.username.is_empty() { String::new() } else { format!(" ({})", self.username) };
        let place = if self.router.is_empty() { String::new() } else { format!(" on {}", self.router) };
        format!("line {}{name}{place}: {}", self.line, self.why)
    }

    fn cure_said(&self) -> String {
        if self.cure.is_empty() { String::new() } else { format!("; cure: {}", self.cure) }
    }
}

/// Lines that stay logged in while they are walled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walled {
    /// Walled in at this moment.
    pub now: u64,
    /// Walled in by their plans, at this moment or some day.
    pub by_plan: u64,
}

/// One router.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// Its name in the settings.
    pub name: String,
    /// Whether it answers.
    pub is_reachable: bool,
    /// Its RouterOS release; empty until it was read.
    pub release: String,
    /// The newest generation that it settled since the start; 0 while it is another board than before.
    pub settled_generation: u64,
    /// Lines that are not as they should be there.
    pub failing_lines: u64,
    /// Lines that belong there, by service.
    #[serde(default)]
    pub lines: BTreeMap<String, u64>,
    /// Lines that get their address by what its profile `default` says; `None` from an agent that does not tell.
    #[serde(default)]
    pub lines_by_template: Option<u64>,
    /// Lines there that log in by PPP and that nothing but the router's firewall bars from the network; `None` from an
    /// agent that does not tell.
    #[serde(default)]
    pub walled: Option<Walled>,
    /// Why it cannot be worked with; `None` while it can.
    #[serde(default)]
    pub problem: Option<String>,
    /// What to do about that.
    #[serde(default)]
    pub cure: Option<String>,
    /// Which part of the way fails: a stable word.
    #[serde(default)]
    pub problem_part: Option<String>,
    /// Lines whose cuts the guard holds until a person lets them go.
    #[serde(default)]
    pub held_lines: u64,
    /// When every row of it was last looked at; `None` before the first time.
    #[serde(default)]
    pub full_check_at_ms: Option<i64>,
    /// How long that took, in milliseconds.
    #[serde(default)]
    pub full_check_took_ms: Option<u64>,
}

/// What waits for head office.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxStatus {
    /// The present life of the store.
    pub store_epoch: u32,
    /// Events.
    pub events: LaneStatus,
    /// Session totals.
    pub usage: LaneStatus,
    /// The API log, in batches.
    #[serde(default)]
    pub log: LaneStatus,
    /// Records that wait in memory because flash takes none.
    pub in_memory: u64,
    /// Damaged records that were skipped since the start.
    pub bad_records: u64,
    /// Records that were dropped since the start because a bound was reached.
    pub dropped_records: u64,
}

/// One lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Without a position.
    pub pending: u64,
    /// Those of them that were noted while the site was cut off, and wait behind what is fresh.
    #[serde(default)]
    pub backlog: u64,
    /// With a position, and not confirmed.
    pub sealed: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The newest position that was given out.
    pub last_seq: u64,
}

impl From<LaneSizes> for LaneStatus {
    fn from(sizes: LaneSizes) -> Self {
        let LaneSizes { pending, backlog, sealed, bytes, last_seq } = sizes;
        Self { pending, backlog, sealed, bytes, last_seq }
    }
}

/// How flash fares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Whether everything is on flash.
    pub is_well: bool,
    /// Since when not.
    pub unwell_since_ms: Option<i64>,
    /// Why not.
    pub problem: Option<String>,
    /// What the store takes on the disk, in bytes.
    pub disk_bytes: u64,
    /// Writes to routers that the API log at the site left out since the start.
    #[serde(default)]
    pub writes_left_out: u64,
    /// Whether it leaves them out now.
    #[serde(default)]
    pub leaves_writes_out: bool,
    /// What was lost with a store that was begun anew since the start, in words.
    #[serde(default)]
    pub lost: Option<String>,
}

impl StoreStatus {
    /// That the API log at the site does not hold all writes, and what helps; `None` where it does.
    #[must_use]
    pub fn log_lacks(&self) -> Option<(String, &'static str)> {
        let lacks = counted(self.writes_left_out, "write");
        match (self.leaves_writes_out, self.writes_left_out) {
            (true, _) => Some((
                format!(
                    "the API log at the site leaves writes out, for a full disk or a day of over 16 MiB: {lacks} since the start"
                ),
                CURE_OF_SPACE,
            )),
            (false, 0) => None,
            (false, _) => Some((
                format!("the API log at the site lacks {lacks}, of a full disk or a day of over 16 MiB"),
                "head office may have them; a restart of the agent forgets this",
            )),
        }
    }
}

/// What time it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// The time that is acted on.
    pub now_ms: i64,
    /// Whether it is believed. If not, nothing expires by the wall clock.
    pub is_trusted: bool,
    /// Who stands behind it, in words.
    #[serde(default)]
    pub basis: String,
    /// What everybody says who was heard.
    #[serde(default)]
    pub heard: Vec<ClockVoice>,
    /// For how long, in milliseconds, lines may go on that ended within a leap of time which head office was not heard
    /// about; 0 without one.
    #[serde(default)]
    pub leap_rest_ms: u64,
}

/// What somebody says about the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockVoice {
    /// Who, in words.
    pub who: String,
    /// By how much that one is ahead of the time that is acted on, in milliseconds.
    pub ahead_ms: i64,
}

/// How a disk that runs full is helped.
pub const CURE_OF_SPACE: &str = "free some space: df -h; journalctl --vacuum-size=50M; apt-get clean";

/// What helps a clock that is not believed.
pub const CURE_OF_CLOCK: &str = "set what is wrong: timedatectl at this machine, /system ntp client at the router; two that say the same are \
     believed, after ten minutes where they take time back, and head office is one as soon as it is reached";

impl ClockStatus {
    /// What the clock says, and what everybody else does.
    #[must_use]
    pub fn of(reading: &Reading, voices: &[Voice]) -> Self {
        let now = reading.now.0;
        let heard = voices
            .iter()
            .map(|voice| ClockVoice { who: voice.who.clone(), ahead_ms: voice.time.0.saturating_sub(now) });
        Self {
            now_ms: now,
            is_trusted: reading.is_trusted,
            basis: reading.basis.as_str().to_owned(),
            heard: heard.collect(),
            leap_rest_ms: reading
                .leap_in_doubt
                .map_or(0, |leap| u64::try_from(leap.rest().as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Whose clock is off the time that is acted on, in one sentence each.
    #[must_use]
    pub fn off(&self) -> Vec<String> {
        let tolerance = i64::try_from(TOLERANCE.as_millis()).unwrap_or(i64::MAX);
        let is_off = |voice: &&ClockVoice| voice.ahead_ms.saturating_abs() > tolerance;
        let said = |voice: &ClockVoice| {
            let by = spoken(UnixMillis(0), UnixMillis(voice.ahead_ms.saturating_abs()));
            let way = if voice.ahead_ms > 0 { "ahead" } else { "behind" };
            format!("{} is {by} {way}", voice.who)
        };
        self.heard.iter().filter(is_off).map(said).collect()
    }

    /// What is to be said of a move of time that head office was not heard about.
    #[must_use]
    pub fn leap(&self) -> Option<String> {
        let rest = i64::try_from(self.leap_rest_ms).unwrap_or(i64::MAX);
        (rest > 0).then(|| {
            format!(
                "time has moved forward while head office was not heard: whose time ended within that keeps what was left of \
                 it, the last for {} more",
                spoken(UnixMillis(0), UnixMillis(rest))
            )
        })
    }

    /// Why the time is not believed.
    #[must_use]
    pub fn doubt(&self) -> String {
        let off = self.off();
        let why = if off.is_empty() { "nobody else was heard yet".to_owned() } else { off.join(", ") };
        if self.is_trusted {
            return format!("one clock is wrong: {why}; time is kept otherwise, as {}", self.basis);
        }
        format!(
            "the clock is not believed: {why}; time is {}, and nothing expires by the wall clock",
            self.basis
        )
    }
}

impl RouterStatus {
    /// Why it is not worked with, and what helps.
    #[must_use]
    pub fn said(&self) -> String {
        match (&self.problem, &self.cure) {
            (Some(problem), Some(cure)) => format!("router {}: {problem}; cure: {cure}", self.name),
            (Some(problem), None) => format!("router {}: {problem}", self.name),
            _ => format!("router {} does not answer", self.name),
        }
    }
}

impl Status {
    /// Fills in what the store said.
    pub fn put_overview(&mut self, overview: &Overview) {
        self.outbox = OutboxStatus {
            store_epoch: overview.epoch,
            events: overview.events.into(),
            usage: overview.usage.into(),
            log: overview.log.into(),
            in_memory: overview.in_memory,
            bad_records: overview.bad_records,
            dropped_records: overview.dropped_records,
        };
        let (since, problem) = match &overview.health {
            StoreHealth::Well => (None, None),
            StoreHealth::Unwell { since, error } => (Some(since.0), Some(error.said())),
        };
        self.store = StoreStatus {
            is_well: problem.is_none(),
            unwell_since_ms: since,
            problem,
            disk_bytes: overview.disk_bytes,
            writes_left_out: overview.left_out.writes,
            leaves_writes_out: overview.left_out.is_now,
            lost: overview.lost.clone(),
        };
    }

    /// What someone should look at, in sentences. Empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.controller.is_connected {
            let why = self.controller.last_problem.as_deref().unwrap_or("no connection was made yet");
            problems.push(format!("head office is not reached: {why}"));
        }
        if let Some(problem) = &self.store.problem {
            problems.push(format!("new records are not safe against a power cut: {problem}"));
        }
        if let Some((lack, cure)) = self.store.log_lacks().filter(|_| self.store.leaves_writes_out) {
            problems.push(format!("{lack}; cure: {cure}"));
        }
        if self.commands_waiting_for_disk > 0 {
            let waiting = counted(self.commands_waiting_for_disk, "command");
            problems.push(format!(
                "{waiting} of head office cannot be begun before the disk is read: each may have been begun before the \
                 agent was started; cure: see what keeps the store shut, and restart the agent"
            ));
        }
        for router in self.routers.iter().filter(|router| !router.is_reachable || router.problem.is_some()) {
            problems.push(router.said());
        }
        if self.state.failing_lines > 0 {
            let (count, named) = (self.state.failing_lines, &self.state.failing);
            let verb = if count == 1 { "is" } else { "are" };
            problems.push(format!("{} {verb} not on the router as wanted", counted(count, "line")));
            problems.extend(named.iter().map(FailingLine::said));
            let more = count.saturating_sub(u64::try_from(named.len()).unwrap_or(count));
            if more > 0 && !named.is_empty() {
                problems.push(format!("and {more} more; the pages of head office name them all"));
            }
        }
        if !self.clock.is_trusted {
            problems.push(format!("{}; cure: {CURE_OF_CLOCK}", self.clock.doubt()));
        } else {
            let off = self.clock.off();
            problems
                .extend(off.iter().map(|off| format!("one clock is off the time that is acted on: {off}")));
        }
        problems.extend(self.clock.leap().map(|leap| format!("{leap}; cure: reach head office")));
        problems
    }

    /// One line for systemd's `STATUS=`.
    #[must_use]
    pub fn summary(&self) -> String {
        let reachable = self.routers.iter().filter(|router| router.is_reachable).count();
        let line = if self.controller.is_connected { "connected" } else { "cut off" };
        // Totals of sessions that run wait for their time, at a healthy site too.
        let waiting = self.outbox.events.pending.saturating_add(self.outbox.usage.sealed);
        format!(
            "{line}; {}, generation {} applied of {}; {reachable} of {} answer; {} waiting",
            counted(self.state.lines, "line"),
            self.state.applied_generation,
            self.state.generation,
            counted(self.routers.len(), "router"),
            counted(waiting, "record"),
        )
    }
}

/// Memory in use by this process, in bytes; 0 when the system does not say.
#[must_use]
pub fn rss_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    rss_of(&text).unwrap_or(0)
}

/// Reads `VmRSS:   5192 kB` out of `/proc/self/status` (proc(5)).
fn rss_of(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// A duration as people say it: the two largest units.
#[must_use]
pub fn spoken(from: UnixMillis, to: UnixMillis) -> String {
    let millis = to.since(from).as_millis();
    // To the smaller of the two units, and not below it: 25 h 59 min 59 s are a day and two hours.
    let unit = match millis {
        86_400_000.. => 3_600_000,
        3_600_000.. => 60_000,
        _ => 1_000,
    };
    let rounded = millis.saturating_add(unit / 2) / unit * unit / 1_000;
    let seconds = u64::try_from(rounded).unwrap_or(u64::MAX);
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let spoken: Vec<_> = units
        .into_iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    if spoken.is_empty() { "0 s".to_owned() } else { spoken.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_line_carried_is_said_with_what_it_was_for() {
        assert_eq!(LineStatus::default().said(), "");
        let part =
            |part: &str, bytes_sent| LinePartStatus { part: part.into(), bytes_sent, bytes_received: 0 };
        let mut line = LineStatus {
            month: 202_611,
            month_bytes: 12_340_000,
            parts: vec![part("link", 4_000_000), part("log", 100)],
            hourly_bytes: 100_000,
            ..LineStatus::default()
        };
        assert_eq!(line.said(), "line        12.3 MB (link 4.0 MB) in 2026-11; 100 kB an hour\n");
        (line.month_bytes, line.parts) = (48_499, Vec::new());
        assert_eq!(line.said(), "line        48 kB in 2026-11; 100 kB an hour\n");
        line.month_bytes = 99_999;
        assert!(line.said().contains(" 100 kB in "), "{}", line.said());
        line.month_bytes = 100_000;
        assert!(line.said().contains(" 0.1 MB in "), "{}", line.said());
        (line.hourly_bytes, line.backlog_records) = (0, 2);
        assert!(
            line.said().ends_with("no bound; 2 records of the time without a line wait\n"),
            "{}",
            line.said()
        );
    }

    #[test]
    fn memory_is_read_from_what_linux_writes() {
        assert_eq!(rss_of("Name:\tx\nVmRSS:\t    5192 kB\nThreads:\t9\n"), Some(5_192 * 1024));
        assert_eq!(rss_of("Name:\tx\n"), None);
        assert!(rss_bytes() > 1024 * 1024);
    }

    #[test]
    fn lines_that_fail_are_named_with_what_helps() {
        let failing = |line: &str, cure: &str| FailingLine {
            line: line.into(),
            username: format!("user-{line}"),
            router: "core".into(),
            why: "held by the guard: 12 lines".into(),
            cure: cure.into(),
        };
        let mut status = Status::default();
        status.state.failing_lines = 7;
        status.state.failing = vec![failing("a", "tawi-agent release core"), failing("b", "")];
        let problems = status.problems();
        for said in [
            "7 lines are not on the router as wanted",
            "line a (user-a) on core: held by the guard: 12 lines; cure: tawi-agent release core",
            "line b (user-b) on core: held by the guard: 12 lines",
            "and 5 more; the pages of head office name them all",
        ] {
            assert!(problems.iter().any(|problem| problem == said), "{said}: {problems:#?}");
        }
        status.routers = vec![RouterStatus::default()];
        assert!(status.summary().contains("0 of 1 router answer"), "{}", status.summary());
    }

    #[test]
    fn whose_clock_is_off_is_named_with_what_helps() {
        let voice = |who: &str, ahead_ms| ClockVoice { who: who.into(), ahead_ms };
        let heard = vec![voice("this machine", 2 * 86_400_000), voice("router core", -1_000)];
        let clock = ClockStatus { basis: "head office says so".into(), heard, ..ClockStatus::default() };
        let said = |is_trusted| {
            let clock = ClockStatus { is_trusted, ..clock.clone() };
            Status { clock, ..Status::default() }.problems().join("\n")
        };
        let doubted = said(false);
        for words in ["this machine is 2 d ahead", "timedatectl", "/system ntp client", "nothing expires"] {
            assert!(doubted.contains(words), "{doubted}");
        }
        assert!(!doubted.contains("router core"), "{doubted}");
        let trusted = said(true);
        assert!(trusted.contains("acted on: this machine is 2 d ahead") && !trusted.contains("not believed"));
    }

    #[test]
    fn durations_are_spoken_in_two_units() {
        let check = |seconds: i64, text: &str| {
            assert_eq!(spoken(UnixMillis(0), UnixMillis(seconds * 1_000)), text);
        };
        check(0, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(3_661, "1 h 1 min");
        check(90_000, "1 d 1 h");
        check(86_400 * 3 + 5, "3 d");
        check(26 * 3_600 - 1, "1 d 2 h");
        check(3_659, "1 h 1 min");
    }

    #[test]
    fn an_agent_that_has_just_started_says_what_is_missing() {
        let mut status = Status {
            routers: vec![RouterStatus { name: "core".into(), ..RouterStatus::default() }],
            ..Status::default()
        };
        status.put_overview(&Overview::default());
        let problems = status.problems().join("\n");
        for word in ["head office", "router core", "clock"] {
            assert!(problems.contains(word), "{problems}");
        }
        assert!(status.store.is_well && !problems.contains("power cut"));
    }
}
