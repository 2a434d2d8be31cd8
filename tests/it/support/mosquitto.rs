//! Mosquitto as a process of the test: killed, stopped, continued and restarted on one port.

use std::{
    fs,
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::lasting_port;

/// A broker in a temporary folder. It ends with this value, and with the test process.
pub struct Mosquitto {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker that keeps nothing over a restart.
    pub fn start() -> Self {
        Self::start_with("allow_anonymous true\n")
    }

    /// Starts a broker with these lines in its configuration.
    pub fn start_with(lines: &str) -> Self {
        Self::start_with_files(lines, &[])
    }

    /// The same with files beside it; `{dir}` in a line is their folder.
    pub fn start_with_files(lines: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = lasting_port();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let lines = lines.replace("{dir}", &folder.path().display().to_string());
        // As another user it would lose the signal that ends it with its parent.
        let config = format!(
            "listener {port} 127.0.0.1\nuser root\npersistence false\nset_tcp_nodelay true\n{lines}"
        );
        fs::write(folder.path().join("mosquitto.conf"), config).unwrap();
        let mut broker = Self {
            folder,
            port,
            process: None,
        };
        broker.restart();
        broker
    }

    /// Writes a file of its folder anew and has it read (SIGHUP). An idle one looks at the signal with the next packet, after it has
    /// judged that by what it knew before, so this returns when it has looked.
    pub fn reload(&self, name: &str, content: &str) {
        let times = || self.log().matches("Reloading config.").count();
        let before = times();
        self.write(name, content);
        kill(self.pid(), Signal::SIGHUP).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while times() == before {
            assert!(Instant::now() < deadline, "mosquitto does not reload");
            std::thread::yield_now();
        }
    }

    /// Reads a file of its folder.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// Writes a file of its folder anew.
    pub fn write(&self, name: &str, content: &str) {
        fs::write(self.folder.path().join(name), content).unwrap();
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again after [`Self::kill`] or [`Self::stop`], on the same port.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        self.process = Some(spawn(&self.folder.path().join("mosquitto.conf")));
        self.await_listening();
    }

    /// SIGKILL: no goodbye, nothing kept.
    pub fn kill(&mut self) {
        self.end(Signal::SIGKILL);
    }

    /// SIGTERM.
    pub fn stop(&mut self) {
        self.end(Signal::SIGTERM);
    }

    /// SIGSTOP: it stands still, its sockets stay open.
    pub fn pause(&self) {
        kill(self.pid(), Signal::SIGSTOP).unwrap();
    }

    /// SIGCONT.
    pub fn resume(&self) {
        kill(self.pid(), Signal::SIGCONT).unwrap();
    }

    fn end(&mut self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
        let mut process = self.process.take().unwrap();
        process.wait().unwrap();
    }

    fn pid(&self) -> Pid {
        let id = self.process.as_ref().expect("it runs").id();
        Pid::from_raw(i32::try_from(id).unwrap())
    }

    fn await_listening(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none(),
                "mosquitto has ended: {ended:?}, see {}",
                self.log()
            );
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::yield_now();
        }
    }

    /// What it has written since its first start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("mosquitto.conf.log")).unwrap_or_default()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.end(Signal::SIGKILL);
        }
    }
}

/// `setpriv` makes the broker die with this process even when that is killed.
fn spawn(config: &Path) -> Child {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(config.with_extension("conf.log"))
        .unwrap();
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "mosquitto", "-c"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("mosquitto is not installed: apt-get install mosquitto")
}
