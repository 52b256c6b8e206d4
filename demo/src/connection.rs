//! An MQTT line on loopback, for the house and for whoever speaks to it.

use std::time::Duration;

use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

use crate::Fault;

/// How long the broker has for a connection and the answers to subscriptions.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes a client; the connection opens with the first poll.
pub(crate) fn open(client_id: &str, port: u16) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true); // with Nagle's algorithm on, the milliseconds shown would be the algorithm's
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_max_packet_size(Some(4 << 20))
        .set_network_options(network);
    AsyncClient::new(options, 256)
}

/// Polls until the broker has acknowledged `count` subscriptions.
pub(crate) async fn subscribed(events: &mut EventLoop, count: usize) -> Result<(), Fault> {
    settled(events, count, 0).await
}

/// Polls until the broker has acknowledged so many subscriptions and messages.
pub(crate) async fn settled(
    events: &mut EventLoop,
    subscriptions: usize,
    messages: usize,
) -> Result<(), Fault> {
    let all = async {
        let (mut subscribed, mut published) = (0, 0);
        while subscribed < subscriptions || published < messages {
            match events.poll().await? {
                Event::Incoming(Packet::SubAck(_)) => subscribed += 1,
                Event::Incoming(Packet::PubAck(_)) => published += 1,
                _ => {}
            }
        }
        Ok::<(), Fault>(())
    };
    tokio::time::timeout(PATIENCE, all)
        .await
        .map_err(|_| "the broker did not acknowledge all that was said to it")?
}
