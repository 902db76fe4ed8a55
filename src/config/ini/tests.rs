//! The rules of oslo.config's own reader, as a table.

use super::*;

fn entries(text: &str) -> Vec<(String, String, String, String)> {
    let file = IniFile::parse("f", text).unwrap_or_else(|error| panic!("{}", error.chain()));
    file.entries.into_iter().map(|entry| (entry.group, entry.name, entry.value, entry.origin)).collect()
}

fn values(text: &str) -> Vec<String> {
    entries(&format!("[g]\n{text}")).into_iter().map(|(_, name, value, _)| format!("{name}={value}")).collect()
}

#[test]
fn values_are_read_as_oslo_config_reads_them() {
    let cases: &[(&str, &[&str])] = &[
        ("a = 1\nb: 2\nc=\n", &["a=1", "b=2", "c="]),
        ("a = 1\na = 2\nb = 3\na = 4\n", &["a=1", "b=3", "a=2", "a=4"]),
        ("a = one,\n  two\n\tthree\nb = 4\n", &["a=one,\ntwo\nthree", "b=4"]),
        ("# a = 1\n;b = 2\na = 1 # no comment\n", &["a=1 # no comment"]),
        ("a = \"q\"\nb = 'q'\nc = \"q'\nd = \"\n", &["a=q", "b=q", "c=\"q'", "d=\""]),
        ("a = x\\ty\\n\nb = c:\\\nc = d\\\\\n", &["a=x\\ty\\n", "b=c:\\", "c=d\\\\"]),
        ("a = mysql://u:p=w@h/d?x=1\n", &["a=mysql://u:p=w@h/d?x=1"]),
        ("a = 1\r\nb = 2\r\n", &["a=1", "b=2"]),
        ("a = 1\n# comment\n\nb = 2", &["a=1", "b=2"]),
    ];
    for (text, wanted) in cases {
        let (mut found, mut wanted) = (values(text), wanted.to_vec());
        found.sort();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{text:?}");
    }
}

#[test]
fn repeated_options_and_groups_keep_their_order_and_lines() {
    let found = entries("\u{feff}[API]\na = 1\n\n[db]\nb = 2\n[api]\na = 3\na = 4\n");
    let of_a: Vec<_> = found.iter().filter(|entry| entry.1 == "a").collect();
    let wanted = [("1", "f:2"), ("3", "f:7"), ("4", "f:8")];
    assert_eq!(of_a.iter().map(|entry| (entry.2.as_str(), entry.3.as_str())).collect::<Vec<_>>(), wanted);
    assert!(of_a.iter().all(|entry| entry.0 == "api"));
}

#[test]
fn a_broken_line_is_named_with_a_remedy() {
    let cases = [
        ("[g]\njust words\na = 1\n", "f:2: neither an option, a [group] nor a comment. Remedy: Write it as"),
        ("[g]\n= 1\n", "f:2: the option's name is missing before the '='. Remedy: Write it as"),
        ("[g\na = 1\n", "f:1: the group's name is not closed or empty. Remedy: Write it as [group]."),
        ("[]\n", "f:1: the group's name is not closed or empty."),
        ("a = 1\n", "f:1: an option before the first [group]. Remedy: Put a line [DEFAULT] above it."),
        ("[g]\n  a = 1\n", "f:2: an indented line continues the option above it, but there is none."),
        ("[g]\na = 1\n\n  b\n", "f:4: an indented line continues the option above it, but there is none."),
        ("[g]\na = 1\n# c\n  b\n", "f:4: an indented line continues the option above it, but there is none."),
    ];
    for (text, wanted) in cases {
        let said = IniFile::parse("f", text).map_or_else(|error| error.chain(), |_| "read".to_owned());
        assert!(said.starts_with(wanted), "{text:?}: {said}");
    }
}
