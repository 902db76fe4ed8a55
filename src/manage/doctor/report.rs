//! What the doctor found: one line for each thing that was looked at.

use std::fmt::Write as _;

use serde::Serialize;

use crate::error::Error;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it must be.
    Ok,
    /// Ratoon works, but not as well as it could, or not for long.
    Warning,
    /// Ratoon does not work, or not wholly.
    Error,
    /// Not looked at, since something that it rests on is not well.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, a word or two.
    pub(super) check: String,
    pub(super) verdict: Verdict,
    pub(super) says: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

/// All of it, in the order in which it was looked at.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
}

impl Report {
    pub(super) fn ok(&mut self, check: &str, says: impl Into<String>) {
        self.add(check, Verdict::Ok, says.into(), None);
    }

    pub(super) fn warn(&mut self, check: &str, says: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, Verdict::Warning, says.into(), Some(remedy.into()));
    }

    pub(super) fn skip(&mut self, check: &str, says: impl Into<String>) {
        self.add(check, Verdict::Skipped, says.into(), None);
    }

    /// What went wrong, with its causes: here the operator reads.
    pub(super) fn fail(&mut self, check: &str, error: &Error) {
        let remedy = error.remedy_text().map(str::to_owned);
        let chain = error.chain();
        let says = chain.split(" Remedy: ").next().unwrap_or(&chain).to_owned();
        self.add(check, Verdict::Error, says, remedy);
    }

    fn add(&mut self, check: &str, verdict: Verdict, says: String, remedy: Option<String>) {
        self.findings.push(Finding { check: check.to_owned(), verdict, says, remedy });
    }

    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// For people: a line each, the remedy behind it.
    pub(super) fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { check, verdict, says, remedy } in &self.findings {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "WARNING",
                Verdict::Error => "ERROR",
                Verdict::Skipped => "skipped",
            };
            let remedy = remedy.as_ref().map(|remedy| format!(" Remedy: {remedy}")).unwrap_or_default();
            // Writing into a text cannot fail.
            let _ = writeln!(text, "{verdict:<8}{check:<width$}  {says}{remedy}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_its_remedy() {
        let mut report = Report::default();
        report.ok("schema", "It is m0004_image.");
        let error = Error::unavailable("Keystone does not answer.").remedy("Start it.").detail("connection refused");
        report.fail("keystone", &error);
        report.warn("clock", "It is 9 s ahead.", "Run an NTP client.");
        report.skip("nova", "Needs the login.");
        let lines: Vec<String> = report.text().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "ok      schema    It is m0004_image.");
        assert!(lines[1].starts_with("ERROR   keystone  Keystone does not answer"), "{}", lines[1]);
        assert!(lines[1].contains("connection refused") && lines[1].ends_with(" Remedy: Start it."), "{}", lines[1]);
        assert_eq!(lines[2], "WARNING clock     It is 9 s ahead. Remedy: Run an NTP client.");
        assert_eq!(lines[3], "skipped nova      Needs the login.");
        assert_eq!((report.count(Verdict::Error), report.count(Verdict::Warning)), (1, 1));
    }
}
