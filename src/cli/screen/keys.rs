//! Keys that end what is drawn in place. In raw mode Ctrl-C is a key and no signal.

use std::io::{self, IsTerminal};

use tokio::io::{AsyncReadExt, Stdin};

/// Ctrl-C and Ctrl-D as a terminal in raw mode sends them.
const CONTROL_C: u8 = 0x03;
const CONTROL_D: u8 = 0x04;

/// The keyboard, if standard input is one.
pub(in crate::cli) struct Keys(Option<Stdin>);

impl Keys {
    /// Of this process.
    pub(in crate::cli) fn of_input() -> Self {
        let is_terminal = io::stdin().is_terminal();
        Self(is_terminal.then(tokio::io::stdin))
    }

    /// Waits until somebody wants to leave: by `q`, Ctrl-C or Ctrl-D, or because the terminal is gone. Without a keyboard, for ever.
    pub(in crate::cli) async fn leave(&mut self) {
        let Some(stdin) = &mut self.0 else {
            return std::future::pending().await;
        };
        let mut typed = [0; 64];
        loop {
            let keys = match stdin.read(&mut typed).await {
                Ok(0) | Err(_) => return,
                Ok(read) => &typed[..read],
            };
            if keys
                .iter()
                .any(|key| matches!(*key, b'q' | b'Q' | CONTROL_C | CONTROL_D))
            {
                return;
            }
        }
    }
}
