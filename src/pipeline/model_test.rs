//! A model of the whole, with the real journal on a real store and the real order of devices: commands come, models answer
//! late, the connection breaks, the program is killed; and each device ends as the last command said for it wants it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use crate::command::Redelivery;
use crate::command::reply::{ActionIssue, ActionReport, Outcome, RefusalCode, Reply, Via};
use crate::pipeline::device_order::DeviceOrder;
use crate::store::journal::{Journal, JournalEntry, Received, Recovered, Seq};
use crate::store::{Settings, open};
use crate::vocabulary::Property;
use crate::vocabulary::action::{Action, Op};
use crate::vocabulary::slug::Slug;

const DEVICES: [&str; 2] = ["lamp", "fan"];
const MINUTE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
enum Step {
    /// Somebody says something to a device. It is understood at home, or a model is asked; it has an id, or none.
    Say {
        device: usize,
        asked: bool,
        named: bool,
    },
    /// A model answers one of those that wait for it.
    RoutedAnswer(prop::sample::Index),
    /// What was written is given to the kernel.
    HandOver,
    /// What was written is on disk, and the broker hears of it.
    Sync,
    /// The connection breaks; what is said then, the broker keeps.
    Cut,
    /// It stands again, and the broker sends again what was not acknowledged.
    Reconnect,
    /// The program is killed and started again.
    Crash,
}

fn event() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..DEVICES.len(), any::<bool>(), any::<bool>()).prop_map(|(device, asked, named)| Step::Say { device, asked, named }),
        4 => any::<prop::sample::Index>().prop_map(Step::RoutedAnswer),
        2 => Just(Step::HandOver),
        2 => Just(Step::Sync),
        1 => Just(Step::Cut),
        2 => Just(Step::Reconnect),
        1 => Just(Step::Crash),
    ]
}

struct Utterance {
    device: usize,
    asked: bool,
    named: bool,
}

struct ModelWorld {
    store: PathBuf,
    said: Vec<Utterance>,
    /// What the broker has no acknowledgement for, in order.
    owed: Vec<usize>,
    connected: bool,
    /// What each device heard, in each life.
    heard: Vec<[Vec<usize>; DEVICES.len()]>,
    journal: Journal,
    turns: DeviceOrder,
    epoch: u64,
    /// Those that wait for a model.
    waiting: Vec<(Seq, usize)>,
}

impl ModelWorld {
    fn new(store: PathBuf) -> Self {
        let (journal, _) = life(&store);
        let (owed, said, waiting) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            store,
            said,
            owed,
            connected: true,
            heard: vec![Default::default()],
            journal,
            turns: DeviceOrder::default(),
            epoch: 1,
            waiting,
        }
    }

    async fn meets(&mut self, event: Step) {
        match event {
            Step::Say {
                device,
                asked,
                named,
            } => {
                self.said.push(Utterance {
                    device,
                    asked,
                    named,
                });
                self.owed.push(self.said.len() - 1);
                if self.connected {
                    self.hears(self.said.len() - 1, false);
                }
            }
            Step::RoutedAnswer(which) if !self.waiting.is_empty() => {
                let (mark, n) = self.waiting.remove(which.index(self.waiting.len()));
                self.acts(mark, n);
            }
            Step::RoutedAnswer(_) => {}
            Step::HandOver => self.journal.handed_to_kernel().await,
            Step::Sync => {
                self.journal.close().await;
                if self.connected {
                    self.owed.clear();
                }
            }
            Step::Cut => self.connected = false,
            Step::Reconnect => self.reconnects(),
            Step::Crash => self.crashes(),
        }
    }

    fn reconnects(&mut self) {
        self.connected = true;
        self.epoch += 1;
        for n in self.owed.clone() {
            self.hears(n, true);
        }
    }

    /// What was neither synced nor given to the kernel is gone, and whatever was in memory.
    fn crashes(&mut self) {
        self.journal = Journal::in_memory(MINUTE);
        let (journal, heritage) = life(&self.store);
        (self.journal, self.turns, self.epoch) = (journal, DeviceOrder::default(), 0);
        self.waiting.clear();
        self.heard.push(Default::default());
        for (device, mark) in heritage.commanded {
            self.turns
                .claim(&Slug::new(&device).unwrap(), mark.number());
        }
        for unfinished in heritage.unfinished {
            let n = String::from_utf8(unfinished.received.payload)
                .unwrap()
                .parse()
                .unwrap();
            self.begins(unfinished.mark, n);
        }
        self.reconnects();
    }

    fn hears(&mut self, n: usize, again: bool) {
        let received = Received {
            topic: "sayso/command/cli".into(),
            payload: n.to_string().into_bytes(),
            response_topic: None,
            correlation: None,
            id: self.said[n].named.then(|| n.to_string()),
            until: self.journal.moment(MINUTE),
        };
        let redelivery = if again {
            Redelivery::Certain
        } else {
            Redelivery::No
        };
        if let JournalEntry::New(mark) = self.journal.receive(received, self.epoch, redelivery) {
            self.begins(mark, n);
        }
    }

    fn begins(&mut self, mark: Seq, n: usize) {
        if self.said[n].asked {
            self.waiting.push((mark, n));
        } else {
            self.acts(mark, n);
        }
    }

    fn acts(&mut self, mark: Seq, n: usize) {
        let device = self.said[n].device;
        let goes = self
            .turns
            .claim(&Slug::new(DEVICES[device]).unwrap(), mark.number());
        if goes {
            self.heard.last_mut().unwrap()[device].push(n);
        }
        let action = Action {
            device: DEVICES[device].into(),
            property: Property::Power,
            op: Op::Set,
            value: None,
        };
        let done = ActionReport {
            why: (!goes).then_some(ActionIssue::Code(RefusalCode::Superseded)),
            ..action.into()
        };
        let (id, text) = (n.to_string(), String::new());
        let reply = Reply {
            id,
            text,
            outcome: Outcome::Done,
            actions: vec![done],
            speech: String::new(),
            via: Via::Local,
            ms: 0.0,
            why: None,
            retry_after: None,
        };
        self.journal.answered(mark, &reply);
        self.journal.reply_acked(mark);
    }

    /// Nothing comes in between any more.
    fn ends(&mut self) {
        self.reconnects();
        while let Some((mark, n)) = self.waiting.pop() {
            self.acts(mark, n);
        }
    }
}

fn life(store: &std::path::Path) -> (Journal, Recovered) {
    Journal::open(
        Some(Arc::new(open(&Settings::default(), store).unwrap())),
        MINUTE,
    )
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn each_device_ends_as_the_last_command_said_for_it_wants(events in prop::collection::vec(event(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut world = ModelWorld::new(folder.path().join("store"));
        runtime.block_on(async {
            for event in events {
                world.meets(event).await;
            }
        });
        world.ends();
        for (device, name) in DEVICES.iter().enumerate() {
            let last = world.said.iter().rposition(|said| said.device == device);
            let heard: Vec<&Vec<usize>> = world.heard.iter().map(|life| &life[device]).collect();
            prop_assert_eq!(heard.iter().rev().find_map(|life| life.last().copied()), last, "the {} heard {:?}", name, heard);
            prop_assert!(heard.iter().all(|life| life.is_sorted()), "the {} heard {:?}", name, heard);
        }
    }
}
