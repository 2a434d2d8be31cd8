//! What stands before the library: it accepts, and hands over.
//!
//! Invariants: nothing that a client does or leaves undone holds up the next accept; until the gate has let it in, a client has its place no
//! longer than `broker.connect_timeout_ms`, only while nobody newer needs it, and few bytes (`first_packet.rs`); every connection ends with the front.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mqtt5::broker::transport::BrokerTransport;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::{
    engine::{Engine, Over},
    first_packet::{Measured, announced},
    gate::Gate,
    visit::Visit,
    waiting::{Place, Waiting},
    websocket,
};
use crate::{config::broker::Broker, telemetry::metric};

/// Pause after a failed accept: the usual cause is that file descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long connections may take to end in order.
const ENDING: Duration = Duration::from_secs(5);

/// How clients speak at a port.
#[derive(Debug, Clone, Copy)]
pub(super) enum Speech {
    /// MQTT.
    Plain,
    /// MQTT in messages of WebSocket.
    WebSocket,
}

/// The front of one broker.
#[derive(Clone)]
pub(super) struct Front {
    engine: Arc<Engine>,
    gate: Arc<Gate>,
    waiting: Arc<Waiting>,
    patience: Duration,
    packet_bytes: usize,
    connections: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Front {
    /// A front that accepts until `stop`.
    pub(super) fn new(
        bounds: &Broker,
        engine: Arc<Engine>,
        gate: Arc<Gate>,
        stop: CancellationToken,
    ) -> Self {
        let waiting = Waiting::new(bounds.max_waiting, bounds.max_waiting_per_address);
        Self {
            engine,
            gate,
            waiting: Arc::new(waiting),
            patience: Duration::from_millis(bounds.connect_timeout_ms),
            packet_bytes: bounds.packet_bytes,
            connections: TaskTracker::new(),
            stop,
            cut: CancellationToken::new(),
        }
    }

    /// Cuts all connections off that are left when it is dropped: nothing outlives whoever serves.
    pub(super) fn guard(&self) -> DropGuard {
        self.cut.clone().drop_guard()
    }

    /// Accepts at one port until told to stop.
    pub(super) async fn accept(&self, listener: TcpListener, speech: Speech) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let visitor = Visitor {
                        stream,
                        peer,
                        speech,
                        over: self.engine.over(),
                    };
                    let place = self.waiting.enter(peer.ip());
                    self.connections.spawn(self.clone().attend(visitor, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Ends all connections: in order, or not.
    pub(super) async fn end(&self) {
        self.engine.end();
        self.connections.close();
        if timeout(ENDING, self.connections.wait()).await.is_err() {
            let connections = self.connections.len();
            tracing::warn!(connections, "connections that did not end were cut off");
            self.cut.cancel();
            self.connections.wait().await;
        }
    }

    async fn attend(self, visitor: Visitor, place: Place) {
        let (turned_out, speech) = (place.turned_out(), visitor.speech);
        let visit = Arc::new(Visit::new(Arc::clone(&self.gate), place));
        let admitted = visit.admitted();
        let late = sleep(self.patience);
        let mut served = Box::pin(self.serve(visitor, visit));
        // What is served goes first: it is dropped only if it has not been let in.
        let why = tokio::select! {
            biased;
            () = &mut served => return,
            () = admitted.cancelled() => None,
            () = self.stop.cancelled() => return,
            () = self.cut.cancelled() => return,
            () = turned_out.cancelled() => Some("crowded"),
            () = late => Some("late"),
        };
        if let Some(why) = why {
            return refused(speech, why);
        }
        tokio::select! {
            () = served => {}
            () = self.cut.cancelled() => {}
        }
    }

    async fn serve(&self, visitor: Visitor, visit: Arc<Visit>) {
        // A refusal is passed over: waiting to fill a segment only delays what is small and complete.
        let _refused = visitor.stream.set_nodelay(true);
        let (speech, peer, over) = (visitor.speech, visitor.peer, visitor.over);
        let begun = match speech {
            Speech::Plain => begin(visitor.stream).await,
            Speech::WebSocket => self.shake_hands(visitor.stream, &visit).await,
        };
        let transport = match begun {
            Ok(transport) => transport,
            Err(Some(why)) => return refused(speech, why),
            Err(None) => return,
        };
        let handler = self.engine.handler(transport, peer, visit, over);
        if let Err(error) = handler.run().await {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn shake_hands(&self, stream: TcpStream, visit: &Visit) -> Begun {
        let stream = Measured::new(stream, visit.admitted());
        let shaken = websocket::accept(stream, self.packet_bytes).await;
        shaken.map_err(|error| {
            tracing::debug!(%error, "a handshake failed");
            Some("handshake")
        })
    }
}

/// A connection that the library can read from; or what it is counted as, if it was refused.
type Begun = Result<BrokerTransport, Option<&'static str>>;

async fn begin(stream: TcpStream) -> Begun {
    match announced(&stream).await {
        Ok(()) => Ok(BrokerTransport::tcp(stream)),
        Err(unfit) => {
            tracing::debug!(error = %unfit, "a connection does not begin with a CONNECT that is taken");
            Err(unfit.counted())
        }
    }
}

/// Who has just come.
struct Visitor {
    stream: TcpStream,
    peer: SocketAddr,
    speech: Speech,
    over: Over,
}

fn refused(speech: Speech, why: &'static str) {
    let listener = match speech {
        Speech::Plain => "mqtt",
        Speech::WebSocket => "websocket",
    };
    metrics::counter!(metric::CONNECTIONS_REFUSED, "listener" => listener, "why" => why)
        .increment(1);
}
