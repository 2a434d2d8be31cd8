//! A PostgreSQL cluster in a temporary folder, on a free port of the loopback.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{LazyLock, Mutex},
};

use nix::{sys::signal::Signal, unistd::chown};

use super::{
    folder,
    process::{Process, free_port, unprivileged, wait_until},
};

/// Shared by all tests that do not stop it.
pub static SHARED: LazyLock<Cluster> = LazyLock::new(Cluster::new);

/// A cluster, running or not.
pub struct Cluster {
    folder: PathBuf,
    port: u16,
    process: Mutex<Option<Process>>,
}

impl Cluster {
    /// Makes and starts a cluster.
    pub fn new() -> Self {
        let folder = folder::fresh("postgres");
        let (prefix, user) = unprivileged("postgres");
        if let Some(user) = user {
            chown(&folder, Some(user.uid), Some(user.gid)).unwrap();
        }
        let initdb = format!("{}/initdb", programs().display());
        let data = data(&folder);
        let arguments = [
            "-U",
            "changeover",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "-D",
        ];
        let mut command = prefix;
        command.push(initdb);
        command.extend(arguments.map(str::to_owned));
        command.push(data.display().to_string());
        let done = Command::new(&command[0])
            .args(&command[1..])
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        let cluster = Self {
            folder,
            port: free_port(),
            process: Mutex::new(None),
        };
        cluster.start();
        cluster
    }

    /// Starts it again, on its port.
    pub fn start(&self) {
        let (mut command, _user) = unprivileged("postgres");
        command.push(format!("{}/postgres", programs().display()));
        let port = self.port.to_string();
        let socket = self.folder.display().to_string();
        let data = data(&self.folder).display().to_string();
        let arguments = [
            "-D",
            &data,
            "-p",
            &port,
            "-k",
            &socket,
            "-h",
            "127.0.0.1",
            "-c",
            "max_connections=300",
        ];
        command.extend(arguments.map(str::to_owned));
        let log = self.folder.join("log");
        let process = Process::start(&command, &log);
        *self.process.lock().unwrap() = Some(process);
        let ready = format!("{}/pg_isready", programs().display());
        wait_until("PostgreSQL is ready", || {
            let asked = Command::new(&ready)
                .args(["-q", "-h", "127.0.0.1", "-p", &port])
                .status();
            asked.unwrap().success()
        });
        let log = fs::read_to_string(&log).unwrap_or_default();
        assert!(
            !log.contains("could not create any TCP/IP sockets"),
            "{log}"
        );
    }

    /// Stops it at once, as a crash would.
    pub fn stop(&self) {
        let process = self.process.lock().unwrap().take();
        process
            .expect("the test stops it once before it starts it again")
            .end(Signal::SIGQUIT);
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://changeover@127.0.0.1:{}/{database}", self.port)
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// The folder of PostgreSQL's programs: Debian keeps them off the path.
fn programs() -> PathBuf {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    debian
        .map(|version| version.path().join("bin"))
        .chain(std::env::split_paths(&on_path))
        .find(|folder| folder.join("initdb").is_file())
        .expect("PostgreSQL is missing: install the package `postgresql`, or leave out the tests that need servers with CHANGEOVER_TEST_SKIP_SERVERS=1")
}
