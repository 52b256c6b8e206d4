//! Fields of log events as text. Values may come from anybody who may publish, so control
//! characters and those that change the direction of text are escaped here, for every line of both
//! logs: no value can begin a line of its own or command a terminal.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatFields, Writer};

/// Writer that escapes characters that a log line must not contain: a line feed becomes `\n`, an
/// escape character `\u{1b}`.
pub(super) struct EscapingWriter<'a>(pub(super) &'a mut dyn Write);

impl Write for EscapingWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut written = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_escaped(*c)) {
            self.0.write_str(&text[written..at])?;
            write!(self.0, "{}", c.escape_default())?;
            written = at + c.len_utf8();
        }
        self.0.write_str(&text[written..])
    }
}

/// Returns whether a character ends a line, commands a terminal, or changes the direction of text.
fn is_escaped(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Format of the fields of the text log: the message, then `name=value`.
pub(super) struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = FieldWriter {
            writer,
            is_first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct FieldWriter<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl FieldWriter<'_> {
    fn write(&mut self, name: &str, value: &dyn fmt::Debug) -> fmt::Result {
        if !std::mem::replace(&mut self.is_first, false) {
            self.writer.write_char(' ')?;
        }
        if name != "message" {
            if self.writer.has_ansi_escapes() {
                write!(self.writer, "\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m")?;
            } else {
                write!(self.writer, "{name}=")?;
            }
        }
        write!(EscapingWriter(&mut self.writer), "{value:?}")
    }
}

impl Visit for FieldWriter<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.record_debug(field, &format_args!("{value}"));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let name = field.name();
        // Libraries that log with the crate `log` have their target and file in such fields.
        if self.result.is_ok() && !name.starts_with("log.") {
            self.result = self.write(name.strip_prefix("r#").unwrap_or(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_value_neither_begins_a_line_nor_commands_the_terminal() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .without_time()
            .with_target(false)
            .fmt_fields(EscapedFields)
            .with_writer(move || writer.clone())
            .finish();
        let hostile = "\u{1b}[31mred\nINFO forged\u{202e}\u{9b}2J";
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("command", id = %hostile);
            span.in_scope(
                || tracing::info!(why = %hostile, text = hostile, n = 1, "said {hostile}"),
            );
        });
        let escaped = r"\u{1b}[31mred\nINFO forged\u{202e}\u{9b}2J";
        let expected = format!(
            " INFO command{{id={escaped}}}: said {escaped} why={escaped} text=\"{escaped}\" n=1\n"
        );
        assert_eq!(
            String::from_utf8(lines.0.lock().unwrap().clone()).unwrap(),
            expected
        );
    }
}
