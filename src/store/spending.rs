//! What was spent at providers, by day and month, so that a limit outlives a restart. Billionths of a dollar; days and months
//! are counted from 1970, in UTC.

/// What one purse has spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// The day `today` is of.
    pub day: u32,
    /// Spent on it.
    pub today: u64,
    /// The month `this_month` is of.
    pub month: u32,
    /// Spent in it.
    pub this_month: u64,
}

/// The purses on disk.
#[derive(Debug, Clone)]
pub struct Spending {
    tree: sled::Tree,
}

impl Spending {
    /// Those kept in the store.
    ///
    /// # Errors
    /// When the disk says so.
    pub fn open(db: &sled::Db) -> Result<Self, sled::Error> {
        Ok(Self {
            tree: db.open_tree("spending")?,
        })
    }

    /// What the purse of this name has spent; a record of another shape is none.
    ///
    /// # Errors
    /// When the disk says so.
    pub fn read(&self, name: &str) -> Result<Option<Spent>, sled::Error> {
        let Some(bytes) = self.tree.get(name)? else {
            return Ok(None);
        };
        let word = |at: usize| {
            bytes
                .get(at..at + 4)
                .and_then(|four| four.try_into().ok())
                .map(u32::from_be_bytes)
        };
        let long = |at: usize| {
            bytes
                .get(at..at + 8)
                .and_then(|eight| eight.try_into().ok())
                .map(u64::from_be_bytes)
        };
        let spent = || {
            Some(Spent {
                day: word(0)?,
                today: long(4)?,
                month: word(12)?,
                this_month: long(16)?,
            })
        };
        Ok(spent().filter(|_| bytes.len() == 24))
    }

    /// Keeps what the purse of this name has spent. It is safe with the next flush of the store, which a reply brings.
    ///
    /// # Errors
    /// When the disk says so.
    pub fn write(&self, name: &str, spent: Spent) -> Result<(), sled::Error> {
        let bytes = [
            &spent.day.to_be_bytes()[..],
            &spent.today.to_be_bytes(),
            &spent.month.to_be_bytes(),
            &spent.this_month.to_be_bytes(),
        ]
        .concat();
        self.tree.insert(name, bytes).map(drop)
    }
}
