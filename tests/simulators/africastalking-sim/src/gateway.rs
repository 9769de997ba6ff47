//! What the simulator knows: the texts that it took, the faults in force, and the reports on their way.
//!
//! Everything is bounded: the oldest texts go when too many were taken.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::reports;
use crate::simulator::Settings;

/// Texts that are remembered: more than any test sends.
const TEXTS: usize = 10_000;

/// A text that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Text {
    /// Our name of it.
    pub id: String,
    /// To which number, with a plus.
    pub to: String,
    /// The words.
    pub message: String,
    /// The sender ID, where one was given.
    pub from: String,
}

/// What becomes of delivery reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReportFaults {
    /// How often each is sent; 0 for never.
    pub copies: u32,
    /// How long each takes, in milliseconds; at most an hour.
    pub delay_ms: u64,
    /// `Success`, `Failed`, `Rejected`, or a word that is not final.
    pub status: String,
    /// The reason beside `Failed` and `Rejected`.
    pub failure_reason: String,
    /// Each arrives before its text is acknowledged.
    pub before_answer: bool,
}

impl Default for ReportFaults {
    fn default() -> Self {
        Self {
            copies: 1,
            delay_ms: 0,
            status: "Success".to_owned(),
            failure_reason: String::new(),
            before_answer: false,
        }
    }
}

/// The faults in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// How many of the next texts are taken without an answer: the connection closes.
    pub lose_answer_next: u32,
    /// Every answer is held back so long, in milliseconds, after its texts were taken; at most an hour.
    pub slow_answer_ms: u64,
    /// How many of the next calls end in HTTP 500, with nothing sent.
    pub error_next: u32,
    /// Every key is refused with HTTP 401.
    pub unauthorized: bool,
    /// The account is empty: 405 for each number.
    pub no_balance: bool,
    /// The sender ID is not registered: no recipient is answered.
    pub invalid_sender: bool,
    /// Numbers, with a plus, that opted out: 406.
    pub blacklisted: BTreeSet<String>,
    /// A status code for each number, whatever was asked, with nothing sent.
    pub status_code: Option<u16>,
    /// What becomes of reports.
    pub reports: ReportFaults,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    report_url: Option<String>,
    texts: VecDeque<Text>,
}

/// The simulator's inside.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) http: reqwest::Client,
    state: Mutex<State>,
    next: AtomicU64,
    on_their_way: AtomicU64,
    changed: Notify,
}

impl Gateway {
    pub(crate) fn new(settings: Settings) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let report_url = settings.report_url.clone();
        Ok(Self {
            settings,
            http,
            state: Mutex::new(State { faults: Faults::default(), report_url, texts: VecDeque::new() }),
            next: AtomicU64::new(1),
            on_their_way: AtomicU64::new(0),
            changed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is done under the lock that could leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn faults(&self) -> Faults {
        self.state().faults.clone()
    }

    pub(crate) fn report_url(&self) -> Option<String> {
        self.state().report_url.clone()
    }

    /// Uses one of a counted fault up, if any is left.
    pub(crate) fn spend(&self, counter: impl FnOnce(&mut Faults) -> &mut u32) -> bool {
        let mut state = self.state();
        let left = counter(&mut state.faults);
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }

    /// Takes a text and gives it a name like `ATXid_` and 32 hex digits.
    pub(crate) fn take(&self, to: &str, message: &str, from: &str) -> Text {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let text = Text {
            id: format!("ATXid_{number:032x}"),
            to: to.to_owned(),
            message: message.to_owned(),
            from: from.to_owned(),
        };
        let mut state = self.state();
        if state.texts.len() >= TEXTS {
            state.texts.pop_front();
        }
        state.texts.push_back(text.clone());
        drop(state);
        self.changed.notify_waiters();
        text
    }

    /// A report sets out.
    pub(crate) fn sets_out(self: &Arc<Self>) -> OnItsWay {
        self.on_their_way.fetch_add(1, Ordering::AcqRel);
        OnItsWay(Arc::clone(self))
    }
}

/// A report that is on its way as long as this lives.
pub(crate) struct OnItsWay(Arc<Gateway>);

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }
}

/// The controls of a simulator. Clones control the same one.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Gateway>);

impl Handle {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        Self(gateway)
    }

    /// The texts that were taken, the oldest first.
    #[must_use]
    pub fn texts(&self) -> Vec<Text> {
        self.0.state().texts.iter().cloned().collect()
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.0.faults()
    }

    /// Other faults from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.state().faults = faults;
    }

    /// Where reports go from now on.
    pub fn set_report_url(&self, url: Option<String>) {
        self.0.state().report_url = url;
    }

    /// Sends the report of a text again, or that of one that was never taken; gives the status that answered.
    ///
    /// # Errors
    /// When nobody is to be told, or nobody answers.
    pub async fn report(&self, id: &str, status: &str) -> Result<u16, String> {
        let to = self.0.state().texts.iter().find(|text| text.id == id).map(|text| text.to.clone());
        let faults = ReportFaults { status: status.to_owned(), ..ReportFaults::default() };
        reports::deliver(&self.0, id, &to.unwrap_or_default(), &faults, 0).await
    }

    /// Waits until every report was delivered; false when that takes longer.
    pub async fn settled(&self, within: Duration) -> bool {
        self.wait(within, || self.0.on_their_way.load(Ordering::Acquire) == 0).await
    }

    /// Waits until so many texts were taken; false when that takes longer.
    pub async fn has_taken(&self, count: usize, within: Duration) -> bool {
        self.wait(within, || self.0.state().texts.len() >= count).await
    }

    async fn wait(&self, within: Duration, is_so: impl Fn() -> bool) -> bool {
        timeout(within, async {
            loop {
                let changed = self.0.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if is_so() {
                    return;
                }
                changed.await;
            }
        })
        .await
        .is_ok()
    }
}
