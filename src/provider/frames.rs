//! Bodies cut into messages: server-sent events (WHATWG HTML, 9.2) or lines of JSON, whichever the
//! body turns out to be. Servers send one where the other was requested, so the first character
//! decides, not the content type. Pure; bytes may be split anywhere.

use serde::de::IgnoredAny;

/// The most lines one JSON value may take before it is parsed only at the end.
const MOST_LINES: usize = 256;

/// Cuts one body into messages.
#[derive(Debug, Default)]
pub(super) struct Frames {
    format: Format,
    lines: Lines,
    messages: usize,
    is_json: bool,
}

#[derive(Debug, Default)]
enum Format {
    /// Nothing but white space so far.
    #[default]
    Unknown,
    /// The data lines of the event under way.
    Events(Vec<String>),
    /// The lines of the JSON value under way.
    Json(Vec<String>),
}

/// Lines, ended by CR LF, LF or CR.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    /// The last byte was a CR: an LF right after it ends no further line.
    after_cr: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            let is_second_half = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                _ if is_second_half => {}
                b'\r' | b'\n' => {
                    lines.push(String::from_utf8_lossy(&self.line).into_owned());
                    self.line.clear();
                }
                _ => self.line.push(byte),
            }
        }
        lines
    }
}

impl Frames {
    /// Returns the messages that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut messages = Vec::new();
        for line in self.lines.push(bytes) {
            self.take(&line, &mut messages);
        }
        self.messages += messages.len();
        messages
    }

    /// Returns the rest at the end of the body: an event that lacks its blank line, or JSON
    /// that lacks its line end. A cut one is no complete JSON and gives nothing as an event, or a
    /// message that will not parse.
    pub(super) fn rest(&mut self) -> Vec<String> {
        let mut messages = self.push(b"\n");
        let pushed = messages.len();
        match std::mem::take(&mut self.format) {
            Format::Unknown => {}
            Format::Events(data) => {
                let event = data.join("\n");
                if is_json(&event) || event.trim() == "[DONE]" {
                    messages.push(event);
                } else {
                    messages.extend(data.into_iter().filter(|line| is_json(line)));
                }
            }
            Format::Json(lines) => {
                let value = lines.join("\n");
                messages.extend(Some(value).filter(|value| !value.trim().is_empty()));
            }
        }
        self.messages += messages.len() - pushed;
        messages
    }

    /// Returns whether the whole body was one JSON value.
    pub(super) fn is_one_value(&self) -> bool {
        self.messages == 1 && self.is_json
    }

    fn take(&mut self, line: &str, messages: &mut Vec<String>) {
        match &mut self.format {
            Format::Unknown => {
                let line = line.strip_prefix('\u{feff}').unwrap_or(line);
                if line.trim().is_empty() {
                    return;
                }
                let is_event = ["data", "event", "id", "retry", ":"]
                    .iter()
                    .any(|field| line.starts_with(field));
                self.is_json = !is_event;
                self.format = if is_event {
                    Format::Events(Vec::new())
                } else {
                    Format::Json(Vec::new())
                };
                self.take(line, messages);
            }
            Format::Events(data) => {
                if line.is_empty() {
                    messages.extend(event(std::mem::take(data)));
                } else if let ("data", value) = line.split_once(':').unwrap_or((line, "")) {
                    data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
                }
            }
            Format::Json(lines) => {
                lines.push(line.to_owned());
                // A value written over several lines is indented but for its first and last one.
                if lines.len() < MOST_LINES && !line.starts_with([' ', '\t']) {
                    let value = lines.join("\n");
                    if value.trim().is_empty() {
                        lines.clear();
                    } else if is_json(&value) {
                        lines.clear();
                        messages.push(value);
                    }
                }
            }
        }
    }
}

/// Returns the message of an event; several where a server leaves out the blank lines between them.
fn event(data: Vec<String>) -> Vec<String> {
    let message = data.join("\n");
    if data.len() > 1
        && data
            .iter()
            .all(|line| is_json(line) || line.trim() == "[DONE]")
    {
        return data;
    }
    if message.is_empty() {
        return Vec::new();
    }
    vec![message]
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(pieces: &[&[u8]]) -> Vec<String> {
        let mut frames = Frames::default();
        let mut messages = Vec::new();
        for piece in pieces {
            messages.extend(frames.push(piece));
        }
        messages.extend(frames.rest());
        messages
    }

    fn of(text: &str) -> Vec<String> {
        all(&[text.as_bytes()])
    }

    #[test]
    fn the_examples_of_the_standard_are_read_as_it_says() {
        assert_eq!(of("data: YHOO\ndata: +2x\ndata: 10\n\n"), ["YHOO\n+2x\n10"]);
        assert_eq!(
            of(": test stream\n\ndata: first event\nid: 1\n\ndata:second \
                 event\nid\n\ndata:  third event\n\n"),
            ["first event", "second event", " third event"]
        );
    }

    #[test]
    fn every_line_end_is_one() {
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(
                of(&["event: e", "data: a", "", ": ping", "", "data: b", "", ""].join(end)),
                ["a", "b"],
                "{end:?}"
            );
        }
    }

    #[test]
    fn a_last_event_without_its_blank_line_counts_where_it_is_whole() {
        assert_eq!(of("data: {}\n\ndata: {\"a\":1}\n"), ["{}", "{\"a\":1}"]);
        assert_eq!(of("data: {}\n\ndata: [DONE]"), ["{}", "[DONE]"]);
        assert_eq!(of("data: {}\n\ndata: {\"a\":"), ["{}"]);
    }

    #[test]
    fn events_without_blank_lines_between_them_are_separate() {
        assert_eq!(
            of("data: {}\ndata: [1]\ndata: [DONE]\n\n"),
            ["{}", "[1]", "[DONE]"]
        );
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_beginning_only() {
        assert_eq!(of("\u{feff}data: a\n\n\u{feff}data: b\n\n"), ["a"]);
        assert_eq!(of("\u{feff}{}"), ["{}"]);
    }

    #[test]
    fn unknown_fields_are_skipped() {
        assert_eq!(of("retry: 5\nDATA: y\ndata: a: b\n\n"), ["a: b"]);
    }

    #[test]
    fn json_is_recognised_on_one_line_on_many_and_line_by_line() {
        assert_eq!(of("{}\r\n\n[1]\n{\"a\":1}"), ["{}", "[1]", "{\"a\":1}"]);
        assert_eq!(of("{\n  \"a\": {\n    \"b\": 1\n  }\n}\n").len(), 1);
        assert_eq!(of("<html>"), ["<html>"]);
        assert_eq!(of("  \n\n"), Vec::<String>::new());
    }

    proptest! {
        /// Checks that it does not matter where the bytes are split, even within a letter or
        /// between CR and LF.
        #[test]
        fn a_body_means_the_same_however_it_is_split(text in "(data: |data|:|é|a|\\{|\\}|\r\n|\n|\r|\u{feff}){0,40}", at in any::<prop::sample::Index>()) {
            let (one, two) = text.as_bytes().split_at(at.index(text.len() + 1));
            prop_assert_eq!(all(&[one, two]), of(&text));
        }
    }
}
