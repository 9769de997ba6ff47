//! One sweep: register the short code once, ask for a window page by page, take every row in.
//!
//! Rows are decided and booked many to a commit, each on its own savepoint, so that a row that fails holds up nothing,
//! and a sweep that is cut off keeps what it had. Only a window that was seen whole and taken in whole counts as swept.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection as _;
use tawi_shared::UnixMillis;
use thiserror::Error;

use super::rows::{self, NoPage, Page};
use super::settings::PullSettings;
use super::store;
use super::window::{LAG, Progress, Window};
use crate::closing::{self, ToldBy, ToldSpan};
use crate::mpesa::callback::PULL_PATH;
use crate::mpesa::client::Daraja;
use crate::mpesa::evidence::{Reason, ReceiptNumber};
use crate::mpesa::health::SweepOutcome;
use crate::mpesa::health::store::{Ended, note_sweep};
use crate::mpesa::incoming::{self, Incoming, Source};
use crate::mpesa::nairobi;
use crate::payments::credit::{self, TakenIn};
use crate::payments::{NoOwner, PaymentError};
use crate::shutdown::Stop;
use crate::state::Controller;

const REGISTER_PATH: &str = "/pulltransactions/v1/register";
const QUERY_PATH: &str = "/pulltransactions/v1/query";
/// The source in the key of a piece of evidence.
const SOURCE: &str = "pull";
/// Pages of one span: fifty thousand payments in two days.
const PAGES_MOST: usize = 500;
/// No gateway has pages of fewer rows: of less than that there is no second page. Clients of Pull speak of a hundred, and
/// nobody says that it is always so.
const PAGE_ROWS_LEAST: usize = 10;
/// Spans of one window: a gateway that ignores the offset is asked about halves of halves, down to some fifty thousand
/// payments in two days.
const SPANS_MOST: usize = 2_000;
/// A span that is not halved any more: Pull is asked by the second.
const SPAN_LEAST: Duration = Duration::from_secs(2);
/// Rows that share one commit. Almost all of them were booked by their callbacks and only add a piece of evidence; 16
/// hold the writer, for which callbacks wait, for no longer than a batch of callbacks does.
const TOGETHER: usize = 16;
/// Rows of one sweep that may fail before it is given up: by then it is not the rows.
const FAILED_MOST: usize = 10;

/// Why a sweep did not get through. It is tried again.
#[derive(Debug, Error)]
pub(crate) enum PullError {
    /// The controller stops.
    #[error("the controller stops")]
    Stopped,
    /// Daraja gave no answer.
    #[error("no answer from Daraja: {0}")]
    NoAnswer(String),
    /// Daraja gave an answer without rows.
    #[error(transparent)]
    NoPage(#[from] NoPage),
    /// A span has more pages than any real one.
    #[error("a part of the window has more than {PAGES_MOST} pages")]
    TooManyPages,
    /// The gateway gives so little at a time that it cannot be asked about all of the window.
    #[error("the window has more than {SPANS_MOST} parts")]
    TooManySpans,
    /// Rows could not be booked; each was logged.
    #[error("{0} payments could not be booked")]
    NotBooked(usize),
    /// The database refused.
    #[error(transparent)]
    Payment(#[from] PaymentError),
}

impl From<Reason> for PullError {
    fn from(reason: Reason) -> Self {
        Self::NoAnswer(reason.description)
    }
}

impl From<sqlx::Error> for PullError {
    fn from(error: sqlx::Error) -> Self {
        Self::Payment(PaymentError::Database(error))
    }
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Payments that were told of.
    pub(crate) rows: usize,
    /// Payments that were not booked before.
    pub(crate) booked: usize,
    /// Rows that were not understood.
    pub(crate) bad: usize,
    /// How many of them are new, and now kept for a person.
    pub(crate) kept: usize,
    /// Pull said that there is nothing, although callbacks told of payments.
    pub(crate) is_silent: bool,
    /// The window counts as swept.
    pub(crate) is_whole: bool,
}

/// A sweep under way.
#[derive(Debug, Default)]
struct Sweep {
    swept: Swept,
    seen: HashSet<ReceiptNumber>,
    bad: HashSet<String>,
    failed: usize,
    /// Rows of the largest page so far: one that has fewer is a whole one.
    largest_page: usize,
    /// Whether there are payments that cannot be asked for.
    is_cut: bool,
}

/// How much of a span was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Whole,
    /// A page, and the same page again where the next was asked for.
    Part,
}

/// What came of rows that shared a commit.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    booked: usize,
    failed: usize,
}

/// Sweeps, and remembers what it has swept.
#[derive(Debug)]
pub(crate) struct Sweeper {
    controller: Controller,
    daraja: Daraja,
    settings: PullSettings,
    progress: Progress,
    is_registered: bool,
    was_silent: bool,
}

impl Sweeper {
    pub(crate) fn new(controller: Controller, daraja: Daraja, settings: PullSettings) -> Self {
        let progress = Progress::default();
        Self { controller, daraja, settings, progress, is_registered: false, was_silent: false }
    }

    /// Asks for everything since the last sweep, and more, and takes it in.
    ///
    /// # Errors
    /// [`PullError`]; what was taken in until then is kept, and the same window is asked for again.
    pub(crate) async fn sweep(&mut self, stop: &mut Stop) -> Result<Swept, PullError> {
        if !self.is_registered {
            self.register(stop).await?;
        }
        let window = self.progress.next(self.controller.clock.now());
        let mut sweep = Sweep::default();
        // The oldest first; a span that is given in part only is asked about in halves.
        let mut spans = vec![(window.start, window.end)];
        for number in 0.. {
            let Some(span) = spans.pop() else { break };
            if number == SPANS_MOST {
                return Err(PullError::TooManySpans);
            }
            if self.sweep_span(span, &mut sweep, stop).await? == Given::Whole {
                continue;
            }
            match halves(span) {
                Some((earlier, later)) => spans.extend([later, earlier]),
                None => sweep.is_cut = true,
            }
        }
        let mut swept = sweep.swept;
        (swept.rows, swept.bad) = (sweep.seen.len(), sweep.bad.len());
        self.keep_bad(&sweep.bad, &mut swept).await?;
        if sweep.failed > 0 {
            return Err(PullError::NotBooked(sweep.failed));
        }
        if sweep.is_cut {
            tracing::error!(
                "Pull gives only a part of the payments of one second: take in the statement of the portal"
            );
        }
        swept.is_silent =
            sweep.seen.is_empty() && sweep.bad.is_empty() && self.is_suspicious(&window).await?;
        swept.is_whole = !swept.is_silent && !sweep.is_cut && swept.kept == 0;
        if swept.is_whole {
            self.progress.succeeded(&window);
            self.note_told(&window).await?;
        }
        Ok(swept)
    }

    /// The same, and notes how it ended for whoever looks how the short code does. That alone is no reason to fail.
    ///
    /// # Errors
    /// As [`Sweeper::sweep`].
    pub(crate) async fn sweep_and_note(&mut self, stop: &mut Stop) -> Result<Swept, PullError> {
        let swept = self.sweep(stop).await;
        let detail = swept.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let outcome = match &swept {
            Ok(swept) if swept.is_silent => SweepOutcome::Silent,
            Ok(swept) if swept.is_whole => SweepOutcome::Whole,
            Ok(_) => SweepOutcome::Part,
            Err(PullError::Stopped) => return swept,
            Err(_) => SweepOutcome::Failed,
        };
        let (told, booked) = swept.as_ref().map_or((0, 0), |swept| (swept.rows, swept.booked));
        if let Err(error) = self.note(Ended { outcome, told, booked, detail: &detail }).await {
            tracing::warn!("how a sweep of Pull ended is not noted: {error}");
        }
        swept
    }

    async fn note(&self, ended: Ended<'_>) -> Result<(), sqlx::Error> {
        let mut transaction = self.controller.database.write().await?;
        let short_code = self.daraja.settings().short_code();
        note_sweep(&mut transaction, short_code, ended, self.controller.clock.now()).await?;
        transaction.commit().await
    }

    /// Pull has told of all of a window but the newest of it, of which it may tell later.
    async fn note_told(&self, window: &Window) -> Result<(), PullError> {
        let span = ToldSpan { from: window.start, until: window.end.minus(LAG), balances: None };
        if span.from >= span.until {
            return Ok(());
        }
        let mut transaction = self.controller.database.write().await?;
        let of = (ToldBy::Pull, self.daraja.settings().short_code());
        closing::note_told(&mut transaction, of, span).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Asks as a sweep does and takes nothing in: how many payments the first page has, and whether that there are none is
    /// hard to believe.
    ///
    /// # Errors
    /// [`PullError`].
    pub(crate) async fn probe(&mut self, stop: &mut Stop) -> Result<(usize, bool), PullError> {
        self.register(stop).await?;
        let window = self.progress.next(self.controller.clock.now());
        let rows = self.page((window.start, window.end), 0, stop).await?.len();
        let is_silent = rows == 0 && self.is_suspicious(&window).await?;
        Ok((rows, is_silent))
    }

    /// Asks about one span page by page, until nothing new comes, and takes it in.
    async fn sweep_span(&self, span: Span, sweep: &mut Sweep, stop: &mut Stop) -> Result<Given, PullError> {
        let (mut seen, mut seen_bad) = (HashSet::new(), HashSet::new());
        let (mut offset, mut first_page) = (0_usize, 0_usize);
        for number in 0.. {
            if number == PAGES_MOST {
                return Err(PullError::TooManyPages);
            }
            let page = self.page(span, offset, stop).await?;
            let rows = page.len();
            if rows == 0 {
                break;
            }
            let mut is_news = false;
            for row in &page.rows {
                is_news |= seen.insert(row.receipt.clone());
            }
            for row in &page.bad {
                is_news |= seen_bad.insert(row.clone());
                sweep.bad.insert(row.clone());
            }
            if !is_news {
                // The same again, whatever the offset: of what fills a page nobody knows the rest.
                let is_whole = first_page < PAGE_ROWS_LEAST || first_page < sweep.largest_page;
                return Ok(if is_whole { Given::Whole } else { Given::Part });
            }
            if offset == 0 {
                first_page = rows;
                sweep.largest_page = sweep.largest_page.max(rows);
            }
            offset = offset.saturating_add(rows);
            self.take_in_page(page, sweep, stop).await?;
        }
        Ok(Given::Whole)
    }

    /// Keeps rows that are not understood for a person. The first time the window does not count as swept, so that it
    /// is asked for once more; a row that stays as it is must not hold up the others for two days.
    async fn keep_bad(&self, rows: &HashSet<String>, swept: &mut Swept) -> Result<(), PullError> {
        if rows.is_empty() {
            return Ok(());
        }
        let now = self.controller.clock.now();
        let short_code = self.daraja.settings().short_code();
        let mut transaction = self.controller.database.write().await?;
        for row in rows {
            if store::keep_bad_row(&mut transaction, short_code, row, now).await? {
                swept.kept = swept.kept.saturating_add(1);
            }
        }
        transaction.commit().await?;
        if swept.kept > 0 {
            tracing::error!(rows = swept.kept, "Pull told of payments in a form that is not understood");
        }
        Ok(())
    }

    /// Registers the short code for Pull; a second time changes nothing.
    async fn register(&mut self, stop: &mut Stop) -> Result<(), PullError> {
        let settings = self.daraja.settings();
        let body = json!({
            "ShortCode": settings.short_code(),
            "RequestType": "Pull",
            "NominatedNumber": self.settings.nominated_number.digits(),
            "CallBackURL": format!("{}{PULL_PATH}", settings.callback_base_url),
        });
        rows::of_registration(&self.ask(REGISTER_PATH, &body, stop).await?)?;
        self.is_registered = true;
        tracing::info!("the short code is registered for Pull Transactions");
        Ok(())
    }

    async fn page(&self, (start, end): Span, offset: usize, stop: &mut Stop) -> Result<Page, PullError> {
        let body = json!({
            "ShortCode": self.daraja.settings().short_code(),
            "StartDate": in_nairobi(start),
            "EndDate": in_nairobi(end),
            "OffSetValue": offset.to_string(),
        });
        Ok(rows::of_query(&self.ask(QUERY_PATH, &body, stop).await?)?)
    }

    async fn ask(&self, path: &str, body: &Value, stop: &mut Stop) -> Result<Vec<u8>, PullError> {
        tokio::select! {
            () = stop.requested() => Err(PullError::Stopped),
            answer = self.daraja.ask(path, body) => Ok(answer?),
        }
    }

    async fn take_in_page(&self, page: Page, sweep: &mut Sweep, stop: &Stop) -> Result<(), PullError> {
        let fresh: Vec<Incoming> =
            page.rows.into_iter().filter(|row| sweep.seen.insert(row.receipt.clone())).collect();
        for rows in fresh.chunks(TOGETHER) {
            if stop.is_requested() {
                return Err(PullError::Stopped);
            }
            let mut news = Vec::with_capacity(rows.len());
            {
                let mut connection = self.controller.database.read().await?;
                let short_code = self.daraja.settings().short_code();
                for row in rows {
                    let piece = (SOURCE, &*self.piece_of(row));
                    if !credit::is_told_by(&mut connection, &row.receipt, piece, short_code).await? {
                        news.push(row);
                    }
                }
            }
            if news.is_empty() {
                continue;
            }
            let taken_in = self.take_in(&news).await?;
            sweep.swept.booked = sweep.swept.booked.saturating_add(taken_in.booked);
            sweep.failed = sweep.failed.saturating_add(taken_in.failed);
            if sweep.failed >= FAILED_MOST {
                return Err(PullError::NotBooked(sweep.failed));
            }
        }
        Ok(())
    }

    /// The piece of evidence that a row is of its payment: that another short code was paid is another piece.
    fn piece_of(&self, row: &Incoming) -> String {
        format!("{} {}", row.receipt, self.daraja.settings().short_code())
    }

    /// Takes rows in, in one transaction: one that fails is rolled back alone.
    async fn take_in(&self, rows: &[&Incoming]) -> Result<Batch, PaymentError> {
        let mut batch = Batch::default();
        let mut taken = Vec::with_capacity(rows.len());
        let mut transaction = self.controller.database.write().await?;
        for row in rows {
            let mut savepoint = transaction.begin().await?;
            let now = self.controller.clock.now();
            let short_code = self.daraja.settings().short_code();
            let id = &*self.piece_of(row);
            let source =
                Source { short_code, name: SOURCE, id, received_at: now, is_kept: false, is_enough: true };
            match incoming::take_in(&mut savepoint, row, source, &self.controller.ids, now).await {
                Ok((taken_in, reason)) => {
                    savepoint.commit().await?;
                    batch.booked = batch.booked.saturating_add(usize::from(taken_in.payment.is_some()));
                    taken.push((row, taken_in, reason));
                }
                Err(error) => {
                    savepoint.rollback().await?;
                    batch.failed = batch.failed.saturating_add(1);
                    tracing::error!(receipt.number = %row.receipt, "a payment out of Pull cannot be booked: {error}");
                }
            }
        }
        transaction.commit().await?;
        for (row, taken_in, reason) in taken {
            self.announce(row, taken_in, reason);
        }
        Ok(batch)
    }

    /// After the commit: the log, the outbox, the open pages.
    fn announce(&self, row: &Incoming, taken_in: TakenIn, reason: Option<NoOwner>) {
        let outcome = &taken_in.outcome;
        if let Some(reason) = reason {
            tracing::warn!(receipt.number = %row.receipt, "a payment has no owner and waits in suspense: {reason}");
        } else if outcome.needs_a_person() {
            tracing::warn!(receipt.number = %row.receipt, "a payment out of Pull needs a person: {outcome}");
        } else if let Some(payment) = &taken_in.payment {
            tracing::info!(payment.id = %payment, "a payment that no callback told of is booked");
        }
        if taken_in.is_site_to_be_told {
            self.controller.live.ring_outbox();
        }
        for hint in taken_in.hints {
            self.controller.live.tell(hint);
        }
    }

    /// Whether "nothing" is hard to believe. `1001` also means that the short code is not set up for Pull, and would
    /// mean it for ever: so the window does not count as swept, and the short code is registered anew.
    async fn is_suspicious(&mut self, window: &Window) -> Result<bool, PullError> {
        let mut connection = self.controller.database.read().await?;
        let span = (window.start, window.end.minus(LAG));
        let short_code = self.daraja.settings().short_code();
        let is_silent = store::has_traffic(&mut connection, short_code, span, SOURCE).await?;
        if is_silent {
            self.is_registered = false;
            if !self.was_silent {
                tracing::warn!(
                    "Pull says that there were no payments, and callbacks told of some: \
                     is the C2B product on the Daraja app, and the short code registered for Pull?"
                );
            }
        }
        self.was_silent = is_silent;
        Ok(is_silent)
    }
}

type Span = (UnixMillis, UnixMillis);

/// The halves of a span, which share a second so that none falls between them; `None` when it is too short.
fn halves((start, end): Span) -> Option<(Span, Span)> {
    let span = end.since(start);
    if span <= SPAN_LEAST {
        return None;
    }
    let middle = start.plus(span / 2);
    Some(((start, middle.plus(Duration::from_secs(1))), (middle, end)))
}

/// `YYYY-MM-DD HH:MM:SS` in East Africa Time.
fn in_nairobi(at: UnixMillis) -> String {
    nairobi::written(at, "%Y-%m-%d %H:%M:%S")
}
