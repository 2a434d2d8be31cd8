//! TLS of a listener: what it shows of itself, made anew when its files change.
//!
//! Invariants: a listener has a certificate at all times, and a new one that cannot be used never takes the place of the old; a
//! connection that stands keeps what it began with. No message holds anything of a file's content.

mod loaded;
mod looking;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};
use tokio_util::sync::CancellationToken;

use self::{
    loaded::{Fingerprint, Loaded},
    looking::{Looked, Looking},
};
use crate::{
    config::{listener_tls::ListenerTls, login::Unusable},
    telemetry::metric,
};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// What a listener shows of itself, at present.
pub struct Certificates {
    listener: &'static str,
    files: ListenerTls,
    shown: ArcSwap<ServerConfig>,
    looking: Mutex<Looking>,
}

impl Certificates {
    /// Reads the files, which must be right. A certificate that has expired is shown all the same: a listener that does not start
    /// helps nobody.
    pub fn load(listener: &'static str, files: ListenerTls) -> Result<Self, Unusable> {
        let fingerprint = Fingerprint::of(&files);
        let loaded = Loaded::read(&files)?;
        let looking = Looking::new(&files, fingerprint, loaded.until);
        let certificates = Self {
            listener,
            files,
            shown: ArcSwap::from(loaded.config),
            looking: Mutex::new(looking),
        };
        certificates.report(loaded.until, SystemTime::now());
        Ok(certificates)
    }

    /// Takes the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.shown.load_full())
    }

    /// Looks at the files now and then, until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let looked = Arc::clone(&self);
            // Files may be on a disk that stands still.
            if let Err(error) = tokio::task::spawn_blocking(move || looked.look()).await {
                tracing::error!(%error, "a look at certificates failed");
            }
        }
    }

    fn look(&self) {
        let now = SystemTime::now();
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let listener = self.listener;
        match looking.look(&self.files, now) {
            Looked::Same => {}
            Looked::Renewed(config) => {
                self.shown.store(config);
                let until = looking.until().map(humantime::format_rfc3339_seconds);
                let until = until.map(tracing::field::display);
                tracing::info!(listener, until, "a new certificate is shown from now on");
            }
            Looked::Broken(why) => {
                tracing::error!(listener, %why, "the new files cannot be used: the old certificate goes on");
            }
        }
        self.report(looking.until(), now);
    }

    fn report(&self, until: Option<SystemTime>, now: SystemTime) {
        let Some(until) = until else { return };
        let seconds = match until.duration_since(now) {
            Ok(left) => left.as_secs_f64(),
            Err(over) => -over.duration().as_secs_f64(),
        };
        metrics::gauge!(metric::CERTIFICATE_EXPIRES_SECONDS, "listener" => self.listener)
            .set(seconds);
    }
}
