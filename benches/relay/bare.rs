//! The bare relay: publishes for each command the two messages sayso would publish, and does
//! nothing else.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event};

use crate::client::options;
use crate::{BenchError, RELAY};

/// The argument that makes this program the relay.
pub(crate) const ROLE: &str = "bare-relay";

/// Relays until the process is killed.
pub(crate) fn run(port: &str) -> Result<(), BenchError> {
    let port = port.parse()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(relay(port))
}

async fn relay(port: u16) -> Result<(), BenchError> {
    let (client, mut events) = AsyncClient::new(options("bare-relay", port), 1024);
    client.try_subscribe(format!("{}/command/+", RELAY.prefix), QoS::AtLeastOnce)?;
    loop {
        let Event::Incoming(Packet::Publish(command)) = events.poll().await? else {
            continue;
        };
        let text = std::str::from_utf8(&command.payload)?;
        let Some((on, name)) = text
            .strip_prefix("turn ")
            .and_then(|rest| rest.split_once(" the "))
        else {
            continue;
        };
        client.try_publish(
            format!("{}/{name}/set", RELAY.base),
            QoS::AtLeastOnce,
            false,
            format!(r#"{{"state":"{}"}}"#, on.to_uppercase()),
        )?;
        let reply = format!(
            r#"{{"id":"0123456789abcdef","text":"{text}","outcome":"done","actions":[{{"device":"{}","property":"power","op":"set","value":"{on}"}}],"speech":"Turned {on} the {name}.","via":"local","ms":0.123}}"#,
            name.replace(' ', "_")
        );
        client.try_publish(
            format!("{}/reply/load", RELAY.prefix),
            QoS::AtLeastOnce,
            false,
            reply,
        )?;
    }
}
