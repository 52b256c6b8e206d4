//! Spelling of a language: maps different spellings of a word to one.
//!
//! Sentences, names of the home and words of the language files are all normalized here: accents
//! are removed, elided words are separated, and compounds are split.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

/// Spelling rules of one language.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spelling {
    /// Elided words that are attached to the next one: `l'`, `d'`.
    elisions: Vec<String>,
    /// Accented letters that are kept because they distinguish words: `äöü`.
    keeps: String,
    /// Words that keep their accents because they differ from the plain spelling: "apagué" is past
    /// tense, "apague" is a command.
    accented: HashSet<String>,
    /// Alternative spellings of letters: `ue` for `ü`.
    letters: BTreeMap<String, String>,
    /// Letters that may stand between the parts of a compound: `n` in "küchenlicht". `None` if the
    /// language has no compounds.
    joints: Option<Vec<String>>,
    /// Last parts of compounds, which the parts before a hyphen lack: "licht".
    #[serde(skip)]
    heads: Vec<String>,
}

impl Spelling {
    /// Returns the text without accents, with uniform letters and a space after elided words.
    pub(super) fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut plain = if text.is_ascii() {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(self.without_accents(&composed(text)))
        };
        if !self.elisions.is_empty() && plain.contains('\'') {
            plain = Cow::Owned(self.apart(&plain));
        }
        for (written, other) in &self.letters {
            if plain.contains(written.as_str()) {
                plain = Cow::Owned(plain.replace(written.as_str(), other));
            }
        }
        if plain.contains("- ") || plain.contains("-, ") {
            plain = Cow::Owned(self.with_whole_compounds(&plain));
        }
        plain
    }

    /// Returns the spelling with the nouns that end compounds, in plain spelling.
    pub(super) fn with_heads<'n>(mut self, nouns: impl Iterator<Item = &'n String>) -> Self {
        if self.compounds() {
            self.heads = nouns.cloned().collect();
        }
        self
    }

    /// Completes compounds that share their last part: "küchen- und flurlicht" → "küchenlicht und
    /// flurlicht".
    fn with_whole_compounds(&self, text: &str) -> String {
        let begun = |word: &str| word.trim_end_matches(',').ends_with('-');
        let words: Vec<&str> = text.split(' ').collect();
        let mut whole = Vec::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            let begins = words[at..].iter().take_while(|word| begun(word)).count();
            // "und" is between the last of them and the complete one.
            let complete = words.get(at + begins + 1).filter(|_| begins > 0);
            match complete.and_then(|complete| self.head_of(complete)) {
                Some(head) => whole.push(word.replacen('-', head, 1)),
                None => whole.push((*word).to_owned()),
            }
        }
        whole.join(" ")
    }

    /// Returns the longest noun that ends a compound.
    fn head_of(&self, compound: &str) -> Option<&str> {
        let compound = compound.trim_end_matches(|c: char| !c.is_alphanumeric());
        let ends =
            |head: &&String| compound.len() > head.len() && compound.ends_with(head.as_str());
        let heads = self.heads.iter().filter(ends);
        heads.max_by_key(|head| head.len()).map(String::as_str)
    }

    fn without_accents(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(|c: char| !c.is_alphabetic()) {
            if self
                .accented
                .contains(piece.trim_end_matches(|c: char| !c.is_alphabetic()))
            {
                out.push_str(piece);
            } else {
                without_accents(piece, &self.keeps, &mut out);
            }
        }
        out
    }

    /// Separates elided words: "l'entree" → "l' entree".
    fn apart(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 4);
        let mut at_start = true;
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let elided = self
                .elisions
                .iter()
                .find(|word| at_start && rest.starts_with(word.as_str()));
            let taken = elided.map_or(first.len_utf8(), String::len);
            out.push_str(&rest[..taken]);
            if elided.is_some() {
                out.push(' ');
            }
            at_start = !first.is_alphanumeric() || elided.is_some();
            rest = &rest[taken..];
        }
        out
    }

    /// Returns the parts of a compound such as "kuchenlicht" if there is exactly one way to split
    /// it into a place and a thing.
    pub(super) fn parts<'w>(
        &self,
        word: &'w str,
        is_place: impl Fn(&str) -> bool,
        is_thing: impl Fn(&str) -> bool,
    ) -> Option<[&'w str; 2]> {
        let joints = self.joints.as_ref()?;
        let mut found = None;
        for (at, _) in word.char_indices().filter(|(at, _)| *at >= 2) {
            let (place, rest) = word.split_at(at);
            if !is_place(place) {
                continue;
            }
            for thing in joints
                .iter()
                .filter_map(|joint| rest.strip_prefix(joint.as_str()))
                .chain([rest])
            {
                if thing.len() > 1
                    && is_thing(thing)
                    && found
                        .replace([place, thing])
                        .is_some_and(|other| other != [place, thing])
                {
                    return None;
                }
            }
        }
        found
    }

    /// Returns whether the language has compounds: "stehlampe" is a lamp.
    pub(super) fn compounds(&self) -> bool {
        self.joints.is_some()
    }
}

/// Appends `text` without accents, except for the letters in `keeps`.
fn without_accents(text: &str, keeps: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            c if keeps.contains(c) => out.push(c),
            'à'..='å' | 'ā' | 'ă' | 'ą' => out.push('a'),
            'ç' | 'ć' | 'č' => out.push('c'),
            'ď' | 'đ' | 'ð' => out.push('d'),
            'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => out.push('e'),
            'ğ' => out.push('g'),
            'ì'..='ï' | 'ī' | 'į' | 'ı' => out.push('i'),
            'ł' | 'ľ' => out.push('l'),
            'ñ' | 'ń' | 'ň' => out.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => out.push('o'),
            'ŕ' | 'ř' => out.push('r'),
            'ś' | 'š' | 'ş' | 'ș' => out.push('s'),
            'ţ' | 'ť' | 'ț' => out.push('t'),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => out.push('u'),
            'ý' | 'ÿ' => out.push('y'),
            'ź' | 'ż' | 'ž' => out.push('z'),
            'æ' => out.push_str("ae"),
            'œ' => out.push_str("oe"),
            'ß' => out.push_str("ss"),
            '\u{300}'..='\u{36f}' => {}
            c => out.push(c),
        }
    }
}

/// Combines letters with the combining marks that follow: some keyboards write "ü" as two
/// characters.
fn composed(text: &str) -> Cow<'_, str> {
    const MARKS: [(char, &str, &str); 6] = [
        ('\u{300}', "aeiou", "àèìòù"),
        ('\u{301}', "aeiouy", "áéíóúý"),
        ('\u{302}', "aeiou", "âêîôû"),
        ('\u{303}', "ano", "ãñõ"),
        ('\u{308}', "aeiouy", "äëïöüÿ"),
        ('\u{327}', "c", "ç"),
    ];
    if !text
        .chars()
        .any(|c| MARKS.iter().any(|(mark, ..)| *mark == c))
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let one = MARKS
            .iter()
            .find(|(mark, ..)| *mark == c)
            .and_then(|(_, plain, whole)| {
                let at = plain.chars().position(|letter| out.ends_with(letter))?;
                whole.chars().nth(at)
            });
        if one.is_some() {
            out.pop();
        }
        out.push(one.unwrap_or(c));
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelling(text: &str) -> Spelling {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn compounds_with_a_common_end_are_completed() {
        let nouns = ["licht", "lampe"].map(str::to_owned);
        let german = spelling("joints = [\"n\"]").with_heads(nouns.iter());
        assert_eq!(
            german.plain("küchen- und flurlicht an"),
            "kuchenlicht und flurlicht an"
        );
        assert_eq!(
            german.plain("bad-, küchen- und flurlampe aus"),
            "badlampe, kuchenlampe und flurlampe aus"
        );
        assert_eq!(german.plain("küchen- und flur"), "kuchen- und flur");
    }

    #[test]
    fn spellings_of_one_word_are_normalized() {
        let german = spelling("letters = { ue = \"u\", ae = \"a\" }");
        assert_eq!(german.plain("küche"), german.plain("kueche"));
        assert_eq!(german.plain("straße"), "strasse");
        let umlauts = spelling("keeps = \"äöü\"\nletters = { ae = \"ä\" }");
        assert_eq!(
            umlauts.plain("rollläden à rolllaeden"),
            "rollläden a rollläden"
        );
        assert_eq!(umlauts.plain("ku\u{308}che"), "küche");
        let spanish = spelling("accented = [\"apagué\"]");
        assert_eq!(
            spanish.plain("apagué el salón, apague"),
            "apagué el salon, apague"
        );
        assert_eq!(spanish.plain("apague\u{301}"), "apagué");
        assert_eq!(spelling("").plain("café"), "cafe");
        let french = spelling("elisions = [\"l'\", \"d'\", \"qu'\"]");
        assert_eq!(
            french.plain("l'entrée d'été qu'il aujourd'hui"),
            "l' entree d' ete qu' il aujourd'hui"
        );
    }

    #[test]
    fn compounds_of_known_parts_are_split() {
        let german = spelling("joints = [\"n\", \"s\"]");
        let parts = |word| {
            german.parts(
                word,
                |place| ["kuche", "flur", "bad"].contains(&place),
                |thing| ["licht", "lampe"].contains(&thing),
            )
        };
        assert_eq!(parts("kuchenlicht"), Some(["kuche", "licht"]));
        assert_eq!(parts("flurlampe"), Some(["flur", "lampe"]));
        assert_eq!(parts("badewanne"), None);
        assert_eq!(parts("kuchen"), None);
        assert_eq!(spelling("").parts("flurlampe", |_| true, |_| true), None);
    }
}
