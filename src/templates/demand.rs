//! The demands of a branch on the rest of a sentence: cheap tests that reject most branches before
//! any of their text is compared.
//!
//! Each test is necessary and not sufficient, so none of them changes a result.

/// Bit of the end of the sentence: nothing needs to follow.
const HERE: u32 = 0;

/// First of the bits for a pair of letters at an edge.
const LETTERS: u32 = 5;

/// Values of slots that a sentence may begin or end with, by their bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotEdge {
    Name = 1,
    Area = 2,
    Floor = 3,
    Number = 4,
}

/// The letters at the edges of a list of names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct NameEdges {
    beginnings: u32,
    endings: u64,
}

impl NameEdges {
    /// Adds the edges of a name.
    pub(super) fn add(&mut self, name: &str) {
        self.beginnings |= beginning_of(name.as_bytes());
        self.endings |= ending_of(name.as_bytes());
    }
}

/// The demands of one node on the rest of a sentence, as sets of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Demand {
    /// Ways to begin, one of which must be the sentence's own.
    begins: u32,
    /// Ways to end, one of which must be the sentence's own.
    ends: u64,
    /// Hashes of the pairs of letters that must follow, all of them.
    pairs: u64,
}

impl Demand {
    /// The demand of a complete sentence.
    pub(super) const NOTHING: Self = Self {
        begins: 1 << HERE,
        ends: 1 << HERE,
        pairs: 0,
    };

    /// Returns the demand of a text before a node with this demand.
    pub(super) fn after_text(self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let is_spaced = text.starts_with(' ') || text.ends_with(' ');
        let edges = (!is_spaced).then_some(bytes);
        Self {
            begins: edges.map_or(!(1 << HERE), beginning_of),
            ends: self.ends_after(edges.map_or(!(1 << HERE), ending_of)),
            pairs: self.pairs | pairs_of(bytes),
        }
    }

    /// Returns the demand of a slot before a node with this demand.
    pub(super) fn after_slot(self, edge: SlotEdge) -> Self {
        let bit = 1 << edge as u32;
        Self {
            begins: bit,
            ends: self.ends_after(u64::from(bit)),
            pairs: self.pairs,
        }
    }

    /// Returns the demand of any text before a node with this demand.
    pub(super) fn after_any_text(self) -> Self {
        Self {
            begins: !(1 << HERE),
            ends: self.ends_after(!(1 << HERE)),
            pairs: self.pairs,
        }
    }

    /// Returns the demand of a node that continues at one of two.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            begins: self.begins | other.begins,
            ends: self.ends | other.ends,
            pairs: self.pairs & other.pairs,
        }
    }

    /// Returns the ways to end where `last` is the end if nothing needs to follow it.
    fn ends_after(self, last: u64) -> u64 {
        let here = 1 << HERE;
        if self.ends & here == 0 {
            self.ends
        } else {
            (self.ends & !here) | last
        }
    }
}

/// One way to continue, with the demand of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Branch {
    pairs: u64,
    ends: u64,
    begins: u32,
    /// Position of the node.
    pub(super) node: u32,
}

impl Branch {
    /// Returns the branch to a node with this demand.
    pub(super) fn new(node: u32, demand: Demand) -> Self {
        Self {
            pairs: demand.pairs,
            ends: demand.ends,
            begins: demand.begins,
            node,
        }
    }
}

/// The rest of a sentence from one position, as sets of bits that demands are compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remainder {
    begins: u32,
    ends: u64,
    /// Hashes of pairs of letters that do not follow.
    absent: u64,
}

impl Remainder {
    /// Returns the rest of `text` from each position, including its end.
    pub(super) fn of(text: &str, names: [(SlotEdge, NameEdges); 3]) -> Vec<Self> {
        let bytes = text.as_bytes();
        let mut ends = ending_of(bytes);
        for (edge, list) in names {
            ends |= u64::from(ends & list.endings != 0) << edge as u32;
        }
        ends |= u64::from(bytes.last().is_some_and(u8::is_ascii_digit)) << SlotEdge::Number as u32;
        let end = Self {
            begins: 1 << HERE,
            ends: 1 << HERE,
            absent: u64::MAX,
        };
        let mut rests = vec![end; bytes.len() + 1];
        for at in (0..bytes.len()).rev() {
            let after = rests[at + 1];
            let pair = &bytes[at..(at + 2).min(bytes.len())];
            rests[at] = Self {
                begins: if bytes[at] == b' ' {
                    after.begins
                } else {
                    begins_at(pair, names)
                },
                ends,
                absent: after.absent & !pairs_of(pair),
            };
        }
        rests
    }

    /// Returns whether the rest may continue with a branch.
    pub(super) fn allows(&self, branch: &Branch) -> bool {
        branch.begins & self.begins != 0
            && branch.ends & self.ends != 0
            && branch.pairs & self.absent == 0
    }
}

/// Returns the ways in which a text begins whose first bytes are `first`.
fn begins_at(first: &[u8], names: [(SlotEdge, NameEdges); 3]) -> u32 {
    let mut begins = beginning_of(first);
    for (edge, list) in names {
        begins |= u32::from(begins & list.beginnings != 0) << edge as u32;
    }
    begins | u32::from(matches!(first[0], b'-' | b'0'..=b'9')) << SlotEdge::Number as u32
}

/// Returns the set of hashes of all pairs of neighbouring bytes.
fn pairs_of(bytes: &[u8]) -> u64 {
    let pairs = bytes
        .windows(2)
        .map(|pair| 1 << (hash(pair[0], pair[1]) >> 26));
    pairs.fold(0, |set, bit: u64| set | bit)
}

/// Returns the bit of the first two bytes; all bits of pairs for a shorter text.
fn beginning_of(bytes: &[u8]) -> u32 {
    match bytes {
        [a, b, ..] => 1 << (LETTERS + hash(*a, *b) % (u32::BITS - LETTERS)),
        _ => u32::MAX << LETTERS,
    }
}

/// Returns the bit of the last two bytes; all bits of pairs for a shorter text.
fn ending_of(bytes: &[u8]) -> u64 {
    match bytes {
        [.., a, b] => 1 << (LETTERS + hash(*a, *b) % (u64::BITS - LETTERS)),
        _ => u64::MAX << LETTERS,
    }
}

/// Returns a hash of two bytes, of which the upper bits are the best.
fn hash(a: u8, b: u8) -> u32 {
    let mixed = u32::from(u16::from_be_bytes([a, b])).wrapping_mul(0x9e37_79b1);
    mixed ^ (mixed >> 15)
}
