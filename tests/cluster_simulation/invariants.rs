//! What must hold, by name; and, of every simulation, [`reactor::sim::seeds::DETERMINISM`].

/// A record that was acknowledged with acks=all is in the log for ever, at its offset, with its bytes.
pub const ACKNOWLEDGED: &str = "acknowledged records survive";
/// What a reader was given below the high watermark is what every later reader is given.
pub const COMMITTED: &str = "committed records do not change";
/// Nothing is read that nobody sent, and nothing sent once is stored twice by an idempotent producer, nor out of its order.
pub const EXACTLY_ONCE: &str = "idempotent records are stored once and in order";
/// Of one leader epoch of a partition there is one leader.
pub const ONE_LEADER: &str = "one leader per epoch";
/// The high watermark that the leader of an epoch tells a reader never goes back. (The next leader's may begin lower, until
/// it has heard of its followers, as in Kafka; what was read stays: [`COMMITTED`].)
pub const HIGH_WATERMARK: &str = "the high watermark never goes back";
/// Up to the high watermark all replicas have the same bytes.
pub const REPLICAS_AGREE: &str = "replicas agree up to the high watermark";
/// A checkpoint of leader epochs says of no record that it is of another epoch than it is.
pub const EPOCHS_OF_RECORDS: &str = "epochs are those of the records";
/// Controller epochs only grow along the metadata log.
pub const DEPOSED: &str = "a deposed controller writes nothing";
/// Who slept and wakes deposes no controller.
pub const STEADY: &str = "whoever slept deposes nobody";
/// When nothing is broken any more, every partition takes writes within ten seconds.
pub const LIVENESS: &str = "a leader everywhere within ten seconds";
/// No task of a broker panics.
pub const NO_PANIC: &str = "nothing panics";
