//! Input that the terminal does not show: a password or a key.

use std::io::{self, BufRead, Stdin};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

const END_OF_TEXT: u8 = 0x03;
const END_OF_TRANSMISSION: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL_LINE: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// A terminal that does not show typed text until the value is dropped.
pub(super) struct HiddenInput {
    terminal: Stdin,
    /// Its modes before.
    before: Termios,
}

impl HiddenInput {
    /// Stops showing the input. Returns `None` if the input is no terminal: a pipe shows nothing.
    pub(super) fn begin() -> Option<Self> {
        let terminal = io::stdin();
        let before = tcgetattr(&terminal).ok()?;
        let mut hidden = before.clone();
        // Ctrl-C is read like any other key: a process that it ended would leave the terminal mute.
        let modes = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        hidden.local_modes.remove(modes);
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&terminal, OptionalActions::Drain, &hidden).ok()?;
        Some(Self { terminal, before })
    }

    /// Reads one line.
    ///
    /// # Errors
    /// If the input ends, is ended by Ctrl-C, or is not UTF-8.
    pub(super) fn read_line(&self) -> io::Result<String> {
        read_line(self.terminal.lock())
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        // A terminal that is gone needs no modes.
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

fn read_line(input: impl BufRead) -> io::Result<String> {
    let mut line: Vec<u8> = Vec::new();
    for key in input.bytes() {
        match key? {
            b'\n' | b'\r' => return String::from_utf8(line).map_err(io::Error::other),
            END_OF_TEXT => return Err(io::ErrorKind::Interrupted.into()),
            END_OF_TRANSMISSION if line.is_empty() => break,
            BACKSPACE | DELETE => remove_last(&mut line),
            KILL_LINE => line.clear(),
            key => line.push(key),
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Removes the last character, which may have several bytes.
fn remove_last(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_as_at_a_terminal() {
        let read = |keys: &str| read_line(keys.as_bytes()).map_err(|error| error.kind());
        assert_eq!(read("secret\r").as_deref(), Ok("secret"));
        assert_eq!(read("sü\u{7f}ecret\n").as_deref(), Ok("secret"));
        assert_eq!(read("wrong\u{15}secret\n").as_deref(), Ok("secret"));
        assert_eq!(read("sec\u{3}").unwrap_err(), io::ErrorKind::Interrupted);
        assert_eq!(read("\u{4}").unwrap_err(), io::ErrorKind::UnexpectedEof);
    }
}
