//! How long the quorum waits for what.

use std::time::Duration;

/// Kafka's timers, shorter by default: a crash is told by a refused connection long before, these are for silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers {
    /// `controller.quorum.election.timeout.ms`: how long an election may last before it is tried again; the wait before that
    /// is this once to twice. Smaller: faster after a split vote, more of them.
    pub election: Duration,
    /// `controller.quorum.fetch.timeout.ms`: how long a follower believes in a leader that does not answer, and, half as
    /// long again, a leader in a majority that does not ask. Smaller: faster, and fooled by shorter pauses.
    pub fetch: Duration,
    /// How long a Fetch may wait at the leader for records: this often the leader is heard at least.
    pub fetch_wait: Duration,
    /// `controller.quorum.request.timeout.ms`: a request without an answer is given up.
    pub request: Duration,
    /// `controller.quorum.retry.backoff.ms`
    pub retry: Duration,
    /// Longest wait, drawn by lot, between the news that the leader is dead and the first candidacy: one of the voters
    /// should be ahead. Several times the round trip and the sync that a vote costs.
    pub hold_off: Duration,
    /// How long a change of the voters may take.
    pub change: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Timers {
            election: Duration::from_millis(150),
            fetch: Duration::from_millis(500),
            fetch_wait: Duration::from_millis(100),
            request: Duration::from_millis(400),
            retry: Duration::from_millis(20),
            hold_off: Duration::from_millis(50),
            change: Duration::from_secs(5),
        }
    }
}

impl Timers {
    /// How long a leader goes on without a majority. Longer than followers wait: they should not find it still leading.
    pub(super) fn check_quorum(&self) -> Duration {
        self.fetch + self.fetch / 2
    }

    /// How often a voter that does not ask is told who leads.
    pub(super) fn begin_epoch(&self) -> Duration {
        self.fetch / 4
    }
}
