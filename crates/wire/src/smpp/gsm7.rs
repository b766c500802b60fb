//! The GSM 7-bit default alphabet, one octet per septet as SMPP carries it (3GPP TS 23.038 section 6.2.1).

/// Announces a character of the extension table.
pub(super) const ESCAPE: u8 = 0x1B;

/// The basic table; the place of the escape holds U+00A0, which 23.038 shows for an escape without a table.
const BASIC: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', //
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{A0}', 'Æ', 'æ', 'ß', 'É', //
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', //
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', //
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', //
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', //
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', //
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à',
];

/// The extension table (section 6.2.1.1): two septets each.
const EXTENSION: [(u8, char); 10] = [
    (0x0A, '\u{0C}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2F, '\\'),
    (0x3C, '['),
    (0x3D, '~'),
    (0x3E, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// The octets of a text; `None` when a character is in neither table.
pub(super) fn encode(text: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    for character in text.chars() {
        let basic = BASIC.iter().position(|known| *known == character).and_then(|place| u8::try_from(place).ok());
        match basic {
            Some(octet) if octet != ESCAPE => octets.push(octet),
            _ => {
                let (octet, _) = EXTENSION.iter().find(|(_, known)| *known == character)?;
                octets.extend_from_slice(&[ESCAPE, *octet]);
            }
        }
    }
    Some(octets)
}

/// The text of octets. An octet above 0x7F becomes U+FFFD, an unknown extension its basic character (section 6.2.1.1).
pub(super) fn decode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    let mut rest = octets.iter().copied();
    while let Some(octet) = rest.next() {
        let extended = octet == ESCAPE;
        let Some(octet) = (if extended { rest.next() } else { Some(octet) }) else {
            text.push(' ');
            break;
        };
        let extension =
            EXTENSION.iter().find(|(known, _)| extended && *known == octet).map(|(_, character)| *character);
        let basic = BASIC.get(usize::from(octet)).copied();
        text.push(extension.or(basic).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    text
}
