//! The file format of a language: the JSON published with Home Assistant's intents, and custom
//! sentences as YAML.
//!
//! Only the parts that decide about a match are read; metadata and test data are skipped.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

/// One file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LanguageFile {
    /// Language code, such as `pt-BR`.
    pub(super) language: String,
    /// Sentences by the name of their intent.
    pub(super) intents: BTreeMap<String, IntentEntry>,
    /// Values that a slot takes, by the name of the list.
    pub(super) lists: BTreeMap<String, ListEntry>,
    /// Templates that others refer to.
    pub(super) expansion_rules: BTreeMap<String, String>,
    /// Words without meaning, removed from a command before it is matched.
    pub(super) skip_words: Vec<String>,
    /// Settings of the language.
    pub(super) settings: SettingsEntry,
}

/// Settings of one language.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SettingsEntry {
    /// Whether white space has no meaning, as in Chinese.
    pub(super) ignore_whitespace: bool,
}

/// The sentences of one intent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct IntentEntry {
    /// Blocks of sentences that share slots and conditions.
    pub(super) data: Vec<BlockEntry>,
}

/// Sentences that share slots and conditions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BlockEntry {
    /// Templates.
    pub(super) sentences: Vec<String>,
    /// Slots that every sentence of the block fills.
    pub(super) slots: BTreeMap<String, Json>,
    /// Conditions that must hold: the domain of the named device, or an area of the speaker.
    pub(super) requires_context: BTreeMap<String, Json>,
    /// Conditions that must not hold.
    pub(super) excludes_context: BTreeMap<String, Json>,
    /// Words of which one must be in the sentence.
    pub(super) required_keywords: Vec<String>,
    /// Rules of this block alone.
    pub(super) expansion_rules: BTreeMap<String, String>,
    /// Lists of this block alone.
    pub(super) lists: BTreeMap<String, ListEntry>,
    /// Key of the response, which also states the form of a question: `any`, `all`, `which`.
    pub(super) response: Option<String>,
}

/// Values that a slot takes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListEntry {
    /// Texts with their values.
    pub(super) values: Option<Vec<ValueEntry>>,
    /// Numbers.
    pub(super) range: Option<RangeEntry>,
    /// Any text.
    pub(super) wildcard: bool,
}

/// One value of a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum ValueEntry {
    /// A text that stands for itself.
    Plain(String),
    /// A template and the value it stands for.
    Mapped {
        /// Template.
        r#in: String,
        /// Value; the template itself where there is none.
        #[serde(default)]
        out: Option<Json>,
    },
}

/// A range of numbers.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct RangeEntry {
    /// Smallest number.
    pub(super) from: f64,
    /// Largest number.
    pub(super) to: f64,
    /// Distance between two numbers.
    #[serde(default)]
    pub(super) step: Option<f64>,
    /// Factor from the spoken number to the value.
    #[serde(default)]
    pub(super) multiplier: Option<f64>,
    /// `halves` or `tenths`.
    #[serde(default)]
    pub(super) fractions: Option<String>,
}
