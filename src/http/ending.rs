//! The end of a listener, as its connections see it.
//!
//! Invariant: looking whether it has come costs a connection nothing that others feel: the flags are written
//! once each, and who is to be woken is written down once.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    task::{Context, Poll, Waker},
};

use axum::{BoxError, body::HttpBody};
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    server::conn::http1::Connection,
    service::HttpService,
};
use tokio_util::sync::CancellationToken;

/// The end of a listener.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Answers under way are the last ones.
    begun: Word,
    /// There are no more answers.
    cut: Word,
}

/// Said once, to all.
#[derive(Debug, Default)]
struct Word {
    is_said: AtomicBool,
    said: CancellationToken,
}

impl Word {
    fn say(&self) {
        self.is_said.store(true, Relaxed);
        self.said.cancel();
    }

    fn is_said(&self) -> bool {
        self.is_said.load(Relaxed)
    }
}

impl Ending {
    /// Idle connections close, the others after the answer under way.
    pub(super) fn begin(&self) {
        self.begun.say();
    }

    /// Returns once it has begun: for connections that have not come to a request yet.
    pub(super) async fn begun(&self) {
        self.begun.said.cancelled().await;
    }

    /// All connections close.
    pub(super) fn cut(&self) {
        self.cut.say();
    }

    /// Serves a connection until it closes, or as long as there are answers.
    pub(super) async fn attend<I, S, B>(&self, connection: Connection<I, S>) -> hyper::Result<()>
    where
        I: Read + Write + Unpin,
        S: HttpService<Incoming, ResBody = B>,
        S::Error: Into<BoxError>,
        B: HttpBody<Error: Into<BoxError>> + 'static,
    {
        let mut connection = pin!(connection);
        let mut begun = pin!(self.begun.said.cancelled());
        let mut cut = pin!(self.cut.said.cancelled());
        // To enlist takes a lock that all connections share, so it is done once and not at each look: the waker
        // of a task stays the same.
        let mut enlisted: Option<Waker> = None;
        let mut is_last = false;
        let serve = move |context: &mut Context<'_>| {
            let waker = context.waker();
            if !enlisted.as_ref().is_some_and(|of| of.will_wake(waker)) {
                let _begun = begun.as_mut().poll(context);
                let _cut = cut.as_mut().poll(context);
                enlisted = Some(waker.clone());
            }
            if self.cut.is_said() {
                return Poll::Ready(Ok(()));
            }
            if !is_last && self.begun.is_said() {
                is_last = true;
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(context)
        };
        poll_fn(serve).await
    }
}
