//! Deadline-aware retry with jittered exponential backoff.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::warn;

use super::CallError;
use super::failure::Failure;

/// The longest pause before the first retry; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Minimum time for an attempt.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(100);
/// An attempt that takes longer is given up, so that another one fits.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(3);

/// Makes one call of AWS until it succeeds, fails for good, or no more attempt fits before `deadline`. `call` is its
/// name in the log.
///
/// # Errors
/// [`CallError`]: the final one, or the last.
pub async fn retried<F, T>(call: &str, deadline: Instant, attempt: impl Fn() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, Failure>>,
{
    tried(Attempts::until(deadline), call, attempt).await
}

/// The same for a call that may take longer than one of AWS: each attempt as long as `longest`.
///
/// # Errors
/// [`CallError`]: the final one, or the last.
#[cfg(feature = "command")]
pub async fn retried_for<F, T>(
    call: &str,
    deadline: Instant,
    longest: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<T, Failure>>,
{
    tried(Attempts { longest, ..Attempts::until(deadline) }, call, attempt).await
}

async fn tried<F, T>(mut attempts: Attempts, call: &str, attempt: impl Fn() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut last = String::new();
    while let Some(time) = attempts.next().await {
        match timeout(time, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(Failure::Final(error))) => return Err(error),
            Ok(Err(Failure::Passing(said))) => last = said,
            Err(_) => last = format!("no answer in {} ms", time.as_millis()),
        }
        warn!(attempt = attempts.made, error = last, "{call} failed");
    }
    Err(CallError::Unavailable { attempts: attempts.made, last })
}

/// The attempts at one call, as many as fit before a deadline. Pauses grow and are jittered over their whole
/// length, so that many functions that failed together do not come back together.
struct Attempts {
    deadline: Instant,
    longest: Duration,
    made: u32,
}

impl Attempts {
    fn until(deadline: Instant) -> Self {
        Self { deadline, longest: LONGEST_ATTEMPT, made: 0 }
    }

    /// Waits until the next attempt may begin and says how long it may take; `None` when no more fits.
    async fn next(&mut self) -> Option<Duration> {
        if self.made > 0 {
            let ceiling = FIRST_PAUSE.saturating_mul(1 << (self.made - 1).min(5)).min(LONGEST_PAUSE);
            let pause = ceiling.mul_f64(fastrand::f64());
            if self.left() < pause + SHORTEST_ATTEMPT {
                return None;
            }
            tokio::time::sleep(pause).await;
        }
        self.made += 1;
        Some(self.left().clamp(SHORTEST_ATTEMPT, self.longest))
    }

    fn left(&self) -> Duration {
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
            let mut attempts = Attempts::until(deadline);
            while let Some(time) = attempts.next().await {
                assert!(seconds == 0 || Instant::now() + SHORTEST_ATTEMPT <= deadline);
                tokio::time::sleep(time.min(Duration::from_millis(20))).await;
            }
            assert!(attempts.made >= 1, "one attempt is always made");
            assert!(attempts.made < 60, "{} attempts in {seconds} s", attempts.made);
        }
    }
}
