//! Brokers that are reached otherwise than by plain TCP, and by nobody who is not let in.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    folder, lasting_port,
    mosquitto::Mosquitto,
    pki::{Authority, Issued},
    rabbitmq::RabbitMq,
};

/// The names of a broker on this machine.
pub const HERE: [&str; 2] = ["localhost", "127.0.0.1"];

/// A folder for what the gateway reads.
pub struct Files {
    folder: PathBuf,
}

impl Files {
    pub fn new() -> Self {
        Self {
            folder: folder::fresh("links"),
        }
    }

    /// Writes a file, or writes it anew, in one step.
    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let (file, fresh) = (self.path(name), self.path("fresh"));
        fs::write(&fresh, content).unwrap();
        fs::rename(&fresh, &file).unwrap();
        file
    }

    /// Writes a certificate and its key as `NAME.pem` and `NAME.key`. Returns the keys of a target that name them.
    pub fn client(&self, name: &str, issued: &Issued) -> String {
        let certificate = self.write(&format!("{name}.pem"), &issued.certificate);
        let key = self.write(&format!("{name}.key"), &issued.key);
        let (certificate, key) = (certificate.display(), key.display());
        format!("client_cert_file = \"{certificate}\"\nclient_key_file = \"{key}\"\n")
    }

    /// Writes a CA's certificate as `NAME.pem`. Returns the key of a target that names it.
    pub fn ca(&self, name: &str, authority: &Authority) -> String {
        let file = self.write(&format!("{name}.pem"), &authority.certificate());
        format!("ca_file = \"{}\"\n", file.display())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// A Mosquitto that shows `server`, believes clients of `authority`, and has these lines more. It drops nothing
/// while it runs.
pub fn tls_broker(authority: &Authority, server: &Issued, lines: &str) -> Mosquitto {
    tls_broker_with_files(authority, server, lines, &[])
}

/// The same with files beside it; `{dir}` in a line is their folder.
pub fn tls_broker_with_files(
    authority: &Authority,
    server: &Issued,
    lines: &str,
    files: &[(&str, &str)],
) -> Mosquitto {
    let lines = format!(
        "cafile {{dir}}/ca.pem\ncertfile {{dir}}/server.pem\nkeyfile {{dir}}/server.key\n\
         max_queued_messages 0\nmax_inflight_messages 1000\n{lines}"
    );
    let ca = authority.certificate();
    let own = [
        ("ca.pem", &*ca),
        ("server.pem", &server.certificate),
        ("server.key", &server.key),
    ];
    Mosquitto::start_with_files(&lines, &[&own, files].concat())
}

/// The content of a password file with one user.
pub fn passwords(user: &str, password: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    let done = Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .args([file.as_path(), Path::new(user), Path::new(password)])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    fs::read_to_string(file).unwrap()
}

/// A target's table.
pub fn target(name: &str, url: &str, more: &str) -> String {
    format!("\n[[mqtt.targets]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n")
}

/// A RabbitMQ that takes MQTT over TLS as well, shows `server`, and asks clients for a certificate of `authority`.
/// Returns the port for TLS with it.
pub fn tls_rabbitmq(authority: &Authority, server: &Issued) -> (RabbitMq, u16) {
    let port = lasting_port();
    let lines = format!(
        "mqtt.listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {{dir}}/ca.pem\n\
         ssl_options.certfile = {{dir}}/server.pem\nssl_options.keyfile = {{dir}}/server.key\n\
         ssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true\n"
    );
    let ca = authority.certificate();
    let files = [
        ("ca.pem", &*ca),
        ("server.pem", &server.certificate),
        ("server.key", &server.key),
    ];
    (RabbitMq::start_with_files(&lines, &files), port)
}
