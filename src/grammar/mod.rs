//! The local grammar: phrase + home → draft, in microseconds, without a network.
//!
//! Certain or silent: there is a draft only if every word of the phrase is explained and all
//! possible interpretations agree.
//!
//! A phrase passes through these modules, in this order:
//!
//! 1. `spelling` and `tokens` split it into normalized words.
//! 2. `spans` finds the longest known phrases, with their senses from the `lexicon` of the language
//!    and the `names` of the home.
//! 3. `parse` turns one sense for each span into `clause`s.
//! 4. `intent` maps different wordings of a request to one value.
//! 5. `resolve` finds the devices, and `effect` their properties and values.
//! 6. `interpreter` tries all combinations of senses and compares the results.
//! 7. `combine` compares them with the sentence templates of that language, if they are installed.
//!
//! The grammar is code; the words are data in `config/language/<code>.toml`.
//!
//! # Rules of interpretation
//! - The whole name of a device takes precedence. A part of a name, or a noun, that fits several
//!   devices is narrowed by the named place, then by the area of the command; if several remain,
//!   the speaker is asked.
//! - "the lights" without a place, in a home with lights in several areas, leads to a question;
//!   "all the lights" means the area of the command, or the home if there is none or with
//!   "everywhere". "The light in the kitchen" means all of them, "the lamp" means one.
//! - "lock the doors" means every lock.
//! - A group skips members that cannot do it. For a single device that cannot, there is no draft.

mod adjunct_scope;
mod ambiguous_area;
mod antecedents;
mod awning;
mod clause;
mod combine;
mod condition;
mod condition_place;
mod condition_words;
mod day_part;
mod disambiguate;
mod dissect;
mod effect;
mod evidence;
mod example_words;
pub mod explain;
pub mod follow_up;
mod follow_up_place;
mod follow_up_value;
mod follow_up_words;
mod incapable;
mod intent;
mod interpreter;
mod lexicon;
mod members;
mod names;
mod number;
mod parse;
mod part_open;
mod phrase_filter;
mod phrase_index;
mod polite;
mod reason;
mod resolve;
mod said_places;
mod sense;
mod sides;
mod spanned_phrase;
mod spans;
mod spelling;
mod suggestion;
mod template_veto;
mod threshold;
mod time;
mod time_words;
mod timer_phrases;
pub mod timer_request;
mod tokens;
mod unable;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use flate2::read::DeflateDecoder;
use foldhash::HashMap;
use parking_lot::Mutex;

use crate::command::misunderstanding::Misunderstanding;
use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::templates::{Recognition, TemplateError, TemplateFolders, Templates};
use crate::vocabulary::action::{Action, Draft};
use crate::vocabulary::speech::Speech;

use crate::grammar::combine::{combine, explain_both};
use crate::grammar::disambiguate::{answer, is_bare_answer};
use crate::grammar::evidence::Evidence;
use crate::grammar::explain::Explanation;
use crate::grammar::follow_up::{Antecedents, Continuation, FollowUp, Remembered};
use crate::grammar::interpreter::Interpreter;
use crate::grammar::lexicon::{Lexicon, index};
use crate::grammar::names::Names;
use crate::grammar::spanned_phrase::ReadPhrase;
pub use crate::grammar::spanned_phrase::SpannedPhrase;
use crate::grammar::timer_request::TimerRequest;

// Built-in languages: every file of `config/language/`, compressed by the build script.
include!(concat!(env!("OUT_DIR"), "/languages.rs"));

/// Order of the local grammar and the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Before anything else.
    #[default]
    First,
    /// Only when no model could be reached.
    Last,
    /// Not at all: the grammar reads no commands.
    Never,
}

/// Settings of the local grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Order of the local grammar and the models.
    pub when: When,
    /// Language of commands that name none: `en`.
    pub language: String,
    /// Folder whose `<code>.toml` files replace the built-in languages of the same name.
    pub folder: Option<PathBuf>,
    /// Folders of sentence templates.
    pub templates: TemplateFolders,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            when: When::First,
            language: "en".to_owned(),
            folder: None,
            templates: TemplateFolders::default(),
        }
    }
}

/// An error in the language files.
#[derive(Debug, thiserror::Error)]
pub enum LanguageError {
    /// The folder or a file in it cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The folder or file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file is not a valid language file.
    #[error("`{name}` is not a language file")]
    Malformed {
        /// Path of the file, or code of the built-in language.
        name: String,
        /// Line of the error, counted from 1, if known.
        line: Option<usize>,
        /// The error of the parser.
        source: Box<toml::de::Error>,
    },
    /// There is no file for the configured language.
    #[error("there is no language `{code}`: known are {known}")]
    Unknown {
        /// The configured language.
        code: String,
        /// The available languages.
        known: String,
    },
    /// Sentence templates cannot be used.
    #[error(transparent)]
    Templates(#[from] TemplateError),
}

/// The local grammar: its languages, and the names of the home it was last used with.
#[derive(Debug)]
pub struct LocalGrammar {
    when: When,
    /// Language of commands that name none.
    language: String,
    languages: HashMap<String, Language>,
    /// Sentence templates, for these languages and others.
    templates: Templates,
}

#[derive(Debug)]
struct Language {
    /// Compressed text of a built-in language; it is read on first use.
    built_in: &'static [u8],
    lexicon: OnceLock<Lexicon>,
    /// Names of the home, with its revision.
    names: Mutex<Vec<(u64, Arc<Names>)>>,
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
            built_in: &[],
            lexicon: OnceLock::from(lexicon),
            names: Mutex::default(),
        })
    }

    fn built_in(compressed: &'static [u8]) -> Self {
        Self {
            built_in: compressed,
            lexicon: OnceLock::new(),
            names: Mutex::default(),
        }
    }

    fn lexicon(&self) -> &Lexicon {
        self.lexicon.get_or_init(|| {
            let mut text = String::new();
            DeflateDecoder::new(self.built_in)
                .read_to_string(&mut text)
                .expect("the build script compresses every built-in language");
            text.parse().expect("a test reads every built-in language")
        })
    }

    fn interpreter<'a>(
        &'a self,
        names: &'a Names,
        phrase: &'a Phrase,
        home: &'a Home,
    ) -> Interpreter<'a> {
        Interpreter {
            lexicon: self.lexicon(),
            names,
            home,
            here: here(phrase, home),
            remembered: Remembered::default(),
            phrase: phrase.text(),
        }
    }

    /// Returns the names of `home`, built on first use and again when the home has changed.
    fn names(&self, home: &Home) -> Arc<Names> {
        let revision = home.revision();
        let mut kept = self.names.lock();
        if let Some(at) = kept.iter().position(|(other, _)| *other == revision) {
            // Commands use the newest home by now: the earlier one is not needed any more.
            if at == 0 {
                kept.truncate(1);
            }
            return Arc::clone(&kept[at].1);
        }
        drop(kept);
        // Built without the lock: a large home takes a while, and commands still use the earlier
        // one.
        let names = Arc::new(Names::of(home, self.lexicon()));
        let mut kept = self.names.lock();
        kept.insert(0, (revision, Arc::clone(&names)));
        kept.truncate(2);
        names
    }
}

/// Longest text of a sentence, in bytes: the most words there may be, with 40 bytes for each.
const MAX_SENTENCE: usize = 2 << 10;

/// The most words of an answer that means nothing alone.
const MOST_ANSWER_WORDS: usize = 4;

/// Returns the phrase, or `None` if it is too long for a sentence of the grammar.
fn sentence(phrase: &Phrase) -> Option<&Phrase> {
    (phrase.text().len() <= MAX_SENTENCE).then_some(phrase)
}

impl LocalGrammar {
    /// Builds the names of a home that commands will use soon, in the languages in use.
    pub fn prepare(&self, home: &Home) {
        for language in self.languages.values() {
            let is_used = !language.names.lock().is_empty();
            if is_used {
                language.names(home);
            }
        }
    }

    /// Loads the built-in languages and those of the folder, which take precedence.
    ///
    /// # Errors
    /// If the folder or a file in it cannot be read, a file is invalid, or `settings.language` has
    /// no file.
    pub fn new(settings: &Settings) -> Result<Self, LanguageError> {
        let mut languages = HashMap::default();
        for (code, language) in all(settings) {
            languages.insert(code, language?);
        }
        let templates = Templates::open(&settings.templates)?;
        if !languages.contains_key(&settings.language) && !templates.has(&settings.language) {
            return Err(LanguageError::Unknown {
                code: settings.language.clone(),
                known: listed(
                    languages
                        .keys()
                        .map(String::as_str)
                        .chain(templates.codes()),
                ),
            });
        }
        if settings.when != When::Never
            && let Err(error) = templates.prepare(&settings.language)
        {
            tracing::warn!(%error, "sentence templates at fault are not used");
        }
        Ok(Self {
            when: settings.when,
            language: settings.language.clone(),
            languages,
            templates,
        })
    }

    /// Returns all errors in the settings, not only the first one that [`LocalGrammar::new`]
    /// reports.
    pub fn faults(settings: &Settings) -> Vec<LanguageError> {
        let (mut codes, mut faults) = (Vec::new(), Vec::new());
        for (code, language) in all(settings) {
            codes.push(code);
            faults.extend(language.err());
        }
        faults.extend(
            Templates::faults(&settings.templates)
                .into_iter()
                .map(Into::into),
        );
        let templates = Templates::open(&settings.templates).unwrap_or_default();
        // An invalid file has been reported already; its language is not missing.
        if !codes.contains(&settings.language) && !templates.has(&settings.language) {
            faults.push(LanguageError::Unknown {
                code: settings.language.clone(),
                known: listed(codes.iter().map(String::as_str).chain(templates.codes())),
            });
        }
        faults
    }

    /// Returns the available languages if the language of the phrase is not among them.
    pub fn unknown_language(&self, phrase: &Phrase) -> Option<String> {
        let is_known = self.language(phrase).is_some() || self.templates.has(self.code(phrase));
        let own = self.languages.keys().map(String::as_str);
        (!is_known).then(|| listed(own.chain(self.templates.codes())))
    }

    /// Returns the configured order of grammar and models, the key `use` of `[local]`.
    pub fn when(&self) -> When {
        self.when
    }

    /// Finds the spans of a phrase in `home`, for all questions about them.
    pub fn spanned<'a>(&'a self, phrase: &'a Phrase, home: &'a Home) -> SpannedPhrase<'a> {
        let read = self.reader(phrase).map(|language| {
            let names = language.names(home);
            ReadPhrase::new(phrase, language.lexicon(), names, here(phrase, home))
        });
        SpannedPhrase { phrase, home, read }
    }

    /// Returns the draft of the phrase in `home`: actions, a question to ask back, or `None`.
    pub fn draft(&self, phrase: &Phrase, home: &Home) -> Option<Draft> {
        self.draft_of(&self.spanned(phrase, home))
    }

    /// Returns the draft of a phrase whose spans are known, like [`draft`](Self::draft).
    pub fn draft_of(&self, spanned: &SpannedPhrase<'_>) -> Option<Draft> {
        let phrase = sentence(spanned.phrase)?;
        self.beside_templates(phrase, spanned.home, spanned.draft())
    }

    /// Returns the draft that is certain beside the sentence templates; `own` is the grammar's.
    fn beside_templates(&self, phrase: &Phrase, home: &Home, own: Option<Draft>) -> Option<Draft> {
        match self.template(phrase, home, own.is_some()) {
            Some(Recognition { draft, .. }) => combine(own, draft),
            None => own,
        }
    }

    /// Returns the draft of a phrase that may refer to the last command of its source.
    pub fn draft_after(&self, spanned: &SpannedPhrase<'_>, last: &Antecedents) -> Option<Draft> {
        let phrase = sentence(spanned.phrase)?;
        self.beside_templates(phrase, spanned.home, spanned.draft_after(last))
    }

    /// Returns the last command applied to the devices that the phrase names, or `None` if the
    /// phrase does not continue it.
    pub fn continuation(
        &self,
        phrase: &Phrase,
        home: &Home,
        last: &Antecedents,
    ) -> Option<Continuation> {
        let language = self.reader(phrase)?;
        let names = language.names(home);
        let interpreter = Interpreter {
            remembered: Remembered::of(last, home, &names),
            ..language.interpreter(&names, phrase, home)
        };
        let continuation = interpreter.continuation(phrase.text(), &last.actions);
        continuation.or_else(|| {
            if last.is_timed {
                // "no, 20" may correct the time.
                return None;
            }
            let draft = interpreter.corrected(phrase.text(), &last.actions)?;
            Some(Continuation {
                instead: false,
                draft,
            })
        })
    }

    /// Returns the request about timers that the phrase is.
    pub fn timer_request(&self, phrase: &Phrase) -> Option<TimerRequest> {
        timer_request::timer_request(self.reader(phrase)?.lexicon(), phrase.text())
    }

    /// Returns whether the phrase has a word for a timer.
    pub fn names_a_timer(&self, phrase: &Phrase) -> bool {
        self.reader(phrase)
            .is_some_and(|language| timer_request::names_a_timer(language.lexicon(), phrase.text()))
    }

    /// Returns a text as the words of a phrase are compared with it: in lower case, without accents
    /// where the language of the phrase drops them.
    pub fn comparable(&self, phrase: &Phrase, text: &str) -> String {
        let text = text.to_lowercase();
        match self.reader(phrase) {
            Some(language) => language.lexicon().spelling.plain(&text).into_owned(),
            None => text,
        }
    }

    /// Returns whether the phrase asks for examples of commands.
    pub fn asks_for_examples(&self, phrase: &Phrase) -> bool {
        let Some(lexicon) = self.reader(phrase).map(Language::lexicon) else {
            return false;
        };
        follow_up::asks_for_examples(lexicon, phrase.text())
    }

    /// Returns the forms of example sentences with a meaning, such as `power=on`.
    pub fn example_forms(&self, phrase: &Phrase, meaning: &str) -> &[String] {
        let language = self.language(phrase);
        let forms = language.and_then(|l| l.lexicon().examples.forms.get(meaning));
        forms.map_or(&[], Vec::as_slice)
    }

    /// Returns the sentence of fixed form about an earlier command that the phrase is.
    pub fn follow_up(&self, phrase: &Phrase) -> Option<FollowUp> {
        follow_up::fixed_form(self.reader(phrase)?.lexicon(), phrase.text())
    }

    /// Returns the meaning of the phrase as a sentence template, if it matches one. In a language of
    /// the grammar its words must admit it; `is_understood` says whether the grammar has a draft.
    fn template(&self, phrase: &Phrase, home: &Home, is_understood: bool) -> Option<Recognition> {
        let recognition = self.templates.recognize(phrase, &self.language, home)?;
        let Some(language) = self.language(phrase) else {
            return Some(recognition);
        };
        let names = language.names(home);
        let interpreter = language.interpreter(&names, phrase, home);
        interpreter.admitted(phrase.text(), recognition, is_understood)
    }

    /// Explains the interpretation of the phrase. Returns `None` if its language is unknown.
    pub fn explain(&self, phrase: &Phrase, home: &Home) -> Option<Explanation> {
        let own = self.language(phrase).map(|language| {
            let names = language.names(home);
            language
                .interpreter(&names, phrase, home)
                .explain(phrase.text())
        });
        let is_understood = own.as_ref().is_some_and(|own| own.verdict.is_ok());
        let template = self.template(phrase, home, is_understood);
        if template.is_none() && (own.is_some() || !self.templates.has(self.code(phrase))) {
            return own;
        }
        Some(explain_both(own, template))
    }

    /// Returns the question whether the device is meant whose name the phrase has shortened.
    pub fn suggestion(&self, phrase: &Phrase, home: &Home) -> Option<Draft> {
        let language = self.reader(phrase)?;
        let names = language.names(home);
        let interpreter = language.interpreter(&names, phrase, home);
        interpreter.suggestion(sentence(phrase)?.text())
    }

    /// Returns the cause why the phrase has no draft in `home`, or `None` if it is not known.
    pub fn reason(&self, phrase: &Phrase, home: &Home) -> Option<Misunderstanding> {
        let language = self.reader(phrase)?;
        let names = language.names(home);
        language
            .interpreter(&names, phrase, home)
            .reason(phrase.text())
    }

    /// Returns whether the words of the phrase support the actions that a model made of it: none
    /// contradicts them, and each number in them is stated. `None` where no language file reads
    /// the phrase.
    pub fn supports(&self, phrase: &Phrase, home: &Home, actions: &[Action]) -> Option<bool> {
        let language = self.reader(phrase)?;
        let names = language.names(home);
        let evidence = Evidence::of(phrase.text(), language.lexicon(), &names);
        Some(evidence.supports(home, actions))
    }

    /// Returns whether the phrase is a yes (`true`) or a no, and nothing else.
    pub fn confirmation(&self, phrase: &Phrase) -> Option<bool> {
        let phrase = sentence(phrase)?;
        self.lexicon_of_replies(phrase).confirmation(phrase.text())
    }

    /// Returns whether the phrase can only be an answer to a question, in any language: "yes", "the
    /// first one".
    pub fn is_bare_answer(&self, phrase: &Phrase) -> bool {
        let text = phrase.text();
        let words = text.split_whitespace().take(MOST_ANSWER_WORDS + 1).count();
        if words > MOST_ANSWER_WORDS || text.len() > MAX_SENTENCE {
            return false;
        }
        // A "nein" is one also where another language is configured.
        let mut languages = self.languages.values();
        is_bare_answer(self.lexicon_of_replies(phrase), text)
            || languages.any(|language| language.lexicon().confirmation(text).is_some())
    }

    /// Returns whether the phrase asks for a long answer: "explain the heating".
    pub fn wants_long_answer(&self, phrase: &Phrase) -> bool {
        let text = phrase.text();
        let beginning = &text[..text.floor_char_boundary(MAX_SENTENCE)];
        self.language(phrase)
            .is_some_and(|language| language.lexicon().wants_long_answer(beginning))
    }

    /// Returns the draft that follows from an answer to the question of `pending`, which has
    /// choices, or `None` if the phrase is not an answer.
    pub fn answer(&self, phrase: &Phrase, pending: &Draft) -> Option<Draft> {
        let phrase = sentence(phrase)?;
        answer(self.lexicon_of_replies(phrase), phrase.text(), pending)
    }

    /// Returns the texts of replies in the language of the phrase, or in the configured one.
    pub fn speech(&self, phrase: &Phrase) -> &Speech {
        &self.lexicon_of_replies(phrase).say
    }

    /// Returns the lexicon of the language of the phrase; without one that of the configured
    /// language, and without that the English one.
    fn lexicon_of_replies(&self, phrase: &Phrase) -> &Lexicon {
        let configured = || self.languages.get(&self.language);
        let language = self.language(phrase).or_else(configured);
        language.unwrap_or(&self.languages["en"]).lexicon()
    }

    fn code<'a>(&'a self, phrase: &'a Phrase) -> &'a str {
        phrase.language().unwrap_or(&self.language)
    }

    /// Returns the language that reads the phrase; `None` also where the phrase is too long for a
    /// sentence, so that no function looks at such a text.
    fn reader(&self, phrase: &Phrase) -> Option<&Language> {
        self.language(sentence(phrase)?)
    }

    /// Returns the language of the phrase; `en` for `en-GB`.
    fn language(&self, phrase: &Phrase) -> Option<&Language> {
        let code = self.code(phrase);
        self.languages
            .get(code)
            .or_else(|| self.languages.get(code.split(['-', '_']).next()?))
    }
}

/// Returns the codes of the built-in languages.
pub fn built_in_languages() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(code, _)| *code)
}

/// Loads the built-in languages, then those of the folder. An unreadable folder has an empty code.
fn all(settings: &Settings) -> Vec<(String, Result<Language, LanguageError>)> {
    let mut found: Vec<_> = BUILT_IN
        .map(|(code, compressed)| (code.to_owned(), Ok(Language::built_in(compressed))))
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

/// Joins codes to a sorted list.
fn listed<'a>(codes: impl Iterator<Item = &'a str>) -> String {
    let mut codes: Vec<&str> = codes.filter(|code| !code.is_empty()).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.join(", ")
}

fn line_of(text: &str, error: &toml::de::Error) -> Option<usize> {
    let before = text.get(..error.span()?.start)?;
    Some(1 + before.matches('\n').count())
}

/// Returns the index of the area the phrase was given in.
fn here(phrase: &Phrase, home: &Home) -> Option<u16> {
    let area = home.area_named(phrase.area()?)?;
    home.areas().iter().position(|a| a.id == area.id).map(index)
}
