//! The fuzzer's corpus, tried in every run: what once was a finding stays mended, without a fuzzer.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/claims.rs"]
mod claims;

fn holds_of_all(target: &str, claim: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
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
