//! Brings message ids of responses and receipts into one form, because some message centres write them differently
//! in each (hexadecimal against decimal, leading zeros, upper case).

/// How a message centre's id is turned into the canonical one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IdStyle {
    /// Kept in its number base.
    #[default]
    AsIs,
    /// Read as hexadecimal, written as decimal.
    HexToDecimal,
    /// Read as decimal, written as hexadecimal.
    DecimalToHex,
}

/// The canonical form of an id: trimmed, lower case, no leading zeros, and in the base that `style` asks for.
///
/// An id that is no number of that base, or needs more than 128 bits, keeps its base: message centres that answer
/// with UUIDs are served by any style.
pub fn normalise_id(id: &str, style: IdStyle) -> String {
    let id = id.trim_matches(|character: char| character.is_whitespace() || character == '\0');
    let based = match style {
        IdStyle::AsIs => None,
        IdStyle::HexToDecimal => {
            let digits = id.strip_prefix("0x").or_else(|| id.strip_prefix("0X")).unwrap_or(id);
            number(digits, 16).map(|number| number.to_string())
        }
        IdStyle::DecimalToHex => number(id, 10).map(|number| format!("{number:x}")),
    };
    based.unwrap_or_else(|| {
        let stripped = id.trim_start_matches('0');
        if stripped.is_empty() && !id.is_empty() { "0".to_owned() } else { stripped.to_ascii_lowercase() }
    })
}

/// `from_str_radix` alone would take a sign.
fn number(digits: &str, base: u32) -> Option<u128> {
    if !digits.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    u128::from_str_radix(digits, base).ok()
}

/// What one relay's ids look like; both directions lead to the same canonical id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IdRule {
    /// Ids in `submit_sm_resp` are hexadecimal numbers.
    pub response_hex: bool,
    /// Ids in receipts are hexadecimal numbers.
    pub receipt_hex: bool,
}

impl IdRule {
    /// The canonical form of an id out of a `submit_sm_resp`.
    pub fn response(&self, id: &str) -> String {
        normalise_id(id, style(self.response_hex))
    }

    /// The canonical form of an id out of a receipt.
    pub fn receipt(&self, id: &str) -> String {
        normalise_id(id, style(self.receipt_hex))
    }
}

fn style(is_hex: bool) -> IdStyle {
    if is_hex { IdStyle::HexToDecimal } else { IdStyle::AsIs }
}
