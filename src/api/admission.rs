//! Who is let in: what keystonemiddleware's auth_token decides of a request's tokens, in the same order.
//!
//! A service token (`X-Service-Token`) says that another service passes on what its user has asked for. It must be valid; one of
//! a service (by role) lets the user's token be used a while after its end, since a long task may outlive it, and lets a
//! restricted credential pass, since the user has asked that service and not us. Whatever is wrong with a token is 401, and a
//! Keystone that gives no answer is 503.

use std::sync::Arc;

use async_trait::async_trait;

use super::access_rules;
use crate::clients::{Keystone, TokenFacts};
use crate::error::{Error, Kind, Result};

/// Checks tokens.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// What a token says of its bearer; one that has ended only counts where `allow_expired`.
    ///
    /// # Errors
    /// `Unauthorized` for a token that does not count; anything else means that nobody can say.
    async fn validate(&self, token: &str, allow_expired: bool) -> Result<Arc<TokenFacts>>;
}

#[async_trait]
impl Authenticator for Keystone {
    async fn validate(&self, token: &str, allow_expired: bool) -> Result<Arc<TokenFacts>> {
        Keystone::validate(self, token, allow_expired).await
    }
}

/// How tokens are judged, beside what Keystone says of them: three options of `[keystone_authtoken]`.
#[derive(Debug, Clone)]
pub struct AdmissionSettings {
    /// Our type in the catalog, which access rules name.
    pub service_type: String,
    /// Roles of which a service has one.
    pub service_token_roles: Vec<String>,
    /// Whether a service token without such a role is refused. Else it is as good as none, but for access rules.
    pub service_token_roles_required: bool,
}

/// What a request brings.
#[derive(Debug, Clone, Copy)]
pub struct Presented<'a> {
    /// The user's token.
    pub token: Option<&'a str>,
    /// The token of a service that asks for the user.
    pub service_token: Option<&'a str>,
    /// HTTP method.
    pub method: &'a str,
    /// Path as it came.
    pub path: &'a str,
}

/// Who asks, and for whom.
#[derive(Debug, Clone)]
pub struct Admitted {
    /// The user.
    pub user: Arc<TokenFacts>,
    /// The service that asks for the user.
    pub service: Option<Arc<TokenFacts>>,
}

/// The caller of a request.
///
/// # Errors
/// `Unauthorized` when a token is missing or does not count for this request; whatever the authenticator fails with.
pub async fn admit(
    authenticator: &dyn Authenticator,
    settings: &AdmissionSettings,
    presented: Presented<'_>,
) -> Result<Admitted> {
    let service = match presented.service_token.filter(|token| !token.is_empty()) {
        None => None,
        Some(token) => Some(believed(authenticator.validate(token, false).await)?),
    };
    let is_service = service.iter().flatten().any(|facts| {
        // Role names are compared exactly here, as keystonemiddleware does.
        facts.roles.iter().any(|role| settings.service_token_roles.contains(role))
    });
    let token = presented.token.filter(|token| !token.is_empty()).ok_or_else(unauthorized)?;
    let user = believed(authenticator.validate(token, is_service).await)?.ok_or_else(unauthorized)?;
    let service = match service {
        Some(None) => return Err(unauthorized()),
        Some(Some(_)) if !is_service && settings.service_token_roles_required => return Err(unauthorized()),
        other => other.flatten(),
    };
    if let Some(rules) = &user.access_rules {
        let known = access_rules::know(rules, &settings.service_type);
        let asked_for = || access_rules::allow(rules, &settings.service_type, presented.method, presented.path);
        if !known || service.is_none() && !asked_for() {
            return Err(unauthorized());
        }
    }
    Ok(Admitted { user, service })
}

/// The facts of a token that counts. Why one does not is nobody's business but its owner's.
fn believed(answer: Result<Arc<TokenFacts>>) -> Result<Option<Arc<TokenFacts>>> {
    match answer {
        Ok(facts) => Ok(Some(facts)),
        Err(error) if error.kind() == Kind::Unauthorized => Ok(None),
        Err(error) => Err(error),
    }
}

fn unauthorized() -> Error {
    Error::new(Kind::Unauthorized, "The request you have made requires authentication.")
}
