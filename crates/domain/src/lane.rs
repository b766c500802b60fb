//! Lanes: how urgent a message is. A slower lane never holds up a faster one.

/// The urgency of a message, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// One-time codes (인증): seconds count, a late one is worthless.
    Auth = 0,
    /// Notices about something that just happened (실시간).
    Realtime = 1,
    /// Large runs of notices (대량).
    Bulk = 2,
    /// Advertising (광고).
    Ad = 3,
}

impl Lane {
    /// Every lane, most urgent first; a lane's number is its place.
    pub const ALL: [Lane; 4] = [Lane::Auth, Lane::Realtime, Lane::Bulk, Lane::Ad];

    /// The word used outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            Lane::Auth => "auth",
            Lane::Realtime => "realtime",
            Lane::Bulk => "bulk",
            Lane::Ad => "ad",
        }
    }

    /// The lane of a word.
    pub fn parse(word: &str) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| lane.as_str() == word)
    }

    /// The lane of a stored number.
    pub fn from_u8(number: u8) -> Option<Lane> {
        Lane::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests;
