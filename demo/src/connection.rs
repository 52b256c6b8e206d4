//! MQTT connections on loopback, for the house and for the client.

use std::time::Duration;

use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

use crate::DemoError;

/// The longest wait for the connection and all acknowledgements.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Makes a client; the connection opens with the first poll.
pub(crate) fn open(client_id: &str, port: u16) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
    let mut network = NetworkOptions::new();
    // With Nagle's algorithm the milliseconds printed would be the algorithm's.
    network.set_tcp_nodelay(true);
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_max_packet_size(Some(4 << 20))
        .set_network_options(network);
    AsyncClient::new(options, 256)
}

/// Polls until the broker has acknowledged this many subscriptions and messages.
pub(crate) async fn wait_for_acknowledgements(
    events: &mut EventLoop,
    subscriptions: usize,
    messages: usize,
) -> Result<(), DemoError> {
    let all = async {
        let mut subscribed = 0;
        let mut published = 0;
        while subscribed < subscriptions || published < messages {
            match events.poll().await? {
                Event::Incoming(Packet::SubAck(_)) => subscribed += 1,
                Event::Incoming(Packet::PubAck(_)) => published += 1,
                _ => {}
            }
        }
        Ok::<(), DemoError>(())
    };
    tokio::time::timeout(TIMEOUT, all)
        .await
        .map_err(|_| "the broker did not acknowledge every subscription and message")?
}
