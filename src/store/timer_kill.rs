//! The end of the process before one of the writes of timers, as a test simulates it.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Keeps the content of the disk as it is then.
type KeepImage = Box<dyn FnOnce() + Send>;

/// The end of the process before one of the writes.
#[derive(Default)]
pub(crate) struct SimulatedKill {
    /// Number of writes until then, and the function that keeps an image of the disk.
    plan: Mutex<Option<(usize, KeepImage)>>,
    happened: AtomicBool,
    /// Notified then.
    pub(crate) killed: Notify,
}

impl SimulatedKill {
    /// Lets the process end before the write with this number.
    pub(crate) fn plan(&self, write: usize, keep_image: KeepImage) {
        *self.plan.lock() = Some((write, keep_image));
    }

    /// Returns whether the process has ended.
    pub(crate) fn has_happened(&self) -> bool {
        self.happened.load(SeqCst)
    }

    pub(super) fn before_write(&self) {
        let mut plan = self.plan.lock();
        match &mut *plan {
            Some((left, _)) if *left > 0 => *left -= 1,
            _ => {
                if let Some((_, keep_image)) = plan.take() {
                    keep_image();
                    self.happened.store(true, SeqCst);
                    self.killed.notify_one();
                }
            }
        }
    }
}

impl fmt::Debug for SimulatedKill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedKill").finish_non_exhaustive()
    }
}
