//! Colours of terminal output. Text that does not go to a terminal has none, and none has if `NO_COLOR` is set.

use std::sync::LazyLock;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};

/// The meaning of a text, which its colour shows.
#[derive(Clone, Copy)]
pub enum Tone {
    Good,
    Warning,
    Bad,
    /// A title, or a command to run.
    Strong,
    /// A detail.
    Faint,
}

static STDOUT_HAS_COLORS: LazyLock<bool> =
    LazyLock::new(|| AutoStream::choice(&std::io::stdout()) != ColorChoice::Never);
static STDERR_HAS_COLORS: LazyLock<bool> =
    LazyLock::new(|| AutoStream::choice(&std::io::stderr()) != ColorChoice::Never);

/// Colours a text for standard output.
pub fn paint(text: &str, tone: Tone) -> String {
    paint_if(*STDOUT_HAS_COLORS, text, tone)
}

/// Colours a text for standard error.
pub fn paint_error(text: &str, tone: Tone) -> String {
    paint_if(*STDERR_HAS_COLORS, text, tone)
}

fn paint_if(has_colors: bool, text: &str, tone: Tone) -> String {
    if !has_colors {
        return text.to_owned();
    }
    let style = match tone {
        Tone::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Tone::Warning => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
        Tone::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())),
        Tone::Strong => Style::new().bold(),
        Tone::Faint => Style::new().dimmed(),
    };
    format!("{style}{text}{style:#}")
}
