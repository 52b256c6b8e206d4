//! The MQTT client of the load generators and of the bare programs.

use std::time::Duration;

use rumqttc::NetworkOptions;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};

use crate::BenchError;

/// Packets that wait for the connection.
const QUEUE: usize = 4096;

/// The options that all clients have.
pub(crate) fn options(client_id: &str, port: u16) -> MqttOptions {
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true); // with Nagle's algorithm on, the algorithm is what is measured
    let mut options = MqttOptions::new(client_id, "127.0.0.1", port);
    options
        .set_keep_alive(Duration::from_secs(30))
        .set_max_packet_size(Some(4 << 20))
        .set_network_options(network);
    options
}

/// Connects a load generator, and returns when the broker has acknowledged its subscriptions.
pub(crate) async fn subscribed(
    port: u16,
    filters: &[String],
) -> Result<(AsyncClient, EventLoop), BenchError> {
    let (client, mut events) = AsyncClient::new(options("load", port), QUEUE);
    for filter in filters {
        client.try_subscribe(filter.as_str(), QoS::AtLeastOnce)?;
    }
    let mut acknowledged = 0;
    while acknowledged < filters.len() {
        if let Event::Incoming(Packet::SubAck(_)) = events.poll().await? {
            acknowledged += 1;
        }
    }
    Ok((client, events))
}
