//! Clients that ask for a door to be unlocked and confirm it, and one that confirms what others
//! asked for: only the answers of the source that was asked open the door.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;

use crate::caller::Caller;
use crate::ledger::Ledger;

/// The device it commands.
pub(crate) const DEVICE: &str = "front_door";

/// How long it waits for each reply.
const PATIENCE: Duration = Duration::from_secs(10);

/// The clients, and the ids of the confirmations that may open the door.
pub(crate) struct Confirmer {
    owner: Caller,
    stranger: Caller,
    rightful: Mutex<BTreeSet<String>>,
    asked: Mutex<usize>,
}

impl Confirmer {
    pub(crate) fn new(port: u16) -> Arc<Self> {
        Arc::new(Self {
            owner: Caller::new("owner", port),
            stranger: Caller::new("stranger", port),
            rightful: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    /// Asks and confirms for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        for n in 0.. {
            let id = format!("unlock-{n}");
            let asked = self.owner.ask(&id, "unlock the front door", PATIENCE).await;
            if asked.is_some_and(|reply| reply["outcome"] == "unclear") {
                *self.asked.lock().unwrap() += 1;
                let stolen = format!("stolen-{n}");
                let _ = self.stranger.ask(&stolen, "yes", PATIENCE / 4).await;
                if n % 2 == 0 {
                    let yes = format!("yes-{n}");
                    self.rightful.lock().unwrap().insert(yes.clone());
                    let _ = self.owner.ask(&yes, "yes", PATIENCE).await;
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// Returns how many questions were asked, and the openings nobody had a right to.
    pub(crate) fn judge(&self, ledger: &Ledger) -> (usize, Vec<String>) {
        let rightful = self.rightful.lock().unwrap();
        let opened = ledger.others.iter().filter(|other| other.device == DEVICE);
        let wrong = opened.filter(|other| !rightful.contains(&other.command));
        let faults = wrong.map(|other| format!("the door was unlocked by `{}`", other.command));
        (*self.asked.lock().unwrap(), faults.collect())
    }
}
