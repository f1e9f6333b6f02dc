//! Terminal output and logging setup.
//!
//! Only this crate's own events are written, whatever `RUST_LOG` says: the SDK's debug output can hold requests
//! and answers, and a secret is an answer.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

fn ours() -> Targets {
    Targets::new().with_target("hookbridge", LevelFilter::INFO)
}

/// JSON lines on standard output, which Lambda hands to CloudWatch Logs.
pub fn for_function() {
    let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_target(false);
    tracing_subscriber::registry().with(ours()).with(lines).init();
}

/// How a function ends: it never does, unless it could not start, and then it says why.
pub fn ended(run: Result<(), lambda_runtime::Error>) -> ExitCode {
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            error!("{}", chain(&*cause));
            ExitCode::FAILURE
        }
    }
}

/// Readable lines on standard error, beside a command's own output.
#[cfg(feature = "command")]
pub fn for_terminal() {
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).without_time();
    tracing_subscriber::registry().with(ours()).with(lines).init();
}

/// Set when a write to stdout failed.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

/// Writes one finished line to standard output. A reader that has gone away is no reason to fail; of another failure
/// [`has_failed`] knows.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(format!("{text}\n").as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != ErrorKind::BrokenPipe
        && !HAS_FAILED.swap(true, Ordering::Relaxed)
    {
        let _ = writeln!(std::io::stderr(), "standard output: {error}");
    }
}

/// Whether something that was to be written to standard output was not, and it was told why.
pub fn has_failed() -> bool {
    HAS_FAILED.load(Ordering::Relaxed)
}

/// Tells a person at a terminal, on standard error.
#[cfg(feature = "command")]
pub fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// An error and its causes in one line. Each cause says what it is by its own `Display`, never by `Debug`, which
/// in the SDK can hold the answer it could not read.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
