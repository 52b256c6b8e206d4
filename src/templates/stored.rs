//! The compiled form of a language as bytes, so that the next start need not compile it again.
//!
//! The key at the front names the program, this format and the source files. Bytes with another
//! key, a wrong checksum or a position outside its table are no compiled language: they are
//! ignored, and the sources are compiled again. It knows nothing of files.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::templates::automaton::{Automaton, ListKind, Node, NumberRange};
use crate::templates::compile::{Block, CompiledLanguage};
use crate::templates::demand::{Branch, Demand};

/// First bytes of the form. The number changes with the format, or with the result of the compiler
/// for a source.
const MAGIC: &[u8; 8] = b"sayso\0t3";

/// Returns the key of a language: a hash of its sources and of the program's version.
pub(super) fn key<'a>(sources: impl Iterator<Item = &'a str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    option_env!("SAYSO_COMMIT").hash(&mut hasher);
    for source in sources {
        source.hash(&mut hasher);
    }
    hasher.finish()
}

/// Returns the language as bytes.
pub(super) fn encode(language: &CompiledLanguage, key: u64) -> Vec<u8> {
    let mut out = StoredWriter(MAGIC.to_vec());
    out.0.extend(key.to_le_bytes());
    out.automaton(&language.automaton);
    out.list(&language.blocks, StoredWriter::block);
    out.texts(&language.skip_words);
    out.flag(language.ignores_spaces);
    let sum = crc32fast::hash(&out.0);
    out.number(sum);
    out.0
}

/// Returns the language, or `None` if the bytes are damaged or of another key.
pub(super) fn decode(bytes: &[u8], key: u64) -> Option<CompiledLanguage> {
    let (content, sum) = bytes.split_last_chunk::<4>()?;
    let rest = content.strip_prefix(MAGIC)?;
    let (own, rest) = rest.split_first_chunk::<8>()?;
    let is_whole = crc32fast::hash(content) == u32::from_le_bytes(*sum);
    if u64::from_le_bytes(*own) != key || !is_whole {
        return None;
    }
    let mut input = StoredReader(rest);
    let (automaton, starts) = input.tables()?;
    let blocks = input.list(StoredReader::block)?;
    let (skip_words, ignores_spaces) = (input.texts()?, input.flag()?);
    if !input.0.is_empty() || !automaton.is_sound(&starts, blocks.len()) {
        return None;
    }
    Some(CompiledLanguage {
        automaton: automaton.with_starts(&starts),
        blocks,
        skip_words,
        ignores_spaces,
    })
}

struct StoredWriter(Vec<u8>);

impl StoredWriter {
    fn count(&mut self, n: usize) {
        let n = u32::try_from(n).expect("tables are bounded far below 2^32");
        self.0.extend(n.to_le_bytes());
    }

    fn number(&mut self, n: u32) {
        self.0.extend(n.to_le_bytes());
    }

    fn float(&mut self, n: f64) {
        self.0.extend(n.to_le_bytes());
    }

    fn flag(&mut self, flag: bool) {
        self.0.push(u8::from(flag));
    }

    fn text(&mut self, text: &str) {
        self.count(text.len());
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.count(items.len());
        for item in items {
            write(self, item);
        }
    }

    fn texts<T: AsRef<str>>(&mut self, texts: &[T]) {
        self.list(texts, |out, text| out.text(text.as_ref()));
    }

    fn numbers(&mut self, numbers: &[u32]) {
        self.list(numbers, |out, n| out.number(*n));
    }

    fn automaton(&mut self, automaton: &Automaton) {
        self.list(&automaton.nodes, |out, node| {
            let (tag, fields) = fields_of(*node);
            out.0.push(tag);
            for field in fields {
                out.number(field);
            }
        });
        self.list(&automaton.branches, |out, branch| out.number(branch.node));
        self.texts(&automaton.texts);
        self.list(&automaton.lists, Self::kind);
        self.texts(&automaton.slots);
        self.texts(&automaton.values);
        self.numbers(&automaton.start_nodes());
    }

    fn kind(&mut self, kind: &ListKind) {
        match kind {
            ListKind::Names => self.0.push(0),
            ListKind::Areas => self.0.push(1),
            ListKind::Floors => self.0.push(2),
            ListKind::Wildcard => self.0.push(3),
            ListKind::Range(range) => {
                self.0.push(4);
                let numbers = [range.from, range.to, range.step];
                let factors = [range.multiplier, range.fractions];
                numbers
                    .into_iter()
                    .chain(factors)
                    .for_each(|n| self.float(n));
            }
        }
    }

    fn block(&mut self, block: &Block) {
        self.text(&block.intent);
        let slots: Vec<_> = block.slots.iter().collect();
        self.list(&slots, |out, (slot, value)| {
            out.text(slot);
            out.text(value);
        });
        self.texts(&block.domains);
        self.texts(&block.excluded_domains);
        self.flag(block.needs_area);
        self.flag(block.excludes_area);
        self.texts(&block.required_keywords);
        self.text(&block.response);
    }
}

/// Returns the tag of a node and its fields; unused fields are 0.
fn fields_of(node: Node) -> (u8, [u32; 3]) {
    match node {
        Node::Literal { text, next } => (0, [text, next, 0]),
        Node::Boundary { next } => (1, [next, 0, 0]),
        Node::Split { first, count } => (2, [first, count, 0]),
        Node::Slot { list, slot, next } => (3, [list, slot, next]),
        Node::Value { value, slot, next } => (4, [value, slot, next]),
        Node::Accept { block } => (5, [block, 0, 0]),
        Node::ValueText { text, next } => (6, [text, next, 0]),
    }
}

/// The bytes that were not read yet.
struct StoredReader<'a>(&'a [u8]);

impl StoredReader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u32> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*bytes))
    }

    fn float(&mut self) -> Option<f64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*bytes))
    }

    fn flag(&mut self) -> Option<bool> {
        self.byte().map(|byte| byte != 0)
    }

    fn text(&mut self) -> Option<String> {
        let length = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    fn list<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()? as usize;
        // Each item has at least one byte, so a wrong count allocates no more than the file.
        let mut items = Vec::with_capacity(count.min(self.0.len()));
        for _ in 0..count {
            items.push(read(self)?);
        }
        Some(items)
    }

    fn texts<T: From<String>>(&mut self) -> Option<Vec<T>> {
        self.list(|input| input.text().map(T::from))
    }

    fn numbers(&mut self) -> Option<Vec<u32>> {
        self.list(StoredReader::number)
    }

    /// Reads the tables of an automaton and the nodes of its starts.
    fn tables(&mut self) -> Option<(Automaton, Vec<u32>)> {
        let mut automaton = Automaton::default();
        automaton.nodes = self.list(StoredReader::node)?;
        automaton.branches =
            self.list(|input| Some(Branch::new(input.number()?, Demand::NOTHING)))?;
        automaton.texts = self.texts()?;
        automaton.lists = self.list(StoredReader::kind)?;
        automaton.slots = self.texts()?;
        automaton.values = self.texts()?;
        Some((automaton, self.numbers()?))
    }

    fn node(&mut self) -> Option<Node> {
        let tag = self.byte()?;
        let [a, b, c] = [self.number()?, self.number()?, self.number()?];
        Some(match tag {
            0 => Node::Literal { text: a, next: b },
            1 => Node::Boundary { next: a },
            2 => Node::Split { first: a, count: b },
            3 => Node::Slot {
                list: a,
                slot: b,
                next: c,
            },
            4 => Node::Value {
                value: a,
                slot: b,
                next: c,
            },
            5 => Node::Accept { block: a },
            6 => Node::ValueText { text: a, next: b },
            _ => return None,
        })
    }

    fn kind(&mut self) -> Option<ListKind> {
        Some(match self.byte()? {
            0 => ListKind::Names,
            1 => ListKind::Areas,
            2 => ListKind::Floors,
            3 => ListKind::Wildcard,
            4 => ListKind::Range(NumberRange {
                from: self.float()?,
                to: self.float()?,
                step: self.float()?,
                multiplier: self.float()?,
                fractions: self.float()?,
            }),
            _ => return None,
        })
    }

    fn block(&mut self) -> Option<Block> {
        let intent = self.text()?.into();
        let slots = self.list(|input| Some((input.text()?, input.text()?)))?;
        Some(Block {
            intent,
            slots: BTreeMap::from_iter(slots),
            domains: self.texts()?,
            excluded_domains: self.texts()?,
            needs_area: self.flag()?,
            excludes_area: self.flag()?,
            required_keywords: self.texts()?,
            response: self.text()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::compile::compile;

    const SOURCE: &str = r#"{"skip_words": ["please"], "lists": {"level": {"range": {"from": 0,
        "to": 100}}, "word": {"values": [{"in": "(low|dim)", "out": "10"}]}},
        "intents": {"HassLightSet": {"data": [{"sentences": ["set {name} to ({level}|{word})"],
        "slots": {"domain": "light"}, "requires_context": {"domain": "light"}}]}}}"#;

    fn language() -> CompiledLanguage {
        compile(&[serde_json::from_str(SOURCE).unwrap()]).unwrap()
    }

    #[test]
    fn a_language_is_the_same_after_a_round_trip() {
        let language = language();
        let read = decode(&encode(&language, 7), 7).unwrap();
        assert_eq!(encode(&read, 7), encode(&language, 7));
        assert_eq!(read.automaton.nodes, language.automaton.nodes);
        assert_eq!(read.automaton.branches, language.automaton.branches);
        assert_eq!(read.blocks.len(), language.blocks.len());
        assert_eq!(read.blocks[0].slots, language.blocks[0].slots);
        assert_eq!(read.skip_words, language.skip_words);
    }

    #[test]
    fn bytes_of_another_key_or_damaged_ones_are_ignored() {
        let bytes = encode(&language(), 7);
        assert!(decode(&bytes, 8).is_none());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            assert!(decode(&damaged, 7).is_none(), "byte {at}");
            assert!(decode(&bytes[..at], 7).is_none(), "{at} bytes");
        }
    }

    #[test]
    fn positions_outside_their_table_are_rejected_even_with_a_right_checksum() {
        let bytes = encode(&language(), 7);
        let mut accepted = 0;
        for at in 16..bytes.len() - 4 {
            let mut forged = bytes[..bytes.len() - 4].to_vec();
            forged[at] = 0xff;
            forged.extend(crc32fast::hash(&forged).to_le_bytes());
            if let Some(language) = decode(&forged, 7) {
                accepted += 1;
                let starts = language.automaton.start_nodes();
                assert!(language.automaton.is_sound(&starts, language.blocks.len()));
            }
        }
        assert!(accepted < bytes.len() - 20, "some positions are rejected");
    }

    #[test]
    fn the_key_follows_the_sources() {
        let of = |sources: &[&str]| key(sources.iter().copied());
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        assert_ne!(of(&["a", "b"]), of(&["ab"]));
        assert_ne!(of(&["a"]), of(&["b"]));
    }
}
