//! The one error that crosses rooms: a kind, a sentence for a human, what to do about it, and whether
//! trying again can help.
//!
//! `Display` never repeats the source. Messages and remedies are written for callers: they name no address, no file of the
//! service, no query. Such words, and what libraries say, go into the source, which only the log shows.
//! [`Error::told`] is what a caller reads, [`Error::chain`] what the log gets, once, where the error is handled.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// What went wrong, as far as a caller can act on it. `api/fault.rs` holds the one match to status codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is malformed or asks for something that cannot be; nothing was changed.
    BadRequest,
    /// No valid token.
    Unauthorized,
    /// The role does not allow it.
    Forbidden,
    /// Not there, or not for the caller's eyes.
    NotFound,
    /// The thing is there but not in a state that allows it, or another operation is in the way.
    Conflict,
    /// A quota would be exceeded.
    QuotaExceeded,
    /// A service or a backend does not answer now; the same call may succeed later.
    Unavailable,
    /// A backend answered something that it should not.
    Backend,
    /// A bug, or damaged data.
    Internal,
    /// The operation was cancelled by its owner.
    Cancelled,
    /// Another engine has taken over; this one must let go.
    Superseded,
}

impl Kind {
    /// Stable, machine-readable name; part of the API's error codes.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Unavailable => "unavailable",
            Self::Backend => "backend_error",
            Self::Internal => "internal_error",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: String,
    remedy: Option<String>,
    field: Option<String>,
    retry: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// A source that is nothing but words for the log.
#[derive(Debug)]
struct Detail(String);

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Detail {}

/// What a caller reads of a bug.
const OF_A_BUG: &str = "The service has met an error of its own; the request id finds it in the log.";

/// `Result` with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of a kind, with a sentence that can be read alone.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            remedy: None,
            field: None,
            retry: kind == Kind::Unavailable,
            source: None,
        }
    }
    /// [`Kind::BadRequest`] about one field of the request.
    pub fn bad_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut error = Self::new(Kind::BadRequest, message);
        error.field = Some(field.into());
        error
    }
    /// [`Kind::NotFound`].
    pub fn not_found(what: &str, id: impl fmt::Display) -> Self {
        Self::new(Kind::NotFound, format!("{what} {id} could not be found."))
    }
    /// [`Kind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }
    /// [`Kind::Unavailable`]: worth trying again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }
    /// [`Kind::Backend`].
    pub fn backend(message: impl Into<String>) -> Self {
        Self::new(Kind::Backend, message)
    }
    /// [`Kind::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }
    /// Says in which object of the request the field stands; nothing, where no field is wrong or its place is known.
    #[must_use]
    pub fn within(mut self, object: &str) -> Self {
        self.field = self.field.map(|field| if field.contains('.') { field } else { format!("{object}.{field}") });
        self
    }
    /// Says what the reader can do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
    /// Marks the error as one that passes: the step is tried again.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retry = true;
        self
    }
    /// Marks the error as one that stays.
    #[must_use]
    pub fn permanent(mut self) -> Self {
        self.retry = false;
        self
    }
    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
    /// Adds what only the log may tell: addresses, files, others' words.
    #[must_use]
    pub fn detail(self, words: impl Into<String>) -> Self {
        self.source(Detail(words.into()))
    }
    /// Puts this error under a sentence about what was being attempted; kind, remedy and retry stay.
    #[must_use]
    pub fn context(self, doing: impl Into<String>) -> Self {
        Self {
            kind: self.kind,
            message: doing.into(),
            remedy: self.remedy.clone(),
            field: self.field.clone(),
            retry: self.retry,
            source: Some(Arc::new(self)),
        }
    }
    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// Whether the same act may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retry
    }
    /// The field of the request that is wrong.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
    /// What to do about it.
    #[must_use]
    pub fn remedy_text(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
    /// What a caller may read: our own sentences, the outermost first, without the remedy. What is not ours stays in the
    /// log, and so does all that is said about a bug.
    #[must_use]
    pub fn message(&self) -> String {
        if self.kind == Kind::Internal {
            return OF_A_BUG.to_owned();
        }
        let ours = std::iter::successors(Some(self), |error| StdError::source(*error)?.downcast_ref())
            .take_while(|error| error.kind != Kind::Internal);
        joined(ours.map(|error| error.message.clone()))
    }
    /// [`Error::message`] and the remedy, on one line.
    #[must_use]
    pub fn told(&self) -> String {
        with_remedy(self.message(), self.remedy_text())
    }
    /// The whole story on one line, for the log: message, all causes, remedy.
    #[must_use]
    pub fn chain(&self) -> String {
        let causes = std::iter::successors(Some(self as &dyn StdError), |error| StdError::source(*error));
        with_remedy(joined(causes.map(ToString::to_string)), self.remedy_text())
    }
}

/// A message, and what to do about it.
#[must_use]
pub fn with_remedy(mut message: String, remedy: Option<&str>) -> String {
    if let Some(remedy) = remedy {
        message.push_str(" Remedy: ");
        message.push_str(remedy);
    }
    message
}

/// Sentences behind colons; what has been said is not said again.
fn joined(sentences: impl Iterator<Item = String>) -> String {
    sentences.fold(String::new(), |mut text, sentence| {
        if text.is_empty() {
            return sentence;
        }
        if !text.contains(&sentence) {
            text.truncate(text.trim_end_matches('.').len());
            text.push_str(": ");
            text.push_str(&sentence);
        }
        text
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// "Not found" as `None`.
///
/// # Errors
/// All others.
pub fn if_found<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_cause_once_and_ends_with_the_remedy() {
        let inner = Error::unavailable("Ceph does not answer.").remedy("Look at the monitors.");
        let outer = inner.context("list the images of pool vms");
        assert_eq!(outer.chain(), "list the images of pool vms: Ceph does not answer. Remedy: Look at the monitors.");
        assert!(outer.is_retryable());
        assert_eq!(outer.kind(), Kind::Unavailable);
    }

    #[test]
    fn callers_read_our_own_sentences_and_the_log_reads_all() {
        let foreign = || std::io::Error::other("SELECT 1 at 10.0.0.5:5432, /var/lib/ratoon");
        let inner =
            || Error::conflict("The image is open.").detail("watchers: 10.0.0.9:0/123").remedy("Stop the server.");
        for (error, told) in [
            (Error::unavailable("The database does not answer.").source(foreign()), "The database does not answer."),
            (inner(), "The image is open. Remedy: Stop the server."),
            (inner().context("swap the disks"), "swap the disks: The image is open. Remedy: Stop the server."),
            (Error::backend("It failed.").source(Error::backend("It failed.").source(foreign())), "It failed."),
            (Error::internal("Column params of 10.0.0.5 is odd."), OF_A_BUG),
            (Error::conflict("The disks moved.").source(Error::internal("10.0.0.5")), "The disks moved."),
        ] {
            assert_eq!(error.told(), told);
            assert!(error.chain().contains("10.0.0."), "{}", error.chain());
        }
    }
}
