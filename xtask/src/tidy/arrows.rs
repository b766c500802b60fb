//! Which room may use which: the arrows of ARCHITECTURE.md, held against `cargo metadata`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

/// A package and the packages of this workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 13] = [
    ("bongsu-domain", &[]),
    ("bongsu-wire", &["bongsu-domain"]),
    ("bongsu-store", &["bongsu-domain"]),
    ("bongsu-engine", &["bongsu-domain"]),
    ("bongsu-relay", &["bongsu-domain", "bongsu-wire"]),
    ("bongsu-send", &["bongsu-domain", "bongsu-store", "bongsu-engine", "bongsu-relay"]),
    ("bongsu-report", &["bongsu-domain", "bongsu-wire", "bongsu-store", "bongsu-send"]),
    ("bongsu-api", &["bongsu-domain", "bongsu-store", "bongsu-engine", "bongsu-send", "bongsu-report"]),
    ("bongsu-sim", &["bongsu-domain", "bongsu-wire"]),
    (
        "bongsu",
        &[
            "bongsu-domain",
            "bongsu-store",
            "bongsu-engine",
            "bongsu-relay",
            "bongsu-send",
            "bongsu-report",
            "bongsu-api",
            "bongsu-sim",
            "bongsu-wire",
        ],
    ),
    (
        "bongsu-testkit",
        &[
            "bongsu-domain",
            "bongsu-wire",
            "bongsu-store",
            "bongsu-engine",
            "bongsu-relay",
            "bongsu-send",
            "bongsu-report",
            "bongsu-api",
            "bongsu-sim",
            "bongsu",
        ],
    ),
    (
        "scenarios",
        &[
            "bongsu-domain",
            "bongsu-wire",
            "bongsu-store",
            "bongsu-engine",
            "bongsu-relay",
            "bongsu-send",
            "bongsu-report",
            "bongsu-api",
            "bongsu-sim",
            "bongsu",
            "bongsu-testkit",
        ],
    ),
    ("xtask", &[]),
];
/// What tests of any room may use besides.
const ALLOWED_IN_TESTS: [&str; 3] = ["bongsu-testkit", "bongsu-sim", "bongsu-wire"];

/// Arrows that must not be.
pub fn problems(metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let names: Vec<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let mut problems = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package without a name")?;
        let Some(own) = allowed.get(name) else {
            problems.push(format!("{name}: a new room; say in xtask/src/tidy/arrows.rs what it may use"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(used) = dependency["name"].as_str().filter(|used| names.contains(used)) else { continue };
            let in_tests = dependency["kind"] == "dev" && ALLOWED_IN_TESTS.contains(&used);
            if !own.contains(&used) && !in_tests {
                problems.push(format!("{name} must not use {used}"));
            }
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, uses: &[(&str, Value)]) -> Value {
        let dependencies: Vec<Value> = uses.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({"name": name, "dependencies": dependencies})
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let packages = [
            package("bongsu-domain", &[("serde", Value::Null), ("bongsu-wire", Value::Null)]),
            package("bongsu-wire", &[("bongsu-domain", Value::Null), ("bongsu-testkit", json!("dev"))]),
            package("bongsu-send", &[("bongsu-api", json!("dev"))]),
            package("bongsu-api", &[]),
            package("bongsu-testkit", &[]),
            package("attic", &[]),
        ];
        let found = problems(&json!({ "packages": packages })).expect("well formed");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(found[0], "bongsu-domain must not use bongsu-wire");
        assert_eq!(found[1], "bongsu-send must not use bongsu-api");
        assert!(found[2].starts_with("attic: a new room"));
    }

    #[test]
    fn nothing_points_in_a_circle() {
        let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
        let mut done: Vec<&str> = Vec::new();
        while done.len() < allowed.len() {
            let next =
                allowed.iter().find(|(name, uses)| !done.contains(name) && uses.iter().all(|u| done.contains(u)));
            done.push(next.expect("a circle").0);
        }
    }
}
