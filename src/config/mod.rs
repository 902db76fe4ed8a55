//! Configuration in the manner of OpenStack: oslo-style INI files, a directory of them, and the environment.
//!
//! [`registry`] declares every option once. [`Settings::load`] lays the sources over one another with the `config`
//! crate (defaults, files in the order given, `*.conf` of the directory sorted by name, `OS_<GROUP>__<OPTION>`),
//! checks each value against its declaration and only then builds the typed [`Settings`]: whoever holds them holds
//! valid ones. All wrong options are told at once, each with its place and what to write; unknown ones only warn,
//! since a file may serve a newer or older Ratoon too.

mod ini;
mod options;
pub mod registry;
mod sample;
mod secret;
mod settings;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ::config::{Config, ConfigError, Environment, Map, Value, ValueKind};

pub use options::{Opt, Type};
pub use sample::sample;
pub use secret::Secret;
pub use settings::*;

use self::ini::IniFile;
use self::registry::GROUPS;
use crate::error::{Error, Kind, Result};

/// Read when no file is named.
pub const DEFAULT_FILE: &str = "/etc/ratoon/ratoon.conf";

type Builder = ::config::ConfigBuilder<::config::builder::DefaultState>;

impl Settings {
    /// Reads and checks everything. `env` is the process's environment; only `OS_<GROUP>__<OPTION>` counts.
    pub fn load(files: &[PathBuf], dir: Option<&Path>, env: HashMap<String, String>) -> Result<Self> {
        let mut builder = Config::builder();
        if files.is_empty()
            && let Some(file) = IniFile::read(Path::new(DEFAULT_FILE))?
        {
            builder = builder.add_source(file);
        }
        let in_dir = dir.map(files_of).transpose()?.unwrap_or_default();
        for path in files.iter().chain(&in_dir) {
            let file = IniFile::read(path)?.ok_or_else(|| {
                Error::new(Kind::BadRequest, format!("The configuration file {} is not there.", path.display())).remedy(
                    "Correct the path after --config-file, or create the file from `ratoon manage config sample`.",
                )
            })?;
            builder = builder.add_source(file);
        }
        let mut settings = Self::build(builder, env)?;
        let main = files.last().map_or(Path::new(DEFAULT_FILE), PathBuf::as_path);
        settings.folder = main.parent().map(Path::to_owned).unwrap_or_default();
        Ok(settings)
    }

    /// Settings from the text of one file alone; what tests start from.
    pub fn from_text(text: &str) -> Result<Self> {
        Self::build(Config::builder().add_source(IniFile::parse("text", text)?), HashMap::new())
    }

    /// What only serving needs and database work does not: a way to log in to Keystone.
    pub fn check_for_serving(&self) -> Result<()> {
        self.keystone_authtoken.auth_url()?;
        self.keystone_authtoken.password().map(|_| ())
    }

    fn build(builder: Builder, env: HashMap<String, String>) -> Result<Self> {
        // A variable without `__` (OS_PASSWORD, OS_CLOUD) belongs to the openstack client, not to us.
        let env: Map<_, _> = env.into_iter().filter(|(name, _)| name.contains("__")).collect();
        let env = Environment::with_prefix("OS").prefix_separator("_").separator("__").source(Some(env));
        let config = builder.add_source(env).build().map_err(unreadable)?;
        let written = Written::of(config.cache);
        let (values, wrong) = typed(&written);
        if !wrong.is_empty() {
            let count = if wrong.len() == 1 { "An option".to_owned() } else { format!("{} options", wrong.len()) };
            return Err(Error::new(Kind::BadRequest, format!("{count} cannot be used: {}.", wrong.join("; "))));
        }
        let mut settings: Self = values.try_deserialize().map_err(unreadable)?;
        settings.unknown = written.unknown();
        settings.agree(&written)?;
        Ok(settings)
    }

    /// What no bounds of a single option can say.
    fn agree(&self, written: &Written) -> Result<()> {
        let Engine { heartbeat, lease, poll, .. } = self.engine;
        let refuse = |name: &str, why: &str, remedy: &str| {
            let place = written.place("engine", name);
            Err(Error::new(Kind::BadRequest, format!("{place}[engine] {name} {why}.")).remedy(remedy))
        };
        if poll.is_zero() {
            return refuse("poll_seconds", "is 0", "Write a number above 0, such as 1; a fraction is allowed.");
        }
        if heartbeat.is_zero() || heartbeat * 3 > lease {
            let remedy =
                "Keep lease_seconds at three times heartbeat_seconds or more, or a healthy engine loses its work.";
            return refuse("heartbeat_seconds", "is 0 or more than a third of lease_seconds", remedy);
        }
        if let Some(entry) =
            self.events.capture_of_projects.iter().find(|entry| settings::project_mode(entry).is_none())
        {
            let place = written.place("events", "capture_of_projects");
            let sentence = format!("{place}[events] capture_of_projects: '{entry}' is no project with a mode.");
            return Err(Error::new(Kind::BadRequest, sentence)
                .remedy("Write <project id>:<mode>, where the mode is during, after or off."));
        }
        Ok(())
    }
}

fn unreadable(error: ConfigError) -> Error {
    Error::internal("read the configuration").source(error)
}

fn files_of(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).and_then(|entries| entries.collect::<std::io::Result<Vec<_>>>());
    let entries = entries.map_err(|error| {
        Error::new(Kind::BadRequest, format!("read the configuration directory {}", dir.display()))
            .remedy(
                "Correct the path after --config-dir, or make the directory readable for the user that Ratoon runs as.",
            )
            .source(error)
    })?;
    let mut files: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    Ok(files)
}

/// An option's values as written, and where the last of them stands.
type Raw = (Vec<String>, Option<String>);

/// Everything that was written, by group (lower case) and option.
struct Written(Map<String, Map<String, Raw>>);

impl Written {
    fn of(root: Value) -> Self {
        let groups = tables(root).into_iter().map(|(group, options)| {
            let options = tables(options).into_iter().map(|(name, value)| {
                let origin = value.origin().map(str::to_owned);
                let values = match value.kind {
                    ValueKind::Array(values) => values.into_iter().map(|value| value.kind.to_string()).collect(),
                    other => vec![other.to_string()],
                };
                (name, (values, origin))
            });
            (group, options.collect())
        });
        Self(groups.collect())
    }

    fn get(&self, group: &str, name: &str) -> Option<&Raw> {
        self.0.get(&group.to_lowercase())?.get(name)
    }

    /// `file:line: `, or nothing where the default holds.
    fn place(&self, group: &str, name: &str) -> String {
        let origin = self.get(group, name).and_then(|(_, origin)| origin.as_ref());
        origin.map(|origin| format!("{origin}: ")).unwrap_or_default()
    }

    fn unknown(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (group, options) in &self.0 {
            let known = GROUPS.iter().find(|known| known.name.eq_ignore_ascii_case(group));
            for name in options.keys() {
                if known.is_some_and(|known| known.options.iter().any(|opt| opt.name == name)) {
                    continue;
                }
                let place = self.place(group, name);
                let group = known.map_or(group.as_str(), |known| known.name);
                let home = GROUPS.iter().find(|other| other.options.iter().any(|opt| opt.name == name));
                let hint = home.map(|home| format!("; it belongs in [{}]", home.name)).unwrap_or_default();
                sentences.push(format!("{place}[{group}] {name} is not an option of Ratoon and has no effect{hint}"));
            }
        }
        sentences.sort();
        sentences
    }
}

fn tables(value: Value) -> Map<String, Value> {
    if let ValueKind::Table(table) = value.kind { table } else { Map::new() }
}

/// The typed value of every option, and a sentence about each wrong one.
fn typed(written: &Written) -> (Value, Vec<String>) {
    let (mut groups, mut wrong) = (Map::new(), Vec::new());
    for group in GROUPS {
        let mut values = Map::new();
        for opt in group.options {
            let default = || opt.default.map(str::to_owned).into_iter().collect();
            let raw = written.get(group.name, opt.name).map_or_else(default, |(values, _)| values.clone());
            match opt.read(&raw) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    values.insert(opt.name.to_owned(), Value::new(None, value));
                }
                Err(why) => {
                    wrong.push(format!("{}[{}] {}: {why}", written.place(group.name, opt.name), group.name, opt.name));
                }
            }
        }
        groups.insert(group.name.to_lowercase(), Value::new(None, ValueKind::Table(values)));
    }
    (Value::new(None, ValueKind::Table(groups)), wrong)
}

#[cfg(test)]
mod tests;
