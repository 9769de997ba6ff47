//! What head office asks of the agent itself: the doctor, what helps to understand the site, how much is logged, and to be
//! watched.
//!
//! ```text
//! site/orders.rs ─ Asked ─> one task each, bounded in time ─ Report::Answer, Report::Ordered ─> site/orders.rs
//! ```
//!
//! It changes nothing but how much is logged, and that goes back by itself. The heart of the agent never waits for it. That
//! commands are begun once is `crate::commands`; how answers travel is `site/answers.rs`.

mod bundle;

use std::sync::Arc;
use std::time::Duration;

use tawi_shared::Clock;
use tawi_shared::wire::{CommandKind, CommandV1};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tracing::level_filters::LevelFilter;
use tracing::{info, warn};

use crate::config::Config;
use crate::doctor;
use crate::flow::{Done, Report, ReportSender};
use crate::health::Status;
use crate::own_log;
use crate::site::Question;
use crate::tuning::Tuned;

/// Commands that wait here; the desk has no more of them begun.
pub const WAITING: usize = 8;
/// The most that a watch lasts, in seconds.
pub const WATCH_SECONDS_MOST: u64 = 300;
/// The doctor of a site with 64 routers of which none answers.
const DOCTOR_WITHIN: Duration = Duration::from_secs(600);
/// The heart answers between two pieces of work.
const STATUS_WITHIN: Duration = Duration::from_secs(10);
/// How often whoever watches is told.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// How long another level of the log than the settings' stands.
const LEVEL_STANDS: Duration = Duration::from_secs(24 * 3_600);

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Look at everything.
    Doctor,
    /// Gather what helps to understand the site.
    Diagnostics,
    /// Log as much.
    SetLogLevel(LevelFilter),
    /// Tell how the agent stands for so long.
    Watch(Duration),
}

impl Errand {
    /// What a command asks of the agent itself; `None` where it asks something of a router.
    #[must_use]
    pub fn of(kind: CommandKind, command: &CommandV1) -> Option<Result<Self, &'static str>> {
        Some(match kind {
            CommandKind::Doctor => Ok(Self::Doctor),
            CommandKind::Diagnostics => Ok(Self::Diagnostics),
            CommandKind::SetLogLevel => {
                let level = match command.argument.as_str() {
                    "error" => Ok(LevelFilter::ERROR),
                    "warn" => Ok(LevelFilter::WARN),
                    "info" => Ok(LevelFilter::INFO),
                    "debug" => Ok(LevelFilter::DEBUG),
                    _ => Err("no such level of the log; there are error, warn, info and debug"),
                };
                level.map(Self::SetLogLevel)
            }
            CommandKind::Watch => match command.argument.parse::<u64>() {
                Ok(seconds @ 1..=WATCH_SECONDS_MOST) => Ok(Self::Watch(Duration::from_secs(seconds))),
                _ => Err("a watch lasts 1 to 300 seconds"),
            },
            CommandKind::ReleaseHeld
            | CommandKind::Kick
            | CommandKind::Rebuild
            | CommandKind::ListForeign
            | CommandKind::Adopt => return None,
        })
    }
}

/// An errand, and the command that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of which command.
    pub id: String,
    /// What.
    pub errand: Errand,
}

/// What errands are run with.
#[derive(Clone, Debug)]
pub struct Hands {
    /// The settings.
    pub config: Arc<Config>,
    /// Time.
    pub clock: Clock,
    /// Where the heart of the agent is asked.
    pub questions: mpsc::Sender<Question>,
    /// Where what became of it goes.
    pub reports: ReportSender,
    /// How much is logged where no command says otherwise is among what stands.
    pub tuned: watch::Receiver<Tuned>,
    /// One looks at routers at a time, however often it is asked for.
    pub turn: Arc<Mutex<()>>,
}

/// Runs errands until nobody can ask any more.
pub async fn run(hands: Hands, mut asked: mpsc::Receiver<Asked>) {
    let mut running = JoinSet::new();
    let mut level_until: Option<Instant> = None;
    let mut tuned = hands.tuned.clone();
    loop {
        let back = level_until.unwrap_or_else(Instant::now);
        tokio::select! {
            next = asked.recv() => {
                let Some(Asked { id, errand }) = next else { break };
                if let Errand::SetLogLevel(_) = errand && !hands.config.controller.takes_settings {
                    hands.settle(id, Done::failed(NOT_ALLOWED)).await;
                } else if let Errand::SetLogLevel(level) = errand {
                    let is_other = level != hands.lasting_level();
                    level_until = is_other.then(|| Instant::now() + LEVEL_STANDS);
                    hands.set_level(id, level).await;
                } else {
                    running.spawn(Box::pin(hands.clone().go(id, errand)));
                }
            }
            () = sleep_until(back), if level_until.is_some() => {
                level_until = None;
                let level = hands.lasting_level();
                own_log::set_level(level);
                info!(log.level = %level, "the log is at the level of the settings again");
            }
            // What a command set stands for its time all the same.
            Ok(()) = tuned.changed(), if level_until.is_none() => own_log::set_level(hands.lasting_level()),
            Some(ended) = running.join_next() => {
                if let Err(error) = ended {
                    warn!(%error, "what head office asked for ended badly");
                }
            }
        }
    }
}

impl Hands {
    async fn go(self, id: String, errand: Errand) {
        let done = match errand {
            Errand::Doctor => self.doctor(&id).await,
            Errand::Diagnostics => self.diagnostics(&id).await,
            Errand::Watch(lasts) => self.watch(&id, lasts).await,
            // Done where its end is known.
            Errand::SetLogLevel(_) => return,
        };
        self.settle(id, done).await;
    }

    async fn settle(&self, id: String, done: Done) {
        // Without a heart there is nobody to tell.
        let _ = self.reports.send(Report::Ordered { router: String::new(), id, done }).await;
    }

    async fn answer(&self, id: &str, text: String, is_whole: bool) {
        let _ = self.reports.send(Report::Answer { id: id.to_owned(), text, is_whole }).await;
    }

    /// As much as is logged where no command says otherwise.
    fn lasting_level(&self) -> LevelFilter {
        self.tuned.borrow().log_level
    }

    async fn set_level(&self, id: String, level: LevelFilter) {
        own_log::set_level(level);
        warn!(log.level = %level, "head office has set how much is logged");
        let words = match level == self.lasting_level() {
            true => format!("the log is at {level}, as in the settings"),
            false => format!("the log is at {level} until a restart, and for 24 h at most"),
        };
        self.settle(id, Done::succeeded(words)).await;
    }

    async fn doctor(&self, id: &str) -> Done {
        let _turn = self.turn.lock().await;
        let examining = Box::pin(doctor::examine(&self.config, self.clock.clone(), false, |_| {}));
        let Ok(report) = timeout(DOCTOR_WITHIN, examining).await else {
            return Done::failed("the doctor did not come to an end in 10 minutes; ask for one at the site");
        };
        let words = format!("{} good, {} doubtful, {} bad", report.good, report.doubtful, report.bad);
        self.answer(id, serde_json::to_string(&report).unwrap_or_default(), true).await;
        Done::succeeded(words)
    }

    async fn diagnostics(&self, id: &str) -> Done {
        let Some(status) = self.status().await else { return Done::failed(NO_STATUS) };
        let text = bundle::of(&self.config, &status, self.clock.now());
        let words = format!("{} kB", text.len().div_ceil(1_000));
        self.answer(id, text, true).await;
        Done::succeeded(words)
    }

    async fn watch(&self, id: &str, lasts: Duration) -> Done {
        let (until, mut turn) = (Instant::now() + lasts, interval(WATCH_EVERY));
        loop {
            tokio::select! {
                () = sleep_until(until) => break,
                _ = turn.tick() => {}
            }
            let Some(status) = self.status().await else { return Done::failed(NO_STATUS) };
            self.answer(id, bundle::summary(&status), false).await;
        }
        Done::succeeded(format!("watched for {} s", lasts.as_secs()))
    }

    async fn status(&self) -> Option<Status> {
        let asking = async {
            let (sender, receiver) = oneshot::channel();
            self.questions.send(Question::Standing(sender)).await.ok()?;
            receiver.await.ok()
        };
        timeout(STATUS_WITHIN, asking).await.ok().flatten()
    }
}

const NOT_ALLOWED: &str =
    "agent.toml at the site says settings_from_head_office = false, which is also for how much it logs";
const NO_STATUS: &str = "the agent did not say how it stands in 10 s; ask again";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::tuning::{FromOffice, Tuning};

    const HOUR: Duration = Duration::from_secs(3_600);

    /// Settings of a site, which nobody goes by here.
    fn config(takes_settings: bool) -> Config {
        let name = format!("tawi-remote-{takes_settings}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        let allows = format!("settings_from_head_office = {takes_settings}\n");
        let text = format!("site = \"nyeri-01\"\n[controller]\naddresses = [\"isp.example\"]\n{allows}");
        std::fs::write(&path, text).unwrap();
        let config = Config::load(&path, &Environment::default()).unwrap();
        std::fs::remove_file(path).unwrap();
        config
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_of_the_log_stands_for_a_day_and_what_lasts_is_back_then() {
        let _alone = own_log::TRIED.lock().await;
        let config = config(true);
        let mut tuning = Tuning::new(Tuned::of(&config), true, FromOffice::default());
        let (reports, mut told) = mpsc::channel(8);
        let (questions, _nobody) = mpsc::channel(1);
        let (errands, asked) = mpsc::channel(WAITING);
        let hands = Hands {
            config: Arc::new(config),
            clock: Clock::system(),
            questions,
            reports,
            tuned: tuning.watch(),
            turn: Arc::default(),
        };
        own_log::set_level(LevelFilter::INFO);
        let running = tokio::spawn(run(hands, asked));
        let mut set = async |level: LevelFilter| {
            let errand = Errand::SetLogLevel(level);
            errands.send(Asked { id: level.to_string(), errand }).await.unwrap();
            match told.recv().await {
                Some(Report::Ordered { id, done, .. }) if id == level.to_string() => done.detail,
                other => panic!("{other:?}"),
            }
        };
        let after = async |span: Duration| {
            tokio::time::sleep(span).await;
            own_log::level()
        };
        assert!(set(LevelFilter::DEBUG).await.contains("for 24 h at most"));
        assert_eq!(after(23 * HOUR).await, LevelFilter::DEBUG);
        // A second one stands for a day of its own.
        set(LevelFilter::WARN).await;
        assert_eq!(after(23 * HOUR).await, LevelFilter::WARN);
        // What head office sets to last waits for its end.
        let lasting = |level: &str| FromOffice { revision: 1, values: vec![(4, level.to_owned())] };
        assert!(tuning.take(lasting("error")));
        assert_eq!(after(HOUR / 2).await, LevelFilter::WARN);
        assert_eq!(after(HOUR).await, LevelFilter::ERROR);
        // And is in force at once when nothing else is.
        assert!(tuning.take(lasting("debug")));
        assert_eq!(after(Duration::from_secs(1)).await, LevelFilter::DEBUG);
        assert_eq!(after(48 * HOUR).await, LevelFilter::DEBUG);
        // Whoever sets what lasts anyway ends what stood before.
        set(LevelFilter::WARN).await;
        assert!(set(LevelFilter::DEBUG).await.contains("as in the settings"));
        assert!(tuning.take(lasting("info")));
        assert_eq!(after(Duration::from_secs(1)).await, LevelFilter::INFO);
        running.abort();
        own_log::set_level(LevelFilter::INFO);
    }

    #[tokio::test]
    async fn where_head_office_may_set_nothing_it_sets_no_level_of_the_log_either() {
        let _alone = own_log::TRIED.lock().await;
        let config = config(false);
        let (reports, mut told) = mpsc::channel(8);
        let hands = Hands {
            tuned: Tuning::new(Tuned::of(&config), false, FromOffice::default()).watch(),
            config: Arc::new(config),
            clock: Clock::system(),
            questions: mpsc::channel(1).0,
            reports,
            turn: Arc::default(),
        };
        let before = own_log::level();
        let (errands, asked) = mpsc::channel(WAITING);
        let running = tokio::spawn(run(hands, asked));
        let errand = Errand::SetLogLevel(LevelFilter::DEBUG);
        errands.send(Asked { id: "a".to_owned(), errand }).await.unwrap();
        let Some(Report::Ordered { done, .. }) = told.recv().await else { panic!("nothing is told") };
        assert!(done.detail.contains("settings_from_head_office = false"), "{done:?}");
        assert_eq!(own_log::level(), before);
        drop(errands);
        running.await.unwrap();
    }

    #[test]
    fn what_is_asked_of_the_agent_is_read_and_what_cannot_be_is_refused_with_words() {
        let check = |kind, argument: &str, wanted: Option<Option<Errand>>| {
            let argument = argument.to_owned();
            let command = CommandV1 {
                id: "a".into(),
                kind: 0,
                not_after_ms: 0,
                router: String::new(),
                line: String::new(),
                argument,
                service: 0,
            };
            let read = Errand::of(kind, &command);
            assert_eq!(read.map(Result::ok), wanted, "{kind:?} {:?}", command.argument);
        };
        check(CommandKind::Doctor, "", Some(Some(Errand::Doctor)));
        check(CommandKind::Diagnostics, "", Some(Some(Errand::Diagnostics)));
        check(CommandKind::SetLogLevel, "debug", Some(Some(Errand::SetLogLevel(LevelFilter::DEBUG))));
        for level in ["", "trace", "off", "DEBUG"] {
            check(CommandKind::SetLogLevel, level, Some(None));
        }
        check(CommandKind::Watch, "300", Some(Some(Errand::Watch(Duration::from_secs(300)))));
        for seconds in ["", "0", "301", "-1", "99999999999999999999"] {
            check(CommandKind::Watch, seconds, Some(None));
        }
        for kind in CommandKind::ALL {
            let is_known = kind.is_of_site();
            let command = CommandV1 {
                id: "a".into(),
                kind: kind.code(),
                not_after_ms: 0,
                router: String::new(),
                line: String::new(),
                argument: String::new(),
                service: 0,
            };
            assert_eq!(Errand::of(*kind, &command).is_some(), is_known, "{kind:?}");
        }
    }
}
