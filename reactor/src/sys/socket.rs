//! Stream sockets: all non-blocking, close-on-exec, without Nagle's delay.

use std::io;
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use bytes::{BufMut, BytesMut};

use super::{check, check_len, fd::own};

const BACKLOG: libc::c_int = 1024;
/// The value of an option that is on.
const ON: [u8; 4] = 1i32.to_ne_bytes();

fn stream(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; the result is a fresh descriptor.
    let socket = unsafe { own(check(libc::socket(family, kind, 0))?) };
    set_option(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, &ON)?;
    Ok(socket)
}

fn set_option(socket: &OwnedFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let size = value.len() as libc::socklen_t;
    // SAFETY: `value` is readable for the size given.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), size) }).map(drop)
}

/// Zeros behind what is shorter than `N`.
fn option<const N: usize>(socket: &OwnedFd, level: i32, name: i32) -> io::Result<[u8; N]> {
    let mut value = [0; N];
    let mut size = N as libc::socklen_t;
    // SAFETY: `value` is writable for the size given.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut size,
        )
    })?;
    Ok(value)
}

/// Takes BBR off a socket of one machine, before it is connected (a listener's children inherit it): loopback has no path to model, and
/// without the `fq` discipline BBR paces by timers of its own, which doubled the processor time of a fetched byte.
fn unpace_on_loopback(socket: &OwnedFd, address: &SocketAddr) {
    if !address.ip().is_loopback() || !congestion_control(socket).is_ok_and(|name| name.starts_with(b"bbr")) {
        return;
    }
    // why the result does not matter: it works either way. Who may not choose `cubic` may always choose `reno`, as good where
    // nothing is lost.
    let _chosen = [b"cubic".as_slice(), b"reno"]
        .into_iter()
        .any(|name| set_option(socket, libc::IPPROTO_TCP, libc::TCP_CONGESTION, name).is_ok());
}

fn congestion_control(socket: &OwnedFd) -> io::Result<[u8; 16]> {
    option(socket, libc::IPPROTO_TCP, libc::TCP_CONGESTION)
}

pub(crate) fn listen(address: SocketAddr) -> io::Result<OwnedFd> {
    // why NODELAY here too: accepted sockets inherit it, one system call less for each
    let socket = stream(&address)?;
    unpace_on_loopback(&socket, &address);
    set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &ON)?;
    let (storage, len) = to_os(address);
    // SAFETY: `storage` holds an address of `len` bytes.
    check(unsafe { libc::bind(socket.as_raw_fd(), storage.as_ptr().cast(), len) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), BACKLOG) })?;
    Ok(socket)
}

/// Starts connecting; done when the socket is writable, see [`take_error`].
pub(crate) fn connect(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = stream(&address)?;
    unpace_on_loopback(&socket, &address);
    let (storage, len) = to_os(address);
    // SAFETY: `storage` holds an address of `len` bytes.
    match check(unsafe { libc::connect(socket.as_raw_fd(), storage.as_ptr().cast(), len) }) {
        Ok(_) => Ok(socket),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(e) => Err(e),
    }
}

/// The error of a finished connect, if it had one.
pub(crate) fn take_error(socket: &OwnedFd) -> io::Result<()> {
    let code = i32::from_ne_bytes(option(socket, libc::SOL_SOCKET, libc::SO_ERROR)?);
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code))
    }
}

pub(crate) fn accept(listener: RawFd) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null address and length are allowed; the result is a fresh descriptor.
    unsafe {
        Ok(own(check(libc::accept4(
            listener,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            flags,
        ))?))
    }
}

pub(crate) fn local_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    // SAFETY: `name_of` passes a writable address and its length.
    name_of(|storage, len| unsafe { libc::getsockname(socket.as_raw_fd(), storage, len) })
}

pub(crate) fn peer_address(socket: &OwnedFd) -> io::Result<SocketAddr> {
    // SAFETY: `name_of` passes a writable address and its length.
    name_of(|storage, len| unsafe { libc::getpeername(socket.as_raw_fd(), storage, len) })
}

pub(crate) fn shutdown(socket: RawFd) {
    // SAFETY: no pointers. An error means that it is not connected any more, which is what is wanted.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// Appends what has arrived to the spare room of `buf`, at most `max` bytes. 0 means the peer is done.
pub(crate) fn recv(socket: RawFd, buf: &mut BytesMut, max: usize) -> io::Result<usize> {
    let spare = buf.spare_capacity_mut();
    let len = spare.len().min(max);
    debug_assert!(
        len > 0,
        "a receive into no room would look like the end of the stream"
    );
    // SAFETY: writes at most `len` bytes into the spare room.
    let n = check_len(unsafe { libc::recv(socket, spare.as_mut_ptr().cast(), len, libc::MSG_DONTWAIT) })?;
    // SAFETY: the kernel has initialised `n` bytes past the length, within the capacity.
    unsafe { buf.advance_mut(n) };
    Ok(n)
}

pub(crate) const SEND_SLICES_MAX: usize = 64;

/// One gathered send that never waits; `more` holds a part-full segment back for what follows at once.
pub(crate) fn send(socket: RawFd, slices: &[io::IoSlice<'_>], more: bool) -> io::Result<usize> {
    debug_assert!(slices.len() <= SEND_SLICES_MAX);
    // why NOSIGNAL: a peer that went away is an error here, not a SIGPIPE for the process
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: msghdr is plain data, for which zero (no name, no control) is valid. IoSlice is ABI-compatible with
    // iovec, sendmsg only reads through the pointer, and the slices are borrowed for the call.
    check_len(unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = slices.as_ptr().cast_mut().cast();
        message.msg_iovlen = slices.len() as _;
        libc::sendmsg(socket, &message, flags)
    })
}

fn name_of(
    call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int,
) -> io::Result<SocketAddr> {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    check(call(storage.as_mut_ptr().cast(), &mut len))?;
    // SAFETY: sockaddr_storage is plain data, for which zero and any family are valid.
    from_os(&unsafe { storage.assume_init() })
}

fn to_os(address: SocketAddr) -> (MaybeUninit<libc::sockaddr_storage>, libc::socklen_t) {
    let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let len = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: a sockaddr_in fits into and is aligned within a sockaddr_storage, which is zeroed.
            let os = unsafe { &mut *storage.as_mut_ptr().cast::<libc::sockaddr_in>() };
            os.sin_family = libc::AF_INET as libc::sa_family_t;
            os.sin_port = v4.port().to_be();
            os.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above, for sockaddr_in6.
            let os = unsafe { &mut *storage.as_mut_ptr().cast::<libc::sockaddr_in6>() };
            os.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            os.sin6_port = v6.port().to_be();
            os.sin6_addr.s6_addr = v6.ip().octets();
            os.sin6_flowinfo = v6.flowinfo();
            os.sin6_scope_id = v6.scope_id();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, len as libc::socklen_t)
}

fn from_os(storage: &libc::sockaddr_storage) -> io::Result<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the storage holds a sockaddr_in.
            let os = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(os.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddrV4::new(ip, u16::from_be(os.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that the storage holds a sockaddr_in6.
            let os = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(os.sin6_addr.s6_addr);
            let port = u16::from_be(os.sin6_port);
            Ok(SocketAddrV6::new(ip, port, os.sin6_flowinfo, os.sin6_scope_id).into())
        }
        family => Err(io::Error::other(format!(
            "a socket of an unexpected address family: {family}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn no_delay(socket: &OwnedFd) -> bool {
        let value = option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY).expect("getsockopt");
        i32::from_ne_bytes(value) != 0
    }

    /// With Nagle's delay a small answer waits for the peer's acknowledgement: 40 ms instead of 40 us. Addresses of
    /// both families must survive the way through the kernel.
    #[test]
    fn sockets_have_no_delay_and_keep_their_addresses() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let address: SocketAddr = ip.parse().expect("an address");
            let Ok(listener) = listen(address) else {
                assert!(address.is_ipv6(), "a machine may lack IPv6, but not IPv4");
                continue;
            };
            let address = local_address(&listener).expect("bound");
            assert!(address.ip().is_loopback() && address.port() != 0);
            let client = connect(address).expect("connect");
            let server = loop {
                match accept(listener.as_raw_fd()) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                    other => break other.expect("accept"),
                }
            };
            assert!(no_delay(&client) && no_delay(&server));
            for socket in [&client, &server] {
                let name = congestion_control(socket).expect("getsockopt");
                assert!(!name.starts_with(b"bbr"), "paced on loopback");
            }
            assert_eq!(peer_address(&server).ok(), local_address(&client).ok());
        }
    }
}
