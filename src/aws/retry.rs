//! Deadline-aware retry with jittered exponential backoff.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::warn;

use super::{AttemptFailure, AwsError};

/// The longest pause before the first retry; it doubles from there.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// No attempt starts with less time than this.
const MIN_ATTEMPT_TIME: Duration = Duration::from_millis(100);
/// An attempt that takes longer is abandoned, so that another one fits.
const MAX_ATTEMPT_TIME: Duration = Duration::from_secs(3);

/// Makes an AWS request until it succeeds, fails permanently, or no further attempt fits before `deadline`. `call` is its name in
/// the log.
///
/// # Errors
/// The permanent error, or the last transient one.
pub async fn retry<F, T>(call: &str, deadline: Instant, attempt: impl Fn() -> F) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, AttemptFailure>>,
{
    run_attempts(RetryState::until(deadline), call, attempt).await
}

/// Retries a request whose attempts may take up to `longest`.
///
/// # Errors
/// The permanent error, or the last transient one.
#[cfg(feature = "command")]
pub async fn retry_with_attempt_limit<F, T>(
    call: &str,
    deadline: Instant,
    max_attempt: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, AttemptFailure>>,
{
    run_attempts(RetryState { max_attempt, ..RetryState::until(deadline) }, call, attempt).await
}

async fn run_attempts<F, T>(
    mut attempts: RetryState,
    call: &str,
    attempt: impl Fn() -> F,
) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, AttemptFailure>>,
{
    let mut last = String::new();
    while let Some(time) = attempts.next_attempt().await {
        match timeout(time, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(AttemptFailure::Permanent(error))) => return Err(error),
            Ok(Err(AttemptFailure::Transient(said))) => last = said,
            Err(_) => last = format!("no response within {} ms", time.as_millis()),
        }
        warn!(attempt = attempts.attempts, error = last, "{call} failed");
    }
    Err(AwsError::Unavailable { attempts: attempts.attempts, last })
}

/// The attempts of one request. Pauses have full jitter, so that functions that failed together do not retry together.
struct RetryState {
    deadline: Instant,
    max_attempt: Duration,
    attempts: u32,
}

impl RetryState {
    fn until(deadline: Instant) -> Self {
        Self { deadline, max_attempt: MAX_ATTEMPT_TIME, attempts: 0 }
    }

    /// Waits until the next attempt may start and returns its time limit; `None` if no attempt fits before the deadline.
    async fn next_attempt(&mut self) -> Option<Duration> {
        if self.attempts > 0 {
            let ceiling = MIN_BACKOFF.saturating_mul(1 << (self.attempts - 1).min(5)).min(MAX_BACKOFF);
            let pause = ceiling.mul_f64(fastrand::f64());
            if self.time_left() < pause + MIN_ATTEMPT_TIME {
                return None;
            }
            tokio::time::sleep(pause).await;
        }
        self.attempts += 1;
        Some(self.time_left().clamp(MIN_ATTEMPT_TIME, self.max_attempt))
    }

    fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_end_before_the_deadline() {
        for seconds in [0, 1, 2, 5, 8] {
            let deadline = Instant::now() + Duration::from_secs(seconds);
            let mut attempts = RetryState::until(deadline);
            while let Some(time) = attempts.next_attempt().await {
                assert!(seconds == 0 || Instant::now() + MIN_ATTEMPT_TIME <= deadline);
                tokio::time::sleep(time.min(Duration::from_millis(20))).await;
            }
            assert!(attempts.attempts >= 1, "one attempt is always made");
            assert!(attempts.attempts < 60, "{} attempts in {seconds} s", attempts.attempts);
        }
    }
}
