//! Single flight: equal requests at the same time are made once, and all callers share the answer.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OnceCell;

type InFlightMap<K, T> = HashMap<K, Arc<OnceCell<T>>>;

/// The requests in flight, by key.
#[derive(Debug)]
pub struct SingleFlight<K, T> {
    requests: Mutex<InFlightMap<K, T>>,
}

impl<K, T> Default for SingleFlight<K, T> {
    fn default() -> Self {
        Self {
            requests: Mutex::default(),
        }
    }
}

/// An answer, and whether another caller made the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedAnswer<T> {
    /// Answer of the request, the same for all its callers.
    pub answer: T,
    /// True where the caller joined a request of another one.
    pub joined: bool,
}

impl<K: Hash + Eq + Clone, T: Clone> SingleFlight<K, T> {
    /// Returns whether an equal request is in flight.
    pub fn is_in_flight(&self, key: &K) -> bool {
        self.requests().contains_key(key)
    }

    /// Returns the answer of `request`, or of an equal request already in flight. Where the caller
    /// who made it is cancelled, the next of those who wait makes its own in its place.
    pub async fn share<A: Future<Output = T>>(
        &self,
        key: &K,
        request: impl FnOnce() -> A,
    ) -> SharedAnswer<T> {
        let cell = Arc::clone(self.requests().entry(key.clone()).or_default());
        let caller = Caller {
            flight: self,
            key,
            cell,
        };
        let mut joined = true;
        let answer = caller.cell.get_or_init(|| {
            joined = false;
            request()
        });
        let answer = answer.await.clone();
        SharedAnswer { answer, joined }
    }
}

impl<K, T> SingleFlight<K, T> {
    fn requests(&self) -> MutexGuard<'_, InFlightMap<K, T>> {
        self.requests.lock()
    }
}

/// One caller that waits. When it is dropped, answered or not, it removes the request if that is
/// answered or nobody else waits for it.
struct Caller<'a, K: Hash + Eq, T> {
    flight: &'a SingleFlight<K, T>,
    key: &'a K,
    cell: Arc<OnceCell<T>>,
}

impl<K: Hash + Eq, T> Drop for Caller<'_, K, T> {
    fn drop(&mut self) {
        let mut requests = self.flight.requests();
        let is_ours = requests
            .get(self.key)
            .is_some_and(|known| Arc::ptr_eq(known, &self.cell));
        // The table and this caller hold one reference each when nobody else waits.
        if is_ours && (self.cell.initialized() || Arc::strong_count(&self.cell) <= 2) {
            requests.remove(self.key);
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
    async fn twenty_equal_requests_are_made_once() {
        let (flight, made) = (SingleFlight::default(), Cell::new(0));
        let request = || {
            flight.share(&"lamp on", || async {
                made.set(made.get() + 1);
                sleep(Duration::from_secs(1)).await;
                "done"
            })
        };
        let answers = futures_util::future::join_all((0..20).map(|_| request())).await;
        assert_eq!(made.get(), 1);
        assert!(answers.iter().all(|shared| shared.answer == "done"));
        assert_eq!(answers.iter().filter(|shared| shared.joined).count(), 19);
        assert!(flight.requests().is_empty());
        assert!(!request().await.joined, "an answered request is made anew");
    }

    #[tokio::test(start_paused = true)]
    async fn different_requests_do_not_wait_for_each_other() {
        let flight = SingleFlight::default();
        let (slow, quick) = tokio::join!(
            flight.share(&1, || std::future::ready("one")),
            flight.share(&2, || std::future::ready("two"))
        );
        assert_eq!((slow.answer, quick.answer), ("one", "two"));
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_first_caller_is_cancelled_another_makes_the_request() {
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
        assert!(flight.requests().is_empty());
    }
}
