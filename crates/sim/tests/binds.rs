//! How many sessions a system id may have.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use bongsu_sim::{Script, Sim};
use bongsu_wire::smpp::{self, BindKind, CommandId, status};
use common::{Client, Pdu, sim};

const KINDS: [BindKind; 3] = [BindKind::Transceiver, BindKind::Transmitter, BindKind::Receiver];

/// The session, or the status that it was refused with.
async fn bind(sim: &Sim, kind: BindKind, system_id: &str) -> Result<Client, u32> {
    let mut client = Client::connect(sim.addr("kt")).await;
    match client.bind(kind, system_id, "").await {
        status::ESME_ROK => Ok(client),
        refused => {
            assert!(client.next().await.is_none(), "a refused bind ends the connection");
            Err(refused)
        }
    }
}

async fn unbind(mut client: Client) {
    let mut unbind = Vec::new();
    smpp::encode_header_only(CommandId::UNBIND, 0, 9, &mut unbind);
    client.send(&unbind).await;
    assert!(matches!(client.next().await, Some(Pdu::Other { id: CommandId::UNBIND_RESP, status: 0, .. })));
}

#[tokio::test]
async fn a_further_bind_of_the_same_system_id_is_refused() {
    for kind in KINDS {
        let sim = sim(r#"{"relays": {"kt": {"bindsMax": 2}}}"#);
        let first = bind(&sim, BindKind::Transceiver, "bongsu").await.unwrap();
        let _second = bind(&sim, BindKind::Transmitter, "bongsu").await.unwrap();
        assert_eq!(bind(&sim, kind, "bongsu").await.err(), Some(status::ESME_RBINDFAIL), "{kind:?}");
        let _neighbour = bind(&sim, kind, "neighbour").await.unwrap();
        let stats = &sim.stats()["kt"];
        assert_eq!((stats.binds, stats.bound, stats.most_binds, stats.binds_refused), (3, 3, 2, 1));
        unbind(first).await;
        let _third = bind(&sim, kind, "bongsu").await.unwrap();
        assert_eq!(bind(&sim, kind, "bongsu").await.err(), Some(status::ESME_RBINDFAIL), "{kind:?}");
        sim.shutdown().await;
    }
}

#[tokio::test]
async fn a_script_may_change_the_most_and_a_stop_frees_all() {
    let sim = sim("{}");
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(bind(&sim, BindKind::Transceiver, "bongsu").await.unwrap());
    }
    sim.set_script(Script::parse(r#"{"relays": {"kt": {"bindsMax": 3}}}"#).unwrap()).unwrap();
    assert_eq!(bind(&sim, BindKind::Transceiver, "bongsu").await.err(), Some(status::ESME_RBINDFAIL));
    // Those that were bound before work on.
    for (n, session) in (0..).zip(&mut sessions) {
        session.submit(2, "01012345678", n, "x").await;
        assert_eq!(session.answer().await.0, status::ESME_ROK);
    }
    let stats = &sim.stats()["kt"];
    assert_eq!((stats.bound, stats.most_binds), (5, 5));
    sim.stop_relay("kt").await.unwrap();
    sim.start_relay("kt").await.unwrap();
    let mut again = Vec::new();
    for _ in 0..3 {
        again.push(bind(&sim, BindKind::Transceiver, "bongsu").await.unwrap());
    }
    assert_eq!(bind(&sim, BindKind::Transceiver, "bongsu").await.err(), Some(status::ESME_RBINDFAIL));
    let stats = &sim.stats()["kt"];
    assert_eq!((stats.bound, stats.most_binds, stats.binds_refused), (3, 5, 2));
    sim.shutdown().await;
}
