//! The query of a request: one that does not fit is answered as a problem, like every other refusal of the API, and so
//! is a name that the route does not have. A filter that is misspelt and passed over would answer with everything.
//!
//! What a route has is what its description says, so that the two cannot differ.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn};

use super::ApiError;
use crate::plain::line_of;
use crate::web::Web;

/// Characters of a name that nobody knows, as far as it is said back.
const NAME_CHARACTERS: usize = 40;

/// What stands after the `?`, read.
#[derive(Clone, Copy, Debug)]
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned + IntoParams> FromRequestParts<Web> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _web: &Web) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(refusal) => {
                let known: Vec<String> =
                    T::into_params(|| None).into_iter().map(|parameter| parameter.name).collect();
                Err(bad_query(refusal.body_text(), &known))
            }
        }
    }
}

fn bad_query(message: String, known: &[String]) -> ApiError {
    let cure = if known.is_empty() {
        "nothing stands after the ? on this route".to_owned()
    } else {
        format!("what may stand after the ? on this route: {}", known.join(", "))
    };
    ApiError::new(StatusCode::BAD_REQUEST, "bad_query", message, cure)
}

/// The names that an operation has after the `?`.
pub(super) fn known(operation: Option<&Operation>) -> Arc<[String]> {
    let parameters = operation.and_then(|operation| operation.parameters.as_deref()).unwrap_or_default();
    let in_query = parameters.iter().filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter.name.clone()),
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    in_query.collect()
}

/// Refuses a request that has any other name there.
pub(super) async fn refuse_unknown(
    State(known): State<Arc<[String]>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map_err(|refusal| bad_query(refusal.body_text(), &known))?;
    match pairs.iter().find(|(name, _)| !known.contains(name)) {
        None => Ok(next.run(request).await),
        Some((name, _)) => {
            let name = line_of(name, NAME_CHARACTERS);
            Err(bad_query(format!("{name}: there is no such parameter on this route"), &known))
        }
    }
}
