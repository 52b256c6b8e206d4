//! The deterministic reading of everyday commands: phrase + home → draft, in microseconds, without a network.
//! Certain or silent: it speaks only when every word of the phrase is explained.
//!
//! The way of a phrase: `tokens` cuts it into words, `spans` gives each run of words its senses (from the language's `lexicon` and the
//! home's `names`), `parse` makes `clause`s of them, `wish` what is wished, `find` of whom, `deed` what that means to each device, and
//! `reading` asks whether all ways to take it agree. The grammar is code; the words are data in `config/language/<code>.toml`.
//!
//! # What is taken to be meant
//! - A device's whole name wins. A part of a name, or a noun, that fits several is narrowed by the place that was said, then by the area
//!   the command was said in; what then still fits several is asked back.
//! - "the lights" without any place, in a home with lights in several areas, is asked back; "all the lights" is all of the area the command
//!   was said in, and of the home where none is known or "everywhere" is said. "The light in the kitchen" is all of them, "the lamp" is one.
//! - "lock the doors" is every lock: nobody means half of a house.
//! - A group skips members that cannot do it. A single device that cannot silences the reading.

mod disambiguate;
mod effect;
mod intent;
mod phrase_index;
mod resolve;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::vocabulary::action::{Action, Choice, Draft};
use crate::vocabulary::speech::Speech;

mod clause;
pub mod explain;
mod lexicon;
mod names;
mod number;
mod parse;
mod reading;
mod sense;
mod spans;
mod spelling;
mod tokens;

use crate::grammar::disambiguate::{Chosen, choose};
use crate::grammar::explain::Explanation;
use crate::grammar::lexicon::{Lexicon, index};
use crate::grammar::names::Names;
use crate::grammar::reading::Reading;

// The languages that come with the program: every file of `config/language/`, as the build script lists them.
include!(concat!(env!("OUT_DIR"), "/languages.rs"));

/// When the local reading is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Before anything else.
    #[default]
    First,
    /// When no model could be reached.
    Last,
    /// Not at all.
    Never,
}

/// How the local reading is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// When it is used.
    pub when: When,
    /// The language of commands that do not name one: `en`.
    pub language: String,
    /// A folder whose `<code>.toml` files take the place of the built-in languages of that name.
    pub folder: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            when: When::First,
            language: "en".to_owned(),
            folder: None,
        }
    }
}

/// Why the languages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LanguageError {
    /// The folder, or a file in it, cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not a language.
    #[error("`{name}` is not a language file")]
    Malformed {
        /// The file, or the built-in language's code.
        name: String,
        /// The line, counted from 1, where it can be told.
        line: Option<usize>,
        /// Where and what.
        source: Box<toml::de::Error>,
    },
    /// There is no file for the language commands are in.
    #[error("there is no language `{code}`: known are {known}")]
    Unknown {
        /// The language set.
        code: String,
        /// The languages there are.
        known: String,
    },
}

/// The local reading: the languages, and the names of the home it last read for.
#[derive(Debug)]
pub struct LocalGrammar {
    when: When,
    /// The language of commands that do not name one.
    language: String,
    languages: HashMap<String, Language>,
}

#[derive(Debug)]
struct Language {
    /// Of those that come with the program, the text: one that is never spoken is never parsed.
    built_in: &'static str,
    lexicon: OnceLock<Lexicon>,
    /// The names of the home of this revision.
    names: Mutex<Option<(u64, Arc<Names>)>>,
}

impl Language {
    fn parse(name: &str, text: &str) -> Result<Self, LanguageError> {
        let malformed = |e: toml::de::Error| LanguageError::Malformed {
            name: name.to_owned(),
            line: line_of(text, &e),
            source: Box::new(e),
        };
        let lexicon: Lexicon = text.parse().map_err(malformed)?;
        Ok(Self {
            built_in: "",
            lexicon: OnceLock::from(lexicon),
            names: Mutex::new(None),
        })
    }

    fn built_in(text: &'static str) -> Self {
        Self {
            built_in: text,
            lexicon: OnceLock::new(),
            names: Mutex::new(None),
        }
    }

    fn lexicon(&self) -> &Lexicon {
        self.lexicon.get_or_init(|| {
            self.built_in
                .parse()
                .expect("a test reads every built-in language")
        })
    }

    /// The names of `home`: made when first asked for, and again when the home has changed.
    fn names(&self, home: &Home) -> Arc<Names> {
        let mut kept = self.names.lock();
        match &*kept {
            Some((revision, names)) if *revision == home.revision() => Arc::clone(names),
            _ => {
                let names = Arc::new(Names::of(home, self.lexicon()));
                *kept = Some((home.revision(), Arc::clone(&names)));
                names
            }
        }
    }
}

impl LocalGrammar {
    /// Reads the built-in languages, and those of the folder, which win.
    ///
    /// # Errors
    /// When the folder or a file in it cannot be read, a file is not a language, or there is none for `settings.language`.
    pub fn new(settings: &Settings) -> Result<Self, LanguageError> {
        let mut languages = HashMap::new();
        for (code, language) in all(settings) {
            languages.insert(code, language?);
        }
        if !languages.contains_key(&settings.language) {
            return Err(LanguageError::Unknown {
                code: settings.language.clone(),
                known: listed(languages.keys()),
            });
        }
        Ok(Self {
            when: settings.when,
            language: settings.language.clone(),
            languages,
        })
    }

    /// Everything for which [`LocalGrammar::new`] would refuse the settings, not only the first.
    pub fn faults(settings: &Settings) -> Vec<LanguageError> {
        let (mut codes, mut faults) = (Vec::new(), Vec::new());
        for (code, language) in all(settings) {
            codes.push(code);
            faults.extend(language.err());
        }
        // Of a language whose file does not do, only that is said.
        if !codes.contains(&settings.language) {
            faults.push(LanguageError::Unknown {
                code: settings.language.clone(),
                known: listed(codes.iter()),
            });
        }
        faults
    }

    /// The languages there are, where that of the phrase is none of them.
    pub fn others_than(&self, phrase: &Phrase) -> Option<String> {
        self.language(phrase)
            .is_none()
            .then(|| listed(self.languages.keys()))
    }

    /// When it is used.
    pub fn when(&self) -> When {
        self.when
    }

    /// What the phrase means in `home`: certain, a question of which of several is meant, or nothing.
    pub fn draft(&self, phrase: &Phrase, home: &Home) -> Option<Draft> {
        let language = self.language(phrase)?;
        Reading {
            lexicon: language.lexicon(),
            names: &language.names(home),
            home,
            here: here(phrase, home),
        }
        .draft(phrase.text())
    }

    /// What each word of the phrase was taken for, and the first reason for staying silent. `None` where its language is not known.
    pub fn explain(&self, phrase: &Phrase, home: &Home) -> Option<Explanation> {
        let language = self.language(phrase)?;
        Some(
            Reading {
                lexicon: language.lexicon(),
                names: &language.names(home),
                home,
                here: here(phrase, home),
            }
            .explain(phrase.text()),
        )
    }

    /// Whether the phrase is a yes or a no, and nothing else.
    pub fn consents(&self, phrase: &Phrase) -> Option<bool> {
        let language = self.language(phrase)?;
        language.lexicon().consent(phrase.text())
    }

    /// Whether the phrase asks for a long answer: "explain the heating".
    pub fn asks_for_many_words(&self, phrase: &Phrase) -> bool {
        self.language(phrase)
            .is_some_and(|language| language.lexicon().asks_for_many_words(phrase.text()))
    }

    /// What the phrase answers to a question of which of several: what is to be done then. `None` where it is no such answer.
    pub fn choose(&self, phrase: &Phrase, choices: &[Choice]) -> Option<Vec<Action>> {
        let chosen = choose(self.language(phrase)?.lexicon(), phrase.text(), choices)?;
        match (chosen, choices.last()?) {
            (Chosen::One(at), _) => choices.get(at).map(|choice| choice.actions.clone()),
            (Chosen::All, together) if together.names.is_empty() => Some(together.actions.clone()),
            (Chosen::All, _) => Some(
                choices
                    .iter()
                    .flat_map(|choice| choice.actions.clone())
                    .collect(),
            ),
        }
    }

    /// What is said to whoever said the phrase, in his language; in the language of commands that name none, where his is not known.
    pub fn speech(&self, phrase: &Phrase) -> &Speech {
        let usual = || &self.languages[&self.language];
        &self.language(phrase).unwrap_or_else(usual).lexicon().say
    }

    /// The language of the phrase; of `en-GB`, the `en`.
    fn language(&self, phrase: &Phrase) -> Option<&Language> {
        let code = phrase.language().unwrap_or(&self.language);
        self.languages
            .get(code)
            .or_else(|| self.languages.get(code.split(['-', '_']).next()?))
    }
}

/// The languages by their codes: the built-in ones, then those of the folder. One that cannot be told from the folder has no code.
fn all(settings: &Settings) -> Vec<(String, Result<Language, LanguageError>)> {
    let mut found: Vec<_> = BUILT_IN
        .map(|(code, text)| (code.to_owned(), Ok(Language::built_in(text))))
        .into();
    let Some(folder) = &settings.folder else {
        return found;
    };
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| LanguageError::Unreadable { path, source }
    };
    let entries = match std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(error) => {
            found.push((String::new(), Err(unreadable(folder)(error))));
            return found;
        }
    };
    for path in entries
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
    {
        let Some(code) = path.file_stem().and_then(|stem| stem.to_str()) else {
            continue;
        };
        let text = std::fs::read_to_string(&path).map_err(unreadable(&path));
        found.push((
            code.to_owned(),
            text.and_then(|text| Language::parse(&path.display().to_string(), &text)),
        ));
    }
    found
}

/// Codes as they are told.
fn listed<'a>(codes: impl Iterator<Item = &'a String>) -> String {
    let mut codes: Vec<&str> = codes
        .map(String::as_str)
        .filter(|code| !code.is_empty())
        .collect();
    codes.sort_unstable();
    codes.dedup();
    codes.join(", ")
}

fn line_of(text: &str, error: &toml::de::Error) -> Option<usize> {
    let before = text.get(..error.span()?.start)?;
    Some(1 + before.matches('\n').count())
}

/// The area the phrase was said in, as a position among the home's.
fn here(phrase: &Phrase, home: &Home) -> Option<u16> {
    let area = home.area_named(phrase.area()?)?;
    home.areas().iter().position(|a| a.id == area.id).map(index)
}
