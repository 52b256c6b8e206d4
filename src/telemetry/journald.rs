//! Log events in journald's native protocol: one datagram for each event, with its fields by name
//! and a readable line that contains all of them. The crate `tracing-journald` leaves the fields
//! out of the line, so `journalctl -u sayso` would show that the broker is unreachable but not why.

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::fields::EscapingWriter;
use crate::telemetry::gateway::GatewayNames;

/// Socket of journald (systemd, "Native Journal Protocol").
const SOCKET: &str = "/run/systemd/journal/socket";

/// Maximum bytes of one field. A datagram holds about 200 KiB.
const MAX_FIELD_BYTES: usize = 8 << 10;

/// Layer that sends each event to journald. The socket does not block: while journald does not
/// read, events are dropped and counted.
#[derive(Debug)]
pub(super) struct JournaldLayer {
    socket: UnixDatagram,
    dropped: AtomicU64,
    /// Fields of each event.
    names: GatewayNames,
}

impl JournaldLayer {
    /// Connects to journald. The names become fields of each event.
    ///
    /// # Errors
    /// If journald is not running.
    pub(super) fn connect(names: GatewayNames) -> io::Result<Self> {
        Self::at(Path::new(SOCKET), names)
    }

    fn at(path: &Path, names: GatewayNames) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            dropped: AtomicU64::new(0),
            names,
        })
    }

    /// Sends an event, with the number of events dropped before it.
    fn send(&self, event: &Event<'_>, mut fields: Fields) {
        let names = self.names.fields();
        fields
            .pairs
            .extend(names.map(|(name, value)| (name, value.to_owned())));
        let dropped = self.dropped.load(Relaxed);
        if dropped > 0 {
            fields
                .pairs
                .push(("dropped_log_lines", dropped.to_string()));
        }
        match self.socket.send(&datagram(event, &fields)) {
            Ok(_) => _ = self.dropped.fetch_sub(dropped, Relaxed),
            Err(_) => _ = self.dropped.fetch_add(1, Relaxed),
        }
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
        self.send(event, fields);
    }
}

/// Fields of an event or span, as text.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    pairs: Vec<(&'static str, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, mut value: String) {
        value.truncate(value.floor_char_boundary(MAX_FIELD_BYTES));
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
    let mut line = String::new();
    let mut escaping = EscapingWriter(&mut line);
    // Writing to a `String` cannot fail.
    let _ = escaping.write_str(&fields.message);
    let mut message = Vec::with_capacity(512);
    for (name, value) in &fields.pairs {
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"');
        let _ = if plain {
            write!(escaping, " {name}={value}")
        } else {
            write!(escaping, " {name}={value:?}")
        };
        entry(&mut message, &field_name(name), value);
    }
    entry(&mut message, "MESSAGE", &line);
    entry(&mut message, "PRIORITY", priority);
    entry(&mut message, "SYSLOG_IDENTIFIER", "sayso");
    entry(&mut message, "TARGET", event.metadata().target());
    message
}

/// Appends a field: `NAME=value`, or name, length and value if the value has several lines.
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

/// Returns the name as journald accepts it: capital letters, digits and underscores, beginning with
/// a letter.
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
    fn an_event_is_sent_as_fields_and_as_a_readable_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        let names = GatewayNames {
            site: None,
            node: Some("a".to_owned()),
        };
        let layer = JournaldLayer::at(&path, names).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
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
        let mut received = [0; 4096];
        let n = journald.recv(&mut received).unwrap();
        let expected = "LATENCY_US=412\nWHY\n\x09\0\0\0\0\0\0\0two\nlines\nCOMMAND_ID=7\nNODE=a\nMESSAGE=left out latency_us=412 why=\"two\\nlines\" command_id=7 node=a\n\
                        PRIORITY=4\nSYSLOG_IDENTIFIER=sayso\nTARGET=sayso::telemetry::journald::tests\n";
        assert_eq!(String::from_utf8_lossy(&received[..n]), expected);
    }

    #[test]
    fn a_journald_that_hangs_does_not_block_and_dropped_lines_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let journald = UnixDatagram::bind(&path).unwrap();
        journald.set_nonblocking(true).unwrap();
        let layer = JournaldLayer::at(&path, GatewayNames::default()).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            // The kernel queues some datagrams. If a further one blocked, this test would not end.
            for _ in 0..2000 {
                tracing::info!(long = "x".repeat(MAX_FIELD_BYTES * 2), "more");
            }
            let mut buffer = vec![0; 64 << 10];
            while journald.recv(&mut buffer).is_ok() {}
            tracing::info!("last");
            let n = journald.recv(&mut buffer).unwrap();
            let last = String::from_utf8_lossy(&buffer[..n]).into_owned();
            assert!(last.contains("MESSAGE=last dropped_log_lines="), "{last}");
        });
    }
}
