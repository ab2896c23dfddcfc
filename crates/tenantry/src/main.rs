//! The `tenantry` binary.

use std::process::ExitCode;

/// Recording usage makes many small allocations on many threads, where the system's allocator is slower.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tenantry::cli::main()
}
