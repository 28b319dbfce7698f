//! io_uring forbidden, as by the default seccomp profile of containers. Alone in its process, which is filtered for good.

mod common;

use reactor::{Backend, BackendChoice, probe};

/// Makes io_uring_setup fail with EPERM for this thread and those it starts.
fn forbid_io_uring() {
    let statement = |code: u32, k: u32, jt, jf| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0), // the system call's number
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            libc::SYS_io_uring_setup as u32,
            0,
            1,
        ),
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
            0,
            0,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_ptr().cast_mut(),
    };
    // SAFETY: `program` points to `filter`, which the kernel copies during the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program),
            0
        );
    }
}

/// A broker in a container must start, and say why it runs on epoll; one told to use io_uring must refuse.
#[test]
fn forbidden_io_uring_leads_to_epoll() {
    forbid_io_uring();
    let auto = probe(BackendChoice::Auto).expect("a filling");
    assert_eq!(auto.backend, Backend::Epoll);
    assert!(
        auto.reason
            .contains("io_uring_setup: EPERM (seccomp or kernel.io_uring_disabled)"),
        "{}",
        auto.reason
    );
    let refused = probe(BackendChoice::Uring).expect_err("not to be had");
    assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
    assert!(reactor::run(common::config(BackendChoice::Uring), async {}).is_err());
    let backend = reactor::run(common::config(BackendChoice::Auto), async {
        reactor::current().expect("a reactor").backend
    });
    assert_eq!(backend.expect("it runs").to_string(), "epoll");
}
