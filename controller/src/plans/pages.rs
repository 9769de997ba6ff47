//! What is sold, how it is set up, and what tops it up: three lists, for owners a form to add to each, and pages to
//! change a plan or a connection type.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tawi_shared::wire::Service;

use super::forms::{self, profile_fields, read_plan, read_profile, read_terms, read_type, terms_fields};
use super::{Changed, ConnectionType, Created, Family, Plan};
use crate::audit::Action;
use crate::ids::{ConnectionTypeId, PlanId};
use crate::live::Live;
use crate::plans;
use crate::staff::Permission;
use crate::subscriptions::reach::{self, Of};
use crate::top_ups::{self, TopUp};
use crate::web::Web;
use crate::web::display;
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

#[derive(Clone, Debug)]
struct PlanView {
    id: String,
    name: String,
    description: String,
    price: String,
    validity: String,
    quota: String,
    after_quota: String,
    suspension: String,
    offline: String,
    service: &'static str,
    profile: String,
    download: String,
    upload: String,
}

#[derive(Clone, Debug)]
struct TypeView {
    id: String,
    profile: String,
    service: &'static str,
    download: String,
    upload: String,
    burst: String,
}

#[derive(Clone, Debug)]
struct TopUpView {
    name: String,
    price: String,
    data: String,
    plan: String,
}

/// One of a list to choose from.
#[derive(Clone, Debug)]
struct Choice {
    id: &'static str,
    text: &'static str,
}

/// The forms of the page, with what was typed into the one that was refused.
#[derive(Default)]
struct Forms {
    plan: Fields,
    kind: Fields,
    top_up: Fields,
}

#[derive(Template)]
#[template(path = "plans/plans.html")]
struct PlansPage {
    frame: Frame,
    plans: Vec<PlanView>,
    connection_types: Vec<TypeView>,
    top_ups: Vec<TopUpView>,
    services: Vec<Choice>,
    plan_fields: Fields,
    type_fields: Fields,
    top_up_fields: Fields,
    may_add: bool,
}

#[derive(Template)]
#[template(path = "plans/plan.html")]
struct PlanPage {
    frame: Frame,
    id: String,
    name: String,
    what: String,
    /// What a change would touch.
    reach: String,
    plan_fields: Fields,
}

#[derive(Template)]
#[template(path = "plans/connection_type.html")]
struct TypePage {
    frame: Frame,
    id: String,
    name: String,
    what: String,
    /// What a change would touch.
    reach: String,
    /// How they will feel it.
    at_another_speed: &'static str,
    type_fields: Fields,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new()
        .route("/plans", get(list).post(create_plan))
        .route("/plans/{id}", get(one_plan).post(change_plan))
        .route("/connection-types", post(create_type))
        .route("/connection-types/{id}", get(one_type).post(change_type))
        .route("/top-ups", post(create_top_up))
}

async fn list(visit: Visit, State(web): State<Web>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    show(&web, &visit, StatusCode::OK, Forms::default()).await
}

async fn show(web: &Web, visit: &Visit, status: StatusCode, forms: Forms) -> Result<Response, PageError> {
    let mut reader = web.controller.database.read().await?;
    let choice = |service: &Service| Choice { id: service.as_str(), text: display::service(*service) };
    let page = PlansPage {
        frame: visit.frame("Plans", Section::Plans),
        plans: plans::list_plans(&mut reader).await?.iter().map(plan_view).collect(),
        connection_types: plans::list_connection_types(&mut reader).await?.iter().map(type_view).collect(),
        top_ups: top_ups::list(&mut reader).await?.iter().map(top_up_view).collect(),
        services: Service::ALL.iter().map(choice).collect(),
        plan_fields: forms.plan,
        type_fields: forms.kind,
        top_up_fields: forms.top_up,
        may_add: visit.may(Permission::AddPlans),
    };
    visit.show_as(status, &page)
}

fn plan_view(plan: &Plan) -> PlanView {
    let (kind, terms) = (&plan.connection_type, &plan.terms);
    let after_quota = terms.data_quota_bytes.map(|_| terms.after_quota.to_string());
    let offline =
        terms.offline.map(|rule| format!("{} after {} h without head office", rule.then, rule.after_hours));
    PlanView {
        id: plan.id.to_string(),
        name: plan.name.clone(),
        description: terms.description.clone(),
        price: display::kes(terms.price),
        validity: display::validity(terms.validity),
        quota: terms.data_quota_bytes.map_or_else(|| "no limit".to_owned(), display::bytes),
        after_quota: after_quota.unwrap_or_default(),
        suspension: terms.suspension.to_string(),
        offline: offline.unwrap_or_default(),
        service: display::service(kind.service),
        profile: kind.profile_name.clone(),
        download: kind.profile.download.to_string(),
        upload: kind.profile.upload.to_string(),
    }
}

fn type_view(kind: &ConnectionType) -> TypeView {
    let profile = &kind.profile;
    let burst = |rate: tawi_shared::Bandwidth| {
        if rate.is_unlimited() { "none".to_owned() } else { rate.to_string() }
    };
    let has_burst = !profile.download_burst.is_unlimited() || !profile.upload_burst.is_unlimited();
    TypeView {
        id: kind.id.to_string(),
        profile: kind.profile_name.clone(),
        service: display::service(kind.service),
        download: profile.download.to_string(),
        upload: profile.upload.to_string(),
        burst: if has_burst {
            format!("{} / {}", burst(profile.download_burst), burst(profile.upload_burst))
        } else {
            "none".to_owned()
        },
    }
}

fn top_up_view(top_up: &TopUp) -> TopUpView {
    let is_for_any = top_up.plan.is_none();
    TopUpView {
        name: top_up.name.clone(),
        price: display::kes(top_up.price),
        data: display::bytes(top_up.bytes),
        plan: if is_for_any { "any plan with a data limit".to_owned() } else { top_up.plan_name.clone() },
    }
}

async fn create_plan(State(web): State<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddPlans)?;
    if let Some(new) = read_plan(&mut fields) {
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        match plans::create_plan(&mut transaction, new, &controller.ids, visit.now).await? {
            Created::Created(plan) => {
                let act = (Action::PlanAdded, plan.id.as_str(), plan.name.as_str());
                visit.commit(&web, transaction, act, |_| {}).await?;
                return Ok(visit.go("/plans", &Note::good(format!("{} is added.", plan.name))));
            }
            Created::NameTaken => {
                fields.complain("name", "there is a plan of that name already: choose another");
            }
            Created::NoSuchConnectionType => {
                fields.complain("connection_type", "choose a connection type of the list");
            }
            Created::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    let forms = Forms { plan: fields, ..Forms::default() };
    show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, forms).await
}

async fn create_type(State(web): State<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddPlans)?;
    if let Some(new) = read_type(&mut fields) {
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        match plans::create_connection_type(&mut transaction, new, &controller.ids, visit.now).await? {
            Created::Created(kind) => {
                let act = (Action::ConnectionTypeAdded, kind.id.as_str(), kind.profile_name.as_str());
                visit.commit(&web, transaction, act, |_| {}).await?;
                return Ok(visit.go("/plans", &Note::good(format!("{} is added.", kind.profile_name))));
            }
            Created::NameTaken => fields.complain(
                "profile_name",
                "there is a profile of that name already, choose another: PPP services share one list of them on a router",
            ),
            Created::NoSuchConnectionType => return Err(PageError::NotFound),
            Created::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    let forms = Forms { kind: fields, ..Forms::default() };
    show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, forms).await
}

async fn create_top_up(State(web): State<Web>, posted: Posted) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddPlans)?;
    if let Some(new) = forms::read_top_up(&mut fields) {
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        match top_ups::create(&mut transaction, new, &controller.ids, visit.now).await? {
            top_ups::Created::Created(top_up) => {
                let act = (Action::TopUpAdded, top_up.id.as_str(), top_up.name.as_str());
                visit.commit(&web, transaction, act, |_| {}).await?;
                return Ok(visit.go("/plans", &Note::good(format!("{} is added.", top_up.name))));
            }
            top_ups::Created::NameTaken => {
                fields.complain("name", "there is a top-up of that name already: choose another");
            }
            top_ups::Created::NoSuchPlan => fields.complain("plan", "choose a plan of the list"),
            top_ups::Created::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    let forms = Forms { top_up: fields, ..Forms::default() };
    show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, forms).await
}

async fn plan_of(web: &Web, id: &str) -> Result<Plan, PageError> {
    let id = PlanId::parse(id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    plans::get_plan(&mut reader, &id).await?.ok_or(PageError::NotFound)
}

async fn one_plan(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    visit.require(Permission::AddPlans)?;
    let plan = plan_of(&web, &id).await?;
    let fields = terms_fields(&plan.terms);
    show_plan(&web, &visit, StatusCode::OK, &plan, fields).await
}

async fn show_plan(
    web: &Web,
    visit: &Visit,
    status: StatusCode,
    plan: &Plan,
    plan_fields: Fields,
) -> Result<Response, PageError> {
    let kind = &plan.connection_type;
    let mut reader = web.controller.database.read().await?;
    let page = PlanPage {
        frame: visit.frame(plan.name.clone(), Section::Plans),
        id: plan.id.to_string(),
        name: plan.name.clone(),
        what: format!("{} on {}", display::service(kind.service), kind.profile_name),
        reach: reach::reach(&mut reader, Of::Plan(&plan.id)).await?.to_string(),
        plan_fields,
    };
    visit.show_as(status, &page)
}

async fn change_plan(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddPlans)?;
    let plan = plan_of(&web, &id).await?;
    if let Some(terms) = read_terms(&mut fields) {
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        let there = plans::get_plan(&mut transaction, &plan.id).await?.ok_or(PageError::NotFound)?.terms;
        if !forms::is_still(&mut fields, &there.seen(), &there.in_words()) {
            drop(transaction);
            return show_plan(&web, &visit, StatusCode::CONFLICT, &plan, fields).await;
        }
        match plans::change_plan(&mut transaction, &plan.id, terms, visit.now).await? {
            Changed::Changed(plan) => {
                let words = plan.terms.in_words();
                let act = (Action::PlanChanged, plan.id.as_str(), words.as_str());
                visit.commit(&web, transaction, act, |_| {}).await?;
                return Ok(visit.go("/plans", &Note::good(format!("{} is changed.", plan.name))));
            }
            Changed::NoSuchOne => return Err(PageError::NotFound),
            Changed::AgainstPlan(plan) => fields.complain("download", plans::against_plan(&plan)),
            Changed::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    show_plan(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, &plan, fields).await
}

async fn type_of(web: &Web, id: &str) -> Result<ConnectionType, PageError> {
    let id = ConnectionTypeId::parse(id).map_err(|_| PageError::NotFound)?;
    let mut reader = web.controller.database.read().await?;
    plans::get_connection_type(&mut reader, &id).await?.ok_or(PageError::NotFound)
}

async fn one_type(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    visit.require(Permission::AddPlans)?;
    let kind = type_of(&web, &id).await?;
    let fields = profile_fields(&kind.profile);
    show_type(&web, &visit, StatusCode::OK, &kind, fields).await
}

async fn show_type(
    web: &Web,
    visit: &Visit,
    status: StatusCode,
    kind: &ConnectionType,
    type_fields: Fields,
) -> Result<Response, PageError> {
    let mut reader = web.controller.database.read().await?;
    let page = TypePage {
        frame: visit.frame(kind.profile_name.clone(), Section::Plans),
        id: kind.id.to_string(),
        name: kind.profile_name.clone(),
        what: display::service(kind.service).to_owned(),
        reach: reach::reach(&mut reader, Of::ConnectionType(&kind.id)).await?.to_string(),
        at_another_speed: Family::of(kind.service).at_another_speed(),
        type_fields,
    };
    visit.show_as(status, &page)
}

async fn change_type(
    State(web): State<Web>,
    Path(id): Path<String>,
    posted: Posted,
) -> Result<Response, PageError> {
    let Posted { visit, mut fields } = posted;
    visit.require(Permission::AddPlans)?;
    let kind = type_of(&web, &id).await?;
    if let Some(profile) = read_profile(&mut fields) {
        let controller = &web.controller;
        let mut transaction = controller.database.write().await?;
        let there = plans::get_connection_type(&mut transaction, &kind.id).await?;
        let there = there.ok_or(PageError::NotFound)?.profile;
        if !forms::is_still(&mut fields, &there.seen(), &there.in_words()) {
            drop(transaction);
            return show_type(&web, &visit, StatusCode::CONFLICT, &kind, fields).await;
        }
        match plans::change_connection_type(&mut transaction, &kind.id, profile, visit.now).await? {
            Changed::Changed(kind) => {
                let words = kind.profile.in_words();
                let act = (Action::ConnectionTypeChanged, kind.id.as_str(), words.as_str());
                visit.commit(&web, transaction, act, Live::ring_outbox).await?;
                let note = format!("{} is changed, at every site that has it.", kind.profile_name);
                return Ok(visit.go("/plans", &Note::good(note)));
            }
            Changed::NoSuchOne => return Err(PageError::NotFound),
            Changed::AgainstPlan(plan) => fields.complain("download", plans::against_plan(&plan)),
            Changed::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    show_type(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, &kind, fields).await
}
