//! How the gateway gets into a target's broker: who it says it is, and whom it believes.
//!
//! What the files hold is looked at where they are used, at each new connection, and by `changeover check`.

use std::path::PathBuf;

use super::{
    Problems,
    endpoint::{BrokerKind, Endpoint},
    login::{Login, Password},
    mqtt::{Mqtt, Target},
};

/// The files of a link over TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The CAs that are believed, in PEM; absent = those of the system.
    pub ca: Option<PathBuf>,
    /// The gateway's own certificate with its chain, and its key, in PEM.
    pub client: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Who the gateway says it is; the URL's own user and password if it has some.
    pub fn login(&self) -> Option<Login> {
        let endpoint = self.endpoint();
        if let Some(user) = endpoint.username {
            return Some(Login::known(user, endpoint.password.unwrap_or_default()));
        }
        let file = self.password_file.clone().map(Password::File);
        let variable = || self.password_env.clone().map(Password::Variable);
        let none = || Password::Known(String::new());
        Some(Login {
            user: self.username.clone()?,
            password: file.or_else(variable).unwrap_or_else(none),
        })
    }

    /// The files of its link.
    pub fn tls_files(&self) -> TlsFiles {
        let certificate = self.client_cert_file.clone();
        TlsFiles {
            ca: self.ca_file.clone(),
            client: certificate.zip(self.client_key_file.clone()),
        }
    }

    /// The keys of the login that are set, except the user.
    fn password_keys(&self) -> impl Iterator<Item = &'static str> {
        let file = self.password_file.as_ref().map(|_| "password_file");
        let variable = self.password_env.as_ref().map(|_| "password_env");
        file.into_iter().chain(variable)
    }

    /// The keys of TLS that are set.
    fn tls_keys(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("ca_file", &self.ca_file),
            ("client_cert_file", &self.client_cert_file),
            ("client_key_file", &self.client_key_file),
        ];
        keys.into_iter()
            .filter_map(|(key, file)| file.as_ref().map(|_| key))
    }

    pub(super) fn validate_link(&self, endpoint: &Endpoint, path: &str, problems: &mut Problems) {
        let user = self.username.as_ref().map(|_| "username");
        let login = || user.into_iter().chain(self.password_keys());
        if endpoint.kind == BrokerKind::Embedded {
            for key in login().chain(self.tls_keys()) {
                let why = "is for external brokers: the gateway enters its own by itself";
                problems.push(format!("{path}.{key}"), why);
            }
            return;
        }
        if endpoint.username.is_some() {
            for key in login() {
                let why = "stands beside a user in `url`: remove that from the URL";
                problems.push(format!("{path}.{key}"), why);
            }
        } else {
            self.validate_login(path, problems);
        }
        if !endpoint.tls {
            for key in self.tls_keys() {
                let why = "is for TLS, and `url` is plain: use mqtts:// or wss://";
                problems.push(format!("{path}.{key}"), why);
            }
        }
        let (certificate, key) = (&self.client_cert_file, &self.client_key_file);
        if certificate.is_some() != key.is_some() {
            let [set, absent] = if certificate.is_some() {
                ["client_cert_file", "client_key_file"]
            } else {
                ["client_key_file", "client_cert_file"]
            };
            problems.push(
                format!("{path}.{set}"),
                format!("is of no use without `{absent}`"),
            );
        }
    }

    fn validate_login(&self, path: &str, problems: &mut Problems) {
        if self.password_file.is_some() && self.password_env.is_some() {
            let why = "stands beside `password_file`: keep one of them";
            problems.push(format!("{path}.password_env"), why);
        }
        match &self.username {
            None => {
                for key in self.password_keys() {
                    problems.push(format!("{path}.{key}"), "needs `username`");
                }
            }
            Some(user) if user.is_empty() => {
                problems.push(
                    format!("{path}.username"),
                    "is empty: leave it out, or name the user",
                );
            }
            Some(_) => {}
        }
    }

    fn link_warnings(&self, endpoint: &Endpoint, path: &str, warnings: &mut Problems) {
        if endpoint.password.is_some() {
            warnings.push(
                format!("{path}.url"),
                "holds a password, and whoever sees the configuration sees it: `username` with `password_file` or `password_env` keeps it out",
            );
        }
        let secret = endpoint.password.is_some() || self.password_keys().next().is_some();
        if secret && !endpoint.tls && !endpoint.is_local() {
            warnings.push(
                format!("{path}.url"),
                "sends the password over the network as it is: use mqtts:// or wss://, or keep to a network that nobody else hears",
            );
        }
    }
}

/// What is allowed and may not be safe.
pub(super) fn warn(mqtt: &Mqtt, warnings: &mut Problems) {
    for (n, target) in mqtt.targets.iter().enumerate() {
        if let Ok(endpoint) = Endpoint::parse(&target.url) {
            target.link_warnings(&endpoint, &format!("mqtt.targets[{n}]"), warnings);
        }
    }
}
