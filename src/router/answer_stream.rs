//! An answer in words on its way out, piece by piece, while it still comes in. Several providers may be asked for it, one after the
//! other or side by side; one speaks at a time, and what another says begins anew under a number of its own.

use parking_lot::{Mutex, MutexGuard};

use crate::command::reply::Piece;

/// Takes a piece at once.
type Say = Box<dyn Fn(Piece) + Send + Sync>;

/// The voice of one command.
pub struct AnswerStream {
    id: String,
    say: Say,
    speaking: Mutex<StreamedText>,
}

#[derive(Debug, Default)]
struct StreamedText {
    /// Whose words go out, by the number of the call.
    speaker: Option<u64>,
    answer: u32,
    n: u32,
    /// What went out of this answer.
    said: String,
    /// Nobody may begin any more.
    over: bool,
}

impl AnswerStream {
    /// Nothing said yet for the command of this id.
    pub fn new(id: String, say: Say) -> Self {
        Self {
            id,
            say,
            speaking: Mutex::default(),
        }
    }

    fn speaking(&self) -> MutexGuard<'_, StreamedText> {
        self.speaking.lock()
    }

    /// The call of this number has said so much by now. Where another is speaking it is not heard, yet.
    pub(super) fn hear(&self, call: u64, said: &str) {
        let mut speaking = self.speaking();
        if speaking.over
            || said.is_empty()
            || speaking.speaker.is_some_and(|speaker| speaker != call)
        {
            return;
        }
        if speaking.speaker.is_none() {
            speaking.begin(call);
        }
        self.go_on(&mut speaking, said, false);
    }

    /// The call of this number failed: what it said is worth nothing.
    pub(super) fn cut(&self, call: u64) {
        let mut speaking = self.speaking();
        if speaking.speaker == Some(call) && !speaking.over {
            speaking.speaker = None;
            self.piece(&mut speaking, "", (false, true));
        }
    }

    /// There is an answer, or will be none: whoever still speaks is not heard any more.
    pub(super) fn hush(&self) {
        self.speaking().over = true;
    }

    /// The command has ended, with this answer in words where it has one. Marks the last piece, where there was or is any.
    pub fn end(&self, speech: Option<&str>) {
        let mut speaking = self.speaking();
        speaking.over = true;
        match speech {
            Some(speech) if speaking.speaker.is_some() && speech.starts_with(&speaking.said) => {
                self.go_on(&mut speaking, speech, true);
            }
            Some(speech) => {
                if speaking.speaker.is_some() {
                    self.piece(&mut speaking, "", (false, true));
                }
                speaking.begin(0);
                self.go_on(&mut speaking, speech, true);
            }
            None if speaking.answer > 0 => self.piece(&mut speaking, "", (true, true)),
            None => {}
        }
    }

    fn go_on(&self, speaking: &mut StreamedText, said: &str, last: bool) {
        let Some(new) = said
            .get(speaking.said.len()..)
            .filter(|new| last || !new.is_empty())
        else {
            return;
        };
        speaking.said.push_str(new);
        self.piece(speaking, new, (last, false));
    }

    fn piece(&self, speaking: &mut StreamedText, text: &str, (last, cut): (bool, bool)) {
        speaking.n += 1;
        (self.say)(Piece {
            id: self.id.clone(),
            answer: speaking.answer,
            n: speaking.n,
            text: text.to_owned(),
            last,
            cut,
        });
    }
}

impl StreamedText {
    fn begin(&mut self, call: u64) {
        self.speaker = Some(call);
        self.answer += 1;
        self.n = 0;
        self.said.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A voice, and what it said: `answer.n:text`, with `!` for a cut and `.` for the last.
    fn voice() -> (AnswerStream, Arc<Mutex<Vec<String>>>) {
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let ear = Arc::clone(&heard);
        let say = move |Piece {
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
            ear.lock().push(format!("{answer}.{n}:{text}{marks}"));
        };
        (AnswerStream::new("c1".to_owned(), Box::new(say)), heard)
    }

    fn heard(heard: &Mutex<Vec<String>>) -> String {
        heard.lock().join(" ")
    }

    #[test]
    fn pieces_are_numbered_and_the_last_is_marked() {
        let (voice, ear) = voice();
        for said in ["a", "ab", "ab", "abc"] {
            voice.hear(7, said);
        }
        voice.end(Some("abc"));
        assert_eq!(heard(&ear), "1.1:a 1.2:b 1.3:c 1.4:.");
    }

    #[test]
    fn after_a_cut_the_next_begins_anew_with_all_it_said() {
        let (voice, ear) = voice();
        voice.hear(1, "once");
        voice.hear(2, "there");
        voice.cut(1);
        voice.hear(2, "there was");
        voice.hush();
        voice.hear(1, "once upon");
        voice.end(Some("there was."));
        assert_eq!(heard(&ear), "1.1:once 1.2:! 2.1:there was 2.2:..");
    }

    #[test]
    fn an_answer_of_another_than_the_speaker_begins_anew() {
        let (voice, ear) = voice();
        voice.hear(1, "once");
        voice.end(Some("there"));
        assert_eq!(heard(&ear), "1.1:once 1.2:! 2.1:there.");
    }

    #[test]
    fn where_no_answer_follows_the_end_says_so() {
        let (voice, ear) = voice();
        voice.hear(1, "once");
        voice.cut(1);
        voice.end(None);
        assert_eq!(heard(&ear), "1.1:once 1.2:! 1.3:!.");
    }

    #[test]
    fn what_was_not_spoken_comes_in_one_piece_and_a_deed_in_none() {
        let (silent, ear) = voice();
        silent.end(None);
        assert_eq!(heard(&ear), "");
        silent.end(Some("kept from before"));
        assert_eq!(heard(&ear), "1.1:kept from before.");
    }
}
