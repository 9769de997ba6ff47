//! Takes a statement in: reads it through once, then books row by row, the oldest first.
//!
//! Rows are booked many to a commit, each on its own savepoint, so that a row that fails holds up nothing, and an import
//! that is cut off keeps what it had: it is simply started again. What is known already is found by reading alone.

use std::collections::hash_map::Entry as Seen;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use sqlx::Connection as _;
use tawi_shared::UnixMillis;
use tawi_shared::ids::hex;
use thiserror::Error;

use super::file::{File, NotAStatement};
use super::row::{Movement, Out, OutKind, Row, What, Why};
use super::store;
use super::summary::{Balances, Summary, Tally};
use super::{NotOurs, short_code_of};
use crate::audit::{self, Action, Actor};
use crate::closing::{self, ToldBy};
use crate::database::{Connection, Together};
use crate::ids::RefundId;
use crate::ledger::{self, Account, Booked, Entry};
use crate::mpesa::MpesaSettings;
use crate::mpesa::c2b;
use crate::mpesa::evidence::ReceiptNumber;
use crate::mpesa::incoming::{self, Incoming, Source};
use crate::payments::credit::{self, TakenIn};
use crate::payments::{PaymentError, refunds, review};
use crate::state::Controller;

/// The source in the key of a piece of evidence.
pub(crate) const SOURCE: &str = "statement";
/// The kind of cause of a charge.
const CHARGE: &str = "mpesa_charge";
/// Rows that share one commit: as many as a sweep of Pull has, which leaves the writer to callbacks as often.
const TOGETHER: usize = 16;
/// The pause between two commits of a process beside the one that serves: SQLite's own waiters look again every 100 ms, and
/// the lock must be free for longer than that, or callbacks wait until they are refused.
pub const BESIDE_A_SERVER: Duration = Duration::from_millis(120);
/// Rows that may fail before the import is given up: by then it is not the rows.
const FAILED_MOST: usize = 10;
/// Rows that may be unread before the file is taken for another one than it seems, and nothing of it is taken in.
const UNREAD_MOST: usize = 1_000;

/// What to take in, and how.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The short code that somebody said; `None` for what the file and the settings say.
    pub short_code: Option<&'a str>,
    /// The settings of all short codes.
    pub ours: &'a [&'a MpesaSettings],
    /// Whether to say only what would come of it.
    pub is_dry_run: bool,
    /// Whether a file is taken of which rows are missing, by its own balances.
    pub accepts_gaps: bool,
    /// How long the writer is left alone between two commits: nothing within the process that serves, where writers queue
    /// in order, and [`BESIDE_A_SERVER`] anywhere else.
    pub pause: Duration,
    /// Who does it.
    pub actor: &'a Actor,
}

/// Why a statement was not taken in.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The file cannot be used. Nothing of it was taken in.
    #[error(transparent)]
    File(#[from] NotAStatement),
    /// It is somebody else's, or nobody knows whose. Nothing of it was taken in.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    /// It tells of money that is booked under another short code: it is that one's, or that one's was booked under this.
    /// Nothing of it was taken in.
    #[error(
        "line {line} tells of {receipt}, which is booked as money of {booked}, and the file would be taken in as the statement \
         of {short_code}: say --short-code {booked} if it is that one's; otherwise find out in M-Pesa's portal which of them \
         {receipt} is of"
    )]
    BookedUnderAnother {
        /// Where it stands.
        line: usize,
        /// Which transaction.
        receipt: ReceiptNumber,
        /// Under which short code it is booked.
        booked: String,
        /// Under which the file would be.
        short_code: String,
    },
    /// Too much of it is not understood. Nothing of it was taken in.
    #[error(
        "{0} of its rows are not understood, the first on line {1}: is it the portal's own export, not changed since?"
    )]
    Unread(usize, usize),
    /// Its dates have the month first, at least one for certain. Nothing of it was taken in.
    #[error(
        "line {0} has a date with the month first under Completion Time, so that no date of the file is certain: a table \
         program has changed it. Export the statement anew and take the file in as it comes"
    )]
    MonthFirst(usize),
    /// Its own balances say that rows are missing. Nothing of it was taken in.
    #[error(
        "rows are missing: KES {opening} and all that moved is not KES {closing}. Export the statement without a filter, or say \
         that gaps are accepted",
        opening = .0.opening, closing = .0.closing
    )]
    DoesNotAddUp(Balances),
    /// A row of it could not be read, and without it its balances do not add up. Nothing of it was taken in.
    #[error(
        "line {line} is not understood ({why}), so that KES {opening} and all that moved is not KES {closing}{others}. Export the \
         statement anew and take the file in as it comes, not saved by another program; or say that gaps are accepted: the row then \
         waits for a person, and all others are taken in",
        opening = balances.opening, closing = balances.closing, others = and_others(*.unread)
    )]
    Unreadable {
        /// Of the first such row.
        line: usize,
        /// What is wrong with it.
        why: String,
        /// How many such rows there are.
        unread: usize,
        /// What the file says of balances.
        balances: Balances,
    },
    /// Rows could not be booked; each was logged. What was taken in before stays.
    #[error("{0} rows could not be booked: see the log, and import the file again")]
    NotBooked(usize),
    /// The database refused. What was taken in before stays.
    #[error(transparent)]
    Payment(#[from] PaymentError),
}

impl ImportError {
    /// Whether it is the file, and not this controller.
    #[must_use]
    pub fn is_of_file(&self) -> bool {
        matches!(
            self,
            Self::File(_)
                | Self::NotOurs(_)
                | Self::BookedUnderAnother { .. }
                | Self::Unread(..)
                | Self::MonthFirst(_)
                | Self::DoesNotAddUp(_)
                | Self::Unreadable { .. }
        )
    }
}

/// How many rows there are beside the one that is named.
fn and_others(unread: usize) -> String {
    match unread.saturating_sub(1) {
        0 => String::new(),
        1 => " (one more row is not understood)".to_owned(),
        more => format!(" ({more} more rows are not understood)"),
    }
}

impl From<sqlx::Error> for ImportError {
    fn from(error: sqlx::Error) -> Self {
        Self::Payment(error.into())
    }
}

/// Whether a file can be used at all.
///
/// # Errors
/// [`ImportError`], of those of which [`ImportError::is_of_file`] is true.
pub fn check(bytes: &[u8], order: Order<'_>) -> Result<(), ImportError> {
    read_through(bytes, order).map(|_| ())
}

/// A file that was read to its end.
struct Through<'a> {
    file: File<'a>,
    short_code: String,
    tally: Tally,
    /// What its reversals may have taken back.
    reversed: HashSet<ReceiptNumber>,
}

/// Reads a file once, to its end: nothing is taken in of one that cannot be used.
fn read_through<'a>(bytes: &'a [u8], order: Order<'_>) -> Result<Through<'a>, ImportError> {
    let file = File::read(bytes)?;
    let short_code = short_code_of(file.short_code.as_deref(), order.short_code, order.ours)?;
    let mut seen = Repeats::default();
    let mut tally = Tally::default();
    let mut first_unread = None;
    let mut reversed = HashSet::new();
    for row in file.rows() {
        reversed.extend(row.reverses.iter().cloned());
        if let What::ForPerson(Why::MonthFirst(_)) = &row.what {
            return Err(ImportError::MonthFirst(row.line));
        }
        if let What::ForPerson(why) = &row.what
            && why.is_unread()
        {
            first_unread.get_or_insert_with(|| (row.line, why.to_string()));
        }
        // A row that stands twice has moved money once.
        if seen.note(&row) == Repeat::Same {
            tally.rows = tally.rows.saturating_add(1);
        } else {
            tally.take(&row);
        }
    }
    if tally.unread > UNREAD_MOST {
        return Err(ImportError::Unread(tally.unread, first_unread.map_or(0, |(line, _)| line)));
    }
    match tally.balances() {
        Some(balances) if !balances.adds_up && !order.accepts_gaps && !order.is_dry_run => {
            Err(match first_unread {
                Some((line, why)) => ImportError::Unreadable { line, why, unread: tally.unread, balances },
                None => ImportError::DoesNotAddUp(balances),
            })
        }
        _ => Ok(Through { file, short_code, tally, reversed }),
    }
}

/// Takes a statement in; `progress` hears how many rows of how many are done.
///
/// # Errors
/// [`ImportError`]. It is safe to try again.
pub async fn import(
    controller: &Controller,
    bytes: &[u8],
    order: Order<'_>,
    mut progress: impl FnMut(usize, usize) + Send,
) -> Result<Summary, ImportError> {
    let Through { file, short_code, tally, reversed } = read_through(bytes, order)?;
    refuse_of_another(controller, &file, &short_code, order).await?;
    let summary = Summary {
        short_code: short_code.clone(),
        rows: tally.rows,
        balances: tally.balances(),
        ..Summary::default()
    };
    let mut importer = Importer { controller, order, short_code, summary, reversed, taken: Vec::new() };
    let rows: Box<dyn Iterator<Item = Row> + Send + '_> =
        if tally.is_latest_first() { Box::new(file.rows().rev()) } else { Box::new(file.rows()) };
    importer.take_rows(rows, &mut progress).await?;
    let summary = importer.summary;
    if !order.is_dry_run {
        // A file of which rows are missing, or a row that failed, says nothing of what is not in it.
        if let Some(span) = tally.span().filter(|_| summary.failed == 0) {
            let mut transaction = controller.database.write().await?;
            let short_code = &summary.short_code;
            closing::note_told(&mut transaction, (ToldBy::Statement, short_code), span).await?;
            closing::note_balances(&mut transaction, short_code, &tally.days()).await?;
            transaction.commit().await?;
        }
        note(controller, order.actor, &summary).await?;
    }
    Ok(summary)
}

/// Refuses a file that tells of money which is booked under another short code. One that names no short code, taken in as that
/// of the wrong one, would be right in every figure and wrong in all of them.
async fn refuse_of_another(
    controller: &Controller,
    file: &File<'_>,
    short_code: &str,
    order: Order<'_>,
) -> Result<(), ImportError> {
    let is_one_by_settings =
        |other: &str| order.ours.iter().any(|one| one.is_called(short_code) && one.is_called(other));
    let mut connection = controller.database.read().await?;
    let mut rows = file.rows().peekable();
    while rows.peek().is_some() {
        let mut together = Together::default();
        let mut asked = Vec::with_capacity(TOGETHER);
        for row in rows.by_ref().take(TOGETHER) {
            match &row.what {
                What::Payment(payment) => {
                    store::ask_payee_of(&mut together, Some(&payment.receipt), ("", ""), short_code);
                }
                What::Out(out) => {
                    let (kind, id) = cause_of(out).0;
                    store::ask_payee_of(&mut together, None, (kind, &id), short_code);
                }
                _ => continue,
            }
            asked.push(row);
        }
        let mut answers = together.fetch(&mut connection).await?;
        for row in asked {
            let Some(booked) = store::answered_payee(&mut answers)? else { continue };
            let is_one = is_one_by_settings(&booked)
                || c2b::are_one_payee(&mut connection, &booked, short_code).await?;
            if let (false, Some(receipt)) = (is_one, row.receipt) {
                let (line, short_code) = (row.line, short_code.to_owned());
                return Err(ImportError::BookedUnderAnother { line, receipt, booked, short_code });
            }
        }
    }
    drop(connection);
    if !order.is_dry_run {
        c2b::note_tills(controller, order.ours).await?;
    }
    Ok(())
}

/// Leaves the row in the audit log.
async fn note(controller: &Controller, actor: &Actor, summary: &Summary) -> Result<(), ImportError> {
    let Controller { database, clock, ids, .. } = controller;
    let booked = [summary.payments_booked, summary.charges_booked, summary.settlements_booked];
    let [payments, charges, settlements] = booked;
    let detail = format!(
        "{} rows; newly booked: {payments} payments, {charges} charges, {settlements} to the bank; {} for a person",
        summary.rows, summary.for_review
    );
    tracing::info!(
        short_code = summary.short_code,
        rows = summary.rows,
        "a statement was taken in: {detail}"
    );
    let mut transaction = database.write().await?;
    let act = (Action::StatementImported, summary.short_code.as_str(), detail.as_str());
    audit::record(&mut transaction, actor, act, ids, clock.now()).await.map_err(PaymentError::from)?;
    transaction.commit().await?;
    Ok(())
}

/// What came of one row, to be counted once it is committed.
enum Done {
    Payment { is_new: bool, is_owned: bool, waits: bool },
    Out(OutKind, bool),
    NoEffect,
    ForPerson { waits: bool },
}

struct Importer<'a> {
    controller: &'a Controller,
    order: Order<'a>,
    short_code: String,
    summary: Summary,
    reversed: HashSet<ReceiptNumber>,
    /// What has to be told after the commit.
    taken: Vec<TakenIn>,
}

impl Importer<'_> {
    async fn take_rows(
        &mut self,
        rows: impl Iterator<Item = Row> + Send,
        progress: &mut (impl FnMut(usize, usize) + Send),
    ) -> Result<(), ImportError> {
        let mut seen = Repeats::default();
        let mut batch = Vec::with_capacity(TOGETHER);
        let mut done = 0_usize;
        for mut row in rows {
            match seen.note(&row) {
                Repeat::First => {}
                Repeat::Same => row.what = What::NoMoney,
                Repeat::Other => row.what = What::ForPerson(Why::Twice),
            }
            batch.push(row);
            if batch.len() >= TOGETHER {
                done = done.saturating_add(batch.len());
                self.take_batch(std::mem::take(&mut batch)).await?;
                progress(done, self.summary.rows);
            }
        }
        self.take_batch(batch).await?;
        progress(self.summary.rows, self.summary.rows);
        Ok(())
    }

    async fn take_batch(&mut self, batch: Vec<Row>) -> Result<(), ImportError> {
        let mut news = Vec::with_capacity(batch.len());
        {
            let mut connection = self.controller.database.read().await?;
            for mut row in batch {
                match self.known(&mut connection, &mut row).await? {
                    Some(done) => self.count(&done),
                    None if self.order.is_dry_run => {
                        let done = self.foresee(&mut connection, &row).await?;
                        self.count(&done);
                    }
                    None => news.push(row),
                }
            }
        }
        if news.is_empty() { Ok(()) } else { self.take_in(&news).await }
    }

    /// What is known of a row already; `None` when it has to be taken in.
    async fn known(&self, connection: &mut Connection, row: &mut Row) -> Result<Option<Done>, PaymentError> {
        if let What::Out(out) = &row.what {
            match known_out(connection, &self.short_code, out).await? {
                KnownOut::Unknown => return Ok(None),
                KnownOut::Booked => return Ok(Some(Done::Out(out.kind, false))),
                KnownOut::Otherwise(why) => row.what = What::ForPerson(why),
            }
        }
        if let Some((_, is_stated)) = self.refund_of(connection, row).await? {
            return Ok((is_stated || self.order.is_dry_run).then_some(Done::NoEffect));
        }
        if let What::Payment(payment) = &row.what
            && self.reversed.contains(&payment.receipt)
            // One that is closed is known, and went back or is in parts.
            && credit::booked(connection, &payment.receipt)
                .await?
                .is_none_or(|booked| booked.customer.is_none() && booked.closed.is_none())
        {
            row.what = What::ForPerson(Why::Reversed);
        }
        Ok(match &row.what {
            What::Payment(payment) => {
                let piece = (SOURCE, piece_of(payment));
                let waits = credit::piece_waits(connection, &payment.receipt, (piece.0, &piece.1)).await?;
                waits.map(|waits| Done::Payment { is_new: false, is_owned: true, waits })
            }
            What::ForPerson(_) => match store::row_waits(connection, &self.digest(row)).await? {
                Some(waits) => Some(Done::ForPerson { waits }),
                // It is beside another of the same transaction, and not that in other words.
                None if matches!(row.what, What::ForPerson(Why::Twice)) => None,
                None => self.other_form(connection, row).await?,
            },
            What::Out(_) => None,
            What::Within | What::NotCompleted | What::NoMoney => Some(Done::NoEffect),
        })
    }

    /// The refund that a row tells of, money that went back as we asked, and whether that is known: nothing is left to book of
    /// it.
    async fn refund_of(
        &self,
        connection: &mut Connection,
        row: &Row,
    ) -> Result<Option<(RefundId, bool)>, PaymentError> {
        let What::ForPerson(Why::Reversal | Why::Kind) = &row.what else { return Ok(None) };
        let gone = row.movement.and_then(|movement| movement.amount.checked_neg());
        let Some(gone) = gone.filter(|gone| gone.is_positive()) else { return Ok(None) };
        for receipt in row.reverses.iter().chain(&row.receipt) {
            let found = refunds::stated(connection, &self.short_code, (receipt.as_str(), gone)).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// What is known of a row as another form of the export wrote it: an owner booked it, or it waits for one already.
    async fn other_form(&self, connection: &mut Connection, row: &Row) -> Result<Option<Done>, PaymentError> {
        let (Some(receipt), Some(movement)) = (&row.receipt, row.movement) else { return Ok(None) };
        let of = (self.short_code.as_str(), receipt.as_str());
        let found = review::other_form(connection, of, movement.amount).await?;
        Ok(found.map(|(is_settled, waits)| match is_settled {
            true => Done::NoEffect,
            false => Done::ForPerson { waits },
        }))
    }

    /// What would come of a row.
    async fn foresee(&self, connection: &mut Connection, row: &Row) -> Result<Done, PaymentError> {
        let now = self.controller.clock.now();
        Ok(match &row.what {
            What::Payment(payment) => match credit::booked_amount(connection, &payment.receipt).await? {
                Some(booked) => {
                    Done::Payment { is_new: false, is_owned: true, waits: booked != payment.amount }
                }
                None => {
                    let nobody =
                        incoming::reason_for_nobody(connection, payment, &self.short_code, now).await?;
                    Done::Payment { is_new: true, is_owned: nobody.is_none(), waits: nobody.is_none() }
                }
            },
            What::Out(out) => Done::Out(out.kind, true),
            What::ForPerson(_) => Done::ForPerson { waits: true },
            What::Within | What::NotCompleted | What::NoMoney => Done::NoEffect,
        })
    }

    /// Takes rows in, in one transaction: one that fails is rolled back alone.
    async fn take_in(&mut self, rows: &[Row]) -> Result<(), ImportError> {
        let mut all = Vec::with_capacity(rows.len());
        let mut transaction = self.controller.database.write().await?;
        for row in rows {
            let mut savepoint = transaction.begin().await?;
            let now = self.controller.clock.now();
            match self.take_row(&mut savepoint, row, now).await {
                Ok(done) => {
                    savepoint.commit().await?;
                    all.push(done);
                }
                Err(error) => {
                    savepoint.rollback().await?;
                    self.summary.failed = self.summary.failed.saturating_add(1);
                    tracing::error!(line = row.line, "a row of a statement cannot be booked: {error}");
                }
            }
        }
        transaction.commit().await?;
        for done in all {
            self.count(&done);
        }
        self.announce();
        tokio::time::sleep(self.order.pause).await;
        if self.summary.failed >= FAILED_MOST {
            return Err(ImportError::NotBooked(self.summary.failed));
        }
        Ok(())
    }

    async fn take_row(
        &mut self,
        connection: &mut Connection,
        row: &Row,
        now: UnixMillis,
    ) -> Result<Done, PaymentError> {
        let ids = &self.controller.ids;
        if let Some((refund, _)) = self.refund_of(connection, row).await? {
            let at = row.movement.and_then(|movement| movement.at).map(|at| at.probably);
            refunds::note_stated(connection, &refund, at).await?;
            // It may have been kept for a person while M-Pesa had not answered yet.
            store::settle_refund(connection, &self.digest(row)).await?;
            return Ok(Done::NoEffect);
        }
        Ok(match &row.what {
            What::Payment(payment) => {
                let id = piece_of(payment);
                let source = Source {
                    short_code: &self.short_code,
                    name: SOURCE,
                    id: &id,
                    received_at: now,
                    is_kept: false,
                    is_enough: false,
                };
                let (taken_in, nobody) = incoming::take_in(connection, payment, source, ids, now).await?;
                let waits = taken_in.outcome.needs_a_person();
                let is_new = taken_in.payment.is_some();
                self.taken.push(taken_in);
                Done::Payment { is_new, is_owned: nobody.is_none(), waits }
            }
            What::Out(out) => {
                // Looked at again, now that nobody else writes: a row before it, or another import, may have booked it.
                match known_out(connection, &self.short_code, out).await? {
                    KnownOut::Unknown => {
                        let entry = self.entry_of(out)?;
                        let booked = ledger::book(connection, &entry, ids, now).await?;
                        let of = (self.short_code.as_str(), out.kind);
                        let moved_at = row.movement.and_then(|movement| movement.at).map(|at| at.probably);
                        let cause = (entry.cause_kind, entry.cause_id.as_str());
                        store::note_outgoing(connection, cause, of, (out.amount, moved_at)).await?;
                        Done::Out(out.kind, booked != Booked::AlreadyBooked)
                    }
                    KnownOut::Booked => Done::Out(out.kind, false),
                    KnownOut::Otherwise(why) => self.keep(connection, row, &why, now).await?,
                }
            }
            What::ForPerson(why) => self.keep(connection, row, why, now).await?,
            What::Within | What::NotCompleted | What::NoMoney => Done::NoEffect,
        })
    }

    async fn keep(
        &self,
        connection: &mut Connection,
        row: &Row,
        why: &Why,
        now: UnixMillis,
    ) -> Result<Done, PaymentError> {
        let digest = self.digest(row);
        store::keep_row(connection, (&digest, &self.short_code), row, why, now).await?;
        Ok(Done::ForPerson { waits: true })
    }

    fn entry_of(&self, out: &Out) -> Result<Entry, PaymentError> {
        let (cause, into) = cause_of(out);
        let memo = match out.kind {
            OutKind::Charge => format!("M-Pesa charge {}", out.receipt),
            OutKind::Settlement => format!("M-Pesa to bank {}", out.receipt),
        };
        let accounts = (into, Account::MpesaClearing(self.short_code.clone()));
        let entry = Entry::transfer(cause, &self.order.actor.to_string(), &memo, accounts, out.amount);
        Ok(entry.map_err(ledger::LedgerError::Unbalanced)?)
    }

    /// What makes a row that row: what it says, and of whom.
    fn digest(&self, row: &Row) -> String {
        sha256(&[&self.short_code, &row.text])
    }

    fn count(&mut self, done: &Done) {
        let summary = &mut self.summary;
        match done {
            Done::Payment { is_new, is_owned, waits } => {
                more(if *is_new { &mut summary.payments_booked } else { &mut summary.payments_known }, true);
                more(&mut summary.without_owner, !is_owned);
                more(&mut summary.for_review, *waits);
            }
            Done::Out(OutKind::Charge, true) => more(&mut summary.charges_booked, true),
            Done::Out(OutKind::Charge, false) => more(&mut summary.charges_known, true),
            Done::Out(OutKind::Settlement, true) => more(&mut summary.settlements_booked, true),
            Done::Out(OutKind::Settlement, false) => more(&mut summary.settlements_known, true),
            Done::NoEffect => more(&mut summary.without_effect, true),
            Done::ForPerson { waits: true } => more(&mut summary.for_review, true),
            Done::ForPerson { waits: false } => more(&mut summary.looked_at, true),
        }
    }

    /// After the commit: the outbox, the open pages.
    fn announce(&mut self) {
        for taken_in in self.taken.drain(..) {
            if taken_in.is_site_to_be_told {
                self.controller.live.ring_outbox();
            }
            for hint in taken_in.hints {
                self.controller.live.tell(hint);
            }
        }
    }
}

fn more(count: &mut usize, is_so: bool) {
    *count = count.saturating_add(usize::from(is_so));
}

/// The piece of evidence that a row is of its payment: another amount is another piece, and is looked at.
fn piece_of(payment: &Incoming) -> String {
    format!("{} {}", payment.receipt, payment.amount.cents())
}

/// What is known of money that left.
enum KnownOut {
    Unknown,
    Booked,
    Otherwise(Why),
}

async fn known_out(
    connection: &mut Connection,
    short_code: &str,
    out: &Out,
) -> Result<KnownOut, PaymentError> {
    // An owner may have said what it is while no rule knew it.
    let of = (short_code, out.receipt.as_str());
    if let Some(moved) = out.amount.checked_neg()
        && review::is_settled(connection, of, moved).await?
    {
        return Ok(KnownOut::Booked);
    }
    let (cause, account) = cause_of(out);
    match ledger::booked_on(connection, (cause.0, &cause.1), &account).await? {
        Some(booked) if booked == out.amount => return Ok(KnownOut::Booked),
        Some(booked) => return Ok(KnownOut::Otherwise(Why::BookedOtherwise(booked))),
        None => {}
    }
    // The other kind. What a transfer costs may have its number, and never its amount.
    let (kind, booked) = match out.kind {
        OutKind::Charge => {
            let (cause, account) = cause_of(&Out { kind: OutKind::Settlement, ..out.clone() });
            let booked = ledger::booked_on(connection, (cause.0, &cause.1), &account).await?;
            (OutKind::Settlement, booked == Some(out.amount))
        }
        OutKind::Settlement => {
            let begin = format!("{}:", out.receipt);
            let what = ((CHARGE, begin.as_str()), &Account::MpesaCharges, out.amount);
            (OutKind::Charge, ledger::is_any_booked(connection, what).await?)
        }
    };
    Ok(if booked { KnownOut::Otherwise(Why::BookedAs(kind)) } else { KnownOut::Unknown })
}

/// The fact that is booked, and where the money went. A charge may have the receipt number of the payment that it is for, so
/// that its details are part of what makes it that charge. A transfer has a number of its own, and its details differ from
/// one form of the export to another.
fn cause_of(out: &Out) -> ((&'static str, String), Account) {
    match out.kind {
        OutKind::Charge => {
            let words: Vec<&str> = out.details.split_whitespace().collect();
            let key = format!("{}:{}", out.receipt, sha256(&[&words.join(" ").to_lowercase()]));
            ((CHARGE, key), Account::MpesaCharges)
        }
        OutKind::Settlement => (("mpesa_settlement", out.receipt.to_string()), Account::Bank),
    }
}

fn sha256(parts: &[&str]) -> String {
    hex(digest(&SHA256, parts.join("\n").as_bytes()).as_ref())
}

/// Whether a transaction stood before in the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    First,
    /// The same row again, as an export of several pages may have it.
    Same,
    /// The same transaction with another amount, or another balance after it.
    Other,
}

/// The transactions of a file so far.
#[derive(Default)]
struct Repeats {
    seen: HashMap<(&'static str, String), Movement>,
}

impl Repeats {
    fn note(&mut self, row: &Row) -> Repeat {
        let key = match &row.what {
            What::Payment(payment) => ("payment", payment.receipt.to_string()),
            What::Out(out) => cause_of(out).0,
            _ => return Repeat::First,
        };
        let Some(movement) = row.movement else { return Repeat::First };
        match self.seen.entry(key) {
            Seen::Vacant(entry) => {
                entry.insert(movement);
                Repeat::First
            }
            Seen::Occupied(entry) if *entry.get() == movement => Repeat::Same,
            Seen::Occupied(_) => Repeat::Other,
        }
    }
}
