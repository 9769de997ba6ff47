//! A site in a test: one simulated router, one reconciler, and a hand on the desired state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use routeros_api::{Options, Secret, Transport};
use routeros_sim::{NewDevice, Router, Service as Dialler, Settings, Simulator};
use tawi_agent::clock::{KeptTime, TrustedClock};
use tawi_agent::desired::{DesiredState, Taken};
use tawi_agent::flow::{Event, LineFailure, REPORTS_WAITING, Report, ReportReceiver, StateSender};
use tawi_agent::reconcile::found::FoundMemory;
use tawi_agent::reconcile::memory::RouterMemory;
use tawi_agent::reconcile::orders::Orders;
use tawi_agent::reconcile::pace::PaceLimits;
use tawi_agent::reconcile::{self, Backoff, GuardRelease, Rebuild, Recheck, RouterSettings, Timings};
use tawi_shared::Clock;
use tawi_shared::state_hash::StateHash;
use tawi_shared::wire::{Access, EventKind, LineV1, ProfileV1, Service, SessionUsageV1, StateDeltaV1};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

/// How long anything may take before a test fails. Only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// What foreign rows must still be at the end of a test.
pub const FOREIGN: usize = 5;

pub const ROUTER: &str = "core";

/// The password of the simulated router's user.
pub const PASSWORD: &str = "correct horse";

pub struct Site {
    pub sim: Simulator,
    pub router: Router,
    pub clock: TrustedClock,
    /// The machine's clock, when the test turns its hands.
    pub hands: Clock,
    pub release: GuardRelease,
    pub rebuild: Rebuild,
    pub orders: Orders,
    /// What stands for the core's flash.
    pub flash: Flash,
    state: StateSender,
    reports: ReportReceiver,
    /// Everything that was reported, in order.
    pub log: Vec<Report>,
    /// Which of them a test was given.
    given: BTreeSet<usize>,
    /// Where the log stood when the last generation was sent.
    since: usize,
    lines: BTreeMap<String, LineV1>,
    profiles: BTreeMap<(u16, String), ProfileV1>,
    task: JoinHandle<()>,
    settings: RouterSettings,
}

impl Site {
    /// A site with everything as by default, and intervals that tests can wait for.
    pub async fn start() -> Self {
        Self::start_with(|_| {}, |_| {}).await
    }

    pub async fn start_with(
        change_router: impl FnOnce(&mut Settings),
        change_settings: impl FnOnce(&mut RouterSettings),
    ) -> Self {
        let mut router =
            Settings { password: PASSWORD.into(), foreign_secrets: FOREIGN, ..Settings::default() };
        change_router(&mut router);
        let sim = Simulator::start(router).await.unwrap();
        let options = Options::new(sim.api_address(), Transport::Plain, "admin", Secret::new(PASSWORD));
        let mut settings = RouterSettings::new(ROUTER, options);
        settings.timings = quick();
        settings.pace = quick_pace();
        change_settings(&mut settings);
        Self::attach(sim, settings, Clock::system())
    }

    /// A site whose machine has a clock that stands still until the test turns its hands.
    pub async fn start_with_hands(change_settings: impl FnOnce(&mut RouterSettings)) -> Self {
        let mut site = Self::start_with(|_| {}, change_settings).await;
        site.task.abort();
        let hands = Clock::manual(Clock::system().now());
        let settings = site.settings.clone();
        let sim = std::mem::replace(&mut site.sim, Simulator::start(Settings::default()).await.unwrap());
        Self::attach(sim, settings, hands)
    }

    fn attach(sim: Simulator, settings: RouterSettings, hands: Clock) -> Self {
        let (state, receiver) = watch::channel(Arc::new(DesiredState::default()));
        let flash = Flash::default();
        let (sender, reports) = flash.heard();
        let clock = TrustedClock::new(hands.clone(), KeptTime::default());
        clock.note_controller_time(hands.now());
        let (release, rebuild) = (settings.release.clone(), settings.rebuild.clone());
        let task = reconcile::spawn(settings.clone(), receiver, sender, clock.clone());
        let router = sim.router();
        let (lines, profiles) = (BTreeMap::new(), BTreeMap::new());
        Self {
            sim,
            router,
            clock,
            hands,
            release,
            rebuild,
            orders: settings.orders.clone(),
            flash,
            state,
            reports,
            log: vec![],
            given: BTreeSet::new(),
            since: 0,
            lines,
            profiles,
            task,
            settings,
        }
    }

    /// Stops the agent as a power cut would.
    pub fn stop(&mut self) {
        self.task.abort();
    }

    /// Stops the agent as a power cut would, and starts another on the same router with the same state.
    pub async fn restart(&mut self, change: impl FnOnce(&mut RouterSettings)) {
        self.task.abort();
        let (sender, reports) = self.flash.heard();
        let mut settings = RouterSettings {
            release: GuardRelease::default(),
            rebuild: Rebuild::default(),
            recheck: Recheck::default(),
            looked_at: self.state(),
            ..self.settings.clone()
        };
        while let Ok(report) = self.reports.try_recv() {
            self.log.push(report);
        }
        let kept = self.flash.kept();
        settings.memory = kept.unwrap_or(settings.memory);
        self.settings.memory = settings.memory.clone();
        change(&mut settings);
        (self.release, self.rebuild) = (settings.release.clone(), settings.rebuild.clone());
        self.reports = reports;
        self.log.clear();
        self.given.clear();
        self.since = 0;
        self.task = reconcile::spawn(settings, self.state.subscribe(), sender, self.clock.clone());
    }

    /// What an agent knows whose store is shut, and nobody speaks to: nothing.
    pub fn forget_state(&self) -> Arc<DesiredState> {
        self.state.send_replace(Arc::default())
    }

    pub fn state(&self) -> Arc<DesiredState> {
        self.state.borrow().clone()
    }

    pub fn give_state(&self, state: Arc<DesiredState>) {
        self.state.send_replace(state);
    }

    /// Where what flash remembers is handed over late.
    pub fn found(&self) -> &FoundMemory {
        &self.settings.found
    }

    /// Sends a new generation with these changes, and gives its number.
    pub fn want(&mut self, change: impl FnOnce(&mut Wants<'_>)) -> u64 {
        let before = (self.lines.clone(), self.profiles.clone());
        change(&mut Wants { lines: &mut self.lines, profiles: &mut self.profiles });
        let current = Arc::clone(&self.state.borrow());
        let delta = StateDeltaV1 {
            from_generation: current.generation,
            to_generation: current.generation + 1,
            state_hash: StateHash::of(self.lines.values(), self.profiles.values()).to_bytes(),
            lines: changed(&before.0, &self.lines),
            removed_lines: gone(&before.0, &self.lines),
            profiles: changed(&before.1, &self.profiles),
            removed_profiles: gone(&before.1, &self.profiles),
        };
        match current.take_delta(&delta) {
            Taken::Moved(next) => {
                self.since = self.log.len();
                self.state.send(Arc::new(next)).unwrap();
            }
            other => panic!("{other:?}"),
        }
        delta.to_generation
    }

    /// The lines that are wanted now.
    pub fn lines(&self) -> impl Iterator<Item = &LineV1> {
        self.lines.values()
    }

    /// Sends a new generation, waits until it is settled, and gives the failures.
    pub async fn settle(&mut self, change: impl FnOnce(&mut Wants<'_>)) -> Vec<LineFailure> {
        let generation = self.want(change);
        self.settled(generation).await
    }

    /// Waits for the next word on a generation, and gives the failures.
    pub async fn settled(&mut self, wanted: u64) -> Vec<LineFailure> {
        self.until(&format!("generation {wanted} to settle"), |report| match report {
            Report::Settled { generation, failures, .. } if *generation >= wanted => Some(failures.clone()),
            _ => None,
        })
        .await
    }

    pub async fn event(&mut self, wanted: EventKind) -> Event {
        self.until(wanted.as_str(), |report| match report {
            Report::Event(event) if event.kind == wanted => Some(event.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until the sessions of lines that came since the last generation were looked at.
    pub async fn looked_at_new_lines(&mut self) {
        self.until("a look at new lines", |report| matches!(report, Report::LinesSeen { .. }).then_some(()))
            .await;
    }

    /// Waits for a report about a session that fits.
    pub async fn usage(&mut self, fits: impl Fn(&SessionUsageV1) -> bool) -> SessionUsageV1 {
        self.until("usage", |report| match report {
            Report::Usage { sessions, .. } => {
                sessions.iter().map(|counted| &counted.total).find(|total| fits(total)).cloned()
            }
            _ => None,
        })
        .await
    }

    /// Gives the first report since the last generation that fits and was not given before, and waits for it if need
    /// be: what happens at the same time may be reported in either order.
    pub async fn until<T>(&mut self, what: &str, mut fits: impl FnMut(&Report) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut index = self.since;
        loop {
            while let Some(report) = self.log.get(index) {
                if !self.given.contains(&index)
                    && let Some(found) = fits(report)
                {
                    self.given.insert(index);
                    return found;
                }
                index += 1;
            }
            match timeout_at(deadline, self.reports.recv()).await {
                Ok(Some(report)) => self.log.push(report),
                Ok(None) => panic!("the reconciler ended while the test waited for {what}"),
                Err(_) => panic!("waited in vain for {what}; heard: {:#?}", self.log),
            }
        }
    }

    /// Waits for something on the router and takes in reports meanwhile: a reconciler that nobody hears stands still.
    pub async fn hearing<T>(&mut self, wait: impl Future<Output = T>) -> T {
        let mut wait = std::pin::pin!(wait);
        loop {
            tokio::select! {
                found = &mut wait => return found,
                Some(report) = self.reports.recv() => self.log.push(report),
            }
        }
    }

    /// Waits until a row of a menu satisfies a claim.
    pub async fn row_until(&self, menu: &str, name: &str, holds: impl Fn(&Shown) -> bool) -> Shown {
        let look = || self.row(menu, name).filter(|row| holds(row));
        match self.router.wait_for(PATIENCE, look).await {
            Ok(row) => row,
            Err(_) => panic!("{menu} {name} stays {:?}", self.row(menu, name)),
        }
    }

    pub fn row(&self, menu: &str, name: &str) -> Option<Shown> {
        self.rows(menu).into_iter().find(|row| row.get("name").is_some_and(|has| has == name))
    }

    pub fn secret(&self, name: &str) -> Option<Shown> {
        self.row("ppp/secret", name)
    }

    pub fn rows(&self, menu: &str) -> Vec<Shown> {
        rows_of(&self.router, menu)
    }

    /// All rows of a menu without our mark, byte for byte.
    pub fn foreign_rows(&self, menu: &str) -> Vec<Vec<(&'static str, Vec<u8>)>> {
        let rows = self.router.rows(menu).unwrap();
        let is_ours = |row: &Vec<(&str, Vec<u8>)>| {
            row.iter().any(|(name, value)| *name == "comment" && value.starts_with(b"tawi:"))
        };
        rows.into_iter().filter(|row| !is_ours(row)).collect()
    }

    /// A PPPoE customer's device that dials at once and keeps dialling.
    pub fn dial(&self, line: &str) -> String {
        let device = NewDevice::new(line, Dialler::Pppoe, &username(line), &password(line));
        self.router.add_device(device.redialing_after_ms(20)).unwrap();
        line.to_owned()
    }

    pub async fn online(&self, device: &str) {
        use routeros_sim::DeviceState::Online;
        if self.router.wait_for_device(device, Online, PATIENCE).await.is_err() {
            panic!("{:?} does not come online", self.router.device(device));
        }
    }

    pub async fn offline(&self, device: &str) {
        use routeros_sim::DeviceState::Dialing;
        if self.router.wait_for_device(device, Dialing, PATIENCE).await.is_err() {
            panic!("{:?} stays online", self.router.device(device));
        }
    }

    pub fn writes(&self) -> u64 {
        self.router.summary().writes_total
    }

    /// When this site's clock will show so much more than now.
    pub fn in_millis(&self, millis: u64) -> i64 {
        self.clock.now().plus(Duration::from_millis(millis)).0
    }
}

/// How the core's flash takes what must be remembered of a router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlashMood {
    /// At once.
    #[default]
    Well,
    /// Not at all, and it says so.
    Broken,
    /// Not before it is well again.
    Stuck,
}

/// What stands for the core's flash: it takes reports in their order, as the core does.
#[derive(Clone, Default)]
pub struct Flash {
    kept: Arc<Mutex<Option<RouterMemory>>>,
    mood: Arc<watch::Sender<FlashMood>>,
}

impl Flash {
    pub fn turn(&self, mood: FlashMood) {
        self.mood.send_replace(mood);
    }

    /// What would be found after a power cut.
    pub fn kept(&self) -> Option<RouterMemory> {
        self.kept.lock().unwrap().clone()
    }

    /// A channel of reports that pass by here.
    fn heard(&self) -> (mpsc::Sender<Report>, ReportReceiver) {
        let (sender, mut inner) = mpsc::channel(REPORTS_WAITING);
        let (outer, reports) = mpsc::channel(REPORTS_WAITING);
        let (flash, mut mood) = (self.clone(), self.mood.subscribe());
        tokio::spawn(async move {
            while let Some(report) = inner.recv().await {
                if let Report::Remember { memory, receipt, .. } = &report {
                    let mood = *mood.wait_for(|mood| *mood != FlashMood::Stuck).await.unwrap();
                    if mood == FlashMood::Well {
                        *flash.kept.lock().unwrap() = Some(memory.clone());
                    }
                    receipt.iter().for_each(|receipt| receipt.say(mood == FlashMood::Well));
                }
                if outer.send(report).await.is_err() {
                    return;
                }
            }
        });
        (sender, reports)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A row as text.
pub type Shown = BTreeMap<&'static str, String>;

/// All rows of a menu as text.
pub fn rows_of(router: &Router, menu: &str) -> Vec<Shown> {
    let rows = router.rows(menu).unwrap();
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    rows.into_iter().map(|row| row.into_iter().map(|(name, value)| (name, text(value))).collect()).collect()
}

/// The state in a test's hand.
pub struct Wants<'a> {
    pub lines: &'a mut BTreeMap<String, LineV1>,
    pub profiles: &'a mut BTreeMap<(u16, String), ProfileV1>,
}

impl Wants<'_> {
    /// A PPPoE line that is open for a day, with the profile `home`.
    pub fn line(&mut self, id: &str) -> &mut LineV1 {
        self.line_of(id, Service::Pppoe)
    }

    /// That line, where nothing about it is to be changed.
    pub fn open(&mut self, id: &str) {
        self.line(id);
    }

    pub fn line_of(&mut self, id: &str, service: Service) -> &mut LineV1 {
        self.profile("home", service, 20);
        self.lines.entry(id.to_owned()).or_insert_with(|| LineV1 {
            line: id.to_owned(),
            router: ROUTER.into(),
            service: service.code(),
            username: username(id),
            password: password(id),
            profile: "home".into(),
            access: Access::Open.code(),
            valid_until_ms: None,
            ..LineV1::default()
        })
    }

    pub fn switch_off(&mut self, id: &str) {
        self.line(id).access = Access::Off.code();
    }

    /// A profile with so many Mbit/s down and a quarter of it up.
    pub fn profile(&mut self, name: &str, service: Service, download_megabits: u64) {
        let profile = ProfileV1 {
            name: name.to_owned(),
            service: service.code(),
            download_bits_per_second: download_megabits * 1_000_000,
            upload_bits_per_second: download_megabits * 250_000,
            download_burst_bits_per_second: 0,
            upload_burst_bits_per_second: 0,
            ..ProfileV1::default()
        };
        self.profiles.entry((service.code(), name.to_owned())).or_insert(profile);
    }

    pub fn speed(&mut self, name: &str, service: Service, download_megabits: u64) {
        self.profiles.remove(&(service.code(), name.to_owned()));
        self.profile(name, service, download_megabits);
    }
}

pub fn username(line: &str) -> String {
    format!("{line}@isp")
}

pub fn password(line: &str) -> String {
    format!("secret of {line}")
}

/// So fast that no test waits for it, unless it asks for another pace.
pub fn quick_pace() -> PaceLimits {
    PaceLimits { fastest: Duration::from_millis(1), slowest: Duration::from_millis(2), busy_percent: 100 }
}

/// Intervals that tests can wait for; the full check is as rare as in production unless a test asks for it.
pub fn quick() -> Timings {
    let backoff = Backoff { least: Duration::from_millis(20), most: Duration::from_millis(200) };
    Timings {
        sample: Duration::from_millis(200),
        retry: backoff,
        reconnect: backoff,
        login_refused: Duration::from_millis(200),
        lost_after: Duration::from_millis(300),
        ..Timings::default()
    }
}

fn changed<K: Ord, V: Clone + PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> Vec<V> {
    after
        .iter()
        .filter(|(key, value)| before.get(key) != Some(value))
        .map(|(_, value)| value.clone())
        .collect()
}

fn gone<K: Ord + Clone, V>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> Vec<K> {
    before.keys().filter(|key| !after.contains_key(key)).cloned().collect()
}
