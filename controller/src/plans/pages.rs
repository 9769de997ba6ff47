//! Plans and connection types: two lists, and for owners two forms.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use tawi_shared::Bandwidth;
use tawi_shared::wire::Service;

use super::{ConnectionType, Created, NewConnectionType, NewPlan, Plan};
use crate::audit::{self, Action};
use crate::cli::units;
use crate::ids::ConnectionTypeId;
use crate::money::Money;
use crate::plans;
use crate::staff::Permission;
use crate::web::Web;
use crate::web::display;
use crate::web::error::PageError;
use crate::web::form::Fields;
use crate::web::visit::{Frame, Note, Posted, Section, Visit};

#[derive(Clone, Debug)]
struct PlanView {
    name: String,
    description: String,
    price: String,
    validity: String,
    quota: String,
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

#[derive(Template)]
#[template(path = "plans/plans.html")]
struct PlansPage {
    frame: Frame,
    plans: Vec<PlanView>,
    connection_types: Vec<TypeView>,
    plan_fields: Fields,
    type_fields: Fields,
    may_add: bool,
}

pub(crate) fn routes() -> Router<Web> {
    Router::new().route("/plans", get(list).post(create_plan)).route("/connection-types", post(create_type))
}

async fn list(visit: Visit, State(web): State<Web>) -> Result<Response, PageError> {
    visit.require(Permission::Read)?;
    show(&web, &visit, StatusCode::OK, (Fields::default(), Fields::default())).await
}

async fn show(
    web: &Web,
    visit: &Visit,
    status: StatusCode,
    (plan_fields, type_fields): (Fields, Fields),
) -> Result<Response, PageError> {
    let mut reader = web.controller.database.read().await?;
    let page = PlansPage {
        frame: visit.frame("Plans", Section::Plans),
        plans: plans::list_plans(&mut reader).await?.iter().map(plan_view).collect(),
        connection_types: plans::list_connection_types(&mut reader).await?.iter().map(type_view).collect(),
        plan_fields,
        type_fields,
        may_add: visit.may(Permission::AddPlans),
    };
    visit.show_as(status, &page)
}

fn plan_view(plan: &Plan) -> PlanView {
    let kind = &plan.connection_type;
    PlanView {
        name: plan.name.clone(),
        description: plan.description.clone(),
        price: display::kes(plan.price),
        validity: display::validity(plan.validity),
        quota: plan.data_quota_bytes.map_or_else(|| "no limit".to_owned(), display::bytes),
        service: display::service(kind.service),
        profile: kind.profile_name.clone(),
        download: kind.download.to_string(),
        upload: kind.upload.to_string(),
    }
}

fn type_view(kind: &ConnectionType) -> TypeView {
    let burst = |rate: Bandwidth| if rate.is_unlimited() { "none".to_owned() } else { rate.to_string() };
    let has_burst = !kind.download_burst.is_unlimited() || !kind.upload_burst.is_unlimited();
    TypeView {
        id: kind.id.to_string(),
        profile: kind.profile_name.clone(),
        service: display::service(kind.service),
        download: kind.download.to_string(),
        upload: kind.upload.to_string(),
        burst: if has_burst {
            format!("{} / {}", burst(kind.download_burst), burst(kind.upload_burst))
        } else {
            "none".to_owned()
        },
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
                audit::record(&mut transaction, &visit.actor(), act, &controller.ids, visit.now).await?;
                transaction.commit().await?;
                return Ok(visit.go("/plans", &Note::good(format!("{} is added.", plan.name))));
            }
            Created::NameTaken => fields.complain("name", "there is a plan of that name already"),
            Created::NoSuchConnectionType => {
                fields.complain("connection_type", "choose a connection type of the list");
            }
            Created::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, (fields, Fields::default())).await
}

fn read_plan(fields: &mut Fields) -> Option<NewPlan> {
    let connection_type = fields.read("connection_type", |text| {
        ConnectionTypeId::parse(text).map_err(|_| "choose a connection type of the list")
    });
    let price = fields.read("price", Money::parse);
    let validity = fields.read("validity", units::validity);
    let quota =
        fields.read("quota", |text| if text.is_empty() { Ok(None) } else { units::data(text).map(Some) });
    Some(NewPlan {
        name: fields.value("name").to_owned(),
        connection_type: connection_type?,
        price: price?,
        validity: validity?,
        data_quota_bytes: quota?,
        description: fields.value("description").to_owned(),
    })
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
                audit::record(&mut transaction, &visit.actor(), act, &controller.ids, visit.now).await?;
                transaction.commit().await?;
                return Ok(visit.go("/plans", &Note::good(format!("{} is added.", kind.profile_name))));
            }
            Created::NameTaken => {
                fields.complain("profile_name", "that service has a profile of that name already");
            }
            Created::NoSuchConnectionType => return Err(PageError::NotFound),
            Created::Invalid(invalid) => fields.complain_of(invalid),
        }
    }
    show(&web, &visit, StatusCode::UNPROCESSABLE_ENTITY, (Fields::default(), fields)).await
}

fn read_type(fields: &mut Fields) -> Option<NewConnectionType> {
    let service = fields.read("service", |text| Service::parse(text).ok_or("choose PPPoE or hotspot"));
    let download = fields.read("download", units::bandwidth);
    let upload = fields.read("upload", units::bandwidth);
    let burst = |text: &str| {
        if text.is_empty() { Ok(Bandwidth::UNLIMITED) } else { units::bandwidth(text) }
    };
    let download_burst = fields.read("download_burst", burst);
    let upload_burst = fields.read("upload_burst", burst);
    Some(NewConnectionType {
        service: service?,
        profile_name: fields.value("profile_name").to_owned(),
        download: download?,
        upload: upload?,
        download_burst: download_burst?,
        upload_burst: upload_burst?,
    })
}
