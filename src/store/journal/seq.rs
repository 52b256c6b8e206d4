//! The sequence numbers of commands.

/// The number of a command. Commands are numbered in the order of their receipt, from one run to
/// the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub(super) u64);

impl Seq {
    /// Returns the position in the order of receipt.
    pub fn number(self) -> u64 {
        self.0
    }
}
