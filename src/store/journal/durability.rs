//! The events that a journal entry has to survive before the program continues.

/// The crash that a written journal entry survives. A greater one includes the smaller ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// None: processing the command again has the same result.
    #[default]
    None,
    /// A crash of the program: the entry is handed to the kernel.
    Kernel,
    /// A power cut: the entry is synced to the disk.
    Disk,
}
