//! Whether the files have changed.
//!
//! Invariant: files that are broken are told of once, and only if they are the same at two looks: a certificate and its key are two
//! files, and between the two writes they do not fit.

use std::{sync::Arc, time::SystemTime};

use tokio_rustls::rustls::ServerConfig;

use super::loaded::{Fingerprint, Loaded, digest};
use crate::config::{listener_tls::ListenerTls, login::Unusable};

/// What is known of the files.
pub(super) struct Looking {
    /// The files that are shown.
    shown: Fingerprint,
    /// The certificate among them.
    certificate: Option<[u8; 32]>,
    until: Option<SystemTime>,
    /// Files that were broken at the last look, and whether that was told.
    broken: Option<(Fingerprint, bool)>,
}

/// What a look has found.
pub(super) enum Looked {
    /// Nothing to do.
    Same,
    /// They have changed.
    Renewed(Arc<ServerConfig>),
    /// They have changed, and cannot be used.
    Broken(Unusable),
}

impl Looking {
    pub(super) fn new(files: &ListenerTls, shown: Fingerprint, until: Option<SystemTime>) -> Self {
        Self {
            shown,
            certificate: digest(files.certificate()),
            until,
            broken: None,
        }
    }

    /// Until when the certificate that is shown is valid.
    pub(super) const fn until(&self) -> Option<SystemTime> {
        self.until
    }

    pub(super) fn look(&mut self, files: &ListenerTls, now: SystemTime) -> Looked {
        let found = Fingerprint::of(files);
        if found == self.shown {
            self.broken = None;
            return Looked::Same;
        }
        // Also of files that were broken: one that was not valid yet may be now.
        let certificate = digest(files.certificate());
        match Loaded::newer(files, self.certificate, now) {
            Ok(loaded) => {
                (self.shown, self.until, self.broken) = (found, loaded.until, None);
                self.certificate = certificate;
                Looked::Renewed(loaded.config)
            }
            Err(why) => {
                let (is_known, is_told) = match self.broken {
                    Some((same, is_told)) if same == found => (true, is_told),
                    _ => (false, false),
                };
                self.broken = Some((found, is_known));
                if is_known && !is_told {
                    Looked::Broken(why)
                } else {
                    Looked::Same
                }
            }
        }
    }
}
