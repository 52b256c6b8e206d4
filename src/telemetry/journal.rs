//! The log as journald takes it: one datagram for each event, its fields by name, and all of it readable as one line. A crate
//! for this exists, whose lines show no fields: `journalctl -u sayso` would say that a broker is away, and not why.

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Where journald listens (systemd's "Native Journal Protocol").
const SOCKET: &str = "/run/systemd/journal/socket";

/// A log that cannot be written must not hold the one thread there is: the line is lost instead.
const PATIENCE: Duration = Duration::from_millis(100);

/// The most bytes of one field. A datagram takes some 200 KiB.
const LONGEST: usize = 8 << 10;

/// The line to journald.
#[derive(Debug)]
pub(super) struct JournaldLayer(UnixDatagram);

impl JournaldLayer {
    /// Opens it.
    ///
    /// # Errors
    /// When nobody listens.
    pub(super) fn connect() -> io::Result<Self> {
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(socket))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JournaldLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.pairs.extend(outer.pairs.iter().cloned());
            }
        }
        // Where journald is gone or too slow, there is nobody to complain to.
        let _ = self.0.send(&datagram(event, &fields));
    }
}

/// The fields of an event or span, as text.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, mut value: String) {
        value.truncate(value.floor_char_boundary(LONGEST));
        match field.name() {
            "message" => self.message = value,
            name => self.pairs.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

fn datagram(event: &Event<'_>, fields: &Fields) -> Vec<u8> {
    let priority = match *event.metadata().level() {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    };
    let mut line = fields.message.clone();
    let mut message = Vec::with_capacity(512);
    for (name, value) in &fields.pairs {
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"');
        // Writing to a text cannot fail.
        let _ = if plain {
            write!(line, " {name}={value}")
        } else {
            write!(line, " {name}={value:?}")
        };
        entry(&mut message, &field_name(name), value);
    }
    entry(&mut message, "MESSAGE", &line);
    entry(&mut message, "PRIORITY", priority);
    entry(&mut message, "SYSLOG_IDENTIFIER", "sayso");
    entry(&mut message, "TARGET", event.metadata().target());
    message
}

/// `NAME=value`, or with its length in front where the value has several lines.
fn entry(message: &mut Vec<u8>, name: &str, value: &str) {
    message.extend(name.as_bytes());
    if value.contains('\n') {
        message.push(b'\n');
        message.extend((value.len() as u64).to_le_bytes());
    } else {
        message.push(b'=');
    }
    message.extend(value.as_bytes());
    message.push(b'\n');
}

/// journald takes capitals, digits and underscores, with a letter first.
fn field_name(name: &str) -> String {
    let capitals = name.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    capitals.skip_while(|c| !c.is_ascii_alphabetic()).collect()
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn an_event_is_fields_for_programs_and_a_line_for_people() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(JournaldLayer::at(&path).unwrap());
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("command", command_id = "7");
            span.in_scope(|| {
                tracing::warn!(
                    latency_us = 412_u64,
                    why = "two\nlines",
                    nothing = None::<&str>,
                    "left out"
                );
            });
        });
        let mut heard = [0; 4096];
        let n = journald.recv(&mut heard).unwrap();
        let expected = "LATENCY_US=412\nWHY\n\x09\0\0\0\0\0\0\0two\nlines\nCOMMAND_ID=7\nMESSAGE=left out latency_us=412 why=\"two\\nlines\" command_id=7\n\
                        PRIORITY=4\nSYSLOG_IDENTIFIER=sayso\nTARGET=sayso::telemetry::journal::tests\n";
        assert_eq!(String::from_utf8_lossy(&heard[..n]), expected);
    }

    #[test]
    fn a_journald_that_takes_nothing_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _asleep = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(JournaldLayer::at(&path).unwrap());
        let begun = tokio::time::Instant::now();
        tracing::subscriber::with_default(subscriber, || {
            // The kernel holds some; what comes then waits for journald, but not for ever.
            for _ in 0..20 {
                tracing::info!(long = "x".repeat(LONGEST * 2), "more");
            }
        });
        assert!(begun.elapsed() < PATIENCE * 25, "{:?}", begun.elapsed());
    }
}
