//! MariaDB again: a replica that follows the primary by GTID and only reads.

use super::mariadb::{self, ACCOUNT};
use super::request::Request;
use super::{Place, Service, Which};

/// The replica. It starts empty and replays the primary's binary log from its beginning, accounts included.
pub struct Replica;

impl Service for Replica {
    fn name(&self) -> &'static str {
        "mariadb-replica"
    }

    fn variable(&self) -> &'static str {
        "BONGSU_MYSQL_REPLICA_URL"
    }

    fn packages(&self) -> &'static [&'static str] {
        mariadb::Mariadb.packages()
    }

    fn programs(&self) -> &'static [&'static str] {
        mariadb::Mariadb.programs()
    }

    fn port(&self) -> u16 {
        13_307
    }

    fn needs(&self) -> Option<Which> {
        Some(Which::Mariadb)
    }

    fn make(&self, place: &Place) -> Vec<Request> {
        mariadb::make(place)
    }

    fn command(&self, place: &Place) -> Vec<String> {
        let mut command = mariadb::server(place);
        // What it loses in a crash of the machine it reads again from the primary.
        let follower = [
            "--server-id=2",
            "--read-only=ON",
            "--relay-log=relay",
            "--relay-log-recovery=ON",
            "--slave-net-timeout=10",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=64M",
        ];
        command.extend(follower.map(str::to_owned));
        command
    }

    fn set_up(&self, place: &Place) -> Vec<Request> {
        let (primary, password) = (place.needed_port.unwrap_or_default(), &place.password);
        let follow = format!(
            "STOP SLAVE;
             CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {primary}, MASTER_USER = '{ACCOUNT}',
               MASTER_PASSWORD = '{password}', MASTER_USE_GTID = slave_pos,
               MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 2;
             START SLAVE;"
        );
        vec![mariadb::as_root(place, mariadb::close_the_door()), mariadb::as_root(place, follow)]
    }

    /// The account itself came by replication, so its answer shows that rows arrive.
    fn ready(&self, place: &Place) -> Request {
        let mut request = mariadb::as_account(place, "SHOW SLAVE STATUS\\G");
        request.wanted = vec!["Slave_IO_Running: Yes", "Slave_SQL_Running: Yes"];
        request
    }

    fn url(&self, place: &Place) -> String {
        mariadb::url(place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::place;
    use super::*;

    #[test]
    fn it_follows_the_port_of_the_primary_and_only_reads() {
        let place = place(false);
        let sql: String = Replica.set_up(&place).iter().map(|request| request.input.clone()).collect();
        assert!(sql.contains("MASTER_PORT = 13300,") && sql.contains("MASTER_USE_GTID = slave_pos"), "{sql}");
        assert!(Replica.command(&place).contains(&"--read-only=ON".to_owned()));
    }

    #[test]
    fn the_two_servers_have_ids_of_their_own() {
        let id = |words: Vec<String>| words.into_iter().find(|word| word.starts_with("--server-id="));
        assert_ne!(id(Replica.command(&place(true))), id(mariadb::Mariadb.command(&place(true))));
    }
}
