//! Questions about states, and what waits for one, with the words of the reply in every language.

use std::fs;

use serde_json::Value as Json;

use crate::language::tried;

const CONFIG: &str = "[mqtt]\nhost = \"localhost\"\n[confirm]\nwhole_home = false\n";

/// Sentences with the expected replies, and the state that is reported meanwhile.
struct Reported {
    state: String,
    lines: Vec<(String, String)>,
}

/// Reads a book: a line with an object is a state, `sentence | reply` is a line under it.
fn scenes(book: &str) -> Vec<Reported> {
    let mut scenes: Vec<Reported> = Vec::new();
    for line in book.lines().filter(|line| !line.starts_with('#')) {
        if line.starts_with('{') {
            scenes.push(Reported {
                state: line.to_owned(),
                lines: Vec::new(),
            });
        } else if let Some((sentence, reply)) = line.split_once(" | ") {
            let scene = scenes.last_mut().expect("a state comes first");
            scene.lines.push((sentence.to_owned(), reply.to_owned()));
        }
    }
    scenes
}

/// Checks the book `name` about the home of the same name.
fn check(name: &str, language: &str) -> usize {
    let books = crate::phrasebook::folder().join("asked");
    let read = |end: &str| fs::read_to_string(books.join(format!("{name}.{end}"))).unwrap();
    let (home, book) = (read("toml"), read("txt"));
    let mut wrong = Vec::new();
    let mut count = 0;
    for scene in scenes(&book) {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments = vec!["--language", language];
        arguments.extend(scene.lines.iter().map(|(sentence, _)| sentence.as_str()));
        let files = [CONFIG, &home, &scene.state];
        let replies: Vec<Json> = tried(folder.path(), files, &arguments);
        assert_eq!(replies.len(), scene.lines.len(), "{name}");
        count += replies.len();
        for (reply, (sentence, expected)) in replies.iter().zip(&scene.lines) {
            let speech = reply["speech"].as_str().unwrap_or_default();
            if speech != expected {
                wrong.push(format!(
                    "{sentence}\n  wanted {expected}\n  got    {speech}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    count
}

#[test]
fn questions_about_states_are_answered_as_they_are_meant() {
    for language in ["de", "en", "es", "fr", "nl"] {
        let count = check(language, language);
        assert!(count >= 15, "the book of {language} has shrunk");
        let count = check(&format!("sensors.{language}"), language);
        assert!(count >= 9, "the book of sensors in {language} has shrunk");
        let count = check(&format!("values.{language}"), language);
        assert!(count >= 12, "the book of values in {language} has shrunk");
        let count = check(&format!("people.{language}"), language);
        assert!(count >= 9, "the book of people in {language} has shrunk");
    }
}
