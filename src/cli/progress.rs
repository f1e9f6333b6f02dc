//! The progress of long commands: a bar on a terminal, otherwise a line a second and one at the end. Both go to standard error.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::util::output;

/// The minimum time between two lines.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// How many times a second the bar is drawn at most.
const DRAWS_PER_SECOND: u8 = 10;

pub(super) struct Progress {
    /// `None` if standard error is not a terminal.
    bar: Option<ProgressBar>,
    total: Option<u64>,
    last_line: Instant,
}

impl Progress {
    /// Starts to report. `total` is the number of items; `None` if it is not known.
    pub(super) fn start(total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar =
                ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND));
            let template = match total {
                Some(_) => "{bar:30} {percent:>3} %  {msg}  {eta} left",
                None => "{spinner} {msg}  {elapsed}",
            };
            bar.set_style(
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar
        });
        Self { bar, total, last_line: Instant::now() }
    }

    /// Reports that the items before `position` are done. `text` says what they are; without a terminal it is used only if a line
    /// is due, and then `true` is returned.
    pub(super) fn update(&mut self, position: u64, text: impl FnOnce() -> String) -> bool {
        let is_due = self.last_line.elapsed() >= LINE_INTERVAL || self.total == Some(position);
        if is_due {
            self.last_line = Instant::now();
        }
        match &self.bar {
            Some(bar) => {
                bar.set_position(position);
                bar.set_message(text());
            }
            None if is_due => output::print_error(&text()),
            None => {}
        }
        is_due
    }

    /// Reports a command whose progress is not known.
    pub(super) fn spin(text: &str) -> Self {
        let progress = Self::start(None);
        if let Some(bar) = &progress.bar {
            bar.set_message(text.to_owned());
            bar.enable_steady_tick(Duration::from_secs(1) / u32::from(DRAWS_PER_SECOND));
        }
        progress
    }
}

/// Removes the bar, also when the command fails, so that its error has a line of its own.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
