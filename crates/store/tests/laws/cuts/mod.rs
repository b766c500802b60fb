//! Connections that break anywhere: nothing half done, the truth told, and the store goes on.

mod commits;
mod plans;
mod points;
mod proxy;
mod restarts;
mod server;

use std::time::Duration;

use crate::ground::Ground;
use crate::house::{House, house_on};
use proxy::Proxy;

/// A house whose connections go by a way that can break.
pub fn house_by_way() -> (Proxy, House) {
    let proxy = Proxy::to(&crate::ground::server());
    let house = house_on(Ground::by_way_of(proxy.port), None);
    (proxy, house)
}

/// Waits for something that comes without being told; fails when it does not come.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..12_000 {
        if is_so() {
            return;
        }
        looks.tick().await;
    }
    panic!("it never came");
}
