//! The layers of the configuration, what is refused, what is shown, and the page that documents it.

use std::path::PathBuf;
use std::time::Duration;

use bongsu_domain::Lane;
use bongsu_server::config::{self, Blobs, Config, Entry, Problem, Queue, Role, Sources, Store};

fn sources(file: &str, variables: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Sources {
    Sources {
        file: Some((PathBuf::from("bongsu.toml"), file.to_owned())),
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        flags: flags.iter().map(|(flag, key, value)| (*flag, *key, (*value).to_owned())).collect(),
    }
}

fn read(file: &str) -> Result<(Config, Vec<Entry>), Vec<Problem>> {
    Config::read(&sources(file, &[], &[]))
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_is_needed() {
    let (config, entries) = Config::read(&Sources::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data, PathBuf::from("data"));
    assert_eq!(config.roles, Role::ALL);
    assert!(matches!(config.store, Store::Sqlite { pages_max: None }));
    assert!(Lane::ALL.iter().all(|lane| matches!(config.queue.of(*lane), Queue::Inprocess)));
    assert_eq!(config.send.receipt_deadline, Duration::from_secs(25 * 3600));
    assert_eq!(config.failover.policy(), bongsu_domain::FailoverPolicy::default());
    assert!(entries.iter().all(|entry| entry.origin == config::Origin::Default));
}

#[test]
fn each_layer_is_over_the_one_before() {
    let file = "listen = \"127.0.0.1:1001\"\nnode = 1\n[send]\nunknown_wait_ms = 1000\nspill_after_ms = 10\n";
    let variables =
        [("BONGSU__NODE", "2"), ("BONGSU__SEND__UNKNOWN_WAIT_MS", "5000"), ("BONGSU_KEY", "not configuration")];
    let flags = [("listen", "listen", "127.0.0.1:1003"), ("roles", "roles", "api,dispatch")];
    let (config, entries) = Config::read(&sources(file, &variables, &flags)).unwrap();
    assert_eq!(config.listen.port(), 1003);
    assert_eq!(config.node, 2);
    assert_eq!(config.send.unknown_wait, Duration::from_secs(5));
    assert_eq!(config.send.spill_after, Duration::from_millis(10));
    assert_eq!(config.roles, [Role::Api, Role::Dispatch]);
    let origin = |path: &str| entries.iter().find(|entry| entry.path == path).unwrap().origin.to_string();
    assert_eq!(origin("listen"), "flag --listen");
    assert_eq!(origin("node"), "environment BONGSU__NODE");
    assert_eq!(origin("send.spill_after_ms"), "bongsu.toml");
}

#[test]
fn everything_wrong_is_told_at_once_with_its_path() {
    let file = "listen = \"here\"\nnode = 1024\nlimit = 1\n[send]\nunknow_wait_ms = 1\nspill_after_ms = \"200\"\n[limits.idle_ms]\nx = 1\n";
    let variables =
        [("BONGSU__LIMITS__BODY_BYTES", "16MiB"), ("BONGSU__QUEUE__SLOW__KIND", "kafka"), ("BONGSU__SEND", "1")];
    let problems = Config::read(&sources(file, &variables, &[("roles", "roles", "api,cook")])).unwrap_err();
    assert_eq!(
        lines(&problems),
        [
            "listen: this must be text like \"127.0.0.1:8080\" (bongsu.toml)",
            "node: this must be integer, 0 to 1023 (bongsu.toml)",
            "roles: there is no role \"cook\"; known roles are api, dispatch, report, schedule, chat, festival (flag --roles)",
            "limits.idle_ms: this is a value, not a section: integer, 10 to 3600000",
            "limits.body_bytes: this must be integer, 1024 to 1073741824 (environment BONGSU__LIMITS__BODY_BYTES)",
            "limit: there is no such key; `bongsu config print` lists all keys (bongsu.toml)",
            "queue.slow.kind: there is no such key; `bongsu config print` lists all keys (environment BONGSU__QUEUE__SLOW__KIND)",
            "send: this is a section; set the keys in it (environment BONGSU__SEND)",
        ]
    );
}

#[test]
fn a_key_with_a_slip_names_its_neighbour() {
    let problems = read("[send]\nunknow_wait_ms = 1\nspill_after_ms = \"200\"\n").unwrap_err();
    assert_eq!(
        lines(&problems),
        [
            "send.spill_after_ms: this must be integer, 0 to 60000 (bongsu.toml)",
            "send.unknow_wait_ms: there is no such key; did you mean send.unknown_wait_ms? (bongsu.toml)",
        ]
    );
}

#[test]
fn a_file_that_is_no_toml_names_its_line() {
    let problems = read("listen = \"127.0.0.1:1\"\nnode = = 1\n").unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].path, "bongsu.toml:2");
}

#[test]
fn engines_that_are_not_built_parse_and_are_named() {
    let cases = [
        #[cfg(not(feature = "mysql"))]
        ("store.kind = \"mysql\"\nstore.url = \"mysql://a:b@c/d\"", "store.kind", "mysql"),
        ("queue.bulk = { kind = \"kafka\", brokers = [\"a:9092\"], topic = \"bulk\" }", "queue.bulk.kind", "kafka"),
        ("queue.auth = { kind = \"rabbitmq\", url = \"amqp://a\", queue = \"auth\" }", "queue.auth.kind", "rabbitmq"),
        ("queue.ad = { kind = \"activemq\", url = \"stomp://a\", queue = \"ad\" }", "queue.ad.kind", "activemq"),
        ("log = { kind = \"mysql\", url = \"mysql://a:b@c/d\" }", "log.kind", "mysql"),
        ("log = { kind = \"kafka\", brokers = [\"a:9092\"], topic = \"log\" }", "log.kind", "kafka"),
        ("timeline = { kind = \"cassandra\", hosts = [\"a:9042\"], keyspace = \"b\" }", "timeline.kind", "cassandra"),
        ("timeline = { kind = \"dynamodb\", table = \"a\", region = \"b\" }", "timeline.kind", "dynamodb"),
        #[cfg(not(feature = "redis"))]
        ("cache = { kind = \"redis\", url = \"redis://a\" }", "cache.kind", "redis"),
        #[cfg(not(feature = "redis"))]
        ("bus = { kind = \"redis\", url = \"redis://a\" }", "bus.kind", "redis"),
        (
            "blobs = { kind = \"s3\", bucket = \"a\", region = \"b\", access_key = \"c\", secret_key = \"d\" }",
            "blobs.kind",
            "s3",
        ),
    ];
    for (file, path, feature) in cases {
        let problems = read(file).unwrap_err();
        assert_eq!(problems.len(), 1, "{file}: {problems:?}");
        assert_eq!(problems[0].path, path);
        assert!(problems[0].message.starts_with(&format!("this build has no feature {feature}")), "{}", problems[0]);
    }
}

#[cfg(feature = "mysql")]
#[test]
fn a_database_takes_its_data() {
    let file = "[store]\nkind = \"mysql\"\nurl = \"mysql://a:b@c/d\"\n";
    let Store::Mysql { url, replica_url, readers } = read(file).unwrap().0.store else { panic!("not a database") };
    assert_eq!((url.expose(), replica_url.is_none(), readers), ("mysql://a:b@c/d", true, 4));

    let file = format!("{file}replica_url = \"mysql://a:b@e:3307/d\"\nreaders = 2\n[process]\nlease_s = 5\n");
    let (config, entries) = read(&file).unwrap();
    assert_eq!(config.process.lease, Duration::from_secs(5));
    let Store::Mysql { replica_url, readers, .. } = config.store else { panic!("not a database") };
    assert_eq!((replica_url.unwrap().expose(), readers), ("mysql://a:b@e:3307/d", 2));
    let text = config::print_toml(&entries);
    assert!(!text.contains("a:b") && text.contains("replica_url = \"***\""), "{text}");

    let wrong =
        "[store]\nkind = \"mysql\"\nurl = \"mysql://a:se?cr@et@c\"\nreplica_url = \"postgres://a:secret@c/d\"\n";
    let problems = read(&format!("{wrong}[process]\nlease_s = 1\n")).unwrap_err();
    assert_eq!(
        lines(&problems),
        [
            "store.url: this must be text like mysql://user:password@host:3306/database (bongsu.toml)",
            "store.replica_url: this must be text like mysql://user:password@host:3306/database (bongsu.toml)",
            "process.lease_s: this must be integer, 2 to 300 (bongsu.toml)",
        ]
    );
}

#[test]
fn where_a_database_is_shows_no_secret() {
    let shown = |url: &str| config::place_of(&bongsu_domain::Secret::new(url));
    assert_eq!(shown("mysql://user:pa?ss@wo/rd@db:3306/bongsu?ssl-mode=REQUIRED"), "db:3306/bongsu");
    assert_eq!(shown("mysql://db/bongsu"), "db/bongsu");
    assert_eq!(shown("secret"), "");
}

#[test]
fn a_wrong_kind_does_not_blame_its_keys_and_a_kind_needs_its_own() {
    let problems =
        read("store = { kind = \"oracle\", url = \"x\" }\nlog = { kind = \"kafka\", topic = 7 }\n").unwrap_err();
    let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, ["store.kind", "log.kind", "log.brokers", "log.topic"]);
}

#[test]
fn the_embedded_kinds_take_their_data() {
    let (config, _) =
        read("blobs = { kind = \"directory\", path = \"/srv/blobs\" }\nsecurity.key_file = \"/etc/keys\"\n").unwrap();
    assert!(matches!(config.blobs, Blobs::Directory { path: Some(path) } if path.to_str() == Some("/srv/blobs")));
    assert_eq!(config.security.key_file, Some(PathBuf::from("/etc/keys")));
}

#[test]
fn the_rns_preset_can_be_changed_in_parts() {
    let (config, _) = read("failover = { preset = \"rns\", wait_ms = 500 }").unwrap();
    let policy = config.failover.policy();
    assert_eq!((policy.tries_on_first, policy.wait, policy.wait_between_relays), (2, Duration::from_millis(500), true));
}

#[test]
fn what_is_printed_is_read_again() {
    let (_, entries) = read("node = 7\n[log]\nlevel = \"warn\"\n").unwrap();
    let text = config::print_toml(&entries);
    assert!(text.contains("node = 7  # bongsu.toml\n"), "{text}");
    let (config, again) = read(&text).unwrap();
    assert_eq!((config.node, config.log_level.as_str()), (7, "warn"));
    assert_eq!(config::print_json(&again), config::print_json(&entries));
}

#[test]
fn the_page_of_all_keys_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let written = config::document();
    assert!(
        page == written,
        "docs/configuration.md is old; write it with `cargo run -q -p bongsu -- config document > docs/configuration.md`"
    );
}
