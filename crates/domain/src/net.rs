//! Networks of IP addresses, as allow-lists name them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network in the notation of RFC 4632 (`10.1.0.0/16`, `2001:db8::/32`), or one address. IPv4 addresses that are
/// written within IPv6 (`::ffff:10.1.2.3`, RFC 4291 2.5.5.2) are those of IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// The text names no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoNetwork;

impl fmt::Display for NoNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be an address or a network such as 10.1.0.0/16 or 2001:db8::/32")
    }
}

impl std::error::Error for NoNetwork {}

impl Network {
    /// Whether an address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.octets(), other.octets(), self.prefix),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.octets(), other.octets(), self.prefix),
            _ => false,
        }
    }

    /// Whether every address of another network lies in it.
    pub fn holds(&self, other: &Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }
}

/// Whether the first `prefix` bits are the same.
fn same<const N: usize>(one: [u8; N], other: [u8; N], prefix: u8) -> bool {
    let (whole, rest) = (usize::from(prefix / 8), prefix % 8);
    let mask = !(0xff_u8.checked_shr(rest.into()).unwrap_or(0));
    one[..whole] == other[..whole] && (rest == 0 || (one[whole] ^ other[whole]) & mask == 0)
}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix: u8 = match prefix {
            None => most,
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= most).ok_or(NoNetwork)?
            }
            Some(_) => return Err(NoNetwork),
        };
        match address.to_canonical() {
            // ::ffff:0:0/96 and what is within it.
            canonical @ IpAddr::V4(_) if address.is_ipv6() => {
                let prefix = prefix.checked_sub(96).ok_or(NoNetwork)?;
                Ok(Self { address: canonical, prefix })
            }
            _ => Ok(Self { address, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_a_network_by_its_first_bits() {
        let table = [
            ("10.1.0.0/16", "10.1.255.255", true),
            ("10.1.0.0/16", "10.2.0.0", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3/0", "203.0.113.9", true),
            ("192.168.4.0/22", "192.168.7.255", true),
            ("192.168.4.0/22", "192.168.8.0", false),
            ("192.168.4.0/22", "::ffff:192.168.5.1", true),
            ("::ffff:192.168.4.0/118", "192.168.5.1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("2001:db8::/32", "10.1.2.3", false),
            ("::/0", "10.1.2.3", false),
            ("::1", "::1", true),
        ];
        for (network, address, inside) in table {
            let network: Network = network.parse().expect("a network");
            assert_eq!(network.contains(address.parse().expect("an address")), inside, "{network} {address}");
        }
    }

    #[test]
    fn a_network_holds_narrower_ones_of_its_own() {
        let table = [
            ("10.1.0.0/16", "10.1.2.0/24", true),
            ("10.1.0.0/16", "10.1.0.0/16", true),
            ("10.1.0.0/16", "::ffff:10.1.2.3", true),
            ("10.1.0.0/16", "10.1.0.0/15", false),
            ("10.1.0.0/16", "10.2.0.0/24", false),
            ("10.1.0.0/16", "0.0.0.0/0", false),
            ("::/0", "10.1.2.3", false),
            ("0.0.0.0/0", "2001:db8::/32", false),
            ("2001:db8::/32", "2001:db8:1::/48", true),
        ];
        for (wide, narrow, inside) in table {
            let [wide, narrow] = [wide, narrow].map(|text| text.parse::<Network>().expect("a network"));
            assert_eq!(wide.holds(&narrow), inside, "{wide} {narrow}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_and_what_is_one_survives_its_text() {
        for text in [
            "",
            "/",
            "10.1.0.0/33",
            "10.1.0/16",
            "10.1.0.0/-1",
            "10.1.0.0/+1",
            "::/129",
            "::ffff:1.2.3.4/8",
            "a/8",
            "10.0.0.0/",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
        for text in ["10.1.0.0/16", "203.0.113.9/32", "2001:db8::/32", "::1/128", "0.0.0.0/0"] {
            let network: Network = text.parse().expect("a network");
            assert_eq!((network.to_string().as_str(), network.to_string().parse()), (text, Ok(network)));
        }
    }
}
