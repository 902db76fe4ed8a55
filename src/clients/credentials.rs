//! How the service user logs in: the options of `[keystone_authtoken]`, in the words operators know.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, Result};

/// A user with a password and a project, and the way to Keystone. `Debug` hides the password.
#[derive(Clone)]
pub struct ServiceCredentials {
    /// Keystone's URL, with or without `/v3`. All identity calls go there, not to the catalog's entry: the operator has
    /// said how Keystone is reached from here.
    pub auth_url: String,
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Domain of the user, by name.
    pub user_domain_name: String,
    /// The service project, by name.
    pub project_name: String,
    /// Domain of the project, by name.
    pub project_domain_name: String,
    /// Region to take endpoints from; any if `None`.
    pub region_name: Option<String>,
    /// `internal`, `public` or `admin`; where a service lacks it, its public endpoint is taken.
    pub interface: String,
    /// A file of CA certificates (PEM) to trust beside the system's.
    pub cafile: Option<PathBuf>,
    /// Trust any certificate. For trials only.
    pub insecure: bool,
    /// Limit for making a connection.
    pub connect_timeout: Duration,
    /// Limit for one call, retries and login included.
    pub timeout: Duration,
}

impl Default for ServiceCredentials {
    fn default() -> Self {
        Self {
            auth_url: String::new(),
            username: "ratoon".to_owned(),
            password: String::new(),
            user_domain_name: "Default".to_owned(),
            project_name: "service".to_owned(),
            project_domain_name: "Default".to_owned(),
            region_name: None,
            interface: "internal".to_owned(),
            cafile: None,
            insecure: false,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(60),
        }
    }
}

impl fmt::Debug for ServiceCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceCredentials")
            .field("auth_url", &self.auth_url)
            .field("username", &self.username)
            .field("password", &"***")
            .field("user_domain_name", &self.user_domain_name)
            .field("project_name", &self.project_name)
            .field("project_domain_name", &self.project_domain_name)
            .field("region_name", &self.region_name)
            .field("interface", &self.interface)
            .finish_non_exhaustive()
    }
}

impl ServiceCredentials {
    /// The HTTP client that all sessions of these credentials share: one pool of connections.
    pub(super) fn http_client(&self) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ratoon/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            .danger_accept_invalid_certs(self.insecure);
        if let Some(cafile) = &self.cafile {
            let unreadable = |cause: String| {
                Error::bad_field("cafile", format!("The CA file {} cannot be used: {cause}.", cafile.display()))
            };
            let pem = std::fs::read(cafile).map_err(|cause| unreadable(cause.to_string()))?;
            for certificate in
                reqwest::Certificate::from_pem_bundle(&pem).map_err(|cause| unreadable(cause.to_string()))?
            {
                builder = builder.add_root_certificate(certificate);
            }
        }
        builder.build().map_err(|cause| Error::internal("The HTTP client could not be built.").source(cause))
    }

    /// Keystone's URL with `/v3` at its end.
    pub(super) fn identity_url(&self) -> Result<url::Url> {
        let wrong = |cause: String| Error::bad_field("auth_url", format!("{} is not a URL: {cause}.", self.auth_url));
        let text = self.auth_url.trim_end_matches('/');
        let text = if text.ends_with("/v3") { text.to_owned() } else { format!("{text}/v3") };
        let url = url::Url::parse(&text).map_err(|cause| wrong(cause.to_string()))?;
        if url.host().is_none() {
            return Err(wrong("it names no host".to_owned()));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_does_not_show_in_debug_output() {
        let credentials = ServiceCredentials { password: "hunter2".into(), ..Default::default() };
        assert!(!format!("{credentials:?}").contains("hunter2"));
    }

    #[test]
    fn identity_calls_go_below_v3_however_the_url_was_written() {
        for (given, expected) in [
            ("http://k:5000", Some("http://k:5000/v3")),
            ("http://k:5000/", Some("http://k:5000/v3")),
            ("http://k/identity/v3/", Some("http://k/identity/v3")),
            ("k:5000", None),
            ("", None),
        ] {
            let credentials = ServiceCredentials { auth_url: given.into(), ..Default::default() };
            assert_eq!(credentials.identity_url().ok().map(String::from).as_deref(), expected, "{given}");
        }
    }
}
