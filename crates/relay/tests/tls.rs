//! TLS to a relay over a real socket, with a certificate authority made for the test.
#![allow(clippy::unwrap_used, reason = "the helpers belong to the tests")]

use std::sync::Arc;
use std::time::Duration;

use bongsu_domain::time::{Clock, ManualClock, Timestamp};
use bongsu_relay::smpp::start;
use bongsu_relay::{Event, RelayConfig, TlsConfig};
use bongsu_wire::smpp::{BindKind, CommandId, FRAME_MAX, decode, encode_bind_resp, status};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(30);

/// An authority in PEM, and a server with its certificate for `name`.
fn authority(name: &str) -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca = params.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(params, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    (ca.pem(), TlsAcceptor::from(Arc::new(config)))
}

async fn bind_over(acceptor: TlsAcceptor, tls: TlsConfig) -> (Vec<Event>, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(tcp).await else {
            return None;
        };
        let mut input = Vec::new();
        loop {
            if let Some((frame, _)) = decode(&input, FRAME_MAX).unwrap() {
                assert_eq!(frame.id, CommandId::BIND_TRANSCEIVER);
                let mut out = Vec::new();
                encode_bind_resp(BindKind::Transceiver, status::ESME_ROK, frame.sequence, b"smsc", &mut out).unwrap();
                stream.write_all(&out).await.unwrap();
                stream.flush().await.unwrap();
                return Some(stream);
            }
            assert_ne!(stream.read_buf(&mut input).await.unwrap(), 0);
        }
    });
    let (events_in, mut events) = mpsc::channel(16);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_secs(1)));
    let config = RelayConfig { tls: Some(tls), ..RelayConfig::new(1, "tls", &address) };
    let relay = start(config, events_in, Arc::new(Notify::new()), clock, 1);
    let stream = timeout(PATIENCE, server).await.expect("the server is reached").unwrap();
    let mut told = Vec::new();
    if stream.is_some() {
        told = timeout(PATIENCE, events.recv()).await.expect("the link comes up").unwrap();
    } else {
        while relay.health().counters.bind_failures == 0 {
            tokio::task::yield_now().await;
        }
    }
    (told, relay.health().counters.bind_failures)
}

#[tokio::test]
async fn a_certificate_of_the_configured_authority_is_accepted() {
    let (ca_pem, acceptor) = authority("relay.test");
    let tls = TlsConfig { ca_pem: Some(ca_pem), server_name: "relay.test".to_owned() };
    let (events, failures) = bind_over(acceptor, tls).await;
    assert!(matches!(events[..], [Event::Link { up: true, binds: 1, .. }]), "{events:?}");
    assert_eq!(failures, 0);
}

#[tokio::test]
async fn another_authority_or_name_is_refused() {
    let (ca_pem, acceptor) = authority("relay.test");
    let (other_pem, _) = authority("relay.test");
    for (pem, name) in [(other_pem, "relay.test"), (ca_pem, "other.test")] {
        let tls = TlsConfig { ca_pem: Some(pem), server_name: name.to_owned() };
        let (events, failures) = bind_over(acceptor.clone(), tls).await;
        assert!(events.is_empty());
        assert!(failures > 0);
    }
}
