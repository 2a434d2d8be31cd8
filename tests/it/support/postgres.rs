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
    /// The size, in MiB, of a file system of its own.
    small_disk: Option<u32>,
    process: Mutex<Option<Process>>,
}

/// The folder that is a file system of its own, in a name space of mounts that ends with the server.
const SMALL: &str = "small";

impl Cluster {
    /// Makes and starts a cluster.
    pub fn new() -> Self {
        Self::with_disk(None)
    }

    /// One with a table space `small` on a file system of so many MiB.
    pub fn with_small_disk(mebibytes: u32) -> Self {
        Self::with_disk(Some(mebibytes))
    }

    fn with_disk(small_disk: Option<u32>) -> Self {
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
            small_disk,
            process: Mutex::new(None),
        };
        fs::create_dir(cluster.folder.join(SMALL)).unwrap();
        cluster.start();
        cluster
    }

    /// Starts it again, on its port.
    pub fn start(&self) {
        let mut command = self.beginning();
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

    /// What the server is started through: another user if this is root, and a small disk if it has one.
    fn beginning(&self) -> Vec<String> {
        let (other_user, user) = unprivileged("postgres");
        let Some(mebibytes) = self.small_disk else {
            return other_user;
        };
        let small = self.folder.join(SMALL).display().to_string();
        let mount = match user {
            Some(user) => format!(
                r#"mount -t tmpfs -o size={mebibytes}m,uid={},gid={} none "$0" && exec "$@""#,
                user.uid, user.gid
            ),
            // Who mounts is root of a user name space, and the server would refuse to run as that.
            None => format!(
                r#"mount -t tmpfs -o size={mebibytes}m none "$0" && exec unshare -U --map-user=1000 "$@""#
            ),
        };
        let space = if other_user.is_empty() { "-Urm" } else { "-m" };
        let mut command = ["unshare", space, "sh", "-c", &mount, &small]
            .map(str::to_owned)
            .to_vec();
        command.extend(other_user);
        command
    }

    /// Where the small disk is seen from outside of the server's name space.
    pub fn small_disk(&self) -> (PathBuf, PathBuf) {
        let small = self.folder.join(SMALL);
        let id = self.process.lock().unwrap().as_ref().unwrap().id();
        let outside = PathBuf::from(format!("/proc/{id}/root{}", small.display()));
        (small, outside)
    }

    /// Kills it with all its processes at once, as a machine that fails would.
    pub fn kill(&self) {
        let process = self.process.lock().unwrap().take();
        let process = process.expect("it runs");
        let children = format!("/proc/{0}/task/{0}/children", process.id());
        let children = fs::read_to_string(children).unwrap();
        // The first process first, so that it starts no other.
        process.signal(Signal::SIGKILL);
        for child in children.split_whitespace() {
            // It may have ended by itself.
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(child.parse().unwrap()),
                Signal::SIGKILL,
            );
        }
        process.end(Signal::SIGKILL);
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
