//! The heart of an agent with its flash, whose routers are played by the test and whose messages are carried by it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, EventLoop, MqttOptions, QoS, Request};
use tawi_agent::api_log::ApiLog;
use tawi_agent::clock::TrustedClock;
use tawi_agent::config::ControllerAddress;
use tawi_agent::contact::Contact;
use tawi_agent::flow::{Event, Report, ReportSender};
use tawi_agent::health::Status;
use tawi_agent::link::{ByteCounters, Connection, Delivery, FromLink};
use tawi_agent::outbox::{Keeper, Opening, Outbox, StoreError};
use tawi_agent::site::{Ends, Question, Site as Heart, Tools};
use tawi_agent::usage::book::Quotas;
use tawi_agent::usage::counted::{Counted, Mark};
use tawi_agent::usage::quota::QuotaBook;
use tawi_shared::wire::{EventKind, SessionUsageV1};
use tawi_shared::{Clock, IdSource, SiteId, UnixMillis};
use tawi_tests::money::site::SITE;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What carries a message besides it: MQTT, TLS, and what the broker answers.
const AROUND: usize = 40;
/// A try of the silent line with its answer.
const KEEP_ALIVE: usize = 24;

pub struct Site {
    directory: PathBuf,
    clock: Clock,
    hourly_bytes: u64,
    outbox: Outbox,
    reports: ReportSender,
    questions: mpsc::Sender<Question>,
    link: mpsc::Sender<FromLink>,
    stop: oneshot::Sender<()>,
    counters: Arc<ByteCounters>,
    line: Option<(u64, EventLoop)>,
    minutes: u64,
    tasks: JoinSet<()>,
}

impl Site {
    pub async fn start(directory: &Path, clock: Clock, hourly_bytes: u64) -> Self {
        let (outbox, opening) = loop {
            match Outbox::start(directory, IdSource::system(), clock.clone()).await {
                // The thread of the one before ends a moment after it.
                Err(StoreError::Locked(_)) => std::thread::sleep(Duration::from_millis(1)),
                opened => break opened.unwrap(),
            }
        };
        Self::on((outbox, opening), directory, clock, hourly_bytes)
    }

    /// On a store that is open.
    pub fn on(store: (Outbox, Opening), directory: &Path, clock: Clock, hourly_bytes: u64) -> Self {
        let (outbox, opening) = store;
        let trusted = TrustedClock::new(clock.clone(), opening.marks.time);
        let (state, _) = watch::channel(Arc::default());
        let (reports, report_receiver) = mpsc::channel(256);
        let (link, inbound) = mpsc::channel(tawi_agent::link::INBOUND_WAITING);
        let (questions, question_receiver) = mpsc::channel(4);
        let (stop, stopped) = oneshot::channel();
        let counters = Arc::new(ByteCounters::default());
        let book = QuotaBook::load(opening.epoch, &opening.book, &opening.open_sessions);
        let tools = Tools {
            site: SiteId::parse(SITE).unwrap(),
            clock: trusted,
            contact: Contact::remembered(opening.marks.silence.unwrap_or_default()),
            ids: IdSource::system(),
            outbox: outbox.clone(),
            state,
            quotas: Quotas::new(book),
            report_every: Duration::from_secs(1_200),
            bytes: Arc::clone(&counters),
            hourly_bytes,
            log: ApiLog::default(),
            routers: vec!["core".to_owned()],
            orders: [("core".to_owned(), Default::default())].into(),
            memories: [("core".to_owned(), Default::default())].into(),
        };
        let heart = Heart::new(tools, &opening);
        let mut tasks = JoinSet::new();
        let ends = Ends { inbound, reports: report_receiver, questions: question_receiver, stop: stopped };
        tasks.spawn(heart.run(ends));
        Self {
            directory: directory.to_owned(),
            clock,
            hourly_bytes,
            outbox,
            reports,
            questions,
            link,
            stop,
            counters,
            line: None,
            minutes: 0,
            tasks,
        }
    }

    /// The power fails, and comes back.
    pub async fn restart(self) -> Self {
        let Self { directory, clock, hourly_bytes, mut tasks, outbox, .. } = self;
        tasks.shutdown().await;
        drop(outbox);
        Self::start(&directory, clock, hourly_bytes).await
    }

    pub async fn stop(mut self) {
        self.stop.send(()).unwrap();
        // Its farewell is carried by nobody.
        self.line = None;
        self.tasks.shutdown().await;
    }

    pub async fn connect(&mut self) {
        let number = self.outbox.call(Keeper::next_connection_epoch).await.unwrap();
        let (client, event_loop) = AsyncClient::new(MqttOptions::new("by-hand", "127.0.0.1", 1), 4_096);
        let address = ControllerAddress { host: "office".to_owned(), port: 8_883 };
        let site = SiteId::parse(SITE).unwrap();
        let connection = Connection::by_hand(client, site, (number, address), Arc::clone(&self.counters));
        // What opening a connection with a session of TLS takes.
        self.counters.sent(900);
        self.counters.received(1_200);
        self.link.send(FromLink::Up(connection)).await.unwrap();
        self.line = Some((number, event_loop));
    }

    pub async fn cut(&mut self) {
        let (connection_epoch, _) = self.line.take().unwrap();
        let why = "the radio is down".to_owned();
        self.link.send(FromLink::Down { connection_epoch, why }).await.unwrap();
    }

    /// What sessions moved, with the events of those that came and went.
    pub async fn report(&self, totals: Vec<SessionUsageV1>) {
        for total in &totals {
            let event = |kind, at_ms| Event {
                at: UnixMillis(at_ms),
                kind,
                line: Some(total.line.clone()),
                router: Some("core".to_owned()),
                detail: "10.1.2.3".to_owned(),
            };
            if total.is_ended {
                let events = [
                    (EventKind::LineOnline, total.started_at_ms),
                    (EventKind::LineOffline, total.sampled_at_ms),
                ];
                for (kind, at) in events {
                    self.reports.send(Report::Event(event(kind, at))).await.unwrap();
                }
            }
        }
        let counted = |total| Counted { total, mark: Mark::default(), grown_bytes: 0 };
        let sessions = totals.into_iter().map(counted).collect();
        self.reports.send(Report::Usage { sessions, periods: Default::default() }).await.unwrap();
        self.status().await;
    }

    /// How it stands, once it has done whatever there was to do.
    pub async fn status(&self) -> Status {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question::Standing(answer)).await.unwrap();
        answered.await.unwrap()
    }

    /// What it said since the last time: topic, envelope, and whether lightly.
    pub fn said(&mut self) -> Vec<(String, Vec<u8>, bool)> {
        let Some((_, waiting)) = &mut self.line else { return Vec::new() };
        waiting.clean();
        let mut words = Vec::new();
        for request in waiting.pending.drain(..) {
            if let Request::Publish(publish) = request {
                let bytes = publish.payload.to_vec();
                self.counters.sent(bytes.len() + publish.topic.len() + AROUND);
                if publish.qos != QoS::AtMostOnce {
                    self.counters.received(AROUND);
                }
                words.push((publish.topic, bytes, publish.qos == QoS::AtMostOnce));
            }
        }
        words
    }

    pub async fn hear(&self, topic: &str, bytes: Vec<u8>) {
        self.counters.received(bytes.len() + topic.len() + AROUND);
        self.link.send(FromLink::Said(Delivery::by_hand(topic, bytes))).await.unwrap();
    }

    /// A minute of the line: one try in four.
    pub fn keep_alive(&mut self) {
        self.minutes += 1;
        if self.minutes.is_multiple_of(4) {
            self.counters.sent(KEEP_ALIVE);
            self.counters.received(KEEP_ALIVE);
        }
    }

    pub fn carried(&self) -> u64 {
        self.counters.carried()
    }
}
