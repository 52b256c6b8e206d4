//! Replays the corpus of the fuzz targets, so that fixed findings stay fixed without running a
//! fuzzer.

use std::fs;
use std::path::Path;

use sayso::testing::store::journal::JournalRecord;

#[path = "../../fuzz/claims.rs"]
mod claims;

fn holds_of_all(target: &str, claim: fn(&[u8])) {
    let folder = Path::new(crate::REPOSITORY)
        .join("fuzz/corpus")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let tried = std::panic::catch_unwind(|| claim(&fs::read(&path).unwrap()));
        assert!(tried.is_ok(), "{} breaks it", path.display());
        count += 1;
    }
    assert!(count > 4, "only {count} inputs in {}", folder.display());
}

#[test]
fn announcements_of_the_corpus_harm_no_home() {
    holds_of_all("discovery", claims::discovery);
}

#[test]
fn exposes_of_the_corpus_harm_no_home() {
    holds_of_all("exposes", claims::exposes);
}

#[test]
fn templates_of_the_corpus_end_and_stay_small() {
    holds_of_all("template", claims::template);
}

#[test]
fn phrases_of_the_corpus_are_read_or_left() {
    holds_of_all("phrase", claims::phrase);
}

#[test]
fn letters_of_the_corpus_are_commands_or_rejected() {
    holds_of_all("decode", claims::decode);
}

#[test]
fn records_of_the_corpus_are_read_and_stay_the_same() {
    holds_of_all("record", claims::record);
    let folder = Path::new(crate::REPOSITORY).join("fuzz/corpus/record");
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let (broken, whole): (Vec<_>, Vec<_>) = files.iter().partition(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("broken")
    });
    assert!(
        whole
            .iter()
            .all(|path| JournalRecord::read(&fs::read(path).unwrap()).is_some()),
        "{whole:?}"
    );
    assert!(
        !broken.is_empty()
            && broken
                .iter()
                .all(|path| JournalRecord::read(&fs::read(path).unwrap()).is_none()),
        "{broken:?}"
    );
}
