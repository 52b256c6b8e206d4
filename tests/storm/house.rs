//! The devices: they carry out messages, publish their state, and record every message.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};

use crate::ledger::{Heard, Ledger, OtherAction};
use crate::{confirmer, repeater, timekeeper};

/// The home file.
pub(crate) const HOME: &str = r#"
[device.alpha]
kind = "counter"
[device.alpha.property.level]
range = [0, 10000000]
[device.beta]
kind = "counter"
[device.beta.property.level]
range = [0, 10000000]
[device.gamma]
kind = "counter"
[device.gamma.property.level]
range = [0, 10000000]
[device.dial]
kind = "counter"
[device.dial.property.level]
range = [0, 10000000]
[device.red_lamp]
kind = "light"
can = ["power"]
[device.blue_lamp]
kind = "light"
can = ["power"]
[device.radio]
kind = "media_player"
[device.bell]
kind = "button"
[device.green_lamp]
kind = "light"
can = ["power"]
[device.front_door]
kind = "lock"
[device.delta]
kind = "counter"
[device.delta.property.level]
range = [0, 10000000]
[device.buzzer]
kind = "button"
"#;

/// A client's options: it keeps its session, so that messages published while the broker restarts
/// are received after it.
pub(crate) fn options(client_id: &str, port: u16) -> MqttOptions {
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_clean_start(false)
        .set_session_expiry_interval(Some(600));
    options
        .set_max_packet_size(Some(4 << 20))
        .set_outgoing_inflight_upper_limit(200)
        .set_network_options(network);
    options
}

/// Lives until it is dropped.
pub(crate) async fn live(port: u16, ledger: Arc<Mutex<Ledger>>) {
    let (client, mut events) = AsyncClient::new(options("house", port), 4096);
    let mut states: BTreeMap<String, Json> = BTreeMap::new();
    for device in ["red_lamp", "blue_lamp"] {
        states.insert(device.to_owned(), json!({"power": "off"}));
    }
    states.insert("dial".to_owned(), json!({"level": 1}));
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(answer))) => {
                if !answer.session_present {
                    let _ = client.try_subscribe("sayso/action/+", QoS::AtLeastOnce);
                }
                states
                    .iter()
                    .for_each(|(device, state)| tell(&client, device, state));
            }
            Ok(Event::Incoming(Packet::Publish(action))) => {
                hear(&client, &action, &mut states, &ledger)
            }
            Ok(_) => {}
            Err(_) => sleep(Duration::from_millis(30)).await,
        }
    }
}

/// Returns whether the device is not commanded by numbered commands.
fn is_other(device: &str) -> bool {
    [repeater::DEVICE, confirmer::DEVICE].contains(&device) || timekeeper::DEVICES.contains(&device)
}

fn tell(client: &AsyncClient, device: &str, state: &Json) {
    let _ = client.try_publish(
        format!("sayso/state/{device}"),
        QoS::AtLeastOnce,
        true,
        state.to_string(),
    );
}

fn hear(
    client: &AsyncClient,
    message: &Publish,
    states: &mut BTreeMap<String, Json>,
    ledger: &Mutex<Ledger>,
) {
    let topic = String::from_utf8_lossy(&message.topic);
    let Some(device) = topic.strip_prefix("sayso/action/") else {
        return;
    };
    let action: Json = serde_json::from_slice(&message.payload).unwrap_or_default();
    let (op, property) = (
        action["op"].as_str().unwrap_or_default(),
        action["property"].as_str().unwrap_or_default(),
    );
    let value = &action["value"];
    if is_other(device) {
        let other = OtherAction {
            device: device.to_owned(),
            command: action["command"].as_str().unwrap_or_default().to_owned(),
            value: format!("{op} {value}"),
            at: Instant::now(),
        };
        let mut ledger = ledger.lock().unwrap();
        let is_same = |known: &OtherAction| {
            (&known.device, &known.command, &known.value)
                == (&other.device, &other.command, &other.value)
        };
        // A redelivery of the broker because our own connection broke is no message of the program,
        // unless the first one never came.
        if !message.dup || !ledger.others.iter().any(is_same) {
            ledger.others.push(other);
        }
        return;
    }
    // A level is the command's own number; everything else carries the command's name.
    let by_level = (property == "level" && device != "dial")
        .then(|| value.as_f64())
        .flatten()
        .map(|level| format!("c{level}"));
    let name =
        by_level.unwrap_or_else(|| action["command"].as_str().unwrap_or_default().to_owned());
    let Some(n) = name.strip_prefix('c').and_then(|n| n.parse::<usize>().ok()) else {
        return;
    };
    let heard = Heard {
        n,
        value: format!("{op} {value}"),
        at: Instant::now(),
    };
    {
        let mut ledger = ledger.lock().unwrap();
        let all = ledger.heard.entry(device.to_owned()).or_default();
        // A redelivery of the broker because our own connection broke: not a message of sayso.
        if message.dup
            && all
                .iter()
                .any(|before| before.n == n && before.value == heard.value)
        {
            return;
        }
        all.push(heard);
    }
    if let Some(state) = states.get_mut(device) {
        match op {
            "set" => state[property] = value.clone(),
            "toggle" => {
                state[property] = if state[property] == "on" {
                    "off".into()
                } else {
                    "on".into()
                }
            }
            "increase" => {
                state[property] = (state[property].as_f64().unwrap_or_default()
                    + value.as_f64().unwrap_or_default())
                .into()
            }
            _ => {}
        }
        tell(client, device, state);
    }
}
