//! Texts of SMS and LMS: bringing them into one form, counting their bytes in CP949, choosing the type they fit.
//!
//! CP949 here is the encoding that WHATWG calls EUC-KR: all 11,172 syllables, 1 byte an ASCII character, 2 any other.

use crate::channel::{Channel, ChannelChoice};
use crate::code::Code;
use encoding_rs::{EUC_KR, EncoderResult};
use std::borrow::Cow;
use std::sync::LazyLock;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// The most bytes of an SMS.
pub const SMS_BYTES: u32 = 90;
/// The most bytes of an LMS.
pub const LMS_BYTES: u32 = 2000;
/// The most bytes of the subject of an LMS.
pub const SUBJECT_BYTES: u32 = 40;
/// The most characters a [`TextError`] lists of each sort; the rest of a hopeless text is not worth the memory.
pub const BAD_CHARS_MAX: usize = 100;

/// A character that cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadChar {
    /// Its place in the normalised text, counted in characters from 0.
    pub index: u32,
    /// The character.
    pub ch: char,
    /// What could stand in its place; an empty text when it can just go.
    pub suggestion: Option<&'static str>,
}

/// Why a text cannot be sent, with every place up to [`BAD_CHARS_MAX`] of each sort.
#[derive(Debug, Clone, PartialEq, Eq, Default, thiserror::Error)]
#[error("{} control and {} unencodable characters", control.len(), unencodable.len())]
pub struct TextError {
    /// Control characters other than line feed and tab; CP949 would carry them, handsets do not expect them.
    pub control: Vec<BadChar>,
    /// Characters that CP949 does not have.
    pub unencodable: Vec<BadChar>,
}

impl TextError {
    /// Every bad character with its code, control characters first.
    pub fn findings(&self) -> impl Iterator<Item = (Code, BadChar)> + '_ {
        let control = self.control.iter().map(|bad| (Code::ControlCharacter, *bad));
        control.chain(self.unencodable.iter().map(|bad| (Code::UnencodableCharacter, *bad)))
    }

    fn push(&mut self, fault: Fault, index: usize, ch: char) {
        let (list, suggestion) = match fault {
            Fault::Control => (&mut self.control, None),
            Fault::Unencodable => (&mut self.unencodable, suggestion(ch)),
        };
        if list.len() < BAD_CHARS_MAX {
            list.push(BadChar { index: u32::try_from(index).unwrap_or(u32::MAX), ch, suggestion });
        }
    }
}

/// One form for one text: line ends become LF, letters are composed (Unicode NFC). Borrows when nothing changes.
pub fn normalise(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_settled) {
        return Cow::Borrowed(text);
    }
    let text = match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    };
    if is_nfc(&text) { text } else { Cow::Owned(text.nfc().collect()) }
}

/// The bytes of a normalised text in CP949. A line feed counts one.
///
/// # Errors
/// [`TextError`] with the characters that cannot be sent.
pub fn measure(text: &str) -> Result<u32, TextError> {
    let mut bytes = 0_u32;
    for ch in text.chars() {
        match width(ch) {
            Ok(width) => bytes = bytes.saturating_add(width),
            Err(_) => return Err(faults(text)),
        }
    }
    Ok(bytes)
}

/// The text in CP949; None when a character cannot be encoded. Nothing is ever replaced in silence.
pub fn encode_cp949(text: &str) -> Option<Vec<u8>> {
    let mut encoder = EUC_KR.new_encoder();
    let capacity = encoder.max_buffer_length_from_utf8_without_replacement(text.len())?;
    let mut bytes = vec![0; capacity];
    let (result, _, written) = encoder.encode_from_utf8_without_replacement(text, &mut bytes, true);
    bytes.truncate(written);
    matches!(result, EncoderResult::InputEmpty).then_some(bytes)
}

/// The channel for a text of `bytes` bytes. A subject turns an automatic choice into LMS, since an SMS has none.
///
/// # Errors
/// [`Code::EmptyBody`]; [`Code::BodyTooLong`] over the limit of the choice; [`Code::SubjectTooLong`] for an SMS with a
/// subject.
pub fn choose(choice: ChannelChoice, bytes: u32, has_subject: bool) -> Result<Channel, Code> {
    let channel = match choice {
        _ if bytes == 0 => return Err(Code::EmptyBody),
        ChannelChoice::Sms if has_subject => return Err(Code::SubjectTooLong),
        ChannelChoice::Sms => Channel::Sms,
        ChannelChoice::Auto if bytes <= SMS_BYTES && !has_subject => Channel::Sms,
        ChannelChoice::Auto | ChannelChoice::Lms => Channel::Lms,
    };
    let limit = match channel {
        Channel::Sms => SMS_BYTES,
        Channel::Lms => LMS_BYTES,
    };
    if bytes > limit { Err(Code::BodyTooLong) } else { Ok(channel) }
}

enum Fault {
    Control,
    Unencodable,
}

/// Characters of blocks that normalisation leaves alone whatever stands beside them, which is nearly all Korean text;
/// an exhaustive test compares with the quick-check tables. Others take the slow way and may still be fine.
fn is_settled(ch: char) -> bool {
    match ch {
        '\r' => false,
        '\0'..='\u{2FF}' => true,
        '가'..='힣' => true,
        '\u{2010}'..='\u{205E}' | '\u{20A0}'..='\u{20CF}' | '\u{2190}'..='\u{2328}' => true,
        '\u{2460}'..='\u{2ADB}' | '\u{3000}'..='\u{3029}' | '\u{3041}'..='\u{3096}' => true,
        '\u{30A1}'..='\u{30FA}' | '\u{3131}'..='\u{33FF}' | '\u{4E00}'..='\u{9FFF}' => true,
        '\u{FF01}'..='\u{FFEE}' => true,
        _ => false,
    }
}

fn width(ch: char) -> Result<u32, Fault> {
    match ch {
        ' '..='~' | '\n' | '\t' => Ok(1),
        '가'..='힣' => Ok(2),
        _ if ch.is_control() => Err(Fault::Control),
        _ if is_encodable(ch) => Ok(2),
        _ => Err(Fault::Unencodable),
    }
}

fn faults(text: &str) -> TextError {
    let mut error = TextError::default();
    for (index, ch) in text.chars().enumerate() {
        if let Err(fault) = width(ch) {
            error.push(fault, index, ch);
        }
    }
    error
}

/// One bit for each of the first 65,536 code points: whether CP949 has it. It has none beyond.
static ENCODABLE: LazyLock<Box<[u64; 1024]>> = LazyLock::new(|| {
    let mut table = Box::new([0; 1024]);
    let mut utf8 = [0; 4];
    for ch in '\u{80}'..='\u{FFFF}' {
        let mut bytes = [0; 8];
        let text = ch.encode_utf8(&mut utf8);
        let (result, _, _) = EUC_KR.new_encoder().encode_from_utf8_without_replacement(text, &mut bytes, true);
        if matches!(result, EncoderResult::InputEmpty) {
            table[ch as usize / 64] |= 1_u64 << (ch as usize % 64);
        }
    }
    table
});

fn is_encodable(ch: char) -> bool {
    ENCODABLE.get(ch as usize / 64).is_some_and(|word| word >> (ch as usize % 64) & 1 == 1)
}

/// The look-alike that CP949 does have. An empty text for characters that show nothing.
fn suggestion(ch: char) -> Option<&'static str> {
    Some(match ch {
        '₩' => "￦",
        '¥' => "￥",
        '£' => "￡",
        '–' | '—' => "―",
        '•' | '・' => "·",
        '〜' => "～",
        '❤' => "♥",
        'µ' => "μ",
        '©' => "(c)",
        '−' => "-",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        '\u{A0}' | '\u{2007}' | '\u{202F}' => " ",
        '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}' | '\u{FE00}'..='\u{FE0F}' => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
