//! Rules by name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{Attributes, Check, Question, RemoteCheck};
use super::parse::{parse_text, parse_value};
use crate::error::{Error, Kind, Result};

/// A set of rules that fit together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    rules: BTreeMap<String, Check>,
    /// The rule that answers for those that are not there.
    default_rule: String,
}

impl Rules {
    /// From what files say, in their order, over what holds where they say nothing. `default_rule` answers for rules that
    /// are not there.
    ///
    /// # Errors
    /// `BadRequest` for a rule that cannot be understood or that refers to itself.
    pub fn new(defaults: &[(&str, &str)], written: &[(String, Value)], default_rule: &str) -> Result<Self> {
        let mut rules = BTreeMap::new();
        for (name, text) in defaults {
            let check = parse_text(text).ok_or_else(|| not_understood(name, text))?;
            rules.insert((*name).to_owned(), check);
        }
        for (name, value) in written {
            let check = parse_value(value).ok_or_else(|| not_understood(name, &value.to_string()))?;
            rules.insert(name.clone(), check);
        }
        let rules = Self { rules, default_rule: default_rule.to_owned() };
        match rules.rules.keys().find(|name| rules.leads_to(name, name, &mut Vec::new())) {
            Some(name) => Err(Error::new(Kind::BadRequest, format!("The rule {name} refers to itself."))
                .remedy("Let one of the rules that it refers to do without it.")),
            None => Ok(rules),
        }
    }

    /// A rule, or the one that answers for what is not there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Check> {
        self.rules.get(name).or_else(|| self.rules.get(&self.default_rule))
    }

    /// Rules that are referred to and not there, each with one that does.
    #[must_use]
    pub fn undefined(&self) -> Vec<(&str, &str)> {
        let references =
            self.rules.iter().flat_map(|(name, check)| check.references().into_iter().map(|to| (to, name.as_str())));
        references.filter(|(to, _)| !self.rules.contains_key(*to)).collect()
    }

    fn leads_to<'a>(&'a self, from: &'a str, to: &str, seen: &mut Vec<&'a str>) -> bool {
        let Some(check) = self.get(from) else { return false };
        check.references().into_iter().any(|next| {
            if next == to {
                return true;
            }
            if seen.contains(&next) {
                return false;
            }
            seen.push(next);
            self.leads_to(next, to, seen)
        })
    }

    /// Whether a rule holds for this caller and this target. A rule that is not there holds for nobody.
    ///
    /// # Errors
    /// When a policy server that the rule names gives no answer.
    pub async fn ask(
        &self,
        rule: &str,
        target: &Attributes,
        caller: &Attributes,
        remote: Option<&dyn RemoteCheck>,
    ) -> Result<bool> {
        match self.get(rule) {
            Some(check) => check.ask(&Question { rules: self, rule, target, caller, remote }).await,
            None => Ok(false),
        }
    }
}

fn not_understood(name: &str, text: &str) -> Error {
    Error::new(Kind::BadRequest, format!("The rule {name} cannot be understood: {text}"))
        .remedy("Write it in the language of oslo.policy, such as \"role:member and project_id:%(project_id)s\".")
}
