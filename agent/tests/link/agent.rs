//! The agent of these tests, whole but for its routers, and what head office says to it.

use tawi_agent::reconcile::WriteGate;
use tawi_agent::site::UpgradeTools;
use tawi_agent::upgrade::books::Books;
use tawi_agent::upgrade::shelf::Shelf;
use tawi_agent::upgrade::starts::Starts;
use tawi_agent::upgrade::{Build, worker};

use super::*;

/// An agent whose routers are played by the test.
pub struct Agent {
    pub outbox: Outbox,
    pub reports: ReportSender,
    pub state: StateReceiver,
    pub questions: mpsc::Sender<Question>,
    pub stop: Option<oneshot::Sender<()>>,
    pub quotas: Quotas,
    pub memories: BTreeMap<String, FoundMemory>,
    pub orders: BTreeMap<String, Orders>,
    pub line: Line,
    pub tasks: JoinSet<()>,
}

pub async fn open_store(directory: &Path) -> (Outbox, Opening) {
    let opened = async {
        loop {
            match Outbox::start(directory, IdSource::system(), Clock::system()).await {
                // The store's thread of an agent that was just killed ends a moment after it.
                Err(StoreError::Locked(_)) => tokio::task::yield_now().await,
                opened => break opened.unwrap(),
            }
        }
    };
    timeout(PATIENCE, opened).await.expect("the last agent keeps the store")
}

impl Agent {
    /// On a machine whose clock is right, an hour after an agent ran there: however long ago this was built.
    pub async fn start(config: &Config, routers: &[&str]) -> Self {
        let hands = Clock::system();
        let an_hour_ago = hands.now().minus(Duration::from_secs(3_600));
        Self::start_from(config, routers, hands, an_hour_ago).await
    }

    /// On a machine with this clock, where no agent ran before.
    pub async fn start_at(config: &Config, routers: &[&str], hands: Clock) -> Self {
        Self::start_from(config, routers, hands, build_date()).await
    }

    pub async fn start_from(config: &Config, routers: &[&str], hands: Clock, floor: UnixMillis) -> Self {
        let (outbox, opening) = open_store(&config.state_directory).await;
        let kept = opening.marks.time;
        let clock = TrustedClock::new(hands, KeptTime { floor: kept.floor.max(floor), ..kept });
        let tls = client_config(&config.controller, clock.clone()).unwrap();
        let bytes = Arc::new(ByteCounters::default());
        let dialer =
            Dialer::bind(&config.runtime_directory, &config.controller, tls, Arc::clone(&bytes)).unwrap();
        let (state_sender, state) = watch::channel(Arc::<DesiredState>::default());
        let (reports, report_receiver) = mpsc::channel(256);
        let (link_sender, inbound) = mpsc::channel(link::INBOUND_WAITING);
        let (questions, question_receiver) = mpsc::channel(4);
        let (stop, stopped) = oneshot::channel();
        let book = QuotaBook::load(opening.epoch, &opening.book, &opening.open_sessions);
        let quotas = Quotas::new(book);
        let memories: BTreeMap<String, FoundMemory> =
            routers.iter().map(|name| ((*name).to_owned(), FoundMemory::default())).collect();
        let orders: BTreeMap<String, Orders> =
            routers.iter().map(|name| ((*name).to_owned(), Orders::default())).collect();
        let takes_settings = config.controller.takes_settings;
        let tuning = Tuning::new(Tuned::of(config), takes_settings, opening.settings.clone());
        let (errands, asked) = mpsc::channel(remote::WAITING);
        let hands = Hands {
            config: Arc::new(config.clone()),
            clock: Clock::system(),
            questions: questions.clone(),
            reports: reports.clone(),
            tuned: tuning.watch(),
            turn: Arc::default(),
        };
        let tuned = tuning.watch();
        let (upgrade_errands, upgrade_asked) = mpsc::channel(tawi_agent::upgrade::ERRANDS_WAITING);
        let build = Build::this();
        let tools = Tools {
            errands,
            upgrade: UpgradeTools {
                errands: upgrade_errands,
                prove_within: build.prove_within,
                version: build.mark.version.to_string(),
                is_release: false,
            },
            contact: Contact::default(),
            log: tawi_agent::api_log::ApiLog::default(),
            quotas: quotas.clone(),
            orders: orders.clone(),
            memories: memories.clone(),
            site: config.site.clone(),
            clock,
            ids: IdSource::system(),
            outbox: outbox.clone(),
            state: state_sender,
            tuning,
            bytes,
            routers: routers.iter().map(|name| (*name).to_owned()).collect(),
        };
        let site = Site::new(tools, &opening);
        let settings = LinkSettings {
            site: config.site.clone(),
            tuned,
            keep_alive: link::keep_alive::Bounds::default(),
            reconnect_base: config.controller.reconnect_base,
        };
        let line = dialer.line();
        let mut tasks = JoinSet::new();
        let ends = Ends { inbound, reports: report_receiver, questions: question_receiver, stop: stopped };
        tasks.spawn(async move {
            site.run(ends).await;
        });
        let (shelf, upgrade) = (Shelf::of(&config.state_directory), config.upgrade.clone());
        let starts = Starts::of(&config.runtime_directory);
        let open = move || Books::open(shelf, (upgrade, build, None), starts, UnixMillis(0));
        tasks.spawn(worker::run(open, Clock::system(), upgrade_asked, reports.clone(), WriteGate::default()));
        tasks.spawn(remote::run(hands, asked));
        // From a seed: which wait follows which is the same each time.
        tasks.spawn(link::run(settings, dialer, outbox.clone(), IdSource::seeded(1), link_sender));
        Self { outbox, reports, state, quotas, memories, orders, questions, stop: Some(stop), line, tasks }
    }

    pub async fn report(&self, report: Report) {
        self.reports.send(report).await.unwrap();
    }

    pub async fn event(&self, detail: &str) {
        let detail = detail.to_owned();
        let event =
            Event { at: UnixMillis(7), kind: EventKind::LineOnline, line: None, router: None, detail };
        self.report(Report::Event(event)).await;
    }

    pub async fn status(&self) -> Status {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question::Standing(answer)).await.unwrap();
        timeout(PATIENCE, answered).await.unwrap().unwrap()
    }

    /// Waits until the reconcilers would see this generation.
    pub async fn enforces(&mut self, generation: u64) -> Arc<DesiredState> {
        let waiting = self.state.wait_for(|state| state.generation == generation);
        Arc::clone(&*timeout(PATIENCE, waiting).await.expect("the state does not come").unwrap())
    }

    /// Asks politely, as SIGTERM does, and waits.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        timeout(PATIENCE, self.tasks.join_next()).await.expect("the agent does not stop").unwrap().unwrap();
        self.tasks.shutdown().await;
    }

    /// Ends it as a power cut does, as far as a task can.
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
    }
}

pub fn line(id: &str, until: i64) -> LineV1 {
    LineV1 {
        line: id.into(),
        router: "core".into(),
        service: Service::Pppoe.code(),
        username: id.into(),
        password: "p".into(),
        profile: "home".into(),
        access: Access::Open.code(),
        valid_until_ms: Some(until),
        ..LineV1::default()
    }
}

pub fn delta(from: u64, to: u64, lines: &[LineV1], after: &[LineV1]) -> StateDeltaV1 {
    StateDeltaV1 {
        from_generation: from,
        to_generation: to,
        state_hash: StateHash::of(after, []).to_bytes(),
        lines: lines.to_vec(),
        removed_lines: vec![],
        profiles: vec![],
        removed_profiles: vec![],
    }
}

/// An agent that has said hello and was answered.
pub async fn connected(directory: &Path, routers: &[&str]) -> (Office, Agent, u32) {
    let mut office = Office::start(SITE).await;
    let agent = Agent::start(&office.config(directory), routers).await;
    let (epoch, hello) = office.hear_hello().await;
    assert_eq!((hello.stored_generation, hello.state_hash), (0, [0; 16]));
    office.answer(epoch, 0, 0).await;
    (office, agent, epoch)
}

pub async fn until_down(agent: &Agent, is_connected: bool) {
    let waiting = async {
        while agent.status().await.controller.is_connected != is_connected {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("the agent does not notice the line");
}
