//! The key file on disk: made whole or not at all, readable by its owner only.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{SECRET_LEN, random};
use crate::error::{Error, Kind};

const MAX_FILE: u64 = 64 * 1024;

/// The text of a new key file.
pub(super) fn fresh() -> String {
    let secret = || {
        let mut bytes = [0u8; SECRET_LEN];
        random(&mut bytes);
        bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    format!(
        "# Keys of this Bongsu. Keep a copy apart from the data: without this file its texts and numbers cannot be read.\n\
         # To rotate, add a line `seal-2 = \"64 hexadecimal digits\"` below; the last line seals, the others still open.\n\
         # `hash` stands for numbers in indexes and must never change.\n\
         hash = \"{}\"\nseal-1 = \"{}\"\n",
        secret(),
        secret()
    )
}

/// The text of the key file; warns when others of this machine could read it, too.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let about = fs::metadata(path)?;
    if about.len() > MAX_FILE {
        return Err(std::io::Error::new(ErrorKind::InvalidData, "it is too large for a key file"));
    }
    if about.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "other users of this machine can read the key file: set its mode to 0600");
    }
    fs::read_to_string(path)
}

/// Writes beside and links into place: the file is whole or not there, and an existing one is never replaced.
pub(super) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside: PathBuf = path.to_path_buf();
    beside.as_mut_os_string().push(".new");
    let _ = fs::remove_file(&beside); // left by a start that was killed here
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::hard_link(&beside, path)?;
    fs::remove_file(&beside)?;
    match path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => fs::File::open(dir)?.sync_all(),
        None => fs::File::open(".")?.sync_all(),
    }
}

/// The error for a file that cannot be used now.
pub(super) fn unavailable(what: &str, path: &Path, e: &std::io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("{what} the key file {}: {e}", path.display()))
}
