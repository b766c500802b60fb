//! The services for real: started, killed, frozen, removed. Skipped where they are not installed.

use std::path::PathBuf;
use std::time::Duration;

use super::request::Request;
use super::set::Doing;
use super::state::State;
use super::*;

/// A statement that waits for the primary is answered by then.
const LIMIT: Duration = Duration::from_secs(60);

/// A set of one test; what is left of it goes with it.
struct Lab {
    folder: PathBuf,
    set: Set,
}

impl Lab {
    /// `None` where the programs are missing; in CI that is a failure.
    fn new(name: &str, wanted: &[Which]) -> Option<Self> {
        let programs = wanted.iter().flat_map(|which| which.service().programs());
        if let Some(program) = programs.into_iter().find(|program| install::find(program).is_none()) {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing; `cargo xtask services up` installs it");
            eprintln!("SKIPPED: {program} is missing; `cargo xtask services up` installs it");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("bongsu-lab-{name}-{}", std::process::id()));
        let set = Set::at(&folder).expect("an absolute path");
        Some(Self { folder, set })
    }

    async fn up(&self, wanted: &[Which], life: Life) -> Running {
        let running = self.set.up(wanted, life).await.expect("the folder can be written");
        running.check().expect("all are up");
        running
    }

    async fn doing(&self, which: Which) -> Doing {
        self.set.look(which).await.doing
    }

    fn place(&self, which: Which) -> Place {
        let folder = self.folder.join(which.name());
        let state = State::load(&folder).expect("it was made");
        Place { folder, port: state.port, password: state.password, needed_port: None, root: install::is_root() }
    }

    /// SQL as the account of tests.
    fn sql(&self, which: Which, sql: &str, wanted: &'static str) -> Request {
        let mut request = mariadb::as_account(&self.place(which), sql);
        request.wanted = vec![wanted];
        request
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for which in Which::ALL {
            if let Some(daemon) = find(which, &self.folder.join(which.name())) {
                let kill = format!("kill -KILL {}", daemon.pid);
                let _ = std::process::Command::new("sh").args(["-c", &kill]).status();
            }
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn redis_is_killed_flushed_frozen_and_comes_back_on_its_port() {
    let wanted = [Which::Redis];
    let Some(lab) = Lab::new("redis", &wanted) else { return };
    assert_eq!(lab.doing(Which::Redis).await, Doing::Absent);
    lab.set.start(Which::Redis).await.expect_err("it was never made");
    let running = lab.up(&wanted, Life::UntilDown).await;
    let url = format!("redis://127.0.0.1:{}", lab.place(Which::Redis).port);
    assert_eq!((running.url(Which::Redis), running.url(Which::Mariadb)), (Some(url.as_str()), None));
    assert_eq!(lab.doing(Which::Redis).await, Doing::Up);
    lab.set.flush(Which::Redis).await.expect("emptied");

    let first = lab.set.look(Which::Redis).await.daemon.expect("it runs");
    lab.set.kill9(Which::Redis).await.expect("killed");
    assert_eq!(lab.doing(Which::Redis).await, Doing::Stopped);
    lab.set.kill9(Which::Redis).await.expect_err("it is dead");
    lab.set.start(Which::Redis).await.expect("it comes back");
    let second = lab.set.look(Which::Redis).await;
    assert_eq!(second.url, Some(url));
    assert_ne!(second.daemon.expect("it runs").pid, first.pid);

    lab.set.pause(Which::Redis).await.expect("frozen");
    assert_eq!(lab.doing(Which::Redis).await, Doing::Paused);
    lab.set.resume(Which::Redis).await.expect("woken");
    assert_eq!(lab.doing(Which::Redis).await, Doing::Up);

    lab.set.down(&wanted, false).await.expect_err("it is in use");
    drop(running);
    lab.set.down(&wanted, false).await.expect("nobody uses it");
    assert_eq!(lab.doing(Which::Redis).await, Doing::Absent);
}

#[tokio::test]
async fn a_port_that_another_program_takes_is_given_up() {
    let wanted = [Which::Redis];
    let Some(lab) = Lab::new("port", &wanted) else { return };
    drop(lab.up(&wanted, Life::UntilDown).await);
    let port = lab.place(Which::Redis).port;
    lab.set.stop(Which::Redis).await.expect("stopped");
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).expect("it is free");
    let error = lab.set.start(Which::Redis).await.expect_err("its data belongs to its port");
    assert!(error.to_string().contains("is taken by another program"), "{error}");
    lab.set.down(&wanted, false).await.expect("removed");
    drop(lab.up(&wanted, Life::UntilDown).await);
    assert_ne!(lab.place(Which::Redis).port, port);
    drop(taken);
}

#[tokio::test]
async fn the_last_command_stops_what_commands_have_started() {
    let wanted = [Which::Redis];
    let Some(lab) = Lab::new("release", &wanted) else { return };
    let (one, two) = (lab.up(&wanted, Life::Command).await, lab.up(&wanted, Life::Command).await);
    assert_eq!(lab.doing(Which::Redis).await, Doing::UpForCommand);
    drop(one);
    lab.set.release().await.expect("looked");
    assert_eq!(lab.doing(Which::Redis).await, Doing::UpForCommand);
    drop(two);
    lab.set.release().await.expect("stopped");
    assert_eq!(lab.doing(Which::Redis).await, Doing::Absent);

    // What a person has started, or kept, is left as it was.
    drop(lab.up(&wanted, Life::UntilDown).await);
    drop(lab.up(&wanted, Life::Command).await);
    lab.set.release().await.expect("looked");
    assert_eq!(lab.doing(Which::Redis).await, Doing::Up);
    lab.set.down(&wanted, true).await.expect("stopped");
    drop(lab.up(&wanted, Life::Command).await);
    lab.set.release().await.expect("stopped");
    assert_eq!(lab.doing(Which::Redis).await, Doing::Stopped);
}

#[tokio::test]
async fn rows_of_mariadb_survive_a_kill_and_reach_the_replica() {
    let wanted = [Which::Mariadb, Which::MariadbReplica];
    let Some(lab) = Lab::new("mariadb", &wanted) else { return };
    let running = lab.up(&wanted, Life::UntilDown).await;
    let write =
        "CREATE DATABASE lab; CREATE TABLE lab.row_ (text VARCHAR(20)); INSERT INTO lab.row_ VALUES ('봉수 🔥');
                 SELECT CONCAT('at ', @@gtid_binlog_pos);";
    lab.sql(Which::Mariadb, write, "at 0-1-").run(LIMIT).await.expect("written");
    let port = lab.place(Which::Mariadb).port;
    lab.set.kill9(Which::Mariadb).await.expect("killed");
    lab.set.start(Which::Mariadb).await.expect("it recovers");
    assert_eq!(lab.place(Which::Mariadb).port, port);
    lab.sql(Which::Mariadb, "SELECT * FROM lab.row_;", "봉수 🔥").run(LIMIT).await.expect("still there");

    // The replica finds the primary again by itself.
    lab.sql(Which::Mariadb, "INSERT INTO lab.row_ VALUES ('둘째');", "").run(LIMIT).await.expect("written");
    let daemon = lab.set.look(Which::MariadbReplica).await.daemon.expect("it runs");
    let read = lab.sql(Which::MariadbReplica, "SELECT * FROM lab.row_;", "둘째");
    set::until_answered(&read, &daemon, &lab.place(Which::MariadbReplica), LIMIT).await.expect("it arrives");
    let refused = lab.sql(Which::MariadbReplica, "INSERT INTO lab.row_ VALUES ('셋째');", "").run(LIMIT).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("read-only")), "the replica only reads");

    drop(running);
    lab.set.down(&[Which::Mariadb], true).await.expect("both are stopped");
    assert_eq!(lab.doing(Which::MariadbReplica).await, Doing::Stopped);
    drop(lab.up(&[Which::MariadbReplica], Life::UntilDown).await);
    lab.sql(Which::Mariadb, "SELECT * FROM lab.row_;", "둘째").run(LIMIT).await.expect("the data was kept");
    lab.set.down(&wanted, false).await.expect("removed");
    assert_eq!(lab.doing(Which::Mariadb).await, Doing::Absent);
}
