//! MariaDB: a primary with a binary log, durable enough to be killed.

use super::request::Request;
use super::{Place, Service};

/// The account of tests; it may do everything, also make databases, except write on a server that only reads.
pub const ACCOUNT: &str = "bongsu";
/// The database that the URL names.
const DATABASE: &str = "bongsu";
/// Relative to the data folder, which the server and our client run in: the path of a socket has at most 107 bytes.
const SOCKET: &str = "mariadb.sock";
/// All tests of a machine share one server.
const MAX_CONNECTIONS: u32 = 400;

/// The primary.
pub struct Mariadb;

impl Service for Mariadb {
    fn name(&self) -> &'static str {
        "mariadb"
    }

    fn variable(&self) -> &'static str {
        "BONGSU_MYSQL_URL"
    }

    fn packages(&self) -> &'static [&'static str] {
        &["mariadb-server"]
    }

    fn programs(&self) -> &'static [&'static str] {
        &["mariadbd", "mariadb", "mariadb-install-db"]
    }

    fn port(&self) -> u16 {
        13_306
    }

    fn has_account(&self) -> bool {
        true
    }

    fn make(&self, place: &Place) -> Vec<Request> {
        make(place)
    }

    fn command(&self, place: &Place) -> Vec<String> {
        let mut command = server(place);
        let durable = [
            "--server-id=1",
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--sync-binlog=1",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-buffer-pool-size=256M",
            "--innodb-log-file-size=256M",
        ];
        command.extend(durable.map(str::to_owned));
        command
    }

    fn set_up(&self, place: &Place) -> Vec<Request> {
        let password = &place.password;
        // ALL has a right that passes read_only, by which a test could write on the replica and not notice.
        let account = format!(
            "CREATE OR REPLACE USER {ACCOUNT}@'%' IDENTIFIED BY '{password}';
             GRANT ALL PRIVILEGES ON *.* TO {ACCOUNT}@'%' WITH GRANT OPTION;
             REVOKE READ_ONLY ADMIN ON *.* FROM {ACCOUNT}@'%';
             CREATE DATABASE IF NOT EXISTS {DATABASE};"
        );
        vec![as_root(place, close_the_door()), as_root(place, account)]
    }

    fn ready(&self, place: &Place) -> Request {
        let mut request = as_account(place, "SELECT CONCAT('ready ', 'to go');");
        request.wanted = vec!["ready to go"];
        request
    }

    fn url(&self, place: &Place) -> String {
        url(place)
    }
}

/// Makes the system tables.
pub fn make(place: &Place) -> Vec<Request> {
    let mut words: Vec<String> = vec!["--no-defaults".into(), format!("--datadir={}", place.path("data"))];
    // In a folder that servers share, one that starts removes the temporary tables of another.
    words.push(format!("--tmpdir={}", place.path("tmp")));
    words.extend(as_whom(place));
    words.extend(["--auth-root-authentication-method=normal", "--skip-test-db"].map(str::to_owned));
    vec![Request::new("mariadb-install-db", words, &place.folder)]
}

/// The server with what primary and replica have in common.
pub fn server(place: &Place) -> Vec<String> {
    let mut words: Vec<String> = vec!["mariadbd".into(), "--no-defaults".into()];
    words.extend(as_whom(place));
    words.extend([
        format!("--datadir={}", place.path("data")),
        format!("--tmpdir={}", place.path("tmp")),
        format!("--socket={SOCKET}"),
        "--bind-address=127.0.0.1".into(),
        format!("--port={}", place.port),
        "--skip-name-resolve".into(),
        "--character-set-server=utf8mb4".into(),
        "--collation-server=utf8mb4_bin".into(),
        format!("--max-connections={MAX_CONNECTIONS}"),
        "--gtid-strict-mode=ON".into(),
    ]);
    words
}

/// The server refuses to run as root unless told; another user must not name one.
fn as_whom(place: &Place) -> Option<String> {
    place.root.then(|| "--user=root".to_owned())
}

/// The accounts without a password remain on the socket, which lies in a private folder. Each server does it for
/// itself, so it is not logged.
pub fn close_the_door() -> String {
    "SET SESSION sql_log_bin = 0;
     DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');
     FLUSH PRIVILEGES;"
        .into()
}

/// SQL as the owner of the server, through its socket.
pub fn as_root(place: &Place, sql: String) -> Request {
    let words = ["--no-defaults", "--default-character-set=utf8mb4", "--user=root", "--protocol=socket"];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.push(format!("--socket={SOCKET}"));
    let mut request = Request::new("mariadb", words, &place.data());
    request.input = sql;
    request
}

/// SQL as the account of tests, over TCP as the tests do it.
pub fn as_account(place: &Place, sql: &str) -> Request {
    let words = ["--no-defaults", "--default-character-set=utf8mb4", "--protocol=tcp", "--host=127.0.0.1"];
    let mut words: Vec<String> = words.map(str::to_owned).into();
    words.extend([format!("--port={}", place.port), format!("--user={ACCOUNT}")]);
    let mut request = Request::new("mariadb", words, &place.folder);
    request.environment = vec![("MYSQL_PWD", place.password.clone())];
    request.input = sql.to_owned();
    request
}

/// `mysql://ACCOUNT:PASSWORD@HOST:PORT/DATABASE`
pub fn url(place: &Place) -> String {
    format!("mysql://{ACCOUNT}:{}@127.0.0.1:{}/{DATABASE}", place.password, place.port)
}

#[cfg(test)]
mod tests {
    use super::super::tests::place;
    use super::*;

    #[test]
    fn only_root_names_a_user() {
        let is_named = |words: &[String]| words.iter().any(|word| word == "--user=root");
        for root in [true, false] {
            let place = place(root);
            assert_eq!(is_named(&Mariadb.command(&place)), root);
            assert_eq!(is_named(&Mariadb.make(&place)[0].arguments), root);
        }
    }

    #[test]
    fn no_file_of_the_machine_is_read() {
        let place = place(true);
        // The server and its tools take it in the first place only.
        assert_eq!(Mariadb.command(&place)[1], "--no-defaults");
        for request in [Mariadb.make(&place), Mariadb.set_up(&place), vec![Mariadb.ready(&place)]].concat() {
            assert_eq!(request.arguments[0], "--no-defaults");
        }
    }

    #[test]
    fn the_primary_is_durable() {
        let command = Mariadb.command(&place(false));
        for word in ["--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--log-bin=binlog"] {
            assert!(command.iter().any(|own| own == word), "{word}");
        }
    }

    #[test]
    fn the_url_has_account_and_database() {
        assert_eq!(Mariadb.url(&place(false)), "mysql://bongsu:0123abcd@127.0.0.1:13306/bongsu");
    }
}
