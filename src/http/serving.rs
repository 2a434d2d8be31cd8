//! Serving a router on a listener, with a bound on connections and an orderly end.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    http::{Request, Response},
};
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections served at once; further ones wait to be accepted.
    pub connections: usize,
    /// How long a client may take to send a request's head, to take in an answer, or stay idle between
    /// two requests.
    pub idle_timeout: Duration,
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

/// Accepts until told to stop, then returns once the requests under way are answered. Idle
/// connections are closed at once.
pub async fn serve<S, B>(listener: TcpListener, service: S, bounds: Bounds, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone,
    S: Send + 'static,
    S::Future: Send,
    B: HttpBody<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.idle_timeout);
    while let Some(place) = next_place(&places, &stop).await {
        let Some(stream) = next_stream(&listener, &stop).await else {
            break;
        };
        prepare(&stream, bounds);
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
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

async fn next_stream(listener: &TcpListener, stop: &CancellationToken) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => return Some(stream),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
