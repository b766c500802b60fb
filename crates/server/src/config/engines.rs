//! The choice of an engine for each port: an enum that carries the data of its engine (design D6 and section 5).

use std::path::PathBuf;

use bongsu_domain::{Lane, Secret};
use bongsu_engine::PREFIX_MAX;

use super::reader::Reader;

/// Engines that this build has besides the embedded ones, as (section, feature).
const BUILT: &[(&str, &str)] = &[
    #[cfg(feature = "mysql")]
    ("store", "mysql"),
    #[cfg(feature = "redis")]
    ("cache", "redis"),
    #[cfg(feature = "redis")]
    ("bus", "redis"),
];

/// The SQL truth.
#[derive(Debug, Clone)]
pub enum Store {
    /// Files in the data directory.
    Sqlite {
        /// Pages of 4 KiB that each file may grow to; `None` means as many as the disk holds.
        pages_max: Option<u32>,
    },
    /// MariaDB, MySQL and what speaks their protocol.
    Mysql {
        /// `mysql://user:password@host:3306/database`.
        url: Secret,
        /// The same of a replica, for history reads.
        replica_url: Option<Secret>,
        /// Connections for reading, to each of the two.
        readers: u16,
    },
}

/// The transport of one lane.
#[derive(Debug, Clone)]
pub enum Queue {
    /// A window over the store.
    Inprocess,
    /// Kafka.
    Kafka {
        /// `host:port` of the brokers.
        brokers: Vec<String>,
        /// Topic of the lane.
        topic: String,
    },
    /// RabbitMQ.
    Rabbitmq {
        /// `amqp://user:password@host:5672/vhost`.
        url: Secret,
        /// Queue of the lane.
        queue: String,
    },
    /// ActiveMQ over STOMP.
    Activemq {
        /// `stomp://user:password@host:61613`.
        url: Secret,
        /// Destination of the lane.
        queue: String,
    },
}

/// The transports of all lanes.
#[derive(Debug, Clone)]
pub struct Queues {
    lanes: [Queue; 4],
}

impl Queues {
    /// The transport of a lane.
    pub fn of(&self, lane: Lane) -> &Queue {
        &self.lanes[lane as usize]
    }
}

/// The order of a chat room.
#[derive(Debug, Clone)]
pub enum Log {
    /// A file in the data directory.
    Sqlite,
    /// A table keyed by room and number.
    Mysql {
        /// `mysql://user:password@host:3306/database`.
        url: Secret,
    },
    /// A partition per range of rooms.
    Kafka {
        /// `host:port` of the brokers.
        brokers: Vec<String>,
        /// Topic of the log.
        topic: String,
    },
}

/// The history of chat.
#[derive(Debug, Clone)]
pub enum Timeline {
    /// A file in the data directory.
    Sqlite,
    /// Cassandra or ScyllaDB.
    Cassandra {
        /// `host:port` of the contact points.
        hosts: Vec<String>,
        /// Keyspace.
        keyspace: String,
    },
    /// DynamoDB.
    Dynamodb {
        /// Table.
        table: String,
        /// Region.
        region: String,
    },
}

/// Values that may be lost.
#[derive(Debug, Clone)]
pub enum Cache {
    /// Bounded, in this process.
    Inprocess,
    /// Redis, single or cluster.
    Redis {
        /// `redis://:password@host:6379/0`.
        url: Secret,
        /// What the names of all keys begin with.
        prefix: String,
    },
}

/// The lossy fan-out between processes.
#[derive(Debug, Clone)]
pub enum Bus {
    /// Within this process.
    Inprocess,
    /// Redis publish and subscribe.
    Redis {
        /// `redis://:password@host:6379/0`.
        url: Secret,
        /// What the names of all channels begin with.
        prefix: String,
    },
}

/// Files of users.
#[derive(Debug, Clone)]
pub enum Blobs {
    /// A directory; `blobs` in the data directory unless named.
    Directory {
        /// The directory.
        path: Option<PathBuf>,
    },
    /// S3 and what speaks its protocol.
    S3 {
        /// Bucket.
        bucket: String,
        /// Region.
        region: String,
        /// Access key id.
        access_key: String,
        /// Secret key.
        secret_key: Secret,
    },
}

const MYSQL_URL: &str = "text like mysql://user:password@host:3306/database";
const REDIS_URL: &str = "text like redis://:password@host:6379/0";
const HOSTS: &str = "list of texts like \"host:port\"";

/// Reads `<section>.kind`, refuses an engine that this build has not, and drops the keys of a kind that does not exist.
fn kind<'w>(
    r: &mut Reader,
    section: &str,
    words: &[(&'w str, Option<&'w str>)],
    about: &'static str,
) -> Option<&'w str> {
    let path = format!("{section}.kind");
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let problems = r.problems.len();
    let chosen = r.choice(&path, names[0], &names, about);
    if r.problems.len() > problems {
        r.skip_section(section);
        return None;
    }
    let feature = words.iter().find(|(word, _)| Some(*word) == chosen).and_then(|(_, feature)| *feature);
    if let Some(feature) = feature.filter(|feature| !BUILT.contains(&(section, *feature))) {
        r.refuse(&path, format!("this build has no feature {feature}; use \"{}\" or a build that has it", names[0]));
    }
    chosen
}

pub(super) fn store(r: &mut Reader) -> Store {
    let words = [("sqlite", None), ("mysql", Some("mysql"))];
    match kind(r, "store", &words, "Where messages, accounts and money are kept.") {
        Some("mysql") => Store::Mysql {
            url: {
                let url = r.secret("store.url", MYSQL_URL, "Address of the database that the processes share.");
                check_address(r, "store.url", &url);
                url
            },
            replica_url: {
                let about = "Address of a replica of it; history is read there while it has everything that the account wrote.";
                let url = r.secret_or_none("store.replica_url", MYSQL_URL, about);
                url.inspect(|url| check_address(r, "store.replica_url", url))
            },
            readers: r.number(
                "store.readers",
                4,
                1..=64,
                "Connections for reading, to the database and to the replica; dispatch, writing and leases have their own.",
            ),
        },
        _ => {
            let pages: u32 = r.number(
                "store.pages_max",
                0,
                0..=u32::MAX,
                "Pages of 4 KiB that each database file may grow to; beyond, requests are answered as on a full disk. 0 means no limit.",
            );
            Store::Sqlite { pages_max: (pages > 0).then_some(pages) }
        }
    }
}

/// Refuses what cannot be an address of a database, without repeating it.
fn check_address(r: &mut Reader, path: &str, url: &Secret) {
    let text = url.expose();
    let rest = ["mysql://", "mariadb://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    // What stands before the last @ is the password's.
    let place = rest.map(|rest| rest.rsplit_once('@').map_or(rest, |(_, place)| place));
    let parts = place.and_then(|place| place.split('?').next().unwrap_or_default().split_once('/'));
    if !text.is_empty() && !parts.is_some_and(|(host, database)| !host.is_empty() && !database.is_empty()) {
        r.refuse(path, format!("this must be {MYSQL_URL}"));
    }
}

/// Where a database is, without user, password and options.
pub fn place_of(url: &Secret) -> String {
    let text = url.expose();
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
    place.split('?').next().unwrap_or_default().to_owned()
}

pub(super) fn queues(r: &mut Reader) -> Queues {
    Queues { lanes: Lane::ALL.map(|lane| queue(r, lane)) }
}

fn queue(r: &mut Reader, lane: Lane) -> Queue {
    let section = format!("queue.{}", lane.as_str());
    let key = |name: &str| format!("{section}.{name}");
    let words =
        [("inprocess", None), ("kafka", Some("kafka")), ("rabbitmq", Some("rabbitmq")), ("activemq", Some("activemq"))];
    match kind(r, &section, &words, "What carries the runs of this lane to the dispatchers.") {
        Some("kafka") => Queue::Kafka {
            brokers: r.list(&key("brokers"), None, HOSTS, "Brokers to start from."),
            topic: r.required(&key("topic"), "text", "Topic of this lane."),
        },
        Some("rabbitmq") => Queue::Rabbitmq {
            url: r.secret(&key("url"), "text like amqp://user:password@host:5672/vhost", "Address of the broker."),
            queue: r.required(&key("queue"), "text", "Queue of this lane."),
        },
        Some("activemq") => Queue::Activemq {
            url: r.secret(&key("url"), "text like stomp://user:password@host:61613", "Address of the broker."),
            queue: r.required(&key("queue"), "text", "Destination of this lane."),
        },
        _ => Queue::Inprocess,
    }
}

pub(super) fn log(r: &mut Reader) -> Log {
    let words = [("sqlite", None), ("mysql", Some("mysql")), ("kafka", Some("kafka"))];
    match kind(r, "log", &words, "What keeps the order of the lines of a chat room.") {
        Some("mysql") => Log::Mysql { url: r.secret("log.url", MYSQL_URL, "Address of the database.") },
        Some("kafka") => Log::Kafka {
            brokers: r.list("log.brokers", None, HOSTS, "Brokers to start from."),
            topic: r.required("log.topic", "text", "Topic of the log."),
        },
        _ => Log::Sqlite,
    }
}

pub(super) fn timeline(r: &mut Reader) -> Timeline {
    let words = [("sqlite", None), ("cassandra", Some("cassandra")), ("dynamodb", Some("dynamodb"))];
    match kind(r, "timeline", &words, "What keeps the history of chat.") {
        Some("cassandra") => Timeline::Cassandra {
            hosts: r.list("timeline.hosts", None, HOSTS, "Contact points."),
            keyspace: r.required("timeline.keyspace", "text", "Keyspace."),
        },
        Some("dynamodb") => Timeline::Dynamodb {
            table: r.required("timeline.table", "text", "Table."),
            region: r.required("timeline.region", "text", "Region."),
        },
        _ => Timeline::Sqlite,
    }
}

pub(super) fn cache(r: &mut Reader) -> Cache {
    let words = [("inprocess", None), ("redis", Some("redis"))];
    match kind(r, "cache", &words, "What keeps values that may be lost.") {
        Some("redis") => Cache::Redis {
            url: r.secret("cache.url", REDIS_URL, "Address of the server; one for all processes of an installation."),
            prefix: prefix(
                r,
                "cache.prefix",
                "What the names of all keys begin with: installations that share a server need different ones.",
            ),
        },
        _ => Cache::Inprocess,
    }
}

pub(super) fn bus(r: &mut Reader) -> Bus {
    let words = [("inprocess", None), ("redis", Some("redis"))];
    match kind(r, "bus", &words, "What tells other processes that something happened.") {
        Some("redis") => Bus::Redis {
            url: r.secret("bus.url", REDIS_URL, "Address of the server; one for all processes of an installation."),
            prefix: prefix(
                r,
                "bus.prefix",
                "What the names of all channels begin with: installations that share a server need different ones, whatever its database.",
            ),
        },
        _ => Bus::Inprocess,
    }
}

fn prefix(r: &mut Reader, path: &str, about: &'static str) -> String {
    let shape = format!("text of at most {PREFIX_MAX} bytes");
    let prefix = r.parsed::<String>(path, "bongsu:", &shape, about).unwrap_or_default();
    if prefix.len() > PREFIX_MAX {
        r.refuse(path, format!("this must be {shape}"));
    }
    prefix
}

pub(super) fn blobs(r: &mut Reader) -> Blobs {
    let words = [("directory", None), ("s3", Some("s3"))];
    match kind(r, "blobs", &words, "What keeps the files of users.") {
        Some("s3") => Blobs::S3 {
            bucket: r.required("blobs.bucket", "text", "Bucket."),
            region: r.required("blobs.region", "text", "Region."),
            access_key: r.required("blobs.access_key", "text", "Access key id."),
            secret_key: r.secret("blobs.secret_key", "text", "Secret key."),
        },
        _ => Blobs::Directory {
            path: r.parsed_or_none(
                "blobs.path",
                "path of a directory",
                "Directory of the files; `blobs` in the data directory unless set.",
            ),
        },
    }
}
