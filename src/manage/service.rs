//! `ratoon manage service register`: Ratoon's service and endpoints in Keystone's catalog.
//!
//! It takes an administrator's credentials from the command line or the usual `OS_*` variables (bootstrap credentials),
//! because the user that Ratoon runs as must not be able to change the catalog.

use clap::Args;

use super::say;
use crate::clients::OpenStack;
use crate::clients::catalog::{self, Registration};
use crate::config::{KeystoneAuthtoken, Secret, Settings};
use crate::error::{Error, Kind, Result};
use crate::parts::credentials;

/// Who registers: an administrator, for this one call.
#[derive(Debug, Clone, Args)]
pub struct Bootstrap {
    /// Keystone's URL [default: that of the configuration]
    #[arg(long = "os-auth-url", env = "OS_AUTH_URL", value_name = "URL")]
    pub auth_url: Option<String>,
    /// Administrator's name
    #[arg(long = "os-username", env = "OS_USERNAME", value_name = "NAME")]
    pub username: String,
    /// Administrator's password
    #[arg(long = "os-password", env = "OS_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub password: Secret,
    /// Domain of the administrator
    #[arg(long = "os-user-domain-name", env = "OS_USER_DOMAIN_NAME", default_value = "Default", value_name = "NAME")]
    pub user_domain_name: String,
    /// Project in which the administrator has the role admin
    #[arg(long = "os-project-name", env = "OS_PROJECT_NAME", default_value = "admin", value_name = "NAME")]
    pub project_name: String,
    /// Domain of that project
    #[arg(
        long = "os-project-domain-name",
        env = "OS_PROJECT_DOMAIN_NAME",
        default_value = "Default",
        value_name = "NAME"
    )]
    pub project_domain_name: String,
    /// PEM file of the authorities to trust [default: that of the configuration]
    #[arg(long = "os-cacert", env = "OS_CACERT", value_name = "FILE")]
    pub cafile: Option<std::path::PathBuf>,
}

/// What stands in the catalog.
#[derive(Debug, Clone, Args)]
pub struct Endpoints {
    /// URL for users
    #[arg(long = "public-url", value_name = "URL")]
    pub public: String,
    /// URL for services of the cloud [default: that for users]
    #[arg(long = "internal-url", value_name = "URL")]
    pub internal: Option<String>,
    /// URL for administrators [default: that for services]
    #[arg(long = "admin-url", value_name = "URL")]
    pub admin: Option<String>,
    /// Region of the endpoints [default: that of the configuration]
    #[arg(long = "os-region-name", env = "OS_REGION_NAME", value_name = "NAME")]
    pub region: Option<String>,
}

/// `manage service register`
#[derive(Debug, Args)]
pub struct Register {
    #[command(flatten)]
    endpoints: Endpoints,
    #[command(flatten)]
    bootstrap: Bootstrap,
}

/// The catalog entry as it shall be; equal calls make equal catalogs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    service_type: String,
    name: &'static str,
    description: &'static str,
    region: String,
    /// (interface, URL)
    endpoints: [(&'static str, String); 3],
}

pub(super) async fn register(settings: &Settings, command: Register) -> Result<()> {
    let keystone = logged_in_as(&settings.keystone_authtoken, &command.bootstrap)?;
    let entry = entry(&settings.keystone_authtoken, command.endpoints)?;
    for sentence in write(&keystone, &entry).await? {
        say(&sentence)?;
    }
    say(&format!("{} is in the catalog of region {}.", entry.service_type, entry.region))
}

/// The configuration's way to Keystone, with the administrator in place of the service user.
fn logged_in_as(keystone: &KeystoneAuthtoken, admin: &Bootstrap) -> Result<KeystoneAuthtoken> {
    let mut keystone = keystone.clone();
    keystone.auth_url = admin.auth_url.clone().or(keystone.auth_url);
    keystone.cafile = admin.cafile.clone().or(keystone.cafile);
    keystone.username.clone_from(&admin.username);
    keystone.password = Some(admin.password.clone());
    keystone.user_domain_name.clone_from(&admin.user_domain_name);
    keystone.project_name.clone_from(&admin.project_name);
    keystone.project_domain_name.clone_from(&admin.project_domain_name);
    keystone.auth_url()?;
    Ok(keystone)
}

fn entry(keystone: &KeystoneAuthtoken, endpoints: Endpoints) -> Result<Entry> {
    let region = endpoints.region.or_else(|| keystone.region_name.clone()).ok_or_else(|| {
        Error::new(Kind::BadRequest, "The region of the endpoints is not known.")
            .remedy("Add --os-region-name, or set region_name in [keystone_authtoken].")
    })?;
    let internal = endpoints.internal.unwrap_or_else(|| endpoints.public.clone());
    let admin = endpoints.admin.unwrap_or_else(|| internal.clone());
    let mut urls = [("public", endpoints.public), ("internal", internal), ("admin", admin)];
    for (interface, text) in &mut urls {
        let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() {
            return Err(Error::new(Kind::BadRequest, format!("'{text}' is no URL for the {interface} endpoint."))
                .remedy("Write one like http://controller:8790."));
        }
        text.truncate(text.trim_end_matches('/').len());
    }
    Ok(Entry {
        service_type: keystone.service_type.clone(),
        name: "ratoon",
        description: "Trees of server snapshots",
        region,
        endpoints: urls,
    })
}

/// Makes the catalog so: finds by type and name, corrects what differs, creates what is missing; a sentence for each.
async fn write(keystone: &KeystoneAuthtoken, entry: &Entry) -> Result<Vec<String>> {
    let url = |interface: &str| {
        entry.endpoints.iter().find(|(name, _)| *name == interface).map(|(_, url)| url.clone()).unwrap_or_default()
    };
    let wanted = Registration {
        service_type: entry.service_type.clone(),
        name: entry.name.to_owned(),
        description: entry.description.to_owned(),
        region: entry.region.clone(),
        public: url("public"),
        internal: url("internal"),
        admin: url("admin"),
    };
    catalog::register(&*OpenStack::new(credentials(keystone)?)?, &wanted).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(public: &str, internal: Option<&str>, region: Option<&str>) -> Endpoints {
        let own = |text: &str| text.to_owned();
        Endpoints { public: own(public), internal: internal.map(own), admin: None, region: region.map(own) }
    }

    fn keystone() -> KeystoneAuthtoken {
        Settings::from_text("").unwrap().keystone_authtoken
    }

    #[test]
    fn the_entry_falls_back_from_admin_to_internal_to_public() {
        let entry = entry(&keystone(), endpoints("http://p/", Some("http://i"), Some("r"))).unwrap();
        let wanted = [("public", "http://p"), ("internal", "http://i"), ("admin", "http://i")];
        assert_eq!(entry.endpoints, wanted.map(|(interface, url)| (interface, url.to_owned())));
        assert_eq!((entry.service_type.as_str(), entry.region.as_str()), ("server-snapshot", "r"));
    }

    #[test]
    fn a_missing_region_and_a_wrong_url_are_refused_with_a_remedy() {
        let said = entry(&keystone(), endpoints("http://p", None, None)).unwrap_err().chain();
        assert!(said.contains("Remedy: Add --os-region-name"), "{said}");
        let said = entry(&keystone(), endpoints("p:8790", None, Some("r"))).unwrap_err().chain();
        assert!(said.contains("'p:8790' is no URL for the public endpoint."), "{said}");
    }

    #[test]
    fn the_administrator_takes_the_place_of_the_service_user() {
        let admin = Bootstrap {
            auth_url: Some("http://k".into()),
            username: "admin".into(),
            password: Secret::new("hunter2".into()),
            user_domain_name: "D".into(),
            project_name: "admin".into(),
            project_domain_name: "D".into(),
            cafile: None,
        };
        let keystone = logged_in_as(&keystone(), &admin).unwrap();
        assert_eq!((keystone.username.as_str(), keystone.auth_url().ok()), ("admin", Some("http://k")));
        assert!(!format!("{admin:?}{keystone:?}").contains("hunter2"));
    }
}
