//! From texts to [`Check`]s.
//!
//! The grammar is what oslo.policy's parser takes, which is a little more than its documentation says: words are cut at
//! blanks, brackets only count at the ends of words, `and` binds before `or`, `not` before both, and after `or` an `and` takes
//! the last check with it.

use serde_json::Value;

use super::check::{Check, Template};

/// What is on the parser's stack.
#[derive(Debug)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Check(Check),
    /// Checks joined by `and`, which the next `and` may extend.
    AndExpression(Vec<Check>),
    /// Checks joined by `or`, likewise.
    OrExpression(Vec<Check>),
    /// A word in quotes: nothing can follow from it.
    Quoted,
}

/// Reads a rule's text; `None` where it cannot be understood.
pub(super) fn parse_text(text: &str) -> Option<Check> {
    if text.is_empty() {
        return Some(Check::Everybody);
    }
    let mut stack = Vec::new();
    for word in text.split_whitespace() {
        for token in tokens(word)? {
            stack.push(token);
            while reduce(&mut stack) {}
        }
    }
    match (stack.pop(), stack.pop()) {
        (Some(Token::Check(check)), None) => Some(check),
        (Some(Token::AndExpression(checks)), None) => Some(Check::All(checks)),
        (Some(Token::OrExpression(checks)), None) => Some(Check::Any(checks)),
        _ => None,
    }
}

/// Reads a rule as a file has it: a text, nothing (everybody), or the old form of lists in a list, where one of the inner
/// lists must hold as a whole.
pub(super) fn parse_value(value: &Value) -> Option<Check> {
    let outer = match value {
        Value::String(text) => return parse_text(text),
        Value::Null => return Some(Check::Everybody),
        Value::Array(outer) if outer.is_empty() => return Some(Check::Everybody),
        Value::Array(outer) => outer,
        _ => return None,
    };
    let mut any = Vec::new();
    for inner in outer {
        let words = match inner {
            Value::String(word) if word.is_empty() => continue,
            Value::String(word) => vec![word.as_str()],
            Value::Array(words) if words.is_empty() => continue,
            Value::Array(words) => words.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?,
            _ => return None,
        };
        any.push(one_or(Check::All, words.into_iter().map(check).collect::<Option<Vec<_>>>()?));
    }
    Some(if any.is_empty() { Check::Nobody } else { one_or(Check::Any, any) })
}

fn one_or(join: fn(Vec<Check>) -> Check, mut checks: Vec<Check>) -> Check {
    match checks.len() {
        1 => checks.remove(0),
        _ => join(checks),
    }
}

/// The tokens of a word without blanks.
fn tokens(word: &str) -> Option<Vec<Token>> {
    let inner = word.trim_start_matches('(');
    let mut tokens: Vec<Token> = (inner.len()..word.len()).map(|_| Token::Open).collect();
    let text = inner.trim_end_matches(')');
    let quoted = |quote: char| inner.len() >= 2 && inner.starts_with(quote) && inner.ends_with(quote);
    match text.to_lowercase().as_str() {
        "" => {}
        "and" => tokens.push(Token::And),
        "or" => tokens.push(Token::Or),
        "not" => tokens.push(Token::Not),
        _ if quoted('\'') || quoted('"') => tokens.push(Token::Quoted),
        _ => tokens.push(Token::Check(check(text)?)),
    }
    tokens.extend((text.len()..inner.len()).map(|_| Token::Close));
    Some(tokens)
}

/// Replaces the top of the stack by what it means as a whole; `false` when it means nothing yet.
fn reduce(stack: &mut Vec<Token>) -> bool {
    use Token::{And, AndExpression, Check as One, Close, Not, Open, Or, OrExpression};
    let (third, second, top) = (take(stack, 3), take(stack, 2), take(stack, 1));
    let made = match (third, second, top) {
        (Some(Open), Some(One(_)), Some(Close)) => {
            stack.pop();
            let check = stack.pop();
            stack.pop();
            check
        }
        (Some(Open), Some(AndExpression(_) | OrExpression(_)), Some(Close)) => {
            stack.pop();
            let check = match stack.pop() {
                Some(AndExpression(checks)) => Some(One(Check::All(checks))),
                Some(OrExpression(checks)) => Some(One(Check::Any(checks))),
                other => other,
            };
            stack.pop();
            check
        }
        (Some(One(_) | AndExpression(_) | OrExpression(_)), Some(And | Or), Some(One(_))) => joined(stack),
        (_, Some(Not), Some(One(_))) => {
            let Some(One(check)) = stack.pop() else { return false };
            stack.pop();
            Some(One(Check::Not(Box::new(check))))
        }
        _ => return false,
    };
    stack.extend(made);
    true
}

fn take(stack: &[Token], from_top: usize) -> Option<&Token> {
    stack.len().checked_sub(from_top).and_then(|at| stack.get(at))
}

/// Left `and`/`or` right.
fn joined(stack: &mut Vec<Token>) -> Option<Token> {
    let (right, operator, left) = (stack.pop(), stack.pop(), stack.pop());
    let Some(Token::Check(right)) = right else { return None };
    Some(match (left?, operator?) {
        (Token::Check(left), Token::And) => Token::AndExpression(vec![left, right]),
        (Token::AndExpression(mut checks), Token::And) => {
            checks.push(right);
            Token::AndExpression(checks)
        }
        // `a or b and c`
        (Token::OrExpression(mut checks), Token::And) => {
            let both = match checks.pop() {
                Some(Check::All(mut last)) => {
                    last.push(right);
                    last
                }
                last => last.into_iter().chain([right]).collect(),
            };
            checks.push(Check::All(both));
            Token::OrExpression(checks)
        }
        (Token::Check(left), _) => Token::OrExpression(vec![left, right]),
        (Token::AndExpression(left), _) => Token::OrExpression(vec![Check::All(left), right]),
        (Token::OrExpression(mut checks), _) => {
            checks.push(right);
            Token::OrExpression(checks)
        }
        _ => return None,
    })
}

/// One check: `@`, `!`, or `left:right`.
fn check(word: &str) -> Option<Check> {
    match word {
        "@" => return Some(Check::Everybody),
        "!" => return Some(Check::Nobody),
        _ => {}
    }
    let (left, right) = word.split_once(':')?;
    Some(match left {
        "rule" => Check::Rule(right.to_owned()),
        "role" => Check::Role(Template::parse(right)?),
        "http" | "https" => Check::Remote(Template::parse(word)?),
        _ => match literal(left) {
            Some(value) => Check::Literal(value, Template::parse(right)?),
            None => Check::Attribute(left.split('.').map(str::to_owned).collect(), Template::parse(right)?),
        },
    })
}

/// A literal of Python's, as its `str` writes it: text in quotes, `True`, `False`, `None`, a whole number.
fn literal(word: &str) -> Option<String> {
    if matches!(word, "True" | "False" | "None") {
        return Some(word.to_owned());
    }
    for quote in ['\'', '"'] {
        let inner = word.strip_prefix(quote).and_then(|word| word.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains([quote, '\\'])) {
            return Some(inner.to_owned());
        }
    }
    word.parse::<i64>().ok().map(|number| number.to_string()).filter(|number| number == word)
}
