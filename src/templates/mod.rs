//! Sentence templates in Home Assistant's format: local understanding in every language for which
//! templates are installed.
//!
//! Templates are data, read from two folders: `<code>.json` as published with Home Assistant's
//! intents, and `<code>/*.yaml`, the sentences of the user. A language is compiled when it is first
//! used. A phrase goes in, a draft comes out; whether it may be done is decided by the permission
//! gate, as for every other draft.
//! Only a match of the whole sentence counts, and matches of the same rank must agree.

mod automaton;
mod compile;
mod demand;
mod format;
mod intent;
mod load;
mod matcher;
mod names;
mod normalize;
mod stored;
mod syntax;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::templates::compile::CompiledLanguage;
use crate::templates::intent::{SlotInterpreter, agree};
use crate::templates::load::{LanguagePaths, check, installed, keep_compiled, load};
use crate::templates::matcher::Match;
use crate::templates::names::{HomeNames, Spaces};
use crate::templates::normalize::{has_parts, is_question, normalize, without};
use crate::vocabulary::action::{Draft, Op};

pub use load::{TemplateError, TemplateFolders};

/// The meaning of a sentence that matched a template.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognition {
    /// Name of the intent, such as `HassTurnOn`.
    pub intent: String,
    /// The draft, or `None` if the intent concerns no device, such as a timer or a shopping list,
    /// or its target is not clear.
    pub draft: Option<Draft>,
}

/// The installed languages and the names of the home they were last used for.
#[derive(Debug, Default)]
pub struct Templates {
    languages: HashMap<String, InstalledLanguage>,
    names: Mutex<Option<Arc<HomeNames>>>,
}

#[derive(Debug)]
struct InstalledLanguage {
    paths: LanguagePaths,
    /// Compiled at first use; `None` if that failed.
    compiled: OnceLock<Option<CompiledLanguage>>,
}

impl Templates {
    /// Lists the languages of the folders. Nothing is compiled yet.
    ///
    /// # Errors
    /// If a folder exists and cannot be read.
    pub fn open(folders: &TemplateFolders) -> Result<Self, TemplateError> {
        let mut languages = installed(folders)?;
        if let Some(folder) = &folders.compiled {
            keep_compiled(&mut languages, folder);
        }
        let languages = languages.into_iter().map(|(code, paths)| {
            let compiled = OnceLock::new();
            (code, InstalledLanguage { paths, compiled })
        });
        Ok(Self {
            languages: languages.collect(),
            names: Mutex::new(None),
        })
    }

    /// Returns the faults of the user's own sentences, for all languages.
    pub fn faults(folders: &TemplateFolders) -> Vec<TemplateError> {
        let languages = match installed(folders) {
            Ok(languages) => languages,
            Err(error) => return vec![error],
        };
        let own = languages.values().filter(|paths| paths.custom.is_some());
        own.filter_map(|paths| load(paths).err()).collect()
    }

    /// Lists the files of each installed language, by its code in lower case.
    ///
    /// # Errors
    /// If a folder exists and cannot be read.
    pub fn installed_files(
        folders: &TemplateFolders,
    ) -> Result<BTreeMap<String, LanguagePaths>, TemplateError> {
        installed(folders)
    }

    /// Checks a file of templates, which need not be installed.
    ///
    /// # Errors
    /// If it cannot be read, is malformed, or exceeds a bound.
    pub fn check(path: &Path) -> Result<(), TemplateError> {
        check(path)
    }

    /// Returns whether no language is installed.
    pub fn is_empty(&self) -> bool {
        self.languages.is_empty()
    }

    /// Returns the codes of the installed languages, in order.
    pub fn codes(&self) -> Vec<&str> {
        let mut codes: Vec<_> = self.languages.keys().map(String::as_str).collect();
        codes.sort_unstable();
        codes
    }

    /// Returns whether sentences in this language may be recognized.
    pub fn has(&self, code: &str) -> bool {
        self.installed(code).is_some()
    }

    /// Compiles a language unless that has been done. If the user's own sentences are at fault, the
    /// published ones are used alone.
    ///
    /// # Errors
    /// If a file cannot be read or compiled.
    pub fn prepare(&self, code: &str) -> Result<(), TemplateError> {
        let Some(language) = self.installed(code) else {
            return Ok(());
        };
        let mut result = Ok(());
        language
            .compiled
            .get_or_init(|| match load(&language.paths) {
                Ok(compiled) => Some(compiled),
                Err(error) => {
                    result = Err(error);
                    load(&language.paths.published_only()).ok()
                }
            });
        result
    }

    /// Returns the memory of a compiled language, in bytes.
    pub fn memory(&self, code: &str) -> usize {
        let compiled = self
            .installed(code)
            .and_then(|installed| installed.compiled.get()?.as_ref());
        compiled.map_or(0, |language| language.automaton.bytes())
    }

    /// Recognizes a phrase in the language it names, or in `default_language`.
    ///
    /// A language that was not prepared yet is compiled first, which takes some ten milliseconds.
    pub fn recognize(
        &self,
        phrase: &Phrase,
        default_language: &str,
        home: &Home,
    ) -> Option<Recognition> {
        let mut found = self.with_matches(phrase, default_language, home, agreed)?;
        // Templates have no commas, so one that separates two parts has a meaning they lack.
        if self.has_parts(phrase, default_language) {
            found.draft = None;
        }
        // A question is answered, and never changes anything.
        if is_question(phrase.text()) {
            let is_query = |draft: &Draft| draft.actions.iter().all(|a| a.op == Op::Query);
            found.draft = found.draft.filter(is_query);
        }
        Some(found)
    }

    /// Returns the intent and the slots of a phrase, as the conformance test compares them.
    pub fn slots(
        &self,
        phrase: &Phrase,
        default_language: &str,
        home: &Home,
    ) -> Option<(String, BTreeMap<String, String>)> {
        self.with_matches(phrase, default_language, home, |language, _, matches| {
            let first = matches.first()?;
            let block = &language.blocks[first.block];
            let mut slots = block.slots.clone();
            slots.extend(
                first
                    .captured
                    .iter()
                    .map(|(k, v)| (k.clone(), v.to_string())),
            );
            Some((block.intent.to_string(), slots))
        })
    }

    /// Calls `then` with the matches of the highest rank, if there are any.
    fn with_matches<T>(
        &self,
        phrase: &Phrase,
        default_language: &str,
        home: &Home,
        then: impl FnOnce(&CompiledLanguage, &SlotInterpreter<'_>, &[Match]) -> Option<T>,
    ) -> Option<T> {
        let code = phrase.language().unwrap_or(default_language);
        if let Err(error) = self.prepare(code) {
            tracing::warn!(language = code, %error, "sentence templates at fault are not used");
        }
        let language = self.installed(code)?.compiled.get()?.as_ref()?;
        let spaces = if language.ignores_spaces {
            Spaces::Ignored
        } else {
            Spaces::Count
        };
        let form = |text: &str| spaces.apply(normalize(text));
        let names = self.names(home, spaces);
        let whole = normalize(phrase.text());
        let text = without(&whole, &language.skip_words);
        let here = phrase.area().map(form);
        let here = here.and_then(|area| names.areas.things(&area).first().copied());
        let interpreter = SlotInterpreter {
            home,
            names: &names,
            here,
        };
        // A skip word may belong to a template, which then is the first choice.
        let mut texts = vec![spaces.apply(whole), spaces.apply(text)];
        texts.dedup();
        let text = &texts[texts.len() - 1];
        let mut matches = Vec::new();
        for text in &texts {
            matches.extend(matcher::matches(language, &names, text)?);
        }
        matches.retain(|m| interpreter.holds(&language.blocks[m.block], m, text));
        let highest = matches.iter().map(Match::rank).max()?;
        matches.retain(|m| m.rank() == highest);
        // Of equal matches, the original takes the one that stands first in the file.
        matches.sort_by_key(|m| m.block);
        then(language, &interpreter, &matches)
    }

    /// Returns whether commas separate several parts of the phrase.
    fn has_parts(&self, phrase: &Phrase, default_language: &str) -> bool {
        let code = phrase.language().unwrap_or(default_language);
        let compiled = self
            .installed(code)
            .and_then(|l| l.compiled.get()?.as_ref());
        compiled.is_some_and(|language| has_parts(phrase.text(), &language.skip_words))
    }

    fn installed(&self, code: &str) -> Option<&InstalledLanguage> {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
        let code = if code.bytes().all(is_plain) {
            Cow::Borrowed(code)
        } else {
            code.to_lowercase().replace('_', "-").into()
        };
        self.languages
            .get(&*code)
            .or_else(|| self.languages.get(code.split('-').next()?))
    }

    fn names(&self, home: &Home, spaces: Spaces) -> Arc<HomeNames> {
        let mut names = self.names.lock();
        match &*names {
            Some(known) if known.revision == home.revision() && known.spaces == spaces => {
                Arc::clone(known)
            }
            _ => {
                let new = Arc::new(HomeNames::new(home, spaces));
                *names = Some(Arc::clone(&new));
                new
            }
        }
    }
}

/// Returns the draft on which all matches agree.
fn agreed(
    language: &CompiledLanguage,
    interpreter: &SlotInterpreter<'_>,
    matches: &[Match],
) -> Option<Recognition> {
    let first = &language.blocks[matches.first()?.block];
    let drafts = matches
        .iter()
        .map(|matched| interpreter.draft(&language.blocks[matched.block], matched));
    let drafts: Option<Vec<Draft>> = drafts.collect();
    let draft = drafts.and_then(|mut drafts| {
        let draft = drafts.pop()?;
        drafts
            .iter()
            .all(|other| agree(&draft, other))
            .then_some(draft)
    });
    Some(Recognition {
        intent: first.intent.to_string(),
        draft,
    })
}
