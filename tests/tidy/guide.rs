//! The operations guide (`doc/source/operations/`) has an entry for all that the service says to operators: each message at
//! WARN and ERROR, each warning that is stored with a server or an operation, and each optional step, whose failure becomes
//! one. And its lists hold nothing that is not said any more.
//!
//! In the guide the words stand between double backticks, with `…` for what is filled in.

use std::iter::Peekable;
use std::str::Chars;

use super::files::Text;
use super::rules::{Complaint, complaint};
use super::rust::Code;

/// Something that is said, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    path: String,
    line: usize,
    words: String,
}

const LOGGED: [&str; 2] = ["warn!(", "error!("];
/// Calls that store a warning.
const STORES: [&str; 2] = ["warn_server(", "store.warn("];
/// What is stored goes by these names.
const STORED: [&str; 4] = ["let text =", "let warning =", "self.state.partial =", "self.state.partial.push("];
/// Where a line of the log is made elsewhere than where it is written.
const MADE_ELSEWHERE: [(&str, &str); 1] = [("src/main.rs", "… is not an option of Ratoon and has no effect")];
/// The pages that are lists of such words, in the first column.
const LISTS: [&str; 2] = ["doc/source/operations/log.rst", "doc/source/operations/warnings.rst"];

/// All that one source says to operators.
pub fn said(path: &str, text: &str) -> Vec<Said> {
    let starts: Vec<usize> = text
        .split_inclusive('\n')
        .scan(0, |at, line| {
            let start = *at;
            *at += line.len();
            Some(start)
        })
        .collect();
    let stores = STORES.iter().any(|call| text.contains(call));
    let mut said = Vec::new();
    let mut say = |line: usize, words: String| {
        if words.chars().any(char::is_alphabetic) {
            said.push(Said { path: path.to_owned(), line, words });
        }
    };
    for (number, code) in Code::of(text).iter() {
        let Some(line) = starts.get(number - 1).map(|start| &text[*start..]) else { continue };
        let behind = |needle: &str| {
            let at = code.contains(needle).then(|| line.find(needle)).flatten()?;
            Some(&line[at..])
        };
        for call in LOGGED.iter().filter_map(|needle| Some(&behind(needle)?[needle.len() - 1..])) {
            let words = texts(call, ')').into_iter().rfind(|(depth, _)| *depth == 1);
            say(number, words.map(|(_, words)| shown(&words)).unwrap_or_default());
        }
        for statement in STORED.iter().filter(|_| stores).filter_map(|needle| behind(needle)) {
            texts(statement, ';').iter().for_each(|(_, words)| say(number, shown(words)));
        }
        if let Some(step) = behind("Step {").filter(|_| code.contains("reversal: Reversal::Optional")) {
            texts(step, '}').iter().take(1).for_each(|(_, name)| say(number, format!("{name}: …")));
        }
    }
    for (_, words) in MADE_ELSEWHERE.iter().filter(|(home, _)| *home == path) {
        say(1, (*words).to_owned());
    }
    said
}

/// What is said and has no entry in the guide.
pub fn missing(said: &[Said], guide: &[Text]) -> Vec<Complaint> {
    const REMEDY: &str = "Say in doc/source/operations/ what it means and what to do";
    let guide = guide.iter().map(|(_, page)| joined(page)).collect::<Vec<_>>().join(" ");
    let unknown = said.iter().filter(|it| !guide.contains(&format!("``{}``", it.words)));
    unknown.map(|it| complaint(&it.path, it.line, format!("the guide has no ``{}``", it.words), REMEDY)).collect()
}

/// What stands in the guide's lists and is not said any more.
pub fn stale(said: &[Said], guide: &[Text]) -> Vec<Complaint> {
    const REMEDY: &str = "Take it out, or write the words as they are now";
    let mut complaints = Vec::new();
    for (path, page) in guide.iter().filter(|(path, _)| LISTS.contains(&path.as_str())) {
        let page = joined(page);
        let entries = page.split("* - ``").skip(1).filter_map(|row| row.split("``").next());
        for entry in entries.filter(|entry| !said.iter().any(|it| it.words == *entry)) {
            complaints.push(complaint(path, 1, format!("nothing says ``{entry}``"), REMEDY));
        }
    }
    complaints
}

/// A warning that is stored under another name than those by which [`said`] finds its words.
pub fn unnamed(path: &str, code: &Code) -> Vec<Complaint> {
    const REMEDY: &str = "Call what is stored `text` or `warning`, so that the guide is held to it";
    let lines: Vec<(usize, &str)> = code.iter().collect();
    let mut complaints = Vec::new();
    for (at, (number, line)) in lines.iter().enumerate().filter(|(_, (_, line))| !line.contains("fn ")) {
        for call in STORES.iter().filter(|call| line.contains(**call)) {
            let here: String = lines[at..].iter().take(6).map(|(_, line)| format!("{line}\n")).collect();
            let arguments = here.split(*call).nth(1).and_then(|rest| rest.split(')').next()).unwrap_or_default();
            if !["text", "warning"].iter().any(|name| arguments.contains(name)) {
                complaints.push(complaint(path, *number, "a warning is stored under another name".to_owned(), REMEDY));
            }
        }
    }
    complaints
}

/// The texts in the code that begins here, each with the number of brackets around it: until the first bracket is closed by
/// `end`, or, where that is a semicolon, until the statement ends.
fn texts(code: &str, end: char) -> Vec<(usize, String)> {
    let (mut found, mut depth, mut chars) = (Vec::new(), 0_usize, code.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && c == end {
                    break;
                }
            }
            ';' if depth == 0 && end == ';' => break,
            '"' => found.push((depth, text(&mut chars))),
            _ => {}
        }
    }
    found
}

/// A text, from behind its first quote on: escapes resolved, broken lines joined.
fn text(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                Some('n' | 't') => text.push(' '),
                other => text.extend(other),
            },
            other => text.push(other),
        }
    }
    text
}

/// As the guide shows it: `…` for what is filled in.
fn shown(text: &str) -> String {
    let (mut shown, mut chars) = (String::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '{' | '}' if chars.next_if_eq(&c).is_some() => shown.push(c),
            '{' => {
                while chars.next().is_some_and(|c| c != '}') {}
                if !shown.ends_with('…') {
                    shown.push('…');
                }
            }
            other => shown.push(other),
        }
    }
    joined(&shown)
}

fn joined(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn messages_warnings_and_optional_steps_are_found_with_their_words() {
    let source = r#"
//! warn!("a comment")
fn f() {
    tracing::warn!(at = here("x"), error = %error, "it {word} \
        \"fails\"");
    tracing::error!("{sentence}");
    tracing::info!("all is well");
    let text = format!("{} Look at {id}{more}.", match it { A => "It hangs.", _ => "It is gone." });
    store.warn(fence, &text).await?;
}
const STEPS: [Step; 1] = [
    Step { name: "label", reversal: Reversal::Optional },
    Step { name: "take", reversal: Reversal::Undo },
];
#[cfg(test)]
mod tests {
    fn f() { tracing::warn!("a test"); }
}
"#;
    let found = said("src/x.rs", source);
    let lines: Vec<_> = found.iter().map(|it| (it.line, it.words.as_str())).collect();
    let wanted = [(4, "it … \"fails\""), (8, "… Look at …."), (8, "It hangs."), (8, "It is gone."), (12, "label: …")];
    assert_eq!(lines, wanted);
    assert_eq!(unnamed("src/x.rs", &Code::of(source)), []);
    let other = Code::of("async fn warn_server(x: u8) {}\napp.warn_server(id, &format!(\"x\"), None);\n");
    assert!(unnamed("src/x.rs", &other)[0].to_string().contains("src/x.rs:2: "));
}

#[test]
fn what_the_guide_lacks_and_what_it_has_too_much_is_told() {
    let said = said("src/x.rs", "warn!(\"one\");\nwarn!(\"two {x}\");\n");
    let page = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let guide = [
        page(LISTS[0], "   * - ``two\n       …``\n     - x\n   * - ``three``\n"),
        page("a.rst", "``one`` * - ``four``"),
    ];
    assert_eq!(missing(&said, &guide), []);
    let found: Vec<_> = missing(&said, &guide[..1]).iter().map(ToString::to_string).collect();
    assert!(found.len() == 1 && found[0].contains("src/x.rs:1: the guide has no ``one``"), "{found:?}");
    let found: Vec<_> = stale(&said, &guide).iter().map(ToString::to_string).collect();
    assert!(found.len() == 1 && found[0].contains("nothing says ``three``"), "{found:?}");
}
