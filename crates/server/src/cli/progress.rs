//! A progress bar on stderr: one line that is drawn over on a terminal, a line every tenth elsewhere.

use std::io::{IsTerminal, Write, stderr};

/// Columns of the bar itself.
const COLUMNS: u64 = 30;

/// Shows how far something is.
pub(super) struct Progress {
    total: u64,
    is_terminal: bool,
    last_tenth: Option<u64>,
}

impl Progress {
    /// A bar for `total` steps.
    pub(super) fn new(total: u64) -> Self {
        Self { total: total.max(1), is_terminal: stderr().is_terminal(), last_tenth: None }
    }

    /// Draws the bar at `done` steps with live counts beside it.
    pub(super) fn show(&mut self, done: u64, counts: &str) {
        let done = done.min(self.total);
        let tenth = done * 10 / self.total;
        if self.is_terminal {
            let filled = usize::try_from(done * COLUMNS / self.total).unwrap_or_default();
            let bar = "█".repeat(filled) + &"░".repeat(COLUMNS as usize - filled);
            // \x1b[2K erases the line (ECMA-48 8.3.41), so a shorter text leaves nothing behind.
            let _ =
                write!(stderr(), "\r\x1b[2K{bar} {:>3} %  {done}/{}  {counts}", done * 100 / self.total, self.total);
        } else if self.last_tenth != Some(tenth) {
            let _ = writeln!(stderr(), "{:>3} %  {done}/{}  {counts}", done * 100 / self.total, self.total);
        }
        self.last_tenth = Some(tenth);
    }

    /// Leaves the line, so that what follows starts on a new one.
    pub(super) fn end(self) {
        if self.is_terminal {
            let _ = writeln!(stderr());
        }
    }
}
