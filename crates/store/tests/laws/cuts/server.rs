//! A server of a law's own, which can be killed.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// MariaDB on a folder that goes with it.
pub struct Server {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

/// Where a program of the server is: not every user looks into `/usr/sbin`.
fn program(name: &str) -> String {
    let there = ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(|folder| format!("{folder}/{name}"));
    there.into_iter().find(|path| Path::new(path).exists()).unwrap_or_else(|| name.to_owned())
}

/// As root it has to be told that it may; as another user it must not be told so.
fn as_root() -> Option<&'static str> {
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    (owner == 0).then_some("--user=root")
}

impl Server {
    /// Makes an empty one and starts it.
    pub fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let data = format!("--datadir={}", folder.path().join("data").display());
        let made = Command::new(program("mariadb-install-db"))
            .args(["--no-defaults", &data, "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(as_root())
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let grant = "CREATE USER law@'127.0.0.1' IDENTIFIED BY 'law';\nGRANT ALL ON *.* TO law@'127.0.0.1';\n";
        std::fs::write(folder.path().join("first.sql"), grant).unwrap();
        let mut server = Server { folder, port, child: None };
        server.run(true);
        server
    }

    fn run(&mut self, first: bool) {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        let first = first.then(|| format!("--init-file={}", path("first.sql")));
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new(program("mariadbd"))
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"])
            .args([format!("--datadir={}", path("data")), format!("--socket={}", path("socket"))])
            .arg(format!("--port={}", self.port))
            .args(first)
            .args(as_root())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        self.wait();
    }

    fn wait(&mut self) {
        let began = Instant::now();
        while bongsu_store::my::run_on_server(&self.url("mysql"), "SELECT 1").is_err() {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none() && began.elapsed() < Duration::from_secs(60), "{}", log());
            std::thread::yield_now();
        }
    }

    pub fn url(&self, database: &str) -> String {
        format!("mysql://law:law@127.0.0.1:{}/{database}", self.port)
    }

    /// As a power cut does it, but for what the machine's memory still holds.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn start_again(&mut self) {
        self.run(false);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
