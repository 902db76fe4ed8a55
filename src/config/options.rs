//! What an option is, and how a value written by an operator becomes a typed one.
//!
//! Values arrive as text whatever the source (file, environment, default), so that there is one way to read them and
//! one kind of error: it says what is wrong *and* what to write instead.

use ::config::{Value, ValueKind};
use url::Url;

/// The type of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// `true` or `false`; also `yes`, `on`, `1` and their opposites.
    Bool,
    /// Values between commas.
    List,
    /// The option may stand several times; all its values count.
    Multi,
    /// A time in seconds; a fraction is allowed.
    Seconds,
    /// A time in milliseconds.
    Milliseconds,
    /// A path of a file or directory.
    Path,
    /// A TCP port.
    Port,
    /// A URL; `choices` are its allowed schemes.
    Url,
}

impl Type {
    /// What oslo-config-generator calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String | Self::Path => "string value",
            Self::Integer | Self::Milliseconds => "integer value",
            Self::Float | Self::Seconds => "floating point value",
            Self::Bool => "boolean value",
            Self::List => "list value",
            Self::Multi => "multi valued",
            Self::Port => "port value",
            Self::Url => "uri value",
        }
    }
}

/// One option; declared in [`super::registry`].
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Its name within the group.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Its default as an operator would write it; `None` = unset.
    pub default: Option<&'static str>,
    /// What it does, for the sample file.
    pub help: &'static str,
    /// Its value is never shown.
    pub secret: bool,
    /// Smallest allowed number.
    pub min: Option<i64>,
    /// Largest allowed number.
    pub max: Option<i64>,
    /// Allowed values (a URL: schemes); empty = all.
    pub choices: &'static [&'static str],
}

impl Opt {
    /// An option with a default.
    #[must_use]
    pub const fn new(name: &'static str, kind: Type, default: &'static str, help: &'static str) -> Self {
        let blank = Self::unset(name, kind, help);
        Self { default: Some(default), ..blank }
    }
    /// An option that is unset unless somebody sets it.
    #[must_use]
    pub const fn unset(name: &'static str, kind: Type, help: &'static str) -> Self {
        Self { name, kind, default: None, help, secret: false, min: None, max: None, choices: &[] }
    }
    /// Marks its value as one that is never shown.
    #[must_use]
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
    /// Bounds its number.
    #[must_use]
    pub const fn range(self, min: i64, max: i64) -> Self {
        Self { min: Some(min), max: Some(max), ..self }
    }
    /// Bounds its values.
    #[must_use]
    pub const fn choices(self, choices: &'static [&'static str]) -> Self {
        Self { choices, ..self }
    }

    /// The typed value of what was written, in the order it was written; `Ok(None)` = unset. A wrong one is a sentence
    /// that says what is wrong and what to write.
    ///
    /// Where an option stands several times the last wins, except for [`Type::Multi`], as in oslo.config.
    pub fn read(&self, written: &[String]) -> Result<Option<ValueKind>, String> {
        if self.kind == Type::Multi {
            return Ok(Some(texts(written.iter().map(String::as_str))));
        }
        let Some(text) = written.last().map(|text| text.trim()) else {
            return Ok(None);
        };
        if text.is_empty() && self.kind != Type::List {
            return match self.default {
                None => Ok(None),
                Some(default) => Err(format!("is empty: write a value, or remove the line to get {default}")),
            };
        }
        self.typed(text).map(Some)
    }

    fn typed(&self, text: &str) -> Result<ValueKind, String> {
        match self.kind {
            Type::String | Type::Path => {
                if self.choices.is_empty() || self.choices.contains(&text) {
                    Ok(ValueKind::String(text.to_owned()))
                } else {
                    Err(format!("{} is not possible: write one of {}", self.shown(text), self.choices.join(", ")))
                }
            }
            Type::Bool => match text.to_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Ok(ValueKind::Boolean(true)),
                "false" | "no" | "off" | "0" => Ok(ValueKind::Boolean(false)),
                _ => Err(format!("{} is neither true nor false: write true or false", self.shown(text))),
            },
            Type::Integer | Type::Port | Type::Milliseconds => {
                let number: i64 = text.parse().map_err(|_| self.no_number(text, "a whole number"))?;
                self.bounded(text, number, number).map(ValueKind::I64)
            }
            Type::Float | Type::Seconds => {
                let number: f64 = text.parse().map_err(|_| self.no_number(text, "a number"))?;
                if !number.is_finite() {
                    return Err(self.no_number(text, "a finite number"));
                }
                // Bounds are whole: the number lies between its floor and its ceiling.
                #[allow(clippy::cast_possible_truncation)] // `as` saturates, and the bounds are small.
                self.bounded(text, number.floor() as i64, number.ceil() as i64)?;
                Ok(ValueKind::Float(number))
            }
            Type::List => Ok(texts(text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty()))),
            Type::Url => self.url(text),
            Type::Multi => Ok(texts([text])),
        }
    }

    fn url(&self, text: &str) -> Result<ValueKind, String> {
        let url = Url::parse(text).map_err(|error| {
            format!("{} is not a URL ({error}): write one like {}", self.shown(text), self.example())
        })?;
        if self.choices.contains(&url.scheme()) {
            Ok(ValueKind::String(text.to_owned()))
        } else {
            let schemes = self.choices.iter().map(|scheme| format!("{scheme}:")).collect::<Vec<_>>().join(", ");
            Err(format!(
                "starts with {}:, which Ratoon does not know: write one that starts with {schemes}",
                url.scheme()
            ))
        }
    }

    fn example(&self) -> &'static str {
        self.default.unwrap_or("https://controller.example:5000/v3")
    }

    fn bounded(&self, text: &str, low: i64, high: i64) -> Result<i64, String> {
        if self.min.is_some_and(|min| low < min) || self.max.is_some_and(|max| high > max) {
            return Err(self.no_number(text, "in range"));
        }
        Ok(low)
    }

    fn no_number(&self, text: &str, wanted: &str) -> String {
        let between = match (self.min, self.max) {
            (Some(min), Some(max)) => format!(" from {min} to {max}"),
            (Some(min), None) => format!(" of {min} or more"),
            (None, Some(max)) => format!(" of {max} or less"),
            (None, None) => String::new(),
        };
        format!("{} is not {wanted}: write a number{between}", self.shown(text))
    }

    fn shown(&self, text: &str) -> String {
        if self.secret { "the value (not shown, it is a secret)".to_owned() } else { format!("'{text}'") }
    }
}

fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> ValueKind {
    ValueKind::Array(items.into_iter().map(|item| Value::new(None, ValueKind::String(item.to_owned()))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(opt: &Opt, text: &str) -> Result<Option<ValueKind>, String> {
        opt.read(&[text.to_owned()])
    }

    #[test]
    fn every_type_reads_what_is_right_and_explains_what_is_wrong() {
        let url = Opt::unset("u", Type::Url, "").choices(&["http", "https"]);
        let cases = [
            (
                Opt::new("i", Type::Integer, "1", "").range(1, 8),
                "8",
                "9",
                "'9' is not in range: write a number from 1 to 8",
            ),
            (
                Opt::new("i", Type::Port, "1", "").range(0, 65535),
                "0",
                "x",
                "'x' is not a whole number: write a number from 0 to 65535",
            ),
            (Opt::new("f", Type::Float, "1", ""), "0.5", "inf", "'inf' is not a finite number: write a number"),
            (
                Opt::new("s", Type::Seconds, "1", "").range(1, 60),
                "59.5",
                "0.9",
                "'0.9' is not in range: write a number from 1 to 60",
            ),
            (
                Opt::new("s", Type::Seconds, "1", "").range(0, 60),
                "0.9",
                "60.1",
                "'60.1' is not in range: write a number from 0 to 60",
            ),
            (
                Opt::new("b", Type::Bool, "true", ""),
                "Off",
                "maybe",
                "'maybe' is neither true nor false: write true or false",
            ),
            (
                Opt::new("t", Type::String, "a", "").choices(&["a", "b"]),
                "b",
                "c",
                "'c' is not possible: write one of a, b",
            ),
            (Opt::new("t", Type::Path, "/x", ""), "/y", "", "is empty: write a value, or remove the line to get /x"),
            (
                url,
                "https://a",
                "ftp://a",
                "starts with ftp:, which Ratoon does not know: write one that starts with http:, https:",
            ),
        ];
        for (opt, right, wrong, said) in cases {
            assert!(read(&opt, right).is_ok(), "{opt:?} {right}");
            assert_eq!(read(&opt, wrong), Err(said.to_owned()));
        }
    }

    #[test]
    fn a_secret_is_not_shown_in_its_own_error() {
        let opt = Opt::new("i", Type::Integer, "1", "").secret();
        let said = read(&opt, "hunter2");
        assert!(said.as_ref().is_err_and(|said| !said.contains("hunter2")), "{said:?}");
    }

    #[test]
    fn the_last_of_several_wins_but_multi_keeps_all() {
        let written = ["a".to_owned(), "b, c".to_owned()];
        let one = Opt::unset("o", Type::String, "").read(&written);
        assert_eq!(one, Ok(Some(ValueKind::String("b, c".into()))));
        assert_eq!(Opt::unset("o", Type::Multi, "").read(&written), Ok(Some(texts(["a", "b, c"]))));
        assert_eq!(Opt::unset("o", Type::List, "").read(&written), Ok(Some(texts(["b", "c"]))));
        assert_eq!(Opt::unset("o", Type::String, "").read(&[String::new()]), Ok(None));
    }
}
