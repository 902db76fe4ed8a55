//! Just enough Rust: code without comments, texts and tests, and the paths that it names.
//!
//! It relies on rustfmt (an item ends with a `}` in the column where it began), not on a parser.

/// One source text, reduced to its code.
pub struct Code {
    /// Each line that is not test code: its number, and its code with comments and the insides of texts left out.
    code: Vec<(usize, String)>,
}

/// One token, with its line.
type Token = (usize, String);

impl Code {
    /// Reduces a text.
    pub fn of(text: &str) -> Self {
        let blanked = blank(text);
        let (mut code, mut test_ends_at): (Vec<(usize, String)>, Option<String>) = (Vec::new(), None);
        let mut lines = (1..).zip(blanked.lines());
        while let Some((number, line)) = lines.next() {
            if let Some(end) = &test_ends_at {
                if line.starts_with(end.as_str()) {
                    test_ends_at = None;
                }
            } else if line.trim_start().starts_with("#[cfg(test)]") {
                let indent = &line[..line.len() - line.trim_start().len()];
                let item = lines.by_ref().map(|(_, line)| line).find(|line| !line.trim_start().starts_with("#["));
                if item.is_some_and(|item| item.trim_end().ends_with('{')) {
                    test_ends_at = Some(format!("{indent}}}"));
                }
            } else {
                code.push((number, line.to_owned()));
            }
        }
        Self { code }
    }

    /// How many lines are not test code.
    pub fn lines(&self) -> usize {
        self.code.len()
    }

    /// The lines of code, numbered from 1.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().map(|(number, line)| (*number, line.as_str()))
    }

    /// Every path that is named, `use` trees taken apart: `use a::{b, c::d}` is `a::b` and `a::c::d`.
    pub fn paths(&self) -> Vec<(usize, String)> {
        let tokens = self.tokens();
        let (mut paths, mut at) = (Vec::new(), 0);
        while at < tokens.len() {
            if is_name(&tokens[at].1) {
                at = path("", &tokens, at, &mut paths);
            } else {
                at += 1;
            }
        }
        paths
    }

    fn tokens(&self) -> Vec<Token> {
        let mut tokens = Vec::new();
        for (number, line) in &self.code {
            let mut rest = line.as_str();
            while let Some(first) = rest.chars().next() {
                let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let length = if name > 0 {
                    name
                } else if rest.starts_with("::") {
                    2
                } else {
                    first.len_utf8()
                };
                if !first.is_whitespace() {
                    tokens.push((*number, rest[..length].to_owned()));
                }
                rest = &rest[length..];
            }
        }
        tokens
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn token(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.1.as_str())
}

/// Takes the path that begins here apart; returns where the next token is.
fn path(prefix: &str, tokens: &[Token], mut at: usize, paths: &mut Vec<(usize, String)>) -> usize {
    let line = tokens[at].0;
    let mut whole = format!("{prefix}{}", tokens[at].1);
    at += 1;
    while token(tokens, at) == "::" {
        at += 1;
        match token(tokens, at) {
            "{" => return branches(&format!("{whole}::"), tokens, at + 1, paths),
            name if is_name(name) || name == "*" => {
                whole = format!("{whole}::{name}");
                at += 1;
            }
            _ => break,
        }
    }
    paths.push((line, whole));
    at
}

fn branches(prefix: &str, tokens: &[Token], mut at: usize, paths: &mut Vec<(usize, String)>) -> usize {
    while at < tokens.len() {
        match token(tokens, at) {
            "}" => return at + 1,
            "as" => at += 2,
            name if is_name(name) => at = path(prefix, tokens, at, paths),
            _ => at += 1,
        }
    }
    at
}

/// The text with every character of comments and of texts' insides made a blank; lines stay where they are.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut blanked = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = match chars[at] {
            '/' if chars.get(at + 1) == Some(&'/') => find(&chars, at, |rest| rest[0] == '\n'),
            '/' if chars.get(at + 1) == Some(&'*') => find(&chars, at + 2, |rest| rest.starts_with(&['*', '/'])) + 2,
            'r' if starts_raw(&chars, at) => {
                let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
                let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                find(&chars, at + 2 + hashes, |rest| rest.starts_with(&close)) + close.len()
            }
            '"' => quoted(&chars, at, '"'),
            // A character, not a lifetime.
            '\'' if chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'') => quoted(&chars, at, '\''),
            other => {
                blanked.push(other);
                at += 1;
                continue;
            }
        };
        let end = end.min(chars.len());
        blanked.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    blanked
}

fn starts_raw(chars: &[char], at: usize) -> bool {
    let in_name = at > 0 && (chars[at - 1].is_alphanumeric() && chars[at - 1] != 'b' || chars[at - 1] == '_');
    !in_name && chars[at + 1..].iter().find(|c| **c != '#') == Some(&'"')
}

fn quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn find(chars: &[char], from: usize, stop: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|at| stop(&chars[*at..])).unwrap_or(chars.len())
}

#[test]
fn comments_texts_and_tests_are_not_code() {
    let code = Code::of(
        "let a = \"sea_orm // \\\" x\"; // unsafe\nlet b = r#\"un\"safe\"#; /* c\nd */ let c = '\"';\n\
         #[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn f() {\n    }\n}\nfn after<'a>() {}\n#[cfg(test)]\nmod t;\nend\n",
    );
    let lines: Vec<_> =
        code.iter().map(|(number, line)| (number, line.split_whitespace().collect::<String>())).collect();
    let wanted = [(1, "leta=;"), (2, "letb=;"), (3, "letc=;"), (10, "fnafter<'a>(){}"), (13, "end")];
    assert_eq!(lines, wanted.map(|(number, line)| (number, line.to_owned())));
}

#[test]
fn use_trees_are_taken_apart() {
    let code = Code::of("use a::{\n    b as x, c::{self, d}, *,\n};\nlet y = f::<T>(crate::g::H);\n");
    let paths: Vec<_> = code.paths().into_iter().map(|(line, path)| format!("{line} {path}")).collect();
    for wanted in ["2 a::b", "2 a::c::self", "2 a::c::d", "4 crate::g::H"] {
        assert!(paths.iter().any(|path| path == wanted), "{wanted} is not in {paths:?}");
    }
}
