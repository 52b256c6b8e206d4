//! The simulated house: its devices subscribe to their command topics, carry out the commands and
//! publish their state, retained, as real devices do. It knows MQTT and nothing of sayso.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use serde_json::{Map, Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::{DemoError, announce, connection};

/// The time between two steps of a moving part, which takes ten steps from closed to open.
const STEP: Duration = Duration::from_millis(100);

/// The payload format of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    /// A JSON object of what to change.
    Zigbee,
    /// The command is the last level of the topic.
    Tasmota,
    /// The payloads of a Valetudo robot.
    Vacuum,
    /// A number: the position to move to.
    Position,
    /// Each property has a topic, the last level but one; the payload is the value.
    Topics,
}

/// One device of the house.
#[derive(Debug)]
pub(crate) struct Gadget {
    /// The topics of its commands.
    commands: Vec<String>,
    /// The topic of its state, which is retained.
    pub(crate) state_topic: String,
    /// The topic on which a Tasmota device also answers a command.
    result_topic: Option<String>,
    state: Json,
    /// The position it is moving to.
    target: Option<f64>,
    dialect: Dialect,
}

impl Gadget {
    fn zigbee(name: &str, state: Json) -> Self {
        let state_topic = format!("zigbee2mqtt/{name}");
        Self {
            commands: vec![format!("{state_topic}/set")],
            state_topic,
            result_topic: None,
            state,
            target: None,
            dialect: Dialect::Zigbee,
        }
    }

    fn tasmota(topic: &str, commands: &[&str], state: Json) -> Self {
        Self {
            commands: commands
                .iter()
                .map(|command| format!("cmnd/{topic}/{command}"))
                .collect(),
            state_topic: format!("tele/{topic}/STATE"),
            result_topic: Some(format!("stat/{topic}/RESULT")),
            state,
            target: None,
            dialect: Dialect::Tasmota,
        }
    }

    /// A device with one topic for each of these properties below its state topic.
    fn topics(state_topic: &str, properties: &[&str], state: Json) -> Self {
        let commands = properties
            .iter()
            .map(|property| format!("{state_topic}/{property}/set"))
            .collect();
        Self {
            commands,
            state_topic: state_topic.to_owned(),
            result_topic: None,
            state,
            target: None,
            dialect: Dialect::Topics,
        }
    }

    fn other(command: &str, state_topic: &str, state: Json, dialect: Dialect) -> Self {
        Self {
            commands: vec![command.to_owned()],
            state_topic: state_topic.to_owned(),
            result_topic: None,
            state,
            target: None,
            dialect,
        }
    }

    /// True of the topics of its commands.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.commands.iter().any(|command| command == topic)
    }

    /// Carries out a command.
    fn receive(&mut self, topic: &str, payload: &str) {
        match self.dialect {
            Dialect::Zigbee => self.receive_zigbee(payload),
            Dialect::Tasmota => {
                self.receive_tasmota(topic.rsplit('/').next().unwrap_or_default(), payload);
            }
            Dialect::Vacuum => {
                let status = match payload {
                    "START" => "cleaning",
                    "PAUSE" => "paused",
                    "STOP" => "idle",
                    "HOME" => "docked",
                    _ => return,
                };
                self.state = json!(status);
            }
            Dialect::Position => self.target = payload.parse().ok().or(self.target),
            Dialect::Topics => {
                let key = topic.rsplit('/').nth(1).unwrap_or_default();
                let value = if matches!(payload, "next" | "previous") {
                    "playing"
                } else {
                    payload
                };
                self.put(
                    key,
                    serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
                );
            }
        }
    }

    fn receive_zigbee(&mut self, payload: &str) {
        let changes: Map<String, Json> = serde_json::from_str(payload).unwrap_or_default();
        for (key, value) in changes {
            match (key.as_str(), value.as_str()) {
                ("state", Some("STOP")) => self.target = None,
                ("state", Some("OPEN")) => self.target = Some(100.0),
                ("state", Some("CLOSE")) => self.target = Some(0.0),
                ("state", Some("TOGGLE")) => self.put(
                    "state",
                    json!(if self.state["state"] == "ON" {
                        "OFF"
                    } else {
                        "ON"
                    }),
                ),
                ("position", _) => self.target = value.as_f64(),
                ("brightness", _) => {
                    self.put(
                        "state",
                        json!(if value.as_f64() > Some(0.0) {
                            "ON"
                        } else {
                            "OFF"
                        }),
                    );
                    self.put("brightness", value);
                }
                _ => self.put(&key, value),
            }
        }
    }

    fn receive_tasmota(&mut self, command: &str, payload: &str) {
        match command {
            "POWER" if payload == "TOGGLE" => self.put(
                "POWER",
                json!(if self.state["POWER"] == "ON" {
                    "OFF"
                } else {
                    "ON"
                }),
            ),
            "POWER" => self.put("POWER", json!(payload)),
            "Dimmer" => {
                self.put("POWER", json!(if payload == "0" { "OFF" } else { "ON" }));
                self.put("Dimmer", serde_json::from_str(payload).unwrap_or_default());
            }
            _ => {}
        }
    }

    fn put(&mut self, key: &str, value: Json) {
        if let Some(state) = self.state.as_object_mut() {
            state.insert(key.to_owned(), value);
        }
    }

    /// Moves one step towards the target; true if it moved.
    fn step(&mut self) -> bool {
        let Some(target) = self.target else {
            return false;
        };
        let whole = self.state.as_f64();
        let now = whole
            .or_else(|| self.state["position"].as_f64())
            .unwrap_or_default();
        let next = now + (target - now).clamp(-10.0, 10.0);
        if (next - target).abs() < 0.5 {
            self.target = None;
        }
        #[expect(clippy::cast_possible_truncation, reason = "from 0 to 100")]
        let position = json!(next.round() as i64);
        if whole.is_some() {
            self.state = position;
        } else {
            self.put("state", json!(if next > 0.0 { "OPEN" } else { "CLOSE" }));
            self.put("position", position);
        }
        true
    }

    fn payload(&self) -> String {
        self.state
            .as_str()
            .map_or_else(|| self.state.to_string(), str::to_owned)
    }
}

/// All devices in their initial state.
pub(crate) fn gadgets() -> Vec<Gadget> {
    let zigbee = Gadget::zigbee;
    let mut house: Vec<Gadget> = ["Living room light", "Bedroom light", "Hall light"]
        .iter()
        .map(|name| zigbee(name, json!({"state": "OFF", "brightness": 254})))
        .collect();
    house.extend([
        zigbee("Kitchen light", json!({"state": "OFF", "brightness": 254, "color_temp": 250})),
        zigbee("Sofa lamp", json!({"state": "OFF", "brightness": 254, "color": {"hex": "#ffffff"}})),
        zigbee("Living room blinds", json!({"state": "OPEN", "position": 100})),
        zigbee("Bedroom blinds", json!({"state": "OPEN", "position": 100})),
        zigbee("Front door", json!({"state": "LOCK"})),
        zigbee("Thermostat", json!({"occupied_heating_setpoint": 20, "system_mode": "heat", "local_temperature": 19.5})),
        zigbee("Bathroom fan", json!({"state": "OFF", "speed": 0})),
        Gadget::tasmota("coffee", &["POWER"], json!({"POWER": "OFF"})),
        Gadget::tasmota("garden", &["POWER", "Dimmer"], json!({"POWER": "OFF", "Dimmer": 100})),
        Gadget::topics("living/tv", &["power", "volume", "mute", "playback"], json!({"power": "off", "volume": 30, "mute": "off", "playback": "stopped"})),
        Gadget::other("valetudo/robot/operation/set", "valetudo/robot/status", json!("docked"), Dialect::Vacuum),
        Gadget::other("garage/door/set", "garage/door", json!(0), Dialect::Position),
        Gadget::topics("workshop/pump", &["power", "flow"], json!({"power": "off", "flow": 0})),
    ]);
    house
}

/// Connects the house. Returns when the broker has acknowledged its subscriptions and
/// announcements, so that no command is missed.
pub(crate) async fn start(port: u16, tasks: &mut JoinSet<()>) -> Result<(), DemoError> {
    let house = gadgets();
    let (client, mut events) = connection::open("demo-house", port);
    for topic in house.iter().flat_map(|gadget| &gadget.commands) {
        client.try_subscribe(topic.as_str(), QoS::AtLeastOnce)?;
    }
    for gadget in &house {
        client.try_publish(
            gadget.state_topic.as_str(),
            QoS::AtLeastOnce,
            true,
            gadget.payload(),
        )?;
    }
    let announced = announce::all();
    for (topic, payload) in &announced {
        client.try_publish(topic.as_str(), QoS::AtLeastOnce, true, payload.to_string())?;
    }
    let topics = house.iter().map(|gadget| gadget.commands.len()).sum();
    connection::wait_for_acknowledgements(&mut events, topics, house.len() + announced.len())
        .await?;
    tasks.spawn(run(house, client, events));
    Ok(())
}

async fn run(mut house: Vec<Gadget>, client: AsyncClient, mut events: EventLoop) {
    let mut clock = tokio::time::interval(STEP);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut changed = Vec::new();
        tokio::select! {
            event = events.poll() => match event {
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    let (topic, payload) = (String::from_utf8_lossy(&message.topic), String::from_utf8_lossy(&message.payload));
                    if let Some(gadget) = house.iter_mut().find(|gadget| gadget.is_subscribed_to(&topic)) {
                        gadget.receive(&topic, &payload);
                        changed.push(&*gadget);
                    }
                }
                Ok(_) => {}
                Err(_) => return, // the broker has stopped, and the demo with it
            },
            _ = clock.tick() => changed.extend(house.iter_mut().filter_map(|gadget| gadget.step().then_some(&*gadget))),
        }
        for gadget in changed {
            for (topic, retain) in gadget
                .result_topic
                .iter()
                .map(|topic| (topic, false))
                .chain([(&gadget.state_topic, true)])
            {
                // A full queue means that the connection is lost, which the next poll reports.
                let _ =
                    client.try_publish(topic.as_str(), QoS::AtLeastOnce, retain, gadget.payload());
            }
        }
    }
}
