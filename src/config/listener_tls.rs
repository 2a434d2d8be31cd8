//! `[server.public_tls]` and `[server.private_tls]`: what a listener shows of itself, and whom it lets in.

use std::{path::PathBuf, time::SystemTime};

use serde::{Deserialize, Serialize};

use super::{
    Problems,
    login::Unusable,
    pem::{self, Age, Named},
};

/// TLS of a listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerTls {
    /// The certificate and what leads from it to its CA, in PEM.
    pub cert_file: PathBuf,
    /// Its key, in PEM.
    pub key_file: PathBuf,
    /// CAs in PEM: only clients with a certificate of one of them are let in. Absent = all.
    pub client_ca_file: Option<PathBuf>,
}

impl ListenerTls {
    /// The file of the certificate.
    pub fn certificate(&self) -> Named<'_> {
        Named::new("cert_file", &self.cert_file)
    }

    /// The file of its key.
    pub fn key(&self) -> Named<'_> {
        Named::new("key_file", &self.key_file)
    }

    /// The file of the CAs of clients.
    pub fn client_ca(&self) -> Option<Named<'_>> {
        let path = self.client_ca_file.as_ref()?;
        Some(Named::new("client_ca_file", path))
    }

    pub(super) fn validate(&self, path: &str, problems: &mut Problems) {
        for (key, file) in [("cert_file", &self.cert_file), ("key_file", &self.key_file)] {
            if file.as_os_str().is_empty() {
                problems.push(
                    format!("{path}.{key}"),
                    "must name a file in PEM: TLS needs a certificate and its key",
                );
            }
        }
    }

    /// Looks at the files as they are `now`: with problems the listener cannot be opened or is not believed, warnings will be
    /// problems one day.
    pub fn look(
        &self,
        path: &str,
        now: SystemTime,
        problems: &mut Problems,
        warnings: &mut Problems,
    ) {
        let mut unusable = pem::problems(self.certificate(), self.key());
        unusable.extend(self.client_ca().and_then(|file| file.roots().err()));
        match pem::age(self.certificate(), now) {
            Age::Good => {}
            Age::Ending(Unusable { key, why }) => warnings.push(format!("{path}.{key}"), why),
            Age::Bad(why) => unusable.push(why),
        }
        for Unusable { key, why } in unusable {
            problems.push(format!("{path}.{key}"), why);
        }
    }
}
