//! A NATS server with `JetStream` and MQTT in a temporary folder, on free ports of the loopback. What it keeps, it
//! keeps over a kill.

use std::{fs, net::TcpStream, path::PathBuf};

use nix::sys::signal::Signal;

use super::{
    folder, lasting_port,
    process::{Process, wait_until},
};

/// A server, running or not. It ends with this value, and with the test process.
pub struct Nats {
    folder: PathBuf,
    port: u16,
    process: Option<Process>,
}

impl Nats {
    /// Starts a server that lets everyone do everything.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with these lines in its configuration.
    pub fn start_with(lines: &str) -> Self {
        let folder = folder::fresh("nats");
        let port = lasting_port();
        // `-1` is a port of the system's choice: the tests speak MQTT only.
        let config = format!(
            "server_name: changeover-test\nlisten: \"127.0.0.1:-1\"\n\
             jetstream {{ store_dir: \"{}\" }}\n\
             mqtt {{ listen: \"127.0.0.1:{port}\", max_ack_pending: 1000 }}\n{lines}",
            folder.join("store").display()
        );
        fs::write(folder.join("nats.conf"), config).unwrap();
        let mut server = Self {
            folder,
            port,
            process: None,
        };
        server.restart();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again after [`Self::kill`], on the same port.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let config = self.folder.join("nats.conf").display().to_string();
        let command = ["nats-server", "-c", &config];
        let log = self.folder.join("log");
        let process = Process::start_ended_by("KILL", &command, &log);
        wait_until("NATS is ready", || {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(!process.has_ended(), "nats-server has ended: {}", said());
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
        self.process = Some(process);
    }

    /// SIGKILL: no goodbye.
    pub fn kill(&mut self) {
        let process = self.process.take().expect("it runs");
        process.end(Signal::SIGKILL);
    }
}
