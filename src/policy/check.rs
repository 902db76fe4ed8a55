//! Checks: what a rule says, and asking it.

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};

use super::rules::Rules;
use crate::error::{Error, Result};

/// What is known of a caller, or of the object in hand, by name.
pub type Attributes = Map<String, Value>;

/// A text with places for the target's attributes: `%(project_id)s`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Attribute(String),
}

impl Template {
    /// From the text; `None` for a conversion that has no meaning here (`%d`, a lone `%`).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            pieces.push(Piece::Text(rest[..at].to_owned()));
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                pieces.push(Piece::Text("%".to_owned()));
                rest = after;
            } else {
                let (name, after) = rest.strip_prefix('(')?.split_once(')')?;
                pieces.push(Piece::Attribute(name.to_owned()));
                rest = after.strip_prefix('s')?;
            }
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Some(Self(pieces))
    }

    /// The text for this target; `None` where the target lacks an attribute.
    fn fill(&self, target: &Attributes) -> Option<String> {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Some(text.clone()),
                Piece::Attribute(name) => target.get(name).and_then(words),
            })
            .collect()
    }
}

/// A value as Python's `str` writes it, since that is what rules are compared with; `None` for what holds others.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("None".to_owned()),
        Value::Bool(true) => Some("True".to_owned()),
        Value::Bool(false) => Some("False".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// `@`, or nothing: everybody.
    Everybody,
    /// `!`: nobody.
    Nobody,
    /// `not …`
    Not(Box<Check>),
    /// `… and …`
    All(Vec<Check>),
    /// `… or …`
    Any(Vec<Check>),
    /// `rule:name`: what that rule says.
    Rule(String),
    /// `role:name`: the caller has the role, in whatever case.
    Role(Template),
    /// `'text':…`, `True:…`, `7:…`: the target's attribute has this value.
    Literal(String, Template),
    /// `a.b:…`: the caller's attribute has this value; of a list, one of its items.
    Attribute(Vec<String>, Template),
    /// `http://…`, `https://…`: whatever that server says.
    Remote(Template),
}

/// Asks the server of an `http:` check.
#[async_trait]
pub trait RemoteCheck: Send + Sync {
    /// Whether it says yes.
    ///
    /// # Errors
    /// When it gives no answer.
    async fn ask(&self, url: &str, rule: &str, target: &Attributes, caller: &Attributes) -> Result<bool>;
}

/// What a check is asked with.
pub(super) struct Question<'a> {
    pub rules: &'a Rules,
    /// The rule that was asked for, which remote checks are told.
    pub rule: &'a str,
    pub target: &'a Attributes,
    pub caller: &'a Attributes,
    pub remote: Option<&'a dyn RemoteCheck>,
}

impl Check {
    pub(super) fn ask<'a>(&'a self, question: &'a Question<'a>) -> BoxFuture<'a, Result<bool>> {
        let Question { rules, target, caller, .. } = *question;
        async move {
            Ok(match self {
                Self::Everybody => true,
                Self::Nobody => false,
                Self::Not(check) => !check.ask(question).await?,
                Self::All(checks) => {
                    for check in checks {
                        if !check.ask(question).await? {
                            return Ok(false);
                        }
                    }
                    true
                }
                Self::Any(checks) => {
                    for check in checks {
                        if check.ask(question).await? {
                            return Ok(true);
                        }
                    }
                    false
                }
                Self::Rule(name) => match rules.get(name) {
                    Some(check) => check.ask(question).await?,
                    None => false,
                },
                Self::Role(template) => template.fill(target).is_some_and(|wanted| has_role(caller, &wanted)),
                Self::Literal(value, template) => template.fill(target).is_some_and(|wanted| wanted == *value),
                Self::Attribute(path, template) => {
                    template.fill(target).is_some_and(|wanted| finds(caller, path, &wanted))
                }
                Self::Remote(template) => match (template.fill(target), question.remote) {
                    (None, _) => false,
                    (Some(url), Some(remote)) => remote.ask(&url, question.rule, target, caller).await?,
                    (Some(_), None) => return Err(Error::internal("Nobody is there to ask a policy server.")),
                },
            })
        }
        .boxed()
    }

    /// The rules that it refers to.
    pub(super) fn references(&self) -> Vec<&str> {
        match self {
            Self::Rule(name) => vec![name],
            Self::Not(check) => check.references(),
            Self::All(checks) | Self::Any(checks) => checks.iter().flat_map(Self::references).collect(),
            _ => vec![],
        }
    }
}

fn has_role(caller: &Attributes, wanted: &str) -> bool {
    let wanted = wanted.to_lowercase();
    let roles = caller.get("roles").and_then(Value::as_array);
    roles.is_some_and(|roles| roles.iter().filter_map(Value::as_str).any(|role| role.to_lowercase() == wanted))
}

/// Whether this value is found along a path, through any item of the lists on it.
fn finds(holder: &Attributes, path: &[String], wanted: &str) -> bool {
    fn holds(value: &Value, path: &[String], wanted: &str) -> bool {
        match (value, path) {
            (Value::Array(items), _) => items.iter().any(|item| holds(item, path, wanted)),
            (Value::Object(inner), [_, ..]) => finds(inner, path, wanted),
            (_, []) => words(value).is_some_and(|found| found == wanted),
            _ => false,
        }
    }
    let Some((name, rest)) = path.split_first() else { return false };
    holder.get(name).is_some_and(|value| holds(value, rest, wanted))
}
