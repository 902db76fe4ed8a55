//! Thousands of random rules, each asked for several callers and targets: what oslo.policy says is what we say.
//!
//! Runs where RATOON_TEST_CLOUD is set: oslo.policy comes with the minicloud. RATOON_SEED repeats a run.

use std::process::Command;

use ratoon::policy::{Attributes, Rules};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Case {
    /// The rule under test, beside those of `others`.
    text: String,
    others: Vec<(String, String)>,
    /// Whether we refuse from the beginning what oslo.policy stumbles over later.
    refused: bool,
    /// Target, caller, and what oslo.policy says; nothing where it fails.
    asked: Vec<(Attributes, Attributes, Option<bool>)>,
}

#[tokio::test]
async fn a_rule_means_what_oslo_policy_takes_it_for() {
    if std::env::var_os("RATOON_TEST_CLOUD").is_none() {
        return;
    }
    let seed = std::env::var("RATOON_SEED").unwrap_or_else(|_| std::process::id().to_string());
    let oracle = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policy/oracle.py");
    let said = Command::new("/usr/bin/python3").args([oracle, &seed, "4000"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let (mut yes, mut no, mut refused) = (0, 0, 0);
    for line in String::from_utf8(said.stdout).unwrap().lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        let written: Vec<(String, Value)> =
            case.others.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect();
        let tested = [("tested".to_owned(), Value::from(case.text.as_str()))];
        let rules = Rules::new(&[], &[&written[..], &tested].concat(), "default");
        assert!(!case.refused || rules.is_err(), "{:?} is refused from the beginning", case.text);
        for (target, caller, verdict) in case.asked.into_iter().filter(|_| !case.refused) {
            let Some(verdict) = verdict else { continue };
            let ours = match &rules {
                Ok(rules) => rules.ask("tested", &target, &caller, None).await.unwrap(),
                Err(_) => {
                    refused += 1;
                    false
                }
            };
            assert_eq!(ours, verdict, "seed {seed}: {:?} for {caller:?} on {target:?}", case.text);
            if verdict { yes += 1 } else { no += 1 }
        }
    }
    assert!(
        yes > 1000 && no - refused > 1000 && refused > 1000,
        "a good mixture: {yes} yes, {no} no, {refused} refused"
    );
}
