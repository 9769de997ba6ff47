//! Carries out a sheet that a person has confirmed, within one transaction: customers, subscriptions, desired state, and
//! one command a row. A line that was entered under another name, and that its site was never told of, takes the row's.
//!
//! The site hears of the lines before it hears of the commands; until then the rows stay as they are, and the agent makes
//! no second one of the same name. What is done with a row is the agent's business.

use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::CommandKind;
use thiserror::Error;

use super::sheet::{Entry, Sheet, Whose, address_of};
use super::{ForeignRow, KnownLine, store};
use crate::audit::{self, Action, Actor};
use crate::commands::{self, NewCommand, SHEET_LASTS};
use crate::customers::{self, CustomerError, NewCustomer};
use crate::database::{Connection, Together};
use crate::entitlements::Period;
use crate::ids::{CustomerId, IdSource, LineId};
use crate::quota;
use crate::sites::Router;
use crate::subscriptions::credentials::Password;
use crate::subscriptions::device::CallerId;
use crate::subscriptions::editing::{self, AsRow, TookRow};
use crate::subscriptions::{self, Created, NewSubscription, Subscription, SubscriptionError};
use crate::web::display;

/// Periods that time which is paid for already is cut into: three years of days. What is paid for longer ahead is all in
/// the first.
const PERIODS: usize = 1_096;

/// Why a sheet cannot be carried out.
#[derive(Debug, Error)]
pub enum AdoptionError {
    /// The database refused.
    #[error("rows of others: {0}")]
    Database(#[from] sqlx::Error),
    /// A customer cannot be entered.
    #[error(transparent)]
    Customers(#[from] CustomerError),
    /// A subscription cannot be entered.
    #[error(transparent)]
    Subscriptions(#[from] SubscriptionError),
}

/// What became of a sheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The lines are entered and the commands queued: ring the outbox after the commit.
    TakenOver(Vec<LineId>),
    /// Something stands against it; roll back.
    Refused(String),
}

/// Who does it, and when.
#[derive(Clone, Copy, Debug)]
pub struct Doing<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// Randomness.
    pub ids: &'a IdSource,
    /// When.
    pub now: UnixMillis,
}

/// Carries out a sheet.
///
/// # Errors
/// [`AdoptionError`]; the transaction must then be rolled back.
pub async fn take_over(
    connection: &mut Connection,
    router: &Router,
    sheet: &Sheet,
    doing: Doing<'_>,
) -> Result<Outcome, AdoptionError> {
    let Doing { actor, ids, now } = doing;
    let mut lines = Vec::with_capacity(sheet.entries.len());
    for entry in &sheet.entries {
        let entered = match &entry.line {
            Some(line) => renamed(connection, entry, line, doing).await?,
            None => added(connection, router, entry, doing).await?,
        };
        let subscription = match entered {
            Ok(subscription) => subscription,
            Err(why) => return Ok(Outcome::Refused(format!("{}: {why}", entry.username))),
        };
        let line = subscription.id;
        let mut together = Together::default();
        if entry.until > now {
            let validity = Duration::from_secs(subscription.validity_seconds);
            for period in periods((now, entry.until), validity, subscription.data_quota_bytes) {
                quota::begin(&mut together, &line, period);
                together.execute_when_full(connection).await?;
            }
        }
        subscriptions::activate(connection, together, (&line, entry.until), now).await?;
        queue(connection, router, &entry.row, &line, doing).await?;
        lines.push(line);
    }
    let detail = format!("{} of router {}", display::counted(lines.len(), "row"), router.name);
    let act = (Action::RowsTakenOver, router.site.as_str(), detail.as_str());
    audit::record(connection, actor, act, ids, now).await?;
    Ok(Outcome::TakenOver(lines))
}

/// The periods of time that is paid for already, as the plan would have sold them: counted back from their end, each with
/// its own data. What was used of the running one before is not known here, so that the rest of it has the whole. Without
/// a limit there is nothing to cut.
fn periods((now, until): (UnixMillis, UnixMillis), validity: Duration, bytes: Option<u64>) -> Vec<Period> {
    let mut found = Vec::new();
    let mut ends_at = until;
    while ends_at > now {
        let is_last = bytes.is_none() || found.len().saturating_add(1) >= PERIODS;
        let started_at = if is_last { now } else { ends_at.minus(validity).max(now) };
        found.push(Period { started_at, ends_at, bytes });
        ends_at = started_at;
    }
    found.reverse();
    found
}

/// Commands once more what did not come about: rows that have a line of their name, whoever entered it, and no open
/// command. Answers how many.
///
/// # Errors
/// [`AdoptionError`].
pub async fn take_over_again(
    connection: &mut Connection,
    router: &Router,
    doing: Doing<'_>,
) -> Result<usize, AdoptionError> {
    let waiting = store::rows_with_lines(connection, router).await?;
    for (row, line) in &waiting {
        queue(connection, router, row, line, doing).await?;
    }
    Ok(waiting.len())
}

async fn queue(
    connection: &mut Connection,
    router: &Router,
    row: &ForeignRow,
    line: &LineId,
    Doing { actor, ids, now }: Doing<'_>,
) -> Result<(), sqlx::Error> {
    let new = NewCommand {
        site: router.site.clone(),
        kind: CommandKind::Adopt,
        router: router.name.clone(),
        line: Some(line.clone()),
        argument: row.username.clone(),
        service: Some(row.service),
        lasts: SHEET_LASTS,
    };
    commands::queue(connection, new, actor, ids, now).await.map(drop)
}

/// Whether the row names a device; all zeros is what a hotspot has for any.
fn is_one_device(row: &ForeignRow) -> bool {
    row.caller_id.chars().any(|letter| letter.is_ascii_hexdigit() && letter != '0')
}

/// The only device of a row; `None` for any.
fn caller_of(row: &ForeignRow) -> Option<CallerId> {
    CallerId::parse(&row.caller_id).ok().filter(|_| is_one_device(row))
}

/// A new line with the row's name.
async fn added(
    connection: &mut Connection,
    router: &Router,
    entry: &Entry,
    doing: Doing<'_>,
) -> Result<Result<Subscription, String>, AdoptionError> {
    let Doing { actor, ids, now } = doing;
    let customer = match customer_of(connection, entry, doing).await? {
        Ok(customer) => customer,
        Err(why) => return Ok(Err(why)),
    };
    let new = NewSubscription {
        customer,
        plan: entry.offer.id.clone(),
        router: router.id.clone(),
        username: entry.username.clone(),
        password: Password::unknown(),
        address: address_of(&entry.row),
        caller_id: caller_of(&entry.row),
    };
    let why = match subscriptions::create(connection, new, ids, now).await? {
        Created::Created(subscription) => {
            let act = (Action::SubscriptionAdded, subscription.id.as_str(), entry.username.as_str());
            audit::record(connection, actor, act, ids, now).await?;
            return Ok(Ok(subscription));
        }
        Created::UsernameTaken => "a line of that name is on this router already".to_owned(),
        Created::AddressTaken(holder) => format!("{holder} has its address"),
        Created::DeviceTaken(holder) => format!("{holder} is its device"),
        Created::Invalid(invalid) => invalid.reason.to_owned(),
        Created::SiteRevoked => "the site is revoked".to_owned(),
        _ => "its customer, plan or router is not there any more".to_owned(),
    };
    Ok(Err(why))
}

/// A line that its site was never told of takes the row, with its name where it had another.
async fn renamed(
    connection: &mut Connection,
    entry: &Entry,
    line: &KnownLine,
    Doing { actor, ids, now }: Doing<'_>,
) -> Result<Result<Subscription, String>, AdoptionError> {
    let row = AsRow {
        username: entry.username.clone(),
        service: entry.row.service,
        plan: entry.offer.id.clone(),
        address: address_of(&entry.row),
        caller_id: caller_of(&entry.row),
    };
    let why = match editing::take_row(connection, &line.id, row).await? {
        TookRow::Took(subscription) => {
            let mut detail = if line.username == entry.username.as_str() {
                "the row of its name on its router".to_owned()
            } else {
                format!("name: {} to {}, with the row on its router", line.username, entry.username)
            };
            if entry.offer.id != line.plan {
                detail.push_str("; plan: ");
                detail.push_str(&entry.offer.name);
            }
            let act = (Action::SubscriptionChanged, line.id.as_str(), detail.as_str());
            audit::record(connection, actor, act, ids, now).await?;
            return Ok(Ok(subscription));
        }
        TookRow::NoSuchSubscription => format!("the line {} is not there any more", line.username),
        TookRow::NoSuchPlan => "its plan is not there any more".to_owned(),
        TookRow::AnotherService => {
            format!("{} is no plan for {}", entry.offer.name, display::service(entry.row.service))
        }
        TookRow::OnRouter => format!("the line {} has a row of its own by now", line.username),
        TookRow::UsernameTaken => "a line of that name is on this router already".to_owned(),
        TookRow::AddressTaken(holder) => format!("{holder} has its address"),
        TookRow::Invalid(invalid) => invalid.reason.to_owned(),
    };
    Ok(Err(why))
}

async fn customer_of(
    connection: &mut Connection,
    entry: &Entry,
    Doing { actor, ids, now }: Doing<'_>,
) -> Result<Result<CustomerId, String>, AdoptionError> {
    let (name, phone) = match &entry.whose {
        Whose::Known(person) => return Ok(Ok(person.id.clone())),
        Whose::New { name, phone } => (name.clone(), phone.clone()),
    };
    match customers::create(connection, NewCustomer { name, phone }, ids, now).await? {
        customers::Created::Created(customer) => {
            audit::record(connection, actor, (Action::CustomerAdded, customer.id.as_str(), ""), ids, now)
                .await?;
            Ok(Ok(customer.id))
        }
        customers::Created::Invalid(invalid) => Ok(Err(invalid.reason.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paid_months_ahead_has_the_data_of_each_of_its_periods() {
        let check = |(now, until): (i64, i64), bytes, expected: &[(i64, i64)]| {
            let found = periods((UnixMillis(now), UnixMillis(until)), Duration::from_millis(30), bytes);
            assert!(found.iter().all(|period| period.bytes == bytes));
            let found: Vec<_> = found.iter().map(|period| (period.started_at.0, period.ends_at.0)).collect();
            assert_eq!(found, expected, "{now} {until} {bytes:?}");
        };
        check((100, 100), Some(5), &[]);
        check((100, 110), Some(5), &[(100, 110)]);
        check((100, 130), Some(5), &[(100, 130)]);
        check((100, 131), Some(5), &[(100, 101), (101, 131)]);
        check((100, 200), Some(5), &[(100, 110), (110, 140), (140, 170), (170, 200)]);
        check((100, 200), None, &[(100, 200)]);
        let many = periods((UnixMillis(0), UnixMillis(i64::MAX)), Duration::from_millis(1), Some(5));
        assert_eq!((many.len(), many[0].started_at.0), (PERIODS, 0));
    }
}
