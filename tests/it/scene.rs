//! A whole scene: a real broker, the real program, scripted providers, and somebody who speaks.
//! Reads as given, when, then.

use std::time::Duration;

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::daemon::{Daemon, Place};
use crate::endpoint::Endpoint;
use crate::listener::{Listener, Message};

/// Longer than anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The home most scenes play in.
pub(crate) const HOME: &str = r#"
[area.kitchen]
[area.bedroom]
floor = "upstairs"

[device.kitchen_light]
kind = "light"
area = "kitchen"
zigbee2mqtt = "Kitchen light"

[device.bedroom_blind]
kind = "cover"
class = "blind"
area = "bedroom"
zigbee2mqtt = "Bedroom blind"

[device.front_door]
kind = "lock"
zigbee2mqtt = "Front door"

[device.radio]
kind = "media_player"
area = "kitchen"

[device.pump]
kind = "pump"
[device.pump.property.flow]
range = [0, 40]
unit = "l/min"
"#;

/// What is on stage before the daemon starts.
#[must_use]
pub(crate) struct Scene {
    home: String,
    more: String,
    providers: String,
    key: Option<&'static str>,
    store: bool,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            home: HOME.to_owned(),
            more: String::new(),
            providers: String::new(),
            key: None,
            store: true,
        }
    }

    /// Lines of `sayso.toml`, besides broker, store and providers.
    pub(crate) fn with(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self.more.push('\n');
        self
    }

    /// One more provider, after those already there.
    pub(crate) fn endpoint(mut self, endpoint: &Endpoint) -> Self {
        let n = self.providers.matches("[[provider]]").count() + 1;
        let url = endpoint.url();
        let entry = [
            ("name", format!("model{n}")),
            ("api", "openai".into()),
            ("base_url", url),
            ("model", "scripted".into()),
            ("key_file", "key".into()),
        ];
        self.providers.push_str(
            "
[[provider]]
",
        );
        self.providers.extend(entry.map(|(key, value)| {
            format!(
                "{key} = \"{value}\"
"
            )
        }));
        // The scripted answers have nothing to do with the phrases.
        self.providers.push_str("trusted = true\nsmall = false\n");
        self.key = Some("sk-test-0123456789");
        self
    }

    /// One more provider, as it stands in the config; its `key_file` may be `key`.
    pub(crate) fn provider(mut self, table: &str) -> Self {
        self.providers.push_str(table);
        self.key = Some("sk-test-0123456789");
        self
    }

    /// Another home.
    pub(crate) fn home(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.home);
        self
    }

    /// Nothing is kept on disk.
    pub(crate) fn without_store(mut self) -> Self {
        self.store = false;
        self
    }

    pub(crate) fn place(&self, port: u16) -> Place {
        let store = if self.store {
            "[store]\npath = \"store\"\n"
        } else {
            ""
        };
        let config = format!(
            "[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\nreply_prefixes = [\"clients/\"]\n{store}{}{}",
            self.more, self.providers
        );
        let place = Place::new(&config, &self.home);
        if let Some(key) = self.key {
            std::fs::write(place.path().join("key"), key).unwrap();
        }
        place
    }

    /// Raises the curtain with real mosquitto.
    pub(crate) async fn start(self) -> Stage {
        self.start_with(Broker::mosquitto().await).await
    }

    pub(crate) async fn start_with(self, broker: Broker) -> Stage {
        let place = self.place(broker.port());
        let mut listener = Listener::connect(broker.port());
        listener.subscribe("#").await;
        let daemon = Daemon::start(&place);
        daemon.says("connected to the broker", PATIENCE).await;
        Stage {
            daemon,
            listener,
            place,
            _broker: broker,
            said: 0,
        }
    }
}

/// A running scene.
pub(crate) struct Stage {
    pub(crate) daemon: Daemon,
    pub(crate) listener: Listener,
    pub(crate) place: Place,
    /// Kept for as long as the scene plays.
    _broker: Broker,
    said: u32,
}

impl Stage {
    /// Says a sentence, and gives the reply to it.
    pub(crate) async fn say(&mut self, text: &str) -> Value {
        let id = self.send(text).await;
        self.reply_to(&id).await
    }

    /// Says a sentence without waiting; gives the command's id.
    pub(crate) async fn send(&mut self, text: &str) -> String {
        self.said += 1;
        let id = format!("said-{}", self.said);
        self.listener
            .publish(
                "sayso/command/test",
                json!({"text": text, "id": id}).to_string(),
            )
            .await;
        id
    }

    /// The reply to the command with this id.
    pub(crate) async fn reply_to(&mut self, id: &str) -> Value {
        let is_it = |m: &Message| {
            m.topic.starts_with("sayso/reply/")
                && !m.topic.ends_with("/stream")
                && !m.topic.ends_with("/event")
                && m.json()["id"] == *id
        };
        match self.listener.wait_for(is_it, PATIENCE).await {
            Some(message) => message.json(),
            None => unreachable!("no reply to {id}\n{}", self.daemon.log()),
        }
    }

    /// What devices were told up to now, as (topic, payload), in order.
    pub(crate) async fn actions(&mut self) -> Vec<(String, String)> {
        let heard = self.listener.heard().await;
        let to_devices = heard
            .into_iter()
            .filter(|m| m.topic.ends_with("/set") || m.topic.starts_with("sayso/action/"));
        to_devices.map(|m| (m.topic.clone(), m.text())).collect()
    }
}
