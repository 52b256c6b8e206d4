//! Single flight: equal questions at the same time are asked once, and all get the one answer.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::OnceCell;

type InFlightMap<K, T> = Mutex<HashMap<K, Arc<OnceCell<T>>>>;

/// The questions on their way, by key.
#[derive(Debug)]
pub struct SingleFlight<K, T> {
    cells: InFlightMap<K, T>,
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self {
            cells: Mutex::default(),
        }
    }
}

/// An answer, and whether it was asked for by somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedAnswer<T> {
    /// The answer.
    pub answer: T,
    /// True where another's question was joined.
    pub joined: bool,
}

impl<K: Hash + Eq + Clone, T: Clone> SingleFlight<K, T> {
    /// The answer of `ask`, or of an equal question already on its way. Where the one who asked first gives up,
    /// the next of those who wait asks in its place.
    pub async fn share<A: Future<Output = T>>(
        &self,
        key: &K,
        ask: impl FnOnce() -> A,
    ) -> SharedAnswer<T> {
        let cell = Arc::clone(self.lock().entry(key.clone()).or_default());
        let seat = FlightSeat {
            flight: self,
            key,
            cell,
        };
        let mut joined = true;
        let answer = seat.cell.get_or_init(|| {
            joined = false;
            ask()
        });
        let answer = answer.await.clone();
        SharedAnswer { answer, joined }
    }

    /// Whether the question is on its way.
    pub fn is_under_way(&self, key: &K) -> bool {
        self.lock().contains_key(key)
    }

    /// How many questions are on their way.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// True while none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K, T> SingleFlight<K, T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<T>>>> {
        self.cells.lock()
    }
}

/// One who waits. Leaving, answered or not, it forgets the question if that is answered or nobody else waits.
struct FlightSeat<'a, K: Hash + Eq, T> {
    flight: &'a SingleFlight<K, T>,
    key: &'a K,
    cell: Arc<OnceCell<T>>,
}

impl<K: Hash + Eq, T> Drop for FlightSeat<'_, K, T> {
    fn drop(&mut self) {
        let mut cells = self.flight.lock();
        let ours = cells
            .get(self.key)
            .is_some_and(|known| Arc::ptr_eq(known, &self.cell));
        // Two hold it when nobody else waits: the map and this seat.
        if ours && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            cells.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::task::LocalSet;
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn twenty_equal_questions_are_asked_once() {
        let (flight, asked) = (SingleFlight::default(), Cell::new(0));
        let question = || {
            flight.share(&"lamp on", || async {
                asked.set(asked.get() + 1);
                sleep(Duration::from_secs(1)).await;
                "done"
            })
        };
        let answers = futures_util::future::join_all((0..20).map(|_| question())).await;
        assert_eq!(asked.get(), 1);
        assert!(answers.iter().all(|shared| shared.answer == "done"));
        assert_eq!(answers.iter().filter(|shared| shared.joined).count(), 19);
        assert!(flight.is_empty());
        assert!(
            !question().await.joined,
            "an answered question is asked anew"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn different_questions_do_not_wait_for_each_other() {
        let flight = SingleFlight::default();
        let (slow, quick) = tokio::join!(
            flight.share(&1, || std::future::ready("one")),
            flight.share(&2, || std::future::ready("two"))
        );
        assert_eq!((slow.answer, quick.answer), ("one", "two"));
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_first_gives_up_a_follower_asks() {
        let flight = std::rc::Rc::new(SingleFlight::default());
        let local = LocalSet::new();
        let first = local.spawn_local({
            let flight = flight.clone();
            async move { flight.share(&"lamp on", std::future::pending::<&str>).await }
        });
        let follower = local.spawn_local({
            let flight = flight.clone();
            async move {
                flight
                    .share(&"lamp on", || std::future::ready("done"))
                    .await
            }
        });
        local
            .run_until(async {
                sleep(Duration::from_secs(1)).await;
                assert!(!follower.is_finished());
                first.abort();
                assert_eq!(
                    follower.await.unwrap(),
                    SharedAnswer {
                        answer: "done",
                        joined: false
                    }
                );
            })
            .await;
        assert!(flight.is_empty());
    }
}
