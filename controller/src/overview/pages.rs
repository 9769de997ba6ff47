//! The first page: four figures, who waits, what came in, and which sites are up.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use tawi_shared::UnixMillis;

use super::{Hour, Overview};
use crate::held_plans::view::HeldView;
use crate::ids::SiteId;
use crate::payments::PaymentRow;
use crate::payments::pages::PaymentView;
use crate::sites::Site;
use crate::sites::pages::SiteView;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::chart::{Chart, Value};
use crate::web::display;
use crate::web::error::PageError;
use crate::web::visit::{Frame, Section, Visit};

/// Bars of a day, those to come included, so that a bar stands where its hour is.
const HOURS: usize = 24;

/// What a new owner does first.
#[derive(Clone, Debug)]
struct FirstStep {
    is_done: bool,
    text: &'static str,
    href: Option<&'static str>,
    link: &'static str,
}

/// Somebody who paid and is not connected.
#[derive(Clone, Debug)]
struct Waiting {
    payment: PaymentView,
    site_id: String,
    site_name: String,
}

/// A router on which another board answers than before.
#[derive(Clone, Debug)]
struct Stranger {
    site_id: String,
    site_name: String,
    router: String,
}

#[derive(Template)]
#[template(path = "overview/overview.html")]
struct OverviewPage {
    frame: Frame,
    day: String,
    online: u64,
    money: String,
    payments: u64,
    sites_up: usize,
    /// Those that should be up: not the revoked ones.
    sites_counted: usize,
    sites: Vec<SiteView>,
    waiting: Vec<Waiting>,
    held: Vec<HeldView>,
    strangers: Vec<Stranger>,
    for_review: u64,
    overdue_reviews: u64,
    mpesa_alarms: Vec<String>,
    broken_books: Vec<String>,
    upgrade_alarms: Vec<String>,
    recent: Vec<PaymentView>,
    first_steps: Vec<FirstStep>,
    chart: Chart,
    chart_summary: String,
    chart_top: String,
    ticks: [&'static str; 5],
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/", get(overview))
}

async fn overview(visit: Visit, State(web): State<Web>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    let now = visit.now;
    let mut reader = web.controller.database.read().await?;
    let overview = super::read(&mut reader, web.short_codes.as_ref(), now).await?;
    drop(reader);
    let site_of = |id: &SiteId| overview.sites.iter().find(|site| site.id == *id);
    let view = |row: &PaymentRow| {
        let site = row.trace.as_ref().and_then(|trace| site_of(&trace.site));
        (PaymentView::of(row, site, now), site)
    };
    let waiting = overview.unconnected.iter().map(|row| {
        let (payment, site) = view(row);
        let (site_id, site_name) =
            site.map(|site| (site.id.to_string(), site.name.clone())).unwrap_or_default();
        Waiting { payment, site_id, site_name }
    });
    // While a site is away nobody knows what answers there.
    let strangers = overview.strangers.iter().filter_map(|router| {
        let site = site_of(&router.site).filter(|site| site.presence.is_online)?;
        let (site_id, site_name) = (site.id.to_string(), site.name.clone());
        Some(Stranger { site_id, site_name, router: router.name.clone() })
    });
    let counted = || overview.sites.iter().filter(|site| site.revoked_at.is_none());
    let (chart, chart_summary) = chart(&overview.hours);
    let page = OverviewPage {
        frame: visit.frame("Overview", Section::Overview),
        day: display::day(now),
        online: overview.lines_online,
        money: display::kes(overview.today.amount),
        payments: overview.today.payments,
        sites_up: counted().filter(|site| site.presence.is_online).count(),
        sites_counted: counted().count(),
        sites: sites(&overview.sites, now),
        waiting: waiting.collect(),
        held: overview.held.iter().map(|plan| HeldView::of(plan, now)).collect(),
        strangers: strangers.collect(),
        for_review: overview.for_review,
        overdue_reviews: overview.overdue_reviews,
        mpesa_alarms: overview.mpesa_alarms.clone(),
        broken_books: overview.broken_books.clone(),
        upgrade_alarms: overview.upgrade_alarms.clone(),
        recent: overview.recent.iter().map(|row| view(row).0).collect(),
        first_steps: first_steps(&overview),
        chart_top: display::counted(chart.top, "payment"),
        ticks: ["00:00", "06:00", "12:00", "18:00", "24:00"],
        chart,
        chart_summary,
    };
    visit.show(&page)
}

/// Those that are down first: they are what somebody looks for.
fn sites(sites: &[Site], now: UnixMillis) -> Vec<SiteView> {
    let mut sorted: Vec<&Site> = sites.iter().collect();
    sorted.sort_by_key(|site| match (site.revoked_at, site.presence.is_online, site.presence.changed_at) {
        (None, false, Some(_)) => 0,
        (None, true, _) => 1,
        (None, false, None) => 2,
        (Some(_), ..) => 3,
    });
    sorted.into_iter().map(|site| SiteView::of(site, &[], now)).collect()
}

/// Nothing, once everything is there.
fn first_steps(overview: &Overview) -> Vec<FirstStep> {
    let steps = [
        FirstStep {
            is_done: !overview.sites.is_empty(),
            text: "Add a site, and start its agent beside the routers.",
            href: Some("/sites"),
            link: "How",
        },
        FirstStep {
            is_done: overview.has_plans,
            text: "Say what is sold: a connection type and a plan.",
            href: Some("/plans"),
            link: "Plans",
        },
        FirstStep {
            is_done: !overview.recent.is_empty(),
            text: "Add a customer with a subscription, and ask their phone for the first payment.",
            href: Some("/customers"),
            link: "Customers",
        },
    ];
    if steps.iter().all(|step| step.is_done) { Vec::new() } else { steps.into() }
}

fn chart(hours: &[Hour]) -> (Chart, String) {
    let title = |hour: &Hour| {
        let (from, amount) = (display::hour_minute(hour.from), display::kes(hour.amount));
        format!("from {from}: {}, {amount}", display::counted(hour.payments, "payment"))
    };
    let mut values: Vec<Value> =
        hours.iter().map(|hour| Value { lower: hour.payments, upper: 0, title: title(hour) }).collect();
    values.resize(HOURS, Value { lower: 0, upper: 0, title: String::new() });
    let most = hours.iter().max_by_key(|hour| hour.payments).filter(|hour| hour.payments > 0);
    let summary =
        most.map_or_else(|| "No payment today yet.".to_owned(), |hour| format!("The most {}.", title(hour)));
    (Chart::draw(values), summary)
}
