//! What a restricted application credential may do: of its access rules one must name our service, the request's method and its
//! path. As keystonemiddleware judges it, but that a pattern's other characters mean themselves (there a `.` means any).

use regex::Regex;

use crate::clients::{AccessRule, AccessRules};

/// Whether the credential's catalog has a service of this type; without it, it may nothing there, whatever its rules say.
#[must_use]
pub fn know(rules: &AccessRules, service_type: &str) -> bool {
    rules.catalog_types.iter().any(|known| known == service_type)
}

/// Whether a rule allows this request to a service of this type.
#[must_use]
pub fn allow(rules: &AccessRules, service_type: &str, method: &str, path: &str) -> bool {
    let names = |rule: &&AccessRule| rule.service == service_type && rule.method == method;
    rules.rules.iter().filter(names).any(|rule| matches(&rule.path, path))
}

/// `*` and `{name}` are one or more characters of one segment, `**` is anything; a brace that has no partner is passed over.
fn matches(pattern: &str, path: &str) -> bool {
    let mut expression = String::from("^");
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '{' => {
                let end = rest.find('}');
                expression.push_str(end.map_or("", |_| "[^/]+"));
                end.map_or(1, |end| end + 1)
            }
            '}' => 1,
            '*' if rest.starts_with("**") => {
                expression.push_str(".*");
                2
            }
            '*' => {
                expression.push_str("[^/]+");
                1
            }
            other => {
                expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4])));
                other.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    expression.push('$');
    // Larger than what is compiled at most: a pattern that nobody has written in earnest.
    Regex::new(&expression).is_ok_and(|expression| expression.is_match(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_says_how_much_of_a_path_it_leaves_open() {
        let table = [
            ("/v1/snapshots", "/v1/snapshots", true),
            ("/v1/snapshots", "/v1/snapshots/", false),
            ("/v1/snapshots", "/v1/snapshots/1", false),
            ("/v1/snapshots/*", "/v1/snapshots/1", true),
            ("/v1/snapshots/*", "/v1/snapshots/", false),
            ("/v1/snapshots/*", "/v1/snapshots/1/restore", false),
            ("/v1/snapshots/{snapshot_id}/restore", "/v1/snapshots/1/restore", true),
            ("/v1/snapshots/{}", "/v1/snapshots/1", true),
            ("/v1/**", "/v1/snapshots/1/restore", true),
            ("/v1/**", "/v1/", true),
            ("/v1/**", "/v1", false),
            ("**", "/anything/at/all", true),
            ("/v1/***", "/v1/a/b", true),
            ("/v1/***", "/v1/", false),
            ("/v1/snap*ots", "/v1/snapshots", true),
            ("/v1/snapshots/{id", "/v1/snapshots/id", true),
            ("/v1}/snapshots", "/v1/snapshots", true),
            ("/v1.0", "/v1x0", false),
            ("/v1(", "/v1(", true),
            ("", "/", false),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn service_method_and_path_must_come_from_one_rule() {
        let rule = |service: &str, method: &str, path: &str| AccessRule {
            service: service.into(),
            method: method.into(),
            path: path.into(),
        };
        let rules = AccessRules {
            rules: vec![rule("server-snapshot", "GET", "/v1/**"), rule("compute", "DELETE", "/v1/**")],
            catalog_types: vec!["compute".into(), "server-snapshot".into()],
        };
        assert!(allow(&rules, "server-snapshot", "GET", "/v1/snapshots"));
        assert!(!allow(&rules, "server-snapshot", "HEAD", "/v1/snapshots"));
        assert!(!allow(&rules, "server-snapshot", "DELETE", "/v1/snapshots"));
        assert!(!allow(&rules, "volumev3", "GET", "/v1/snapshots"));
        assert!(know(&rules, "server-snapshot") && !know(&rules, "volumev3"));
        let none = AccessRules { rules: vec![], ..rules };
        assert!(!allow(&none, "server-snapshot", "GET", "/v1/snapshots"));
    }
}
