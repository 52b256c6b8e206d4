//! The log: fields for journald under systemd, text on standard error elsewhere. Writing a line
//! never blocks the caller: a line that the receiver does not accept is dropped and counted.

use std::io::{self, IsTerminal, Write};
use std::iter::once;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::telemetry::fields::EscapedFields;
use crate::telemetry::gateway::GatewayNames;
use crate::telemetry::journald::JournaldLayer;

/// Filter used when none is configured: sayso at `info`, its libraries at `warn`.
pub const DEFAULT_FILTER: &str = "warn,sayso=info";

/// Lines that may wait for standard error: some hundred KiB. Further ones are dropped.
const MAX_QUEUED_LINES: usize = 1024;

/// Time for which lines gather before they are written together.
const GATHER: Duration = Duration::from_millis(10);

/// Bytes that are kept for the lines of the next write.
const MAX_KEPT_TEXT: usize = 16 << 10;

/// Longest wait for the queued lines when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Queue of the thread that writes to standard error, once the text log is started.
static STDERR_QUEUE: OnceLock<SyncSender<QueuedLine>> = OnceLock::new();

/// Lines dropped since the last one that was written.
static DROPPED_LINES: AtomicU64 = AtomicU64::new(0);

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Filter in the form of `RUST_LOG`, of targets and levels, such as `warn,sayso=debug`.
    pub filter: String,
    /// True if events are sent to journald as fields instead of to standard error as text.
    pub journald: bool,
    /// The names that are fields of each line.
    pub names: GatewayNames,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            filter: DEFAULT_FILTER.to_owned(),
            journald: false,
            names: GatewayNames::default(),
        }
    }
}

/// A log filter that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{filter}` is not a log filter such as `warn,sayso=debug`: correct `log.filter`, or the \
     variable RUST_LOG"
)]
pub struct BadFilter {
    filter: String,
    #[source]
    source: tracing_subscriber::filter::ParseError,
}

/// Parses a filter.
///
/// # Errors
/// If the text is not a valid filter.
pub fn filter(text: &str) -> Result<Targets, BadFilter> {
    let directives = text.split(',').map(str::trim);
    let directives: Vec<&str> = directives.filter(|part| !part.is_empty()).collect();
    if directives.is_empty() {
        return Ok(Targets::default());
    }
    let filter = directives.join(",").parse();
    filter.map_err(|source| BadFilter {
        filter: text.to_owned(),
        source,
    })
}

/// Handle of the running log, with which its filter can be changed. The default handle controls no
/// log.
#[derive(Debug, Clone, Default)]
pub struct Log(Option<reload::Handle<Targets, Registry>>);

impl Log {
    /// Replaces the filter by that of `settings`.
    ///
    /// # Errors
    /// If the filter cannot be parsed.
    pub fn refilter(&self, settings: &Settings) -> Result<(), BadFilter> {
        let filter = filter(&settings.filter)?;
        if let Some(handle) = &self.0 {
            // Fails only if the subscriber no longer exists, and then nothing is logged any more.
            let _ = handle.reload(filter);
        }
        Ok(())
    }
}

/// Starts the log; called once, by the command line. Text goes to standard error if journald cannot
/// be reached.
///
/// # Errors
/// If the filter cannot be parsed.
pub fn start(settings: &Settings) -> Result<Log, BadFilter> {
    let (filter, handle) = reload::Layer::new(filter(&settings.filter)?);
    let journald = if settings.journald {
        JournaldLayer::connect(settings.names.clone()).ok()
    } else {
        None
    };
    let text = journald.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_ansi(io::stderr().is_terminal())
            .with_target(false)
            .fmt_fields(EscapedFields)
            .with_writer(QueuedStderr::start(&settings.names))
    });
    // If a log is running already (in a test), it stays in place.
    let started = tracing_subscriber::registry()
        .with(filter)
        .with(journald)
        .with(text)
        .try_init();
    Ok(Log(started.is_ok().then_some(handle)))
}

/// Waits until the lines logged so far are written to standard error, for at most half a second.
/// Called before the process ends.
pub fn flush() {
    if let Some(queue) = STDERR_QUEUE.get() {
        let (done, written) = channel();
        if queue.try_send(QueuedLine::Flush(done)).is_ok() {
            // On a timeout nobody reads standard error, and the lines are lost.
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// An entry in the queue of the thread that writes to standard error.
#[derive(Debug)]
enum QueuedLine {
    /// One formatted event.
    Line(Vec<u8>),
    /// A request to report that all earlier lines are written.
    Flush(Sender<()>),
}

/// Writer that queues each line for a thread, because standard error may be a pipe that nobody
/// reads.
#[derive(Debug, Clone)]
struct QueuedStderr {
    queue: SyncSender<QueuedLine>,
    /// The fields at the end of each line.
    suffix: String,
}

impl QueuedStderr {
    fn start(names: &GatewayNames) -> Self {
        let queue = STDERR_QUEUE.get_or_init(|| {
            let (queue, lines) = sync_channel(MAX_QUEUED_LINES);
            // Without the thread every line is dropped; the daemon itself keeps working.
            let _ = thread::Builder::new()
                .name("log".to_owned())
                .spawn(move || write_lines(&lines, &mut io::stderr(), &DROPPED_LINES));
            queue
        });
        Self::new(queue.clone(), names)
    }

    fn new(queue: SyncSender<QueuedLine>, names: &GatewayNames) -> Self {
        let fields = names
            .fields()
            .map(|(name, value)| format!(" {name}={value}"));
        Self {
            queue,
            suffix: fields.collect(),
        }
    }
}

/// Writes queued lines until the queue is closed, and reports how many were dropped meanwhile.
/// Lines of the next moments are written together: under load each command has one, and to wake the
/// thread for each would cost more than the line.
#[expect(clippy::disallowed_methods, reason = "it runs on a thread of its own")]
fn write_lines(lines: &Receiver<QueuedLine>, out: &mut impl Write, dropped: &AtomicU64) {
    let mut text = Vec::new();
    while let Ok(first) = lines.recv() {
        if let QueuedLine::Line(_) = &first {
            thread::sleep(GATHER);
        }
        let mut flushes = Vec::new();
        for line in once(first).chain(lines.try_iter().take(MAX_QUEUED_LINES)) {
            match line {
                QueuedLine::Line(line) => text.extend(line),
                QueuedLine::Flush(done) => flushes.push(done),
            }
        }
        // There is no other place to report a failure to.
        let _ = out.write_all(&text);
        text.clear();
        text.shrink_to(MAX_KEPT_TEXT);
        let lost = dropped.swap(0, Relaxed);
        if lost > 0 {
            let _ = writeln!(
                out,
                "sayso: {lost} log lines were dropped: standard error is read too slowly"
            );
        }
        for done in flushes {
            let _ = out.flush();
            let _ = done.send(());
        }
    }
}

impl Write for &QueuedStderr {
    /// Queues one event. The formatting layer writes each event with a single call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let whole = [text, self.suffix.as_bytes(), &line[text.len()..]].concat();
        if self.queue.try_send(QueuedLine::Line(whole)).is_err() {
            DROPPED_LINES.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for QueuedStderr {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that accepts nothing until it is opened.
    struct FullPipe {
        opened: Receiver<()>,
        written: Vec<u8>,
    }

    impl Write for FullPipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.written.is_empty() {
                self.opened.recv().unwrap();
            }
            self.written.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_pipe_does_not_block_and_dropped_lines_are_counted() {
        let (queue, lines) = sync_channel(2);
        let (open, opened) = channel();
        let writer = thread::spawn(move || {
            let dropped = AtomicU64::new(5);
            let mut pipe = FullPipe {
                opened,
                written: Vec::new(),
            };
            write_lines(&lines, &mut pipe, &dropped);
            String::from_utf8(pipe.written).unwrap()
        });
        let log = QueuedStderr::new(queue, &GatewayNames::default());
        for n in 0..100 {
            // None of these calls may wait for the pipe. A line is written with a single call, as
            // the log does it.
            (&log).write_all(format!("line {n}\n").as_bytes()).unwrap();
        }
        open.send(()).unwrap();
        drop(log);
        let written = writer.join().unwrap();
        assert!(written.starts_with("line 0\n"), "{written}");
        assert!(
            written.contains("sayso: 5 log lines were dropped"),
            "{written}"
        );
    }

    #[test]
    fn each_line_ends_with_the_site_and_the_node() {
        let (queue, lines) = sync_channel(2);
        let names = GatewayNames {
            site: Some("campus".to_owned()),
            node: Some("a".to_owned()),
        };
        let log = QueuedStderr::new(queue, &names);
        (&log).write_all(b"INFO starting devices=3\n").unwrap();
        drop(log);
        let mut written = Vec::new();
        write_lines(&lines, &mut written, &AtomicU64::new(0));
        assert_eq!(written, b"INFO starting devices=3 site=campus node=a\n");
    }
}
