//! Logs: to a file in the data folder always, to standard error when asked for.
//!
//! The command line stays quiet by itself, so that progress and results can be read; `LOG_LEVEL` turns the log on.
//! It is JSON when `LOG_FORMAT=json` or when nobody reads along (standard error is not a terminal).
//!
//! A service logs to standard output, where what runs it collects the lines.

mod json_lines;
mod traces;

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;

use indicatif::MultiProgress;
use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::Config;
use crate::failure::Failure;
use json_lines::JsonLines;
pub(crate) use traces::Traces;

/// What goes into the file when `LOG_LEVEL` does not say.
const FILE_LEVEL: &str = "info";
/// A log larger than this is put aside at the next start; one old log is kept.
const LOG_MAX_BYTES: u64 = 10 << 20;

/// Begins to log. `bars` is the progress display that log lines must not tear apart.
pub(crate) fn init(config: &Config, bars: &MultiProgress) {
    let level = config.log_level.as_deref();
    let file = open_log(&config.log_file()).map(|file| {
        tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(Mutex::new(file))
            .with_filter(filter(level.unwrap_or(FILE_LEVEL)))
    });
    let screen = level.map(|level| {
        let writer = BesideBars(bars.clone());
        let layer: Box<dyn Layer<Registry> + Send + Sync> = if config.log_json || !io::stderr().is_terminal()
        {
            tracing_subscriber::fmt::layer()
                .json()
                .with_writer(writer)
                .with_filter(filter(level))
                .boxed()
        } else {
            tracing_subscriber::fmt::layer()
                .with_writer(writer)
                .with_filter(filter(level))
                .boxed()
        };
        layer
    });
    // Err means that a log is there already, which is as good.
    let _ = tracing_subscriber::registry()
        .with(screen)
        .with(file.ok())
        .try_init();
}

/// Begins to log as a service does: lines on standard output, readable in a terminal, JSON elsewhere or with
/// `LOG_FORMAT=json`; and to send traces if an endpoint for them is set.
///
/// # Errors
/// [`Failure`] if the endpoint cannot be used.
pub(crate) fn init_service(config: &Config) -> Result<Traces, Failure> {
    let level = config.log_level.as_deref().unwrap_or(FILE_LEVEL);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if config.log_json || !io::stdout().is_terminal() {
        tracing_subscriber::fmt::layer()
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines)
            .with_writer(io::stdout)
            .with_filter(filter(level))
            .boxed()
    } else {
        tracing_subscriber::fmt::layer()
            .with_writer(io::stdout)
            .with_filter(filter(level))
            .boxed()
    };
    let (traces, spans) = match &config.otlp_endpoint {
        Some(endpoint) => {
            let (started, spans) = Traces::start(endpoint).map_err(Failure::setup)?;
            let layer = tracing_opentelemetry::layer()
                .with_tracer(spans)
                .with_filter(filter(FILE_LEVEL));
            (started, Some(layer))
        }
        None => (Traces::unwanted(), None),
    };
    // Err means that a log is there already, which is as good.
    let _ = tracing_subscriber::registry().with(lines).with(spans).try_init();
    Ok(traces)
}

/// A level or a list of directives; what cannot be read counts as `info`. Chatty libraries stay at `warn`.
fn filter(level: &str) -> EnvFilter {
    let directives = format!("{level},sqlx=warn,hyper=warn,reqwest=warn,h2=warn,rustls=warn");
    EnvFilter::try_new(directives).unwrap_or_else(|_| EnvFilter::new(FILE_LEVEL))
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_MAX_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes to standard error while the progress display steps aside.
#[derive(Clone, Debug)]
struct BesideBars(MultiProgress);

impl<'a> MakeWriter<'a> for BesideBars {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            bars: self.0.clone(),
            text: Vec::new(),
        }
    }
}

/// One line of the log, written as a whole.
struct Line {
    bars: MultiProgress,
    text: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // A log that cannot be written has nobody to be reported to.
        let _ = self.bars.suspend(|| io::stderr().write_all(&self.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_log_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs").join("coursewright.log");
        drop(open_log(&path).unwrap());
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(LOG_MAX_BYTES + 1)
            .unwrap();
        drop(open_log(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert_eq!(
            fs::metadata(path.with_extension("log.1")).unwrap().len(),
            LOG_MAX_BYTES + 1
        );
    }

    #[test]
    fn unreadable_level_counts_as_info() {
        assert!(filter("no=such=level").to_string().contains("info"));
        assert!(filter("debug").to_string().contains("debug"));
    }
}
