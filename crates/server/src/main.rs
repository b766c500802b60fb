//! The program `bongsu`.

use std::process::ExitCode;

/// Messages are many small allocations that die on another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    bongsu_server::cli::main()
}
