//! Who asks: from the token of a request to a [`RequestContext`], or 401, or 503 while Keystone does not answer.
//!
//! A handler that takes a [`Caller`] cannot be reached without a valid token. No identity header of the caller's is ever read,
//! only the tokens: `X-Auth-Token` (`X-Storage-Token` where that is absent) and `X-Service-Token`.

use std::future::Future;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use super::ApiState;
use super::admission::{Admitted, Presented, admit};
use super::envelope::current_request;
use super::fault::Fault;
use crate::app::RequestContext;
use crate::app::policy::Policy;
use crate::error::{Error, Kind};
use crate::telemetry;

/// A caller whose token is valid and scoped to a project.
pub struct Caller(pub RequestContext);

impl FromRequest for Caller {
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self, Fault>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or_default().to_owned());
        let token = header("x-auth-token").or_else(|| header("x-storage-token"));
        let service_token = header("x-service-token");
        let (method, path) = (request.method().to_string(), request.path().to_owned());
        let state = request.app_data::<web::Data<ApiState>>().cloned();
        Box::pin(async move {
            let state = state.ok_or_else(|| Error::internal("The API has no state."))?;
            let presented = Presented {
                token: token.as_deref(),
                service_token: service_token.as_deref(),
                method: &method,
                path: &path,
            };
            let Admitted { user: facts, service } =
                admit(state.authenticator.as_ref(), &state.admission, presented).await?;
            let project_id = facts.project_id.clone().ok_or_else(|| {
                Error::new(Kind::Forbidden, "The token is not scoped to a project.")
                    .remedy("Ask Keystone for a token that is scoped to the project of the server.")
            })?;
            telemetry::caller(&tracing::Span::current(), &project_id, &facts.user_id);
            Ok(Self(RequestContext {
                project_id,
                user_id: facts.user_id.clone(),
                user_domain_id: facts.user_domain_id.clone(),
                project_domain_id: facts.project_domain_id.clone(),
                policy: Policy { rules: state.policy.rules(), remote: state.policy_server.clone() },
                roles: facts.roles.clone(),
                service,
                request_id: current_request(|ids| ids.global.clone()),
            }))
        })
    }
}
