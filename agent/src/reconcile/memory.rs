//! What the agent must know of a router after a restart, beyond the state.
//!
//! A small record for each router: which hardware it is, which changes of speed may not have reached every running
//! session yet, and whom the guard counts as cut off within the hour. It is told whole to the core, which puts it on flash, one record for a portion however many lines it has.
//! The change waits until it is there, so that no power cut leaves sessions at the old speed; not for long, and not at
//! all while flash is broken, because nobody is spared or cut off for want of flash. Sessions that began after the change
//! have the new speed already, so that nobody is thrown out twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use routeros_api::{Client, Command, Error};
use serde::{Deserialize, Serialize};
use tawi_shared::Gather as _;
use tawi_shared::counted;
use tawi_shared::wire::{EventKind, LineV1, Service};
use tokio::time::timeout;

use crate::desired::Revised;
use crate::enforce::Effective;
use crate::flow::{Receipt, Report};
use crate::reconcile::Reconciler;
use crate::reconcile::actual::{Actual, Family, Table, text};
use crate::reconcile::guard::{Bought, KeptCuts};
use crate::reconcile::ledger::PasswordKnowledge;
use crate::reconcile::pass::{Basis, Touched};
use crate::reconcile::plan::{LineChange, Plan, RowChange, profile_for};
use crate::trouble::another_board;

/// Changes of speed that are remembered; the oldest go first. Profiles of a site are tens, a pass changes tens of lines,
/// and what is done is forgotten: so many are sessions that the router does not end.
const SPEEDS: usize = 512;
/// Uptimes are in whole seconds, and a print takes a while. A session that is younger by no more than this is ended once
/// too often rather than never.
const UPTIME_SLACK: Duration = Duration::from_secs(3);
/// How long a change waits for flash. A sync takes a weak one tens of milliseconds, and a second behind a whole state;
/// what takes longer is as good as broken, and the change goes ahead.
const KEPT_WITHIN: Duration = Duration::from_secs(2);
/// How long nothing waits for flash once it did so in vain: the portions of a bulk change must not wait one by one.
const DOUBT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterMemory {
    /// Number of the board, or of the licence where there is no board; empty until it was read.
    pub serial: String,
    /// What running sessions may not have yet.
    pub speeds: Vec<SpeedChange>,
    /// The release on which it did not keep a limit above 4 GiB; empty where it was not seen to lose one.
    pub no_large_limits_on: String,
    /// Lines whose rows were taken over and still have the password that they had, each with the digest of the one that
    /// head office wanted by then. A record of its own for each on flash: they may be thousands.
    #[serde(skip)]
    pub own_passwords: BTreeMap<String, u64>,
    /// Lines that were cut off within the last hour, as far as the guard counts them. A record of its own for each too.
    #[serde(skip)]
    pub cuts: KeptCuts,
    /// Lines of which that is over since the start. They are taken off flash by their names: a digest that is merely
    /// missing above may be one that could not be read yet.
    #[serde(skip)]
    pub forgotten_passwords: BTreeSet<String>,
    /// Whether what a store held that opened only after the start is in it.
    #[serde(skip)]
    pub is_joined: bool,
}

impl RouterMemory {
    /// Notes whether the row of a line has a password of its own, and while head office wants which; what was noted.
    pub(super) fn note_own_password(&mut self, line: &str, digest: Option<u64>) -> Option<u64> {
        let Some(digest) = digest else {
            let before = self.own_passwords.remove(line);
            self.forgotten_passwords.extend(before.map(|_| line.to_owned()));
            return before;
        };
        self.forgotten_passwords.remove(line);
        self.own_passwords.insert(line.to_owned(), digest)
    }

    /// Notes changes of speed; of one thing the newest, and of all no more than [`SPEEDS`].
    pub(super) fn note_speeds(&mut self, speeds: Vec<SpeedChange>) {
        let is_outdone = |known: &SpeedChange| {
            speeds.iter().any(|new| (&new.profile, &new.line) == (&known.profile, &known.line))
        };
        self.speeds.retain(|known| !is_outdone(known));
        self.speeds.extend(speeds);
        let excess = self.speeds.len().saturating_sub(SPEEDS);
        self.speeds.drain(..excess);
    }
}

/// What stands for a password that head office wants of a line: 64 bits of SHA-256, the same after a restart.
#[must_use]
pub fn password_digest(line: &LineV1) -> u64 {
    let digest = digest(&SHA256, line.password.as_bytes());
    digest.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// A profile that was changed, a line that got another one, or devices whose binding was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeedChange {
    /// Code of a service of the family.
    pub service: u16,
    /// Name of the profile; empty where it is about a line.
    pub profile: String,
    /// Line id; empty where it is about a profile.
    pub line: String,
    /// When, by the trusted clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// User names of the line by which sessions may go on, where it has another one by now; devices that the hotspot must
    /// see anew.
    pub names: Vec<String>,
}

impl Reconciler {
    /// Remembers, before it does it, what this plan changes for running sessions, and whom it cuts off.
    pub(super) async fn remember(
        &mut self,
        basis: Basis<'_>,
        planned: &Plan,
        touched: &BTreeMap<String, Touched>,
    ) {
        let speeds = self.speeds_of(basis, planned);
        let are_cuts_news = self.begin_cuts(basis, planned, touched);
        if speeds.is_empty() && !are_cuts_news {
            return;
        }
        self.memory.note_speeds(speeds);
        self.keep_memory().await;
    }

    /// Counts the cuts of this plan before they are written: a restart in between must not forget them. Whether flash
    /// has to know of any.
    fn begin_cuts(&mut self, basis: Basis<'_>, planned: &Plan, touched: &BTreeMap<String, Touched>) -> bool {
        let is_counted = |change: &&LineChange| touched.get(&change.line).is_some_and(|note| note.is_counted);
        let window = self.settings.guard.window;
        let mut is_news = false;
        for change in planned.lines.iter().filter(is_counted) {
            let wanted = self.line(basis.state, &change.line).map(|line| &line.item);
            let entry = self.ledger.entries.get(&change.line).map(AsRef::as_ref);
            let had = Bought::before_cut(wanted, entry);
            is_news |= self.history.begin(&change.line, had, basis.moment(), window);
        }
        if is_news {
            self.memory.cuts = self.history.kept();
        }
        is_news
    }

    /// A line stands open by what it has now: a cut of it before that was bought counts no more.
    pub(super) async fn note_open(&mut self, line: &LineV1) {
        if self.history.note_open(&line.line, Bought::of(line)) {
            self.memory.cuts = self.history.kept();
            self.report_memory().await;
        }
    }

    /// What this plan changes for running sessions.
    fn speeds_of(&self, basis: Basis<'_>, planned: &Plan) -> Vec<SpeedChange> {
        let at_ms = basis.reading.now.0;
        let code = |family: Family| match family {
            Family::Hotspot => Service::Hotspot.code(),
            Family::Ppp | Family::Fixed => Service::Pppoe.code(),
        };
        let felt = planned.profiles.iter().filter(|change| change.is_felt);
        let mut speeds: Vec<SpeedChange> = felt
            .map(|change| SpeedChange {
                service: code(change.family),
                profile: change.name.clone(),
                line: String::new(),
                at_ms,
                names: vec![],
            })
            .collect();
        // Where nobody logs in, what ends is no session and has no speed.
        let is_swap = |change: &&LineChange| {
            matches!(change.row, RowChange::Set(..)) && change.table.family() != Family::Fixed
        };
        let swaps = planned.lines.iter().filter(|change| !change.kick.is_empty()).filter(is_swap);
        let swaps: BTreeMap<&str, &LineChange> =
            swaps.map(|change| (change.line.as_str(), change)).into_map();
        // A single line is changed and its session ended within a few answers, and each payment would cost a record. One
        // that is slowed down or walled in would not come back to ask for what it lost, and the row of one that has
        // another name does not lead to its sessions.
        let is_alone = swaps.len() == 1;
        let is_kept = |change: &LineChange| {
            let line = self.line(basis.state, &change.line);
            let state = line.and_then(|line| self.effective(basis, &line.item).ok()).map(|(_, state)| state);
            let is_restrained = matches!(state, Some(Effective::Throttled(_) | Effective::Walled(_)));
            !is_alone || is_restrained || change.differs.contains(&"name")
        };
        let swaps = swaps.into_values().filter(|change| is_kept(change)).map(|change| SpeedChange {
            service: code(change.table.family()),
            profile: String::new(),
            line: change.line.clone(),
            at_ms,
            names: self.ledger.owed(&change.line).to_vec(),
        });
        speeds.extend(swaps);
        speeds.extend(self.devices_to_see_anew(planned, at_ms));
        speeds
    }

    /// Devices that the hotspot must see anew once their bindings are written. Of a single line too: nothing on the router
    /// says afterwards that it has not, and whoever has paid would wait at the portal.
    fn devices_to_see_anew(&self, planned: &Plan, at_ms: i64) -> impl Iterator<Item = SpeedChange> {
        let is_written = |change: &&LineChange| {
            change.table == Table::Bindings && change.row != RowChange::Leave && !change.kick.is_empty()
        };
        let lines: BTreeSet<&str> =
            planned.lines.iter().filter(is_written).map(|change| change.line.as_str()).into_set();
        lines.into_iter().map(move |line| SpeedChange {
            service: Service::HotspotDevice.code(),
            profile: String::new(),
            line: line.to_owned(),
            at_ms,
            names: self.ledger.owed(line).to_vec(),
        })
    }

    /// What is known of the password in the row of this line.
    pub(super) fn password_knowledge(&self, line: &Revised<LineV1>) -> PasswordKnowledge {
        match self.memory.own_passwords.get(&line.item.line) {
            Some(digest) if *digest == password_digest(&line.item) => PasswordKnowledge::RoutersOwn,
            // Head office has changed its mind since, and nothing was written yet.
            Some(_) => PasswordKnowledge::Stale,
            None => self.ledger.password_knowledge(line),
        }
    }

    /// The rows of these lines no longer have a password of their own: head office's was written, or they are gone.
    pub(super) async fn forget_own_passwords(&mut self, lines: &[String]) {
        let mut is_news = false;
        for line in lines {
            is_news |= self.memory.note_own_password(line, None).is_some();
        }
        if is_news {
            self.report_memory().await;
        }
    }

    /// Has the memory put on flash, and waits until it is; whether it is.
    pub(super) async fn keep_memory(&mut self) -> bool {
        let now = self.origin.elapsed();
        if self.flash_doubted_until > now {
            self.report_memory().await;
            return false;
        }
        self.are_speeds_forgotten = false;
        let (receipt, mut word) = Receipt::new();
        let (router, memory) = (self.settings.name.clone(), self.memory.clone());
        self.report(Report::Remember { router, memory, receipt: Some(receipt) }).await;
        let why = match timeout(KEPT_WITHIN, word.recv()).await {
            Ok(Some(true)) => return true,
            Ok(_) => "it is not on flash",
            Err(_) => "flash does not answer",
        };
        self.flash_doubted_until = now.saturating_add(KEPT_WITHIN).saturating_add(DOUBT);
        tracing::warn!(
            router.name = %self.settings.name,
            store.why = why,
            "what must be known of the router after a power cut is not safe: sessions that have to end after a change, \
             passwords of rows that were taken over"
        );
        false
    }

    /// Forgets the changes of lines that owe no end of a session, and those of profiles once no line does: what is
    /// remembered is as much as is left to do, however long one device stays.
    pub(super) async fn forget_speeds(&mut self) {
        if self.is_resuming {
            return;
        }
        let known = self.memory.speeds.len();
        let are_portions_left = !self.backlog.is_empty();
        let owed = &self.ledger.owed_kicks;
        let is_any_owed = are_portions_left || !owed.is_empty();
        let is_owed = |line: &String| if line.is_empty() { is_any_owed } else { owed.contains_key(line) };
        self.memory.speeds.retain(|change| is_owed(&change.line));
        self.are_speeds_forgotten |= self.memory.speeds.len() < known;
        // What lies on flash too much ends no session twice, and portions that follow may be remembered without it.
        if self.are_speeds_forgotten && !are_portions_left {
            self.report_memory().await;
        }
    }

    /// After a restart: sessions that are older than a change of speed which was on its way then.
    pub(super) fn resume_kicks(&mut self, basis: Basis<'_>, actual: &Actual) {
        // What runs on a router that is not the one is not meant.
        if self.is_stranger || !std::mem::take(&mut self.is_resuming) {
            return;
        }
        let mut oldest: BTreeMap<(Family, &str), Duration> = BTreeMap::new();
        for (family, rows) in &actual.logins {
            for session in &rows.sessions {
                let Some(user) = session.user.as_deref() else { continue };
                let known = oldest.entry((*family, user)).or_default();
                *known = session.uptime.max(*known);
            }
        }
        let is_older = |family: Family, name: &str, change: &SpeedChange| {
            let age = basis.reading.now.since(tawi_shared::UnixMillis(change.at_ms));
            let uptime = oldest.get(&(family, name));
            uptime.is_some_and(|uptime| uptime.saturating_add(UPTIME_SLACK) >= age)
        };
        let mut owed: Vec<(String, String)> = Vec::new();
        for line in self.lines(basis.state).map(|line| &line.item) {
            let Ok((service, state)) = self.effective(basis, line) else { continue };
            let (family, profile) = (Family::of(service), profile_for(service, state, line));
            let is_about = |change: &&SpeedChange| {
                let is_its_profile = Family::of_code(change.service) == Some(family)
                    && profile.is_some_and(|profile| change.profile == profile);
                change.line == line.line || (change.line.is_empty() && is_its_profile)
            };
            let mut changes = self.memory.speeds.iter().filter(is_about);
            if changes.any(|change| is_older(family, &line.username, change)) {
                owed.push((line.line.clone(), line.username.clone()));
            }
        }
        for change in &self.memory.speeds {
            let Some(family) = Family::of_code(change.service) else { continue };
            // Since when the hotspot has seen a device as it does is not read: one is seen anew once too often.
            let is_due = |name: &&String| family == Family::Fixed || is_older(family, name, change);
            for name in change.names.iter().filter(is_due) {
                owed.push((change.line.clone(), name.clone()));
                if self.line(basis.state, &change.line).is_none() {
                    // Its line is no more, and nothing else leads to its sessions.
                    let entry = self.ledger.entry(&change.line);
                    entry.place.get_or_insert((family, name.clone()));
                }
            }
        }
        for (line, name) in owed {
            self.ledger.owe(&line, &[name]);
        }
    }

    /// Whether the router is the one that it was. Another one may be a replaced one, or a wrong address in the settings:
    /// rows of another router's lines would go as left over. So nobody is cut off there until a person says that it is
    /// right, by having it rebuilt.
    pub(super) async fn recognise(&mut self, client: &Client) -> Result<(), Error> {
        self.take_found_memory().await;
        if let Some(serial) = read_serial(client).await? {
            self.serial_now = serial;
            self.judge_board().await;
        }
        Ok(())
    }

    /// Whether the board that answers is the one that is remembered.
    pub(super) async fn judge_board(&mut self) {
        let serial = self.serial_now.clone();
        if self.memory.serial == serial {
            self.is_stranger = false;
        } else if self.memory.serial.is_empty() {
            self.memory.serial = serial;
            self.report_memory().await;
        } else if !std::mem::replace(&mut self.is_stranger, true) {
            let board = another_board(&serial, &self.memory.serial);
            let detail = format!("{}; {}", board.why, board.cure);
            tracing::warn!(router.name = %self.settings.name, "another router answers than before");
            self.event(EventKind::RouterFound, None, detail).await;
        }
        let board = self.is_stranger.then(|| another_board(&self.serial_now, &self.memory.serial));
        self.report_trouble(board).await;
    }

    /// A person says that this router is to be made from the store.
    pub(super) async fn begin_rebuild(&mut self) {
        tracing::info!(router.name = %self.settings.name, "rebuilding the router from the store");
        self.is_rebuilding = true;
        self.is_stranger = false;
        self.report_trouble(None).await;
        // A pass over a few lines that is due at once is not yet the rebuild.
        self.has_checked = false;
        self.ledger.distrust_passwords();
        if !self.serial_now.is_empty() && self.serial_now != self.memory.serial {
            self.memory.serial.clone_from(&self.serial_now);
            self.report_memory().await;
        }
    }

    /// Tells of the end of a rebuild.
    pub(super) async fn end_rebuild(&mut self, lines: usize) {
        self.is_rebuilding = false;
        let failing = self.ledger.failures.len();
        let detail = format!("rebuilt from the store: {}, {failing} failing", counted(lines, "line"));
        self.event(EventKind::RouterRebuilt, None, detail).await;
    }

    pub(super) async fn report_memory(&mut self) {
        self.are_speeds_forgotten = false;
        let (router, memory) = (self.settings.name.clone(), self.memory.clone());
        self.report(Report::Remember { router, memory, receipt: None }).await;
    }
}

/// The number of the board, or of the licence; `None` where the router shows neither.
async fn read_serial(client: &Client) -> Result<Option<String>, Error> {
    for (path, properties) in
        [("/system/routerboard", &["serial-number"][..]), ("/system/license", &["system-id", "software-id"])]
    {
        let print = Command::new(format!("{path}/print")).proplist(properties);
        match client.run(print).await {
            Ok(reply) => {
                let row = reply.rows.first();
                let said = row.and_then(|row| properties.iter().find_map(|name| text(row, name)));
                if let Some(serial) = said.filter(|serial| !serial.is_empty()) {
                    return Ok(Some(serial));
                }
            }
            Err(error) if error.is_connection_lost() => return Err(error),
            // A board without a number, or a menu that is hidden: the other one may do.
            Err(_) => {}
        }
    }
    Ok(None)
}
