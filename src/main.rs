//! The `changeover` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    changeover::cli::run(std::env::args_os())
}
