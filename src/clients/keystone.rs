//! Whose token is this? As keystonemiddleware's auth_token asks it: Keystone is the only judge, its answers are believed
//! for a while, and a Keystone that does not answer is *our* trouble (503), never the caller's (401).
//!
//! Cached under the token's hash, never the token: a dump of memory or a log of keys gives nothing away. A revocation
//! shows after [`Keystone::new`]'s `cache_time` at the latest. Refusals are kept for seconds only: long enough to take
//! the load of a client that loops with a dead token, short enough for a token that Keystone's replicas learn late.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use moka::future::Cache;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::fault;
use super::service::Service;
use super::session::{OpenStack, Session};
use crate::clock;
use crate::error::{Error, Kind, Result, if_found};

/// Tokens kept at most.
const TOKENS_MAX: u64 = 20_000;
/// How long a refusal is believed.
const REFUSAL_TIME: Duration = Duration::from_secs(5);

/// Who holds a token and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenFacts {
    /// User.
    pub user_id: String,
    /// The user's domain.
    pub user_domain_id: Option<String>,
    /// The project's domain.
    pub project_domain_id: Option<String>,
    /// Project that the token is scoped to; `None` for a domain, the system or nothing.
    pub project_id: Option<String>,
    /// Role names, as Keystone writes them.
    pub roles: Vec<String>,
    /// Until when it lives.
    pub expires_at: DateTime<Utc>,
    /// Whether it comes from an application credential with access rules, which may do only what these say.
    pub has_access_rules: bool,
}

/// Keystone as the judge of tokens.
#[derive(Debug)]
pub struct Keystone {
    session: Session,
    valid: Cache<[u8; 32], Arc<TokenFacts>>,
    refused: Cache<[u8; 32], ()>,
}

impl Keystone {
    /// Keystone, asked with the service user's own token; answers are believed for `cache_time` (300 s is usual).
    #[must_use]
    pub fn new(openstack: &OpenStack, cache_time: Duration) -> Self {
        Self {
            session: openstack.admin().clone(),
            valid: Cache::builder().max_capacity(TOKENS_MAX).time_to_live(cache_time).build(),
            refused: Cache::builder().max_capacity(TOKENS_MAX).time_to_live(REFUSAL_TIME.min(cache_time)).build(),
        }
    }

    /// Who holds this token. Callers that ask at once for the same token cost one question.
    ///
    /// # Errors
    /// `Unauthorized` for a token that is unknown, revoked, expired or no token at all; `Unavailable` when Keystone
    /// cannot be asked.
    pub async fn validate(&self, token: &str) -> Result<Arc<TokenFacts>> {
        let token = token.trim();
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let question = async {
            if self.refused.contains_key(&key) {
                return Err(unauthorized());
            }
            match ask(&self.session, token).await? {
                Some(facts) => Ok(Arc::new(facts)),
                None => {
                    self.refused.insert(key, ()).await;
                    Err(unauthorized())
                }
            }
        };
        let facts = self.valid.try_get_with(key, question).await.map_err(|error| Error::clone(&error))?;
        // A token may end while its answer is still believed.
        if facts.expires_at <= clock::now() {
            return Err(unauthorized());
        }
        Ok(facts)
    }
}

fn unauthorized() -> Error {
    Error::new(Kind::Unauthorized, "The request you have made requires authentication.")
}

/// The user id of a session's own token.
pub(super) async fn own_user_id(session: &Session) -> Result<String> {
    let token = session
        .auth
        .token(session.client.inner())
        .await
        .map_err(|cause| fault::login_failure(Service::Identity, session.scope(), cause))?;
    let token = token.to_str().map_err(|cause| Error::internal("Our own token is no text.").source(cause))?;
    match ask(session, token).await? {
        Some(facts) => Ok(facts.user_id),
        None => Err(Error::unavailable("Keystone has just forgotten the service user's own token.")),
    }
}

/// What Keystone says of a token; `None` when it knows no such token.
async fn ask(session: &Session, token: &str) -> Result<Option<TokenFacts>> {
    let Ok(subject) = HeaderValue::from_str(token) else { return Ok(None) };
    if token.is_empty() {
        return Ok(None);
    }
    let answer = session
        .get(Service::Identity, &["auth", "tokens"])
        .query("nocatalog", "")
        .header("x-subject-token", subject)
        // Without this Keystone hides that a token is restricted, or refuses it.
        .header("openstack-identity-access-rules", HeaderValue::from_static("1.0"))
        .fetch::<TokenBody>()
        .await;
    Ok(if_found(answer)?.map(|body| body.token.into()))
}

#[derive(Deserialize)]
struct TokenBody {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    user: Scoped,
    project: Option<Scoped>,
    #[serde(default)]
    roles: Vec<Role>,
    expires_at: DateTime<Utc>,
    application_credential: Option<ApplicationCredential>,
}

#[derive(Deserialize)]
struct Scoped {
    id: String,
    domain: Option<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    id: String,
}

#[derive(Deserialize)]
struct Role {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct ApplicationCredential {
    access_rules: Option<IgnoredAny>,
}

impl From<Token> for TokenFacts {
    fn from(token: Token) -> Self {
        Self {
            user_id: token.user.id,
            user_domain_id: token.user.domain.map(|domain| domain.id),
            project_domain_id: token
                .project
                .as_ref()
                .and_then(|project| project.domain.as_ref())
                .map(|it| it.id.clone()),
            project_id: token.project.map(|project| project.id),
            roles: token.roles.into_iter().map(|role| role.name).collect(),
            expires_at: token.expires_at,
            has_access_rules: token.application_credential.is_some_and(|credential| credential.access_rules.is_some()),
        }
    }
}
