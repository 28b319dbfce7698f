//! `ringlog`: one binary, the broker and its tools.

mod address;
mod admin;
mod api;
mod cli;
mod client;
mod control_channel;
mod coordinator;
mod dispatch;
mod fetch_read;
mod fetch_session;
mod log_dirs;
mod metrics;
mod partition;
mod produce_error;
mod producer_ids;
mod publish;
mod purgatory;
mod registration;
mod serve;
mod shard;
mod topic_config;

/// Requests of 64 KiB and more come and go a thousand times a second: the C library gives their pages back to the kernel and takes
/// them again, zeroed, and walks lists of free chunks in between (14 % of the processor time of small requests).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
