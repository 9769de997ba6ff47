//! What must hold between the controller's books and [`Books`], which know nothing of each other.
//!
//! ```text
//!   wallets + suspense + held for refunds + earned − written off  =  with Safaricom + drawers + bank
//!                                                                 =  receipts + what was brought − what went back or was undone
//! ```
//! Each account is compared with its own sum, and each customer's and each payment's money by itself, so that two mistakes
//! do not hide each other.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use tawi_controller::closing::{self, Day, Difference, Kind, proof};
use tawi_controller::database::Connection;
use tawi_controller::ids::{CustomerId, LineId};
use tawi_controller::ledger::{self, Account, StatementLine};
use tawi_controller::payments::{self, PaymentRow, Provider, counter};
use tawi_controller::{quota, subscriptions};
use tawi_shared::UnixMillis;

use super::books::{Books, Standing, Totals};
use super::house::{House, PLANS, PRICES, Payer, START, TOP_UP_PRICE};
use super::paid_time::{self, Moved};
use super::safaricom::{self, Fate, SHORT_CODE, Truth};
use super::site::Site;

/// Kinds of entries on a wallet that are purchases, and what takes them back.
const PURCHASES: [&str; 5] = ["period", "release", "renewal", "returned", "wallet"];
const TOP_UP: &str = "top_up";
const TAKEN_BACK: &str = "purchase_reversal";
const WRITTEN_OFF: &str = "write_off";
/// What was used with another's money, or goes back all the same; and where the refund came to nothing.
const USED_TIME: &str = "used_time";
const USED_AGAIN: &str = "used_time_again";
const USED_RETURNED: &str = "used_time_returned";
/// More lines than any wallet here has.
const ALL: u32 = 1_000_000;

/// Compares everything; how many cents of time were used with another's money, in all.
///
/// # Errors
/// When something does not hold: which, and by how much.
pub async fn hold(house: &House, (books, site): (&Books, &Site), payers: &[Payer]) -> anyhow::Result<i64> {
    let mut read = house.controller.database.read().await?;
    let trial = ledger::trial_balance(&mut read).await?.cents();
    ensure!(trial == 0, "the trial balance is {trial} cents");
    let mut balance = async |account: Account| -> anyhow::Result<i64> {
        Ok(ledger::balance_of(&mut read, &account).await?.cents())
    };
    let mut totals = Totals {
        clearing: balance(Account::MpesaClearing(SHORT_CODE.to_owned())).await?,
        counter: balance(Account::Bank).await?,
        charges: balance(Account::MpesaCharges).await?,
        suspense: -balance(Account::Suspense).await?,
        held: -balance(Account::RefundsHeld).await?,
        written_off: balance(Account::WriteOffs).await?,
    };
    for drawer in counter::drawers(&mut read).await? {
        totals.counter += drawer.holds.cents();
    }
    let mut used = 0;
    for (index, payer) in payers.iter().enumerate() {
        let theirs = wallet_holds(house, (books, site), (index, payer)).await;
        used += theirs.with_context(|| format!("customer {index}"))?;
    }
    totals.written_off -= used;
    let expected = books.totals();
    ensure!(totals == expected, "the accounts have {totals:?}, and it should be {expected:?}");
    payments_hold(house, books, payers).await?;
    let proof = proof::prove(&mut read, house.controller.clock.now()).await?;
    ensure!(proof.findings.is_empty(), "the proof finds: {:?}", proof.findings);
    Ok(used)
}

/// A wallet is what its customer was given, less what they bought; how much of that they used with another's money.
async fn wallet_holds(
    house: &House,
    (books, site): (&Books, &Site),
    (index, payer): (usize, &Payer),
) -> anyhow::Result<i64> {
    let mut read = house.controller.database.read().await?;
    let customer = CustomerId::parse(&payer.id)?;
    let wallet = ledger::wallet_of(&mut read, &customer).await?.cents();
    let lines = ledger::statement_of(&mut read, &customer, (ALL, 0)).await?;
    let (mut given, mut bought, mut written_off, mut used) = (0, 0, 0, 0);
    let (mut returned, mut again) = (0, 0);
    let amounts = books.amounts();
    for line in &lines {
        let cents = line.amount.cents();
        match line.cause_kind.as_str() {
            kind if PURCHASES.contains(&kind) => {
                let is_price = PRICES.iter().any(|price| cents == -price * 100);
                ensure!(is_price, "a {kind} costs {} cents", -cents);
                bought -= cents;
            }
            TOP_UP => {
                ensure!(cents == -TOP_UP_PRICE * 100, "a top-up costs {} cents", -cents);
                bought -= cents;
            }
            TAKEN_BACK => {
                ensure!(cents > 0 && cents <= PRICES[0] * 100, "{cents} cents were taken back");
                bought -= cents;
            }
            WRITTEN_OFF => written_off += cents,
            USED_RETURNED => {
                ensure!(cents < 0, "{cents} cents of used time are paid after all");
                returned -= cents;
                used += cents;
            }
            kind @ (USED_TIME | USED_AGAIN) => {
                // Never more than the payment with which it was used.
                let name = line.memo.split(',').next().unwrap_or_default();
                let paid = amounts.get(name).copied();
                ensure!(
                    cents > 0 && paid.is_none_or(|paid| cents <= paid),
                    "{cents} cents were used with another's {paid:?} cents of {name}"
                );
                again += if kind == USED_AGAIN { cents } else { 0 };
                used += cents;
            }
            _ => given += cents,
        }
    }
    ensure!(used >= 0, "more used time is paid after all than was written off: {} cents", -used);
    let expected = books.used_returned(index);
    ensure!(
        (returned, again) == expected,
        "{returned} cents of used time are paid after refunds that came to nothing, and {again} are not after all; it should be \
         {expected:?}"
    );
    let expected = books.given_to(index);
    ensure!(given == expected, "was given {given} cents, and it should be {expected}");
    ensure!(bought >= 0, "more was taken back than was ever bought: {} cents", -bought);
    let sum = given - bought + written_off + used;
    ensure!(wallet == sum, "the wallet has {wallet} of {given} - {bought} + {written_off} + {used} cents");
    let expected = books.written_off.get(index).copied().unwrap_or(0);
    ensure!(written_off == expected, "{written_off} cents are written off, and it should be {expected}");
    let may_owe = books.was_taken_from.get(index).copied().unwrap_or(false);
    ensure!(wallet >= 0 || may_owe, "the wallet has {wallet} cents, and nothing was taken from it");
    let (ahead, slack) = time_holds(house, site, payer, &lines).await?;
    // Nobody is let off more than they used up.
    ensure!(
        used <= bought - ahead + slack,
        "{used} cents of used time are written off, and {bought} were bought, of which {ahead} are not used yet"
    );
    Ok(used)
}

/// Each line is paid for as long as its wallet's purchases say, less what was given back of them; what is ahead of it, in
/// cents, and by how much that may be off.
async fn time_holds(
    house: &House,
    site: &Site,
    payer: &Payer,
    lines: &[StatementLine],
) -> anyhow::Result<(i64, i64)> {
    let (mut ahead, mut slack) = (0, 0);
    let mut read = house.controller.database.read().await?;
    let now = house.controller.clock.now();
    for (line, plan) in payer.lines.iter().zip(&payer.plans) {
        let (name, sold) = PLANS.get(*plan).copied().context("a plan")?;
        let begin = format!("{name}, ");
        let of_line = |one: &&StatementLine| match one.cause_kind.as_str() {
            kind if PURCHASES.contains(&kind) => one.memo == name,
            TAKEN_BACK => one.memo.starts_with(&begin),
            _ => false,
        };
        let mut moved: Vec<Moved> =
            lines.iter().filter(of_line).map(|one| Moved { at: one.at, cents: one.amount.cents() }).collect();
        let line_now = subscriptions::get(&mut read, &LineId::parse(line)?).await?.context("a line")?;
        let until = line_now.paid_until;
        // What waits for the site has not begun.
        let left = time_from(&mut read, &line_now.id, line_now.waits_since.unwrap_or(now).min(now)).await?;
        let had = site.had(line) + left;
        let due = paid_time::bought(sold, &moved);
        // Whatever the site did: what was paid for and not given back was had, or is still to be.
        ensure!(
            had >= due.until - due.slack,
            "the line of {name} had {had} ms with {left} ms ahead, and its money says {due:?} at {}: {moved:?}",
            now.0
        );
        let paid = if site.wanders {
            due
        } else {
            let paid = paid_time::replay(sold, &mut moved).map_err(anyhow::Error::msg)?;
            ensure!(
                paid.is(until, now),
                "the line of {name} is paid until {until:?}, and its money says {paid:?} at {}: {moved:?}",
                now.0
            );
            paid
        };
        ahead += sold.cents_of(left);
        slack += sold.cents_of(paid.slack) + sold.cents_of(sold.lasts) / 100;
    }
    Ok((ahead, slack))
}

/// How much of a line's periods is behind an instant, in milliseconds: between two that wait for the site there may be a gap.
async fn time_from(read: &mut Connection, line: &LineId, from: UnixMillis) -> anyhow::Result<i64> {
    let (mut from, mut sum) = (from, 0);
    loop {
        let told = quota::periods_of(read, line, from).await?;
        let behind: Vec<_> = told.iter().filter(|period| period.ends_at > from).collect();
        let Some(last) = behind.last() else { return Ok(sum) };
        sum += behind.iter().map(|one| one.ends_at.0 - one.started_at.max(from).0).sum::<i64>();
        from = last.ends_at;
    }
}

/// How much used time was written off for a customer in all.
///
/// # Errors
/// When the database refuses.
pub async fn used_time_of(house: &House, payer: &Payer) -> anyhow::Result<i64> {
    let mut read = house.controller.database.read().await?;
    let customer = CustomerId::parse(&payer.id)?;
    let lines = ledger::statement_of(&mut read, &customer, (ALL, 0)).await?;
    Ok(lines.iter().filter(|line| line.cause_kind == USED_TIME).map(|line| line.amount.cents()).sum())
}

/// How many entries of which kind a customer's wallet has.
///
/// # Errors
/// When the database refuses.
pub async fn booked_kinds(house: &House, payer: &Payer) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut read = house.controller.database.read().await?;
    let customer = CustomerId::parse(&payer.id)?;
    let mut kinds = BTreeMap::new();
    for line in ledger::statement_of(&mut read, &customer, (ALL, 0)).await? {
        *kinds.entry(line.cause_kind).or_default() += 1;
    }
    Ok(kinds)
}

/// Every payment is there once, with its amount, in its place; none is there that nobody paid; receipts have no gap.
async fn payments_hold(house: &House, books: &Books, payers: &[Payer]) -> anyhow::Result<()> {
    let mut read = house.controller.database.read().await?;
    let rows = payments::recent_payments(&mut read, ALL).await?;
    let mut serials: Vec<i64> = rows.iter().map(|row| row.payment.serial).collect();
    serials.sort_unstable();
    for (expected, serial) in (1..).zip(&serials) {
        ensure!(expected == *serial, "our receipt {expected} is followed by {serial}");
    }
    let mut by_id = BTreeMap::new();
    let mut by_number = BTreeMap::new();
    for row in &rows {
        ensure!(by_id.insert(row.payment.id.as_str(), row).is_none(), "{} twice", row.payment.id);
        if row.payment.part_of.is_none() && row.payment.provider == Provider::Mpesa {
            let twice = by_number.insert(row.payment.receipt_number.as_str(), row);
            ensure!(twice.is_none(), "receipt {} is booked twice", row.payment.receipt_number);
        }
    }
    for unit in &books.units {
        let found: Option<&&PaymentRow> = match (&unit.id, &unit.number) {
            (_, Some(number)) if unit.is_mpesa => by_number.get(number.as_str()),
            (Some(id), _) => by_id.get(id.as_str()),
            (None, _) => bail!("a unit without a name: {unit:?}"),
        };
        let payment = &found.with_context(|| format!("not booked: {unit:?}"))?.payment;
        ensure!(payment.amount.cents() == unit.cents, "{unit:?} is booked as {payment:?}");
        let closed = payment.closed.map_or("", |closed| closed.as_str());
        ensure!(closed == unit.closed, "{unit:?} is booked as {payment:?}");
        if !closed.is_empty() {
            continue;
        }
        let owner = payment.customer.as_ref().map(CustomerId::as_str);
        let expected = unit.owner.and_then(|owner| payers.get(owner)).map(|payer| payer.id.as_str());
        ensure!(owner == expected, "{unit:?} is booked as {payment:?}");
    }
    ensure!(
        rows.len() == books.units.len(),
        "{} payments, and it should be {}",
        rows.len(),
        books.units.len()
    );
    Ok(())
}

/// What M-Pesa gave back, and a person says that it did not: its rows of the statement are then for a person. `refund_of` says
/// which of the books' refunds is which of M-Pesa's.
fn thought_ours<'a>(
    (books, refund_of): (&'a Books, &'a BTreeMap<usize, usize>),
    truth: &'a Truth,
) -> impl Iterator<Item = &'a safaricom::Refund> {
    let is_gone = |theirs: &usize| {
        let ours = refund_of.get(theirs).and_then(|ours| books.refunds.get(*ours));
        ours.is_some_and(|ours| ours.standing == Standing::Gone)
    };
    let went = truth.refunds.iter().enumerate().filter(|(_, refund)| refund.went_through);
    went.filter(move |(theirs, _)| !is_gone(theirs)).map(|(_, refund)| refund)
}

/// What must hold when everything was told: no request waits, each that was paid has its receipt, and no day has a difference
/// but money of which really nobody knows whose it is.
///
/// # Errors
/// When something does not hold.
pub async fn end(
    house: &House,
    (books, refund_of): (&Books, &BTreeMap<usize, usize>),
    payers: &[Payer],
    truth: &Truth,
) -> anyhow::Result<()> {
    let mut read = house.controller.database.read().await?;
    for payer in payers {
        let customer = CustomerId::parse(&payer.id)?;
        for intent in payments::latest_intents_of(&mut read, &customer, ALL).await? {
            if intent.is_open() {
                let checkout = intent.checkout.as_ref().map(ToString::to_string).unwrap_or_default();
                let prompt = truth.prompts.iter().find(|prompt| prompt.checkout == checkout);
                let receipt = prompt.and_then(|prompt| match prompt.fate {
                    Fate::Paid(receipt) => truth.receipts.get(receipt),
                    _ => None,
                });
                let unit = receipt.and_then(|receipt| {
                    books
                        .units
                        .iter()
                        .find(|unit| unit.is_mpesa && unit.number.as_ref() == Some(&receipt.number))
                });
                bail!(
                    "request {} of {} waits for ever: {:?}; its receipt is {receipt:?}, in the books as {unit:?}",
                    intent.id,
                    intent.created_at.0,
                    intent.state
                );
            }
        }
    }
    let nobodys = books.units.iter().filter(|unit| unit.owner.is_none() && unit.closed.is_empty()).count();
    let ours: Vec<_> = thought_ours((books, refund_of), truth).collect();
    let is_thought_ours = |difference: &Difference| match difference.kind {
        // By as much as those moved, whenever that was.
        Kind::Balance => !ours.is_empty(),
        Kind::NotInStatement | Kind::NotBooked | Kind::LookedAtNotBooked => ours.iter().any(|refund| {
            refund.number == difference.receipt || refund.receipt.as_ref() == Some(&difference.receipt)
        }),
        _ => false,
    };
    let mut found = 0;
    let mut day = Day::of(house.controller.clock.now());
    while day >= Day::of(START) {
        let close = closing::close(&mut read, day, SHORT_CODE).await?;
        for difference in close.differences {
            if is_thought_ours(&difference) {
                continue;
            }
            ensure!(difference.kind == Kind::Nobodys, "{day}: {difference:?}");
            found += 1;
        }
        day = day.before();
    }
    ensure!(found <= nobodys, "{found} payments are nobody's, and it should be {nobodys}");
    Ok(())
}
