//! What one connection may take.

use std::time::Duration;

/// Bounds of one connection. Beyond any of the first three nothing more is read from it until there is room again:
/// TCP then holds the client back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// `socket.request.max.bytes`: a longer frame closes the connection.
    pub request_bytes_max: usize,
    /// Requests read and not answered yet. Smaller: less memory a client; larger: deeper pipelining. Kafka has 1.
    pub in_flight_max: usize,
    /// Bytes of answers that are ready and not sent yet. One answer may be larger; then the next request waits.
    pub unsent_bytes_max: usize,
    /// `connections.max.idle.ms`: the longest time without a whole request or answer while no request is being handled.
    pub idle_max: Duration,
    /// How long received bytes may wait for room in the shared budget before the connections that hold most of it are given
    /// up. Without it clients that each sent half a request could fill the budget and wait for one another for ever.
    pub memory_wait_max: Duration,
}

impl Default for Limits {
    /// Kafka's defaults where it has the property; the others are guesses, to be measured.
    fn default() -> Limits {
        Limits {
            request_bytes_max: 100 * 1024 * 1024,
            in_flight_max: 128,
            unsent_bytes_max: 4 * 1024 * 1024,
            idle_max: Duration::from_secs(600),
            memory_wait_max: Duration::from_secs(1),
        }
    }
}
