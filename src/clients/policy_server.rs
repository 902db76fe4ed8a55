//! Asks the server of a policy rule of the kind `http:` or `https:`, as oslo.policy does: rule, target and caller are posted, and
//! the answer `True` means yes.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use crate::error::{Error, Kind, Result};
use crate::policy::{Attributes, RemoteCheck};

/// How to reach it.
#[derive(Debug, Clone)]
pub struct PolicyServerSettings {
    /// Post JSON instead of a form.
    pub json: bool,
    /// Check its certificate.
    pub verify: bool,
    /// Authorities to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest wait for its answer.
    pub timeout: Duration,
}

/// See the module's text.
pub struct PolicyServer {
    client: reqwest::Client,
    json: bool,
}

impl PolicyServer {
    /// Prepares to ask; nothing is asked yet.
    ///
    /// # Errors
    /// `BadRequest` for a file of authorities that is none.
    pub fn new(settings: &PolicyServerSettings) -> Result<Self> {
        let mut client = reqwest::Client::builder()
            .timeout(settings.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .danger_accept_invalid_certs(!settings.verify);
        if let Some(path) = &settings.ca_file {
            let unusable = || {
                Error::new(
                    Kind::BadRequest,
                    format!("[oslo_policy] remote_ssl_ca_crt_file {} cannot be used.", path.display()),
                )
                .remedy("Name a readable PEM file of certificates.")
            };
            let text = std::fs::read(path).map_err(|error| unusable().source(error))?;
            for certificate in reqwest::Certificate::from_pem_bundle(&text).map_err(|error| unusable().source(error))? {
                client = client.add_root_certificate(certificate);
            }
        }
        let client = client.build().map_err(|error| Error::internal("No client for a policy server.").source(error))?;
        Ok(Self { client, json: settings.json })
    }
}

#[async_trait]
impl RemoteCheck for PolicyServer {
    async fn ask(&self, url: &str, rule: &str, target: &Attributes, caller: &Attributes) -> Result<bool> {
        let request = self.client.post(url);
        let request = if self.json {
            request.json(&json!({ "rule": rule, "target": target, "credentials": caller }))
        } else {
            let text = |value| serde_json::Value::to_string(&value);
            request.form(&[
                ("rule", text(json!(rule))),
                ("target", text(json!(target))),
                ("credentials", text(json!(caller))),
            ])
        };
        let no_answer = |error: reqwest::Error| {
            Error::unavailable("The policy server does not answer.")
                .remedy("Try again later; if it stays away, tell the operator.")
                .source(error.without_url())
        };
        let answer = request.send().await.map_err(no_answer)?.text().await.map_err(no_answer)?;
        Ok(answer.trim_matches('"') == "True")
    }
}
