//! Connections and sockets.

use super::reason;
use crate::config::property::{Owner, Section, int, long, string};

pub(super) const SECTION: Section = Section {
    title: "Connections and sockets",
    intro: "What one client, one address and all clients together may hold.",
    owner: Owner::Broker,
    rows: &[
        long("connections.max.idle.ms")
            .default("600000")
            .ms()
            .doc("A connection without traffic for this long is closed; zero or less: never."),
        int("max.connections")
            .default("2147483647")
            .at_least(0)
            .cluster_wide()
            .doc("Largest number of client connections at a time; further ones are closed at once."),
        int("max.connections.per.ip")
            .default("2147483647")
            .at_least(0)
            .cluster_wide()
            .doc("Largest number of connections from one address at a time."),
        string("max.connections.per.ip.overrides")
            .default("")
            .cluster_wide()
            .no_effect(reason::NOT_ENFORCED)
            .doc("Exceptions from max.connections.per.ip, as address:count."),
        int("max.connection.creation.rate")
            .default("2147483647")
            .at_least(0)
            .cluster_wide()
            .no_effect(reason::NOT_ENFORCED)
            .doc("Largest number of new connections per second."),
        int("socket.request.max.bytes")
            .default("104857600")
            .at_least(1)
            .bytes()
            .high()
            .doc("Largest request. A connection that announces more is closed."),
        int("socket.listen.backlog.size")
            .default("50")
            .at_least(1)
            .no_effect(reason::BACKLOG)
            .doc("Length of the queue of connections the kernel has accepted and we have not."),
        int("socket.send.buffer.bytes")
            .default("102400")
            .bytes()
            .high()
            .no_effect(reason::KERNEL_BUFFERS)
            .doc("Send buffer of a client socket; -1: the kernel decides."),
        int("socket.receive.buffer.bytes")
            .default("102400")
            .bytes()
            .high()
            .no_effect(reason::KERNEL_BUFFERS)
            .doc("Receive buffer of a client socket; -1: the kernel decides."),
        long("socket.connection.setup.timeout.ms")
            .default("10000")
            .ms()
            .no_effect(reason::OWN_BOUNDS)
            .doc("Time to wait for a connection to another broker."),
        long("socket.connection.setup.timeout.max.ms")
            .default("30000")
            .ms()
            .no_effect(reason::OWN_BOUNDS)
            .doc("Longest time to wait for a connection to another broker after repeated failures."),
        int("queued.max.requests")
            .default("500")
            .at_least(1)
            .high()
            .no_effect(reason::REQUEST_BUDGET)
            .doc("Number of requests that may wait for a thread."),
        long("queued.max.request.bytes")
            .default("-1")
            .bytes()
            .no_effect(reason::REQUEST_BUDGET)
            .doc("Bytes of requests that may wait for a thread."),
        long("connections.max.reauth.ms")
            .default("0")
            .ms()
            .no_effect(reason::NO_SASL)
            .doc("Lifetime of an authenticated session before the client must authenticate again."),
        int("connection.failed.authentication.delay.ms")
            .default("100")
            .at_least(0)
            .ms()
            .low()
            .no_effect(reason::NO_SASL)
            .doc("Delay before a connection that failed to authenticate is closed."),
        int("request.timeout.ms")
            .default("30000")
            .ms()
            .high()
            .no_effect(reason::OWN_BOUNDS)
            .doc("Time this broker waits for an answer of another one."),
    ],
};
