//! What is remembered of a service between two commands: its port, its password, and who stops it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

const FILE: &str = "state.json";
/// How often a lock is tried again.
const LOOK: Duration = Duration::from_millis(100);
/// Ports that are tried after the first one.
const PORTS: u16 = 1_000;

/// The state file of a service.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// TCP port on loopback; the same for the life of the data.
    pub port: u16,
    /// Of the account `bongsu`; made at the first start. Empty where the service has none.
    pub password: String,
    /// True when the data is whole, so that the next start may build on it.
    pub made: bool,
    /// Started by a command for its own use; the last such command stops it.
    pub temporary: bool,
    /// `down --keep` left the data, so only `down` removes it.
    pub kept: bool,
}

impl State {
    /// `None` when there is no state, or one that cannot be read: then the data is made anew.
    pub fn load(folder: &Path) -> Option<Self> {
        serde_json::from_str(&std::fs::read_to_string(folder.join(FILE)).ok()?).ok()
    }

    /// Replaces the file as a whole. Only its owner can read it, for it holds a password.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let (path, part) = (folder.join(FILE), folder.join("state.part"));
        let write = || -> Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&part)?;
            file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
            Ok(std::fs::rename(&part, &path)?)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Makes a folder that only we can enter.
pub fn private_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make {}", folder.display()))
}

/// 128 random bits in letters that need no escape in a URL.
pub fn new_password() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).context("no randomness")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A port that is free now, from `first` up. Those that the kernel gives to outgoing connections are left out: one of
/// them could hold the port when the service comes back.
pub fn free_port(first: u16, taken: &[u16]) -> Result<u16> {
    let own = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let outgoing = port_range(&own).unwrap_or((32_768, 60_999));
    let mut ports = (first..first.saturating_add(PORTS)).filter(|port| !taken.contains(port));
    ports
        .find(|port| !(outgoing.0..=outgoing.1).contains(port) && port_is_free(*port))
        .with_context(|| format!("no free port from {first} up"))
}

/// How far above the usual ports a set in this folder begins, from 10 to 900: sets that start at the same moment, or
/// whose servers are down for a moment, do not take each other's ports.
pub fn own_ports(folder: &Path) -> u16 {
    // FNV-1a; the folder must give the same ports every time.
    let bytes = folder.as_os_str().as_encoded_bytes();
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    10 * (hash % 90 + 1) as u16
}

/// True when nobody listens there.
pub fn port_is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn port_range(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split_whitespace().map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Held while services are started and removed, so that two commands do not do it at once.
pub async fn lock(folder: &Path) -> Result<File> {
    let file = lock_file(folder, "lock")?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if !told => {
                eprintln!("waiting for another command that starts or stops services …");
                told = true;
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => bail!("cannot lock {}: {error}", folder.display()),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Says that the services are in use until it is dropped; the kernel drops it with the process.
pub fn use_them(folder: &Path) -> Result<File> {
    let file = lock_file(folder, "use")?;
    file.lock_shared().with_context(|| format!("cannot lock {}", folder.display()))?;
    Ok(file)
}

/// True when no command uses the services now.
pub fn nobody_uses_them(folder: &Path) -> Result<bool> {
    Ok(lock_file(folder, "use")?.try_lock().is_ok())
}

/// A lock file stays when the data goes: whoever waits for it holds this very file.
fn lock_file(folder: &Path, name: &str) -> Result<File> {
    private_folder(folder)?;
    let path = folder.join(name);
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    file.with_context(|| format!("cannot open {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("bongsu-services-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&folder);
            private_folder(&folder).expect("a folder");
            Self(folder)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_state_is_read_back_and_private() {
        let scratch = Scratch::new("state");
        assert!(State::load(&scratch.0).is_none());
        let state = State { port: 13_306, password: "secret".into(), made: true, temporary: false, kept: true };
        state.save(&scratch.0).expect("written");
        assert!(State::load(&scratch.0) == Some(state));
        let mode = |path: &Path| path.metadata().expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&scratch.0), mode(&scratch.0.join(FILE))), (0o700, 0o600));
        std::fs::write(scratch.0.join(FILE), "{").expect("written");
        assert!(State::load(&scratch.0).is_none(), "a broken file is none");
    }

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let (a, b) = (new_password().expect("random"), new_password().expect("random"));
        assert_eq!(a.len(), 32);
        assert!(a.bytes().all(|byte| byte.is_ascii_hexdigit()) && a != b);
    }

    #[test]
    fn a_port_in_use_or_promised_is_passed_over() {
        let first = free_port(14_000, &[]).expect("a port");
        assert!(free_port(first, &[first]).expect("the next one") > first);
        let _taken = TcpListener::bind(("127.0.0.1", first)).expect("it is free");
        assert!(free_port(first, &[]).expect("the next one") > first);
        assert_eq!(port_range("32768\t60999\n"), Some((32_768, 60_999)));
    }

    #[test]
    fn a_folder_has_ports_of_its_own() {
        let ports = |folder: &str| own_ports(Path::new(folder));
        assert_eq!(ports("/scratch/a"), ports("/scratch/a"));
        assert_ne!(ports("/scratch/a"), ports("/scratch/b"));
        assert!((0..1000).all(|n| (10..=900).contains(&ports(&format!("/scratch/{n}")))));
    }

    #[tokio::test]
    async fn the_last_user_is_known() {
        let scratch = Scratch::new("use");
        let held = lock(&scratch.0).await.expect("free");
        assert!(lock_file(&scratch.0, "lock").expect("opened").try_lock().is_err());
        drop(held);
        let (one, two) = (use_them(&scratch.0).expect("shared"), use_them(&scratch.0).expect("shared"));
        drop(one);
        assert!(!nobody_uses_them(&scratch.0).expect("asked"));
        drop(two);
        assert!(nobody_uses_them(&scratch.0).expect("asked"));
    }
}
