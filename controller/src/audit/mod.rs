//! Who did what to whom, and when: one row for each write by staff, a token, the command line or a customer.
//!
//! The row is written in the transaction of what it tells of, so neither exists without the other. It holds names of
//! things and never a password, a token or a phone number. Nothing here updates or deletes a row.

pub mod store;

use std::fmt;

use tawi_shared::UnixMillis;

use crate::database::Connection;
use crate::ids::{AuditId, IdSource, SiteId};
use crate::staff::Login;

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A member of staff, signed in.
    Staff(Login),
    /// A program with a token of this name.
    Token(String),
    /// Somebody at a shell of the controller's machine.
    CommandLine(String),
    /// Somebody at the device of a site, as far as the device says.
    Site(SiteId),
    /// A rollout of a release that goes on, or stops, by itself.
    Rollout(u64),
    /// Somebody at the pay page, who need not be the customer: nobody signs in there.
    Customer,
    /// Somebody at the pay page who had the receipt number of a payment and the phone that paid.
    Claimant,
}

impl fmt::Display for Actor {
    /// `staff:owner`, `token:billing`, `cli:root`, `site:nyeri-01`, `rollout:3`, `customer:pay page`, `customer:claim at the pay page`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Staff(login) => write!(f, "staff:{login}"),
            Self::Token(name) => write!(f, "token:{name}"),
            Self::CommandLine(user) => write!(f, "cli:{user}"),
            Self::Site(site) => write!(f, "site:{site}"),
            Self::Rollout(number) => write!(f, "rollout:{number}"),
            Self::Customer => f.write_str("customer:pay page"),
            Self::Claimant => f.write_str("customer:claim at the pay page"),
        }
    }
}

/// What was done. The word stands in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A site was added.
    SiteAdded,
    /// A site got a new certificate, and its old ones were revoked.
    SiteRenewed,
    /// A ticket was made for a site.
    SiteTokenMade,
    /// A key and a certificate for a broker that is not inside the controller.
    BrokerCertificateMade,
    /// A device became a site by a ticket, and every earlier certificate of the site was revoked.
    SiteEnrolled,
    /// A site got its next certificate.
    SiteCertificateRenewed,
    /// A site was shut out.
    SiteRevoked,
    /// A release of the agent was added.
    ReleaseAdded,
    /// It was removed.
    ReleaseRemoved,
    /// A version goes out to sites.
    RolloutStarted,
    /// No further wave begins.
    RolloutPaused,
    /// They do again.
    RolloutResumed,
    /// It ended before its end.
    RolloutStopped,
    /// The next wave began.
    WaveBegan,
    /// Every site runs it.
    RolloutDone,
    /// A site runs a release that proved itself.
    SiteUpgraded,
    /// A site went back to the release before.
    SiteRolledBack,
    /// A site does not take a release.
    SiteRefusedRelease,
    /// A router was added.
    RouterAdded,
    /// A member of staff was added.
    StaffAdded,
    /// A member of staff may no longer sign in.
    StaffDisabled,
    /// A member of staff may sign in again.
    StaffEnabled,
    /// A member of staff got a new password.
    PasswordChanged,
    /// A token was made.
    TokenAdded,
    /// A token no longer works.
    TokenRevoked,
    /// A connection type was added.
    ConnectionTypeAdded,
    /// A connection type was changed.
    ConnectionTypeChanged,
    /// A plan was added.
    PlanAdded,
    /// A plan was changed.
    PlanChanged,
    /// A top-up was added to the catalogue.
    TopUpAdded,
    /// A top-up was bought from a wallet.
    TopUpBought,
    /// A customer was added.
    CustomerAdded,
    /// A subscription was added.
    SubscriptionAdded,
    /// A subscription was changed.
    SubscriptionChanged,
    /// A subscription was held.
    SubscriptionHeld,
    /// A subscription was released.
    SubscriptionReleased,
    /// A payment was asked for.
    PaymentRequested,
    /// A period was bought from a wallet, without a payment.
    PeriodBought,
    /// Cash was taken, or a transfer to the bank was noted.
    PaymentTaken,
    /// Cash was brought to the bank.
    CashBanked,
    /// What else a customer may type as account was entered.
    ReferenceAdded,
    /// It was taken away.
    ReferenceRemoved,
    /// A payment that was nobody's was given to a customer.
    PaymentAssigned,
    /// A payment was given to another, or to nobody.
    PaymentMoved,
    /// A payment was shared out over several customers.
    PaymentSplit,
    /// A booking at the counter was undone.
    PaymentUndone,
    /// A payment was to be given back.
    RefundAsked,
    /// A person decided of a refund.
    RefundDecided,
    /// What a customer owed was written off.
    DebtWrittenOff,
    /// Safaricom was told where to report payments by Paybill and to tills.
    UrlsRegistered,
    /// A statement of M-Pesa's portal was taken in.
    StatementImported,
    /// A site was commanded to do something once.
    CommandGiven,
    /// Settings of a site's agent were set from head office.
    SettingsChanged,
    /// Somebody at a site let go what a guard held there.
    HeldLetGo,
    /// Rows of a router were taken over as lines.
    RowsTakenOver,
    /// A table was kept for the rows of a router.
    AdoptionTableKept,
    /// A table was kept in the place of an earlier one.
    AdoptionTableReplaced,
    /// A table was forgotten, on request or because all rows are taken over.
    AdoptionTableForgotten,
    /// Something on the list of what a person has to look at was looked at.
    ReviewLookedAt,
    /// Money that a statement tells of and no rule books was booked by an owner.
    StatementRowBooked,
    /// A template of texts was changed.
    TextTemplateChanged,
    /// A text was sent to try whether texts arrive.
    TestTextSent,
    /// It was said in which language a customer reads texts.
    CustomerLanguageChosen,
    /// Somebody signed in.
    SignedIn,
    /// Somebody signed out.
    SignedOut,
}

impl Action {
    /// The word in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SiteAdded => "site.added",
            Self::SiteRenewed => "site.renewed",
            Self::SiteTokenMade => "site.token_made",
            Self::BrokerCertificateMade => "broker.certificate_made",
            Self::SiteEnrolled => "site.enrolled",
            Self::SiteCertificateRenewed => "site.certificate_renewed",
            Self::SiteRevoked => "site.revoked",
            Self::RouterAdded => "router.added",
            Self::StaffAdded => "staff.added",
            Self::StaffDisabled => "staff.disabled",
            Self::StaffEnabled => "staff.enabled",
            Self::PasswordChanged => "staff.password_changed",
            Self::TokenRevoked => "token.revoked",
            Self::TokenAdded => "token.added",
            Self::ConnectionTypeAdded => "connection_type.added",
            Self::ConnectionTypeChanged => "connection_type.changed",
            Self::PlanAdded => "plan.added",
            Self::PlanChanged => "plan.changed",
            Self::TopUpAdded => "top_up.added",
            Self::TopUpBought => "top_up.bought",
            Self::CustomerAdded => "customer.added",
            Self::SubscriptionAdded => "subscription.added",
            Self::SubscriptionChanged => "subscription.changed",
            Self::SubscriptionHeld => "subscription.held",
            Self::SubscriptionReleased => "subscription.released",
            Self::PaymentRequested => "payment.requested",
            Self::PaymentTaken => "payment.taken",
            Self::CashBanked => "cash.banked",
            Self::ReferenceAdded => "reference.added",
            Self::ReferenceRemoved => "reference.removed",
            Self::PaymentAssigned => "payment.assigned",
            Self::PaymentMoved => "payment.moved",
            Self::PaymentSplit => "payment.split",
            Self::PaymentUndone => "payment.undone",
            Self::RefundAsked => "refund.asked",
            Self::ReleaseAdded => "release.added",
            Self::ReleaseRemoved => "release.removed",
            Self::RolloutStarted => "rollout.started",
            Self::RolloutPaused => "rollout.paused",
            Self::RolloutResumed => "rollout.resumed",
            Self::RolloutStopped => "rollout.stopped",
            Self::WaveBegan => "rollout.wave_began",
            Self::RolloutDone => "rollout.done",
            Self::SiteUpgraded => "site.upgraded",
            Self::SiteRolledBack => "site.rolled_back",
            Self::SiteRefusedRelease => "site.refused_release",
            Self::RefundDecided => "refund.decided",
            Self::DebtWrittenOff => "debt.written_off",
            Self::UrlsRegistered => "mpesa.urls_registered",
            Self::StatementImported => "mpesa.statement_imported",
            Self::PeriodBought => "period.bought",
            Self::CommandGiven => "command.given",
            Self::SettingsChanged => "site.settings_changed",
            Self::HeldLetGo => "held.let_go",
            Self::RowsTakenOver => "rows.taken_over",
            Self::AdoptionTableKept => "adoption_table.kept",
            Self::AdoptionTableReplaced => "adoption_table.replaced",
            Self::AdoptionTableForgotten => "adoption_table.forgotten",
            Self::ReviewLookedAt => "review.looked_at",
            Self::StatementRowBooked => "review.booked",
            Self::TextTemplateChanged => "text.template_changed",
            Self::TestTextSent => "text.test_sent",
            Self::CustomerLanguageChosen => "customer.language_chosen",
            Self::SignedIn => "staff.signed_in",
            Self::SignedOut => "staff.signed_out",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: UnixMillis,
    /// Who, as [`Actor`] prints it.
    pub actor: String,
    /// What, as [`Action::as_str`] says it.
    pub action: String,
    /// To whom or what: an id.
    pub subject: String,
    /// More about it, for a person.
    pub detail: String,
}

/// Writes the row of one act into the caller's transaction.
///
/// # Errors
/// When the database refuses.
pub async fn record(
    connection: &mut Connection,
    actor: &Actor,
    (action, subject, detail): (Action, &str, &str),
    ids: &IdSource,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let entry = Entry {
        at: now,
        actor: actor.to_string(),
        action: action.as_str().to_owned(),
        subject: subject.to_owned(),
        detail: detail.to_owned(),
    };
    store::insert(connection, &AuditId::random(ids), &entry).await
}
