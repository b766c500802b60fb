//! Channels: by what kind of message somebody is reached.

/// A channel that messages go out on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Channel {
    /// Short text (단문), at most 90 bytes.
    Sms = 0,
    /// Long text (장문), at most 2,000 bytes with a subject of at most 40.
    Lms = 1,
}

impl Channel {
    /// Every channel; a channel's number is its place.
    pub const ALL: [Channel; 2] = [Channel::Sms, Channel::Lms];

    /// The word used outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Sms => "sms",
            Channel::Lms => "lms",
        }
    }

    /// The channel of a word.
    pub fn parse(word: &str) -> Option<Channel> {
        Channel::ALL.into_iter().find(|channel| channel.as_str() == word)
    }

    /// The channel of a stored number.
    pub fn from_u8(number: u8) -> Option<Channel> {
        Channel::ALL.get(usize::from(number)).copied()
    }
}

/// What a caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChannelChoice {
    /// SMS when the text fits and has no subject, else LMS.
    #[default]
    Auto,
    /// SMS or nothing.
    Sms,
    /// LMS even when SMS would do.
    Lms,
}

impl ChannelChoice {
    /// The word used outside.
    pub const fn as_str(self) -> &'static str {
        match self {
            ChannelChoice::Auto => "auto",
            ChannelChoice::Sms => "sms",
            ChannelChoice::Lms => "lms",
        }
    }

    /// The choice of a word.
    pub fn parse(word: &str) -> Option<ChannelChoice> {
        [ChannelChoice::Auto, ChannelChoice::Sms, ChannelChoice::Lms].into_iter().find(|choice| choice.as_str() == word)
    }
}

/// Whether the word names a channel that this version knows but does not send on; it is refused with UM3006 rather than
/// as a mistake.
pub fn is_known_channel_name(word: &str) -> bool {
    const NAMES: [&str; 14] = [
        "mms",
        "alimtalk",
        "friendtalk",
        "brandtalk",
        "brand",
        "brandmessage",
        "kakao",
        "rcs",
        "email",
        "push",
        "fcm",
        "apns",
        "webpush",
        "voice",
    ];
    NAMES.contains(&word)
}

#[cfg(test)]
mod tests;
