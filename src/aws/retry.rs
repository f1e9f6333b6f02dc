//! Deadline-aware retry with jittered exponential backoff.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::warn;

use super::{AttemptFailure, AwsError};

/// Maximum pause before the first retry. The maximum pause doubles with each further retry, up to [`MAX_BACKOFF`].
const BASE_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// A retry starts only if at least this much time is left before the deadline.
const MIN_ATTEMPT_TIME: Duration = Duration::from_millis(100);
/// Timeout of one attempt. Without this timeout, one slow attempt could leave no time for another before the deadline.
const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Makes an AWS request until it succeeds, fails permanently, or no further attempt fits before `deadline`.
/// `operation` is the name of the request in the log.
///
/// # Errors
/// When an attempt fails permanently, or no attempt succeeds in time ([`AwsError::Unavailable`]).
pub async fn retry<F, T>(operation: &str, deadline: Instant, attempt: impl Fn() -> F) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, AttemptFailure>>,
{
    run_attempts(RetryState::until(deadline), operation, attempt).await
}

/// Retries as [`retry`] does, for a request whose attempts may take up to `attempt_timeout`.
///
/// # Errors
/// As for [`retry`].
#[cfg(feature = "command")]
pub async fn retry_with_attempt_timeout<F, T>(
    operation: &str,
    deadline: Instant,
    attempt_timeout: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, AttemptFailure>>,
{
    run_attempts(RetryState { attempt_timeout, ..RetryState::until(deadline) }, operation, attempt).await
}

async fn run_attempts<F, T>(
    mut state: RetryState,
    operation: &str,
    attempt: impl Fn() -> F,
) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, AttemptFailure>>,
{
    let mut last_error = String::new();
    while let Some(time_limit) = state.next_attempt().await {
        match timeout(time_limit, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(AttemptFailure::Permanent(error))) => return Err(error),
            Ok(Err(AttemptFailure::Transient(error))) => last_error = error,
            Err(_) => last_error = format!("no response within {} ms", time_limit.as_millis()),
        }
        warn!(attempt = state.attempts, error = last_error, "{operation} failed");
    }
    Err(AwsError::Unavailable { attempts: state.attempts, last_error })
}

/// The attempts of one request. Each pause is a random part of the maximum pause (full jitter), so that functions whose
/// requests failed at the same time do not retry at the same time.
struct RetryState {
    deadline: Instant,
    attempt_timeout: Duration,
    attempts: u32,
}

impl RetryState {
    fn until(deadline: Instant) -> Self {
        Self { deadline, attempt_timeout: DEFAULT_ATTEMPT_TIMEOUT, attempts: 0 }
    }

    /// Waits until the next attempt may start and returns the time limit of that attempt; `None` if no attempt fits before the
    /// deadline.
    async fn next_attempt(&mut self) -> Option<Duration> {
        if self.attempts > 0 {
            let max_pause = BASE_BACKOFF.saturating_mul(1 << (self.attempts - 1).min(5)).min(MAX_BACKOFF);
            let pause = max_pause.mul_f64(fastrand::f64());
            if self.time_left() < pause + MIN_ATTEMPT_TIME {
                return None;
            }
            tokio::time::sleep(pause).await;
        }
        self.attempts += 1;
        Some(self.time_left().clamp(MIN_ATTEMPT_TIME, self.attempt_timeout))
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
            let mut state = RetryState::until(deadline);
            while let Some(time_limit) = state.next_attempt().await {
                assert!(seconds == 0 || Instant::now() + MIN_ATTEMPT_TIME <= deadline);
                tokio::time::sleep(time_limit.min(Duration::from_millis(20))).await;
            }
            assert!(state.attempts >= 1, "one attempt is always made");
            assert!(state.attempts < 60, "{} attempts in {seconds} s", state.attempts);
        }
    }
}
