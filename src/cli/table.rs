//! Tables on the terminal: columns without borders, which other programs can read, too.

use comfy_table::{ContentArrangement, Table as Layout, presets};

use crate::cli::subscriber::escape_control_characters;
use crate::util::output;
use crate::util::style::{Tone, paint};

/// A table with a title for each column.
pub(super) struct Table {
    layout: Layout,
}

impl Table {
    pub(super) fn new<const COLUMNS: usize>(titles: [&str; COLUMNS]) -> Self {
        let mut layout = Layout::new();
        layout.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        layout.set_header(titles);
        Self { layout }
    }

    /// Adds a row. Control characters in its texts are escaped.
    pub(super) fn add_row(&mut self, texts: impl IntoIterator<Item = String>) {
        let one_line = |text: String| escape_control_characters(&text).replace(['\n', '\t'], " ");
        self.layout.add_row(texts.into_iter().map(one_line));
    }

    /// Prints the titles and the rows, or nothing for a table without rows.
    pub(super) fn print(&self) {
        if self.layout.is_empty() {
            return;
        }
        for (index, line) in self.layout.to_string().lines().enumerate() {
            // comfy-table has a space before each column.
            let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
            output::print_line(&if index == 0 { paint(line, Tone::Strong) } else { line.to_owned() });
        }
    }
}
