//! Streams cut into messages: server-sent events (WHATWG HTML, 9.2) and lines of JSON. Pure; bytes may be split anywhere.

/// Bytes in, messages out.
pub(super) trait Frames: Default + Send {
    /// The messages that these bytes complete.
    fn push(&mut self, bytes: &[u8]) -> Vec<String>;

    /// What is left at the end of the stream, where that is a message too.
    fn rest(&mut self) -> Option<String>;
}

/// Lines, ended by CR LF, LF or CR.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    /// The last byte was a CR: a LF right after it ends no further line.
    after_cr: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&str)) {
        for &byte in bytes {
            let second_half = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            match byte {
                _ if second_half => {}
                b'\r' | b'\n' => {
                    each(&String::from_utf8_lossy(&self.line));
                    self.line.clear();
                }
                _ => self.line.push(byte),
            }
        }
    }
}

/// The data of server-sent events. Their kind and number are passed over: the APIs repeat the kind in the data.
#[derive(Debug, Default)]
pub(super) struct Sse {
    lines: Lines,
    /// A byte order mark may stand before the first line only.
    begun: bool,
    data: Vec<String>,
}

impl Frames for Sse {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut whole = Vec::new();
        let Self { lines, begun, data } = self;
        lines.push(bytes, |line| {
            let line = if *begun {
                line
            } else {
                line.strip_prefix('\u{feff}').unwrap_or(line)
            };
            *begun = true;
            if line.is_empty() {
                let message = std::mem::take(data).join("\n");
                whole.extend(Some(message).filter(|message| !message.is_empty()));
            } else if let ("data", value) = line.split_once(':').unwrap_or((line, "")) {
                data.push(value.strip_prefix(' ').unwrap_or(value).to_owned());
            }
        });
        whole
    }

    /// Nothing: an event that was not ended by an empty line may be cut anywhere.
    fn rest(&mut self) -> Option<String> {
        None
    }
}

/// One JSON value on each line; empty lines are passed over.
#[derive(Debug, Default)]
pub(super) struct JsonLines(Lines);

impl Frames for JsonLines {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut whole = Vec::new();
        self.0.push(bytes, |line| {
            whole.extend(Some(line.to_owned()).filter(|line| !line.trim().is_empty()));
        });
        whole
    }

    /// The last line may lack its end; where it is cut it is no JSON.
    fn rest(&mut self) -> Option<String> {
        self.push(b"\n").pop()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all<F: Frames>(pieces: &[&[u8]]) -> Vec<String> {
        let mut frames = F::default();
        let mut messages: Vec<String> =
            pieces.iter().flat_map(|piece| frames.push(piece)).collect();
        messages.extend(frames.rest());
        messages
    }

    fn sse(text: &str) -> Vec<String> {
        all::<Sse>(&[text.as_bytes()])
    }

    #[test]
    fn the_examples_of_the_standard_are_read_as_it_says() {
        assert_eq!(sse("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
        assert_eq!(
            sse(
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
            ),
            ["first event", "second event", " third event"]
        );
        assert_eq!(sse("data\n\ndata\ndata\n\ndata:"), ["\n"]);
    }

    #[test]
    fn every_end_of_a_line_is_one() {
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(
                sse(&["event: e", "data: a", "", ": ping", "", "data: b", "", ""].join(end)),
                ["a", "b"],
                "{end:?}"
            );
        }
    }

    #[test]
    fn an_event_without_its_empty_line_is_none() {
        assert_eq!(sse("data: a\n\ndata: b\n"), ["a"]);
    }

    #[test]
    fn a_byte_order_mark_is_passed_over_at_the_beginning_only() {
        assert_eq!(sse("\u{feff}data: a\n\n\u{feff}data: b\n\n"), ["a"]);
    }

    #[test]
    fn fields_not_known_are_passed_over() {
        assert_eq!(sse("datas: x\nretry: 5\nDATA: y\ndata: a: b\n\n"), ["a: b"]);
    }

    #[test]
    fn json_lines_need_no_last_end() {
        assert_eq!(
            all::<JsonLines>(&[b"{}\r\n\n[1]\n", b"{\"a\"", b":1}"]),
            ["{}", "[1]", "{\"a\":1}"]
        );
        assert_eq!(all::<JsonLines>(&[b"{}\n"]), ["{}"]);
    }

    proptest! {
        /// Where the bytes are split does not matter, even within a letter or between CR and LF.
        #[test]
        fn a_stream_means_the_same_however_it_is_split(text in "(data: |data|:|é|a|\r\n|\n|\r|\u{feff}){0,40}", at in any::<prop::sample::Index>()) {
            let (one, two) = text.as_bytes().split_at(at.index(text.len() + 1));
            prop_assert_eq!(all::<Sse>(&[one, two]), sse(&text));
            prop_assert_eq!(all::<JsonLines>(&[one, two]), all::<JsonLines>(&[text.as_bytes()]));
        }
    }
}
