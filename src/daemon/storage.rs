//! Opens the store, the journal and the accounts on disk. A store that cannot be used is reported,
//! and commands are served without it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::{error, info, warn};

use crate::cache::disk::{DiskLimits, Drafts};
use crate::cache::settings::CacheSettings;
use crate::clock::boot_id;
use crate::config::Config;
use crate::pair::Pair;
use crate::store;
use crate::store::journal::{Journal, Recovered};
use crate::store::progress_log::ProgressLog;
use crate::store::spending::Spending;
use crate::store::{Store, StoreError};

/// The state that survives a restart.
pub(super) struct Storage {
    pub(super) journal: Arc<Journal>,
    /// The commands and devices the earlier run of the program left in the journal.
    pub(super) recovered: Recovered,
    /// The drafts cached on disk.
    pub(super) drafts: Option<Drafts>,
}

impl Storage {
    /// Opens the store, the journal and the drafts.
    ///
    /// # Errors
    /// When another process uses the store.
    pub(super) fn open(config: &Config) -> Result<Self, StoreError> {
        let reading = store::reading(config.store.path.as_deref());
        let store = open_store(&config.store)?;
        let (journal, recovered) = open_journal(store, config);
        let drafts = journal
            .store()
            .and_then(|store| open_drafts(&store, &config.recall));
        drop(reading);
        if journal.store().is_some() {
            info!(remembered = journal.counts().0, "the journal is open");
        }
        Ok(Self {
            journal: Arc::new(journal),
            recovered,
            drafts,
        })
    }

    /// Opens the progress of commands in the folder of the store, and shows it to the node of the
    /// pair. Without a store nothing is kept.
    pub(super) fn open_progress(&self, config: &Config, pair: &Pair) -> Option<ProgressLog> {
        // Another process may use the folder of a store that could not be opened.
        self.journal.store()?;
        let folder = config.store.path.clone()?;
        let boot = boot_id(config.store.boot.as_deref());
        match ProgressLog::open(folder, &boot, pair.keep()) {
            Ok((log, earlier)) => {
                if let Some(earlier) = earlier {
                    info!(
                        records = earlier.records.len(),
                        "the progress of commands is known"
                    );
                    pair.restore(earlier.since, earlier.records);
                }
                pair.keep_records();
                Some(log)
            }
            Err(error) => {
                warn!(%error, "the progress of commands cannot be kept: a restart of this node \
                    may not know it all");
                None
            }
        }
    }
}

/// Opens the store, or logs why commands are served without one.
///
/// # Errors
/// When another process uses the store.
fn open_store(settings: &store::Settings) -> Result<Option<Arc<Store>>, StoreError> {
    let Some(path) = settings.path.as_deref() else {
        info!("no store is configured: nothing survives a restart (set `store.path`)");
        return Ok(None);
    };
    match store::open(settings, path) {
        Ok(store) => {
            store.log_losses();
            Ok(Some(Arc::new(store)))
        }
        Err(error @ StoreError::InUse { .. }) => Err(error),
        Err(error) => {
            error!(error = %ErrorChain(&error), "serving without a store: commands do not survive \
                a restart");
            Ok(None)
        }
    }
}

/// Opens the journal, and returns the entries that the earlier run of the program left in it.
fn open_journal(store: Option<Arc<Store>>, config: &Config) -> (Journal, Recovered) {
    let keep = config.mqtt.ttl;
    let Some(store) = store else {
        let settings = config.store.clone();
        let journal = match settings.path.clone() {
            Some(path) => Journal::waiting(settings, path, keep),
            None => Journal::in_memory(keep),
        };
        return (journal, Recovered::default());
    };
    match Journal::open(Some(store), keep) {
        Ok((journal, recovered)) => {
            if recovered.unreadable > 0 {
                warn!(
                    unreadable = recovered.unreadable,
                    "records of the journal could not be read and were dropped"
                );
            }
            if recovered.missing > 0 {
                warn!(
                    missing_writes = recovered.missing,
                    "the store is damaged: the last records are lost, and the commands in them are \
                     not continued"
                );
            }
            (journal, recovered)
        }
        Err(error) => {
            error!(%error, "the journal cannot be read: commands do not survive a restart");
            (Journal::in_memory(keep), Recovered::default())
        }
    }
}

pub(super) fn open_drafts(store: &Store, settings: &CacheSettings) -> Option<Drafts> {
    let limits = DiskLimits {
        entries: settings.disk_entries,
        bytes: settings.disk_bytes,
    };
    match Drafts::open(store, limits, SystemTime::now()) {
        Ok(drafts) => Some(drafts),
        Err(error) => {
            warn!(%error, "the cached answers of models cannot be read: models are asked again");
            None
        }
    }
}

pub(super) fn open_spending(store: &Store) -> Option<Spending> {
    match Spending::open(store) {
        Ok(spending) => Some(spending),
        Err(error) => {
            warn!(%error, "the spending of earlier runs cannot be read: it is counted from zero");
            None
        }
    }
}

/// An error with all its causes, in one line.
pub(super) struct ErrorChain<'a>(pub(super) &'a (dyn std::error::Error + 'static));

impl fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
