//! A server process that cannot outlive the test binary.
//!
//! A shell stands between: it ends the server when its own standard input closes, and the kernel closes that when
//! the test binary ends, panicking or killed.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, geteuid},
};

/// `$0` is the file for the server's output, `$1` the signal that ends it, the rest its command line.
/// The guard's own exit code is the server's.
const GUARD: &str = "exec 2> /dev/null; trap '' INT TERM HUP; ulimit -c 0; end=$1; shift; \
    \"$@\" > \"$0\" 2>&1 < /dev/null & pid=$!; echo $pid; \
    cat > /dev/null; kill -$end $pid; wait $pid";

/// A running server.
pub struct Process {
    guard: Child,
    pid: Pid,
}

impl Process {
    /// Starts `command`, whose output goes to `output`.
    pub fn start<S: AsRef<OsStr>>(command: &[S], output: &Path) -> Self {
        Self::start_ended_by("QUIT", command, output)
    }

    /// Starts `command`, which the guard ends with the signal `end`: KILL ends a paused process too.
    pub fn start_ended_by<S: AsRef<OsStr>>(end: &str, command: &[S], output: &Path) -> Self {
        let mut guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(output)
            .arg(end)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(guard.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid = Pid::from_raw(line.trim().parse().unwrap());
        Self { guard, pid }
    }

    /// Sends a signal to the server.
    pub fn signal(&self, signal: Signal) {
        // It may have ended by itself; the shell has not reaped it, so the number is still its own.
        let _ = kill(self.pid, signal);
    }

    /// Whether the server has ended by itself, or by a signal of the test.
    pub fn has_ended(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The state stands behind the name, which may hold anything: a zombie, dead while the guard reaps it, or nothing.
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.is_empty() || state.trim_start().starts_with(['Z', 'X'])
    }

    /// The exit code of a server that has ended; 128 and the signal's number if a signal ended it.
    pub fn exit_code(mut self) -> i32 {
        assert!(self.has_ended(), "it runs");
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap().code().unwrap()
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a signal and waits until the server is gone.
    pub fn end(mut self, signal: Signal) {
        self.signal(signal);
        // Closing its input makes the guard wait for the server, and end.
        drop(self.guard.stdin.take());
        self.guard.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The beginning of a command line that runs as `user`, if this is root; and the user.
pub fn unprivileged(user: &str) -> (Vec<String>, Option<User>) {
    if !geteuid().is_root() {
        return (Vec::new(), None);
    }
    let user = User::from_name(user).unwrap().unwrap_or_else(|| {
        panic!("this is root, which the server refuses, and there is no user `{user}`")
    });
    let change = ["setpriv", "--init-groups"].map(str::to_owned).into_iter();
    let ids = [
        format!("--reuid={}", user.uid),
        format!("--regid={}", user.gid),
    ];
    (
        change.chain(ids).chain(["--".to_owned()]).collect(),
        Some(user),
    )
}

/// Asks until the answer is yes; panics when it takes too long.
pub fn wait_until(what: &str, done: impl FnMut() -> bool) {
    wait_at_most(Duration::from_secs(30), what, done);
}

/// The same for what takes longer.
pub fn wait_at_most(patience: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
