//! Whether this kernel, under its policies, gives us the ring we need.

use std::io;
use std::sync::OnceLock;

use io_uring::{IoUring, Probe, opcode};

use super::buffers::Buffers;

/// Requests waiting to be handed over; more wait in the driver's backlog.
const SUBMISSIONS: u32 = 1024;
/// Eight times as many, so that bursts of multishot completions do not overflow into the kernel's slow list.
const COMPLETIONS: u32 = 8 * SUBMISSIONS;

pub(super) fn setup() -> io::Result<IoUring> {
    setup_of(SUBMISSIONS, COMPLETIONS)
}

fn setup_of(submissions: u32, completions: u32) -> io::Result<IoUring> {
    // the flags cost 0.9 us an operation when left out (measured); TASKRUN_FLAG tells without a system call
    // whether one is worth it
    IoUring::builder()
        .setup_single_issuer()
        .setup_coop_taskrun()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(completions)
        .build(submissions)
}

const OPERATIONS: [(u8, &str); 7] = [
    (opcode::AcceptMulti::CODE, "ACCEPT"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
    (opcode::Read::CODE, "READ"),
    (opcode::Write::CODE, "WRITE"),
    (opcode::Fsync::CODE, "FSYNC"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
];

/// Asked once a process: the answer does not change, and a ring's setup and end are not free.
pub(crate) fn probe() -> Result<(), String> {
    static ANSWER: OnceLock<Result<(), String>> = OnceLock::new();
    ANSWER.get_or_init(ask).clone()
}

fn ask() -> Result<(), String> {
    let ring = setup_of(8, 64).map_err(|e| format!("io_uring_setup: {}", explain(&e)))?;
    if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
        return Err("the kernel's io_uring lacks timed waits (EXT_ARG) or safe overflow (NODROP)".to_owned());
    }
    let mut probe = Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|e| format!("REGISTER_PROBE: {}", explain(&e)))?;
    for (code, name) in OPERATIONS {
        if !probe.is_supported(code) {
            return Err(format!("the kernel's io_uring lacks {name}"));
        }
    }
    // dropped before the ring, which no receive has ever used
    Buffers::new(&ring, 8)
        .map(drop)
        .map_err(|e| format!("REGISTER_PBUF_RING: {}", explain(&e)))
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "EPERM (seccomp or kernel.io_uring_disabled)".to_owned(),
        Some(libc::ENOSYS) => "ENOSYS (a kernel built without io_uring, or seccomp)".to_owned(),
        Some(libc::EINVAL) => "EINVAL (a kernel before 6.1 lacks deferred task run)".to_owned(),
        Some(libc::ENOMEM) => "ENOMEM (memory, or RLIMIT_MEMLOCK)".to_owned(),
        _ => error.to_string(),
    }
}
