//! The page on which a line is changed; what may be changed is `editing`.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;

use super::credentials::Password;
use super::editing::{self, Edited, Settings};
use super::pages::{PlanChoice, address_taken, device_taken, plan_choice};
use super::{Subscription, device};
use crate::audit::Action;
use crate::ids::{LineId, PlanId};
use crate::live::{Hint, Live};
use crate::staff::Permission;
use crate::web::Web;
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};
use crate::{customers, plans, subscriptions};

/// What a ticked box sends.
const YES: &str = "yes";

#[derive(Template)]
#[template(path = "subscriptions/edit.html")]
struct EditPage {
    frame: Frame,
    fields: Fields,
    id: String,
    username: String,
    router: String,
    customer_id: String,
    customer_name: String,
    plans: Vec<PlanChoice>,
}

pub(super) fn routes() -> Router<Web> {
    Router::new().route("/subscriptions/{id}", get(one).post(change))
}

async fn line_of(web: &Web, id: &str) -> Result<Subscription, PageError> {
    let id = LineId::parse(id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    subscriptions::get(&mut reader, &id).await?.ok_or(PageError::NotFound)
}

async fn one(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Result<Response, PageError> {
    visit.require(Permission::AddCustomers)?;
    let line = line_of(&web, &id).await?;
    let address = line.address.map(|address| address.to_string()).unwrap_or_default();
    let caller_id = line.caller_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let fields = Fields::with(&[
        ("plan", line.plan.as_str()),
        ("address", address.as_str()),
        ("caller_id", caller_id.as_str()),
        ("renews", if line.renews { YES } else { "" }),
    ]);
    show(&web, &visit, StatusCode::OK, line, fields).await
}

async fn show(
    web: &Web,
    visit: &Visit,
    status: StatusCode,
    line: Subscription,
    fields: Fields,
) -> Result<Response, PageError> {
    let mut reader = web.controller.database.read().await?;
    let customer = customers::get(&mut reader, &line.customer).await?.ok_or(PageError::NotFound)?;
    let plans = plans::list_plans(&mut reader).await?;
    drop(reader);
    let page = EditPage {
        frame: visit.frame("Change subscription", Section::Customers),
        fields,
        id: line.id.to_string(),
        username: line.username.to_string(),
        router: line.router_name,
        customer_id: customer.id.to_string(),
        customer_name: customer.name,
        plans: plans.iter().map(plan_choice).collect(),
    };
    visit.show_as(status, &page)
}

async fn change(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddCustomers)?;
    let line = line_of(&web, &id).await?;
    let to = format!("/customers/{}", line.customer);
    if let Some(wanted) = read(&mut fields) {
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        let set = |settings: &mut Settings| *settings = wanted;
        match editing::edit(&mut transaction, &line.id, set, visit.now).await? {
            Edited::Edited { subscription, what, .. } => {
                let act = (Action::SubscriptionChanged, subscription.id.as_str(), what.as_str());
                let note = format!("{} is changed.", subscription.username);
                let line = subscription.id.clone();
                let tell = move |live: &Live| {
                    live.ring_outbox();
                    live.tell(Hint::Line(line));
                };
                visit.commit(&web, transaction, act, tell).await?;
                return Ok(visit.go(&to, &Note::good(note)));
            }
            Edited::AlreadySo(_) => return Ok(visit.go(&to, &Note::good("It was so already."))),
            Edited::NoSuchSubscription => return Err(PageError::NotFound),
            Edited::NoSuchPlan => fields.complain("plan", "choose a plan of the list"),
            Edited::AddressTaken(holder) => fields.complain("address", address_taken(&holder)),
            Edited::DeviceTaken(holder) => fields.complain("caller_id", device_taken(&holder)),
            Edited::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, line, fields).await
}

fn read(fields: &mut Fields) -> Option<Settings> {
    let plan = fields.read("plan", |text| PlanId::parse(text).map_err(|_| "choose a plan of the list"));
    let address = fields.read("address", |text| device::address(text).map_err(|invalid| invalid.reason));
    let caller_id =
        fields.read("caller_id", |text| device::caller_id(text).map_err(|invalid| invalid.reason));
    let exact = fields.exact("password").to_owned();
    let password = fields.read("password", |_| match exact.as_str() {
        "" => Ok(None),
        text => Password::parse(text).map(Some).map_err(|invalid| invalid.reason),
    });
    let renews = fields.is("renews", YES);
    Some(Settings { plan: plan?, address: address?, caller_id: caller_id?, renews, password: password? })
}
