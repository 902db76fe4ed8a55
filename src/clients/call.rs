//! The one way out: every request to a service is a [`Call`].
//!
//! - 401: our token was revoked, or a service lost sight of it. One renewal of the login, one more try.
//! - 429 and 503: waits as `Retry-After` says, a few times. A 413 is a quota here, whatever its `Retry-After`.
//! - no answer: tried again, but only verbs that may be repeated; a POST may have been done, and whoever sent it looks
//!   (find before create) before sending it again.
//! - one deadline over all of that: many callers that wait for one dead Keystone give up together, not one by one.
//!
//! Neither bodies nor tokens are ever logged.

use std::pin::pin;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::future::{Either, select};
use openstack::ErrorKind;
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tracing::Instrument;

use super::fault;
use super::service::Service;
use super::session::Session;
use crate::error::{Error, Result};
use crate::{clock, measures};

/// Tries of one call, the first included.
const TRIES_MAX: u32 = 4;
/// Wait before the second try where the service names none; doubles.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
/// Longest single wait, whatever the service asks for.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A request in the making.
pub(super) struct Call<'a> {
    session: &'a Session,
    service: Service,
    method: Method,
    path: Vec<String>,
    query: Vec<(String, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Value>,
}

/// What came back, with a status that is a success (or was allowed).
pub(super) struct Answer {
    service: Service,
    /// Status.
    pub(super) status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A try that brought no answer.
struct Lost {
    error: Error,
    /// Whether a second try can help.
    again: bool,
}

impl Session {
    /// Starts a call. Segments of the path are encoded: ids of any origin are safe.
    pub(super) fn call<'a>(&'a self, method: Method, service: Service, path: &[&str]) -> Call<'a> {
        Call {
            session: self,
            service,
            method,
            path: path.iter().map(|&segment| segment.to_owned()).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
        }
    }
    /// Starts a GET.
    pub(super) fn get<'a>(&'a self, service: Service, path: &[&str]) -> Call<'a> {
        self.call(Method::GET, service, path)
    }
    /// Starts a POST.
    pub(super) fn post<'a>(&'a self, service: Service, path: &[&str], body: Value) -> Call<'a> {
        self.call(Method::POST, service, path).body(body)
    }
    /// Starts a PUT.
    pub(super) fn put<'a>(&'a self, service: Service, path: &[&str], body: Value) -> Call<'a> {
        self.call(Method::PUT, service, path).body(body)
    }
    /// Starts a DELETE.
    pub(super) fn delete<'a>(&'a self, service: Service, path: &[&str]) -> Call<'a> {
        self.call(Method::DELETE, service, path)
    }
}

impl Call<'_> {
    /// Adds a query parameter.
    pub(super) fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }
    /// Adds a header; its value is treated as a secret.
    pub(super) fn header(mut self, name: &'static str, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.push((HeaderName::from_static(name), value));
        self
    }
    /// Sets the JSON body.
    pub(super) fn body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
    /// Sends it and reads a JSON body.
    pub(super) async fn fetch<T: DeserializeOwned>(self) -> Result<T> {
        self.send().await?.json()
    }

    /// Sends it; answers that are no success are errors.
    pub(super) async fn send(self) -> Result<Answer> {
        let path = format!("/{}", self.path.join("/"));
        let span = tracing::debug_span!(
            "os_call",
            service = %self.service,
            method = %self.method,
            path,
            request_id = super::request_id(),
            status = tracing::field::Empty,
            service_request_id = tracing::field::Empty,
            duration_ms = tracing::field::Empty,
        );
        let (service, verb) = (self.service, self.method.to_string());
        let deadline = self.session.timeout;
        let begin = clock::Instant::now();
        let work = async move {
            let outcome = self.send_within_deadline().await;
            let here = tracing::Span::current();
            here.record("duration_ms", u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
            match &outcome {
                Ok(answer) => tracing::debug!(status = answer.status.as_u16(), "{service} answered"),
                Err(error) => tracing::debug!(error = %error, "the call to {service} failed"),
            }
            outcome
        };
        let outcome = match select(pin!(work.instrument(span)), pin!(clock::sleep(deadline))).await {
            Either::Left((outcome, _)) => outcome,
            Either::Right(_) => {
                Err(Error::unavailable(format!("{service} did not answer within {} seconds.", deadline.as_secs_f32()))
                    .remedy(format!("Look at the load of {service} and of Keystone.")))
            }
        };
        measures::backend_asked(&service.to_string(), &verb, outcome.is_ok(), begin.elapsed());
        outcome
    }

    async fn send_within_deadline(&self) -> Result<Answer> {
        let mut renewed = false;
        let mut tries = 1;
        loop {
            let (login, service_login) = (self.session.auth.login(), self.session.service_auth.login());
            let pause = match self.try_once().await {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !renewed => {
                    renewed = true;
                    self.session.auth.renew(&login);
                    self.session.service_auth.renew(&service_login);
                    continue;
                }
                Ok(answer) => match answer.pause(&self.method, tries) {
                    Some(pause) => pause,
                    None => return self.judge(answer),
                },
                Err(lost) if lost.again && repeatable(&self.method) && tries < TRIES_MAX => back_off(tries),
                Err(lost) => return Err(lost.error),
            };
            tries += 1;
            clock::sleep(pause).await;
        }
    }

    async fn try_once(&self) -> std::result::Result<Answer, Lost> {
        let session = self.session;
        let http = session.client.inner();
        // Asked for on their own, so that a failed login is not taken for a failure of the service.
        let login_failed = |cause: openstack::Error| Lost {
            // A refused login is not repeated: Keystone may lock the account after a few.
            again: cause.kind() == ErrorKind::ProtocolError,
            error: fault::login_failure(self.service, session.scope(), cause),
        };
        session.auth.token(http).await.map_err(login_failed)?;
        session.auth.endpoint(http, self.service).await.map_err(login_failed)?;

        // A session of the crate for this call alone: it would keep endpoints of an older login.
        let transport = openstack::session::Session::new_with_authenticated_client(session.client.clone());
        let mut request = transport.request(self.service, self.method.clone(), &self.path);
        if !self.query.is_empty() {
            request = request.query(&self.query);
        }
        if let Some(version) = self.service.version_header() {
            request = request.header("OpenStack-API-Version", version);
        }
        if self.service.wants_service_token() {
            let token = session.service_auth.token(http).await.map_err(login_failed)?;
            request = request.header("X-Service-Token", token);
        }
        if let Some(id) = super::request_id() {
            request = request.header("X-Openstack-Request-Id", id);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request = request.header("Accept", "application/json");
        if let Some(body) = &self.body {
            request = request.json(body);
        }

        let no_answer = |cause: openstack::Error| Lost { again: true, error: fault::no_answer(self.service, cause) };
        let response = request.send_unchecked().await.map_err(no_answer)?;
        let status = response.status();
        let headers = response.headers().clone();
        let here = tracing::Span::current();
        here.record("status", status.as_u16());
        if let Some(id) = headers.get("x-openstack-request-id").and_then(|id| id.to_str().ok()) {
            here.record("service_request_id", id);
        }
        let body = response.bytes().await.map_err(|cause| no_answer(cause.into()))?.to_vec();
        Ok(Answer { service: self.service, status, headers, body })
    }

    fn judge(&self, answer: Answer) -> Result<Answer> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(fault::refusal(self.service, self.session.scope(), answer.status, &answer.body))
    }
}

impl Answer {
    /// The body, as JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|cause| Error::backend(format!("{}'s answer could not be read.", self.service)).source(cause))
    }

    /// The answering host's clock, to the second.
    pub(super) fn date(&self) -> Option<DateTime<Utc>> {
        let text = self.headers.get(DATE)?.to_str().ok()?;
        DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc())
    }

    /// How long to wait before the same call again; `None` when the answer stands.
    fn pause(&self, method: &Method, tries: u32) -> Option<Duration> {
        // A 429 was refused before anything was done; a 503 may come from half-way.
        let again = match self.status {
            StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::SERVICE_UNAVAILABLE => repeatable(method),
            _ => false,
        };
        if !again || tries >= TRIES_MAX {
            return None;
        }
        let asked = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Some(asked.map_or_else(|| back_off(tries), Duration::from_secs).min(PAUSE_MAX))
    }
}

/// Whether a verb may be sent twice.
fn repeatable(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::PUT | Method::DELETE | Method::HEAD)
}

fn back_off(tries: u32) -> Duration {
    (PAUSE_FIRST * 2_u32.saturating_pow(tries - 1)).min(PAUSE_MAX)
}
