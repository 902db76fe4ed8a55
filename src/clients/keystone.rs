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
    /// What it may be used for, if it comes from an application credential with access rules.
    pub access_rules: Option<AccessRules>,
}

/// All that a restricted application credential may be used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRules {
    /// The rules; a request needs one that names it.
    pub rules: Vec<AccessRule>,
    /// Types of the services in the token's catalog: rules for others mean nothing.
    pub catalog_types: Vec<String>,
}

/// One request that a restricted application credential may make.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AccessRule {
    /// Type of the service.
    pub service: String,
    /// HTTP method.
    pub method: String,
    /// Pattern of the path.
    pub path: String,
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

    /// Who holds this token. Callers that ask at once for the same token cost one question. With `allow_expired` Keystone is
    /// asked for tokens that have ended, too; it knows them for the time that its own `[token] allow_expired_window` gives.
    ///
    /// # Errors
    /// `Unauthorized` for a token that is unknown, revoked, expired or no token at all; `Unavailable` when Keystone
    /// cannot be asked.
    pub async fn validate(&self, token: &str, allow_expired: bool) -> Result<Arc<TokenFacts>> {
        let token = token.trim();
        // What is known for one question says nothing for the other.
        let key: [u8; 32] = Sha256::new_with_prefix([u8::from(allow_expired)]).chain_update(token).finalize().into();
        let question = async {
            if self.refused.contains_key(&key) {
                return Err(unauthorized());
            }
            match ask(&self.session, token, allow_expired).await? {
                Some(facts) => Ok(Arc::new(facts)),
                None => {
                    self.refused.insert(key, ()).await;
                    Err(unauthorized())
                }
            }
        };
        let facts = self.valid.try_get_with(key, question).await.map_err(|error: Arc<Error>| match error.kind() {
            Kind::Unauthorized | Kind::Unavailable => Error::clone(&error),
            // Whatever else keeps Keystone from answering, the caller and his token have no part in it.
            _ => Error::unavailable("Keystone cannot be asked whose token this is.").source(Error::clone(&error)),
        })?;
        // A token may end while its answer is still believed.
        if !allow_expired && facts.expires_at <= clock::now() {
            return Err(unauthorized());
        }
        Ok(facts)
    }
}

fn unauthorized() -> Error {
    Error::new(Kind::Unauthorized, "The request you have made requires authentication.")
}

/// What Keystone says of a session's own token.
pub(super) async fn own_token(session: &Session) -> Result<TokenFacts> {
    let token = session
        .auth
        .token(session.client.inner())
        .await
        .map_err(|cause| fault::login_failure(Service::Identity, session.scope(), cause))?;
    let token = token.to_str().map_err(|cause| Error::internal("Our own token is no text.").source(cause))?;
    ask(session, token, false)
        .await?
        .ok_or_else(|| Error::unavailable("Keystone has just forgotten the service user's own token."))
}

/// What Keystone says of a token; `None` when it knows no such token.
async fn ask(session: &Session, token: &str, allow_expired: bool) -> Result<Option<TokenFacts>> {
    let Ok(subject) = HeaderValue::from_str(token) else { return Ok(None) };
    if token.is_empty() {
        return Ok(None);
    }
    let question = |without: &[&str]| {
        let call = session
            .get(Service::Identity, &["auth", "tokens"])
            .header("x-subject-token", subject.clone())
            // Without this Keystone hides that a token is restricted, or refuses it.
            .header("openstack-identity-access-rules", HeaderValue::from_static("1.0"));
        let call = if allow_expired { call.query("allow_expired", "1") } else { call };
        without.iter().fold(call, |call, name| call.query(name, ""))
    };
    let Some(body) = if_found(question(&["nocatalog"]).fetch::<TokenBody>().await)? else { return Ok(None) };
    if body.token.access_rules().is_none() {
        return Ok(Some(body.token.into()));
    }
    // The catalog is long, and needed for few.
    Ok(if_found(question(&[]).fetch::<TokenBody>().await)?.map(|body| body.token.into()))
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
    #[serde(default)]
    catalog: Vec<CatalogEntry>,
}

impl Token {
    fn access_rules(&self) -> Option<&[AccessRule]> {
        self.application_credential.as_ref()?.access_rules.as_deref()
    }
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
    access_rules: Option<Vec<AccessRule>>,
}

#[derive(Deserialize)]
struct CatalogEntry {
    #[serde(rename = "type")]
    kind: String,
}

impl From<Token> for TokenFacts {
    fn from(token: Token) -> Self {
        let access_rules = token.access_rules().map(|rules| AccessRules {
            rules: rules.to_vec(),
            catalog_types: token.catalog.iter().map(|entry| entry.kind.clone()).collect(),
        });
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
            access_rules,
        }
    }
}
