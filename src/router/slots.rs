//! The slots of one provider for calls in flight, shared fairly by the sources that wait for one: a
//! free slot goes to the source with the fewest calls in flight, and among equals to the one that
//! was served longest ago. Within a source the first to wait is the first to be served.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::command::Source;

/// The sender of the command that needs a slot; `None` for the program's own calls.
type Holder = Option<Source>;

/// The slots of one provider.
#[derive(Debug)]
pub(super) struct FairSlots(Mutex<SlotTable>);

#[derive(Debug, Default)]
struct SlotTable {
    free: usize,
    holders: HashMap<Holder, HolderState>,
    /// Number of the newest slot that was handed out.
    newest: u64,
}

/// State of one source that has a slot or waits for one.
#[derive(Debug, Default)]
struct HolderState {
    in_flight: usize,
    /// Number of the slot it was given last.
    served: u64,
    waiting: VecDeque<oneshot::Sender<CallSlot>>,
}

/// A slot for one call. It is free again when dropped.
#[derive(Debug)]
pub(super) struct CallSlot {
    /// The slots it belongs to; `None` once it is removed.
    slots: Option<Arc<FairSlots>>,
    holder: Holder,
}

impl FairSlots {
    /// Creates so many free slots.
    pub(super) fn new(free: usize) -> Self {
        Self(Mutex::new(SlotTable {
            free,
            ..SlotTable::default()
        }))
    }

    fn table(&self) -> MutexGuard<'_, SlotTable> {
        self.0.lock()
    }

    /// Returns the number of free slots.
    pub(super) fn free(&self) -> usize {
        self.table().free
    }

    /// Takes a free slot; `None` where all are taken.
    pub(super) fn try_take(self: &Arc<Self>, source: Option<&Source>) -> Option<CallSlot> {
        let mut table = self.table();
        if table.free == 0 {
            return None;
        }
        table.free -= 1;
        Some(self.serve(&mut table, source.cloned()))
    }

    /// Waits for a slot.
    pub(super) async fn take(self: &Arc<Self>, source: Option<&Source>) -> CallSlot {
        loop {
            let slot = {
                let mut table = self.table();
                if table.free > 0 {
                    table.free -= 1;
                    return self.serve(&mut table, source.cloned());
                }
                let (sender, slot) = oneshot::channel();
                let state = table.holders.entry(source.cloned()).or_default();
                state.waiting.retain(|sender| !sender.is_closed());
                state.waiting.push_back(sender);
                slot
            };
            // A place in the queue is only given up for a slot, or by the waiter itself.
            if let Ok(slot) = slot.await {
                return slot;
            }
        }
    }

    /// Adds a slot.
    pub(super) fn add(self: &Arc<Self>) {
        self.hand_out(self.table());
    }

    fn serve(self: &Arc<Self>, table: &mut SlotTable, holder: Holder) -> CallSlot {
        table.serve(holder.clone());
        CallSlot {
            slots: Some(Arc::clone(self)),
            holder,
        }
    }

    /// Gives a slot that nobody has to the next that waits for one.
    fn hand_out(self: &Arc<Self>, mut table: MutexGuard<'_, SlotTable>) {
        while let Some((holder, sender)) = table.next_waiting() {
            let slot = self.serve(&mut table, holder);
            let Err(mut unused) = sender.send(slot) else {
                return;
            };
            // The waiter is gone. Its slot must not be returned while the table is locked.
            unused.slots = None;
            table.end(&unused.holder);
        }
        table.free += 1;
    }
}

impl SlotTable {
    /// Records a slot that is given to `holder`.
    fn serve(&mut self, holder: Holder) {
        self.newest += 1;
        let state = self.holders.entry(holder).or_default();
        state.in_flight += 1;
        state.served = self.newest;
    }

    /// Records the end of a slot of `holder`.
    fn end(&mut self, holder: &Holder) {
        let Some(state) = self.holders.get_mut(holder) else {
            return;
        };
        state.in_flight = state.in_flight.saturating_sub(1);
        state.waiting.retain(|sender| !sender.is_closed());
        if state.in_flight == 0 && state.waiting.is_empty() {
            self.holders.remove(holder);
        }
    }

    /// Takes the waiter whose turn it is.
    fn next_waiting(&mut self) -> Option<(Holder, oneshot::Sender<CallSlot>)> {
        let waiting = self.holders.iter().filter(|(_, s)| !s.waiting.is_empty());
        let next = waiting.min_by_key(|(_, state)| (state.in_flight, state.served));
        let holder = next?.0.clone();
        let state = self.holders.get_mut(&holder)?;
        let sender = state.waiting.pop_front()?;
        Some((holder, sender))
    }
}

impl CallSlot {
    /// Removes the slot, so that there is one fewer.
    pub(super) fn forget(mut self) {
        if let Some(slots) = self.slots.take() {
            slots.table().end(&self.holder);
        }
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        if let Some(slots) = self.slots.take() {
            let mut table = slots.table();
            table.end(&self.holder);
            slots.hand_out(table);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn sources() -> [Source; 2] {
        ["guest", "owner"].map(Source::new)
    }

    #[tokio::test]
    async fn a_source_waits_for_no_more_than_one_call_of_another() {
        let slots = Arc::new(FairSlots::new(1));
        let [guest, owner] = sources();
        let running = slots.take(Some(&guest)).await;
        let mut of_guest: Vec<_> = (0..5).map(|_| Box::pin(slots.take(Some(&guest)))).collect();
        for waiting in &mut of_guest {
            assert!(waiting.now_or_never().is_none());
        }
        let mut of_owner = [
            Box::pin(slots.take(Some(&owner))),
            Box::pin(slots.take(Some(&owner))),
        ];
        for waiting in &mut of_owner {
            assert!(waiting.now_or_never().is_none());
        }
        drop(running);
        let [first, second] = of_owner;
        let first = first.now_or_never().expect("the owner is next");
        drop(first);
        let next = of_guest.remove(0).now_or_never().expect("then the guest");
        drop(next);
        assert!(second.now_or_never().is_some(), "and again the owner");
    }

    #[tokio::test]
    async fn the_source_with_the_fewest_calls_is_served_first() {
        let slots = Arc::new(FairSlots::new(3));
        let [guest, owner] = sources();
        let first = slots.take(Some(&owner)).await;
        let guests = [
            slots.take(Some(&guest)).await,
            slots.take(Some(&guest)).await,
        ];
        let mut of_guest = Box::pin(slots.take(Some(&guest)));
        let mut of_owner = Box::pin(slots.take(Some(&owner)));
        assert!((&mut of_guest).now_or_never().is_none());
        assert!((&mut of_owner).now_or_never().is_none());
        drop(first);
        assert!((&mut of_owner).now_or_never().is_some());
        drop((guests, of_guest));
    }

    #[tokio::test]
    async fn no_slot_is_lost_with_a_waiter_that_is_gone() {
        let slots = Arc::new(FairSlots::new(1));
        let [guest, owner] = sources();
        let running = slots.take(Some(&guest)).await;
        let mut gone = Box::pin(slots.take(Some(&guest)));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        let mut late = Box::pin(slots.take(Some(&owner)));
        assert!((&mut late).now_or_never().is_none());
        // It was handed its slot, and is gone before it takes it.
        drop(running);
        drop(late);
        assert_eq!(slots.free(), 1);
        slots.add();
        assert_eq!(slots.free(), 2);
        slots.try_take(None).expect("a free slot").forget();
        assert_eq!(slots.free(), 1);
        assert!(slots.table().holders.is_empty(), "nothing is kept");
    }
}
