//! Progress that people watch: a bar on a terminal, a line now and then elsewhere.

use crate::regular_file;
use indicatif::{
    FormattedDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle,
};
use std::io::{IsTerminal, Write};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// All bars, so that lines of the log are written above them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Seconds between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Target of log events that are for the JSON file alone: figures that the console shows in words.
pub const LOG_ONLY: &str = "figures";

/// Progress of one piece of work in countable units.
pub struct Progress {
    bar: ProgressBar,
    what: String,
    begun: Instant,
    last_line: Mutex<Instant>,
}

impl Progress {
    /// Begin `total` units (`unit` in the plural, for example "frames") of `what`.
    pub fn new(what: &str, total: u64, unit: &str) -> Self {
        let hidden = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let bar = if std::io::stderr().is_terminal() { BARS.add(hidden) } else { hidden };
        let template = format!(
            "{{prefix:>10}} {{bar:28}} {{pos}}/{{len}} {unit} {{rate}} · {{elapsed}} gone, {{eta}} left · {{wide_msg}}"
        );
        if let Ok(style) = ProgressStyle::with_template(&template) {
            let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                // What cannot be drawn is not missed.
                let _ = write!(out, "{:.1}/s", state.per_sec());
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.set_prefix(what.to_owned());
        let now = Instant::now();
        Self { bar, what: what.to_owned(), begun: now, last_line: Mutex::new(now) }
    }

    /// `n` more units are done; `state` says what else is worth seeing.
    pub fn advance(&self, n: u64, state: impl FnOnce() -> String) {
        self.bar.inc(n);
        if !self.bar.is_hidden() {
            self.bar.set_message(state());
            return;
        }
        let Ok(mut last) = self.last_line.lock() else { return };
        if last.elapsed() < LINE_EVERY {
            return;
        }
        *last = Instant::now();
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let seconds = self.begun.elapsed().as_secs_f64();
        let rate = done as f64 / seconds;
        let left = Duration::from_secs((total.saturating_sub(done) as f64 / rate.max(1e-9)) as u64);
        let left = FormattedDuration(left);
        let state = state();
        let comma = if state.is_empty() { "" } else { ", " };
        tracing::info!("{}: {done}/{total}, {rate:.1}/s{comma}{state}, about {left} left", self.what);
    }

    /// Units done so far.
    pub fn done(&self) -> u64 {
        self.bar.position()
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Remove the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The console, for lines of the log: bars make room for them.
struct AboveBars;

impl Write for AboveBars {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        BARS.suspend(|| std::io::stderr().write(line))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// Logs to the console as plain lines, and to `file` as JSON lines where given.
pub fn start_log(file: Option<&std::path::Path>) -> crate::Result<()> {
    use tracing_subscriber::prelude::*;
    let filter = || {
        tracing_subscriber::EnvFilter::try_from_env("SIGNCLIP_LOG")
            .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"))
    };
    let words = |filter: tracing_subscriber::EnvFilter| match format!("{LOG_ONLY}=off").parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let console = tracing_subscriber::fmt::layer()
        .without_time()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(|| AboveBars)
        .with_filter(words(filter()));
    let json = match file {
        None => None,
        Some(path) => {
            let file = regular_file::append(path);
            let file = file.map_err(crate::Error::io(path))?;
            Some(tracing_subscriber::fmt::layer().json().with_writer(Mutex::new(file)).with_filter(filter()))
        }
    };
    // A second call in one process (tests) keeps the first log.
    let _ = tracing_subscriber::registry().with(console).with(json).try_init();
    Ok(())
}
