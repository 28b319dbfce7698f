//! What the machine lets one process have.

use std::io;

/// Raises the number of files this process may have open to what the machine allows it, and returns that number. Shells and
/// init systems often start programs with 1,024, because old programs break above.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit to write to.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: reads `limit`.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    /// Breaks in production: a broker started from a shell refuses the 1,000th connection.
    #[test]
    fn the_limit_only_rises() {
        let first = super::raise_file_limit().unwrap();
        assert!(first >= 256);
        assert_eq!(super::raise_file_limit().unwrap(), first);
    }
}
