//! Serving a router on a listener, with a bound on connections and an orderly end.
//!
//! Invariants: nothing that a client does or leaves undone holds up the next accept; before its first request a client has a place no
//! longer than its handshake may take.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    http::{HeaderValue, Request, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    crowd::{Crowd, Seat},
    ending::Ending,
    idle_timer::IdleTimer,
    outflow::Outflow,
    strict::strict,
    tls::Certificates,
};
use crate::{domain::Network, telemetry::metric};

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections served at once; further ones wait to be accepted.
    pub connections: usize,
    /// Those of one address; further ones are closed. 0 = no limit.
    pub per_address: usize,
    /// How long a client may take to take in a part of an answer, or stay idle between two requests.
    pub idle_timeout: Duration,
    /// How long it may take for the handshake of TLS, and from a head's first byte to its end.
    pub head_timeout: Duration,
    /// The largest head.
    pub head_bytes: usize,
    /// The most headers in it.
    pub headers: usize,
}

/// A listener, and what stands around it.
pub struct Walls {
    /// As metrics and the log call it.
    pub name: &'static str,
    /// Its bounds.
    pub bounds: Bounds,
    /// Addresses that speak for many clients.
    pub proxies: Arc<[Network]>,
    /// Absent = plain HTTP.
    pub tls: Option<Tls>,
}

/// TLS of a listener.
#[derive(Clone)]
pub struct Tls {
    /// What it shows of itself.
    pub certificates: Arc<Certificates>,
    /// How long browsers are to keep to TLS; 0 = nothing is said of it.
    pub strict_s: u64,
}

/// How serving ends.
#[derive(Debug, Clone)]
pub struct End {
    /// No more requests: those under way are answered.
    pub stop: CancellationToken,
    /// Nothing more at all: whoever has not finished by now is cut off.
    pub cut: CancellationToken,
}

/// Pause after a failed accept: the usual cause is that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The headers that hyper takes without a bound of ours. To name a bound costs each request an allocation, so it is named only where
/// it is another one.
const USUAL_HEADERS: usize = 100;

/// A router as a service.
pub fn routed(
    router: Router,
) -> impl Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    TowerToHyperService::new(router)
}

/// The other end of a connection, for those who ask for it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// A service whose requests say where they come from.
#[derive(Debug, Clone)]
pub struct From<S> {
    service: S,
    peer: IpAddr,
}

/// The service of a connection from there.
pub const fn from<S>(service: S, peer: IpAddr) -> From<S> {
    From { service, peer }
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for From<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<B>) -> S::Future {
        request.extensions_mut().insert(Peer(self.peer));
        self.service.call(request)
    }
}

/// Accepts until told to stop, then returns once the requests under way are answered, or cut off. Idle
/// connections are closed at once. Each connection gets the service of its other end's address.
pub async fn serve<S, B>(
    listener: TcpListener,
    service: impl Fn(IpAddr) -> S + Send,
    walls: Walls,
    end: End,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let bounds = walls.bounds;
    let places = Arc::new(Semaphore::new(bounds.connections));
    let crowd = Crowd::new(bounds.per_address, Arc::clone(&walls.proxies));
    let (ending, connections) = (Arc::new(Ending::default()), TaskTracker::new());
    let keep = walls.tls.as_ref().and_then(Tls::strict);
    while let Some(place) = next_place(&places, &end.stop).await {
        let Some((stream, peer)) = next_stream(&listener, &end.stop).await else {
            break;
        };
        let Some(seat) = crowd.seat(peer) else {
            refused(walls.name, "address");
            continue;
        };
        prepare(&stream, bounds);
        let stream = Outflow::new(stream, bounds.idle_timeout);
        let attended = Attended {
            service: service(peer),
            bounds,
            ending: Arc::clone(&ending),
            place: (place, seat),
        };
        match &walls.tls {
            None => connections.spawn(attended.attend(stream)),
            Some(tls) => {
                let acceptor = tls.certificates.acceptor();
                let attended = attended.keeping_to_tls(keep.clone());
                connections.spawn(attended.attend_over_tls(stream, acceptor, walls.name))
            }
        };
    }
    drop(listener);
    ending.begin();
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = end.cut.cancelled() => cut_off(&ending, &connections).await,
    }
}

/// A connection of one client.
struct Attended<S> {
    service: S,
    bounds: Bounds,
    ending: Arc<Ending>,
    /// Given back when the connection ends.
    place: (OwnedSemaphorePermit, Seat),
}

impl<S, B> Attended<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    /// The same, whose answers tell browsers to keep to TLS, if anything is to be told.
    fn keeping_to_tls(
        self,
        told: Option<HeaderValue>,
    ) -> Attended<
        impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send,
    >
    where
        S: Send,
        S::Future: Send,
    {
        Attended {
            service: strict(self.service, told),
            bounds: self.bounds,
            ending: self.ending,
            place: self.place,
        }
    }

    async fn attend(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let timer = IdleTimer::new(self.bounds.head_timeout);
        let stream = TokioIo::new(timer.hear(stream));
        let mut http = http1::Builder::new();
        http.header_read_timeout(self.bounds.idle_timeout)
            .max_header_size(self.bounds.head_bytes)
            .timer(timer);
        if self.bounds.headers != USUAL_HEADERS {
            http.max_headers(self.bounds.headers);
        }
        let connection = http.serve_connection(stream, self.service);
        if let Err(error) = self.ending.attend(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    /// The handshake is in the connection's own task, so nobody waits for it.
    async fn attend_over_tls(
        self,
        stream: Outflow<TcpStream>,
        acceptor: TlsAcceptor,
        name: &'static str,
    ) {
        let shaken = tokio::select! {
            () = self.ending.begun() => return,
            shaken = shake_hands(stream, &acceptor, self.bounds.head_timeout) => shaken,
        };
        match shaken {
            Ok(stream) => self.attend(stream).await,
            Err(why) => refused(name, why),
        }
    }
}

/// Boxed: what a handshake needs is large, and each connection would keep room for it.
async fn shake_hands(
    stream: Outflow<TcpStream>,
    acceptor: &TlsAcceptor,
    patience: Duration,
) -> Result<Box<TlsStream<Outflow<TcpStream>>>, &'static str> {
    match timeout(patience, Box::pin(acceptor.accept(stream))).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a handshake failed");
            Err("handshake")
        }
        Err(_elapsed) => Err("late"),
    }
}

fn refused(listener: &'static str, why: &'static str) {
    metrics::counter!(metric::CONNECTIONS_REFUSED, "listener" => listener, "why" => why)
        .increment(1);
}

impl Tls {
    /// `Strict-Transport-Security` (RFC 6797), if anything is to be said.
    fn strict(&self) -> Option<HeaderValue> {
        let text = format!("max-age={}", self.strict_s);
        let value = HeaderValue::try_from(text).expect("a number is visible ASCII");
        (self.strict_s > 0).then_some(value)
    }
}

/// Ends what clients do not: one that neither reads nor closes must not hold up the rest of a stop.
async fn cut_off(ending: &Ending, connections: &TaskTracker) {
    tracing::warn!(
        connections = connections.len(),
        "connections that did not end were cut off"
    );
    ending.cut();
    connections.wait().await;
}

/// Refusals of the system are passed over: both settings only make a good connection better.
fn prepare(stream: &TcpStream, bounds: Bounds) {
    // Answers are small and complete: waiting to fill a segment only delays them.
    let _refused = stream.set_nodelay(true);
    // A client that takes in nothing of its answer keeps its place only so long.
    #[cfg(target_os = "linux")]
    let _refused = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(bounds.idle_timeout));
    #[cfg(not(target_os = "linux"))]
    let _ = bounds;
}

async fn next_place(
    places: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        () = stop.cancelled() => None,
        place = Arc::clone(places).acquire_owned() => place.ok(),
    }
}

async fn next_stream(
    listener: &TcpListener,
    stop: &CancellationToken,
) -> Option<(TcpStream, IpAddr)> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => return Some((stream, peer.ip())),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
