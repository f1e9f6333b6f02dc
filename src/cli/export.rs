//! `hookbridge export`: writes recorded events as JSON lines or CSV.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use jiff::Timestamp;

use crate::cli::arguments;
use crate::cli::progress::Progress;
use crate::db::{Database, OpenDatabaseError};
use crate::log::{COLUMNS, EventLog, PageRequest, Search, SortOrder, StoredEvent};
use crate::recorder;
use crate::serve::config::default_log_file;
use crate::util::output;

/// The maximum number of events that one query of the log returns.
const PAGE_SIZE: u32 = 5000;
/// The first characters of a text that a spreadsheet executes as a formula. Source: "CSV Injection", OWASP.
const FORMULA_STARTS: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// Write the events of a time range, oldest first, as JSON lines (EventBridge envelope) or CSV (search columns and
/// detail).
#[derive(clap::Args)]
pub struct Export {
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    format: Format,
    /// Write CSV fields unchanged. Without this option, a field that begins with `=`, `+`, `-`, `@`, a tab or a carriage return
    /// gets a leading apostrophe, because a spreadsheet would execute it as a formula.
    #[arg(long)]
    raw: bool,
    /// Start of the range (inclusive): 2026-11-22, or 2026-11-22T10:00:00Z [default: the beginning].
    #[arg(long, value_name = "TIME", value_parser = arguments::parse_time)]
    from: Option<Timestamp>,
    /// End of the range (exclusive)
    #[arg(long, value_name = "TIME", value_parser = arguments::parse_time)]
    to: Option<Timestamp>,
    /// Write only events of this type; repeatable.
    #[arg(long = "type", value_name = "TYPE", value_parser = arguments::parse_event_type)]
    types: Vec<String>,
    /// The log: `postgres://USER:PASSWORD@HOST/DATABASE`, or an SQLite file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log_file())]
    database: PathBuf,
    /// The output file [default: standard output].
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Output format of events.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// One line of JSON per event.
    Jsonl,
    /// One row per event, after a header.
    Csv,
}

/// Failure of an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log cannot be opened or read.
    #[error(transparent)]
    Log(#[from] OpenDatabaseError),
    /// The time range is reversed.
    #[error("--from is later than --to")]
    ReversedRange,
    /// The output cannot be written.
    #[error("cannot write {output}: {error}")]
    Output {
        /// The path, or "standard output".
        output: String,
        /// The cause.
        error: std::io::Error,
    },
}

impl Export {
    /// Writes the events. Reports progress if the output is a file, or if standard error is a terminal and standard output is
    /// not.
    ///
    /// # Errors
    /// The range is reversed, the log cannot be read, or the output cannot be written.
    pub async fn run(self) -> Result<(), ExportError> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err(ExportError::ReversedRange);
        }
        let (db, log_error) = Database::open_existing(&self.database, 1).await?;
        let log = EventLog::new(db);
        let output_name =
            self.output.as_ref().map_or("standard output".into(), |path| path.display().to_string());
        let output_error = |error| ExportError::Output { output: output_name.clone(), error };
        let mut out: Box<dyn Write + Send> = match &self.output {
            Some(path) => {
                Box::new(std::io::BufWriter::new(std::fs::File::create(path).map_err(output_error)?))
            }
            None => Box::new(std::io::BufWriter::new(std::io::stdout())),
        };
        let reports_progress =
            self.output.is_some() || (std::io::stderr().is_terminal() && !std::io::stdout().is_terminal());
        let search = Search {
            from: self.from.unwrap_or(Timestamp::MIN),
            to: self.to.unwrap_or(Timestamp::MAX),
            types: self.types,
            ..Search::default()
        };
        let mut page =
            PageRequest { order: SortOrder::OldestFirst, after: None, offset: 0, limit: PAGE_SIZE };
        let mut written_count = 0_u64;
        let mut progress = reports_progress.then(|| Progress::start(None));
        if matches!(self.format, Format::Csv) {
            write_row(&mut out, &csv_header(), false).map_err(output_error)?;
        }
        loop {
            let events = log.search(&search, &page).await.map_err(&log_error)?;
            let Some(last) = events.last() else { break };
            page.after = Some(last.key.clone());
            for event in &events {
                let result = match self.format {
                    Format::Jsonl => out.write_all(&event.to_json_line()),
                    Format::Csv => write_row(&mut out, &csv_row(event), !self.raw),
                };
                match result {
                    // The program that reads the output closed the pipe, as `head` does.
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                    result => result.map_err(output_error)?,
                }
                written_count += 1;
            }
            if let Some(progress) = &mut progress {
                progress.update(written_count, || format!("{written_count} events, up to {}", last.key.time));
            }
        }
        match out.flush() {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            result => result.map_err(output_error)?,
        }
        if progress.take().is_some() {
            output::print_error(&format!("{written_count} events written to {output_name}"));
        }
        Ok(())
    }
}

fn csv_header() -> Vec<Cow<'static, str>> {
    let envelope_columns = ["time", "id", "source", "type"].into_iter();
    envelope_columns
        .chain(COLUMNS.iter().map(|column| column.name))
        .chain(["detail"])
        .map(Cow::Borrowed)
        .collect()
}

fn csv_row(event: &StoredEvent) -> Vec<Cow<'_, str>> {
    let mut row: Vec<Cow<'_, str>> = vec![
        event.key.time.to_string().into(),
        event.key.id.as_str().into(),
        event.source.as_str().into(),
        event.detail_type.as_str().into(),
    ];
    let search_columns = recorder::search_columns(&event.source, &event.detail);
    row.extend(search_columns.values_as_sent().map(|value| value.unwrap_or_default().to_owned().into()));
    row.push(event.detail.as_str().into());
    row
}

/// Writes a CSV row with every field quoted. Source: RFC 4180. With `escape_formulas`, a field that a spreadsheet would execute
/// as a formula begins with an apostrophe.
fn write_row(out: &mut impl Write, row: &[Cow<'_, str>], escape_formulas: bool) -> std::io::Result<()> {
    let quote = |field: &Cow<'_, str>| {
        let is_formula = escape_formulas && field.starts_with(FORMULA_STARTS);
        format!("\"{}{}\"", if is_formula { "'" } else { "" }, field.replace('"', "\"\""))
    };
    let fields: Vec<_> = row.iter().map(quote).collect();
    out.write_all(fields.join(",").as_bytes())?;
    out.write_all(b"\r\n")
}
