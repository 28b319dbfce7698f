//! Accepting connections and handing them out.

use std::io;
use std::net::SocketAddr;

use reactor::{DetachedSocket, Listener};

/// Accepts for ever. Each connection goes to `hand_out` with the number of the shard whose turn it is (round robin: 64
/// connections over two shards come out 32 and 32). `hand_out` must not block; what it does not keep is closed.
///
/// # Errors
/// Only what trying again does not heal; a lack of descriptors is waited out by the reactor.
pub async fn accept_loop(
    listener: &Listener,
    shard_count: usize,
    mut hand_out: impl FnMut(usize, DetachedSocket, SocketAddr),
) -> io::Result<std::convert::Infallible> {
    let mut shard = 0;
    loop {
        let (socket, peer) = listener.accept().await?;
        hand_out(shard, socket, peer);
        shard = (shard + 1) % shard_count.max(1);
    }
}
