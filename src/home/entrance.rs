//! Rules that decide which covers, switches and buttons let somebody in: by their device class, or
//! by their name where no class states it.
//!
//! The words are not those of `config/language`: an operator who edits a language must not lower a
//! risk by it.

/// Device classes by kind. Source: "Device class" of each entity in the documentation of Home
/// Assistant, November 2026; `garage_door` of a cover, `screen` and `projector` are words of the
/// shipped languages. Kinds that are not listed, such as sensors, take any class.
const CLASSES: [(&str, &[&str]); 7] = [
    (
        "cover",
        &[
            "awning",
            "blind",
            "curtain",
            "damper",
            "door",
            "garage",
            "garage_door",
            "gate",
            "screen",
            "shade",
            "shutter",
            "window",
        ],
    ),
    (
        "binary_sensor",
        &[
            "battery",
            "battery_charging",
            "carbon_monoxide",
            "cold",
            "connectivity",
            "door",
            "garage_door",
            "gas",
            "heat",
            "light",
            "lock",
            "moisture",
            "motion",
            "moving",
            "occupancy",
            "opening",
            "plug",
            "power",
            "presence",
            "problem",
            "running",
            "safety",
            "smoke",
            "sound",
            "tamper",
            "update",
            "vibration",
            "window",
        ],
    ),
    ("button", &["identify", "restart", "update"]),
    ("humidifier", &["dehumidifier", "humidifier"]),
    ("media_player", &["projector", "receiver", "speaker", "tv"]),
    ("switch", &["outlet", "switch"]),
    ("valve", &["gas", "water"]),
];

/// Classes that let somebody in.
const ENTRANCES: [&str; 4] = ["door", "garage", "garage_door", "gate"];

/// Words for a garage or a gate in five languages, in lower case without accents other than the
/// German ones.
const GATES: [&str; 26] = [
    "barrera",
    "barrier",
    "barriere",
    "barriers",
    "cancela",
    "cochera",
    "cocheras",
    "gate",
    "gates",
    "hek",
    "hekken",
    "hekwerk",
    "poort",
    "poorten",
    "portail",
    "portails",
    "portillon",
    "porton",
    "portones",
    "schranke",
    "slagboom",
    "tor",
    "torantrieb",
    "tore",
    "toröffner",
    "verja",
];

/// Words for a door.
const DOORS: [&str; 17] = [
    "deur",
    "deuren",
    "door",
    "doors",
    "porte",
    "portes",
    "puerta",
    "puertas",
    "tuer",
    "tuere",
    "tueren",
    "tur",
    "türen",
    "tür",
    "türe",
    "türöffner",
    "tueroeffner",
];

/// Parts of words for blinds: a shutter in front of a door is not the door.
const BLINDS: [&str; 29] = [
    "awning",
    "blind",
    "curtain",
    "drape",
    "screen",
    "shade",
    "shutter",
    "beschattung",
    "gardine",
    "jalousie",
    "lamelle",
    "markise",
    "plissee",
    "raffstore",
    "rolladen",
    "rollladen",
    "rollo",
    "vorhang",
    "rideau",
    "store",
    "volet",
    "cortina",
    "estor",
    "persiana",
    "toldo",
    "gordijn",
    "jaloezie",
    "rolluik",
    "zonwering",
];

/// Words for a lock. The Dutch "slot" counts only in a compound: in English it is a place.
const LOCKS: [&str; 12] = [
    "cerradura",
    "cerrojo",
    "deadbolt",
    "gache",
    "lock",
    "locks",
    "schloss",
    "schloß",
    "serrure",
    "serrures",
    "verrou",
    "verriegelung",
];

/// Words for things at a door or in a garage that are no entrance: the light, the bell, the fan.
const FIXTURE_WORDS: &[&str] = &[
    "bel", "bell", "bells", "child", "fan", "fans", "foco", "focos", "kids", "led", "leds",
    "luces", "luz", "plug", "plugs", "spot", "spots", "vent", "vents",
];

/// Beginnings and ends of such words.
const FIXTURE_PARTS: &[&str] = &[
    "alert",
    "ambient",
    "aspirat",
    "batter",
    "beleuchtung",
    "bombilla",
    "calefac",
    "camara",
    "camera",
    "charger",
    "chauff",
    "chime",
    "climat",
    "congel",
    "dehumid",
    "detect",
    "deurbel",
    "doorbell",
    "eclairage",
    "enchufe",
    "freezer",
    "fridge",
    "frigo",
    "gefrier",
    "heating",
    "heizer",
    "heizung",
    "kamera",
    "keypad",
    "kinder",
    "klingel",
    "kühl",
    "kühlschrank",
    "ladegerat",
    "lader",
    "ladung",
    "lamp",
    "lampe",
    "lampen",
    "lamps",
    "leuchte",
    "leuchten",
    "licht",
    "lichten",
    "lichter",
    "light",
    "lights",
    "lumiere",
    "lumieres",
    "lumin",
    "lüfter",
    "lüftung",
    "melder",
    "motion",
    "music",
    "notif",
    "outlet",
    "outlets",
    "pomp",
    "prise",
    "pump",
    "pumpe",
    "radio",
    "sensor",
    "siren",
    "socket",
    "sonnette",
    "sprink",
    "steckdose",
    "stopcontact",
    "strip",
    "timbre",
    "touch",
    "vacuum",
    "ventil",
    "verlichting",
    "verwarming",
    "wallbox",
    "watering",
    "zirkulation",
];

/// Words beside a word for a garage that say nothing else about the device: `Garage opener`.
const DRIVES: [&str; 30] = [
    "auf",
    "button",
    "close",
    "contact",
    "control",
    "dicht",
    "drive",
    "impuls",
    "impulse",
    "knop",
    "left",
    "links",
    "motor",
    "offnen",
    "open",
    "opener",
    "ouverture",
    "ouvrir",
    "abrir",
    "pulse",
    "rechts",
    "relais",
    "relay",
    "remote",
    "right",
    "schalter",
    "switch",
    "taster",
    "toggle",
    "trigger",
];

/// Returns the classes of a kind; `None` where any word is one.
pub fn classes(kind: &str) -> Option<&'static [&'static str]> {
    let mut listed = CLASSES.iter();
    listed.find(|(of, _)| *of == kind).map(|(_, words)| *words)
}

/// Returns a class as it is compared: `Garage Door` → `garage_door`.
pub fn normalized_class(class: &str) -> String {
    class.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Returns whether a cover of this class lets somebody in. A class that is not known is taken for
/// an entrance.
pub(super) fn is_entrance_class(class: &str) -> bool {
    let is_known = classes("cover").is_some_and(|known| known.contains(&class));
    ENTRANCES.contains(&class) || !is_known
}

/// Returns whether a name says that the device is a garage door, a gate or a door: `Hoftor`,
/// `Front gate`, `porte de garage`.
pub(super) fn names_an_entrance(name: &str) -> bool {
    let folded = fold(name);
    let words: Vec<&str> = folded
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    if words.iter().any(|word| is_gate(word)) {
        return true;
    }
    let is_blind = |word: &&str| BLINDS.iter().any(|blind| word.contains(blind));
    words.iter().any(|word| is_door(word)) && !words.iter().any(is_blind)
}

/// The part of a device called like an entrance that a switch or button moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedEntrance {
    /// A door, a gate or a garage: on opens it.
    Door,
    /// A lock: whether on locks or unlocks it, the name does not say.
    Lock,
}

/// Returns the entrance that a switch or button of this name moves, unless the name is that of
/// something at a door or in a garage: `Garage light`, `Türklingel`. A garage alone counts only
/// where nothing but the drive is named: "Garage freezer" is no door.
pub(super) fn entrance_switch(name: &str) -> Option<NamedEntrance> {
    let folded = fold(name);
    let words: Vec<&str> = folded
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let is_fixture = |word: &&str| {
        let mut parts = FIXTURE_PARTS.iter().copied();
        FIXTURE_WORDS.contains(word)
            || parts.any(|part| word.starts_with(part) || word.ends_with(part))
            || BLINDS.iter().any(|blind| word.contains(blind))
    };
    if words.iter().any(is_fixture) {
        return None;
    }
    if words.iter().any(|word| is_lock(word)) {
        return Some(NamedEntrance::Lock);
    }
    let is_garage = |word: &&str| is_garage(word);
    let is_entrance = |word: &&str| is_door(word) || (is_gate(word) && !is_garage(word));
    let says_no_more = |word: &&str| {
        is_garage(word) || DRIVES.contains(word) || word.chars().all(|c| c.is_ascii_digit())
    };
    let is_bare_garage = words.iter().any(is_garage) && words.iter().all(says_no_more);
    (words.iter().any(is_entrance) || is_bare_garage).then_some(NamedEntrance::Door)
}

fn is_lock(word: &str) -> bool {
    let ends = ["lock", "schloss", "schloß", "deurslot", "poortslot"];
    let other = ["block", "clock", "flock"];
    LOCKS.contains(&word)
        || (ends.iter().any(|end| word.ends_with(end))
            && !other.iter().any(|other| word.ends_with(other)))
}

/// Returns whether the word is the garage itself, or a drive of its door. A compound such as
/// `Garagentor` is not meant, because it is a gate by its end.
fn is_garage(word: &str) -> bool {
    let ends_as_gate = ["tor", "tür", "door", "deur", "poort", "öffner", "opener"]
        .iter()
        .any(|end| word.ends_with(end));
    (word.starts_with("garag") || word.starts_with("garaj") || word.starts_with("cochera"))
        && !ends_as_gate
}

fn is_gate(word: &str) -> bool {
    GATES.contains(&word)
        || word.starts_with("garag")
        || word.starts_with("garaj")
        || ["gate", "poort", "hek"]
            .iter()
            .any(|end| word.ends_with(end))
        || is_german_gate(word)
}

/// Returns whether the word is a compound with `Tor`, and not one such as `Motor` or `Ventilator`.
fn is_german_gate(word: &str) -> bool {
    let Some(before) = word.strip_suffix("tor") else {
        return false;
    };
    let is_other = ["estor", "castor", "pastor"].contains(&word);
    !is_other && !before.ends_with(['a', 'c', 'i', 'k', 'o', 'p', 'u'])
}

fn is_door(word: &str) -> bool {
    let is_compound = ["deur", "door", "tuer", "tür", "türe", "türen"]
        .iter()
        .any(|end| word.ends_with(end));
    DOORS.contains(&word) || (is_compound && !["indoor", "outdoor"].contains(&word))
}

/// Returns the text in lower case without accents. The German `ü` stays: without it `Tür` would be
/// the end of `Temperatur`.
fn fold(text: &str) -> String {
    let composed = text
        .to_lowercase()
        .replace("u\u{308}", "ü")
        .replace("o\u{308}", "ö");
    let letters = composed.chars().filter_map(|c| match c {
        '\u{300}'..='\u{36f}' => None,
        'à' | 'á' | 'â' | 'ä' => Some('a'),
        'è' | 'é' | 'ê' | 'ë' => Some('e'),
        'í' | 'î' | 'ï' => Some('i'),
        'ó' | 'ô' => Some('o'),
        'ç' => Some('c'),
        'ñ' => Some('n'),
        c => Some(c),
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_switch_says_that_it_moves_an_entrance() {
        for name in [
            "Garage",
            "Garage 2",
            "Garage door",
            "Garage opener",
            "Open garage",
            "Gate",
            "Driveway gate",
            "Theater door",
            "Stefan's gate",
            "Garagentor",
            "Garagentoröffner",
            "Hoftor Taster",
            "Haustür",
            "Portail",
            "Ouverture portail",
            "Porte de garage",
            "Puerta del garaje",
            "Portón",
            "Garagedeur",
            "Tuinpoort",
        ] {
            assert_eq!(entrance_switch(name), Some(NamedEntrance::Door), "{name}");
        }
        for name in [
            "Front door lock",
            "Smart lock",
            "Türschloss",
            "Serrure",
            "Cerradura principal",
            "Voordeurslot",
        ] {
            assert_eq!(entrance_switch(name), Some(NamedEntrance::Lock), "{name}");
        }
    }

    #[test]
    fn a_switch_at_a_door_or_in_a_garage_is_no_entrance() {
        for name in [
            "Garage light",
            "Garage lights",
            "Garage freezer",
            "Garage workbench",
            "Garagenlicht",
            "Licht Garage",
            "Lumière garage",
            "Luz del garaje",
            "Garageverlichting",
            "Front door light",
            "Doorbell",
            "Türklingel",
            "Deurbel",
            "Lampe porte d'entrée",
            "Gate camera",
            "Child lock",
            "Clock",
            "Motor",
            "Ventilator",
            "Monitor",
            "Kitchen switch",
            "Slot 1",
            "Outdoor plug",
            "Store salon",
            "",
        ] {
            assert_eq!(entrance_switch(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_says_that_it_is_a_door_or_gate_in_five_languages() {
        for name in [
            "Garage",
            "Garage door",
            "Front gate",
            "Driveway gate",
            "frontdoor",
            "Garagentor",
            "Hoftor",
            "Einfahrtstor",
            "Schiebetor hinten",
            "Tor",
            "Haustür",
            "Haustu\u{308}r",
            "haustuer",
            "Porte de garage",
            "Portail",
            "porte d'entrée",
            "Puerta del garaje",
            "Portón",
            "PORTON principal",
            "garagedeur",
            "tuinpoort",
            "Voordeur",
            "Garage shutter",
        ] {
            assert!(names_an_entrance(name), "{name}");
        }
    }

    #[test]
    fn the_name_of_a_blind_is_not_that_of_a_door() {
        for name in [
            "Kitchen blinds",
            "Outdoor blind",
            "Rollladen Terrassentür",
            "Volet porte-fenêtre",
            "Rollladenmotor",
            "Temperatur",
            "Store salon",
            "Estor",
            "Monitor",
            "Ventilator",
            "Persiana de la puerta",
            "Window",
            "",
        ] {
            assert!(!names_an_entrance(name), "{name}");
        }
    }

    #[test]
    fn a_class_that_is_not_known_may_be_an_entrance() {
        assert!(
            ["garage", "gate", "door", "garage_door", "garrage", "tor"]
                .iter()
                .all(|class| is_entrance_class(class))
        );
        assert!(!is_entrance_class("blind") && !is_entrance_class("window"));
        assert_eq!(normalized_class(" Garage Door"), "garage_door");
    }
}
