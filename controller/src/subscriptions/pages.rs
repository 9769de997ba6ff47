//! Subscriptions on a customer's page, a new one, hold and release.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use std::time::Duration;

use tawi_shared::UnixMillis;

use super::credentials::{Password, Username};
use super::{Changed, Created, NewSubscription, Subscription};
use crate::audit::{self, Action};
use crate::customers::{self, Customer};
use crate::database::Connection;
use crate::entitlements::Status;
use crate::ids::{CustomerId, LineId, PlanId, RouterId};
use crate::live::Hint;
use crate::money::Money;
use crate::payments;
use crate::plans::{self, Plan};
use crate::sites::{self, Site};
use crate::staff::Permission;
use crate::usage::{self, Session};
use crate::web::Web;
use crate::web::chart::{Chart, Value};
use crate::web::display::{self, Badge, Moment};
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};
use crate::{ledger, subscriptions};

/// Sessions in the chart: a month of days for a line that reconnects each night.
const CHARTED: u32 = 30;
/// Sessions in the table below it.
const LISTED: usize = 5;
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
    pub(crate) paid_until: Option<Moment>,
    pub(crate) failure: String,
    pub(crate) is_held: bool,
    pub(crate) is_due: bool,
    pub(crate) ask_amount: String,
    pub(crate) usage: UsageView,
}

/// What a line moved.
#[derive(Clone, Debug)]
pub(crate) struct UsageView {
    pub(crate) sessions: u64,
    pub(crate) download: String,
    pub(crate) upload: String,
    pub(crate) chart: Chart,
    pub(crate) summary: String,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) latest: Vec<SessionView>,
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
    now: UnixMillis,
) -> Result<Vec<LineView>, PageError> {
    let wallet = ledger::wallet_of(connection, customer).await?;
    let mut views = Vec::new();
    for subscription in subscriptions::of_customer(connection, customer).await? {
        let site = sites::get(connection, &subscription.site).await?;
        let totals = usage::totals_of_line(connection, &subscription.id).await?;
        let sessions = usage::sessions_of_line(connection, &subscription.id, CHARTED).await?;
        let usage = usage_view(totals, &sessions, now);
        views.push(line_view(subscription, site, wallet, usage, now));
    }
    Ok(views)
}

fn line_view(
    line: Subscription,
    site: Option<Site>,
    wallet: Money,
    usage: UsageView,
    now: UnixMillis,
) -> LineView {
    let is_paid = line.paid_until.is_some_and(|until| until > now);
    let is_site_up = site.as_ref().is_some_and(|site| site.presence.is_online);
    let online = match (line.is_online, is_site_up) {
        (true, true) => Badge::good("online"),
        (true, false) => Badge::warn("online when last heard of"),
        (false, true) => Badge::idle("offline"),
        (false, false) => Badge::warn("site offline"),
    };
    let is_soon = line.paid_until.is_none_or(|until| until < now.plus(DUE_WITHIN));
    LineView {
        id: line.id.to_string(),
        plan: line.plan_name,
        price: display::kes(line.price),
        validity: display::validity(Duration::from_secs(line.validity_seconds)),
        service: display::service(line.service),
        username: line.username.to_string(),
        router: line.router_name,
        site_name: site.map_or_else(|| line.site.to_string(), |site| site.name),
        site_id: line.site.to_string(),
        status: status_badge(line.status, is_paid),
        online,
        online_word: if line.is_online { "Online since" } else { "Offline since" },
        online_since: Moment::maybe(line.online_changed_at, now),
        address: line.last_address,
        paid_until: Moment::maybe(line.paid_until, now),
        failure: line.failure,
        is_held: line.status == Status::Suspended,
        is_due: is_soon && line.status != Status::Suspended,
        ask_amount: payments::wallet::lacking(line.price, wallet)
            .map_or_else(String::new, |lacking| lacking.shillings_rounded_up().to_string()),
        usage,
    }
}

fn status_badge(status: Status, is_paid: bool) -> Badge {
    match status {
        Status::Draft => Badge::idle("never paid"),
        Status::Active if is_paid => Badge::good("paid"),
        // The instant has passed and the sweep has not: the site has closed the line by itself.
        Status::Active | Status::Expired => Badge::warn("expired"),
        Status::Suspended => Badge::bad("on hold"),
    }
}

fn usage_view(totals: usage::Totals, newest_first: &[Session], now: UnixMillis) -> UsageView {
    let title = |session: &Session| {
        let from = Moment::of(session.started_at, now).text;
        let (down, up) = (display::bytes(session.download_bytes), display::bytes(session.upload_bytes));
        format!("from {from}: {down} down, {up} up")
    };
    let values = newest_first.iter().rev().map(|session| Value {
        lower: session.download_bytes,
        upper: session.upload_bytes,
        title: title(session),
    });
    let started = |session: Option<&Session>| {
        session.map(|session| Moment::of(session.started_at, now).text).unwrap_or_default()
    };
    let most = newest_first.iter().max_by_key(|s| s.download_bytes.saturating_add(s.upload_bytes));
    UsageView {
        sessions: totals.sessions,
        download: display::bytes(totals.download_bytes),
        upload: display::bytes(totals.upload_bytes),
        chart: Chart::draw(values.collect()),
        summary: most
            .map(|session| format!("Data by session, the most {}", title(session)))
            .unwrap_or_default(),
        first: started(newest_first.last()),
        last: started(newest_first.first()),
        latest: newest_first.iter().take(LISTED).map(|session| session_view(session, now)).collect(),
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

/// One of a list to choose from.
#[derive(Clone, Debug)]
struct Choice {
    id: String,
    text: String,
}

#[derive(Template)]
#[template(path = "subscriptions/new.html")]
struct NewPage {
    frame: Frame,
    fields: Fields,
    customer_id: String,
    customer_name: String,
    plans: Vec<Choice>,
    routers: Vec<Choice>,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
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

fn plan_choice(plan: &Plan) -> Choice {
    let (price, validity) = (display::kes(plan.price), display::validity(plan.validity));
    let service = display::service(plan.connection_type.service);
    Choice { id: plan.id.to_string(), text: format!("{}: {price} for {validity}, {service}", plan.name) }
}

async fn create(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddCustomers)?;
    let customer = customer_of(&web, &id).await?;
    if let Some(new) = read_new(&mut fields, &customer) {
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        match subscriptions::create(&mut transaction, new, &controller.ids, visit.now).await? {
            Created::Created(line) => {
                let act = (Action::SubscriptionAdded, line.id.as_str(), line.username.as_str());
                audit::record(&mut transaction, &visit.actor(), act, &controller.ids, visit.now).await?;
                transaction.commit().await?;
                controller.live.tell(Hint::Line(line.id));
                let note = format!("{} is added. It goes on with the first payment.", line.plan_name);
                return Ok(visit.go(&format!("/customers/{}", customer.id), &Note::good(note)));
            }
            Created::UsernameTaken => {
                fields.complain("username", "another line on that router has this name; choose another");
            }
            Created::NoSuchCustomer => return Err(PageError::NotFound),
            Created::NoSuchPlan => fields.complain("plan", "choose a plan of the list"),
            Created::SiteRevoked => fields.complain("router", "its site is revoked; choose another"),
            Created::NoSuchRouter => fields.complain("router", "choose a router of the list"),
        }
    }
    show_new(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, customer, fields).await
}

fn read_new(fields: &mut Fields, customer: &Customer) -> Option<NewSubscription> {
    let plan = fields.read("plan", |text| PlanId::parse(text).map_err(|_| "choose a plan of the list"));
    let router =
        fields.read("router", |text| RouterId::parse(text).map_err(|_| "choose a router of the list"));
    let username = fields.read("username", |text| Username::parse(text).map_err(|invalid| invalid.reason));
    let exact = fields.exact("password").to_owned();
    let password = fields.read("password", |_| Password::parse(&exact).map_err(|invalid| invalid.reason));
    Some(NewSubscription {
        customer: customer.id.clone(),
        plan: plan?,
        router: router?,
        username: username?,
        password: password?,
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
        (Changed::Changed(_), true) => "On hold: the site takes the line off the network.".to_owned(),
        (Changed::Changed(_), false) => bought.map_or_else(
            || "Released: what is paid for counts again.".to_owned(),
            |bought| format!("Released: {} of the wallet bought a period.", display::kes(bought.price)),
        ),
    };
    if matches!(changed, Changed::Changed(_)) {
        let act = (action, id.as_str(), "");
        audit::record(&mut transaction, &visit.actor(), act, &controller.ids, visit.now).await?;
        let live = controller.live.clone();
        // On a task of its own: a browser that hangs up ends this handler, and the bell must ring after the commit.
        let told = tokio::spawn(async move {
            transaction.commit().await?;
            live.ring_outbox();
            live.tell(Hint::Line(id));
            Ok::<_, sqlx::Error>(())
        });
        told.await??;
    }
    Ok(visit.go(&format!("/customers/{}", line.customer), &Note::good(note)))
}
