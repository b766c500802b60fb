//! What is particular about one relay: a closed set of keys, kept as JSON so that a new one needs no new column.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Kind};

const TLS_CA_MAX: usize = 64 * 1024;
const TLS_NAME_MAX: usize = 255;
const KEYS: [&str; 10] = [
    "coding",
    "long",
    "responseIdHex",
    "receiptIdHex",
    "tlsCa",
    "tlsServerName",
    "withCountry",
    "subjectTlv",
    "responseTimeoutMs",
    "enquireLinkMs",
];

/// In which alphabet texts go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coding {
    /// KS C 5601 (CP949), data_coding 0x0E: what Korean relays take.
    #[default]
    Ksc5601,
    /// UCS-2, data_coding 8.
    Ucs2,
    /// GSM 7 bit, one octet a character, data_coding 0.
    Gsm7,
    /// ASCII, data_coding 1.
    Ascii,
}

/// How texts beyond one short_message go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Long {
    /// One PDU with message_payload (TLV 0x0424).
    #[default]
    Payload,
    /// Parts with a user data header (3GPP TS 23.040, 9.2.3.24.1).
    Udh,
}

/// What else is particular about a relay. A closed set of keys; a key left out has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RelaySettings {
    /// Alphabet.
    pub coding: Coding,
    /// Long texts.
    pub long: Long,
    /// Message ids in submit_sm_resp are hexadecimal.
    pub response_id_hex: bool,
    /// Message ids in receipts are hexadecimal.
    pub receipt_id_hex: bool,
    /// Certificates to trust instead of the public ones, PEM. Needs `tls_server_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<String>,
    /// The name in the relay's certificate. TLS is used if, and only if, it is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_server_name: Option<String>,
    /// Addresses go out as 8210… instead of 010….
    pub with_country: bool,
    /// The vendor TLV that carries the subject of an LMS.
    pub subject_tlv: u16,
    /// How long an answer may take, in milliseconds, 100 to 60,000.
    pub response_timeout_ms: u32,
    /// How long a link may be idle before it is probed, in milliseconds, 1,000 to 600,000.
    pub enquire_link_ms: u32,
}

impl Default for RelaySettings {
    fn default() -> Self {
        Self {
            coding: Coding::default(),
            long: Long::default(),
            response_id_hex: false,
            receipt_id_hex: false,
            tls_ca: None,
            tls_server_name: None,
            with_country: false,
            subject_tlv: 0x1401,
            response_timeout_ms: 3_000,
            enquire_link_ms: 30_000,
        }
    }
}

/// Reads settings as they come from outside.
///
/// # Errors
/// `Invalid("settings")` with the key that is unknown or out of range.
pub fn parse_settings(value: Value) -> Result<RelaySettings, Error> {
    if !value.is_object() {
        return Err(invalid("settings are an object"));
    }
    let settings: RelaySettings = serde_json::from_value(value).map_err(|e| invalid(e.to_string()))?;
    check(&settings)?;
    Ok(settings)
}

/// Settings with some keys changed; null takes a key back to its default.
pub(crate) fn merge(settings: &RelaySettings, changes: Map<String, Value>) -> Result<RelaySettings, Error> {
    let current = serde_json::to_value(settings).map_err(|e| invalid(e.to_string()))?;
    let Value::Object(mut merged) = current else { return Err(invalid("settings are an object")) };
    for (key, value) in changes {
        // A null must name a key of the set, too: then it is put back and refused below.
        if value.is_null() && KEYS.contains(&key.as_str()) {
            merged.remove(&key);
        } else {
            merged.insert(key, value);
        }
    }
    parse_settings(Value::Object(merged))
}

pub(crate) fn check(settings: &RelaySettings) -> Result<(), Error> {
    if !(100..=60_000).contains(&settings.response_timeout_ms) {
        return Err(invalid("responseTimeoutMs is between 100 and 60000"));
    }
    if !(1_000..=600_000).contains(&settings.enquire_link_ms) {
        return Err(invalid("enquireLinkMs is between 1000 and 600000"));
    }
    if settings.tls_server_name.as_ref().is_some_and(|name| name.is_empty() || name.len() > TLS_NAME_MAX) {
        return Err(invalid("tlsServerName is the name in the relay's certificate"));
    }
    if let Some(ca) = &settings.tls_ca {
        if ca.len() > TLS_CA_MAX || !ca.contains("-----BEGIN CERTIFICATE-----") {
            return Err(invalid("tlsCa holds certificates in PEM, at most 64 KiB"));
        }
        if settings.tls_server_name.is_none() {
            return Err(invalid("tlsCa needs tlsServerName"));
        }
    }
    Ok(())
}

pub(crate) fn to_json(settings: &RelaySettings) -> Result<String, Error> {
    serde_json::to_string(settings).map_err(|e| invalid(e.to_string()))
}

fn invalid(why: impl Into<String>) -> Error {
    Error::new(Kind::Invalid("settings"), why)
}
