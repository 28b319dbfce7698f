//! `ringlog`: one binary, the broker and its tools.

mod admin;
mod api;
mod cli;
mod client;
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

fn main() -> std::process::ExitCode {
    cli::run()
}
