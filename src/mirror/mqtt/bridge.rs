//! Hands rumqttc a connection that we have opened.
//!
//! The library opens its connections itself and takes none from outside; its own TLS draws a library with open
//! advisories (`docs/adr/0015`). But it can connect to a Unix socket: so we listen at one for a moment, let nobody
//! but this process in, and carry bytes between it and the broker.
//!
//! Invariant: a bridge holds back nothing for long and keeps nothing: what it has not carried yet fits into its
//! buffers and the socket's, and is lost with the connection. That is no more than what TCP may lose; the ledger
//! counts on acknowledgements alone.

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, copy_bidirectional_with_sizes},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
    time::timeout,
};

use super::{
    Endpoint,
    route::{self, Stream},
};

/// A place for the library to connect to.
#[derive(Debug)]
pub(super) struct Bridge {
    name: String,
}

impl Bridge {
    /// A place that nobody has.
    pub(super) fn new() -> Self {
        let number = rand::random::<u128>();
        Self {
            name: place(&format!("changeover-{number:032x}")),
        }
    }

    /// The place, as the library takes it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Lets the library in, once, and carries what it says to the broker.
    pub(super) fn carry(self, broker: Box<dyn Stream>, endpoint: Endpoint) -> io::Result<Crossing> {
        let listener = UnixListener::bind(&self.name)?;
        let failure = Arc::new(OnceLock::new());
        let told = Arc::clone(&failure);
        let task = tokio::spawn(async move {
            let library = admit(listener).await;
            remove(&self.name);
            if let Ok(library) = library {
                cross(library, broker, &endpoint, &told).await;
            }
        });
        Ok(Crossing { task, failure })
    }
}

/// On Linux a name that no file has, so that nothing is left behind and no folder must be writable.
#[cfg(target_os = "linux")]
fn place(name: &str) -> String {
    format!("\0{name}")
}

#[cfg(not(target_os = "linux"))]
fn place(name: &str) -> String {
    std::env::temp_dir().join(name).display().to_string()
}

#[cfg(target_os = "linux")]
fn remove(_name: &str) {}

#[cfg(not(target_os = "linux"))]
fn remove(name: &str) {
    // It may be gone already.
    let _gone = std::fs::remove_file(name);
}

/// The library connects at once, and gives up after this long.
const ADMISSION: Duration = Duration::from_secs(5);

/// Waits for the library. Whoever else finds the place would get a connection that the broker believes: only this
/// process comes in.
async fn admit(listener: UnixListener) -> io::Result<UnixStream> {
    let ours = async {
        loop {
            let (stream, _) = listener.accept().await?;
            let peer = stream.peer_cred()?.pid();
            if peer.and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id()) {
                return Ok(stream);
            }
        }
    };
    let late = |_| Err(io::ErrorKind::TimedOut.into());
    timeout(ADMISSION, ours).await.unwrap_or_else(late)
}

/// Bytes that are carried at once, each way.
const BUFFER_BYTES: usize = 32 * 1024;

/// Carries both ways until both are closed, or one fails.
async fn cross(
    mut library: UnixStream,
    mut broker: Box<dyn Stream>,
    endpoint: &Endpoint,
    failure: &OnceLock<String>,
) {
    let carried =
        copy_bidirectional_with_sizes(&mut library, &mut broker, BUFFER_BYTES, BUFFER_BYTES).await;
    if let Err(error) = carried {
        let why = match explain(&error, endpoint) {
            Some(why) => Some(why),
            None => last_words(&mut broker, endpoint).await,
        };
        // The library sees the end of its socket after this, and is asked for its reason then.
        if let Some(why) = why {
            failure.get_or_init(|| why);
        }
    }
}

/// How long the broker's last words may take to be read: they have come already, or never will.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// With TLS 1.3 a client that is not believed learns it after its first words. The failure to write more of them is
/// noticed first; the reason waits to be read.
async fn last_words(broker: &mut Box<dyn Stream>, endpoint: &Endpoint) -> Option<String> {
    let mut ignored = [0; 1024];
    let read = async {
        loop {
            match broker.read(&mut ignored).await {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => return explain(&error, endpoint),
            }
        }
    };
    timeout(LAST_WORDS, read).await.ok().flatten()
}

/// What the library cannot know: that TLS ended the connection, and why. Everything else it tells as well.
fn explain(error: &io::Error, endpoint: &Endpoint) -> Option<String> {
    let files = endpoint.tls.as_ref()?;
    route::explain(error, &endpoint.host, files)
}

/// A bridge that carries. Dropping it closes the connection at once.
#[derive(Debug)]
pub(super) struct Crossing {
    task: JoinHandle<()>,
    failure: Arc<OnceLock<String>>,
}

impl Crossing {
    /// Why the connection ended, if the bridge knows better than the library.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.get().cloned()
    }

    /// Waits until what the library said last has been carried and the broker has closed, at most `patience`.
    pub(super) async fn finish(mut self, patience: Duration) {
        let _late = timeout(patience, &mut self.task).await;
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
#[path = "bridge_tests.rs"]
mod tests;
