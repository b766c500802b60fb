//! The program `bongsu`.

use std::process::ExitCode;

/// Messages are many small allocations that die on another thread than the one that made them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Free memory goes back to the system at once (`mi_option_purge_delay`, which stands before this one in `mimalloc.h`). With the usual delay a
/// server that took a million messages kept 60 MiB more, and the rate was the same.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = libmimalloc_sys::mi_option_use_numa_nodes - 1;
/// The option's value when nobody has set it, in milliseconds: tells that it is the one that is meant.
const PURGE_DELAY_DEFAULTS: [std::ffi::c_long; 2] = [10, 1_000];

fn main() -> ExitCode {
    #[allow(unsafe_code)]
    // SAFETY: both calls take any option number, and no other thread runs yet.
    unsafe {
        if PURGE_DELAY_DEFAULTS.contains(&libmimalloc_sys::mi_option_get(PURGE_DELAY)) {
            libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
        }
    }
    bongsu_server::cli::main()
}
