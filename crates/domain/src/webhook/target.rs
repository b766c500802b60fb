//! Where a webhook may go: the URL as a customer wrote it, and the addresses that are nobody's inside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest URL.
const URL_MAX: usize = 2_048;
/// Longest host name (RFC 1035, 2.3.4).
const HOST_MAX: usize = 253;
/// Longest label of a host name.
const LABEL_MAX: usize = 63;
/// The lowest port besides that of HTTPS: those below belong to services of other protocols.
const PORT_MIN: u16 = 1_024;

/// What is allowed beyond public addresses by HTTPS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// Loopback addresses are, also without TLS. For tests: a customer could reach what listens on this machine.
    pub allow_loopback: bool,
}

impl Policy {
    /// Whether a call may be connected to an address. Without TLS only to loopback.
    pub fn allows(self, scheme: Scheme, address: IpAddr) -> bool {
        let loopback = self.allow_loopback && address.is_loopback();
        loopback || (scheme == Scheme::Https && is_public(address))
    }
}

/// How a call is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear; to loopback only.
    Http,
    /// TLS.
    Https,
}

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// By name, lower case.
    Name(String),
    /// By address.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Host::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A URL that may be called, as far as it can be told without asking for the host's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub scheme: Scheme,
    /// Who.
    pub host: Host,
    /// On which port.
    pub port: u16,
    /// Path and query, never empty.
    pub path: String,
}

/// Why a URL is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not of this form.
    #[error("must be a URL like https://example.com/path of at most 2048 characters, without a fragment")]
    Form,
    /// Neither HTTPS, nor HTTP where that is allowed.
    #[error("must begin with https://")]
    Scheme,
    /// It carries a user or a password.
    #[error("must not carry a user name or password")]
    User,
    /// The host is neither a name nor an address in its usual form.
    #[error("must name a host, or an address in its usual form")]
    Host,
    /// The port is one of other services.
    #[error("must use port 443 or one from 1024 on")]
    Port,
    /// The address is not public.
    #[error("must not lead to a private, loopback, link-local or reserved address")]
    Address,
}

impl Target {
    /// Reads a URL. Names are not looked up here: what they lead to is checked before every call.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(url: &str, policy: Policy) -> Result<Target, BadTarget> {
        if url.len() > URL_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic()) || url.contains(['\\', '#']) {
            return Err(BadTarget::Form);
        }
        let (scheme, rest) = url.split_once("://").ok_or(BadTarget::Form)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" if policy.allow_loopback => Scheme::Http,
            _ => return Err(BadTarget::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err(BadTarget::User);
        }
        let (host, port) = split_port(authority, scheme)?;
        let target = Target { scheme, host: read_host(host)?, port, path: path_of(path) };
        let is_loopback = match &target.host {
            Host::Address(address) if !policy.allows(scheme, *address) => return Err(BadTarget::Address),
            Host::Address(address) => address.is_loopback(),
            Host::Name(name) => name == "localhost",
        };
        if !is_loopback && target.port != 443 && target.port < PORT_MIN {
            return Err(BadTarget::Port);
        }
        Ok(target)
    }

    /// Host and port as the header `Host` has them.
    pub fn authority(&self) -> String {
        match (self.scheme, self.port) {
            (Scheme::Https, 443) | (Scheme::Http, 80) => self.host.to_string(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }
}

fn path_of(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn split_port(authority: &str, scheme: Scheme) -> Result<(&str, u16), BadTarget> {
    let usual = if scheme == Scheme::Https { 443 } else { 80 };
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after_address..].find(':').map(|at| at + after_address) else {
        return Ok((authority, usual));
    };
    let digits = &authority[colon + 1..];
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let port = digits.parse().ok().filter(|_| plain).ok_or(BadTarget::Form)?;
    Ok((&authority[..colon], port))
}

/// An address only in the one form that everybody reads alike: `0x7f.1`, `2130706433` and `127.1` are no host names.
fn read_host(text: &str) -> Result<Host, BadTarget> {
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(BadTarget::Host)?;
        return inner.parse::<Ipv6Addr>().map(|a| Host::Address(a.into())).map_err(|_| BadTarget::Host);
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(address.into()));
    }
    let name = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= LABEL_MAX
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if name.len() > HOST_MAX || !name.split('.').all(is_label) {
        return Err(BadTarget::Host);
    }
    // A name whose last label is a number is read as an address by many programs (WHATWG URL, "ends in a number").
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadTarget::Host);
    }
    Ok(Host::Name(name))
}

/// Whether an address belongs to the public Internet (IANA special-purpose registries for IPv4 and IPv6): not private,
/// shared (RFC 6598), loopback, link-local with its metadata services, multicast, reserved, for documentation, nor one
/// that carries an IPv4 address inside (v4-mapped, NAT64, 6to4, Teredo).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    /// The platform service of a large cloud, at an address that looks public.
    const WIRE_SERVER: [u8; 4] = [168, 63, 129, 16];
    let octets = address.octets();
    let [a, b, c, _] = octets;
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 31, 196)
            | (192, 52, 193)
            | (192, 88, 99)
            | (192, 168, _)
            | (192, 175, 48)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, ..)
    );
    !special && octets != WIRE_SERVER
}

/// Of IPv6 only 2000::/3 is given out; v4-mapped, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), local and multicast addresses lie
/// outside of it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let s = address.segments();
    let given_out = (s[0] & 0xe000) == 0x2000;
    let special = matches!(
        (s[0], s[1]),
        (0x2001, 0x0000..=0x01ff) // Protocol assignments with Teredo and ORCHID, 2001::/23.
            | (0x2001, 0x0db8)    // Documentation.
            | (0x2002, _)         // 6to4.
            | (0x2620, 0x004f)    // AS112, 2620:4f:8000::/48.
            | (0x3fff, 0x0000..=0x0fff) // Documentation, 3fff::/20.
    );
    given_out && !special
}
