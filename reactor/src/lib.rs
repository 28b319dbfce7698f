//! The one door to disk, network, time, chance and threads: a single-threaded executor per core over io_uring, or over
//! epoll where io_uring is forbidden. The types are plain; each dispatches on the thread's filling.
//!
//! In the order of first reading: [`run`] and [`thread`] build a reactor, [`spawn`] gives it work, [`Socket`] and
//! [`File`] do input and output, [`mailbox`] and [`oneshot`](mod@oneshot) connect cores.
//!
//! What every part relies on:
//! - Wakers are ordinary std wakers: they may be sent anywhere and used from any thread.
//! - Every future may be dropped at any time. Requests the kernel still holds then keep their buffers and descriptors
//!   until it gives them back; received bytes are kept for the next receive.
//! - One turn is at most 256 polls and about 256 KiB of socket work; then the kernel is looked at again.
//! - A panic of a spawned task is caught, logged and counted; see [`Task`].

mod aligned;
mod background;
mod clock;
mod cold;
mod config;
mod core;
mod device;
mod direct;
pub mod disk;
mod epoll;
mod file;
mod filesystem;
mod filling;
mod follow;
mod limits;
mod listener;
pub mod mailbox;
mod metrics;
pub mod oneshot;
mod opened;
mod piece;
mod remote;
mod reread;
mod residency;
mod resolve;
mod run;
mod signal;
pub mod sim;
mod slab;
mod socket;
pub mod sync;
mod sys;
mod task;
mod timers;
mod turn;
mod uring;

pub use aligned::{AlignedBuf, BLOCK_BYTES};
pub use background::{background, background_idle, background_patient};
pub use clock::{Instant, now, random_u64, wall_ms};
pub use config::{Backend, BackendChoice, Config, allowed_cores};
pub use direct::DirectFile;
pub use file::{File, OpenMode};
pub use limits::raise_file_limit;
pub use listener::{DetachedSocket, Listener};
pub use metrics::{Metrics, metrics};
pub use oneshot::channel as oneshot;
pub use piece::Piece;
pub use resolve::resolve;
pub use run::{Current, Probe, ThreadHandle, current, probe, run, thread};
pub use signal::{Signal, shutdown_signal};
pub use sim::Chance;
pub use socket::Socket;
pub use task::{Lost, Task, spawn};
pub use timers::{Elapsed, Sleep, sleep, sleep_until, timeout, yield_now, yield_turn};
