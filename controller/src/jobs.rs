//! What has to be done now and then, whatever happens. Each job asks the database what is due, so that a missed run is
//! made up for by the next and a doubled one does nothing.
//!
//! Nothing here decides over money or access: lines end at their own time, at the site, without us.

use std::future::Future;
use std::time::Duration;

use tawi_shared::{KEEP_ALIVE_LONGEST, LineId, UnixMillis};
use thiserror::Error;
use tokio::time::MissedTickBehavior;

use crate::broker::SEEN_PERIOD;
use crate::database::Transaction;
use crate::desired::{DesiredError, Swept};
use crate::live::Hint;
use crate::messages::occasion::Occasion;
use crate::mpesa::operator;
use crate::payments::PaymentError;
use crate::shutdown::Stop;
use crate::sites::SiteError;
use crate::state::Controller;
use crate::subscriptions::{Expired, SubscriptionError};
use crate::usage::UsageError;
use crate::usage::history::{DAYS_KEPT, HOURS_KEPT};
use crate::{
    adoption, closing, commands, desired, messages, payments, quota, releases, router_writes, sites,
    subscriptions, usage,
};

/// How often expired subscriptions are shown as such. The line itself ends at its instant, at the site.
const EXPIRY_PERIOD: Duration = Duration::from_secs(15);
/// How often silent sites are looked for.
const PRESENCE_PERIOD: Duration = Duration::from_secs(30);
/// How often commits are copied from the WAL into the database: seldom enough to copy a busy page once for many commits.
const CHECKPOINT_PERIOD: Duration = Duration::from_secs(1);
/// How often it is looked whether a plan changed whose lines have to be told.
const CATALOGUE_PERIOD: Duration = Duration::from_secs(1);
/// How often it is looked whether periods ended of lines that have many ahead. Weeks lie between the end of one and the
/// beginning of those that are told late.
const PERIODS_PERIOD: Duration = Duration::from_secs(60);
/// How often it is looked whether a line is open on trust, or need not be any more.
const GRACES_PERIOD: Duration = Duration::from_secs(10);
/// How often it is looked whether lines go on from their wallets. Hours lie between that and the end of a period.
const RENEWALS_PERIOD: Duration = Duration::from_secs(60);
/// How often it is looked whether this night's proof of the books is still to be done.
const PROOF_PERIOD: Duration = Duration::from_secs(600);
/// How often old records are forgotten, and certificates looked at.
const TIDY_PERIOD: Duration = Duration::from_secs(3_600);
/// How often it is looked whether the next wave of a rollout is due, or whether it has to stop.
const ROLLOUT_PERIOD: Duration = Duration::from_secs(5);

/// A site that has been silent for so long is offline: one and a half of the longest keep-alives, which is when the
/// broker gives a connection up, and the period in which the front door notes whom it heard.
pub const SILENCE: Duration =
    Duration::from_millis(1_500 * KEEP_ALIVE_LONGEST.as_secs()).saturating_add(SEEN_PERIOD);
/// How long events are kept.
pub const EVENTS_KEPT: Duration = Duration::from_secs(180 * 86_400);
/// How long sessions are kept: a year, and a quarter to look back from.
pub const SESSIONS_KEPT: Duration = Duration::from_secs(455 * 86_400);
/// How long before its end a certificate is spoken of.
pub const CERTIFICATE_WARNING: Duration = Duration::from_secs(45 * 86_400);
/// Rows that one transaction changes, so that payments never wait for housekeeping.
const ROWS: u32 = 500;

/// Lines that go on in one run: the others do a minute later.
const RENEWALS: u32 = 2_000;
/// How often it is looked whose paid time ends soon.
const REMINDERS_PERIOD: Duration = Duration::from_secs(60);
/// Lines that one transaction reminds.
const REMINDERS: u32 = 100;
/// Lines of a plan that one transaction tells anew.
const LINES: u32 = 100;

/// Why a job failed. It runs again at its next time.
#[derive(Debug, Error)]
enum JobError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Sites(#[from] SiteError),
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[error(transparent)]
    Desired(#[from] DesiredError),
    #[error(transparent)]
    Subscriptions(#[from] SubscriptionError),
    #[error(transparent)]
    Payments(#[from] PaymentError),
}

/// Runs all jobs until `stop`. `silence` is after how long a site that says nothing is offline; `None` where nobody of ours hears
/// its pings, and the broker that does tells its last will.
pub async fn run(controller: Controller, silence: Option<Duration>, stop: Stop) {
    tokio::join!(
        every(EXPIRY_PERIOD, "expiry", stop.clone(), || expire(&controller)),
        every(EXPIRY_PERIOD, "commands", stop.clone(), || close_late_commands(&controller)),
        every(PRESENCE_PERIOD, "presence", stop.clone(), || mark_silent(&controller, silence)),
        every(CHECKPOINT_PERIOD, "checkpoint", stop.clone(), || checkpoint(&controller)),
        every(CATALOGUE_PERIOD, "catalogue", stop.clone(), || refresh_plans(&controller, &stop)),
        every(PERIODS_PERIOD, "periods", stop.clone(), || follow_up_periods(&controller)),
        every(GRACES_PERIOD, "graces", stop.clone(), || follow_up_graces(&controller)),
        every(RENEWALS_PERIOD, "renewals", stop.clone(), || renew(&controller, &stop)),
        every(REMINDERS_PERIOD, "reminders", stop.clone(), || remind(&controller, &stop)),
        every(TIDY_PERIOD, "tidy", stop.clone(), || tidy(&controller)),
        every(PROOF_PERIOD, "proof", stop.clone(), || prove(&controller)),
        every(ROLLOUT_PERIOD, "rollout", stop.clone(), || step_rollout(&controller)),
    );
}

/// Runs, one after another, the jobs that money and the ends of paid time depend on, as when all of them fall due at once.
pub(crate) async fn once(controller: &Controller, stop: &Stop) -> anyhow::Result<()> {
    expire(controller).await?;
    refresh_plans(controller, stop).await?;
    follow_up_periods(controller).await?;
    follow_up_graces(controller).await?;
    renew(controller, stop).await?;
    remind(controller, stop).await?;
    prove(controller).await?;
    checkpoint(controller).await?;
    Ok(())
}

async fn every<F>(period: Duration, job: &'static str, mut stop: Stop, mut run: impl FnMut() -> F)
where
    F: Future<Output = Result<(), JobError>>,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0_u64;
    loop {
        tokio::select! {
            () = stop.requested() => return,
            _ = ticks.tick() => {}
        }
        match run().await {
            Ok(()) if failures > 0 => {
                tracing::info!(job, failures, "a job that failed is well again");
                failures = 0;
            }
            Ok(()) => {}
            Err(error) => {
                failures = failures.saturating_add(1);
                // A disk that refuses fails one of them every second, and the log is on a disk too.
                if failures.is_power_of_two() {
                    tracing::error!(job, failures, %error, "a job failed; it runs again");
                }
            }
        }
    }
}

/// Shows subscriptions whose paid time is over as expired. Desired state does not change: the instant was in it. Time that a
/// site never heard of has not begun, and does not end.
async fn expire(controller: &Controller) -> Result<(), JobError> {
    loop {
        let mut transaction = controller.database.write().await?;
        let now = controller.clock.now();
        let expired = subscriptions::expire_due(&mut transaction, now, ROWS).await?;
        let is_closed = |line: &&Expired| !line.is_trusted;
        let lines: Vec<LineId> =
            expired.iter().filter(is_closed).map(|expired| expired.line.clone()).collect();
        messages::about::ends(&mut transaction, Occasion::Suspended, &lines, now).await?;
        transaction.commit().await?;
        let is_last = expired.len() < usize::try_from(ROWS).unwrap_or(usize::MAX);
        for Expired { line, .. } in expired {
            controller.live.tell(Hint::Line(line));
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Tells lines what their plans say since they were changed. A portion is some hundredths of a second of the writer.
async fn refresh_plans(controller: &Controller, stop: &Stop) -> Result<(), JobError> {
    if !desired::is_refresh_queued(&mut *controller.database.read().await?).await? {
        return Ok(());
    }
    while !stop.is_requested() {
        let mut transaction = controller.database.write().await?;
        let swept = desired::refresh_some(&mut transaction, controller.clock.now(), LINES).await?;
        transaction.commit().await?;
        match swept {
            Swept::Nothing => return Ok(()),
            Swept::Some(sites) if sites.is_empty() => {}
            Swept::Some(_) => controller.live.ring_outbox(),
        }
    }
    Ok(())
}

/// Tells lines of periods that were bought so far ahead that their sites could not be told of them at once.
async fn follow_up_periods(controller: &Controller) -> Result<(), JobError> {
    loop {
        let mut transaction = controller.database.write().await?;
        let (seen, is_told) = quota::follow_up_ended(&mut transaction, controller.clock.now(), LINES).await?;
        transaction.commit().await?;
        if is_told {
            controller.live.ring_outbox();
        }
        if seen < usize::try_from(LINES).unwrap_or(usize::MAX) {
            return Ok(());
        }
    }
}

/// Opens lines on trust, and closes those that are open so and need it no more.
async fn follow_up_graces(controller: &Controller) -> Result<(), JobError> {
    loop {
        let mut transaction = controller.database.write().await?;
        let followed = payments::grace::follow_up(&mut transaction, controller.clock.now(), LINES).await?;
        transaction.commit().await?;
        if followed.is_site_to_be_told {
            controller.live.ring_outbox();
        }
        let is_last = followed.lines.len() < usize::try_from(LINES).unwrap_or(usize::MAX);
        followed.lines.into_iter().for_each(|line| controller.live.tell(Hint::Line(line)));
        if is_last {
            return Ok(());
        }
    }
}

/// Buys the next period of lines whose wallets can pay for it. Each in a transaction of its own: a payment never waits for
/// more than one, and a line that fails keeps no other from going on.
async fn renew(controller: &Controller, stop: &Stop) -> Result<(), JobError> {
    let now = controller.clock.now();
    let due = payments::renewal::due(&mut *controller.database.read().await?, now, RENEWALS).await?;
    for line in &due {
        if stop.is_requested() {
            return Ok(());
        }
        if let Err(error) = renew_one(controller, line, now).await {
            tracing::error!(subscription.id = %line, %error, "a line does not go on from its wallet; it is tried again");
        }
    }
    Ok(())
}

/// Writes the texts that say that paid time ends soon, of the lines that came due since the last run.
async fn remind(controller: &Controller, stop: &Stop) -> Result<(), JobError> {
    for occasion in messages::expiry::ALL {
        let mut due = REMINDERS;
        while due >= REMINDERS && !stop.is_requested() {
            let now = controller.clock.now();
            let mut transaction = controller.database.write().await?;
            due = messages::expiry::tell_some(&mut transaction, occasion, now, REMINDERS).await?;
            transaction.commit().await?;
        }
    }
    Ok(())
}

async fn renew_one(controller: &Controller, line: &LineId, now: UnixMillis) -> Result<(), JobError> {
    let mut transaction = controller.database.write().await?;
    let bought = payments::renewal::renew(&mut transaction, line, &controller.ids, now).await?;
    transaction.commit().await?;
    if let Some(bought) = bought {
        bought.tell(controller);
    }
    Ok(())
}

/// Closes commands that no site began or answered in time.
async fn close_late_commands(controller: &Controller) -> Result<(), JobError> {
    let mut transaction = controller.database.write().await?;
    let sites = commands::store::close_late(&mut transaction, controller.clock.now(), ROWS).await?;
    transaction.commit().await?;
    sites.into_iter().for_each(|site| controller.live.tell(Hint::Site(site)));
    Ok(())
}

async fn checkpoint(controller: &Controller) -> Result<(), JobError> {
    Ok(controller.database.checkpoint().await?)
}

/// Shows sites as offline that have been silent for too long: their farewell may never have come.
async fn mark_silent(controller: &Controller, silence: Option<Duration>) -> Result<(), JobError> {
    let Some(silence) = silence else { return Ok(()) };
    let now = controller.clock.now();
    let mut transaction = controller.database.write().await?;
    let silent = sites::store::mark_silent_offline(&mut transaction, now.minus(silence), now).await?;
    transaction.commit().await?;
    for site in silent {
        tracing::info!(site.id = %site, "a site fell silent");
        controller.live.tell(Hint::Site(site));
    }
    Ok(())
}

/// Has a rollout go on, or stop. The writer is asked for only where something is to be written.
async fn step_rollout(controller: &Controller) -> Result<(), JobError> {
    let now = controller.clock.now();
    let due = releases::rollout::due(&mut *controller.database.read().await?, now).await?;
    let Some((rollout, _)) = due else { return Ok(()) };
    let mut transaction = controller.database.write().await?;
    let is_moved = releases::rollout::step(&mut transaction, &controller.ids, now).await?;
    let sites = releases::store::rollout_sites(&mut transaction, rollout.number).await?;
    transaction.commit().await?;
    if is_moved {
        controller.live.ring_outbox();
        sites.into_iter().for_each(|site| controller.live.tell(Hint::Site(site.site)));
    }
    Ok(())
}

/// Forgets what is old, and warns of certificates that are about to end.
async fn prove(controller: &Controller) -> Result<(), JobError> {
    Ok(closing::proof::prove_nightly(controller).await?)
}

async fn tidy(controller: &Controller) -> Result<(), JobError> {
    let now = controller.clock.now();
    loop {
        let mut transaction: Transaction = controller.database.write().await?;
        let events = sites::store::forget_events(&mut transaction, now.minus(EVENTS_KEPT), ROWS).await?;
        let sessions = usage::store::forget(&mut transaction, (now.minus(SESSIONS_KEPT), now), ROWS).await?;
        let hours = usage::store::forget_hours(&mut transaction, now.minus(HOURS_KEPT), ROWS).await?;
        let days = usage::store::forget_days(&mut transaction, now.minus(DAYS_KEPT), ROWS).await?;
        let writes = router_writes::forget(&mut transaction, now.minus(router_writes::KEPT), ROWS).await?;
        let ordered = commands::store::forget(&mut transaction, now.minus(commands::KEPT), ROWS).await?;
        let before = now.minus(commands::answers::KEPT);
        let answered = commands::store::forget_answers(&mut transaction, before, ROWS).await?;
        let asked = operator::forget(&mut transaction, now.minus(operator::KEPT), ROWS).await?;
        adoption::forget_tables(&mut transaction, now).await?;
        let texts = messages::forget(&mut transaction, now, ROWS).await?;
        transaction.commit().await?;
        if [events, sessions, hours, days, writes, ordered, answered, asked, texts].into_iter().max()
            < Some(u64::from(ROWS))
        {
            break;
        }
    }
    let mut connection = controller.database.read().await?;
    let soon = now.plus(CERTIFICATE_WARNING);
    for (site, expires_at) in sites::store::expiring_before(&mut connection, soon).await? {
        let days = expires_at.since(now).as_secs() / 86_400;
        tracing::warn!(site.id = %site, days, "the site's certificate is about to expire, and it did not come for the next one; cure: run tawi-agent doctor there, or make it a new ticket");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
