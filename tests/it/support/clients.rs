//! Programs of others as clients: packages for Node.js and Python, installed once from their lock files, and the scripts in
//! `tests/clients` that use them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use tokio::{sync::OnceCell, task::spawn_blocking, time::timeout};

use super::{eventually, folder, process::Process, token};

/// A script at work. It ends with this value, and with the test binary.
pub struct Script {
    process: Option<Process>,
    output: PathBuf,
}

/// Runs `tests/clients/js/{script}`.
pub async fn node(script: &str, arguments: &[&str]) -> Script {
    static HOME: OnceCell<PathBuf> = OnceCell::const_new();
    let home = HOME.get_or_init(|| installed("js", "package-lock.json", npm_ci));
    let script = home.await.join(script);
    Script::start("node", &script, arguments)
}

/// Runs `tests/clients/python/{script}`.
pub async fn python(script: &str, arguments: &[&str]) -> Script {
    static HOME: OnceCell<PathBuf> = OnceCell::const_new();
    let home = HOME.get_or_init(|| installed("python", "requirements.txt", venv));
    let home = home.await;
    let python = home.join("venv/bin/python");
    Script::start(python.to_str().unwrap(), &home.join(script), arguments)
}

impl Script {
    fn start(program: &str, script: &Path, arguments: &[&str]) -> Self {
        Self::of_program(program, &[&[script.to_str().unwrap()], arguments].concat())
    }

    /// A program that is there already, in the role of a script.
    pub fn of_program(program: &str, arguments: &[&str]) -> Self {
        let output = folder::fresh("client").join("output");
        let token = format!("{}={}", token::VARIABLE, token::admin());
        let command = [&["env", &token, program], arguments].concat();
        let process = Some(Process::start_ended_by("KILL", &command, &output));
        Self { process, output }
    }

    /// All that it has written.
    pub fn output(&self) -> String {
        let bytes = fs::read(&self.output).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The whole lines of JSON that it has written. What else it says is for people.
    pub fn lines(&self) -> Vec<Value> {
        let output = self.output();
        let whole = output.rfind('\n').map_or("", |end| &output[..end]);
        let lines = whole.lines().filter(|line| line.starts_with('{'));
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
            .collect()
    }

    /// Waits until the lines are as wanted.
    pub async fn until(&self, what: &str, patience: Duration, done: impl Fn(&[Value]) -> bool) {
        self.until_it_says(what, patience, |_| done(&self.lines()))
            .await;
    }

    /// Waits until all that it has written is as wanted.
    pub async fn until_it_says(&self, what: &str, patience: Duration, done: impl Fn(&str) -> bool) {
        let look = async || {
            let said = self.output();
            assert!(!self.has_ended(), "it ended: {said}");
            done(&said).then_some(())
        };
        let waited = timeout(patience, eventually(what, 2 * patience, look)).await;
        let said = self.output();
        assert!(
            waited.is_ok(),
            "not in {patience:?}: {what}. It says: {said}"
        );
    }

    /// Waits until it has ended by itself. Returns the exit code.
    pub async fn ended(&mut self, patience: Duration) -> i32 {
        eventually("the script ends", patience, async || {
            self.has_ended().then_some(())
        })
        .await;
        self.process.take().expect("it is asked once").exit_code()
    }

    fn has_ended(&self) -> bool {
        self.process.as_ref().is_none_or(Process::has_ended)
    }
}

/// A folder below `target` with the scripts of `tests/clients/{kind}` and what they need. It is made again when
/// the lock file has changed.
async fn installed(kind: &'static str, lock: &'static str, install: fn(&Path)) -> PathBuf {
    let making = spawn_blocking(move || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/clients")
            .join(kind);
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let home = target.join("clients").join(kind);
        fs::create_dir_all(&home).unwrap();
        // Another test binary may be at it.
        let guard = File::create(home.join(".guard")).unwrap();
        guard.lock().unwrap();
        for entry in fs::read_dir(&source).unwrap() {
            let entry = entry.unwrap();
            // Another one's program may be reading it: it sees the whole file, old or new.
            let new = home.join(".new");
            fs::copy(entry.path(), &new).unwrap();
            fs::rename(&new, home.join(entry.file_name())).unwrap();
        }
        let (wanted, stamp) = (
            fs::read(source.join(lock)).unwrap(),
            home.join(".installed"),
        );
        if fs::read(&stamp).ok().as_ref() != Some(&wanted) {
            install(&home);
            fs::write(&stamp, wanted).unwrap();
        }
        home
    });
    making.await.unwrap()
}

fn npm_ci(home: &Path) {
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(home));
}

fn venv(home: &Path) {
    run(Command::new("python3")
        .args(["-m", "venv", "--clear", "venv"])
        .current_dir(home));
    let wanted = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "-r",
        "requirements.txt",
    ];
    run(Command::new(home.join("venv/bin/python"))
        .args(wanted)
        .current_dir(home));
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|why| panic!("{command:?}: {why}: see scripts/test"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
