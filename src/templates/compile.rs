//! Compiles the files of one language into an automaton and a table of its blocks.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value as Json;

use crate::templates::automaton::{
    Automaton, AutomatonBuilder, ListKind, Node, NumberRange, TooLarge,
};
use crate::templates::format::{BlockEntry, LanguageFile, ListEntry, RangeEntry, ValueEntry};
use crate::templates::normalize::normalize;
use crate::templates::syntax::{self, Expression, SyntaxError};

/// Deepest chain of rules that refer to rules. The deepest published one has 5.
const MAX_RULE_DEPTH: usize = 12;

/// Most parts compiled for one language, which bounds the time. The largest published language has
/// a tenth of it.
const MAX_STEPS: usize = 10_000_000;

/// Most values of one list.
const MAX_LIST_VALUES: usize = 5_000;

/// The reason why a language cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CompileError {
    /// A template is not one.
    #[error("`{template}`: {why}")]
    Syntax {
        /// Template, shortened.
        template: String,
        /// Reason.
        why: String,
    },
    /// A template refers to a rule or list that does not exist.
    #[error("`{template}`: there is no {missing} `{name}`")]
    Missing {
        /// Template, shortened.
        template: String,
        /// `rule` or `list`.
        missing: &'static str,
        /// Missing name.
        name: String,
    },
    /// Rules refer to each other without end.
    #[error("rule `{0}` refers to itself, or rules are nested more than 12 levels deep")]
    RecursiveRule(String),
    /// A list is too long.
    #[error("list `{0}` has more than 5,000 values")]
    LongList(String),
    /// The sentences expand to more nodes or steps than a language may have.
    #[error("the sentences expand to more than a language may hold")]
    TooLarge,
}

impl CompileError {
    /// Returns the text that stands in the file at fault: a template, or the name of a rule or
    /// list.
    pub(super) fn template(&self) -> &str {
        match self {
            Self::Syntax { template, .. } | Self::Missing { template, .. } => template,
            Self::RecursiveRule(name) | Self::LongList(name) => name,
            Self::TooLarge => "intents",
        }
    }
}

impl From<TooLarge> for CompileError {
    fn from(_: TooLarge) -> Self {
        Self::TooLarge
    }
}

/// The meaning of a matched sentence, without the home.
#[derive(Debug)]
pub(super) struct Block {
    /// Name of the intent.
    pub(super) intent: Box<str>,
    /// Slots that every sentence of the block fills.
    pub(super) slots: BTreeMap<String, String>,
    /// Domains of which the named device must be one. Empty: any.
    pub(super) domains: Vec<String>,
    /// Domains of which the named device must be none.
    pub(super) excluded_domains: Vec<String>,
    /// Whether the area of the speaker must be known and becomes a slot.
    pub(super) needs_area: bool,
    /// Whether the speaker's area must be unknown.
    pub(super) excludes_area: bool,
    /// Words of which one must be in the sentence. Empty: none is needed.
    pub(super) required_keywords: Vec<String>,
    /// Key of the response: `any`, `all`, `which`, `how_many`, `one_yesno` ..
    pub(super) response: String,
}

/// One compiled language.
#[derive(Debug)]
pub(super) struct CompiledLanguage {
    pub(super) automaton: Automaton,
    pub(super) blocks: Vec<Block>,
    /// Words that are removed from a command, longest first.
    pub(super) skip_words: Vec<String>,
    /// Whether white space has no meaning.
    pub(super) ignores_spaces: bool,
}

/// Compiles a published file and the user's own files of the same language.
///
/// # Errors
/// When a template is malformed, refers to something missing, or a bound is exceeded.
pub(super) fn compile(files: &[LanguageFile]) -> Result<CompiledLanguage, CompileError> {
    let mut compiler = Compiler {
        builder: AutomatonBuilder::default(),
        lists: HashMap::new(),
        rules: HashMap::new(),
        parsed: HashMap::new(),
        block_lists: BTreeMap::new(),
        block_rules: HashMap::new(),
        ignores_spaces: files.iter().any(|file| file.settings.ignore_whitespace),
        steps: 0,
    };
    let mut skip_words = Vec::new();
    for file in files {
        compiler
            .lists
            .extend(file.lists.iter().map(|(k, v)| (k.clone(), v.clone())));
        for (name, template) in &file.expansion_rules {
            compiler.rules.insert(name.clone(), parse(template)?);
        }
        skip_words.extend(file.skip_words.iter().map(|word| normalize(word)));
    }
    let mut blocks = Vec::new();
    for file in files {
        for (intent, entry) in &file.intents {
            for block in &entry.data {
                compiler.block(block, u32::try_from(blocks.len()).unwrap_or(u32::MAX))?;
                blocks.push(meaning(intent, block));
            }
        }
    }
    skip_words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    skip_words.retain(|word| !word.is_empty());
    skip_words.dedup();
    Ok(CompiledLanguage {
        automaton: compiler.builder.finish(),
        blocks,
        skip_words,
        ignores_spaces: files.iter().any(|file| file.settings.ignore_whitespace),
    })
}

fn parse(template: &str) -> Result<Expression, CompileError> {
    syntax::parse(template).map_err(|why: SyntaxError| CompileError::Syntax {
        template: shortened(template),
        why: why.to_string(),
    })
}

fn shortened(template: &str) -> String {
    template.chars().take(80).collect()
}

fn meaning(intent: &str, block: &BlockEntry) -> Block {
    let text = |value: &Json| match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    let is_slot = |value: &Json| value.get("slot").and_then(Json::as_bool) == Some(true);
    let area = block.requires_context.get("area");
    Block {
        intent: intent.into(),
        slots: block
            .slots
            .iter()
            .map(|(k, v)| (k.clone(), text(v)))
            .collect(),
        domains: words_of(block.requires_context.get("domain")),
        excluded_domains: words_of(block.excludes_context.get("domain")),
        needs_area: area.is_some_and(is_slot),
        excludes_area: block.excludes_context.contains_key("area"),
        required_keywords: block
            .required_keywords
            .iter()
            .map(|w| normalize(w))
            .collect(),
        response: block
            .response
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
    }
}

/// Reads a condition that is one word, a list of words, or an object with a `value`.
fn words_of(value: Option<&Json>) -> Vec<String> {
    match value {
        Some(Json::String(word)) => vec![word.clone()],
        Some(Json::Array(words)) => words
            .iter()
            .filter_map(Json::as_str)
            .map(str::to_owned)
            .collect(),
        Some(Json::Object(object)) => words_of(object.get("value")),
        _ => Vec::new(),
    }
}

struct Compiler {
    builder: AutomatonBuilder,
    lists: HashMap<String, ListEntry>,
    rules: HashMap<String, Expression>,
    /// Templates of list values, parsed once.
    parsed: HashMap<String, Expression>,
    block_lists: BTreeMap<String, ListEntry>,
    block_rules: HashMap<String, Expression>,
    ignores_spaces: bool,
    /// Parts compiled so far, counted each time they are expanded.
    steps: usize,
}

/// Place in a template where the compiler is.
#[derive(Clone, Copy)]
struct TemplatePlace<'a> {
    template: &'a str,
    rule_depth: usize,
    /// Whether it is inside a value of a list.
    in_value: bool,
}

impl Compiler {
    fn block(&mut self, block: &BlockEntry, number: u32) -> Result<(), CompileError> {
        self.block_lists.clone_from(&block.lists);
        self.block_rules.clear();
        for (name, template) in &block.expansion_rules {
            self.block_rules.insert(name.clone(), parse(template)?);
        }
        let accept = self.builder.add(Node::Accept { block: number })?;
        for template in &block.sentences {
            let expression = parse(template)?;
            let position = TemplatePlace {
                template,
                rule_depth: 0,
                in_value: false,
            };
            let start = self.expression(&expression, accept, position)?;
            self.builder.start(start);
        }
        Ok(())
    }

    /// Adds the nodes of `expression`, which continue at `next`, and returns the first.
    fn expression(
        &mut self,
        expression: &Expression,
        next: u32,
        position: TemplatePlace<'_>,
    ) -> Result<u32, CompileError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(CompileError::TooLarge);
        }
        Ok(match expression {
            Expression::Text(text) => {
                let text = self.builder.text(text);
                self.builder.add(if position.in_value {
                    Node::ValueText { text, next }
                } else {
                    Node::Literal { text, next }
                })?
            }
            Expression::Boundary if self.ignores_spaces => next,
            Expression::Boundary => self.builder.add(Node::Boundary { next })?,
            Expression::Sequence(parts) => {
                let mut next = next;
                for part in parts.iter().rev() {
                    next = self.expression(part, next, position)?;
                }
                next
            }
            Expression::Choice(parts) => {
                let mut branches = Vec::with_capacity(parts.len());
                for part in parts {
                    branches.push(self.expression(part, next, position)?);
                }
                self.builder.split(branches)?
            }
            Expression::Permutation(parts) => self.permuted(parts, next, position)?,
            Expression::List { list, slot } => self.list(list, slot, next, position)?,
            Expression::Range {
                from,
                to,
                step,
                slot,
            } => {
                let kind = ListKind::Range(NumberRange {
                    from: f64::from(*from),
                    to: f64::from(*to),
                    step: f64::from(*step),
                    multiplier: 1.0,
                    fractions: 1.0,
                });
                self.slot_node(kind, slot, next)?
            }
            Expression::Rule(name) => self.rule(name, next, position)?,
        })
    }

    /// Adds every order of `parts`. Each set of parts that is still to come is one node, so that
    /// the number of nodes grows with the sets and not with the orders.
    fn permuted(
        &mut self,
        parts: &[Expression],
        next: u32,
        position: TemplatePlace<'_>,
    ) -> Result<u32, CompileError> {
        let mut starts = vec![next];
        for set in 1..1_usize << parts.len() {
            let mut branches = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                let rest = set & !(1 << at);
                if rest == set {
                    continue;
                }
                let last = if rest == 0 || self.ignores_spaces {
                    starts[rest]
                } else {
                    let next = starts[rest];
                    self.builder.add(Node::Boundary { next })?
                };
                branches.push(self.expression(part, last, position)?);
            }
            starts.push(self.builder.split(branches)?);
        }
        Ok(starts[starts.len() - 1])
    }

    fn rule(
        &mut self,
        name: &str,
        next: u32,
        position: TemplatePlace<'_>,
    ) -> Result<u32, CompileError> {
        if position.rule_depth >= MAX_RULE_DEPTH {
            return Err(CompileError::RecursiveRule(name.to_owned()));
        }
        let rule = self.block_rules.get(name).or_else(|| self.rules.get(name));
        let Some(rule) = rule.cloned() else {
            return Err(CompileError::Missing {
                template: shortened(position.template),
                missing: "rule",
                name: name.to_owned(),
            });
        };
        let inside = TemplatePlace {
            rule_depth: position.rule_depth + 1,
            ..position
        };
        self.expression(&rule, next, inside)
    }

    fn list(
        &mut self,
        list: &str,
        slot: &str,
        next: u32,
        position: TemplatePlace<'_>,
    ) -> Result<u32, CompileError> {
        let entry = self
            .block_lists
            .get(list)
            .or_else(|| self.lists.get(list))
            .cloned();
        let Some(entry) = entry else {
            let kind = match list {
                "name" => ListKind::Names,
                "area" => ListKind::Areas,
                "floor" => ListKind::Floors,
                _ => {
                    return Err(CompileError::Missing {
                        template: shortened(position.template),
                        missing: "list",
                        name: list.to_owned(),
                    });
                }
            };
            return Ok(self.slot_node(kind, slot, next)?);
        };
        if let Some(range) = &entry.range {
            return Ok(self.slot_node(ListKind::Range(number_range(range)), slot, next)?);
        }
        let Some(values) = entry.values else {
            return Ok(self.slot_node(ListKind::Wildcard, slot, next)?);
        };
        if values.len() > MAX_LIST_VALUES {
            return Err(CompileError::LongList(list.to_owned()));
        }
        let mut branches = Vec::with_capacity(values.len());
        for value in &values {
            branches.push(self.value(value, slot, next, position)?);
        }
        Ok(self.builder.split(branches)?)
    }

    fn slot_node(&mut self, kind: ListKind, slot: &str, next: u32) -> Result<u32, TooLarge> {
        let list = self.builder.list(kind);
        let slot = self.builder.slot(slot);
        self.builder.add(Node::Slot { list, slot, next })
    }

    fn value(
        &mut self,
        value: &ValueEntry,
        slot: &str,
        next: u32,
        position: TemplatePlace<'_>,
    ) -> Result<u32, CompileError> {
        let (template, out) = match value {
            ValueEntry::Plain(text) => (text, text.clone()),
            ValueEntry::Mapped { r#in, out } => (
                r#in,
                match out {
                    Some(Json::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                    None => r#in.clone(),
                },
            ),
        };
        let expression = if let Some(known) = self.parsed.get(template) {
            known.clone()
        } else {
            let parsed = parse(template)?;
            self.parsed.insert(template.clone(), parsed.clone());
            parsed
        };
        let value = self.builder.value(&out);
        let slot = self.builder.slot(slot);
        let marked = self.builder.add(Node::Value { value, slot, next })?;
        let inside = TemplatePlace {
            in_value: true,
            ..position
        };
        self.expression(&expression, marked, inside)
    }
}

fn number_range(range: &RangeEntry) -> NumberRange {
    NumberRange {
        from: range.from,
        to: range.to,
        step: range.step.unwrap_or(1.0).max(0.1),
        multiplier: range.multiplier.unwrap_or(1.0),
        fractions: match range.fractions.as_deref() {
            Some("halves") => 2.0,
            Some("tenths") => 10.0,
            _ => 1.0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str) -> LanguageFile {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn rules_that_refer_to_themselves_are_rejected() {
        let json = r#"{"expansion_rules": {"a": "x <b>", "b": "y <a>"},
            "intents": {"HassTurnOn": {"data": [{"sentences": ["<a>"]}]}}}"#;
        let error = compile(&[file(json)]).unwrap_err();
        assert!(matches!(error, CompileError::RecursiveRule(_)), "{error}");
    }

    #[test]
    fn a_missing_rule_or_list_is_named_with_its_template() {
        let json = r#"{"intents": {"HassTurnOn": {"data": [{"sentences": ["turn on <all>"]}]}}}"#;
        let error = compile(&[file(json)]).unwrap_err().to_string();
        assert_eq!(error, "`turn on <all>`: there is no rule `all`");
    }

    #[test]
    fn an_exponential_template_stays_small_or_is_rejected() {
        let sentence = "(a|b|c|d) ".repeat(200);
        let rules: Vec<String> = (0..11)
            .map(|n| format!(r#""r{n}": "(<r{}>;<r{}>;x;y)""#, n + 1, n + 1))
            .collect();
        let json = format!(
            r#"{{"expansion_rules": {{{}, "r11": "z"}},
            "intents": {{"HassTurnOn": {{"data": [{{"sentences": ["{sentence}", "<r0>"]}}]}}}}}}"#,
            rules.join(",")
        );
        match compile(&[file(&json)]) {
            Ok(language) => assert!(language.automaton.bytes() < 16 << 20),
            Err(error) => assert_eq!(error, CompileError::TooLarge),
        }
    }
}
