//! Phrases of one language for requests about timers, from its file.

use serde::Deserialize;

use crate::grammar::phrase_filter::PhraseFilter;
use crate::grammar::tokens::words;

/// Phrases of a language for requests about timers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimerPhrases {
    pub(super) list: Vec<String>,
    pub(super) left: Vec<String>,
    /// Before the words for a timer: "how long is left for".
    pub(super) left_of: Vec<String>,
    pub(super) cancel: Vec<String>,
    /// For the timer that was set last, or the one that was just listed: "cancel it".
    pub(super) cancel_that: Vec<String>,
    pub(super) cancel_all: Vec<String>,
    /// Before and behind the words for a timer: "cancel the .. timer".
    pub(super) cancel_before: Vec<String>,
    pub(super) cancel_behind: Vec<String>,
    /// Before a time: "make it".
    pub(super) change: Vec<String>,
    /// Behind a time: "draus", where the language needs it.
    pub(super) change_behind: Vec<String>,
    /// With `{}` for a length of time by which a timer ends later, or earlier: "add {}".
    pub(super) longer: Vec<String>,
    pub(super) shorter: Vec<String>,
    /// Between the number and the unit of such a length: "ten more minutes".
    pub(super) more: Vec<String>,
    pub(super) set: Vec<String>,
    /// The same for a timer that ends at a time of the clock: "set an alarm". No device is meant.
    pub(super) alarm: Vec<String>,
    /// Before and behind the name or the length of a timer: "set a .. timer".
    pub(super) set_before: Vec<String>,
    pub(super) set_behind: Vec<String>,
    /// Between a timer and its length: "de", "auf".
    pub(super) set_link: Vec<String>,
    /// Before the name of a timer that stands behind it: "para la", "called".
    pub(super) name_before: Vec<String>,
    /// The phrases of which each request about timers has one, but for changes by a length of time.
    #[serde(skip)]
    pub(super) beginnings: PhraseFilter,
    /// The forms of changes by a length of time.
    #[serde(skip)]
    relative: PhraseFilter,
    /// The words for a timer.
    #[serde(skip)]
    pub(super) timer_words: PhraseFilter,
}

impl TimerPhrases {
    /// Returns whether a text may be a change by a length of time.
    pub(super) fn may_be_relative(&self, text: &str) -> bool {
        let has_all = |form: &str| {
            let mut words = form.split(' ').filter(|word| *word != "{}");
            words.all(|word| text.contains(word))
        };
        self.relative.any(text, has_all)
    }

    /// Returns the phrases in the form in which they are compared, the longest first.
    pub(super) fn normalized(mut self, plain: impl Fn(&str) -> String) -> Self {
        self.set.extend_from_slice(&self.alarm);
        let lists = [
            &mut self.alarm,
            &mut self.list,
            &mut self.left,
            &mut self.left_of,
            &mut self.cancel,
            &mut self.cancel_that,
            &mut self.cancel_all,
            &mut self.cancel_before,
            &mut self.cancel_behind,
            &mut self.change,
            &mut self.change_behind,
            &mut self.more,
            &mut self.set,
            &mut self.set_before,
            &mut self.set_behind,
            &mut self.set_link,
            &mut self.name_before,
        ];
        for list in lists {
            for text in list.iter_mut() {
                *text = words(&plain(text)).join(" ");
            }
            list.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
        for text in self.longer.iter_mut().chain(&mut self.shorter) {
            let parts = text.split("{}").map(|part| words(&plain(part)).join(" "));
            let joined = parts.collect::<Vec<_>>().join(" {} ");
            joined.trim().clone_into(text);
        }
        self.with_filters()
    }

    fn with_filters(mut self) -> Self {
        let beginnings = [
            &self.list,
            &self.left,
            &self.left_of,
            &self.cancel,
            &self.cancel_that,
            &self.cancel_all,
            &self.cancel_before,
            &self.change,
            &self.set,
            &self.set_behind,
        ];
        self.beginnings = PhraseFilter::new(beginnings.into_iter().flatten());
        self.relative = PhraseFilter::new(self.longer.iter().chain(&self.shorter));
        self.timer_words = PhraseFilter::new(self.set.iter().chain(&self.set_behind));
        self
    }
}
