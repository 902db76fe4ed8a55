//! Who asks: from the token of a request to a [`RequestContext`], or 401, or 503 while Keystone does not answer.
//!
//! A handler that takes a [`Caller`] cannot be reached without a valid token. No identity header of the caller's is ever read,
//! only `X-Auth-Token`.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use async_trait::async_trait;

use super::ApiState;
use super::envelope::current_request;
use super::fault::Fault;
use crate::app::RequestContext;
use crate::app::policy::Policy;
use crate::clients::{Keystone, TokenFacts};
use crate::error::{Error, Kind, Result};
use crate::telemetry;

/// Checks tokens.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// What a token says of its bearer.
    async fn validate(&self, token: &str) -> Result<Arc<TokenFacts>>;
}

#[async_trait]
impl Authenticator for Keystone {
    async fn validate(&self, token: &str) -> Result<Arc<TokenFacts>> {
        Keystone::validate(self, token).await
    }
}

/// A caller whose token is valid and scoped to a project.
pub struct Caller(pub RequestContext);

impl FromRequest for Caller {
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self, Fault>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let token = request.headers().get("x-auth-token").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let state = request.app_data::<web::Data<ApiState>>().cloned();
        Box::pin(async move {
            let state = state.ok_or_else(|| Error::internal("The API has no state."))?;
            let unauthorized = || Error::new(Kind::Unauthorized, "The request you have made requires authentication.");
            let token = token.filter(|token| !token.trim().is_empty()).ok_or_else(unauthorized)?;
            let facts = match state.authenticator.validate(&token).await {
                Err(error) if error.kind() == Kind::Unauthorized => return Err(unauthorized().into()),
                other => other?,
            };
            let project_id = facts.project_id.clone().ok_or_else(|| {
                Error::new(Kind::Forbidden, "The token is not scoped to a project.")
                    .remedy("Ask Keystone for a token that is scoped to the project of the server.")
            })?;
            if facts.has_access_rules {
                // Which of our paths such a credential may use is not checked yet; letting it in would be more than was given.
                return Err(Error::new(
                    Kind::Forbidden,
                    "Application credentials with access rules are not accepted yet.",
                )
                .remedy("Use one without access rules, or a token of the user.")
                .into());
            }
            telemetry::caller(&tracing::Span::current(), &project_id, &facts.user_id);
            Ok(Self(RequestContext {
                project_id,
                user_id: facts.user_id.clone(),
                user_domain_id: facts.user_domain_id.clone(),
                project_domain_id: facts.project_domain_id.clone(),
                policy: Policy { rules: state.policy.rules(), remote: state.policy_server.clone() },
                roles: facts.roles.clone(),
                request_id: current_request(|ids| ids.global.clone()),
            }))
        })
    }
}
