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
