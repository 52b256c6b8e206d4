//! The line editor: reads lines from standard input on a thread of its own, on a terminal with
//! editing keys and a history.

use std::io::{self, IsTerminal};
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use rustyline::history::MemHistory;
use rustyline::{Config, Editor as LineEditor, ExternalPrinter};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::{DemoError, output};

const PROMPT: &str = "demo> ";

/// How long the first line of a pipe may take to arrive.
const FIRST_LINE: Duration = Duration::from_secs(2);

/// The end of a prompt.
#[derive(Debug)]
pub(crate) enum Typed {
    /// A line.
    Line(String),
    /// Ctrl-D, Ctrl-C, or a terminal that cannot be read.
    End,
}

/// The handle to the editor's thread. The thread ends with the handle, once the prompt that is open
/// has been answered.
pub(crate) struct Editor {
    prompts: blocking::Sender<()>,
    lines: mpsc::Receiver<Typed>,
    /// `None` where standard input is no terminal, or one without cursor control.
    printer: Option<Box<dyn ExternalPrinter + Send>>,
    is_terminal: bool,
    is_open: bool,
    /// The first line of a pipe, until it is asked for.
    first: Option<String>,
}

impl Editor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub(crate) fn start() -> Result<Self, DemoError> {
        let config = Config::builder().auto_add_history(true).build();
        let mut editor: LineEditor<(), MemHistory> =
            LineEditor::with_history(config.clone(), MemHistory::with_config(&config))?;
        let printer: Option<Box<dyn ExternalPrinter + Send>> =
            match editor.create_external_printer() {
                Ok(printer) => Some(Box::new(printer)),
                Err(_) => None,
            };
        let (prompts, requests) = blocking::channel();
        let (typed, lines) = mpsc::channel(1);
        thread::Builder::new()
            .name("editor".to_owned())
            .spawn(move || {
                while requests.recv().is_ok() {
                    let line = match editor.readline(PROMPT) {
                        Ok(line) => Typed::Line(line),
                        Err(_) => Typed::End,
                    };
                    if typed.blocking_send(line).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            prompts,
            lines,
            printer,
            is_terminal: io::stdin().is_terminal(),
            is_open: false,
            first: None,
        })
    }

    /// Returns whether lines come from a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Returns whether somebody types, or a pipe has lines.
    pub(crate) async fn has_lines(&mut self) -> bool {
        if self.is_terminal {
            return true;
        }
        if let Ok(Typed::Line(line)) = timeout(FIRST_LINE, self.line()).await {
            self.first = Some(line);
        }
        self.first.is_some()
    }

    /// The next line. Cancel safe: a prompt left open is answered by the next call.
    pub(crate) async fn line(&mut self) -> Typed {
        if let Some(line) = self.first.take() {
            return Typed::Line(line);
        }
        if !self.is_open && self.prompts.send(()).is_err() {
            return Typed::End;
        }
        self.is_open = true;
        let typed = self.lines.recv().await.unwrap_or(Typed::End);
        self.is_open = false;
        typed
    }

    /// Prints a line that a pipe has sent, as it would stand on a terminal.
    pub(crate) fn echo(&self, line: &str) -> Result<(), DemoError> {
        if !self.is_terminal {
            output::line(&format!("{PROMPT}{line}"))?;
        }
        Ok(())
    }

    /// Prints above the open prompt, so that a half-typed line stays as it is.
    pub(crate) fn print(&mut self, text: String) -> Result<(), DemoError> {
        match &mut self.printer {
            Some(printer) => printer.print(text)?,
            None => output::line(text.trim_end())?,
        }
        Ok(())
    }
}
