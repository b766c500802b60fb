//! Connections to a relay: TCP without delay, with TLS around it where the relay wants it.

use std::io;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{RelayConfig, TlsConfig};

/// Where operating systems keep the certificates they trust, for relays that name none of their own.
const SYSTEM_ROOTS: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// A connection in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Makes connections to a relay.
pub trait Dial: Send + Sync {
    /// Connects to the address of `config`.
    fn dial<'a>(&'a self, config: &'a RelayConfig) -> BoxFuture<'a, Result<Box<dyn Stream>, DialError>>;
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The network or the peer refused; TLS failures come this way too.
    #[error("cannot connect")]
    Connect(#[from] io::Error),
    /// The configured certificates are no PEM.
    #[error("the certificates to trust are not readable")]
    Certificates(#[from] rustls::pki_types::pem::Error),
    /// The configured certificates cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The configured name is neither a DNS name nor an address.
    #[error("the server name is not valid")]
    ServerName(#[from] InvalidDnsNameError),
    /// No certificate is configured, and the operating system has none.
    #[error("no certificate to trust")]
    NoRoots,
}

/// TCP, and TLS over it.
pub(super) struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, config: &'a RelayConfig) -> BoxFuture<'a, Result<Box<dyn Stream>, DialError>> {
        Box::pin(async move {
            let tcp = TcpStream::connect(&config.address).await?;
            // Writes are gathered here already; Nagle's algorithm would only add its delay.
            tcp.set_nodelay(true)?;
            let Some(tls) = &config.tls else {
                return Ok(Box::new(tcp) as Box<dyn Stream>);
            };
            let name = ServerName::try_from(tls.server_name.clone())?;
            let connector = TlsConnector::from(Arc::new(client_config(tls)?));
            Ok(Box::new(connector.connect(name, tcp).await?) as Box<dyn Stream>)
        })
    }
}

fn client_config(tls: &TlsConfig) -> Result<ClientConfig, DialError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_pem {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(certificate?)?;
            }
        }
        None => {
            for path in SYSTEM_ROOTS {
                if let (true, Ok(certificates)) = (roots.is_empty(), CertificateDer::pem_file_iter(path)) {
                    // A system's bundle may hold certificates this library does not know; the others still serve.
                    roots.add_parsable_certificates(certificates.flatten());
                }
            }
        }
    }
    if roots.is_empty() {
        return Err(DialError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
