//! Where a request comes from: the socket's address, or what a trusted proxy says.

use std::net::IpAddr;

use bongsu_domain::Network;
use http::HeaderMap;
use http::request::Parts;

/// The address of the socket that a request came over; the accept loop adds it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The address of the client. `X-Forwarded-For` counts only as far as trusted proxies wrote it: from the right, the first address
/// that is no trusted proxy is the client.
pub fn address(trusted: &[Network], parts: &Parts) -> Option<IpAddr> {
    let socket = parts.extensions.get::<Peer>()?.0.to_canonical();
    Some(behind(trusted, socket, &parts.headers))
}

fn behind(trusted: &[Network], socket: IpAddr, headers: &HeaderMap) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    let mut client = socket;
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        let Some(address) = read(hop.trim()) else { break };
        client = address;
    }
    client
}

/// An address, with a port or without.
fn read(hop: &str) -> Option<IpAddr> {
    let address = hop.parse().or_else(|_| hop.parse::<std::net::SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = ["10.0.0.0/8", "::1"].map(|text| text.parse().expect("a network")).to_vec();
        let table = [
            ("203.0.113.9", "1.1.1.1", "203.0.113.9"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
            ("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
            ("10.0.0.1", "garbage, 10.0.0.2", "10.0.0.2"),
            ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
            ("::1", "[2001:db8::1]:80", "2001:db8::1"),
            ("::1", "::ffff:192.0.2.1", "192.0.2.1"),
        ];
        for (socket, forwarded, client) in table {
            let mut headers = HeaderMap::new();
            if !forwarded.is_empty() {
                headers.insert("x-forwarded-for", HeaderValue::from_static(forwarded));
            }
            let seen = behind(&trusted, socket.parse().expect("an address"), &headers);
            assert_eq!(seen.to_string(), client, "{socket} {forwarded}");
        }
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1"));
        headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.9"));
        let seen = behind(&trusted, "10.0.0.1".parse().expect("an address"), &headers);
        assert_eq!(seen.to_string(), "203.0.113.9", "the last line was added last");
    }
}
