//! The JSON API: what programs use instead of pages.
//!
//! Names: ids are strings, amounts are whole cents of KES (`…_cents`), instants are milliseconds since 1970 in UTC
//! (`…_at_ms`), rates are bits per second. Every write carries an `Idempotency-Key`. The handlers stand in each
//! noun's own `api.rs`; each is listed once here for the router and once for OpenAPI, and a test compares the two.

pub mod caller;
pub mod error;
pub mod events;
pub mod once;
pub mod query;
mod store;

use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use tawi_shared::UnixMillis;
use utoipa::openapi::content::Content;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{Modify, OpenApi};

use super::Web;
use crate::database::Connection;
use crate::{
    closing, commands, customers, held_plans, messages, mpesa, overview, payments, plans, releases,
    router_writes, site_settings, sites, subscriptions, top_ups, usage,
};

pub use caller::Caller;
pub use error::{ApiError, Problem, ProblemBody};
pub use once::{Begun, Once, Reserved, Write};
pub use query::ApiQuery;

/// One route of the API.
#[derive(Clone, Debug)]
pub struct Route {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// With `{id}` where an id stands.
    pub path: &'static str,
    handler: MethodRouter<Web>,
}

impl Route {
    /// A route.
    #[must_use]
    pub fn new(method: &'static str, path: &'static str, handler: MethodRouter<Web>) -> Self {
        Self { method, path, handler }
    }
}

/// All routes but `/health`, which the pages share.
#[must_use]
pub fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::new("GET", "/api/openapi.json", get(openapi)),
        Route::new("GET", "/api/events", get(events::events)),
    ];
    routes.extend(overview::api::routes());
    routes.extend(sites::api::routes());
    routes.extend(site_settings::api::routes());
    routes.extend(releases::api::routes());
    routes.extend(router_writes::api::routes());
    routes.extend(commands::api::routes());
    routes.extend(held_plans::api::routes());
    routes.extend(customers::api::routes());
    routes.extend(customers::references::api::routes());
    routes.extend(customers::wallet::api::routes());
    routes.extend(plans::api::routes());
    routes.extend(top_ups::api::routes());
    routes.extend(subscriptions::api::routes());
    routes.extend(payments::api::routes());
    routes.extend(closing::api::routes());
    routes.extend(mpesa::statement::api::routes());
    routes.extend(mpesa::health::api::routes());
    routes.extend(mpesa::codes::api::routes());
    routes.extend(usage::api::routes());
    routes.extend(messages::api::routes());
    routes
}

pub(super) fn router() -> Router<Web> {
    let description = Description::openapi();
    routes()
        .into_iter()
        .fold(Router::new(), |router, route| {
            let item = description.paths.paths.get(route.path);
            let known = query::known(item.and_then(|item| match route.method {
                "GET" => item.get.as_ref(),
                _ => item.post.as_ref(),
            }));
            let handler = route.handler.route_layer(from_fn_with_state(known, query::refuse_unknown));
            router.route(route.path, handler)
        })
        .method_not_allowed_fallback(error::method_not_allowed)
}

/// What the API is, for programs and generators.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Tawi controller",
        description = "Customers, plans, payments and sites of an ISP. Ids are strings; amounts are whole cents of KES; \
            instants are milliseconds since 1970 in UTC; rates are bits per second. Every write needs an \
            Idempotency-Key: the same key with the same body gives the same answer, with another body 422.",
    ),
    modifiers(&Bearer, &BadQuery),
    security(("token" = [])),
    paths(
        openapi,
        events::events,
        super::health::health,
        overview::api::overview,
        sites::api::list, sites::api::add, sites::api::get_one, sites::api::make_ticket, sites::api::revoke, sites::api::events,
        sites::api::list_routers, sites::api::add_router,
        site_settings::api::get_one, site_settings::api::change,
        releases::api::list_releases, releases::api::list, releases::api::start, releases::api::get_one,
        releases::api::change,
        router_writes::api::list,
        commands::api::list, commands::api::give, commands::api::get_one, commands::api::get_answer,
        held_plans::api::list, held_plans::api::get_one,
        customers::api::search, customers::api::create, customers::api::get_one,
        customers::references::api::list,
        customers::references::api::add,
        customers::references::api::remove,
        customers::wallet::api::movements,
        plans::api::list_connection_types, plans::api::create_connection_type,
        plans::api::change_connection_type,
        plans::api::list_plans, plans::api::create_plan, plans::api::change_plan,
        top_ups::api::list, top_ups::api::create,
        subscriptions::api::create, subscriptions::api::get_one, subscriptions::api::edit,
        subscriptions::api::hold, subscriptions::api::release,
        payments::api::request, payments::api::get_intent, payments::api::list, payments::review::api::review,
        payments::review::api::as_it_came, payments::review::api::looked_at, payments::review::api::book, payments::suspense::api::assign_payment, payments::api::get_one, payments::api::top_up,
        closing::api::day_of, closing::api::last_proof,
        payments::counter::api::take, payments::counter::api::cash, payments::counter::api::bank,
        payments::corrections::api::move_one, payments::corrections::api::split_one,
        payments::refunds::api::ask, payments::refunds::api::list, payments::refunds::api::get_one,
        payments::refunds::api::decide,
        payments::corrections::api::undo_one, payments::corrections::api::write_off_debt,
        mpesa::statement::api::take, mpesa::health::api::health, mpesa::codes::api::code,
        usage::api::of_line,
        messages::api::list, messages::api::get_one, messages::api::test, messages::api::choose_language,
    ),
    components(schemas(Problem, ProblemBody)),
)]
pub struct Description;

/// Any route may be asked with a name after the `?` that it does not have.
struct BadQuery;

impl Modify for BadQuery {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for operation in openapi.paths.paths.values_mut().filter_map(|item| item.get.as_mut()) {
            let response = ResponseBuilder::new()
                .description(
                    "A name after the ? that this route does not have, a value that cannot be read, or control \
                     characters in the address",
                )
                .content("application/json", Content::new(Some(Ref::from_schema_name("Problem"))))
                .build();
            operation.responses.responses.entry("400".to_owned()).or_insert(RefOr::T(response));
        }
    }
}

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token made with `tawi-controller token add`"))
            .build();
        openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// This description.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "controller",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value)),
    security(()),
)]
async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}

/// Milliseconds since 1970, as the API writes instants.
#[must_use]
pub fn at_ms(at: UnixMillis) -> i64 {
    at.0
}

/// A connection for reading.
///
/// # Errors
/// When none is free.
pub async fn reader(web: &Web) -> Result<impl std::ops::DerefMut<Target = Connection> + use<>, ApiError> {
    Ok(web.controller.database.read().await?)
}
