//! The syntax of one sentence template: text, `[optional]`, `(either|or)`, `(any;order)`,
//! `{list:slot}`, `<rule>`.
//!
//! Knows nothing of lists, rules or homes: a name in braces or angle brackets stays a name.
//! Every template is bounded in length and nesting, since it may come from a file of the user.

use std::fmt;

/// Longest template, in bytes. The longest published one has fewer than 700.
const MAX_TEMPLATE_BYTES: usize = 8 * 1024;

/// Deepest nesting of brackets. The deepest published template has 6 levels.
const MAX_DEPTH: usize = 24;

/// Most parts of a permutation. The published ones have up to 5 parts, which is 32 sets of parts
/// that are still to come.
const MAX_PERMUTED: usize = 6;

/// One parsed template, or a part of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    /// Letters without white space, in lower case.
    Text(String),
    /// White space: a word boundary.
    Boundary,
    /// Parts in order. An empty sequence matches nothing at all, which is how an optional part is
    /// left out.
    Sequence(Vec<Expression>),
    /// One of several parts.
    Choice(Vec<Expression>),
    /// All parts, in any order, as separate words.
    Permutation(Vec<Expression>),
    /// The value of a list, captured in a slot.
    List {
        /// Name of the list.
        list: String,
        /// Name of the slot, the name of the list where the template gives none.
        slot: String,
    },
    /// A range written in place: `{0..100,5:brightness}`.
    Range {
        /// Smallest number.
        from: i32,
        /// Largest number.
        to: i32,
        /// Distance between two numbers.
        step: i32,
        /// Name of the slot.
        slot: String,
    },
    /// An expansion rule by its name.
    Rule(String),
}

/// The reason why a text is not a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SyntaxError {
    TooLong,
    TooDeep,
    TooManyPermutations,
    Unclosed(char),
    Unexpected(char),
    EmptyName,
    InvalidRange,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "a template has at most {MAX_TEMPLATE_BYTES} bytes"),
            Self::TooDeep => write!(f, "brackets are nested at most {MAX_DEPTH} levels deep"),
            Self::TooManyPermutations => {
                write!(f, "a permutation has at most {MAX_PERMUTED} parts")
            }
            Self::Unclosed(open) => write!(f, "`{open}` is not closed"),
            Self::Unexpected(found) => write!(f, "unexpected `{found}`"),
            Self::EmptyName => f.write_str("a list or rule has no name"),
            Self::InvalidRange => {
                f.write_str("a range is written `{0..100:slot}` or `{0..100,5:slot}`")
            }
        }
    }
}

/// Parses one template.
///
/// # Errors
/// When a bracket is missing, a name is empty, or a bound is exceeded.
pub(super) fn parse(template: &str) -> Result<Expression, SyntaxError> {
    if template.len() > MAX_TEMPLATE_BYTES {
        return Err(SyntaxError::TooLong);
    }
    let mut parser = TemplateParser {
        rest: template.trim(),
        depth: 0,
    };
    let expression = parser.group(None)?;
    Ok(expression)
}

struct TemplateParser<'a> {
    rest: &'a str,
    depth: usize,
}

impl TemplateParser<'_> {
    /// Reads parts up to the closing bracket, or to the end of the template where there is none.
    fn group(&mut self, close: Option<char>) -> Result<Expression, SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError::TooDeep);
        }
        let mut alternatives = vec![Vec::new()];
        let mut separator = None;
        loop {
            let Some(c) = self.take() else {
                if let Some(close) = close {
                    return Err(SyntaxError::Unclosed(if close == ')' { '(' } else { '[' }));
                }
                break;
            };
            let current = alternatives
                .last_mut()
                .expect("there is always one alternative");
            match c {
                c if Some(c) == close => break,
                '(' => current.push(self.group(Some(')'))?),
                '[' => current.push(optional(self.group(Some(']'))?)),
                '{' => current.push(self.list()?),
                '<' => current.push(Expression::Rule(self.name('<', '>')?)),
                '|' | ';' if separator.is_none_or(|s| s == c) => {
                    separator = Some(c);
                    alternatives.push(Vec::new());
                }
                ')' | ']' | '}' | '>' | '|' | ';' => return Err(SyntaxError::Unexpected(c)),
                c if c.is_whitespace() => {
                    if current.last() != Some(&Expression::Boundary) {
                        current.push(Expression::Boundary);
                    }
                }
                '\\' => {
                    let escaped = self.take().unwrap_or('\\');
                    push_char(current, escaped);
                }
                c => push_char(current, c),
            }
        }
        self.depth -= 1;
        let parts = alternatives.into_iter().map(sequence);
        Ok(match separator {
            Some(';') => permutation(parts.collect())?,
            Some(_) => Expression::Choice(parts.collect()),
            None => sequence(parts.collect()),
        })
    }

    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn name(&mut self, open: char, close: char) -> Result<String, SyntaxError> {
        let Some(end) = self.rest.find(close) else {
            return Err(SyntaxError::Unclosed(open));
        };
        let name = self.rest[..end].trim().to_owned();
        self.rest = &self.rest[end + close.len_utf8()..];
        if name.is_empty() {
            return Err(SyntaxError::EmptyName);
        }
        Ok(name)
    }

    fn list(&mut self) -> Result<Expression, SyntaxError> {
        let text = self.name('{', '}')?;
        let (list, slot) = text.split_once(':').unwrap_or((&text, &text));
        let (list, slot) = (list.trim(), slot.trim());
        if list.is_empty() || slot.is_empty() {
            return Err(SyntaxError::EmptyName);
        }
        let Some((from, rest)) = list.split_once("..") else {
            return Ok(Expression::List {
                list: list.to_owned(),
                slot: slot.to_owned(),
            });
        };
        let (to, step) = rest.split_once(',').unwrap_or((rest, "1"));
        let number = |text: &str| {
            let parsed = text.trim().parse::<i32>();
            parsed.map_err(|_| SyntaxError::InvalidRange)
        };
        Ok(Expression::Range {
            from: number(from)?,
            to: number(to)?,
            step: number(step)?.max(1),
            slot: slot.to_owned(),
        })
    }
}

fn push_char(parts: &mut Vec<Expression>, c: char) {
    if let Some(Expression::Text(text)) = parts.last_mut() {
        text.extend(c.to_lowercase());
    } else {
        parts.push(Expression::Text(c.to_lowercase().collect()));
    }
}

fn sequence(mut parts: Vec<Expression>) -> Expression {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    Expression::Sequence(parts)
}

fn optional(part: Expression) -> Expression {
    let nothing = Expression::Sequence(Vec::new());
    match part {
        Expression::Choice(mut parts) => {
            parts.push(nothing);
            Expression::Choice(parts)
        }
        part => Expression::Choice(vec![part, nothing]),
    }
}

fn permutation(parts: Vec<Expression>) -> Result<Expression, SyntaxError> {
    if parts.len() > MAX_PERMUTED {
        return Err(SyntaxError::TooManyPermutations);
    }
    Ok(Expression::Permutation(parts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: &str) -> Expression {
        Expression::Text(text.to_owned())
    }

    #[test]
    fn brackets_become_choices_and_names_stay_names() {
        let parsed = parse("Open [the] {cover_classes:device_class}[s] <in>").unwrap();
        let nothing = Expression::Sequence(Vec::new());
        let expected = Expression::Sequence(vec![
            text("open"),
            Expression::Boundary,
            Expression::Choice(vec![text("the"), nothing.clone()]),
            Expression::Boundary,
            Expression::List {
                list: "cover_classes".to_owned(),
                slot: "device_class".to_owned(),
            },
            Expression::Choice(vec![text("s"), nothing]),
            Expression::Boundary,
            Expression::Rule("in".to_owned()),
        ]);
        assert_eq!(parsed, expected);
    }

    #[test]
    fn a_semicolon_permutes_and_a_range_may_stand_in_place() {
        let parsed = parse("(on;here)").unwrap();
        assert_eq!(
            parsed,
            Expression::Permutation(vec![text("on"), text("here")])
        );
        let range = Expression::Range {
            from: 10,
            to: 100,
            step: 10,
            slot: "seconds".to_owned(),
        };
        assert_eq!(parse("{10..100,10:seconds}"), Ok(range));
    }

    #[test]
    fn broken_and_hostile_templates_are_rejected() {
        assert_eq!(parse("(a|b"), Err(SyntaxError::Unclosed('(')));
        assert_eq!(parse("a]"), Err(SyntaxError::Unexpected(']')));
        assert_eq!(parse("<>"), Err(SyntaxError::EmptyName));
        assert_eq!(parse("(a|b;c)"), Err(SyntaxError::Unexpected(';')));
        assert_eq!(
            parse("(a;b;c;d;e;f;g)"),
            Err(SyntaxError::TooManyPermutations)
        );
        assert_eq!(parse(&"[".repeat(10_000)), Err(SyntaxError::TooLong));
        assert_eq!(parse(&"[".repeat(1_000)), Err(SyntaxError::TooDeep));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_rejected(text in "[a-c \\[\\](){}<>|;:.,\\\\0-9]{0,80}") {
            let _ = parse(&text);
        }
    }
}
