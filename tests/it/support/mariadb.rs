//! A MariaDB server in a temporary folder, on a free port of the loopback.

use std::{
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
pub static SHARED: LazyLock<Server> = LazyLock::new(|| Server::new(&[]));

/// A server, running or not.
pub struct Server {
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// Makes and starts a server with more options than the usual ones.
    pub fn new(options: &[&str]) -> Self {
        let folder = folder::fresh("mariadb");
        let (mut command, user) = unprivileged("mysql");
        if let Some(user) = user {
            chown(&folder, Some(user.uid), Some(user.gid)).unwrap();
        }
        command.push(program("mariadb-install-db"));
        command.push("--no-defaults".to_owned());
        command.push(format!("--datadir={}", data(&folder).display()));
        // A small first log: each private server makes its own.
        let quick = [
            "--innodb-log-file-size=8M",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ];
        command.extend(quick.map(str::to_owned));
        let done = Command::new(&command[0])
            .args(&command[1..])
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "mariadb-install-db: {}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        let server = Self {
            folder,
            port: free_port(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            process: Mutex::new(None),
        };
        server.start();
        server
    }

    /// Starts it again, on its port.
    pub fn start(&self) {
        let (mut command, _user) = unprivileged("mysql");
        command.push(program("mariadbd"));
        command.push("--no-defaults".to_owned());
        command.push(format!("--datadir={}", data(&self.folder).display()));
        command.push(format!("--socket={}", self.socket()));
        command.push(format!("--pid-file={}/pid", self.folder.display()));
        command.push(format!("--port={}", self.port));
        let usual = [
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--max-connections=400",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=8M",
            // A test machine's disk is no subject of the tests, and a killed process loses nothing by it.
            "--innodb-flush-log-at-trx-commit=2",
            "--performance-schema=OFF",
        ];
        command.extend(usual.map(str::to_owned));
        command.extend(self.options.iter().cloned());
        let process = Process::start_ended_by("KILL", &command, &self.folder.join("log"));
        *self.process.lock().unwrap() = Some(process);
        wait_until("MariaDB is ready", || self.answers());
    }

    fn answers(&self) -> bool {
        let asked = Command::new(program("mariadb-admin"))
            .args(["--no-defaults", "--connect-timeout=5", "-u", "root"])
            .args(["--protocol=tcp", "-h", "127.0.0.1", "-P"])
            .arg(self.port.to_string())
            .arg("ping")
            .output();
        asked.unwrap().status.success()
    }

    /// Kills it, as a crash would.
    pub fn stop(&self) {
        let process = self.process.lock().unwrap().take();
        process
            .expect("the test stops it once before it starts it again")
            .end(Signal::SIGKILL);
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    fn socket(&self) -> String {
        self.folder.join("socket").display().to_string()
    }
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// The path of one of MariaDB's programs: Debian keeps the server off the path of ordinary users.
fn program(name: &str) -> String {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&on_path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|program| program.is_file());
    let program = program.expect("MariaDB is missing: install the package `mariadb-server`, or leave out the tests that need servers with CHANGEOVER_TEST_SKIP_SERVERS=1");
    program.display().to_string()
}
