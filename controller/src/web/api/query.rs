//! The query of a request. One that does not fit is answered as a problem, like every other refusal of the API.

use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::ApiError;
use crate::web::Web;

/// What stands after the `?`, read.
#[derive(Clone, Copy, Debug)]
pub struct ApiQuery<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Web> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _web: &Web) -> Result<Self, ApiError> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(query)) => Ok(Self(query)),
            Err(refusal) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "bad_query",
                refusal.body_text(),
                "see GET /api/openapi.json for what stands after the ?",
            )),
        }
    }
}
