//! The heart of an agent whose messages somebody carries and whose routers somebody plays: everything of it but the sockets.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{AsyncClient, EventLoop, MqttOptions, QoS, Request};
use tawi_agent::api_log::ApiLog;
use tawi_agent::clock::TrustedClock;
use tawi_agent::config::ControllerAddress;
use tawi_agent::contact::Contact;
use tawi_agent::flow::{Report, ReportSender, StateReceiver};
use tawi_agent::health::Status;
use tawi_agent::link::{ByteCounters, Connection, Delivery, FromLink, INBOUND_WAITING};
use tawi_agent::outbox::{Keeper, Opening, Outbox};
use tawi_agent::reconcile::orders::Orders;
use tawi_agent::remote::Asked;
use tawi_agent::site::{Ends, Question, Site, Tools, UpgradeTools};
use tawi_agent::tuning::{Tuned, Tuning};
use tawi_agent::usage::book::Quotas;
use tawi_agent::usage::quota::QuotaBook;
use tawi_shared::{Clock, IdSource, SiteId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// What carries a message besides it: MQTT, TLS, and what the broker answers.
const AROUND: usize = 40;
/// Requests that wait for whoever carries them.
const WAITING: usize = 4_096;
/// The one router that each of them has.
pub const ROUTER: &str = "core";

/// Who it is and how it lives.
#[derive(Clone, Debug)]
pub struct Life {
    /// Which site.
    pub site: SiteId,
    /// The machine's clock.
    pub clock: Clock,
    /// Randomness.
    pub ids: IdSource,
    /// What may be told in an hour, in bytes; 0 without a bound.
    pub hourly_bytes: u64,
}

/// A word of the agent: topic, envelope, and whether it is said lightly.
pub type Word = (String, Vec<u8>, bool);

/// A heart that beats.
pub struct Heart {
    /// Its flash.
    pub outbox: Outbox,
    /// What reconcilers would tell it.
    pub reports: ReportSender,
    /// What they would see.
    pub state: StateReceiver,
    /// What they would be ordered.
    pub orders: Orders,
    /// The time as it believes it.
    pub time: TrustedClock,
    /// What would be asked of the agent itself, and nobody does; `None`: nobody ever will.
    pub errands: Option<mpsc::Receiver<Asked>>,
    /// What its routers' clients would note in.
    pub log: ApiLog,
    /// What its line carried.
    pub counters: Arc<ByteCounters>,
    site: SiteId,
    questions: mpsc::Sender<Question>,
    link: mpsc::Sender<FromLink>,
    stop: oneshot::Sender<()>,
    line: Option<Line>,
    tasks: JoinSet<()>,
}

struct Line {
    connection_epoch: u64,
    waiting: EventLoop,
    held: mpsc::Receiver<()>,
}

impl Heart {
    /// Begins with what was found on flash.
    #[must_use]
    pub fn start(life: &Life, outbox: Outbox, opening: &Opening) -> Self {
        let time = TrustedClock::new(life.clock.clone(), opening.marks.time);
        let (state_sender, state) = watch::channel(Arc::default());
        let (reports, report_receiver) = mpsc::channel(256);
        let (link, inbound) = mpsc::channel(INBOUND_WAITING);
        let (questions, question_receiver) = mpsc::channel(4);
        let (stop, stopped) = oneshot::channel();
        let (counters, log) = (Arc::new(ByteCounters::default()), ApiLog::default());
        let book = QuotaBook::load(opening.epoch, &opening.book, &opening.open_sessions);
        let orders = Orders::default();
        let (errands, asked) = mpsc::channel(1);
        let tuned = Tuned {
            hourly_bytes: life.hourly_bytes,
            report: Duration::from_secs(1_800),
            keep_alive: None,
            log_level: tawi_agent::own_log::level(),
        };
        let tools = Tools {
            errands,
            // No release is asked for here.
            upgrade: UpgradeTools {
                errands: mpsc::channel(1).0,
                prove_within: Duration::MAX,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                is_release: false,
            },
            site: life.site.clone(),
            clock: time.clone(),
            contact: Contact::remembered(opening.marks.silence.unwrap_or_default()),
            ids: life.ids.clone(),
            outbox: outbox.clone(),
            state: state_sender,
            quotas: Quotas::new(book),
            tuning: Tuning::new(tuned, true, opening.settings.clone()),
            bytes: Arc::clone(&counters),
            log: log.clone(),
            routers: vec![ROUTER.to_owned()],
            orders: [(ROUTER.to_owned(), orders.clone())].into(),
            memories: [(ROUTER.to_owned(), Default::default())].into(),
        };
        let mut tasks = JoinSet::new();
        let ends = Ends { inbound, reports: report_receiver, questions: question_receiver, stop: stopped };
        let heart = Site::new(tools, opening);
        tasks.spawn(async move {
            heart.run(ends).await;
        });
        let site = life.site.clone();
        Self {
            outbox,
            reports,
            state,
            orders,
            errands: Some(asked),
            time,
            log,
            counters,
            site,
            questions,
            link,
            stop,
            line: None,
            tasks,
        }
    }

    /// It is asked to stop, and says what it has to say to nobody.
    pub async fn stop(mut self) {
        let _ = self.stop.send(());
        self.line = None;
        self.tasks.shutdown().await;
    }

    /// It is gone in the middle of whatever it does. Whoever opens its store again waits for the thread of this one.
    pub async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    /// A connection was made; its number, or `None` where flash gives none.
    pub async fn connect(&mut self) -> Option<u64> {
        let connection_epoch = self.outbox.call(Keeper::next_connection_epoch).await.ok()?;
        let (client, waiting) = AsyncClient::new(MqttOptions::new("by-hand", "127.0.0.1", 1), WAITING);
        let address = ControllerAddress { host: "office".to_owned(), port: 8_883 };
        let (connection, held) = Connection::by_hand(
            client,
            self.site.clone(),
            (connection_epoch, address),
            Arc::clone(&self.counters),
        );
        // What opening a connection with a session of TLS takes.
        self.counters.sent(900);
        self.counters.received(1_200);
        self.tell(FromLink::Up(connection)).await;
        self.line = Some(Line { connection_epoch, waiting, held });
        Some(connection_epoch)
    }

    /// The connection is gone, and the agent sees it. `None`: there was none.
    pub async fn cut(&mut self, why: &str) -> Option<u64> {
        let Line { connection_epoch, .. } = self.line.take()?;
        self.tell(FromLink::Down { connection_epoch, why: why.to_owned() }).await;
        Some(connection_epoch)
    }

    /// Whether the agent gave its connection up by itself.
    pub fn has_hung_up(&mut self) -> bool {
        let is_over =
            |line: &mut Line| matches!(line.held.try_recv(), Err(mpsc::error::TryRecvError::Disconnected));
        self.line.as_mut().is_some_and(is_over)
    }

    /// A heart that stopped hears nothing.
    async fn tell(&self, what: FromLink) {
        let _ = self.link.send(what).await;
    }

    /// What it said since the last time.
    pub fn said(&mut self) -> Vec<Word> {
        let Some(line) = &mut self.line else { return Vec::new() };
        line.waiting.clean();
        let mut words = Vec::new();
        for request in line.waiting.pending.drain(..) {
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

    /// It hears a word of head office.
    pub async fn hear(&self, topic: &str, bytes: Vec<u8>) {
        self.counters.received(bytes.len() + topic.len() + AROUND);
        self.tell(FromLink::Said(Delivery::by_hand(topic, bytes))).await;
    }

    /// A router reports.
    pub async fn report(&self, report: Report) {
        let _ = self.reports.send(report).await;
    }

    /// How it stands, once it has done whatever there was to do; `None` when it does nothing any more.
    pub async fn status(&self) -> Option<Status> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question::Standing(answer)).await.ok()?;
        answered.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use tawi_agent::outbox::Disk;
    use tawi_shared::topics::Down;
    use tawi_shared::wire::{
        CommandKind, CommandResultV1, CommandStatus, CommandV1, CursorV1, Lane, UpMessage, encode,
    };

    use super::*;

    /// What it says of commands, once it has done what there was to do.
    async fn results(heart: &mut Heart) -> Vec<CommandResultV1> {
        heart.status().await.expect("the heart beats");
        let said = heart.said().into_iter().filter_map(|(_, bytes, _)| UpMessage::decode(&bytes).ok());
        let result = |message| match message {
            UpMessage::CommandResult(result) => Some(result),
            _ => None,
        };
        said.filter_map(|(_, message)| result(message)).collect()
    }

    #[tokio::test]
    async fn what_nobody_does_is_answered_and_the_heart_waits_for_nobody() {
        let (site, clock, ids) = (SiteId::parse("a").unwrap(), Clock::system(), IdSource::seeded(1));
        let life = Life { site: site.clone(), clock: clock.clone(), ids: ids.clone(), hourly_bytes: 0 };
        let disk = Disk::new(1);
        let (outbox, opening) = Outbox::inline(&disk, ids, clock);
        let mut heart = Heart::start(&life, outbox, &opening);
        heart.connect().await.unwrap();
        let controller_clock_ms = life.clock.now().0;
        for lane in Lane::ALL {
            let cursor =
                CursorV1 { lane: lane.code(), store_epoch: opening.epoch, cursor: 0, controller_clock_ms };
            heart.hear(&Down::Ack.topic(&site), encode(&cursor, 0, 0, 0).unwrap()).await;
        }
        let mut told = Vec::new();
        for id in ["first", "second", "third"] {
            if id == "third" {
                heart.errands = None;
            }
            let command = CommandV1 {
                id: id.into(),
                kind: CommandKind::Doctor.code(),
                not_after_ms: i64::MAX,
                router: String::new(),
                line: String::new(),
                argument: String::new(),
                service: 0,
            };
            heart.hear(&Down::Command.topic(&site), encode(&command, 0, 0, 0).unwrap()).await;
            told.extend(results(&mut heart).await);
        }
        let of = |id: &str| {
            told.iter().rfind(|result| result.id == id).map(|result| (result.status, &*result.detail))
        };
        let failed = CommandStatus::Failed.code();
        assert!(of("first").is_none_or(|(status, _)| status == CommandStatus::Executing.code()), "{told:?}");
        assert_eq!(of("second"), Some((failed, "the agent is at too much already; ask again later")));
        assert_eq!(of("third"), Some((failed, "the agent stops; ask again when it is back")));
        heart.stop().await;
    }
}
