//! The `tenantry` binary.

use std::process::ExitCode;

/// Recording usage makes many small allocations on many threads, where the system's allocator is slower. It is built
/// without transparent huge pages (feature `no_thp`), which made the server's memory nearly twice as large, and nothing
/// faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tenantry::cli::main()
}
