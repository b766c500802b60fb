//! Text that comes in pieces, in the character sets that spreadsheets in Korea write.

use encoding_rs::{CoderResult, EUC_KR, UTF_8};

/// A character set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charset {
    /// UTF-8, with a byte order mark or without.
    #[default]
    Utf8,
    /// CP949 (확장 완성형), what Korean Excel writes.
    Cp949,
}

impl Charset {
    /// The set of a name as in `charset=`; none for sets that are not read.
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.trim().trim_matches('"').to_ascii_lowercase();
        match name.as_str() {
            "utf-8" | "utf8" => Some(Charset::Utf8),
            "cp949" | "ms949" | "uhc" | "x-windows-949" | "windows-949" | "euc-kr" | "ks_c_5601-1987" => {
                Some(Charset::Cp949)
            }
            _ => None,
        }
    }
}

/// Turns bytes into text, piece by piece. What is no character becomes U+FFFD, which no text message can carry, so that it
/// is found where it stands.
pub struct Decoder(encoding_rs::Decoder);

impl Decoder {
    /// A decoder at the beginning of a text.
    pub fn new(charset: Charset) -> Self {
        Self(match charset {
            Charset::Utf8 => UTF_8.new_decoder_with_bom_removal(),
            Charset::Cp949 => EUC_KR.new_decoder_without_bom_handling(),
        })
    }

    /// Appends the text of the next bytes; those of a character that is not complete wait for the next piece.
    pub fn decode(&mut self, mut bytes: &[u8], is_last: bool, text: &mut String) {
        loop {
            text.reserve(self.0.max_utf8_buffer_length(bytes.len()).unwrap_or(bytes.len()).clamp(64, 1 << 20));
            let (result, read, _) = self.0.decode_to_string(bytes, text, is_last);
            bytes = &bytes[read..];
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(charset: Charset, pieces: &[&[u8]]) -> String {
        let (mut decoder, mut text) = (Decoder::new(charset), String::new());
        for (at, piece) in pieces.iter().enumerate() {
            decoder.decode(piece, at + 1 == pieces.len(), &mut text);
        }
        text
    }

    #[test]
    fn a_character_may_come_in_two_pieces() {
        let whole = "이름,봉수".as_bytes();
        for cut in 0..whole.len() {
            assert_eq!(read(Charset::Utf8, &[&whole[..cut], &whole[cut..]]), "이름,봉수");
        }
        let (cp949, _, _) = EUC_KR.encode("이름,뷁");
        for cut in 0..cp949.len() {
            assert_eq!(read(Charset::Cp949, &[&cp949[..cut], &cp949[cut..]]), "이름,뷁");
        }
        assert_eq!(read(Charset::Utf8, &[b"\xEF", b"\xBB\xBFa"]), "a");
        assert_eq!(read(Charset::Utf8, &[b"a\xFFb", b""]), "a\u{FFFD}b");
        let long = "가".repeat(1_000_000);
        assert_eq!(read(Charset::Utf8, &[long.as_bytes()]), long);
    }

    #[test]
    fn sets_have_many_names() {
        for name in ["UTF-8", "utf8", "\"utf-8\""] {
            assert_eq!(Charset::parse(name), Some(Charset::Utf8));
        }
        for name in ["CP949", "euc-kr", "ms949", "KS_C_5601-1987"] {
            assert_eq!(Charset::parse(name), Some(Charset::Cp949));
        }
        assert_eq!(Charset::parse("utf-16"), None);
    }
}
