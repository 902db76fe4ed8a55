//! `ratoon manage …`: what an operator does by hand, once. Each command prints what it did and may be repeated.
//!
//! This room stands at the top of the house: it may use every other, and nothing uses it but main.

use std::io::Write;

use clap::Subcommand;

use crate::app::policy;
use crate::config::{Settings, sample};
use crate::error::{Error, Result};

mod db;
pub mod doctor;
mod service;

pub use service::{Bootstrap, Endpoints};

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The database's schema.
    #[command(subcommand)]
    Db(Db),
    /// Ratoon's entry in Keystone's catalog.
    #[command(subcommand)]
    Service(Service),
    /// The configuration.
    #[command(subcommand)]
    Config(Config),
    /// The rules of who may do what.
    #[command(subcommand)]
    Policy(Policy),
    /// Look whether Ratoon can do its work in this cloud, and say what is missing.
    Doctor(doctor::Doctor),
}

/// `manage db`
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Bring the schema to what this binary needs.
    Upgrade,
    /// Print the schema's version, and the one that this binary needs.
    Version,
}

/// `manage service`
#[derive(Debug, Subcommand)]
pub enum Service {
    /// Create or correct the service and its endpoints in the catalog, with an administrator's credentials.
    Register(Box<service::Register>),
}

/// `manage config`
#[derive(Debug, Subcommand)]
pub enum Config {
    /// Print a configuration file with every option and its default.
    Sample,
    /// Read and check the configuration, and name what is unknown in it.
    Check,
}

/// `manage policy`
#[derive(Debug, Subcommand)]
pub enum Policy {
    /// Print a policy file with every rule and its default.
    Sample,
}

impl Command {
    /// What the command prints, if it works without any configuration, even a broken one.
    #[must_use]
    pub fn sample(&self) -> Option<String> {
        match self {
            Self::Config(Config::Sample) => Some(sample()),
            Self::Policy(Policy::Sample) => Some(policy::sample()),
            _ => None,
        }
    }
}

/// Prints a sample; see [`Command::sample`].
pub fn print_sample(sample: &str) -> Result<()> {
    say(sample.trim_end())
}

/// Runs a command.
pub async fn run(settings: Settings, command: Command) -> Result<()> {
    match command {
        Command::Db(Db::Upgrade) => db::upgrade(&settings).await,
        Command::Db(Db::Version) => db::version(&settings).await,
        Command::Service(Service::Register(register)) => service::register(&settings, *register).await,
        Command::Config(Config::Sample) => print_sample(&sample()),
        Command::Policy(Policy::Sample) => print_sample(&policy::sample()),
        Command::Config(Config::Check) => check(&settings),
        Command::Doctor(command) => doctor::run(&settings, command).await,
    }
}

fn check(settings: &Settings) -> Result<()> {
    for sentence in &settings.unknown {
        say(&format!("warning: {sentence}"))?;
    }
    settings.check_for_serving()?;
    crate::parts::policy_files(settings)?;
    if crate::parts::listener_settings(settings)?.is_none() {
        say("warning: notifications are not listened to: transport_url is not set, or [events] enabled is false")?;
    }
    say("The configuration can be used.")
}

/// One line for the operator. A reader that has gone away (`| head`) is no failure.
fn say(line: &str) -> Result<()> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::internal("write to standard output").source(error))
        }
        _ => Ok(()),
    }
}
