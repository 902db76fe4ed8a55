//! Logging: one line an event, as text for people or as JSON for machines, to standard error or to a file.
//!
//! Every line about a request or an operation stands within one of these spans, so that it can be found by the ids that people have in hand:
//!
//! | span | fields |
//! |---|---|
//! | `request` | `request_id` (`req-…`, ours), `global_request_id` (the caller's), `project_id`, `user_id` |
//! | `operation` | `operation_id`, `kind`, `server_id`, `request_id` of the request that asked |
//! | `step` | `operation_id`, `step`, `server_id`; stands within `operation` |
//!
//! A message can be read alone; ids stand in fields of the same names as above; a unit is part of the field's name
//! (`elapsed_ms`, `size_bytes`). An error is logged once, where it is handled, with [`crate::error::Error::chain`] in
//! the field `error`. ERROR means that a human must look. Never log a token, a password or a request body: third-party
//! crates stay at INFO even with `debug = true`, and RUST_LOG should open them on test systems only.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing::{Span, Subscriber, field, info_span};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{General, LogFormat};
use crate::error::{Error, Kind, Result};
use crate::ids::{OperationId, ServerId};

/// Starts logging as configured, for the rest of the process; what `log` users say is heard too.
pub fn start(settings: &General) -> Result<()> {
    let filter = filter(settings.debug, std::env::var(EnvFilter::DEFAULT_ENV).ok().as_deref())?;
    match &settings.log_file {
        Some(path) => install(subscriber(settings.log_format, filter, Mutex::new(open(path)?))),
        None => install(subscriber(settings.log_format, filter, std::io::stderr)),
    }
}

/// The span of one API request. Who calls is recorded by [`caller`] as soon as the token has been checked.
#[must_use]
pub fn request_span(request_id: &str, global_request_id: Option<&str>) -> Span {
    info_span!("request", request_id, global_request_id, project_id = field::Empty, user_id = field::Empty)
}

/// Records in a request's span who calls.
pub fn caller(span: &Span, project_id: &str, user_id: &str) {
    span.record("project_id", project_id);
    span.record("user_id", user_id);
}

/// The span of one step of an operation, tried once.
#[must_use]
pub fn step_span(operation_id: OperationId, step: &str, server_id: ServerId) -> Span {
    info_span!("step", %operation_id, step, %server_id)
}

fn filter(debug: bool, rust_log: Option<&str>) -> Result<EnvFilter> {
    // lapin calls every lost connection an error; the supervisor says the same once, with the pause.
    let directives = rust_log.unwrap_or(if debug { "info,lapin=off,ratoon=debug" } else { "info,lapin=off" });
    EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(directives).map_err(|error| {
        Error::new(Kind::BadRequest, format!("The variable RUST_LOG ('{directives}') cannot be used."))
            .remedy("Write it as `info` or `info,ratoon=debug`, or unset it.")
            .source(error)
    })
}

fn open(path: &Path) -> Result<std::fs::File> {
    // Appended to and never reopened: rotate it with `copytruncate`.
    OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
        Error::new(Kind::BadRequest, format!("open the log file {}", path.display()))
            .remedy("Make its directory writable for the user that Ratoon runs as, or correct [DEFAULT] log_file.")
            .source(error)
    })
}

fn subscriber<W>(format: LogFormat, filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(lines)
}

fn install(subscriber: impl Subscriber + Send + Sync) -> Result<()> {
    let twice = |error: &dyn std::error::Error| Error::internal(format!("Logging was started twice: {error}."));
    tracing_log::LogTracer::init().map_err(|error| twice(&error))?;
    tracing::subscriber::set_global_default(subscriber).map_err(|error| twice(&error))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};

    use super::*;
    use crate::config::Settings;

    /// What `act` logs.
    fn logged(format: LogFormat, rust_log: &str, act: impl FnOnce()) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let filter = filter(false, Some(rust_log)).unwrap();
        let writer = Mutex::new(file.try_clone().unwrap());
        tracing::subscriber::with_default(subscriber(format, filter, writer), act);
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_json_line_carries_the_ids_of_its_request() {
        let text = logged(LogFormat::Json, "info", || {
            let span = request_span("req-1", None);
            caller(&span, "project", "user");
            span.in_scope(|| tracing::info!(elapsed_ms = 5, "answered"));
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "answered");
        assert_eq!(line["elapsed_ms"], 5);
        assert_eq!(line["span"]["request_id"], "req-1");
        assert_eq!(line["span"]["project_id"], "project");
        assert_eq!(line["span"]["user_id"], "user");
    }

    #[test]
    fn a_text_line_carries_the_ids_of_its_step() {
        let (operation_id, server_id) = (OperationId::new(), ServerId::new());
        let text = logged(LogFormat::Text, "info", || {
            step_span(operation_id, "stop_server", server_id).in_scope(|| tracing::warn!("server is slow"));
        });
        assert!(text.contains(&format!("operation_id={operation_id}")), "{text}");
        assert!(text.contains("step=\"stop_server\"") && text.contains("WARN"), "{text}");
    }

    #[test]
    fn the_filter_holds_third_parties_at_info_and_refuses_nonsense() {
        let text = logged(LogFormat::Text, "info,ratoon=debug", || {
            tracing::debug!("ours");
            tracing::debug!(target: "osauth", "theirs");
        });
        assert!(text.contains("ours") && !text.contains("theirs"), "{text}");
        assert!(filter(false, Some("ratoon=loud")).is_err_and(|error| error.chain().contains("Remedy: Write it as")));
    }

    #[test]
    fn settings_in_a_log_line_show_no_secret() {
        let settings = Settings::from_text("[keystone_authtoken]\npassword = hunter2\n").unwrap();
        let text = logged(LogFormat::Json, "info", || tracing::info!(?settings, "started"));
        assert!(text.contains("started") && !text.contains("hunter2"), "{text}");
    }
}
