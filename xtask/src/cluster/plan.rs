//! Who runs on which port: several instances of every role on one machine.

use anyhow::Result;

use crate::services::free_port;

/// How far the ports of one role are from those of the next.
const ROLE_STEP: u16 = 100;
/// Where the ports of the simulated relays begin, above the first port.
const SIMULATORS: u16 = 600;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes requests.
    Api,
    /// Sends to relays.
    Dispatch,
    /// Looks after what nobody waits for: expiry, retention, webhooks, schedules.
    Report,
}

impl Role {
    const ALL: [Self; 3] = [Self::Api, Self::Dispatch, Self::Report];

    /// What `--roles` gives it.
    pub fn roles(self) -> &'static str {
        match self {
            Self::Report => "report,schedule",
            other => other.name(),
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Dispatch => "dispatch",
            Self::Report => "report",
        }
    }
}

/// How many processes of each role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub api: u16,
    pub dispatch: u16,
    pub report: u16,
}

impl Shape {
    /// Two that take, two that send, one that reports.
    pub const USUAL: Self = Self { api: 2, dispatch: 2, report: 1 };

    fn of(self, role: Role) -> u16 {
        match role {
            Role::Api => self.api,
            Role::Dispatch => self.dispatch,
            Role::Report => self.report,
        }
    }
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Like `dispatch-2`.
    pub name: String,
    /// What it does.
    pub role: Role,
    /// Its port on loopback; the same over all its starts.
    pub port: u16,
}

/// All ports of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The processes, those that take requests first.
    pub seats: Vec<Seat>,
    /// SMPP ports of the relays.
    pub relays: Vec<(String, u16)>,
}

impl Plan {
    /// Free ports near the usual ones, which begin at `first`: api from `first + 1`, dispatch 100 above, report 200 above,
    /// relays 600 above.
    pub fn make(first: u16, shape: Shape, relays: &[&str]) -> Result<Self> {
        let mut taken = Vec::new();
        let mut take = |wanted: u16| -> Result<u16> {
            let port = free_port(wanted, &taken)?;
            taken.push(port);
            Ok(port)
        };
        let mut seats = Vec::new();
        for (step, role) in (0..).zip(Role::ALL) {
            for number in 1..=shape.of(role) {
                let port = take(first + step * ROLE_STEP + number)?;
                seats.push(Seat { name: format!("{}-{number}", role.name()), role, port });
            }
        }
        let mut wires = Vec::new();
        for (number, name) in (1..).zip(relays) {
            wires.push(((*name).to_owned(), take(first + SIMULATORS + number)?));
        }
        Ok(Self { seats, relays: wires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let plan = Plan::make(15_000, Shape { api: 3, dispatch: 2, report: 2 }, &["kt", "skt"]).expect("free ports");
        let mut ports: Vec<u16> = plan.seats.iter().map(|seat| seat.port).collect();
        ports.extend(plan.relays.iter().map(|(_, port)| *port));
        let all = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!((all, ports.len()), (9, 9));
    }

    #[test]
    fn names_count_by_role() {
        let plan = Plan::make(15_000, Shape::USUAL, &[]).expect("free ports");
        let names: Vec<&str> = plan.seats.iter().map(|seat| seat.name.as_str()).collect();
        assert_eq!(names, ["api-1", "api-2", "dispatch-1", "dispatch-2", "report-1"]);
    }
}
