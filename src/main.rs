//! The `changeover` program.

use std::process::ExitCode;

/// A poll is a few dozen small allocations: the system's allocator takes a twentieth of its time more
/// (docs/PERFORMANCE.md, "Making the idle poll cheaper").
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    changeover::cli::run(std::env::args_os())
}
