//! Two nodes, one house: the second one takes over when the first dies, hangs or is asked to, and
//! no command is lost, done twice or answered twice. Real mosquitto, two real daemons.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{Broker, Tap};
use crate::daemon::{Daemon, Place};
use crate::endpoint::{Endpoint, Script};
use crate::listener::{Listener, Message};
use crate::scene::{PATIENCE, Scene};

const HOME: &str = r#"
[area.hall]
[device.counter]
kind = "counter"
[device.counter.property.level]
range = [0, 100000]
command_topic = "counter/set"

[device.lamp]
kind = "light"
area = "hall"
zigbee2mqtt = "Lamp"

[device.radio]
kind = "media_player"
area = "hall"
"#;

/// Two nodes with one broker, and a client that sees everything.
struct House {
    broker: Broker,
    places: [Place; 2],
    nodes: [Option<Daemon>; 2],
    listener: Listener,
    sent: u32,
}

const NAMES: [&str; 2] = ["a", "b"];
const LEADER: &str = "sayso/pair/leader";

impl House {
    async fn new() -> Self {
        Self::at(Broker::mosquitto().await).await
    }

    async fn at(broker: Broker) -> Self {
        Self::with(broker, |scene| scene).await
    }

    /// A house whose nodes have more in their configuration.
    async fn with(broker: Broker, more: impl Fn(Scene) -> Scene) -> Self {
        let ports = [broker.port(); 2];
        Self::through(broker, ports, more).await
    }

    /// A house whose nodes reach the broker at these ports.
    async fn through(broker: Broker, ports: [u16; 2], more: impl Fn(Scene) -> Scene) -> Self {
        let port = broker.port();
        let place = |n: usize| {
            let (node, port) = (NAMES[n], ports[n]);
            let pair = format!("[pair]\nnode = \"{node}\"\n");
            more(Scene::new().home(HOME).with(&pair)).place(port)
        };
        let mut listener = Listener::connect(port);
        listener.subscribe("#").await;
        Self {
            places: [0, 1].map(place),
            nodes: [None, None],
            listener,
            broker,
            sent: 0,
        }
    }

    /// Node `a` leads, and node `b` stands by.
    async fn running() -> Self {
        let mut house = Self::new().await;
        house.run().await;
        house
    }

    /// Starts both nodes; node `a` leads.
    async fn run(&mut self) {
        self.start(0);
        self.node(0)
            .says("leading, serving commands", PATIENCE)
            .await;
        let claims = self.listener.count(LEADER).await;
        self.start(1);
        self.seen(1).await;
        // Node `b` has asked whether the leader is alive, and has its answer.
        let answered = async {
            while self.listener.count(LEADER).await == claims {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let is_answered = timeout(PATIENCE, answered).await.is_ok();
        assert!(is_answered, "{}", self.log());
    }

    fn start(&mut self, node: usize) {
        self.nodes[node] = Some(Daemon::start(&self.places[node]));
    }

    /// Waits until a node has reported.
    async fn seen(&self, node: usize) {
        let topic = format!("sayso/pair/node/{}", NAMES[node]);
        let is_online = |m: &Message| m.json()["online"] == true;
        assert!(
            self.listener.comes_to(&topic, is_online, PATIENCE).await,
            "{}",
            self.log()
        );
    }

    fn node(&self, node: usize) -> &Daemon {
        self.nodes[node].as_ref().unwrap()
    }

    fn log(&self) -> String {
        let logs = self.nodes.iter().flatten().map(Daemon::log);
        logs.collect::<Vec<_>>().join("\n----\n")
    }

    /// Waits until this node leads.
    async fn led_by(&self, node: usize) {
        let is_it = |m: &Message| m.json()["node"] == NAMES[node];
        let claimed = self.listener.comes_to(LEADER, is_it, PATIENCE);
        assert!(claimed.await, "not led by {}\n{}", NAMES[node], self.log());
    }

    /// The number of claims up to now.
    async fn claims(&mut self) -> usize {
        let heard = self.listener.heard().await;
        let claims = heard.iter().filter(|m| m.topic == LEADER);
        let mut epochs: Vec<u64> = claims.filter_map(|m| m.json()["epoch"].as_u64()).collect();
        epochs.dedup();
        epochs.len()
    }

    /// Sends a command without an id, and returns the topic on which its reply is expected.
    async fn send(&mut self, text: &str) -> String {
        self.sent += 1;
        let source = format!("s{}", self.sent);
        let payload = json!({"text": text, "ttl": "60s"}).to_string();
        let topic = format!("sayso/command/{source}");
        self.listener.publish(&topic, payload).await;
        format!("sayso/reply/{source}")
    }

    async fn reply(&self, topic: &str) -> Value {
        let is_it = |m: &Message| m.topic == topic;
        match self.listener.wait_for(is_it, PATIENCE).await {
            Some(reply) => reply.json(),
            None => panic!("no reply on {topic}\n{}", self.log()),
        }
    }

    /// Returns how many of the commands were answered as uncertain, or as superseded; all others
    /// were done. A node that was killed runs what it had not finished alone when it leads again,
    /// so that a newer command for the device may pass it.
    async fn uncertain(&self, topics: &[String]) -> u32 {
        let mut uncertain = 0;
        for topic in topics {
            let reply = self.reply(topic).await;
            match reply["outcome"].as_str() {
                Some("done") => {}
                Some("failed") if reply["why"] == "uncertain" => uncertain += 1,
                Some("refused") if reply["why"] == "superseded" => uncertain += 1,
                _ => panic!("{reply}\n{}", self.log()),
            }
        }
        uncertain
    }

    /// Replies and messages to the counter, by their values, once nothing more comes.
    async fn outcome(&mut self) -> (HashMap<String, usize>, Vec<u32>) {
        let heard = self.listener.heard().await;
        let mut replies = HashMap::new();
        let mut levels = Vec::new();
        for message in &heard {
            let is_reply = message.topic.starts_with("sayso/reply/");
            if is_reply && !message.topic.ends_with("/event") {
                *replies.entry(message.topic.clone()).or_default() += 1;
            }
            if message.topic == "counter/set" {
                levels.push(message.text().parse().unwrap());
            }
        }
        (replies, levels)
    }
}

/// Sends commands and disturbs the pair meanwhile; then each was done once, in order, and answered
/// once.
async fn holds(house: &mut House, commands: u32, disturb: impl AsyncFn(&mut House, u32)) {
    let mut topics = Vec::new();
    for n in 1..=commands {
        disturb(house, n).await;
        topics.push(house.send(&format!("set the counter level to {n}")).await);
        sleep(Duration::from_millis(3)).await;
    }
    let uncertain = house.uncertain(&topics).await;
    let (replies, levels) = house.outcome().await;
    assert_eq!(replies.len(), topics.len());
    assert!(replies.values().all(|times| *times == 1), "{replies:?}");
    // An absolute value may be published again by the new leader, as long as it is the newest.
    let mut once = levels.clone();
    once.dedup();
    assert!(once.is_sorted(), "{levels:?}\n{}", house.log());
    let known = u32::try_from(once.len()).expect("few") + uncertain;
    assert!(known >= commands, "{levels:?}");
    println!(
        "{commands} commands, {} levels, {uncertain} uncertain",
        levels.len()
    );
}

#[tokio::test]
async fn of_two_nodes_that_start_at_once_one_leads_and_serves() {
    let mut house = House::new().await;
    house.start(0);
    house.start(1);
    house.seen(0).await;
    house.seen(1).await;
    // Before the first leader has subscribed, the broker keeps no command.
    let is_claim = |m: &Message| m.json()["epoch"].is_u64();
    let claimed = house.listener.comes_to(LEADER, is_claim, PATIENCE);
    assert!(claimed.await, "{}", house.log());
    let topic = house.send("turn on the lamp").await;
    assert_eq!(house.reply(&topic).await["outcome"], "done");
    let claims = house.claims().await;
    assert!((1..=2).contains(&claims), "{claims}");
    // Nothing swings back and forth.
    sleep(Duration::from_secs(3)).await;
    assert_eq!(house.claims().await, claims, "{}", house.log());
}

#[tokio::test]
async fn a_leader_that_is_killed_under_commands_loses_and_doubles_none() {
    let mut house = House::running().await;
    holds(&mut house, 200, async |house, n| {
        if n == 60 || n == 130 {
            let leader = usize::from(n == 130);
            house.node(leader).signal("KILL");
            house.nodes[leader] = None;
            house.led_by(1 - leader).await;
            house.start(leader);
            house.seen(leader).await;
        }
    })
    .await;
}

/// Otherwise a leader that dies with a backlog leaves many commands of which nobody knows whether
/// they were done.
#[tokio::test]
async fn a_backlog_is_begun_a_few_commands_at_a_time() {
    const COMMANDS: usize = 48;
    let mut house = House::running().await;
    house.node(0).signal("STOP");
    let mut topics = Vec::new();
    for n in 0..COMMANDS {
        let text = ["next track on the radio", "turn on the lamp"][n % 2];
        topics.push(house.send(text).await);
    }
    house.node(0).signal("CONT");
    for topic in &topics {
        assert_eq!(house.reply(topic).await["outcome"], "done");
    }
    let heard = house.listener.heard().await;
    let (mut begun, mut most, mut marks) = (0_usize, 0, 0);
    for message in &heard {
        if message.topic == "sayso/pair/mark" && message.json()["begun"].is_object() {
            (begun, marks) = (begun + 1, marks + 1);
        } else if topics.contains(&message.topic) {
            begun -= 1;
        }
        most = most.max(begun);
    }
    assert_eq!((marks, begun), (COMMANDS, 0));
    assert!((2..=8).contains(&most), "{most}");
    println!("{COMMANDS} commands, {most} begun at once");
}

/// What a standby has learned survives its own end: it leads before the other node, which is gone
/// as well, could tell it anything.
#[tokio::test]
async fn a_standby_that_was_killed_knows_all_that_was_done_before() {
    const COMMANDS: usize = 300;
    let mut house = House::running().await;
    // Sends all commands, and waits for their replies.
    let all = async |house: &mut House| {
        for n in 0..COMMANDS {
            let payload = json!({"text": "next track on the radio", "id": format!("c{n}")});
            let topic = format!("sayso/command/s{}", n % 7);
            house.listener.publish(&topic, payload.to_string()).await;
        }
        for n in 0..COMMANDS {
            let id = format!("c{n}");
            let topic = format!("sayso/reply/s{}", n % 7);
            let is_it = |m: &Message| m.topic == topic && m.json()["id"] == *id;
            let reply = house.listener.wait_for(is_it, PATIENCE).await;
            let reply = reply.unwrap_or_else(|| panic!("{id}\n{}", house.log()));
            assert_eq!(reply.json()["outcome"], "done", "{}", house.log());
        }
    };
    all(&mut house).await;
    house.node(1).signal("KILL");
    house.start(1);
    house.node(0).signal("KILL");
    house.nodes[0] = None;
    house.led_by(1).await;
    all(&mut house).await;
    let heard = house.listener.heard().await;
    let skipped = heard.iter().filter(|m| m.topic == "sayso/action/radio");
    assert_eq!(skipped.count(), COMMANDS, "{}", house.log());
}

#[tokio::test]
async fn the_next_command_is_served_soon_after_the_leader_was_killed() {
    let mut house = House::running().await;
    house.node(0).signal("KILL");
    let begun = Instant::now();
    let topic = house.send("turn on the lamp").await;
    assert_eq!(house.reply(&topic).await["outcome"], "done");
    println!("served {:?} after the leader was killed", begun.elapsed());
    house.led_by(1).await;
}

#[tokio::test]
async fn a_takeover_by_hand_does_not_swing_back_and_loses_nothing() {
    let mut house = House::running().await;
    holds(&mut house, 150, async |house, n| {
        if n == 50 || n == 100 {
            let place = &house.places[0];
            let mut command = place.sayso();
            command.arg("takeover").arg("--config").arg(place.config());
            let begun = Instant::now();
            let output = tokio::task::spawn_blocking(move || command.output().unwrap());
            let output = output.await.unwrap();
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let expected = if n == 50 {
                "node b leads"
            } else {
                "node a leads"
            };
            assert!(
                printed.contains(expected),
                "{printed}{output:?}\n{}",
                house.log()
            );
            println!(
                "taken over within {:?}: {}",
                begun.elapsed(),
                printed.trim()
            );
        }
    })
    .await;
    let claims = house.claims().await;
    assert_eq!(claims, 3, "{}", house.log());
    sleep(Duration::from_secs(10)).await;
    assert_eq!(house.claims().await, claims, "{}", house.log());
}

#[tokio::test]
async fn a_leader_that_was_stopped_and_continues_does_not_act() {
    let mut house = House::running().await;
    let first = house.send("set the counter level to 1").await;
    assert_eq!(house.reply(&first).await["outcome"], "done");
    house.node(0).signal("STOP");
    // The frozen leader holds it, until the broker finds that it is silent.
    let second = house.send("set the counter level to 2").await;
    house.led_by(1).await;
    assert_eq!(house.reply(&second).await["outcome"], "done");
    let third = house.send("set the counter level to 3").await;
    assert_eq!(house.reply(&third).await["outcome"], "done");
    house.node(0).signal("CONT");
    house.node(0).says("not leading any more", PATIENCE).await;
    let fourth = house.send("set the counter level to 4").await;
    assert_eq!(house.reply(&fourth).await["outcome"], "done");
    let (replies, levels) = house.outcome().await;
    assert!(replies.values().all(|times| *times == 1), "{replies:?}");
    assert_eq!(levels, [1, 2, 3, 4], "{}", house.log());
    house.led_by(1).await;
}

/// The connections of the leader look alive to the broker for ever.
#[tokio::test]
async fn a_leader_whose_network_is_gone_is_replaced_without_the_broker_noticing() {
    let broker = Broker::mosquitto().await;
    let tap = Tap::to(broker.port()).await;
    let ports = [tap.port(), broker.port()];
    let mut house = House::through(broker, ports, |scene| scene).await;
    house.run().await;
    let first = house.send("set the counter level to 1").await;
    assert_eq!(house.reply(&first).await["outcome"], "done");
    tap.abandon();
    let begun = Instant::now();
    let second = house.send("set the counter level to 2").await;
    assert_eq!(house.reply(&second).await["outcome"], "done");
    println!("served {:?} after the network was gone", begun.elapsed());
    let is_it = |m: &Message| m.json()["node"] == "b" && m.json()["after_silence"] == true;
    let claimed = house.listener.comes_to(LEADER, is_it, PATIENCE);
    assert!(claimed.await, "{}", house.log());
    tap.cut();
    tap.mend();
    house.node(0).says("not leading any more", PATIENCE).await;
    let third = house.send("set the counter level to 3").await;
    assert_eq!(house.reply(&third).await["outcome"], "done");
    let (replies, levels) = house.outcome().await;
    assert!(replies.values().all(|times| *times == 1), "{replies:?}");
    assert_eq!(levels, [1, 2, 3], "{}", house.log());
    assert_eq!(house.claims().await, 2, "{}", house.log());
}

#[tokio::test]
async fn a_leader_that_stops_in_order_hands_over() {
    let mut house = House::running().await;
    house.node(0).signal("TERM");
    assert!(
        house.nodes[0]
            .as_mut()
            .unwrap()
            .ended(PATIENCE)
            .await
            .success()
    );
    house.led_by(1).await;
    let topic = house.send("turn on the lamp").await;
    assert_eq!(house.reply(&topic).await["outcome"], "done");
}

#[tokio::test]
async fn a_leader_that_stops_leaves_what_waits_for_a_model_to_the_other() {
    let scripts = [Script::hang_before_headers(), Script::turns_on("lamp")];
    let endpoint = Endpoint::start(scripts).await;
    let broker = Broker::mosquitto().await;
    let mut house = House::with(broker, |scene| scene.endpoint(&endpoint)).await;
    house.run().await;
    let topic = house.send("it is too dark in here for reading").await;
    let end = Instant::now() + PATIENCE;
    while endpoint.requests() == 0 {
        assert!(Instant::now() < end, "{}", house.log());
        sleep(Duration::from_millis(5)).await;
    }
    house.node(0).signal("TERM");
    house.led_by(1).await;
    let reply = house.reply(&topic).await;
    assert_eq!(reply["outcome"], "done", "{reply}\n{}", house.log());
    let (replies, _) = house.outcome().await;
    assert!(replies.values().all(|times| *times == 1), "{replies:?}");
}

#[tokio::test]
async fn a_pair_survives_a_restart_of_the_broker() {
    let mut house = House::running().await;
    let first = house.send("set the counter level to 1").await;
    assert_eq!(house.reply(&first).await["outcome"], "done");
    house.broker.restart().await;
    // The listener connects again by itself.
    let is_online = |m: &Message| m.text() == "online";
    let end = Instant::now() + PATIENCE;
    loop {
        let payload = json!({"text": "set the counter level to 2", "id": "after"}).to_string();
        house
            .listener
            .publish_surely("sayso/command/after", &payload)
            .await;
        let is_it = |m: &Message| m.topic == "sayso/reply/after";
        if house
            .listener
            .wait_for(is_it, Duration::from_secs(3))
            .await
            .is_some()
        {
            break;
        }
        assert!(Instant::now() < end, "{}", house.log());
    }
    assert!(
        house
            .listener
            .comes_to("sayso/status", is_online, PATIENCE)
            .await
    );
}

#[tokio::test]
async fn timers_of_a_dead_leader_are_fired_by_the_other() {
    let mut house = House::running().await;
    let topic = house.send("turn on the lamp in 4 seconds").await;
    let reply = house.reply(&topic).await;
    assert_eq!(reply["outcome"], "done", "{reply}");
    house.node(0).signal("KILL");
    house.led_by(1).await;
    let is_on = |m: &Message| m.topic == "zigbee2mqtt/Lamp/set";
    let fired = house.listener.wait_for(is_on, PATIENCE).await;
    assert!(fired.is_some(), "{}", house.log());
}

#[tokio::test]
async fn a_client_that_repeats_its_command_after_a_takeover_gets_the_same_reply() {
    let mut house = House::running().await;
    let payload = json!({"text": "set the counter level to 7", "id": "seven"}).to_string();
    house
        .listener
        .publish("sayso/command/x", payload.clone())
        .await;
    let first = house.reply("sayso/reply/x").await;
    house.node(0).signal("KILL");
    house.led_by(1).await;
    house.listener.publish("sayso/command/x", payload).await;
    let again = house.reply("sayso/reply/x").await;
    assert_eq!(
        (&again["id"], &again["speech"]),
        (&first["id"], &first["speech"])
    );
    let (_, levels) = house.outcome().await;
    assert_eq!(levels, [7], "{}", house.log());
}

#[tokio::test]
async fn both_nodes_killed_at_once_repeat_nothing_that_does_harm() {
    let mut house = House::running().await;
    let mut topics = Vec::new();
    for _ in 0..2 {
        for _ in 0..20 {
            topics.push(house.send("next track on the radio").await);
        }
        // In the middle of them.
        let middle = &topics[topics.len() - 15];
        let is_answered = house.listener.comes_to(middle, |_| true, PATIENCE).await;
        assert!(is_answered, "{}", house.log());
        for node in 0..2 {
            house.node(node).signal("KILL");
            house.nodes[node] = None;
        }
        house.start(1);
        house.start(0);
    }
    let uncertain = house.uncertain(&topics).await;
    let uncertain = usize::try_from(uncertain).expect("few");
    let (replies, _) = house.outcome().await;
    let heard = house.listener.heard().await;
    let skipped = heard.iter().filter(|m| m.topic == "sayso/action/radio");
    let skipped = skipped.count();
    assert!(skipped <= topics.len(), "{skipped}\n{}", house.log());
    assert!(
        skipped + uncertain >= topics.len(),
        "{skipped}, {uncertain}"
    );
    assert_eq!(replies.len(), topics.len());
    println!(
        "{} commands, {skipped} done, {uncertain} uncertain",
        topics.len()
    );
}

/// The broker of the crate `mqtt5`: another program than mosquitto, with the same promises.
#[tokio::test]
async fn a_pair_works_with_another_broker() {
    let mut house = House::at(Broker::embedded().await).await;
    house.start(0);
    house
        .node(0)
        .says("leading, serving commands", PATIENCE)
        .await;
    house.start(1);
    house.seen(1).await;
    holds(&mut house, 60, async |house, n| {
        if n == 20 {
            house.node(0).signal("KILL");
            house.nodes[0] = None;
            house.led_by(1).await;
            house.start(0);
            house.seen(0).await;
        }
        if n == 40 {
            house.listener.publish("sayso/pair/takeover", "a").await;
            house.led_by(0).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_yes_after_a_takeover_confirms_nothing() {
    let mut house = House::new().await;
    for place in &house.places {
        let home = HOME.to_owned() + "[device.door]\nkind = \"lock\"\narea = \"hall\"\n";
        std::fs::write(place.path().join("home.toml"), home).unwrap();
    }
    house.start(0);
    house
        .node(0)
        .says("leading, serving commands", PATIENCE)
        .await;
    house.start(1);
    house.seen(1).await;
    let ask = async |house: &mut House, text: &str, n: u32| {
        let payload = json!({"text": text, "id": n.to_string()}).to_string();
        house.listener.publish("sayso/command/panel", payload).await;
        let id = n.to_string();
        let is_it = |m: &Message| m.topic == "sayso/reply/panel" && m.json()["id"] == *id;
        let reply = house.listener.wait_for(is_it, PATIENCE).await;
        reply.unwrap_or_else(|| panic!("{}", house.log())).json()
    };
    let question = ask(&mut house, "unlock the door", 1).await;
    assert_eq!(question["outcome"], "unclear", "{question}");
    house.node(0).signal("KILL");
    house.led_by(1).await;
    let reply = ask(&mut house, "yes", 2).await;
    assert_ne!(reply["outcome"], "done", "{reply}");
    let heard = house.listener.heard().await;
    assert!(
        heard.iter().all(|m| m.topic != "sayso/action/door"),
        "{}",
        house.log()
    );
}

#[tokio::test]
async fn equal_nodes_with_announced_devices_do_not_report_a_difference() {
    let mut house = House::new().await;
    let light = json!({"name": "Desk lamp", "cmd_t": "desk/set"}).to_string();
    house
        .listener
        .publish_retained("homeassistant/light/desk/config", light)
        .await;
    house.run().await;
    house.node(1).says("devices found", PATIENCE).await;
    let has_home =
        |m: &Message| m.topic == "sayso/pair/node/b" && m.json()["sections"]["home"].is_string();
    assert!(house.listener.wait_for(has_home, PATIENCE).await.is_some());
    for node in [0, 1] {
        let log = house.node(node).log();
        assert!(!log.contains("of the other node differs"), "{log}");
    }
}

#[tokio::test]
async fn two_nodes_of_one_name_are_reported() {
    let mut house = House::new().await;
    let config = std::fs::read_to_string(house.places[0].config()).unwrap();
    let own = std::fs::read_to_string(house.places[1].config()).unwrap();
    assert!(config.contains("node = \"a\""));
    std::fs::write(
        house.places[1].config(),
        own.replace("node = \"b\"", "node = \"a\""),
    )
    .unwrap();
    house.start(0);
    house
        .node(0)
        .says("leading, serving commands", PATIENCE)
        .await;
    house.start(1);
    house
        .node(0)
        .says("another node has the name of this one", PATIENCE)
        .await;
}

/// The three rules for a command that the broker sends again after a takeover. A client takes the
/// place of the earlier leader: it holds the shared id, receives commands, and publishes as much
/// about them as the case needs.
mod sent_again {
    use super::*;
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
    use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
    use sayso::testing::pair::CommandIdentity;

    struct EarlierLeader {
        client: AsyncClient,
        events: EventLoop,
    }

    impl EarlierLeader {
        async fn connect(port: u16) -> Self {
            let mut options = MqttOptions::new("sayso", "127.0.0.1", port);
            options
                .set_clean_start(false)
                .set_session_expiry_interval(Some(60))
                .set_manual_acks(true);
            let (client, events) = AsyncClient::new(options, 64);
            let mut leader = Self { client, events };
            leader
                .client
                .subscribe("sayso/command/+", QoS::AtLeastOnce)
                .await
                .unwrap();
            leader
                .until(|packet| matches!(packet, Packet::SubAck(_)).then_some(()))
                .await;
            leader
        }

        async fn until<T>(&mut self, found: impl Fn(&Packet) -> Option<T>) -> T {
            loop {
                if let Event::Incoming(packet) = self.events.poll().await.unwrap()
                    && let Some(found) = found(&packet)
                {
                    return found;
                }
            }
        }

        /// Receives a command and returns its identity; it is not acknowledged.
        async fn receive(&mut self) -> (CommandIdentity, Publish) {
            let publish = self
                .until(|packet| match packet {
                    Packet::Publish(publish) => Some(publish.clone()),
                    _ => None,
                })
                .await;
            let topic = String::from_utf8_lossy(&publish.topic).into_owned();
            let identity = CommandIdentity::numbered(&topic, publish.pkid, &publish.payload);
            (identity, publish)
        }

        async fn publish(&mut self, topic: &str, payload: String, identity: Option<String>) {
            let properties = PublishProperties {
                user_properties: identity
                    .map(|id| ("sayso-command".to_owned(), id))
                    .into_iter()
                    .collect(),
                ..PublishProperties::default()
            };
            self.client
                .publish_with_properties(topic, QoS::AtLeastOnce, false, payload, properties)
                .await
                .unwrap();
            self.until(|packet| matches!(packet, Packet::PubAck(_)).then_some(()))
                .await;
        }

        async fn mark(&mut self, identity: CommandIdentity, device: &str, planned: Value) {
            let mark =
                json!({"begun": {"command": identity, "devices": [device], "plan": [planned]}});
            self.publish("sayso/pair/mark", mark.to_string(), None)
                .await;
        }
    }

    fn planned(level: u32, repeatable: bool) -> Value {
        json!({
            "action": {"device": "counter", "property": "level", "op": "set", "value": level},
            "topic": "counter/set", "payload": level.to_string(), "repeatable": repeatable,
        })
    }

    /// Node `b` has seen everything that the earlier leader published, and takes over.
    async fn scene() -> (House, EarlierLeader) {
        let mut house = House::new().await;
        let mut leader = EarlierLeader::connect(house.broker.port()).await;
        let claim = json!({"node": "a", "epoch": 1, "since": 0}).to_string();
        house
            .listener
            .publish_retained("sayso/status", "online")
            .await;
        house.listener.publish_retained(LEADER, claim.clone()).await;
        house.start(1);
        house.seen(1).await;
        // A sign of life, so that node `b` stands by.
        leader.publish(LEADER, claim, None).await;
        (house, leader)
    }

    async fn take_over(house: &mut House) {
        house.listener.publish("sayso/pair/takeover", "b").await;
        house.led_by(1).await;
        house
            .node(1)
            .says("leading, serving commands", PATIENCE)
            .await;
    }

    #[tokio::test]
    async fn an_answered_command_is_acknowledged_and_not_done_again() {
        let (mut house, mut leader) = scene().await;
        let topic = house.send("set the counter level to 1").await;
        let (identity, _) = leader.receive().await;
        leader.mark(identity, "counter", planned(1, true)).await;
        leader.publish("counter/set", "1".to_owned(), None).await;
        leader
            .publish(
                &topic,
                json!({"outcome": "done"}).to_string(),
                Some(identity.to_string()),
            )
            .await;
        take_over(&mut house).await;
        let next = house.send("set the counter level to 2").await;
        assert_eq!(house.reply(&next).await["outcome"], "done");
        let (replies, levels) = house.outcome().await;
        assert_eq!(levels, [1, 2], "{}", house.log());
        assert!(replies.values().all(|times| *times == 1), "{replies:?}");
    }

    #[tokio::test]
    async fn an_absolute_command_that_was_begun_is_done_again() {
        let (mut house, mut leader) = scene().await;
        let topic = house.send("set the counter level to 1").await;
        let (identity, _) = leader.receive().await;
        leader.mark(identity, "counter", planned(1, true)).await;
        take_over(&mut house).await;
        assert_eq!(house.reply(&topic).await["outcome"], "done");
        let (_, levels) = house.outcome().await;
        assert_eq!(levels, [1], "{}", house.log());
    }

    #[tokio::test]
    async fn a_command_that_must_not_be_repeated_is_uncertain() {
        let (mut house, mut leader) = scene().await;
        let topic = house.send("set the counter level to 1").await;
        let (identity, _) = leader.receive().await;
        leader.mark(identity, "counter", planned(1, false)).await;
        take_over(&mut house).await;
        let reply = house.reply(&topic).await;
        assert_eq!(
            (&reply["outcome"], &reply["why"]),
            (&json!("failed"), &json!("uncertain"))
        );
        let (_, levels) = house.outcome().await;
        assert!(levels.is_empty(), "{levels:?}");
    }

    #[tokio::test]
    async fn an_older_command_does_not_undo_a_newer_one() {
        let (mut house, mut leader) = scene().await;
        let older = house.send("set the counter level to 1").await;
        let (first, _) = leader.receive().await;
        let newer = house.send("set the counter level to 2").await;
        let (second, _) = leader.receive().await;
        leader.mark(first, "counter", planned(1, true)).await;
        leader.mark(second, "counter", planned(2, true)).await;
        leader.publish("counter/set", "2".to_owned(), None).await;
        leader
            .publish(
                &newer,
                json!({"outcome": "done"}).to_string(),
                Some(second.to_string()),
            )
            .await;
        take_over(&mut house).await;
        assert_eq!(house.reply(&older).await["why"], "uncertain");
        let (replies, levels) = house.outcome().await;
        assert_eq!(levels, [2], "{}", house.log());
        assert!(replies.values().all(|times| *times == 1), "{replies:?}");
    }

    /// Both nodes were gone, and the marks went with the memory of the one that led. The other one
    /// starts alone.
    #[tokio::test]
    async fn a_node_that_cannot_know_the_marks_repeats_nothing_that_does_harm() {
        let mut house = House::new().await;
        let mut leader = EarlierLeader::connect(house.broker.port()).await;
        let relative = house.send("next track on the radio").await;
        let absolute = house.send("set the counter level to 1").await;
        leader.receive().await;
        leader.receive().await;
        let claim = json!({"node": "a", "epoch": 1, "since": 0}).to_string();
        house.listener.publish_retained(LEADER, claim).await;
        drop(leader);
        house.start(1);
        assert_eq!(house.reply(&absolute).await["outcome"], "done");
        let reply = house.reply(&relative).await;
        assert_eq!(reply["why"], "uncertain", "{reply}\n{}", house.log());
        let fresh = house.send("next track on the radio").await;
        assert_eq!(house.reply(&fresh).await["outcome"], "done");
        let heard = house.listener.heard().await;
        let skipped = heard.iter().filter(|m| m.topic == "sayso/action/radio");
        assert_eq!(skipped.count(), 1, "{}", house.log());
    }

    #[tokio::test]
    async fn a_client_that_repeats_a_begun_command_does_not_start_it_again() {
        let (mut house, mut leader) = scene().await;
        let payload = json!({"text": "next track on the radio", "id": "once"}).to_string();
        let topic = "sayso/command/panel";
        let identity = CommandIdentity::named(topic, b"once", payload.as_bytes());
        let planned = json!({
            "action": {"device": "radio", "property": "track", "op": "set", "value": "next"},
            "topic": "sayso/action/radio", "payload": "{}", "repeatable": false,
        });
        leader.mark(identity, "radio", planned).await;
        take_over(&mut house).await;
        house.listener.publish(topic, payload).await;
        let reply = house.reply("sayso/reply/panel").await;
        assert_eq!(reply["why"], "uncertain", "{reply}");
        let heard = house.listener.heard().await;
        assert!(heard.iter().all(|m| m.topic != "sayso/action/radio"));
    }

    #[tokio::test]
    async fn a_command_that_was_not_begun_is_done() {
        let (mut house, mut leader) = scene().await;
        let topic = house.send("set the counter level to 1").await;
        leader.receive().await;
        take_over(&mut house).await;
        assert_eq!(house.reply(&topic).await["outcome"], "done");
        let (replies, levels) = house.outcome().await;
        assert_eq!(levels, [1], "{}", house.log());
        assert!(replies.values().all(|times| *times == 1), "{replies:?}");
    }
}
