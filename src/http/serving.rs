//! Serving a router on a listener, with a bound on connections and an orderly end.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    http::{Request, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{ending::Ending, idle_timer::IdleTimer, outflow::Outflow};

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections served at once; further ones wait to be accepted.
    pub connections: usize,
    /// How long a client may take to send a request's head, to take in a part of an answer, or stay idle
    /// between two requests.
    pub idle_timeout: Duration,
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
    bounds: Bounds,
    end: End,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Send + 'static,
    S::Future: Send,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(bounds.connections));
    let (ending, connections) = (Arc::new(Ending::default()), TaskTracker::new());
    let mut http = http1::Builder::new();
    http.header_read_timeout(bounds.idle_timeout);
    while let Some(place) = next_place(&places, &end.stop).await {
        let Some((stream, peer)) = next_stream(&listener, &end.stop).await else {
            break;
        };
        prepare(&stream, bounds);
        let stream = Outflow::new(stream, bounds.idle_timeout);
        let connection = http
            .timer(IdleTimer::default())
            .serve_connection(TokioIo::new(stream), service(peer));
        let ending = Arc::clone(&ending);
        connections.spawn(async move {
            if let Err(error) = ending.attend(connection).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    ending.begin();
    connections.close();
    tokio::select! {
        () = connections.wait() => {}
        () = end.cut.cancelled() => cut_off(&ending, &connections).await,
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
) -> Option<tokio::sync::OwnedSemaphorePermit> {
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
