//! Serving a router on a listener, with a bound on connections and an orderly end.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Body, HttpBody},
    http::{Request, Response},
};
use hyper::{
    body::Incoming,
    server::conn::http1::{self, Connection},
    service::{HttpService, Service},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::idle_timer::IdleTimer;

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
    let (ending, connections) = (Arc::new(Ending::default()), TaskTracker::new());
    let mut http = http1::Builder::new();
    http.header_read_timeout(bounds.idle_timeout);
    while let Some(place) = next_place(&places, &stop).await {
        let Some(stream) = next_stream(&listener, &stop).await else {
            break;
        };
        prepare(&stream, bounds);
        let connection = http
            .timer(IdleTimer::default())
            .serve_connection(TokioIo::new(stream), service.clone());
        let ending = Arc::clone(&ending);
        connections.spawn(async move {
            if let Err(error) = attend(connection, &ending).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    ending.begin();
    connections.close();
    connections.wait().await;
}

/// The end of a listener, as its connections see it.
#[derive(Debug, Default)]
struct Ending {
    /// Written once: looking at it costs a connection nothing, however many of them look.
    has_begun: AtomicBool,
    told: CancellationToken,
}

impl Ending {
    fn begin(&self) {
        self.has_begun.store(true, Relaxed);
        self.told.cancel();
    }
}

/// Serves a connection; once the end has begun, until the request under way is answered.
async fn attend<S, B>(
    connection: Connection<TokioIo<TcpStream>, S>,
    ending: &Ending,
) -> hyper::Result<()>
where
    S: HttpService<Incoming, ResBody = B>,
    S::Error: Into<BoxError>,
    B: HttpBody<Error: Into<BoxError>> + 'static,
{
    let (mut connection, mut told) = (pin!(connection), pin!(ending.told.cancelled()));
    // Who is woken by the end. Asking to be told takes a lock that all connections share, so it is done
    // once and not at each look: the waker of a task stays the same.
    let mut enlisted = None;
    let mut is_told = false;
    poll_fn(move |context| {
        let waker = context.waker();
        if !enlisted
            .as_ref()
            .is_some_and(|of: &Waker| of.will_wake(waker))
        {
            let _begun = told.as_mut().poll(context);
            enlisted = Some(waker.clone());
        }
        if !is_told && ending.has_begun.load(Relaxed) {
            is_told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    })
    .await
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
