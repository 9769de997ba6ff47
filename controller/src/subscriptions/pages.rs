//! Subscriptions on a customer's page, a new one, hold and release.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use std::time::Duration;

use tawi_shared::UnixMillis;
use tawi_shared::wire::FailureKind;

use super::credentials::{Password, Username};
use super::{Changed, Created, Holder, NewSubscription, Subscription, device};
use crate::audit::Action;
use crate::customers::{self, Customer};
use crate::database::Connection;
use crate::entitlements::Status;
use crate::ids::{CustomerId, IdSource, LineId, PlanId, RouterId};
use crate::live::{Hint, Live};
use crate::money::Money;
use crate::payments;
use crate::plans::{self, Family, Plan, Restraint};
use crate::quota::{self, Standing};
use crate::sites::{self, Site};
use crate::staff::Permission;
use crate::top_ups::{self, TopUp};
use crate::usage::{self, Amount, Session};
use crate::web::Web;
use crate::web::chart::{Chart, Value};
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};
use crate::{ledger, subscriptions};

/// Hours in the chart: two days, so that last night can be compared with the one before.
const HOURS: u32 = 48;
/// Days in the chart below it.
const DAYS: u32 = 30;
/// Days in the table beside it, newest first.
const DAYS_LISTED: usize = 7;
/// Sessions in the table.
const LISTED: u32 = 5;
/// Times below a chart, without the end. Both charts are a multiple of it long.
const TICKS: usize = 3;
/// Where a chart ends.
const NOW: &str = "now";
/// From when on a line counts as about to expire: the form for a payment lies open then.
const DUE_WITHIN: Duration = Duration::from_secs(3 * 86_400);

/// A line on its customer's page.
#[derive(Clone, Debug)]
pub(crate) struct LineView {
    pub(crate) id: String,
    pub(crate) plan: String,
    pub(crate) price: String,
    pub(crate) validity: String,
    pub(crate) service: &'static str,
    pub(crate) username: String,
    pub(crate) router: String,
    pub(crate) site_id: String,
    pub(crate) site_name: String,
    pub(crate) status: Badge,
    pub(crate) online: Badge,
    pub(crate) online_word: &'static str,
    pub(crate) online_since: Option<Moment>,
    pub(crate) address: String,
    /// Whether the wallet buys the next period by itself.
    pub(crate) renews: bool,
    /// Its own address and the only device that may use it; empty for none.
    pub(crate) own_address: String,
    pub(crate) caller_id: String,
    pub(crate) last_login: Option<Moment>,
    pub(crate) logs_in: bool,
    /// How long the running session is up; empty when none runs.
    pub(crate) uptime: String,
    pub(crate) period: Option<PeriodView>,
    pub(crate) top_ups: Vec<Choice>,
    /// What keeps a button that is pressed twice from buying twice.
    pub(crate) occasion: String,
    /// What a hold means on its plan.
    pub(crate) suspension: String,
    pub(crate) paid_until: Option<Moment>,
    /// Until when it is open on trust.
    pub(crate) grace_until: Option<Moment>,
    pub(crate) is_waiting: bool,
    pub(crate) failure: String,
    /// Whether another's row with its name is in the way, which can be taken over.
    pub(crate) may_be_taken_over: bool,
    /// Whether something else of another's is, which cannot.
    pub(crate) is_in_the_way: bool,
    /// Whether somebody logs in on it, and by which word.
    pub(crate) comes_back: Option<&'static str>,
    /// What another speed does to it.
    pub(crate) at_another_speed: &'static str,
    pub(crate) is_held: bool,
    pub(crate) is_due: bool,
    pub(crate) ask_amount: String,
    pub(crate) usage: UsageView,
}

/// Where a line stands in its running period.
#[derive(Clone, Debug)]
pub(crate) struct PeriodView {
    pub(crate) used: String,
    /// Empty for no limit.
    pub(crate) quota: String,
    pub(crate) left: String,
    pub(crate) topped_up: String,
    pub(crate) until: Moment,
    /// Of the bar, from 0 to 100.
    pub(crate) percent: u64,
    /// `low` or `gone`; empty while enough is left.
    pub(crate) tone: &'static str,
    /// Whether nothing is left.
    pub(crate) is_used_up: bool,
    /// What comes after it.
    pub(crate) after: String,
}

/// What a line moved.
#[derive(Clone, Debug)]
pub(crate) struct UsageView {
    pub(crate) sessions: u64,
    pub(crate) download: String,
    pub(crate) upload: String,
    pub(crate) hours: History,
    pub(crate) days: History,
    pub(crate) latest: Vec<SessionView>,
}

/// A chart of hours or days, with what it says as a table.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) chart: Chart,
    pub(crate) summary: String,
    /// What the full height stands for.
    pub(crate) top: String,
    /// Times below it, at even distances.
    pub(crate) ticks: Vec<String>,
    pub(crate) rows: Vec<HistoryRow>,
}

/// One hour or day.
#[derive(Clone, Debug)]
pub(crate) struct HistoryRow {
    pub(crate) when: String,
    pub(crate) download: String,
    pub(crate) upload: String,
}

/// One session.
#[derive(Clone, Debug)]
pub(crate) struct SessionView {
    pub(crate) started: Moment,
    pub(crate) lasted: String,
    pub(crate) is_ended: bool,
    pub(crate) download: String,
    pub(crate) upload: String,
    pub(crate) address: String,
}

/// The lines of a customer, with what each moved.
pub(crate) async fn lines_of(
    connection: &mut Connection,
    customer: &CustomerId,
    ids: &IdSource,
    now: UnixMillis,
) -> Result<Vec<LineView>, PageError> {
    let wallet = ledger::wallet_of(connection, customer).await?;
    let mut views = Vec::new();
    for subscription in subscriptions::of_customer(connection, customer).await? {
        let line = &subscription.id;
        let known = Known {
            site: sites::get(connection, &subscription.site).await?,
            plan: plans::get_plan(connection, &subscription.plan).await?,
            standing: quota::standing(connection, line, now).await?,
            offered: top_ups::offered_to(connection, &subscription.plan).await?,
            totals: usage::totals_of_line(connection, line).await?,
            sessions: usage::sessions_of_line(connection, line, LISTED).await?,
            hours: usage::hours(connection, line, HOURS, now).await?,
            days: usage::days(connection, line, DAYS, now).await?,
        };
        views.push(line_view(subscription, &known, wallet, ids, now));
    }
    Ok(views)
}

/// What is known about a line besides itself.
struct Known {
    site: Option<Site>,
    plan: Option<Plan>,
    standing: Option<Standing>,
    offered: Vec<TopUp>,
    totals: usage::Totals,
    sessions: Vec<Session>,
    hours: Vec<(UnixMillis, Amount)>,
    days: Vec<(UnixMillis, Amount)>,
}

fn line_view(line: Subscription, known: &Known, wallet: Money, ids: &IdSource, now: UnixMillis) -> LineView {
    let is_paid = line.paid_until.is_some_and(|until| until > now);
    let (trusted_until, is_waiting) = (line.trusted_until(now), line.is_waiting(now));
    let is_site_up = known.site.as_ref().is_some_and(|site| site.presence.is_online);
    let online = match (line.is_online, is_site_up) {
        (true, true) => Badge::good("online"),
        (true, false) => Badge::warn("online when last heard of"),
        (false, true) => Badge::idle("offline"),
        (false, false) => Badge::warn("site offline"),
    };
    let is_soon = line.paid_until.is_none_or(|until| until < now.plus(DUE_WITHIN));
    let is_held = line.status == Status::Suspended;
    let is_used_up = known.standing.is_some_and(|standing| standing.left_bytes() == Some(0));
    let has_quota = known.standing.is_some_and(|standing| standing.bytes.is_some());
    let newest = known.sessions.first();
    let running = newest.filter(|session| line.is_online && !session.is_ended);
    let terms = known.plan.as_ref().map(|plan| &plan.terms);
    let family = Family::of(line.service);
    // A queue has a beginning like a session, and nobody behind it may have been there.
    let logs_in = family != Family::Static;
    let is_foreign = line.failure.starts_with(FailureKind::ForeignRow.as_str());
    // Rows that log in are what can be taken over: a profile or a queue of another's cannot.
    let is_row = family != Family::Static && !line.failure.contains(": profile ");
    let after_quota = terms.map(|terms| terms.after_quota).unwrap_or_default();
    let renews = payments::renewal::goes_on_by_itself(&line);
    LineView {
        id: line.id.to_string(),
        plan: line.plan_name,
        price: display::kes(line.price),
        validity: display::validity(Duration::from_secs(line.validity_seconds)),
        service: display::service(line.service),
        username: line.username.to_string(),
        router: line.router_name,
        site_name: known.site.as_ref().map_or_else(|| line.site.to_string(), |site| site.name.clone()),
        site_id: line.site.to_string(),
        status: if trusted_until.is_some() {
            Badge::warn("open on trust")
        } else if is_waiting {
            Badge::warn("paid, waits for its site")
        } else {
            status_badge(line.status, is_paid, is_used_up)
        },
        online,
        online_word: if line.is_online { "Online since" } else { "Offline since" },
        online_since: Moment::maybe(line.online_changed_at, now),
        address: line.last_address,
        renews,
        own_address: line.address.map(|address| address.to_string()).unwrap_or_default(),
        caller_id: line.caller_id.map(|device| device.to_string()).unwrap_or_default(),
        last_login: newest.filter(|_| logs_in).map(|session| Moment::of(session.started_at, now)),
        logs_in,
        uptime: running.map(|session| display::span(now.since(session.started_at))).unwrap_or_default(),
        period: known.standing.map(|standing| period_view(standing, after_quota, now)),
        top_ups: if has_quota && !is_held {
            known.offered.iter().map(top_up_choice).collect()
        } else {
            Vec::new()
        },
        occasion: ids.hex(payments::pages::OCCASION_DIGITS / 2),
        suspension: terms.map(|terms| terms.suspension.to_string()).unwrap_or_default(),
        paid_until: Moment::maybe(line.paid_until, now),
        grace_until: Moment::maybe(trusted_until, now),
        is_waiting,
        failure: line.failure,
        may_be_taken_over: is_foreign && is_row,
        is_in_the_way: is_foreign && !is_row,
        comes_back: match family {
            Family::Ppp => Some("dials in"),
            Family::Hotspot => Some("logs in"),
            Family::Static => None,
        },
        at_another_speed: family.at_another_speed(),
        is_held,
        is_due: is_soon && !is_held,
        ask_amount: payments::wallet::lacking(line.price, wallet)
            .map_or_else(String::new, |lacking| lacking.shillings_rounded_up().to_string()),
        usage: usage_view(known, now),
    }
}

fn period_view(standing: Standing, after_quota: Restraint, now: UnixMillis) -> PeriodView {
    let left = standing.left_bytes();
    let percent = standing.bytes.map_or(0, |bytes| {
        let percent = u128::from(standing.used_bytes).saturating_mul(100) / u128::from(bytes.max(1));
        u64::try_from(percent).unwrap_or(100).min(100)
    });
    let topped_up = standing.topped_up_bytes;
    PeriodView {
        used: display::bytes(standing.used_bytes),
        quota: standing.bytes.map(display::bytes).unwrap_or_default(),
        left: left.map(display::bytes).unwrap_or_default(),
        topped_up: if topped_up > 0 { display::bytes(topped_up) } else { String::new() },
        until: Moment::of(standing.ends_at, now),
        percent,
        tone: match (left, percent) {
            (Some(0), _) => "gone",
            (_, 80..) => "low",
            _ => "",
        },
        is_used_up: left == Some(0),
        after: after_quota.to_string(),
    }
}

fn top_up_choice(top_up: &TopUp) -> Choice {
    let (data, price) = (display::bytes(top_up.bytes), display::kes(top_up.price));
    Choice { id: top_up.id.to_string(), text: format!("{}: {data} for {price}", top_up.name) }
}

fn status_badge(status: Status, is_paid: bool, is_used_up: bool) -> Badge {
    match status {
        Status::Draft => Badge::idle("never paid"),
        Status::Active if is_paid && is_used_up => Badge::warn("data used up"),
        Status::Active if is_paid => Badge::good("paid"),
        // The instant has passed and the sweep has not: the site has closed the line by itself.
        Status::Active | Status::Expired => Badge::warn("expired"),
        Status::Suspended => Badge::bad("on hold"),
    }
}

fn usage_view(known: &Known, now: UnixMillis) -> UsageView {
    let hour = |at: UnixMillis| Moment::of(at, now).text;
    let hours = history(&known.hours, "hour", hour);
    let mut days = history(&known.days, "day", display::short_day);
    // What the chart says of the last week, for whoever reads and does not see.
    let row = |(at, amount): &(UnixMillis, Amount)| HistoryRow {
        when: display::short_day(*at),
        download: display::bytes(amount.download_bytes),
        upload: display::bytes(amount.upload_bytes),
    };
    days.rows = known.days.iter().rev().take(DAYS_LISTED).map(row).collect();
    UsageView {
        sessions: known.totals.sessions,
        download: display::bytes(known.totals.download_bytes),
        upload: display::bytes(known.totals.upload_bytes),
        hours,
        days,
        latest: known.sessions.iter().map(|session| session_view(session, now)).collect(),
    }
}

fn history(
    spans: &[(UnixMillis, Amount)],
    unit: &'static str,
    say: impl Fn(UnixMillis) -> String,
) -> History {
    let title = |(at, amount): &(UnixMillis, Amount)| {
        let (down, up) = (display::bytes(amount.download_bytes), display::bytes(amount.upload_bytes));
        format!("{}: {down} down, {up} up", say(*at))
    };
    let value = |span: &(UnixMillis, Amount)| Value {
        lower: span.1.download_bytes,
        upper: span.1.upload_bytes,
        title: title(span),
    };
    let most = spans.iter().max_by_key(|(_, amount)| amount.total());
    let chart = Chart::draw(spans.iter().map(value).collect());
    let tick = |(at, _): &(UnixMillis, Amount)| say(*at);
    let every = spans.len().div_ceil(TICKS).max(1);
    History {
        top: display::bytes(chart.top),
        summary: most.map_or_else(String::new, |span| match span.1.total() {
            0 => "Nothing was moved".to_owned(),
            _ => format!("The most in one {unit}, {}", title(span)),
        }),
        ticks: spans.iter().step_by(every).map(tick).chain([NOW.to_owned()]).collect(),
        chart,
        rows: Vec::new(),
    }
}

fn session_view(session: &Session, now: UnixMillis) -> SessionView {
    SessionView {
        started: Moment::of(session.started_at, now),
        lasted: display::span(session.sampled_at.since(session.started_at)),
        is_ended: session.is_ended,
        download: display::bytes(session.download_bytes),
        upload: display::bytes(session.upload_bytes),
        address: session.address.clone(),
    }
}

/// A plan to choose.
#[derive(Clone, Debug)]
pub(super) struct PlanChoice {
    pub(super) id: String,
    pub(super) text: String,
    /// Whether somebody logs in on its service.
    pub(super) has_login: bool,
}

/// One of a list to choose from.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) id: String,
    pub(crate) text: String,
}

#[derive(Template)]
#[template(path = "subscriptions/new.html")]
struct NewPage {
    frame: Frame,
    fields: Fields,
    customer_id: String,
    customer_name: String,
    plans: Vec<PlanChoice>,
    routers: Vec<Choice>,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .merge(super::editing_pages::routes())
        .route("/customers/{id}/subscriptions", post(create))
        .route("/customers/{id}/subscriptions/new", get(new))
        .route("/subscriptions/{id}/hold", post(hold))
        .route("/subscriptions/{id}/release", post(release))
}

async fn new(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::AddCustomers)?;
    let customer = customer_of(&web, &id).await?;
    let password = Password::random(&web.controller.ids);
    let fields = Fields::with(&[("password", password.reveal())]);
    show_new(&web, &visit, StatusCode::OK, customer, fields).await
}

async fn customer_of(web: &Web, id: &str) -> Result<Customer, PageError> {
    let id = CustomerId::parse(id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    customers::get(&mut reader, &id).await?.ok_or(PageError::NotFound)
}

async fn show_new(
    web: &Web,
    visit: &Visit,
    status: StatusCode,
    customer: Customer,
    fields: Fields,
) -> Result<Response, PageError> {
    let mut reader = web.controller.database.read().await?;
    let plans = plans::list_plans(&mut reader).await?;
    let sites = sites::list(&mut reader).await?;
    let routers = sites::all_routers(&mut reader).await?;
    drop(reader);
    let offered = |router: &sites::Router| {
        let site = sites.iter().find(|site| site.id == router.site && site.revoked_at.is_none())?;
        Some(Choice { id: router.id.to_string(), text: format!("{}: {}", site.name, router.name) })
    };
    let page = NewPage {
        frame: visit.frame("Add subscription", Section::Customers),
        fields,
        customer_id: customer.id.to_string(),
        customer_name: customer.name,
        plans: plans.iter().map(plan_choice).collect(),
        routers: routers.iter().filter_map(offered).collect(),
    };
    visit.show_as(status, &page)
}

pub(super) fn plan_choice(plan: &Plan) -> PlanChoice {
    let (price, validity) = (display::kes(plan.terms.price), display::validity(plan.terms.validity));
    let service = display::service(plan.connection_type.service);
    PlanChoice {
        id: plan.id.to_string(),
        text: format!("{}: {price} for {validity}, {service}", plan.name),
        has_login: has_login(plan),
    }
}

fn has_login(plan: &Plan) -> bool {
    Family::of(plan.connection_type.service) != Family::Static
}

pub(super) fn address_taken(holder: &Holder) -> String {
    format!("{holder} has this address on that router; choose another")
}

pub(super) fn device_taken(holder: &Holder) -> String {
    format!("{holder} is this device on that router; enter another, or change that line")
}

async fn create(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddCustomers)?;
    let customer = customer_of(&web, &id).await?;
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let plan = match PlanId::parse(fields.value("plan")) {
        Ok(id) => plans::get_plan(&mut transaction, &id).await?,
        Err(_) => None,
    };
    if let Some(new) = read_new(&mut fields, &customer, plan.as_ref().is_none_or(has_login)) {
        match subscriptions::create(&mut transaction, new, &controller.ids, visit.now).await? {
            Created::Created(line) => {
                let act = (Action::SubscriptionAdded, line.id.as_str(), line.username.as_str());
                let id = line.id.clone();
                let tell = move |live: &Live| {
                    live.ring_outbox();
                    live.tell(Hint::Line(id));
                };
                visit.commit(&web, transaction, act, tell).await?;
                let note = format!("{} is added. It goes on with the first payment.", line.plan_name);
                return Ok(visit.go(&format!("/customers/{}", customer.id), &Note::good(note)));
            }
            Created::UsernameTaken => {
                fields.complain("username", "another line on that router has this name; choose another");
            }
            Created::AddressTaken(holder) => fields.complain("address", address_taken(&holder)),
            Created::DeviceTaken(holder) => fields.complain("caller_id", device_taken(&holder)),
            Created::Invalid(invalid) => fields.complain_of(invalid),
            Created::NoSuchCustomer => return Err(PageError::NotFound),
            Created::NoSuchPlan => fields.complain("plan", "choose a plan of the list"),
            Created::SiteRevoked => fields.complain("router", "its site is revoked; choose another"),
            Created::NoSuchRouter => fields.complain("router", "choose a router of the list"),
        }
    }
    drop(transaction);
    show_new(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, customer, fields).await
}

fn read_new(fields: &mut Fields, customer: &Customer, has_login: bool) -> Option<NewSubscription> {
    let plan = fields.read("plan", |text| PlanId::parse(text).map_err(|_| "choose a plan of the list"));
    let router =
        fields.read("router", |text| RouterId::parse(text).map_err(|_| "choose a router of the list"));
    let username = fields.read("username", |text| Username::parse(text).map_err(|invalid| invalid.reason));
    let exact = fields.exact("password").to_owned();
    let password = if has_login {
        fields.read("password", |_| Password::parse(&exact).map_err(|invalid| invalid.reason))
    } else {
        Some(Password::unknown())
    };
    let address = fields.read("address", |text| device::address(text).map_err(|invalid| invalid.reason));
    let caller_id =
        fields.read("caller_id", |text| device::caller_id(text).map_err(|invalid| invalid.reason));
    Some(NewSubscription {
        customer: customer.id.clone(),
        plan: plan?,
        router: router?,
        username: username?,
        password: password?,
        address: address?,
        caller_id: caller_id?,
    })
}

async fn hold(State(web): State<Web>, Path(id): Path<String>, posted: Posted) -> Result<Response, PageError> {
    change(&web, &id, &posted.visit, true).await
}

async fn release(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    change(&web, &id, &posted.visit, false).await
}

async fn change(web: &Web, id: &str, visit: &Visit, is_hold: bool) -> Result<Response, PageError> {
    visit.require(Permission::HoldSubscriptions)?;
    let id = LineId::parse(id).map_err(|_| PageError::NotFound)?;
    let controller = &web.controller;
    let mut transaction = controller.database.write().await?;
    let (changed, bought, action) = if is_hold {
        (subscriptions::hold(&mut transaction, &id, visit.now).await?, None, Action::SubscriptionHeld)
    } else {
        let (actor, ids) = (visit.actor().to_string(), &controller.ids);
        let released = payments::release(&mut transaction, &id, &actor, ids, visit.now).await?;
        (released.changed, released.bought, Action::SubscriptionReleased)
    };
    let line = subscriptions::get(&mut transaction, &id).await?.ok_or(PageError::NotFound)?;
    let note = match (&changed, is_hold) {
        (Changed::NoSuchSubscription, _) => return Err(PageError::NotFound),
        (Changed::AlreadySo, true) => "It was on hold already.".to_owned(),
        (Changed::AlreadySo, false) => "It was not on hold.".to_owned(),
        (Changed::Changed(_), true) => "On hold: the site suspends the line as its plan says.".to_owned(),
        (Changed::Changed(_), false) => bought.map_or_else(
            || "Released: what is paid for counts again.".to_owned(),
            |bought| format!("Released: {} of the wallet bought a period.", display::kes(bought.price)),
        ),
    };
    if matches!(changed, Changed::Changed(_)) {
        let act = (action, id.as_str(), "");
        let told = id.clone();
        let tell = move |live: &Live| {
            live.ring_outbox();
            live.tell(Hint::Line(told));
        };
        visit.commit(web, transaction, act, tell).await?;
    }
    Ok(visit.go(&format!("/customers/{}", line.customer), &Note::good(note)))
}
