//! The amounts spent at providers, by day and month, so that a limit survives a restart. Billionths
//! of a dollar; days and months are counted from 1970, in UTC.

use std::io;

use crate::store::{Store, StoreTree};

/// The amounts spent at one provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// The day of `today`.
    pub day: u32,
    /// Spent on that day.
    pub today: u64,
    /// The month of `this_month`.
    pub month: u32,
    /// Spent in that month.
    pub this_month: u64,
}

/// The amounts on disk.
#[derive(Debug, Clone)]
pub struct Spending {
    tree: StoreTree,
}

impl Spending {
    /// Opens the amounts in the store.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: &Store) -> io::Result<Self> {
        let tree = store.tree("spending")?;
        Ok(Self { tree })
    }

    /// Returns the amounts of the provider `name`; a record of another shape counts as none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(&self, name: &str) -> io::Result<Option<Spent>> {
        let Some(tree) = self.tree.get() else {
            return Ok(None);
        };
        let record = tree.get(name).map_err(io::Error::other)?;
        Ok(record.and_then(|bytes| parse(&bytes)))
    }

    /// Records the amounts of the provider `name`. They are on disk after the next sync of the
    /// store. A store that has failed and is not open again records nothing.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn write(&self, name: &str, spent: Spent) -> io::Result<()> {
        let record = [
            &spent.day.to_be_bytes()[..],
            &spent.today.to_be_bytes(),
            &spent.month.to_be_bytes(),
            &spent.this_month.to_be_bytes(),
        ]
        .concat();
        let Some(tree) = self.tree.to_write() else {
            return Ok(());
        };
        let inserted = tree.insert(name, record);
        inserted.map(drop).map_err(io::Error::other)
    }
}

fn parse(record: &[u8]) -> Option<Spent> {
    let record = <&[u8; 24]>::try_from(record).ok()?;
    let (day, rest) = record.split_first_chunk()?;
    let (today, rest) = rest.split_first_chunk()?;
    let (month, rest) = rest.split_first_chunk()?;
    let this_month = rest.try_into().ok()?;
    Some(Spent {
        day: u32::from_be_bytes(*day),
        today: u64::from_be_bytes(*today),
        month: u32::from_be_bytes(*month),
        this_month: u64::from_be_bytes(this_month),
    })
}
