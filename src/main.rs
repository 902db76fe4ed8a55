//! The `ratoon` command: reads arguments and settings, starts logging, and hands over.
//!
//! Exit codes: 0 done, 1 failed while running, 2 wrong usage or configuration.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use ratoon::config::Settings;
use ratoon::error::{Error, Kind, Result};
use ratoon::manage;
use ratoon::serve::{Role, serve};
use ratoon::telemetry;

const FAILED: u8 = 1;
const MISUSED: u8 = 2;

/// Gives every server of an OpenStack cloud a tree of snapshots.
#[derive(Debug, Parser)]
#[command(name = "ratoon", version)]
struct Arguments {
    /// Configuration file; may be repeated, later ones win [default: /etc/ratoon/ratoon.conf]
    #[arg(long, global = true, value_name = "FILE")]
    config_file: Vec<PathBuf>,
    /// Directory whose *.conf files are read after the files, sorted by name
    #[arg(long, global = true, value_name = "DIR")]
    config_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the API and the engine in one process (the default)
    All,
    /// Run the API only
    Api,
    /// Run the engine only: operations and background tasks
    Engine,
    /// Do something once, by hand
    #[command(subcommand)]
    Manage(manage::Command),
}

/// How long acts that cannot be given up may go on when everything else has ended.
const LAST_ACTS: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    // Two providers are compiled in by dependencies; without a choice rustls panics at the first connection.
    // An error means that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = Arguments::parse();
    let sample = match &arguments.command {
        Some(Command::Manage(command)) => command.sample(),
        _ => None,
    };
    let result = if let Some(sample) = sample {
        manage::print_sample(&sample)
    } else {
        prepared(&arguments).and_then(|(settings, runtime)| {
            let result = runtime.block_on(run(settings, arguments.command.unwrap_or(Command::All)));
            // An act on Ceph that hangs, or copies, must not keep the process: it is durable, and done again.
            runtime.shutdown_timeout(LAST_ACTS);
            result
        })
    };
    exit_code(result)
}

/// All that can be wrong with the configuration goes wrong here, before anything runs.
fn prepared(arguments: &Arguments) -> Result<(Settings, tokio::runtime::Runtime)> {
    let env =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let env: HashMap<_, _> = env.filter(|(name, _)| name.starts_with("OS_")).collect();
    let settings = Settings::load(&arguments.config_file, arguments.config_dir.as_deref(), env)?;
    match &arguments.command {
        Some(Command::Manage(manage::Command::Config(_))) => {}
        Some(Command::Manage(_)) => telemetry::start(&settings.default)?,
        _ => {
            settings.check_for_serving()?;
            telemetry::start(&settings.default)?;
            for sentence in &settings.unknown {
                tracing::warn!("{sentence}");
            }
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::internal("start the threads of the runtime").source(error))?;
    Ok((settings, runtime))
}

async fn run(settings: Settings, command: Command) -> Result<()> {
    match command {
        Command::All => serve(settings, Role::All).await,
        Command::Api => serve(settings, Role::Api).await,
        Command::Engine => serve(settings, Role::Engine).await,
        Command::Manage(command) => manage::run(settings, command).await,
    }
}

/// The error, if any, goes to standard error as one line.
fn exit_code(result: Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    // Nobody is left to be told when standard error is gone.
    let _ = writeln!(std::io::stderr().lock(), "ratoon: {}", error.chain());
    ExitCode::from(if error.kind() == Kind::BadRequest { MISUSED } else { FAILED })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_consistent_and_the_files_may_stand_before_or_after_the_command() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
        let files = ["--config-file", "a", "--config-file", "b"];
        let before = Arguments::parse_from(["ratoon"].into_iter().chain(files).chain(["api"]));
        let after = Arguments::parse_from(["ratoon", "api"].into_iter().chain(files));
        assert!(matches!(before.command, Some(Command::Api)));
        assert_eq!((before.config_file.len(), after.config_file.len()), (2, 2));
        assert!(Arguments::parse_from(["ratoon"]).command.is_none());
    }

    #[test]
    fn a_secret_argument_is_not_printed() {
        let line = "ratoon manage service register --public-url http://p --os-username a --os-password hunter2";
        let arguments = Arguments::parse_from(line.split(' '));
        assert!(!format!("{arguments:?}").contains("hunter2"));
    }
}
