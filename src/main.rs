//! `ringlog`: one binary, the broker and its tools.

/// Requests of 64 KiB and more come and go a thousand times a second: the C library gives their pages back to the kernel and takes
/// them again, zeroed, and walks lists of free chunks in between (14 % of the processor time of small requests).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    ringlog::cli::run()
}
