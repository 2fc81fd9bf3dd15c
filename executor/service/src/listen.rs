//! Connections: how many, over TLS or not, and how long one may take to send its request.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::http::Peer;
use super::place::Listener;

/// Connections at once.
const MOST_CONNECTIONS: usize = 1_024;
/// How long a request's head may take to come.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most.
const MOST_HEAD_BYTES: usize = 16 << 10;
/// How long a TLS handshake may take.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Reads a certificate chain and its key, in PEM.
pub(super) fn tls(certificates: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let malformed = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let chain = CertificateDer::pem_reader_iter(BufReader::new(File::open(certificates)?))
        .collect::<Result<Vec<_>, _>>()
        .map_err(malformed)?;
    let key = PrivateKeyDer::from_pem_reader(BufReader::new(File::open(key)?)).map_err(malformed)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(invalid)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves until the listener fails for good.
pub(super) async fn serve(listener: Listener, tls: Option<TlsAcceptor>, router: Router) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return Ok(()) };
        let (stream, peer) = match accept(&listener).await {
            Ok(accepted) => accepted,
            // Out of files, or a client that was gone at once: neither is a reason to stop.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            let _place = place;
            attend(stream, peer, tls, router).await;
        });
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<(Stream, Peer)> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, address) = listener.accept().await?;
            Ok((Stream::Tcp(stream), Peer::Address(address)))
        }
        Listener::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            let uid = stream.peer_cred()?.uid();
            Ok((Stream::Unix(stream), Peer::Account(uid)))
        }
    }
}

async fn attend(stream: Stream, peer: Peer, tls: Option<TlsAcceptor>, router: Router) {
    let stream = match stream {
        Stream::Tcp(stream) => stream,
        // Only this machine's kernel is between the two.
        Stream::Unix(stream) => return speak(stream, peer, router).await,
    };
    // Events are small and must not wait for more.
    let _ = stream.set_nodelay(true);
    match tls {
        None => speak(stream, peer, router).await,
        Some(tls) => {
            let shaken = tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(stream)).await;
            if let Ok(Ok(stream)) = shaken {
                speak(stream, peer, router).await;
            }
        }
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, router: Router) {
    let router = router.layer(axum::Extension(peer));
    let result = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MOST_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = result {
        tracing::debug!(%error, ?peer, "a connection ended early");
    }
}
