//! Tests of channels.

use super::*;

#[test]
fn channels_keep_their_words_and_numbers() {
    for (channel, (number, word)) in Channel::ALL.into_iter().zip([(0, "sms"), (1, "lms")]) {
        assert_eq!((channel as u8, channel.as_str()), (number, word));
        assert_eq!((Channel::from_u8(number), Channel::parse(word)), (Some(channel), Some(channel)));
    }
    assert_eq!((Channel::from_u8(2), Channel::parse("auto")), (None, None));
}

#[test]
fn choices_are_the_channels_and_auto() {
    for word in ["auto", "sms", "lms"] {
        assert_eq!(ChannelChoice::parse(word).map(ChannelChoice::as_str), Some(word));
    }
    assert_eq!(ChannelChoice::parse("mms"), None);
}

#[test]
fn channels_of_other_versions_are_known_and_nonsense_is_not() {
    for word in ["alimtalk", "friendtalk", "brandtalk", "brand", "rcs", "mms", "email", "push"] {
        assert!(is_known_channel_name(word), "{word}");
    }
    for word in ["sms", "lms", "auto", "", "pigeon"] {
        assert!(!is_known_channel_name(word), "{word}");
    }
}
