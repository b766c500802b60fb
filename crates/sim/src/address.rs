//! Addresses in eight bytes each: digits are packed, anything else is kept once in a table.

use std::collections::HashMap;

/// Digits that fit beside the sentinel.
const DIGITS_MAX: usize = 18;
/// Marks an index into the table.
const NAMED: u64 = 1 << 63;
/// Distinct addresses that are not digits; later ones share one entry.
const NAMES_MAX: usize = 65_536;

/// An address as it was received.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Address(u64);

/// The addresses that are not digits.
#[derive(Default)]
pub(crate) struct Names {
    list: Vec<String>,
    index: HashMap<String, u64>,
}

impl Names {
    pub(crate) fn pack(&mut self, address: &[u8]) -> Address {
        if let Some(packed) = digits(address) {
            return Address(packed);
        }
        let name = String::from_utf8_lossy(address).into_owned();
        if let Some(index) = self.index.get(&name) {
            return Address(NAMED | index);
        }
        let name = if self.list.len() < NAMES_MAX { name } else { "(one of many)".to_owned() };
        let index = *self.index.entry(name.clone()).or_insert_with(|| {
            self.list.push(name);
            self.list.len() as u64 - 1
        });
        Address(NAMED | index)
    }

    /// The addresses that a number may have been received as: national, with country code, with `+`.
    pub(crate) fn forms(&self, number: &str) -> Vec<Address> {
        let national = national(number);
        let abroad = national.strip_prefix('0').map_or_else(|| national.clone(), |rest| format!("82{rest}"));
        let forms = [self.find(&format!("+{abroad}")), self.find(&national), self.find(&abroad)];
        forms.into_iter().flatten().collect()
    }

    fn find(&self, address: &str) -> Option<Address> {
        match digits(address.as_bytes()) {
            Some(packed) => Some(Address(packed)),
            None => self.index.get(address).map(|index| Address(NAMED | index)),
        }
    }

    /// As received.
    pub(crate) fn text(&self, address: Address) -> String {
        if address.0 & NAMED != 0 {
            return self.list[(address.0 & !NAMED) as usize].clone();
        }
        address.0.to_string().split_off(1)
    }

    /// National digits: `+8210…` and `8210…` become `010…`.
    pub(crate) fn national(&self, address: Address) -> String {
        national(&self.text(address))
    }
}

fn digits(address: &[u8]) -> Option<u64> {
    if address.len() > DIGITS_MAX || !address.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // The leading 1 keeps leading zeros.
    Some(address.iter().fold(1, |packed, digit| packed * 10 + u64::from(digit - b'0')))
}

/// National digits of a Korean number in any of its usual forms; other addresses stay as they are.
pub(crate) fn national(text: &str) -> String {
    let digits: String = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let bare = digits.strip_prefix('+').unwrap_or(&digits);
    match bare.strip_prefix("82") {
        Some(rest) if bare.len() >= 10 && bare.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("0{}", rest.strip_prefix('0').unwrap_or(rest))
        }
        _ => digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_names_come_back_as_they_were() {
        let mut names = Names::default();
        for text in ["01012345678", "0", "", "821012345678", "BONGSU", "+821012345678", "0000000000000000000000"] {
            let packed = names.pack(text.as_bytes());
            assert_eq!(names.text(packed), text);
            assert!(names.pack(text.as_bytes()) == packed);
        }
    }

    #[test]
    fn numbers_are_shown_in_national_form() {
        for text in ["01012345678", "821012345678", "+821012345678", "+82 10-1234-5678", "8201012345678"] {
            assert_eq!(national(text), "01012345678", "{text}");
        }
        assert_eq!(national("BONGSU"), "BONGSU");
        assert_eq!(national("0212345678"), "0212345678");
        assert_eq!(national("+14155550100"), "+14155550100");
    }
}
