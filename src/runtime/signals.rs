//! Signals: the first asks the process to end, the second makes it.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The operator's second signal.
#[derive(Debug)]
pub struct Abort(Option<Signals>);

#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Abort {
    /// For a gateway that no signal ends but the program around it: nothing cuts its end short.
    pub const fn never() -> Self {
        Self(None)
    }

    /// Returns at the second signal.
    pub async fn requested(self) {
        match self.0 {
            Some(mut signals) => signals.next().await,
            None => std::future::pending().await,
        }
    }
}

/// Starts to listen for SIGTERM and SIGINT. The future returns at the first one, with the wait for the second.
pub fn shutdown_signal() -> std::io::Result<impl Future<Output = Abort>> {
    let mut signals = Signals::listen()?;
    Ok(async move {
        signals.next().await;
        Abort(Some(signals))
    })
}
