//! The program that calls: whose token the request carries, and what it may do.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use super::ApiError;
use crate::audit::Actor;
use crate::staff::{self, Permission, Role, SecretToken};
use crate::web::Web;

/// A program with a token.
#[derive(Clone, Debug)]
pub struct Caller {
    name: String,
    role: Role,
}

impl Caller {
    /// The caller, for the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Token(self.name.clone())
    }

    /// What they are.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Refuses a caller who may not.
    ///
    /// # Errors
    /// 403.
    pub fn require(&self, permission: Permission) -> Result<(), ApiError> {
        if self.role.may(permission) {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("the role {} may not do this", self.role),
            "use a token with another role",
        ))
    }
}

impl FromRequestParts<Web> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, ApiError> {
        let refuse = |message: &str| {
            ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                message,
                "send \"Authorization: Bearer <token>\" with a token from `tawi-controller token add`",
            )
        };
        let token = bearer(&parts.headers).ok_or_else(|| refuse("there is no bearer token"))?;
        let mut reader = web.controller.database.read().await?;
        let holder = staff::token_holder(&mut reader, &SecretToken::received(token)).await?;
        let holder = holder.ok_or_else(|| refuse("the token is unknown or was revoked"))?;
        Ok(Self { name: holder.name, role: holder.role })
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.trim())
}
