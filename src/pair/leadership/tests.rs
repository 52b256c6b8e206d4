//! Claims about the leadership: two nodes and a broker, in virtual time.

use std::time::{Duration, Instant};

use crate::pair::leadership::{
    AFTER_CUT, AFTER_REPLACEMENT, BARRIER_TIMEOUT, CONFIRMATION, DEFERENCE, Leadership,
};
use crate::pair::leadership_event::{PairEffect, PairEvent, PairStage};
use crate::pair::mark::LeaderClaim;

const DELAY: Duration = Duration::from_millis(200);

const INTERVAL: Duration = Duration::from_secs(5);

fn new_node(name: &str) -> Leadership {
    Leadership::new(name, INTERVAL)
}

/// Two nodes, and a broker that gives the shared id to the node that connects last.
struct House {
    nodes: [Leadership; 2],
    now: Instant,
    holder: Option<usize>,
    takeovers: usize,
    /// A node that does nothing, and later receives everything that is sent meanwhile.
    frozen: Option<usize>,
    late: Vec<PairEvent>,
    beats: usize,
    /// Whether the broker passes nothing on.
    is_stuck: bool,
}

impl House {
    fn new() -> Self {
        Self {
            nodes: ["a", "b"].map(new_node),
            now: crate::clock::now(),
            holder: None,
            takeovers: 0,
            frozen: None,
            late: Vec::new(),
            beats: 0,
            is_stuck: false,
        }
    }

    fn on(&mut self, node: usize, event: PairEvent) {
        if self.frozen == Some(node) {
            return self.late.push(event);
        }
        self.nodes[node].on(event, self.now, DELAY * (1 + u32::try_from(node).unwrap()));
        self.settle();
    }

    fn all(&mut self, event: &PairEvent) {
        if self.is_stuck {
            return;
        }
        for node in 0..2 {
            if self.frozen == Some(node) {
                self.late.push(event.clone());
                continue;
            }
            self.nodes[node].on(
                event.clone(),
                self.now,
                DELAY * (1 + u32::try_from(node).unwrap()),
            );
        }
        self.settle();
    }

    /// Stops a node: nothing shows it to the broker.
    fn freeze(&mut self, node: usize) {
        self.frozen = Some(node);
    }

    /// Continues the node, which then receives everything that was sent meanwhile.
    fn thaw(&mut self) {
        let node = self.frozen.take().unwrap();
        for event in std::mem::take(&mut self.late) {
            self.on(node, event);
        }
    }

    /// Carries out effects until there are none.
    fn settle(&mut self) {
        while let Some((node, effect)) =
            (0..2).find_map(|node| Some((node, self.nodes[node].next_effect()?)))
        {
            self.carry_out(node, &effect);
        }
    }

    fn carry_out(&mut self, node: usize, effect: &PairEffect) {
        let name = ["a", "b"][node].to_owned();
        match effect {
            PairEffect::Introduce => {
                let synced = PairEvent::ObserverSynced {
                    has_other: false,
                    is_uninformed: false,
                };
                self.on(node, synced);
            }
            PairEffect::Connect { .. } => self.connect(node),
            PairEffect::Beat => {
                self.beats += 1;
                self.all(&PairEvent::Beat { node: name });
            }
            PairEffect::Probe { number } if !self.is_stuck => {
                self.on(1 - node, PairEvent::Probed);
                self.on(node, PairEvent::ProbeReturned { number: *number });
            }
            PairEffect::Claim {
                epoch,
                is_after_silence,
                ..
            } => {
                let claim = LeaderClaim {
                    node: name,
                    epoch: *epoch,
                    beat_ms: 5000,
                    is_after_silence: *is_after_silence,
                    ..LeaderClaim::default()
                };
                let is_live = true;
                self.all(&PairEvent::Status { is_online: true });
                self.all(&PairEvent::Claimed { claim, is_live });
                self.on(node, PairEvent::BarrierPassed);
            }
            PairEffect::Announce => {
                let is_live = true;
                if let Some(claim) = self.nodes[node].leader().cloned() {
                    self.all(&PairEvent::Claimed { claim, is_live });
                }
            }
            PairEffect::Query => {
                let query = PairEvent::Query {
                    node: name,
                    is_uninformed: false,
                };
                self.all(&query);
            }
            PairEffect::Serve { .. }
            | PairEffect::StepDown
            | PairEffect::SendSnapshot { .. }
            | PairEffect::Probe { .. }
            | PairEffect::Answer => {}
        }
    }

    /// Gives a node the connection with the shared id, and ends that of the other one.
    fn connect(&mut self, node: usize) {
        self.takeovers += 1;
        let old = self.holder.replace(node).filter(|old| *old != node);
        if let Some(old) = old {
            self.on(old, PairEvent::Disconnected);
            self.all(&PairEvent::Status { is_online: false });
        }
        let connected = PairEvent::Connected {
            connection: 1,
            session_present: true,
        };
        self.on(node, connected);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += Duration::from_millis(10);
            for node in (0..2).filter(|node| self.frozen != Some(*node)) {
                self.nodes[node].tick(self.now, DELAY);
            }
            self.settle();
        }
    }

    fn leads(&self, node: usize) -> bool {
        matches!(self.nodes[node].stage(), PairStage::Leading)
    }
}

#[test]
fn of_two_nodes_that_start_at_once_one_leads_and_stays_leader() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_mins(1));
    assert!(house.leads(0) && !house.leads(1));
    assert_eq!(house.takeovers, 1);
}

#[test]
fn the_standby_leads_soon_after_the_leader_has_gone() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_secs(5));
    house.holder = None;
    house.nodes[0] = new_node("a");
    house.on(1, PairEvent::Status { is_online: false });
    assert!(house.leads(1), "nobody contends with it");
    assert_eq!(house.nodes[1].leader().unwrap().epoch, 2);
}

/// Returns the retained claim of a leader that is gone.
fn kept_claim(node: &str, epoch: u64) -> PairEvent {
    let claim = LeaderClaim {
        node: node.to_owned(),
        epoch,
        ..LeaderClaim::default()
    };
    PairEvent::Claimed {
        claim,
        is_live: false,
    }
}

#[test]
fn after_both_were_gone_the_node_that_led_last_leads_first() {
    let mut house = House::new();
    let kept = kept_claim("a", 7);
    for node in 0..2 {
        house.nodes[node].on(PairEvent::ObserverUp, house.now, DELAY);
        house.nodes[node].on(kept.clone(), house.now, DELAY);
        while house.nodes[node].next_effect().is_some() {}
        let synced = PairEvent::ObserverSynced {
            has_other: false,
            is_uninformed: node == 1,
        };
        house.nodes[node].on(synced, house.now, Duration::ZERO);
    }
    let mut alone = House::new();
    std::mem::swap(&mut alone.nodes[1], &mut house.nodes[1]);
    alone.now = house.now;
    house.pass(Duration::from_millis(600));
    assert!(house.leads(0));
    alone.pass(Duration::from_millis(600));
    assert!(!alone.leads(1));
    alone.pass(DEFERENCE);
    assert!(alone.leads(1), "the other one does not come");
}

#[test]
fn a_takeover_by_hand_does_not_swing_back() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_secs(5));
    for round in 0..4 {
        house.all(&PairEvent::TakeoverRequested { node: None });
        house.pass(Duration::from_mins(1));
        assert!(house.leads((round + 1) % 2));
    }
    assert_eq!(house.takeovers, 5);
    let node = Some("a".to_owned());
    house.all(&PairEvent::TakeoverRequested { node });
    house.pass(Duration::from_mins(1));
    assert_eq!(house.takeovers, 5, "it leads already");
}

#[test]
fn a_node_that_has_just_handed_over_leads_soon_after_the_new_leader_has_gone() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_secs(5));
    house.all(&PairEvent::TakeoverRequested { node: None });
    house.pass(Duration::from_millis(500));
    assert!(house.leads(1));
    house.holder = None;
    house.nodes[1] = new_node("b");
    house.on(0, PairEvent::Status { is_online: false });
    house.pass(AFTER_REPLACEMENT + Duration::from_millis(10));
    assert!(house.leads(0));
}

#[test]
fn a_last_will_that_arrives_late_does_not_end_the_new_leader() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_secs(5));
    house.all(&PairEvent::TakeoverRequested { node: None });
    house.all(&PairEvent::Status { is_online: false });
    house.pass(Duration::from_mins(1));
    assert!(house.leads(1));
    assert_eq!(house.takeovers, 2);
}

#[test]
fn a_leader_that_is_cut_before_it_sees_the_request_does_not_take_the_lead_back() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_secs(5));
    let mut node = std::mem::replace(&mut house.nodes[0], new_node("a"));
    node.on(PairEvent::Disconnected, house.now, DELAY);
    let request = PairEvent::TakeoverRequested { node: None };
    node.on(request, house.now, DELAY);
    let effects: Vec<_> = std::iter::from_fn(|| node.next_effect()).collect();
    assert_eq!(effects, [PairEffect::StepDown]);
}

#[test]
fn a_leader_that_was_gone_before_the_broker_restarted_is_replaced() {
    let mut house = House::new();
    house.nodes[1].on(PairEvent::ObserverUp, house.now, DELAY);
    let kept = kept_claim("a", 7);
    house.nodes[1].on(PairEvent::Status { is_online: true }, house.now, DELAY);
    house.nodes[1].on(kept, house.now, DELAY);
    house.on(
        1,
        PairEvent::ObserverSynced {
            has_other: false,
            is_uninformed: false,
        },
    );
    house.pass(Duration::from_secs(2));
    assert!(!house.leads(1), "the leader has time to answer");
    house.pass(Duration::from_secs(3));
    assert!(house.leads(1));
    assert_eq!(house.nodes[1].leader().unwrap().epoch, 8);
}

#[test]
fn a_leader_that_is_alive_answers_a_node_that_starts() {
    let mut house = House::new();
    house.on(0, PairEvent::ObserverUp);
    house.pass(Duration::from_secs(2));
    assert!(house.leads(0));
    let claim = house.nodes[0].leader().cloned().unwrap();
    house.nodes[1].on(PairEvent::ObserverUp, house.now, DELAY);
    house.nodes[1].on(PairEvent::Status { is_online: true }, house.now, DELAY);
    let kept = PairEvent::Claimed {
        claim,
        is_live: false,
    };
    house.on(1, kept);
    house.pass(Duration::from_mins(1));
    assert_eq!(house.takeovers, 1);
}

#[test]
fn a_leader_whose_connection_ends_waits_for_the_claim_of_the_other() {
    let mut house = House::new();
    house.on(0, PairEvent::ObserverUp);
    house.pass(Duration::from_secs(5));
    house.holder = None;
    house.on(0, PairEvent::Disconnected);
    house.pass(AFTER_CUT.saturating_sub(Duration::from_millis(50)));
    assert_eq!(house.takeovers, 1);
    house.pass(Duration::from_secs(1));
    assert!(house.leads(0), "nobody else has claimed");
}

#[test]
fn a_node_that_starts_waits_for_the_knowledge_of_the_other() {
    let mut node = new_node("a");
    let now = crate::clock::now();
    node.on(PairEvent::ObserverUp, now, DELAY);
    node.on(
        PairEvent::ObserverSynced {
            has_other: true,
            is_uninformed: true,
        },
        now,
        DELAY,
    );
    assert_eq!(node.stage(), PairStage::Standby);
    node.on(PairEvent::SnapshotReceived, now, DELAY);
    assert!(matches!(node.stage(), PairStage::Contending { .. }));
    let mut alone = new_node("b");
    alone.on(PairEvent::ObserverUp, now, DELAY);
    alone.on(
        PairEvent::ObserverSynced {
            has_other: true,
            is_uninformed: true,
        },
        now,
        DELAY,
    );
    alone.tick(now + CONFIRMATION, DELAY);
    assert!(
        matches!(alone.stage(), PairStage::Contending { .. }),
        "it does not answer"
    );
}

#[test]
fn a_node_that_lacks_knowledge_waits_for_one_that_starts_but_only_once() {
    let mut node = new_node("a");
    let now = crate::clock::now();
    node.on(PairEvent::ObserverUp, now, DELAY);
    let synced = PairEvent::ObserverSynced {
        has_other: false,
        is_uninformed: true,
    };
    node.on(synced, now, DELAY);
    assert!(matches!(node.stage(), PairStage::Contending { .. }));
    let query = PairEvent::Query {
        node: "b".to_owned(),
        is_uninformed: true,
    };
    node.on(query.clone(), now, DELAY);
    assert_eq!(node.stage(), PairStage::Standby);
    assert_eq!(node.due(), Some(now + CONFIRMATION));
    node.on(PairEvent::SnapshotReceived, now, DELAY);
    let PairStage::Contending { at } = node.stage() else {
        panic!("{:?}", node.stage());
    };
    let later = now + CONFIRMATION;
    node.on(query, later, DELAY);
    assert!(at > later || node.stage() == PairStage::Connecting);
}

#[test]
fn a_node_that_lacks_knowledge_asks_one_that_starts_and_they_do_not_go_on_asking() {
    let now = crate::clock::now();
    let mut nodes = ["a", "b"].map(new_node);
    let query = |from: &str| PairEvent::Query {
        node: from.to_owned(),
        is_uninformed: true,
    };
    let mut asked = [0, 0];
    nodes[1].on(query("a"), now, DELAY);
    for _ in 0..20 {
        for n in 0..2 {
            while let Some(effect) = nodes[n].next_effect() {
                if effect == PairEffect::Query {
                    asked[n] += 1;
                    nodes[1 - n].on(query(["a", "b"][n]), now, DELAY);
                }
            }
        }
    }
    assert_eq!(asked, [1, 1]);
}

#[test]
fn a_request_reaches_a_leader_that_does_not_know_yet_that_it_was_replaced() {
    let mut node = new_node("a");
    let now = crate::clock::now();
    node.on(PairEvent::TakeoverRequested { node: None }, now, DELAY);
    let connected = PairEvent::Connected {
        connection: 1,
        session_present: true,
    };
    node.on(connected, now, DELAY);
    node.on(PairEvent::BarrierPassed, now, DELAY);
    let claim = LeaderClaim {
        node: "b".to_owned(),
        epoch: 2,
        ..LeaderClaim::default()
    };
    node.on(
        PairEvent::Claimed {
            claim,
            is_live: true,
        },
        now,
        DELAY,
    );
    node.on(PairEvent::TakeoverRequested { node: None }, now, DELAY);
    node.on(PairEvent::Disconnected, now, DELAY);
    assert_eq!(node.stage(), PairStage::Connecting);
}

#[test]
fn connections_that_are_refused_are_tried_ever_less_often() {
    let mut node = new_node("a");
    let mut now = crate::clock::now();
    node.on(PairEvent::ObserverUp, now, DELAY);
    node.on(
        PairEvent::ObserverSynced {
            has_other: false,
            is_uninformed: false,
        },
        now,
        DELAY,
    );
    let end = now + Duration::from_mins(1);
    let mut attempts = 0;
    while now < end {
        now += Duration::from_millis(10);
        node.tick(now, DELAY);
        while let Some(effect) = node.next_effect() {
            if matches!(effect, PairEffect::Connect { .. }) {
                attempts += 1;
                node.on(PairEvent::Disconnected, now, DELAY);
            }
        }
    }
    assert!((8..=14).contains(&attempts), "{attempts}");
}

#[test]
fn a_barrier_that_never_comes_does_not_keep_the_house_deaf() {
    let mut node = new_node("a");
    let now = crate::clock::now();
    node.on(PairEvent::TakeoverRequested { node: None }, now, DELAY);
    let connected = PairEvent::Connected {
        connection: 1,
        session_present: true,
    };
    node.on(connected, now, DELAY);
    assert_eq!(node.due(), Some(now + BARRIER_TIMEOUT));
    node.tick(now + BARRIER_TIMEOUT, DELAY);
    assert!(matches!(node.stage(), PairStage::Leading));
}

#[test]
fn a_leader_whose_host_vanishes_is_replaced_and_does_not_take_the_lead_back() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_mins(1));
    for (round, leader) in [0, 1, 0].into_iter().enumerate() {
        house.freeze(leader);
        house.pass(INTERVAL * 3 / 2);
        assert!(house.leads(1 - leader), "round {round}");
        house.thaw();
        assert!(!house.leads(leader));
        house.pass(Duration::from_mins(1));
        assert_eq!(house.takeovers, round + 2);
    }
}

#[test]
fn an_idle_leader_gives_one_sign_in_an_interval_and_a_busy_one_none() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_secs(2));
    house.beats = 0;
    house.pass(INTERVAL * 20);
    assert!((19..=20).contains(&house.beats), "{}", house.beats);
    for _ in 0..20 {
        house.pass(INTERVAL / 2);
        for node in &mut house.nodes {
            node.note_sign(house.now);
        }
    }
    assert!(house.beats <= 20, "{}", house.beats);
    assert_eq!(house.takeovers, 1);
}

#[test]
fn a_standby_that_was_stopped_suspects_nobody() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_secs(10));
    house.freeze(1);
    house.pass(Duration::from_mins(1));
    house.frozen = None;
    // Its clock goes on first, and what waited in its socket follows.
    house.pass(Duration::from_millis(10));
    for event in std::mem::take(&mut house.late) {
        house.on(1, event);
    }
    house.pass(Duration::from_mins(1));
    assert_eq!(house.takeovers, 1);
}

#[test]
fn a_broker_that_passes_nothing_on_causes_no_takeover() {
    let mut house = House::new();
    house.all(&PairEvent::ObserverUp);
    house.pass(Duration::from_secs(10));
    house.is_stuck = true;
    house.pass(Duration::from_mins(2));
    house.is_stuck = false;
    house.pass(Duration::from_mins(2));
    assert_eq!(house.takeovers, 1);
}
