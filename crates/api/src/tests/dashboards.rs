//! The Grafana dashboard and the Prometheus rules name metrics, labels and functions that exist.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::world::World;
use crate::SHARED_METRICS;

const DASHBOARD: &str = include_str!("../../../../docs/grafana/bongsu.json");
const RULES: &str = include_str!("../../../../docs/prometheus/bongsu.rules.yml");
/// Labels that Prometheus itself adds.
const OWN_LABELS: [&str; 3] = ["instance", "job", "le"];
/// Words of PromQL that the files use before a bracket.
const FUNCTIONS: [&str; 7] = ["sum", "rate", "min", "max", "by", "histogram_quantile", "increase"];

/// Each metric of a page with its kind and the labels it was seen with.
fn metrics(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((name, rest)) = line.split_once('{') {
            let name = base(&found, name).expect("a line follows its type");
            let labels =
                rest.split('}').next().unwrap_or_default().split(',').filter_map(|pair| pair.split('=').next());
            found.get_mut(&name).expect("found").1.extend(labels.map(str::to_owned));
        }
    }
    found
}

/// The metric that a name of a sample belongs to.
fn base<T>(known: &BTreeMap<String, (String, T)>, name: &str) -> Option<String> {
    let parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| name.strip_suffix(part));
    let of_histogram = parts.into_iter().find(|base| known.get(*base).is_some_and(|(kind, _)| kind == "histogram"));
    let plain = known.get(name).filter(|(kind, _)| kind != "histogram").map(|_| name);
    plain.or(of_histogram).map(str::to_owned)
}

/// Every expression of the two files.
fn expressions() -> Vec<String> {
    let board: Value = serde_json::from_str(DASHBOARD).expect("the dashboard is JSON");
    let mut found = Vec::new();
    for panel in board["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            found.push(target["expr"].as_str().expect("an expression").to_owned());
        }
    }
    let mut lines = RULES.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(expression) = line.trim().strip_prefix("expr:") else { continue };
        let mut whole = expression.trim().trim_start_matches('|').to_owned();
        while expression.trim() == "|" && lines.peek().is_some_and(|next| next.starts_with("          ")) {
            whole.push_str(lines.next().unwrap_or_default());
        }
        found.push(whole);
    }
    found
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

#[tokio::test]
async fn dashboards_and_rules_name_what_there_is() {
    let world = World::new().await;
    let (account, _) = world.sending_account("a").await;
    let relay = json!({"name": "kt", "address": "127.0.0.1:1", "systemId": "a", "password": "b"});
    world.call("POST", "/v1/relays", &world.operator, relay).await.good(201);
    let spec = json!({"account": account.to_string(), "role": "owner", "kind": "test"});
    let made = world.call("POST", "/v1/keys", &world.operator, spec).await.good(201);
    let key = made["key"].as_str().expect("a key");
    let sent = json!({"to": "01000000001", "from": "021234567", "text": "hi"});
    let sent = world.call("POST", "/v1/messages", key, sent).await.good(202);
    assert_eq!(sent["price"]["amount"], 0);
    // A test number answers by itself; until its result is counted the metric has no labels.
    let mut page = Value::Null;
    for _ in 0..20_000 {
        page = world.call("GET", "/metrics", "", Value::Null).await.body;
        if page.as_str().is_some_and(|page| page.contains("bongsu_final_total{")) {
            break;
        }
    }
    let mut known = metrics(page.as_str().expect("text"));
    let shared = |name: &str| match name {
        "bongsu_binds" | "bongsu_binds_held" => BTreeSet::from(["relay".to_owned()]),
        "bongsu_task_held" => BTreeSet::from(["task".to_owned()]),
        _ => BTreeSet::new(),
    };
    known.extend(SHARED_METRICS.map(|(name, kind, _)| (name.to_owned(), (kind.to_owned(), shared(name)))));
    let recorded: Vec<&str> = RULES.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect();

    let expressions = expressions();
    assert!(expressions.len() > 40, "{}", expressions.len());
    for expression in &expressions {
        let mut labels: BTreeSet<String> = OWN_LABELS.map(str::to_owned).into();
        let mut named = 0;
        for name in
            expression.split(|c| !is_word(c)).filter(|word| word.starts_with("bongsu_") || word.starts_with("bongsu:"))
        {
            named += 1;
            if name.contains(':') {
                assert!(recorded.contains(&name), "{name} is no recorded series: {expression}");
                labels.extend(["relay", "lane", "status"].map(str::to_owned));
                continue;
            }
            let metric = base(&known, name).unwrap_or_else(|| panic!("there is no metric {name}: {expression}"));
            labels.extend(known[&metric].1.iter().cloned());
        }
        assert!(named > 0 || expression.contains("up{"), "{expression}");
        for group in expression.split("by (").skip(1).filter_map(|rest| rest.split(')').next()) {
            for label in group.split(',').map(str::trim) {
                assert!(labels.contains(label), "{label} is no label of {expression}");
            }
        }
        for matchers in expression.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
            for label in matchers.split(',').filter_map(|matcher| matcher.split(['=', '!']).next()) {
                assert!(labels.contains(label.trim()), "{label} is no label of {expression}");
            }
        }
        for (at, _) in expression.match_indices('(') {
            let word: String = expression[..at].trim_end().chars().rev().take_while(|c| is_word(*c)).collect();
            let word: String = word.chars().rev().collect();
            assert!(word.is_empty() || FUNCTIONS.contains(&word.as_str()), "{word} is no function here: {expression}");
        }
        let (opened, closed) = (expression.matches('(').count(), expression.matches(')').count());
        assert_eq!(opened, closed, "{expression}");
    }
}
