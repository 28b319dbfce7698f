//! Trying again what may succeed a moment later.

use std::time::Duration;

use super::AskError;

/// Kafka's `retry.backoff.ms` and `retry.backoff.max.ms`.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Asks until the answer is final or `patience` is over; then the last failure stands.
pub async fn retry<T>(
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, AskError>,
) -> Result<T, AskError> {
    let deadline = reactor::now() + patience;
    for attempt in 0.. {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let pause = backoff(attempt, reactor::random_u64());
        if !error.is_retriable() || reactor::now() + pause > deadline {
            return Err(error);
        }
        reactor::sleep(pause).await;
    }
    Err(AskError::Deadline(patience))
}

/// Doubles from try to try; a fifth more or less, so that many clients do not come back in step.
fn backoff(attempt: u32, chance: u64) -> Duration {
    let full = BACKOFF_MIN.saturating_mul(1 << attempt.min(10)).min(BACKOFF_MAX);
    let spread = (chance % 401) as u32; // 0..=400 thousandths above 80 %
    full * (800 + spread) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_within_bounds() {
        assert_eq!(backoff(0, 200), Duration::from_millis(100));
        assert_eq!(backoff(1, 0), Duration::from_millis(160));
        assert_eq!(backoff(1, 400), Duration::from_millis(240));
        assert_eq!(backoff(u32::MAX, 200), BACKOFF_MAX);
    }
}
