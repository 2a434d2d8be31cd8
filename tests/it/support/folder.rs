//! Temporary folders of this test run, all below one root. A janitor process removes the root when the
//! test binary is gone, whichever way it went.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

struct Root {
    path: PathBuf,
    /// Its standard input closes when this process ends.
    _janitor: Child,
}

/// Waits for the end of its input, then removes, again and again while servers still write.
const JANITOR: &str = "trap '' INT TERM HUP; cat > /dev/null; \
    for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf \"$0\" 2> /dev/null && exit; sleep 0.3; done";

static ROOT: LazyLock<Root> = LazyLock::new(|| {
    let path = tempfile::Builder::new()
        .prefix("changeover-it-")
        .tempdir()
        .unwrap()
        .keep();
    // Servers run as other users.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let janitor = Command::new("sh")
        .args(["-c", JANITOR])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    Root {
        path,
        _janitor: janitor,
    }
});

/// A new empty folder.
pub fn fresh(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = ROOT.path.join(format!("{name}-{number}"));
    fs::create_dir(&folder).unwrap();
    folder
}
