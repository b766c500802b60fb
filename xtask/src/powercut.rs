//! Builds the preloaded library that takes the power away (`xtask/powercut`).

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::build;

const SOURCES: [&str; 2] = ["powercut.c", "overlay.c"];

/// Compiles the library into a directory and returns its path. It is small, so it is built each time.
pub fn library(directory: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let library = directory.join("libpowercut.so");
    // A name of its own until it is whole: another run may be loading the library.
    let part = directory.join(format!("libpowercut.{}.part", std::process::id()));
    let folder = build::root().join("xtask/powercut");
    let status = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-shared", "-fPIC", "-o"])
        .arg(&part)
        .args(SOURCES.map(|source| folder.join(source)))
        .args(["-ldl", "-lpthread"])
        .status()
        .context("cannot run cc; install a C compiler")?;
    ensure!(status.success(), "cc cannot compile {}", folder.display());
    std::fs::rename(&part, &library).with_context(|| format!("cannot write {}", library.display()))?;
    Ok(library)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    /// A directory of one test with the library beside it.
    struct Lab {
        data: PathBuf,
        library: PathBuf,
    }

    impl Lab {
        fn new(name: &str) -> Self {
            let base = std::env::temp_dir().join(format!("bongsu-powercut-{name}-{}", std::process::id()));
            let data = base.join("data");
            let _ = std::fs::remove_dir_all(&base);
            std::fs::create_dir_all(&data).expect("a directory for the test");
            Self { library: library(&base).expect("cc is there"), data }
        }

        /// Runs Python in the directory under the library; returns true when the program killed itself.
        fn run(&self, script: &str) -> bool {
            let prelude = "import os, sqlite3\ndef cut(): os.kill(os.getpid(), 9)\n";
            // The interpreter itself, not a wrapper script that would load the library as well.
            let status = Command::new("python3")
                .args(["-c", "import os, sys; os.environ['LD_PRELOAD'] = os.environ['CUT']; os.execv(sys.executable, [sys.executable, '-c', sys.argv[1]])"])
                .arg(format!("{prelude}{script}"))
                .current_dir(&self.data)
                .env("POWERCUT_DIR", &self.data)
                .env("CUT", &self.library)
                .status()
                .expect("python3 is there");
            assert!(status.success() || status.signal() == Some(9), "{status}: {script}");
            status.signal() == Some(9)
        }

        fn read(&self, name: &str) -> Vec<u8> {
            std::fs::read(self.data.join(name)).expect("the file is there")
        }

        /// Runs Python without the library, as after the power is back.
        fn ask(&self, script: &str) -> String {
            let output = Command::new("python3").args(["-c", script]).current_dir(&self.data).output();
            let output = output.expect("python3 is there");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
    }

    impl Drop for Lab {
        fn drop(&mut self) {
            if let Some(base) = self.data.parent() {
                let _ = std::fs::remove_dir_all(base);
            }
        }
    }

    #[test]
    fn a_cut_forgets_what_was_not_synced_and_nothing_else() {
        let lab = Lab::new("sync");
        assert!(lab.run(
            "f = os.open('a', os.O_RDWR | os.O_CREAT)
os.write(f, b'kept ' * 2000); os.fdatasync(f)
os.pwrite(f, b'gone', 4094); os.write(f, b'gone'); os.ftruncate(f, 20000)
g = os.open('b', os.O_RDWR | os.O_CREAT)
os.write(g, b'never synced'); os.close(g)
cut()"
        ));
        assert_eq!(lab.read("a"), b"kept ".repeat(2000));
        assert_eq!(lab.read("b"), b"");
    }

    #[test]
    fn the_process_sees_its_own_writes() {
        let lab = Lab::new("view");
        assert!(lab.run(
            "f = os.open('a', os.O_RDWR | os.O_CREAT)
os.write(f, b'0123456789')
g = os.open('a', os.O_RDONLY)
assert os.read(g, 4) == b'0123' and os.read(g, 9) == b'456789' and os.read(g, 1) == b''
assert os.fstat(g).st_size == 10 and os.stat('a').st_size == 10 and os.lseek(g, -3, os.SEEK_END) == 7
os.ftruncate(f, 4); os.ftruncate(f, 6); assert os.pread(g, 9, 0) == b'0123\\0\\0'
os.pwrite(f, b'z', 9000); assert os.pread(g, 9001, 0) == b'0123' + bytes(8996) + b'z'
os.close(f); os.close(g)
f = os.open('a', os.O_RDWR | os.O_APPEND); assert os.fstat(f).st_size == 9001
os.write(f, b'end'); assert os.pread(f, 4, 9000) == b'zend'
os.rename('a', 'b'); f = os.open('b', os.O_RDWR | os.O_TRUNC); assert os.fstat(f).st_size == 0
os.unlink('b'); f = os.open('b', os.O_RDWR | os.O_CREAT); assert os.fstat(f).st_size == 0
cut()"
        ));
    }

    #[test]
    fn truncation_waits_for_the_sync_too() {
        let lab = Lab::new("truncate");
        assert!(lab.run(
            "f = os.open('a', os.O_RDWR | os.O_CREAT); os.write(f, b'old' * 3000); os.fsync(f); os.close(f)
f = os.open('a', os.O_RDWR | os.O_TRUNC); os.write(f, b'new'); cut()"
        ));
        assert_eq!(lab.read("a"), b"old".repeat(3000));
        assert!(lab.run("f = os.open('a', os.O_RDWR); os.ftruncate(f, 3); os.ftruncate(f, 6); os.fsync(f); cut()"));
        assert_eq!(lab.read("a"), b"old\0\0\0");
    }

    #[test]
    fn a_clean_end_is_no_cut() {
        let lab = Lab::new("clean");
        assert!(!lab.run(
            "f = open('a', 'wb'); f.write(b'x' * 10000); f.close(); g = open('b', 'wb'); g.write(b'y'); g.flush()"
        ));
        assert_eq!(lab.read("a").len(), 10_000);
        assert_eq!(lab.read("b"), b"y");
    }

    #[test]
    fn sqlite_keeps_what_it_committed_in_full_and_only_that() {
        let writer = |synchronous: &str| {
            format!(
                "c = sqlite3.connect('s.db', isolation_level=None)
c.execute('pragma journal_mode = wal'); c.execute('pragma synchronous = {synchronous}')
c.execute('create table if not exists t (n integer primary key, x blob)')
d = sqlite3.connect('s.db', isolation_level=None)
for n in range(200):
    c.execute('insert into t (x) values (randomblob(200))')
    if n % 50 == 49: assert d.execute('select count(*) from t').fetchone()[0] % 50 == 0
c.execute('begin')
for n in range(5000): c.execute('insert into t (x) values (randomblob(200))')
cut()"
            )
        };
        let count = "import sqlite3
c = sqlite3.connect('s.db')
print(c.execute('select count(*) from t').fetchone()[0], c.execute('pragma integrity_check').fetchone()[0])";
        let lab = Lab::new("sqlite");
        assert!(lab.run(&writer("full")));
        assert_eq!(lab.ask(count), "200 ok");
        assert!(lab.run(&writer("full")), "the second run recovers the log of the first");
        assert_eq!(lab.ask(count), "400 ok");
        // The same program without syncs loses its rows: it is the cut that the database survives, not a kill.
        let lab = Lab::new("sqlite-off");
        assert!(lab.run(&writer("off")));
        let tables = "import sqlite3; print(sqlite3.connect('s.db').execute('select count(*) from sqlite_master').fetchone()[0])";
        assert_eq!(lab.ask(tables), "0");
    }
}
