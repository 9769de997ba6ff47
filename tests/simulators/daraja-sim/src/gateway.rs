//! What every part of the simulator shares: the state behind one lock, the clock, the postman, the tasks.
//!
//! The lock is held for plain computing only, never across an await. Work that outlives a request (a
//! phone that thinks, a callback on its way) is an errand: counted, so that a test can wait until all
//! is quiet, and ended with the simulator. Decisions are elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::Response;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::c2b::registration::Registration;
use crate::callbacks::Letter;
use crate::callbacks::Postman;
use crate::clock::Clock;
use crate::faults::Faults;
use crate::identifiers::ShortCode;
use crate::oauth::Tokens;
use crate::operator::account::OperatorAccount;
use crate::payments::Payments;
use crate::payouts::Payouts;
use crate::phones::Phones;
use crate::prompts::Prompts;
use crate::receipts::ReceiptBook;
use crate::refusals::Refusal;
use crate::seeds::Seeds;
use crate::settings::Settings;

/// Errands at once: every waiting prompt, a confirmation for each, and room for paybill payments.
const MAX_ERRANDS: usize = 50_000;

/// What happened since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) tokens_issued: u64,
    pub(crate) pushes: u64,
    pub(crate) pushes_refused: u64,
    pub(crate) queries: u64,
    pub(crate) registrations: u64,
    pub(crate) pulls: u64,
    pub(crate) codes: u64,
    pub(crate) operator_requests: u64,
    pub(crate) results_sent: u64,
    pub(crate) results_failed: u64,
    pub(crate) callbacks_sent: u64,
    pub(crate) callbacks_failed: u64,
    pub(crate) confirmations_sent: u64,
    pub(crate) confirmations_failed: u64,
    pub(crate) validations_sent: u64,
}

/// Everything that changes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) tokens: Tokens,
    pub(crate) phones: Phones,
    pub(crate) prompts: Prompts,
    pub(crate) payments: Payments,
    pub(crate) payouts: Payouts,
    /// The result of the last request that moves money, as it was or would have been sent.
    pub(crate) last_money_result: Option<Letter>,
    /// At most one for each of the merchant's short codes.
    pub(crate) registrations: BTreeMap<ShortCode, Registration>,
    /// Short codes that are registered for Pull; a subset of the merchant's.
    pub(crate) pull_registrations: BTreeSet<ShortCode>,
    pub(crate) operator: OperatorAccount,
    pub(crate) faults: Faults,
    pub(crate) counts: Counts,
    pub(crate) seeds: Seeds,
    pub(crate) receipts: ReceiptBook,
}

/// The simulator behind its sockets.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) postman: Postman,
    state: Mutex<State>,
    /// Counts changes, so that watchers look again.
    changes: watch::Sender<u64>,
    stopping: watch::Sender<bool>,
    errands: Mutex<JoinSet<()>>,
    errands_running: AtomicUsize,
}

impl Gateway {
    pub(crate) fn new(settings: Settings, postman: Postman) -> Self {
        let state = State {
            tokens: Tokens::default(),
            phones: Phones::new(settings.default_phone.clone()),
            prompts: Prompts::new(),
            payments: Payments::new(),
            payouts: Payouts::default(),
            last_money_result: None,
            registrations: BTreeMap::new(),
            pull_registrations: BTreeSet::new(),
            operator: OperatorAccount::default(),
            faults: Faults::calm(&settings),
            counts: Counts::default(),
            seeds: Seeds::new(settings.seed),
            receipts: ReceiptBook::new(settings.seed),
        };
        Self {
            settings,
            clock: Clock::default(),
            postman,
            state: Mutex::new(state),
            changes: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            errands: Mutex::new(JoinSet::new()),
            errands_running: AtomicUsize::new(0),
        }
    }

    /// Looks at the state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&lock(&self.state))
    }

    /// Changes the state and tells those who watch.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = change(&mut lock(&self.state));
        self.touch();
        result
    }

    /// A Daraja error under a fresh request id.
    pub(crate) fn refuse(&self, refusal: &Refusal) -> Response {
        let request_id = self.change(|state| state.seeds.request_id());
        tracing::debug!(error.code = refusal.code, "refused a call");
        refusal.answer(&request_id)
    }

    /// Whether the merchant owns this short code.
    pub(crate) fn is_merchant(&self, short_code: &ShortCode) -> bool {
        self.settings.short_codes.contains(short_code)
            || self.settings.till_number.as_ref() == Some(short_code)
    }

    /// Does `work` in the background; `false` when too much is under way already.
    pub(crate) fn errand<F>(self: &Arc<Self>, work: F) -> bool
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if !self.has_room_for_errands() {
            return false;
        }
        let running = Running::start(self);
        let mut stopping = self.stopping.subscribe();
        let mut errands = lock(&self.errands);
        // Forget those that ended, or the set would grow with every payment.
        while errands.try_join_next().is_some() {}
        errands.spawn(async move {
            tokio::select! {
                () = work => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
            drop(running);
        });
        true
    }

    /// Whether another errand may start.
    pub(crate) fn has_room_for_errands(&self) -> bool {
        self.errands_running() < MAX_ERRANDS
    }

    /// Errands under way.
    pub(crate) fn errands_running(&self) -> usize {
        self.errands_running.load(Ordering::Acquire)
    }

    /// Holds an answer back, unless the simulator stops.
    pub(crate) async fn hold_back(&self, delay_ms: u64) {
        if delay_ms > 0 {
            let mut stopping = self.stopping.subscribe();
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(delay_ms)) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
    }

    /// Resolves once the simulator stops.
    pub(crate) async fn until_stopping(&self) {
        // An error would mean that the sender is gone, and with it the simulator: stopped as well.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Tells everything to stop.
    pub(crate) fn begin_stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Ends the errands that are still under way.
    pub(crate) async fn end_errands(&self) {
        let mut errands = std::mem::take(&mut *lock(&self.errands));
        errands.shutdown().await;
    }

    /// Waits until `probe` finds something in a changed state; `None` after `deadline`.
    pub(crate) async fn wait_for<T>(&self, deadline: Duration, probe: impl Fn() -> Option<T>) -> Option<T> {
        let mut changes = self.changes.subscribe();
        let search = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = probe() {
                    return found;
                }
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(deadline, search).await.ok()
    }

    fn touch(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// One errand under way; counted until it is dropped.
struct Running(Arc<Gateway>);

impl Running {
    fn start(gateway: &Arc<Gateway>) -> Self {
        gateway.errands_running.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(gateway))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.errands_running.fetch_sub(1, Ordering::AcqRel);
        self.0.touch();
    }
}

/// A poisoned lock means that a handler panicked; what it left is still the best state there is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
