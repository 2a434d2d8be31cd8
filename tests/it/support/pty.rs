//! A terminal of one's own: a program runs in it, and what it would show is read.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::{Pid, ttyname},
};
use vt100::Parser;

use super::{process::wait_at_most, token};

/// How long something may take to be shown. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A program in a terminal.
pub struct Pty {
    child: Child,
    keyboard: File,
    name: PathBuf,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    parser: Parser,
    /// Every byte that was written.
    written: Vec<u8>,
}

impl Pty {
    /// Starts `command` in a terminal of this size, whose controlling process it is.
    pub fn start(command: &[&str], environment: &[(&str, &str)], rows: u16, columns: u16) -> Self {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let name = ttyname(&pty.slave).unwrap();
        let end = |fd: &OwnedFd| Stdio::from(fd.try_clone().unwrap());
        let child = Command::new("setsid")
            .arg("--ctty")
            .args(command)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env(token::VARIABLE, token::admin())
            .envs(environment.iter().copied())
            .stdin(end(&pty.slave))
            .stdout(end(&pty.slave))
            .stderr(end(&pty.slave))
            .spawn()
            .unwrap();
        drop(pty.slave);
        let cells = |count: u16| count.try_into().unwrap();
        let seen = Arc::new(Mutex::new(Seen {
            parser: Parser::new(cells(rows), cells(columns), 0),
            written: Vec::new(),
        }));
        let screen = File::from(pty.master);
        let keyboard = screen.try_clone().unwrap();
        let shown = Arc::clone(&seen);
        thread::spawn(move || follow(screen, &shown));
        Self {
            child,
            keyboard,
            name,
            seen,
        }
    }

    /// What it shows now, a line for each row that is not empty at the end.
    pub fn screen(&self) -> String {
        self.look(|seen| seen.parser.screen().contents())
    }

    /// Whether it shows what was there before the program drew upon it, with its cursor.
    pub fn is_given_back(&self) -> bool {
        self.look(|seen| {
            let screen = seen.parser.screen();
            !screen.alternate_screen() && !screen.hide_cursor()
        })
    }

    /// How often this was written.
    pub fn count(&self, bytes: &str) -> usize {
        self.look(|seen| {
            let windows = seen.written.windows(bytes.len());
            windows.filter(|part| *part == bytes.as_bytes()).count()
        })
    }

    /// Waits until the screen is as wanted, and returns it.
    pub fn until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let mut screen = String::new();
        wait_at_most(PATIENCE, &format!("the terminal shows {what}"), || {
            let now = self.screen();
            let is_wanted = wanted(&now);
            if now != screen {
                println!("--- {what}?\n{now}");
                screen = now;
            }
            is_wanted
        });
        screen
    }

    /// Waits until the screen shows this.
    pub fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Types.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap());
        kill(pid, signal).unwrap();
    }

    /// Gives the terminal another size.
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = |cells: u16| cells.try_into().unwrap();
        self.look(|seen| seen.parser.set_size(size(rows), size(columns)));
        let resized = Command::new("stty")
            .arg("-F")
            .arg(&self.name)
            .args(["rows", &rows.to_string(), "columns", &columns.to_string()])
            .status()
            .unwrap();
        assert!(resized.success());
    }

    /// Waits until the program has ended.
    pub fn ended(mut self) -> ExitStatus {
        let mut ended = None;
        wait_at_most(PATIENCE, "the program in the terminal ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }

    fn look<T>(&self, what: impl FnOnce(&mut Seen) -> T) -> T {
        what(&mut self.seen.lock().unwrap())
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads until the last program has let go of the terminal.
fn follow(mut screen: File, shown: &Mutex<Seen>) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = screen.read(&mut bytes) {
        let mut shown = shown.lock().unwrap();
        shown.parser.process(&bytes[..read]);
        shown.written.extend_from_slice(&bytes[..read]);
    }
}
