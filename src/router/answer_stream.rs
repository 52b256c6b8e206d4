//! An answer in words, published in parts while it comes in. Several providers may be called for
//! it, one after the other or in parallel: one of them is published at a time, and the text of
//! another one starts again under a new number.

use crate::command::reply::Piece;
use crate::vocabulary::shared_str::SharedStr;
use parking_lot::{Mutex, MutexGuard};

/// Publishes one part. Must not block.
type PublishPart = Box<dyn Fn(Piece) + Send + Sync>;

/// The published answer to one command.
pub struct AnswerStream {
    id: SharedStr,
    publish: PublishPart,
    text: Mutex<StreamedText>,
}

#[derive(Debug, Default)]
struct StreamedText {
    /// The call whose text is published.
    call: Option<u64>,
    /// Number of the answer.
    answer: u32,
    /// Number of the part within the answer.
    n: u32,
    /// Text of this answer published so far.
    published: String,
    /// No further call may begin.
    is_sealed: bool,
}

/// Mark of a part, in addition to its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    /// The last part of the command.
    Last,
    /// The text so far is withdrawn.
    Cut,
    /// The last part, and the text so far is withdrawn.
    LastCut,
}

impl AnswerStream {
    /// Creates the stream of the command with this id.
    pub fn new(id: SharedStr, publish: PublishPart) -> Self {
        Self {
            id,
            publish,
            text: Mutex::default(),
        }
    }

    fn text(&self) -> MutexGuard<'_, StreamedText> {
        self.text.lock()
    }

    /// Publishes the new part of the speech of this call so far. While another call is published,
    /// nothing happens.
    pub(super) fn update(&self, call: u64, speech: &str) {
        let mut text = self.text();
        let is_other = text.call.is_some_and(|published| published != call);
        if text.is_sealed || speech.is_empty() || is_other {
            return;
        }
        if text.call.is_none() {
            text.begin(call);
        }
        self.publish_new(&mut text, speech, Mark::None);
    }

    /// Withdraws the text of a call that failed.
    pub(super) fn abort(&self, call: u64) {
        let mut text = self.text();
        if text.call == Some(call) && !text.is_sealed {
            text.call = None;
            self.publish_part(&mut text, "", Mark::Cut);
        }
    }

    /// Ends publishing by calls: there is an answer, or will be none.
    pub(super) fn seal(&self) {
        self.text().is_sealed = true;
    }

    /// Ends the stream, with the final answer in words where there is one. Marks the last part,
    /// where there was or is any.
    pub fn end(&self, speech: Option<&str>) {
        let mut text = self.text();
        text.is_sealed = true;
        match speech {
            Some(speech) if text.call.is_some() && speech.starts_with(&text.published) => {
                self.publish_new(&mut text, speech, Mark::Last);
            }
            Some(speech) => {
                if text.call.is_some() {
                    self.publish_part(&mut text, "", Mark::Cut);
                }
                text.begin(0);
                self.publish_new(&mut text, speech, Mark::Last);
            }
            None if text.answer > 0 => self.publish_part(&mut text, "", Mark::LastCut),
            None => {}
        }
    }

    fn publish_new(&self, text: &mut StreamedText, speech: &str, mark: Mark) {
        let Some(new) = speech.get(text.published.len()..) else {
            return;
        };
        if new.is_empty() && mark == Mark::None {
            return;
        }
        text.published.push_str(new);
        self.publish_part(text, new, mark);
    }

    fn publish_part(&self, text: &mut StreamedText, part: &str, mark: Mark) {
        text.n += 1;
        (self.publish)(Piece {
            id: self.id.clone(),
            answer: text.answer,
            n: text.n,
            text: part.to_owned(),
            last: matches!(mark, Mark::Last | Mark::LastCut),
            cut: matches!(mark, Mark::Cut | Mark::LastCut),
        });
    }
}

impl StreamedText {
    fn begin(&mut self, call: u64) {
        self.call = Some(call);
        self.answer += 1;
        self.n = 0;
        self.published.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Returns a stream and its parts as `answer.n:text`, with `!` for a cut and `.` for the last.
    fn recorded() -> (AnswerStream, Arc<Mutex<Vec<String>>>) {
        let parts = Arc::<Mutex<Vec<String>>>::default();
        let recorder = Arc::clone(&parts);
        let publish = move |Piece {
                                answer,
                                n,
                                text,
                                last,
                                cut,
                                ..
                            }: Piece| {
            let marks = [(cut, "!"), (last, ".")]
                .map(|(is, mark)| if is { mark } else { "" })
                .concat();
            recorder.lock().push(format!("{answer}.{n}:{text}{marks}"));
        };
        (AnswerStream::new("c1".into(), Box::new(publish)), parts)
    }

    fn joined(parts: &Mutex<Vec<String>>) -> String {
        parts.lock().join(" ")
    }

    #[test]
    fn parts_are_numbered_and_the_last_is_marked() {
        let (stream, parts) = recorded();
        for speech in ["a", "ab", "ab", "abc"] {
            stream.update(7, speech);
        }
        stream.end(Some("abc"));
        assert_eq!(joined(&parts), "1.1:a 1.2:b 1.3:c 1.4:.");
    }

    #[test]
    fn after_an_abort_the_next_call_begins_anew_with_all_its_text() {
        let (stream, parts) = recorded();
        stream.update(1, "once");
        stream.update(2, "there");
        stream.abort(1);
        stream.update(2, "there was");
        stream.seal();
        stream.update(1, "once upon");
        stream.end(Some("there was."));
        assert_eq!(joined(&parts), "1.1:once 1.2:! 2.1:there was 2.2:..");
    }

    #[test]
    fn an_answer_of_another_call_begins_anew() {
        let (stream, parts) = recorded();
        stream.update(1, "once");
        stream.end(Some("there"));
        assert_eq!(joined(&parts), "1.1:once 1.2:! 2.1:there.");
    }

    #[test]
    fn an_end_without_an_answer_withdraws_the_text() {
        let (stream, parts) = recorded();
        stream.update(1, "once");
        stream.abort(1);
        stream.end(None);
        assert_eq!(joined(&parts), "1.1:once 1.2:! 1.3:!.");
    }

    #[test]
    fn an_unstreamed_answer_is_one_part_and_an_action_none() {
        let (silent, parts) = recorded();
        silent.end(None);
        assert_eq!(joined(&parts), "");
        silent.end(Some("kept from before"));
        assert_eq!(joined(&parts), "1.1:kept from before.");
    }
}
