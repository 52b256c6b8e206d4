//! Which covers let somebody in: by their device class, or by their name where no class says so.
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

/// Returns the classes of a kind; `None` where any word is one.
pub fn classes(kind: &str) -> Option<&'static [&'static str]> {
    let mut listed = CLASSES.iter();
    listed.find(|(of, _)| *of == kind).map(|(_, words)| *words)
}

/// Returns a class as it is compared: `Garage Door` → `garage_door`.
pub fn normalized_class(class: &str) -> String {
    class.trim().to_lowercase().replace([' ', '-'], "_")
}

/// Whether a cover of this class lets somebody in. A class that is not known may mean anything.
pub(super) fn is_entrance_class(class: &str) -> bool {
    let is_known = classes("cover").is_some_and(|known| known.contains(&class));
    ENTRANCES.contains(&class) || !is_known
}

/// Whether a name says that the device is a garage door, a gate or a door: `Hoftor`,
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

fn is_gate(word: &str) -> bool {
    GATES.contains(&word)
        || word.starts_with("garag")
        || word.starts_with("garaj")
        || ["gate", "poort", "hek"]
            .iter()
            .any(|end| word.ends_with(end))
        || is_german_gate(word)
}

/// Whether the word is a compound with `Tor`, and not one such as `Motor` or `Ventilator`.
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
