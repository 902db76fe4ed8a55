//! oslo-style INI as a source of the `config` crate.
//!
//! `config`'s own INI reader is not oslo's: it drops all but the last of a repeated option, turns continuation lines
//! into keys and rewrites backslashes. `rust-ini` does it right when told to, but reads a line without `=` as the
//! start of the next key and gives no line numbers. So each file is looked over line by line first, by oslo's own
//! rules: that finds the broken lines, and the line of each option for later errors.

use std::collections::VecDeque;
use std::path::Path;

use ::config::{ConfigError, Map, Source, Value, ValueKind};
use ini::{Ini, ParseOption};

use crate::error::{Error, Kind, Result};

/// One `name = value`, with the place it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    group: String,
    name: String,
    value: String,
    origin: String,
}

/// One file, read.
#[derive(Debug, Clone)]
pub struct IniFile {
    entries: Vec<Entry>,
}

impl IniFile {
    /// Reads a file; `None` if there is none.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&path.display().to_string(), &text).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::new(Kind::BadRequest, format!("read the configuration file {}", path.display()))
                .remedy("Make it a readable UTF-8 text file for the user that Ratoon runs as.")
                .source(error)),
        }
    }

    /// Reads text that came from `origin`.
    pub fn parse(origin: &str, text: &str) -> Result<Self> {
        let broken = |line: usize, why: &str, remedy: &str| {
            Error::new(Kind::BadRequest, format!("{origin}:{line}: {why}.")).remedy(remedy)
        };
        let mut places = survey(text).map_err(|(line, why, remedy)| broken(line, why, remedy))?;
        let options = ParseOption {
            enabled_quote: false,
            enabled_escape: false,
            enabled_indented_mutiline_value: true,
            ..ParseOption::default()
        };
        let ini = Ini::load_from_str_opt(&plain(text), options)
            .map_err(|error| broken(error.line, &error.msg, "Correct or remove this line."))?;
        let mut entries = Vec::new();
        for (section, properties) in &ini {
            let group = section.unwrap_or_default().to_lowercase();
            for (name, value) in properties {
                let place = places.iter().position(|place| place.group == group && place.name == name);
                let line = place.and_then(|index| places.remove(index)).map_or(0, |place| place.line);
                let (name, value) = (name.to_owned(), unquoted(value).to_owned());
                entries.push(Entry { group: group.clone(), name, value, origin: format!("{origin}:{line}") });
            }
        }
        Ok(Self { entries })
    }
}

impl Source for IniFile {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    /// A table for each group; each option is an array, in the order of the file.
    fn collect(&self) -> std::result::Result<Map<String, Value>, ConfigError> {
        let mut groups: Map<String, Map<String, Vec<Value>>> = Map::new();
        for entry in &self.entries {
            let value = Value::new(Some(&entry.origin), ValueKind::String(entry.value.clone()));
            groups.entry(entry.group.clone()).or_default().entry(entry.name.clone()).or_default().push(value);
        }
        Ok(groups.into_iter().map(|(group, options)| (group, Value::new(None, table(options)))).collect())
    }
}

fn table(options: Map<String, Vec<Value>>) -> ValueKind {
    let options = options.into_iter().map(|(name, values)| {
        let origin = values.last().and_then(Value::origin).map(str::to_owned);
        (name, Value::new(origin.as_ref(), ValueKind::Array(values)))
    });
    ValueKind::Table(options.collect())
}

/// Where an option stands.
struct Place {
    group: String,
    name: String,
    line: usize,
}

type Broken = (usize, &'static str, &'static str);

/// Looks every line over by oslo.config's rules: the places of the options, or the first broken line.
fn survey(text: &str) -> std::result::Result<VecDeque<Place>, Broken> {
    let mut places = VecDeque::new();
    let mut group: Option<String> = None;
    let mut in_value = false;
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let content = line.trim_end();
        if content.is_empty() {
            in_value = false;
        } else if content.starts_with([' ', '\t']) {
            if !in_value {
                return Err((number, "an indented line continues the option above it, but there is none", UNINDENT));
            }
        } else if content.starts_with(['#', ';']) {
            in_value = false;
        } else if let Some(rest) = content.strip_prefix('[') {
            let name = rest.strip_suffix(']').map(str::trim).filter(|name| !name.is_empty());
            let name = name.ok_or((number, "the group's name is not closed or empty", "Write it as [group]."))?;
            group = Some(name.to_lowercase());
            in_value = false;
        } else {
            let Some((name, _)) = content.split_once(['=', ':']) else {
                return Err((number, "neither an option, a [group] nor a comment", ASSIGN));
            };
            if name.trim().is_empty() {
                return Err((number, "the option's name is missing before the '='", ASSIGN));
            }
            let Some(group) = group.clone() else {
                return Err((number, "an option before the first [group]", "Put a line [DEFAULT] above it."));
            };
            places.push_back(Place { group, name: name.trim().to_owned(), line: number });
            in_value = true;
        }
    }
    Ok(places)
}

const UNINDENT: &str = "Remove the spaces at the start of this line.";
const ASSIGN: &str = "Write it as `name = value`, or put # in front of it.";

/// The text in the one shape that rust-ini reads as oslo.config does: no byte order mark, no carriage returns, comments
/// and blanks end a value, and a backslash at the end of a line is a backslash (it would join lines).
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 1);
    for line in text.trim_start_matches('\u{feff}').lines() {
        let content = line.trim_end();
        if !content.starts_with(['#', ';']) {
            plain.push_str(content);
            if content.ends_with('\\') {
                plain.push(' ');
            }
        }
        plain.push('\n');
    }
    plain
}

/// As oslo.config: one pair of equal quotes around the whole value goes.
fn unquoted(value: &str) -> &str {
    let quoted = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('"').or_else(|| quoted('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests;
