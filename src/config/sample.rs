//! The sample file, in the look of oslo-config-generator, so that operators and their tools feel at home.

use std::fmt::Write;

use super::options::{Opt, Type};
use super::registry::GROUPS;

const WIDTH: usize = 78;

/// The text of `etc/ratoon/ratoon.conf.sample`.
#[must_use]
pub fn sample() -> String {
    let mut text = String::new();
    for group in GROUPS {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "[{}]\n\n#\n# From ratoon\n#\n", group.name);
        for opt in group.options {
            describe(opt, &mut text);
        }
    }
    text
}

fn describe(opt: &Opt, text: &mut String) {
    text.push('\n');
    for line in wrapped(&format!("{} ({})", opt.help, opt.kind.name())) {
        let _ = writeln!(text, "# {line}");
    }
    if let Some(min) = opt.min {
        let _ = writeln!(text, "# Minimum value: {min}");
    }
    if let Some(max) = opt.max {
        let _ = writeln!(text, "# Maximum value: {max}");
    }
    if opt.kind == Type::Url {
        let _ = writeln!(text, "# Schemes: {}", opt.choices.join(", "));
    } else if !opt.choices.is_empty() {
        let _ = writeln!(text, "# Possible values: {}", opt.choices.join(", "));
    }
    let _ = writeln!(text, "#{} = {}", opt.name, opt.default.unwrap_or("<None>"));
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
