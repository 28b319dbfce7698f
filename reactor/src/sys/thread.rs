//! The calling thread.

use std::io;

use super::check;

pub(crate) fn pin_to(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("no core has number {core}"),
        ));
    }
    // SAFETY: cpu_set_t is plain bits, for which zero is valid; CPU_SET's index is checked above; 0 is this thread.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set))?;
    }
    Ok(())
}

/// The CPUs that this process may run on, in order; empty if the kernel does not say.
pub(crate) fn allowed() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is the empty set; the kernel writes at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Vec::new();
        }
        set
    };
    // SAFETY: every asked number is below the set's size.
    (0..libc::CPU_SETSIZE as usize)
        .filter(|core| unsafe { libc::CPU_ISSET(*core, &set) })
        .collect()
}

/// Lets every other thread go first, at the disk and at the processor.
pub(crate) fn be_idle() -> io::Result<()> {
    /// `IOPRIO_WHO_PROCESS`: one thread, 0 for the calling one.
    const WHO_PROCESS: libc::c_int = 1;
    /// `IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0)`.
    const CLASS_IDLE: libc::c_int = 3 << 13;
    // SAFETY: no pointers. On Linux 0 names the calling thread to both calls.
    unsafe {
        if libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    be_nice(19)
}

/// Lets other threads go first at the processor: 0, not at all, to 19, always.
pub(crate) fn be_nice(nice: i32) -> io::Result<()> {
    // SAFETY: no pointers. On Linux 0 names the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn idle_threads_have_the_idle_class() {
        // Otherwise a compaction competes with producers for the disk.
        let class = std::thread::spawn(|| {
            super::be_idle().unwrap();
            // SAFETY: no pointers.
            unsafe { libc::syscall(libc::SYS_ioprio_get, 1, 0) >> 13 }
        });
        assert_eq!(class.join().unwrap(), 3);
    }
}
