//! The line editor: reads lines from the terminal on a thread of its own, with editing keys and a
//! history.

use std::sync::mpsc as blocking;
use std::thread;

use rustyline::history::MemHistory;
use rustyline::{Config, Editor as LineEditor, ExternalPrinter};
use tokio::sync::mpsc;

use crate::{DemoError, output};

const PROMPT: &str = "demo> ";

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
    /// `None` on a terminal without cursor control.
    printer: Option<Box<dyn ExternalPrinter + Send>>,
    is_open: bool,
}

impl Editor {
    /// Starts the thread.
    ///
    /// # Errors
    /// When standard input cannot be used as a terminal.
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
            is_open: false,
        })
    }

    /// The next line. Cancel safe: a prompt left open is answered by the next call.
    pub(crate) async fn line(&mut self) -> Typed {
        if !self.is_open && self.prompts.send(()).is_err() {
            return Typed::End;
        }
        self.is_open = true;
        let typed = self.lines.recv().await.unwrap_or(Typed::End);
        self.is_open = false;
        typed
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
