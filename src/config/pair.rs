//! The `[pair]` table.

use std::time::Duration;

use crate::config::table::Table;
use crate::config::values::is_plain_name;
use crate::mqtt;
use crate::pair::PairSettings;

/// The keep-alive of a pair, unless `mqtt.keep_alive` is set: a host that vanishes is replaced
/// after less than one and a half of it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The longest name of a node. It is a part of a client id, which some brokers limit.
const MAX_NODE: usize = 32;

/// Reads the table, and adapts the settings of the connection to a pair; `None` if it does not
/// exist.
pub(super) fn read(
    table: &Table<'_>,
    broker: &Table<'_>,
    mqtt: &mut mqtt::Settings,
) -> Option<PairSettings> {
    let node = table.text_as("node", node_name);
    if !table.exists() {
        return None;
    }
    if !table.has("node") {
        table.report("node", "missing: the name of this node, such as \"a\"");
    }
    if !broker.has("keep_alive") {
        mqtt.keep_alive = KEEP_ALIVE;
    }
    // The observer subscribes to all replies below each prefix.
    if let Some(prefix) = mqtt.reply_prefixes.iter().find(|one| !one.ends_with('/')) {
        broker.report(
            "reply_prefixes",
            format!("with `[pair]` each prefix ends with `/`: write \"{prefix}/\""),
        );
    }
    Some(PairSettings {
        node: node?,
        beat_interval: mqtt.keep_alive,
    })
}

fn node_name(text: &str) -> Result<String, &'static str> {
    if is_plain_name(text, MAX_NODE) {
        Ok(text.to_owned())
    } else {
        Err("a name of 1 to 32 letters, digits, `-`, `_` and `.`")
    }
}
