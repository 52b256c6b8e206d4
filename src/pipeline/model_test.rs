//! A model of the whole with the real journal on a real store and the real order of devices: models
//! answer late, the connection breaks, the program is killed, and each device still ends in the
//! state that its last command demands.

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
    /// A command for a device is sent. It is understood locally or by a model, with an id or
    /// without.
    Send {
        device: usize,
        asked: bool,
        named: bool,
    },
    /// A model answers one of the commands that wait for it.
    RoutedAnswer(prop::sample::Index),
    /// The journal hands its entries to the kernel.
    HandOver,
    /// The journal is synced, and the commands are acknowledged.
    Sync,
    /// The connection breaks; the broker keeps the following commands.
    Cut,
    /// The connection is back, and the broker sends all unacknowledged messages again.
    Reconnect,
    /// The program is killed and started again.
    Crash,
}

fn event() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..DEVICES.len(), any::<bool>(), any::<bool>()).prop_map(|(device, asked, named)| Step::Send { device, asked, named }),
        4 => any::<prop::sample::Index>().prop_map(Step::RoutedAnswer),
        2 => Just(Step::HandOver),
        2 => Just(Step::Sync),
        1 => Just(Step::Cut),
        2 => Just(Step::Reconnect),
        1 => Just(Step::Crash),
    ]
}

struct SentCommand {
    device: usize,
    asked: bool,
    named: bool,
}

struct ModelWorld {
    store: PathBuf,
    sent: Vec<SentCommand>,
    /// The commands that the broker has no acknowledgement for, in order.
    unacknowledged: Vec<usize>,
    connected: bool,
    /// The commands each device received, in each run of the program.
    received_by_device: Vec<[Vec<usize>; DEVICES.len()]>,
    journal: Journal,
    order: DeviceOrder,
    connection: u64,
    /// The commands that wait for a model.
    waiting: Vec<(Seq, usize)>,
}

impl ModelWorld {
    fn new(store: PathBuf) -> Self {
        let (journal, _) = open_journal(&store);
        let (unacknowledged, sent, waiting) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            store,
            sent,
            unacknowledged,
            connected: true,
            received_by_device: vec![Default::default()],
            journal,
            order: DeviceOrder::default(),
            connection: 1,
            waiting,
        }
    }

    async fn apply(&mut self, event: Step) {
        match event {
            Step::Send {
                device,
                asked,
                named,
            } => {
                self.sent.push(SentCommand {
                    device,
                    asked,
                    named,
                });
                self.unacknowledged.push(self.sent.len() - 1);
                if self.connected {
                    self.receives(self.sent.len() - 1, false);
                }
            }
            Step::RoutedAnswer(which) if !self.waiting.is_empty() => {
                let (seq, n) = self.waiting.remove(which.index(self.waiting.len()));
                self.acts(seq, n);
            }
            Step::RoutedAnswer(_) => {}
            Step::HandOver => self.journal.hand_to_kernel().await,
            Step::Sync => {
                self.journal.close().await;
                if self.connected {
                    self.unacknowledged.clear();
                }
            }
            Step::Cut => self.connected = false,
            Step::Reconnect => self.reconnects(),
            Step::Crash => self.crashes(),
        }
    }

    fn reconnects(&mut self) {
        self.connected = true;
        self.connection += 1;
        for n in self.unacknowledged.clone() {
            self.receives(n, true);
        }
    }

    /// Loses everything in memory, and all data that was neither synced nor handed to the kernel.
    fn crashes(&mut self) {
        self.journal = Journal::in_memory(MINUTE);
        let (journal, recovered) = open_journal(&self.store);
        (self.journal, self.order, self.connection) = (journal, DeviceOrder::default(), 0);
        self.waiting.clear();
        self.received_by_device.push(Default::default());
        for (device, seq) in recovered.commanded {
            self.order.claim(&Slug::new(&device).unwrap(), seq.number());
        }
        for unfinished in recovered.unfinished {
            let n = String::from_utf8(unfinished.received.payload)
                .unwrap()
                .parse()
                .unwrap();
            self.begins(unfinished.seq, n);
        }
        self.reconnects();
    }

    fn receives(&mut self, n: usize, again: bool) {
        let received = Received {
            topic: "sayso/command/cli".into(),
            payload: n.to_string().into_bytes(),
            response_topic: None,
            correlation: None,
            id: self.sent[n].named.then(|| n.to_string()),
            packet: None,
            identity: None,
            is_dated: false,
            until: self.journal.moment(MINUTE),
        };
        let redelivery = if again {
            Redelivery::Certain
        } else {
            Redelivery::No
        };
        if let JournalEntry::New(seq) = self.journal.receive(received, self.connection, redelivery)
        {
            self.begins(seq, n);
        }
    }

    fn begins(&mut self, seq: Seq, n: usize) {
        if self.sent[n].asked {
            self.waiting.push((seq, n));
        } else {
            self.acts(seq, n);
        }
    }

    fn acts(&mut self, seq: Seq, n: usize) {
        let device = self.sent[n].device;
        let goes = self
            .order
            .claim(&Slug::new(DEVICES[device]).unwrap(), seq.number());
        if goes {
            self.received_by_device.last_mut().unwrap()[device].push(n);
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
        let reply = Reply {
            id: n.to_string().into(),
            text: "".into(),
            outcome: Outcome::Done,
            actions: vec![done],
            speech: String::new(),
            via: Via::Local,
            ms: 0.0,
            why: None,
            retry_after: None,
            scheduled: None,
        };
        self.journal.record_reply(seq, &reply);
        self.journal.record_reply_ack(seq);
    }

    /// Ends the history without further events.
    fn ends(&mut self) {
        self.reconnects();
        while let Some((seq, n)) = self.waiting.pop() {
            self.acts(seq, n);
        }
    }
}

fn open_journal(store: &std::path::Path) -> (Journal, Recovered) {
    Journal::open(
        Some(Arc::new(open(&Settings::default(), store).unwrap())),
        MINUTE,
    )
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn each_device_ends_as_its_last_command_demands(events in prop::collection::vec(event(), 1..40)) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut world = ModelWorld::new(folder.path().join("store"));
        runtime.block_on(async {
            for event in events {
                world.apply(event).await;
            }
        });
        world.ends();
        for (device, name) in DEVICES.iter().enumerate() {
            let last = world.sent.iter().rposition(|sent| sent.device == device);
            let received_by_device: Vec<&Vec<usize>> = world.received_by_device.iter().map(|life| &life[device]).collect();
            prop_assert_eq!(received_by_device.iter().rev().find_map(|life| life.last().copied()), last, "the {} received_by_device {:?}", name, received_by_device);
            prop_assert!(received_by_device.iter().all(|life| life.is_sorted()), "the {} received_by_device {:?}", name, received_by_device);
        }
    }
}
