//! Measures for Prometheus: what happens is counted where it happens, by a function here; what *is* (how many operations wait) is asked
//! of the database when somebody asks us. Labels are few and bounded: no ids, no names of users.
//!
//! The only room that names prometheus-client.

use std::sync::LazyLock;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Media type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    kind: String,
    status: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendLabels {
    backend: String,
    act: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    finding: &'static str,
}

struct Measures {
    registry: Registry,
    operations: Histograms<OperationLabels>,
    backends: Histograms<BackendLabels>,
    requests: Histograms<RequestLabels>,
    findings: Family<FindingLabels, Counter>,
}

static MEASURES: LazyLock<Measures> = LazyLock::new(|| {
    let operations = Histograms::new_with_constructor(minutes as fn() -> Histogram);
    let backends = Histograms::new_with_constructor(seconds as fn() -> Histogram);
    let requests = Histograms::new_with_constructor(seconds as fn() -> Histogram);
    let findings = Family::<FindingLabels, Counter>::default();
    let mut registry = Registry::with_prefix("ratoon");
    registry.register(
        "operation_duration_seconds",
        "From the request for an operation to its end, for those that ended in this process",
        operations.clone(),
    );
    registry.register("backend_duration_seconds", "One call of a service, one act on Ceph", backends.clone());
    registry.register("request_duration_seconds", "One request to the API", requests.clone());
    registry.register("sweep_findings", "What the sweep found and did something about", findings.clone());
    Measures { registry, operations, backends, requests, findings }
});

/// Buckets of what takes milliseconds to a minute.
fn seconds() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// Buckets of what takes seconds to hours.
fn minutes() -> Histogram {
    Histogram::new([1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0])
}

/// An operation has ended here, so long after it was asked for.
pub fn operation_ended(kind: &str, status: &str, took: Duration) {
    let labels = OperationLabels { kind: kind.to_owned(), status: status.to_owned() };
    MEASURES.operations.get_or_create(&labels).observe(took.as_secs_f64());
}

/// A backend was asked to do something; `act` is one of few words.
pub fn backend_asked(backend: &str, act: &str, succeeded: bool, took: Duration) {
    let outcome = if succeeded { "success" } else { "error" };
    let labels = BackendLabels { backend: backend.to_owned(), act: act.to_owned(), outcome };
    MEASURES.backends.get_or_create(&labels).observe(took.as_secs_f64());
}

/// A request was answered; `route` is the pattern, without ids.
pub fn request_answered(method: &str, route: &str, status: u16, took: Duration) {
    let labels = RequestLabels { method: method.to_owned(), route: route.to_owned(), status };
    MEASURES.requests.get_or_create(&labels).observe(took.as_secs_f64());
}

/// The sweep has found something that needed doing.
pub fn sweep_found(finding: &'static str, number: usize) {
    MEASURES.findings.get_or_create(&FindingLabels { finding }).inc_by(number as u64);
}

/// What is at this moment, as the database says it: the same in every process of Ratoon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Kind, status, number of the operations that are not final.
    pub operations: Vec<(String, String, i64)>,
    /// How long the oldest operation has waited for an engine.
    pub oldest_queued: Duration,
    /// Notifications that nobody has looked at yet.
    pub inbox: i64,
    /// Engines that have entered and not left.
    pub engines: i64,
}

/// All measures as text; without `gauges` where the database does not answer, which is a measure too.
#[must_use]
pub fn render(gauges: Option<&Gauges>) -> String {
    let mut now = Registry::with_prefix("ratoon");
    let up = Gauge::<i64>::default();
    up.set(i64::from(gauges.is_some()));
    now.register("database_up", "Whether the database answered this question", up);
    if let Some(gauges) = gauges {
        let operations = Family::<OperationLabels, Gauge>::default();
        for (kind, status, number) in &gauges.operations {
            let labels = OperationLabels { kind: kind.clone(), status: status.clone() };
            operations.get_or_create(&labels).set(*number);
        }
        now.register("operations", "Operations that are not final", operations);
        for (name, help, value) in [
            (
                "operations_oldest_queued_seconds",
                "How long the oldest operation has waited for an engine",
                i64::try_from(gauges.oldest_queued.as_secs()).unwrap_or(i64::MAX),
            ),
            ("inbox_messages", "Notifications that nobody has looked at yet", gauges.inbox),
            ("engines", "Engines that have entered and not left", gauges.engines),
        ] {
            let gauge = Gauge::<i64>::default();
            gauge.set(value);
            now.register(name, help, gauge);
        }
    }
    let mut out = String::new();
    // Writing into a text cannot fail; the end is marked once, behind both.
    let _ = text::encode_registry(&mut out, &now);
    let _ = text::encode_registry(&mut out, &MEASURES.registry);
    let _ = text::encode_eof(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_and_what_is_stand_in_one_text_that_ends() {
        operation_ended("test_kind", "succeeded", Duration::from_secs(3));
        backend_asked("test", "list", false, Duration::from_millis(30));
        request_answered("GET", "/v1/test/{id}", 200, Duration::from_millis(1));
        sweep_found("test", 2);
        let gauges = Gauges {
            operations: vec![("test_kind".into(), "queued".into(), 7)],
            oldest_queued: Duration::from_secs(61),
            inbox: 5,
            engines: 2,
        };
        let text = render(Some(&gauges));
        for line in [
            "ratoon_database_up 1",
            "ratoon_operations{kind=\"test_kind\",status=\"queued\"} 7",
            "ratoon_operations_oldest_queued_seconds 61",
            "ratoon_inbox_messages 5",
            "ratoon_engines 2",
            "ratoon_operation_duration_seconds_bucket{le=\"5.0\",kind=\"test_kind\",status=\"succeeded\"} 1",
            "ratoon_backend_duration_seconds_count{backend=\"test\",act=\"list\",outcome=\"error\"} 1",
            "ratoon_request_duration_seconds_count{method=\"GET\",route=\"/v1/test/{id}\",status=\"200\"} 1",
            "ratoon_sweep_findings_total{finding=\"test\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
        let blind = render(None);
        assert!(blind.contains("ratoon_database_up 0") && !blind.contains("ratoon_engines"));
    }
}
