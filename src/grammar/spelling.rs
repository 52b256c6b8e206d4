//! How a language is written: what makes two spellings one word. What was said, the names of the home and the language's own words all
//! pass through it, so that they meet: accents are taken off, elided words stand alone, and compounds come apart.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;

/// The spelling of one language.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Spelling {
    /// Words that lean on the next one: `l'`, `d'`.
    elisions: Vec<String>,
    /// Letters whose accents tell words apart, and stay: `äöü`, for "rollläden" are several.
    keeps: String,
    /// Words that are others without their accents: "apagué" tells what was done, and "apague" wishes it.
    accented: HashSet<String>,
    /// Letters written in two ways: `ue` for `ü`.
    letters: BTreeMap<String, String>,
    /// What may stand between the parts of a compound, besides nothing: `n` in "küchenlicht". `None`: there are no compounds.
    joints: Option<Vec<String>>,
}

impl Spelling {
    /// The text with accents taken off, letters evened out, and a space after elided words.
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
        plain
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

    /// "l'entree" → "l' entree".
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

    /// The two parts of a compound such as "kuchenlicht", where `is_place` knows the first and `is_thing` the second; only where it
    /// comes apart in one way.
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

    /// Whether words grow together: "stehlampe" is a lamp.
    pub(super) fn compounds(&self) -> bool {
        self.joints.is_some()
    }
}

/// Latin letters without their accents, but for those that are kept; a combining mark is an accent of its own.
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

/// A letter and the combining mark after it as the one letter they are: some keyboards write "ü" as two.
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
    fn what_is_one_word_is_written_one_way() {
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
    fn compounds_come_apart_where_both_parts_are_known() {
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
