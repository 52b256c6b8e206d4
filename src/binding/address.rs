//! Comparison of command topics by their meaning in their ecosystem.
//!
//! `zigbee2mqtt/Front door/set`, `zigbee2mqtt/Front door/set/state` and `zigbee2mqtt/Front
//! door/left/set` all command one device; so do all topics below `cmnd/plug`. The permission gate
//! compares [`Address`]es instead of topics, so that a device cannot be commanded under another
//! name. Where two topics may mean the same, they are taken to.

/// The recipient of messages on a command topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// The topic itself, where it follows no known scheme.
    Topic(String),
    /// A device or group of `Zigbee2MQTT`, or of any other software with topics of the form
    /// `<name>/set`.
    Entity(String),
    /// A Tasmota device, by its topic without prefix and command.
    Tasmota(String),
}

/// The set of devices that a message may move beyond those bound to its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// None.
    Bound,
    /// Any device or group whose entity address starts with this base: the message names it by a
    /// number that only the bridge can resolve.
    Base(String),
    /// Any Tasmota device: the message goes to a group topic.
    Tasmota,
    /// Any device of the home: the message commands the bridge itself, or makes a device send
    /// messages.
    Everything,
}

/// Names of endpoints that `Zigbee2MQTT` accepts between the name of a device and `set`.
/// Source: `utils.getEndpointNames` of zigbee-herdsman-converters, November 2026.
const ENDPOINTS: [&str; 22] = [
    "left",
    "right",
    "center",
    "top",
    "bottom",
    "default",
    "white",
    "rgb",
    "cct",
    "system",
    "relay",
    "main",
    "up",
    "down",
    "middle",
    "top_left",
    "top_right",
    "bottom_left",
    "bottom_right",
    "center_left",
    "center_right",
    "ep",
];

/// Tasmota's group topics by default: of this release and of older ones.
const TASMOTA_GROUPS: [&str; 2] = ["tasmotas", "sonoffs"];

/// Tasmota commands that make a device send messages to others, or change the topics it answers to.
/// Source: Tasmota's command list, November 2026.
const TASMOTA_SENDERS: [&str; 13] = [
    "publish",
    "websend",
    "webquery",
    "websensor",
    "rule",
    "event",
    "script",
    "br ",
    "devgroup",
    "grouptopic",
    "topic",
    "fulltopic",
    "prefix",
];

/// Returns the addresses that a message on `topic` commands; several where the topic can be read in
/// several ways.
pub fn addresses(topic: &str) -> Vec<Address> {
    let topic = topic.to_lowercase();
    let levels: Vec<&str> = topic.split('/').collect();
    if let Some(name) = tasmota_name(&levels) {
        return vec![Address::Tasmota(name)];
    }
    let Some(entity) = entity_levels(&levels) else {
        return vec![Address::Topic(topic)];
    };
    let mut addresses = vec![Address::Entity(entity.join("/"))];
    if let [device @ .., endpoint] = entity
        && device.len() > 1
        && is_endpoint(endpoint)
    {
        addresses.push(Address::Entity(device.join("/")));
    }
    addresses
}

/// Returns every address that receives a message on `topic`. A Tasmota device subscribes to all
/// levels below its own, and takes the last one as the command: `cmnd/plug/any/POWER` is for
/// `plug`.
pub fn recipients(topic: &str) -> Vec<Address> {
    let mut all = addresses(topic);
    if let Some(Address::Tasmota(name)) = all.first() {
        let name = name.clone();
        let ends = name.match_indices('/').map(|(end, _)| end);
        all.extend(ends.map(|end| Address::Tasmota(name[..end].to_owned())));
    }
    all
}

/// Returns which other devices a message may move.
pub fn reach(topic: &str, payload: &str) -> Reach {
    let topic = topic.to_lowercase();
    let levels: Vec<&str> = topic.split('/').collect();
    if commands_a_bridge(&levels) {
        return Reach::Everything;
    }
    if let Some(name) = tasmota_name(&levels) {
        let command = levels.last().copied().unwrap_or_default();
        if tasmota_sends(command, payload) || name.is_empty() {
            return Reach::Everything;
        }
        let is_group = name
            .split('/')
            .any(|level| TASMOTA_GROUPS.contains(&level) || level.ends_with("_fb"));
        return if is_group {
            Reach::Tasmota
        } else {
            Reach::Bound
        };
    }
    // An endpoint may be a number as well, so the level before it is looked at first: the shorter
    // base reaches further.
    match entity_levels(&levels) {
        Some([base @ .., name, endpoint])
            if is_endpoint(endpoint) && is_number_of_a_bridge(name) =>
        {
            Reach::Base(base.join("/"))
        }
        Some([base @ .., name]) if is_number_of_a_bridge(name) => Reach::Base(base.join("/")),
        _ => Reach::Bound,
    }
}

/// Returns whether a message on `topic` moves only those that receive it, with any payload. The
/// payload matters for Tasmota devices only.
pub fn reaches_recipients_only(topic: &str) -> bool {
    let is_tasmota = matches!(addresses(topic)[..], [Address::Tasmota(_), ..]);
    !is_tasmota && reach(topic, "") == Reach::Bound
}

/// Returns the base of an entity address, all levels but the last, or `None` for other addresses.
pub fn base(address: &Address) -> Option<&str> {
    match address {
        Address::Entity(name) => Some(name.rsplit_once('/').map_or("", |(base, _)| base)),
        Address::Topic(_) | Address::Tasmota(_) => None,
    }
}

/// Returns the levels before `set` or `get`, where the topic has the form `<name>/set` or
/// `<name>/set/<key>`.
fn entity_levels<'a, 'b>(levels: &'a [&'b str]) -> Option<&'a [&'b str]> {
    let at = levels
        .iter()
        .skip(1)
        .position(|level| matches!(*level, "set" | "get"))?;
    Some(&levels[..=at])
}

/// Returns the name of a Tasmota device: the topic without the prefix `cmnd` and the command at the
/// end. Returns `None` if the topic has no level `cmnd`.
fn tasmota_name(levels: &[&str]) -> Option<String> {
    let prefix = levels.iter().position(|level| *level == "cmnd")?;
    let end = levels.len() - usize::from(prefix + 1 < levels.len());
    let name: Vec<&str> = levels[..end]
        .iter()
        .copied()
        .filter(|level| *level != "cmnd" && !level.is_empty())
        .collect();
    Some(name.join("/"))
}

fn tasmota_sends(command: &str, payload: &str) -> bool {
    let is_sender = |command: &str| {
        // The space ends the name of a command without arguments as well.
        let command = format!("{} ", command.trim().to_lowercase());
        TASMOTA_SENDERS
            .iter()
            .any(|sender| command.starts_with(sender))
    };
    if !command.starts_with("backlog") {
        return is_sender(command);
    }
    // A backlog is a list of commands with their arguments.
    payload.split(';').any(is_sender)
}

fn commands_a_bridge(levels: &[&str]) -> bool {
    let is_api = |pair: &[&str]| {
        matches!(
            pair,
            ["bridge", "request" | "config" | "group" | "device"] | ["_clients", _]
        )
    };
    levels.windows(2).any(is_api) || levels.first().is_some_and(|first| first.starts_with('$'))
}

fn is_endpoint(level: &str) -> bool {
    let number = level
        .strip_prefix('l')
        .or_else(|| level.strip_prefix("ep"))
        .unwrap_or(level);
    ENDPOINTS.contains(&level)
        || (!number.is_empty() && number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Returns whether the text is an IEEE address or the number of a group, which a bridge accepts in
/// place of a name.
fn is_number_of_a_bridge(name: &str) -> bool {
    let ieee = name
        .strip_prefix("0x")
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    ieee || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meet(a: &str, b: &str) -> bool {
        let b = addresses(b);
        addresses(a).iter().any(|address| b.contains(address))
    }

    #[test]
    fn topics_of_one_device_meet_and_those_of_others_do_not() {
        for (a, b) in [
            (
                "zigbee2mqtt/Front door/set",
                "zigbee2mqtt/Front door/set/state",
            ),
            (
                "zigbee2mqtt/Front door/set",
                "zigbee2mqtt/Front door/left/set",
            ),
            (
                "zigbee2mqtt/Front door/set",
                "zigbee2mqtt/front door/l1/set/state",
            ),
            (
                "zigbee2mqtt/hall/Front door/set",
                "zigbee2mqtt/hall/Front door/set",
            ),
            ("cmnd/plug/POWER", "cmnd/plug/Backlog"),
            ("cmnd/plug/POWER", "cmnd/plug/Power2"),
            ("plug/cmnd/POWER", "plug/cmnd/BACKLOG0"),
        ] {
            assert!(meet(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("zigbee2mqtt/Front door/set", "zigbee2mqtt/Back door/set"),
            ("zigbee2mqtt/Front door/set", "other/Front door/set"),
            ("cmnd/plug/POWER", "cmnd/plug2/POWER"),
            ("esp/relay/command", "esp/relay2/command"),
        ] {
            assert!(!meet(a, b), "{a} {b}");
        }
    }

    #[test]
    fn a_tasmota_device_receives_everything_below_its_topic() {
        for (topic, name) in [
            ("cmnd/gate/Backlog/cmnd/POWER", "cmnd/gate/ShutterOpen1"),
            ("cmnd/gate/anything/else/POWER", "cmnd/gate/POWER"),
            ("gate/cmnd/anything/POWER", "gate/cmnd/POWER"),
        ] {
            let device = &addresses(name)[0];
            assert!(recipients(topic).contains(device), "{topic} {name}");
        }
        let neighbour = &addresses("cmnd/home/den/POWER")[0];
        assert!(!recipients("cmnd/home/hall/POWER").contains(neighbour));
    }

    #[test]
    fn messages_that_can_move_others_are_recognized() {
        for (topic, payload, expected) in [
            ("zigbee2mqtt/Lamp/set", "{}", Reach::Bound),
            (
                "zigbee2mqtt/0x05/set",
                "{}",
                Reach::Base("zigbee2mqtt".into()),
            ),
            (
                "zigbee2mqtt/7/set/state",
                "ON",
                Reach::Base("zigbee2mqtt".into()),
            ),
            (
                "zigbee2mqtt/0x05/1/set/state",
                "ON",
                Reach::Base("zigbee2mqtt".into()),
            ),
            (
                "zigbee2mqtt/7/left/set",
                "{}",
                Reach::Base("zigbee2mqtt".into()),
            ),
            (
                "zigbee2mqtt/bridge/request/group/add",
                "x",
                Reach::Everything,
            ),
            (
                "zwave/_CLIENTS/ZWAVE_GATEWAY/api/x/set",
                "",
                Reach::Everything,
            ),
            ("$SYS/broker", "", Reach::Everything),
            ("cmnd/tasmotas/POWER", "ON", Reach::Tasmota),
            ("cmnd/DVES_1A2B3C_fb/POWER", "ON", Reach::Tasmota),
            ("cmnd/lamp/POWER", "ON", Reach::Bound),
            (
                "cmnd/lamp/Backlog",
                "Power on; Delay 5; Power off",
                Reach::Bound,
            ),
            (
                "cmnd/lamp/Backlog",
                "Power on; Publish cmnd/door/POWER ON",
                Reach::Everything,
            ),
            (
                "cmnd/lamp/Publish2",
                "cmnd/door/POWER ON",
                Reach::Everything,
            ),
            ("cmnd/POWER", "ON", Reach::Everything),
        ] {
            assert_eq!(reach(topic, payload), expected, "{topic} {payload}");
            let is_bound = expected == Reach::Bound;
            assert!(is_bound || !reaches_recipients_only(topic), "{topic}");
        }
        assert!(reaches_recipients_only("zigbee2mqtt/Lamp/set"));
    }
}
