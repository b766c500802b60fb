//! Korean telephone numbers: reading the usual spellings, and the forms they are sent in.

use crate::code::Code;
use std::fmt;

/// E.164 allows 15 digits.
const DIGITS_MAX: usize = 15;
/// How many fixed test numbers there are.
const TEST_NUMBERS: u8 = 8;
/// Area codes of land lines besides 02.
const AREA_CODES: [&str; 16] =
    ["031", "032", "033", "041", "042", "043", "044", "051", "052", "053", "054", "055", "061", "062", "063", "064"];

/// A number in national digits, such as 01012345678 or 15881588. Printed masked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber {
    digits: [u8; DIGITS_MAX],
    len: u8,
}

impl PhoneNumber {
    /// From stored national digits: 1 to 15 ASCII digits, not checked further.
    pub fn from_national(digits: &str) -> Option<PhoneNumber> {
        let fits = (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| {
            let mut number = PhoneNumber { digits: [0; DIGITS_MAX], len: digits.len() as u8 };
            number.digits[..digits.len()].copy_from_slice(digits.as_bytes());
            number
        })
    }

    /// From an address as a relay writes it: national digits, or with 82 or +82 in front.
    pub fn from_address(address: &str) -> Option<PhoneNumber> {
        let digits = address.strip_prefix('+').unwrap_or(address);
        match digits.strip_prefix("82") {
            Some(rest) => PhoneNumber::from_national(&after_country(rest)),
            None => PhoneNumber::from_national(digits),
        }
    }

    /// The digits as dialled in Korea: `01012345678`.
    pub fn national(&self) -> &str {
        str::from_utf8(&self.digits[..usize::from(self.len)]).expect("made of ASCII digits")
    }

    /// The digits with the country code: `821012345678`. Service numbers such as 15881588 have no zero to drop.
    pub fn with_country(&self) -> String {
        let national = self.national();
        format!("82{}", national.strip_prefix('0').unwrap_or(national))
    }

    /// E.164: `+821012345678`.
    pub fn e164(&self) -> String {
        format!("+{}", self.with_country())
    }

    /// Whether it is one of the fixed test numbers 010-0000-0001 to -0008. Nobody has them: the range 010-0 is not given
    /// out.
    pub fn is_for_tests(&self) -> bool {
        self.test_number().is_some()
    }

    /// Which of the fixed test numbers it is, 1 to 8.
    pub fn test_number(&self) -> Option<u8> {
        let last = self.national().strip_prefix("0100000000")?;
        last.parse().ok().filter(|number| (1..=TEST_NUMBERS).contains(number))
    }

    /// The last four digits, or all of a shorter number.
    pub fn last4(&self) -> &str {
        let national = self.national();
        &national[national.len().saturating_sub(4)..]
    }

    /// For people without the right to see it: `010****5678`. Numbers under 8 digits show nothing.
    pub fn masked(&self) -> String {
        let national = self.national();
        match national.len() {
            0..8 => "*".repeat(national.len()),
            8..10 => format!("{}{}", "*".repeat(national.len() - 4), self.last4()),
            length => format!("{}{}{}", &national[..3], "*".repeat(length - 7), self.last4()),
        }
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({})", self.masked())
    }
}

/// Reads the number of a recipient in any usual spelling: with 82 or +82, with a zero too many after it, with hyphens,
/// dots, spaces and brackets, with full-width digits, or with the leading zero that a spreadsheet lost. Only 010
/// numbers pass; old mobile prefixes, land lines and safe numbers (안심번호) are refused.
///
/// # Errors
/// [`Code::CountryNotAllowed`] for a foreign number written with +, [`Code::BadRecipientFormat`] for anything else.
pub fn parse_recipient(text: &str) -> Result<PhoneNumber, Code> {
    let national = national_digits(text).map_err(|fault| match fault {
        Fault::Foreign => Code::CountryNotAllowed,
        Fault::Malformed => Code::BadRecipientFormat,
    })?;
    let is_mobile = national.len() == 11 && national.starts_with("010");
    is_mobile.then(|| PhoneNumber::from_national(&national)).flatten().ok_or(Code::BadRecipientFormat)
}

/// Reads a sender number (발신번호). Valid are mobile numbers, land lines with area code, 070, 080, 060 and 030 numbers and
/// the eight digits of 15, 16 and 18 service numbers; 050 cannot be registered, and ranges that do not exist
/// (010-0, 010-1, 070-0, 070-1) are refused (전기통신사업법 제84조의2).
///
/// # Errors
/// [`Code::SenderNotRegistered`] for anything else.
pub fn parse_sender(text: &str) -> Result<PhoneNumber, Code> {
    let national = national_digits(text).map_err(|_| Code::SenderNotRegistered)?;
    let is_valid = is_sender(&national);
    is_valid.then(|| PhoneNumber::from_national(&national)).flatten().ok_or(Code::SenderNotRegistered)
}

enum Fault {
    Foreign,
    Malformed,
}

fn is_sender(national: &str) -> bool {
    let length = national.len();
    let prefix = national.get(..3).unwrap_or("");
    match prefix {
        "010" | "070" => length == 11 && matches!(national.as_bytes()[3], b'2'..=b'9'),
        "080" | "060" => (10..=11).contains(&length),
        "030" => (11..=12).contains(&length),
        _ if prefix.starts_with("02") => (9..=10).contains(&length),
        _ if AREA_CODES.contains(&prefix) => (10..=11).contains(&length),
        _ => is_service_number(national),
    }
}

/// Nationwide numbers (대표번호): 15YY, 16YY and 18YY with exactly eight digits and no area code.
fn is_service_number(national: &str) -> bool {
    national.len() == 8 && matches!(&national[..2], "15" | "16" | "18")
}

/// The national digits of a spelling, not yet checked for what kind of number they are.
fn national_digits(text: &str) -> Result<String, Fault> {
    let (digits, has_plus) = bare_digits(text)?;
    match digits.strip_prefix("82") {
        Some(rest) => Ok(after_country(rest)),
        None if has_plus && !digits.is_empty() => Err(Fault::Foreign),
        // A spreadsheet read the number as a number: 1012345678.
        None if digits.len() == 10 && digits.starts_with("10") => Ok(format!("0{digits}")),
        None => Ok(digits),
    }
}

/// What follows the country code, in national form.
fn after_country(rest: &str) -> String {
    if rest.starts_with('0') || is_service_number(rest) { rest.to_owned() } else { format!("0{rest}") }
}

/// The ASCII digits of a spelling and whether it begins with +. The longest number with country code and a zero too
/// many still fits [`DIGITS_MAX`].
fn bare_digits(text: &str) -> Result<(String, bool), Fault> {
    let mut digits = String::with_capacity(DIGITS_MAX);
    let mut has_plus = false;
    for letter in text.chars() {
        match letter {
            '0'..='9' => digits.push(letter),
            '０'..='９' => digits.push((b'0' + (letter as u32 - '０' as u32) as u8) as char),
            '+' | '＋' if digits.is_empty() && !has_plus => has_plus = true,
            _ if is_separator(letter) => continue,
            _ => return Err(Fault::Malformed),
        }
        if digits.len() > DIGITS_MAX {
            return Err(Fault::Malformed);
        }
    }
    Ok((digits, has_plus))
}

/// Marks that people put between digits, and the invisible ones that come along when a number is copied.
fn is_separator(letter: char) -> bool {
    let is_visible = matches!(letter, '-' | '.' | '(' | ')' | '（' | '）' | '‐'..='―' | '−' | '－' | '．' | '·');
    let is_space = matches!(letter, ' ' | '\t' | '\u{A0}' | '\u{2007}' | '\u{202F}' | '\u{3000}');
    let is_invisible = matches!(letter, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{FEFF}');
    is_visible || is_space || is_invisible
}

#[cfg(test)]
mod tests;
