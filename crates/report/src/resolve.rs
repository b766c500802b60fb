//! Which address a call is connected to: looked up here and checked, so that nobody is led inside by a name.

use std::net::{IpAddr, SocketAddr};

use bongsu_domain::webhook::{Host, Policy, Target};

use crate::client::Refused;

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// The addresses of a target, each of which may be called. One that may not refuses the whole: a name that leads to both is
/// a mistake or an attack.
pub async fn addresses(target: &Target, policy: Policy) -> Result<Vec<SocketAddr>, Refused> {
    let found: Vec<IpAddr> = match &target.host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => {
            let found = tokio::net::lookup_host((name.as_str(), target.port)).await;
            found.map_err(|_| Refused::NotFound)?.map(|address| address.ip()).collect()
        }
    };
    if found.is_empty() {
        return Err(Refused::NotFound);
    }
    if found.iter().any(|address| !policy.allows(target.scheme, *address)) {
        return Err(Refused::Address);
    }
    Ok(found.into_iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(address, target.port)).collect())
}
