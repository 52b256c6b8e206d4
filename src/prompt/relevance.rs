//! Relevance of devices for the words of a phrase. Used to narrow prompts for small models, and to
//! recognise drafts of such models that have nothing to do with the phrase. Pure, and the same for
//! every language.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;

use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::home::device::{Area, Device};
use crate::vocabulary::action::{Action, Op};
use crate::vocabulary::slug::Slug;
use crate::vocabulary::{Property, Value};

/// The shortest beginning two words must share to be related: "lamp" and "lamps", "Licht" and
/// "Lichter".
const SHORTEST_STEM: usize = 4;

/// Words that stand for a kind of device in the languages of the shipped vocabulary. The first
/// column is the kind.
const KIND_WORDS: [(&str, &[&str]); 11] = [
    (
        "light",
        &[
            "light",
            "lights",
            "lamp",
            "bulb",
            "licht",
            "lampe",
            "leuchte",
            "beleuchtung",
            "lumiere",
            "lumière",
            "luz",
            "lampara",
            "lámpara",
            "verlichting",
            "bright",
            "dim",
            "dark",
            "hell",
            "dunkel",
            "dimm",
            "sombre",
            "oscuro",
            "donker",
        ],
    ),
    (
        "cover",
        &[
            "blind",
            "blinds",
            "shade",
            "shutter",
            "curtain",
            "awning",
            "rollo",
            "rollladen",
            "jalousie",
            "vorhang",
            "markise",
            "store",
            "volet",
            "rideau",
            "persiana",
            "cortina",
            "toldo",
            "rolluik",
            "gordijn",
            "garage",
            "gate",
            "tor",
        ],
    ),
    (
        "lock",
        &[
            "lock",
            "door",
            "schloss",
            "tür",
            "serrure",
            "porte",
            "cerradura",
            "puerta",
            "slot",
            "deur",
        ],
    ),
    (
        "climate",
        &[
            "heat",
            "heating",
            "heater",
            "thermostat",
            "warm",
            "cold",
            "cool",
            "degree",
            "heiz",
            "heizung",
            "kalt",
            "grad",
            "chauffage",
            "chaud",
            "froid",
            "calefaccion",
            "calor",
            "frio",
            "verwarming",
            "koud",
            "freezing",
            "temperature",
            "temperatur",
        ],
    ),
    (
        "fan",
        &[
            "fan",
            "ventilator",
            "lüfter",
            "ventilateur",
            "ventilador",
            "air",
            "stuffy",
            "luft",
        ],
    ),
    (
        "media_player",
        &[
            "music",
            "song",
            "track",
            "radio",
            "television",
            "speaker",
            "volume",
            "loud",
            "quiet",
            "musik",
            "lied",
            "laut",
            "leise",
            "fernseher",
            "musique",
            "chanson",
            "musica",
            "música",
            "muziek",
            "mute",
            "play",
            "pause",
        ],
    ),
    (
        "switch",
        &[
            "plug",
            "socket",
            "outlet",
            "switch",
            "steckdose",
            "schalter",
            "prise",
            "enchufe",
            "stekker",
        ],
    ),
    (
        "vacuum",
        &[
            "vacuum",
            "clean",
            "hoover",
            "saug",
            "staubsauger",
            "aspirateur",
            "aspirador",
            "stofzuiger",
        ],
    ),
    (
        "lawn_mower",
        &[
            "mow",
            "mower",
            "lawn",
            "mäh",
            "rasen",
            "tondeuse",
            "pelouse",
            "cortacesped",
            "grasmaaier",
        ],
    ),
    (
        "scene",
        &[
            "scene", "szene", "stimmung", "ambiance", "escena", "scène", "cosy", "cozy", "mood",
        ],
    ),
    (
        "button",
        &["button", "press", "knopf", "bouton", "boton", "knop"],
    ),
];

/// Words that mean every device.
const ALL_WORDS: [&str; 12] = [
    "all",
    "every",
    "everything",
    "alle",
    "alles",
    "tout",
    "toutes",
    "todo",
    "todos",
    "todas",
    "iedereen",
    "whole",
];

/// Words with which a question about a state begins.
const QUESTION_WORDS: [&str; 48] = [
    "is", "are", "was", "were", "did", "do", "does", "have", "has", "what", "which", "who", "when",
    "why", "how", "where", "ist", "sind", "war", "hat", "habe", "haben", "was", "welche", "wer",
    "wann", "wie", "wo", "est", "sont", "quel", "quelle", "combien", "qui", "está", "esta",
    "están", "hay", "cuál", "cuánto", "quién", "zijn", "staat", "heeft", "welk", "hoe", "wie",
    "wat",
];

/// Words that join two commands in one phrase.
const JOINING_WORDS: [&str; 12] = [
    "and", "then", "und", "dann", "et", "puis", "y", "luego", "en", "dan", "also", "auch",
];

/// The most different words of a phrase that are compared with the home: each costs a comparison
/// with each word of each device, and no command of a human has more.
const MAX_COMPARED: usize = 64;

/// The words of a phrase, and the area it was spoken in.
pub(super) struct PhraseWords {
    words: Vec<String>,
    /// The words that are compared with the home, each once.
    compared: Vec<String>,
    /// Area in which it was spoken.
    area: Option<String>,
    /// The areas that are named.
    named_areas: Vec<Slug>,
    /// The kinds that are named, once they are asked for.
    kinds: OnceCell<Vec<&'static str>>,
    has_question_mark: bool,
}

impl PhraseWords {
    /// Splits a phrase into words.
    pub(super) fn of(phrase: &Phrase, home: &Home) -> Self {
        let words: Vec<String> = words_of(phrase.text()).map(Cow::into_owned).collect();
        let mut seen = HashSet::new();
        let compared: Vec<String> = words
            .iter()
            .filter(|word| seen.insert(word.as_str()))
            .take(MAX_COMPARED)
            .cloned()
            .collect();
        let area = phrase.area().and_then(|area| home.area_named(area));
        let mut phrase_words = Self {
            kinds: OnceCell::new(),
            area: area.map(|area| area.id.to_string()),
            named_areas: Vec::new(),
            has_question_mark: phrase.text().ends_with('?'),
            compared,
            words,
        };
        let named = home
            .areas()
            .iter()
            .filter(|area| phrase_words.names_area(area));
        phrase_words.named_areas = named.map(|area| area.id.clone()).collect();
        phrase_words
    }

    /// Returns whether a word of the phrase is related to this one.
    fn has_related(&self, other: &str) -> bool {
        self.compared.iter().any(|word| are_related(word, other))
    }

    /// Returns whether the phrase has a word for this kind of device.
    fn has_kind(&self, kind: &str) -> bool {
        let is_meant = |(_, kind_words): &&(&'static str, &[&str])| {
            kind_words.iter().any(|word| self.has_related(word))
        };
        let kinds = self.kinds.get_or_init(|| {
            let kinds = KIND_WORDS.iter().filter(is_meant);
            kinds.map(|(kind, _)| *kind).collect()
        });
        kinds.contains(&kind)
    }

    /// Returns whether the phrase may mean every device.
    pub(super) fn means_all(&self) -> bool {
        let mut words = self.words.iter().enumerate();
        words.any(|(at, word)| ALL_WORDS.contains(&word.as_str()) && !self.is_idiom(at))
    }

    /// Returns whether the word is an "all" that means no devices: "at all", "all right", "all the
    /// way".
    fn is_idiom(&self, at: usize) -> bool {
        let (before, from) = self.words.split_at(at);
        let begins = |words: &[&str]| from.iter().take(words.len()).eq(words);
        let ends = |last: &str| before.last().is_some_and(|word| word == last);
        begins(&["all", "right"])
            || begins(&["all", "the", "way"])
            || (begins(&["all"]) && (ends("at") || ends("after")))
    }

    /// Returns whether the phrase may ask for a state.
    pub(super) fn asks(&self) -> bool {
        let begins = self.words.first();
        self.has_question_mark || begins.is_some_and(|word| QUESTION_WORDS.contains(&word.as_str()))
    }

    /// Returns the number of commands that the phrase may consist of.
    pub(super) fn parts(&self) -> usize {
        let joining = |word: &&String| JOINING_WORDS.contains(&word.as_str());
        1 + self.words.iter().filter(joining).count()
    }

    /// Returns whether the phrase has every word of the device's name or of one of its other names.
    pub(super) fn names(&self, device: &Device) -> bool {
        let id = device.id.spoken();
        let aliases = device.aliases.iter().map(String::as_str);
        let mut names = aliases.chain([device.name.as_str(), &id]);
        names.any(|name| {
            let mut own = words_of(name).peekable();
            own.peek().is_some() && own.all(|own| self.has_related(&own))
        })
    }

    /// Returns how closely `device` is related: zero where not at all. A device that is named is
    /// related.
    pub(super) fn relevance(&self, device: &Device) -> u32 {
        let mut relevance = 0;
        let own_words: Vec<Cow<str>> = name_words(device).collect();
        for word in &self.compared {
            if own_words.iter().any(|own| are_related(word, own)) {
                relevance += 4;
            }
        }
        if let Some(area) = &device.area {
            if self.area.as_deref() == Some(area.as_str()) {
                relevance += 2;
            }
            if self.named_areas.contains(area) {
                relevance += 4;
            }
        }
        if self.names_kind(device) {
            relevance += 3;
        }
        relevance
    }

    /// Returns whether the phrase has any relation to `device`: a word of its name, or anything
    /// that counts for its relevance.
    fn is_related(&self, device: &Device) -> bool {
        // Mostly a word of its name decides, and the words for kinds are not looked at.
        name_words(device).any(|own| self.has_related(&own)) || self.relevance(device) > 0
    }

    fn names_area(&self, area: &Area) -> bool {
        let names = area.names().chain(&area.floor);
        names
            .flat_map(|name| words_of(name))
            .chain(words_of(area.id.as_str()))
            .any(|own| self.has_related(&own))
    }

    /// Returns whether the phrase names the kind, the class or a property of the device.
    fn names_kind(&self, device: &Device) -> bool {
        let kind = device.kind.as_str();
        let class = device.class.as_deref().unwrap_or_default();
        let has = |property: &Property| device.capability(property).is_some();
        let is_lightlike = has(&Property::Brightness);
        let properties = device.capabilities.iter();
        let mut own = properties
            .map(|capability| capability.property.name())
            .chain([kind, class])
            .flat_map(words_of);
        self.has_kind(kind)
            || (is_lightlike && self.has_kind("light"))
            || own.any(|own| self.has_related(&own))
    }
}

/// Returns whether every known device of a draft is related to the phrase by a word, its kind or
/// its area.
pub fn is_related<'a>(
    phrase: &Phrase,
    home: &Home,
    mut devices: impl Iterator<Item = &'a str>,
) -> bool {
    let words = PhraseWords::of(phrase, home);
    devices.all(|id| {
        let device = home
            .devices()
            .iter()
            .find(|device| device.id.as_str() == id);
        // An unknown device is refused elsewhere.
        device.is_none_or(|device| words.is_related(device))
    })
}

/// Returns whether the phrase states the number of every action that sets one, in digits.
pub fn states_numbers(phrase: &Phrase, actions: &[Action]) -> bool {
    let stated: Vec<f64> = phrase
        .text()
        .split(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')
        .filter_map(|word| word.trim_matches(['.', ',']).replace(',', ".").parse().ok())
        .collect();
    actions.iter().all(|action| match &action.value {
        Some(Value::Number(number)) if action.op == Op::Set => {
            stated.iter().any(|stated| (stated - number).abs() < 0.01)
        }
        _ => true,
    })
}

/// Returns the words of the names and of the identifier of a device.
fn name_words(device: &Device) -> impl Iterator<Item = Cow<'_, str>> {
    let names = std::iter::once(&device.name).chain(&device.aliases);
    names
        .flat_map(|name| words_of(name))
        .chain(words_of(device.id.as_str()))
}

fn words_of(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().nth(1).is_some() || word.chars().all(char::is_numeric))
        .map(|word| {
            if word
                .bytes()
                .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
            {
                Cow::Borrowed(word)
            } else {
                Cow::Owned(word.to_lowercase())
            }
        })
}

/// Returns whether two words are equal, or one of some letters is the beginning or the end of the
/// other: long compounds end with the thing they name, "Stehlampe".
fn are_related(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() <= other.len() {
        (one, other)
    } else {
        (other, one)
    };
    // Most pairs differ in both letters, which costs less than a comparison of words.
    let (short_bytes, long_bytes) = (short.as_bytes(), long.as_bytes());
    if short_bytes.first() != long_bytes.first() && short_bytes.last() != long_bytes.last() {
        return false;
    }
    (long.starts_with(short) || long.ends_with(short))
        && (short.len() == long.len() || short.chars().nth(SHORTEST_STEM - 1).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::device::Kind;
    use crate::home::rights::Rights;
    use crate::vocabulary::slug::Slug;

    fn home() -> Home {
        fn slug(text: &str) -> Slug {
            Slug::new(text).unwrap()
        }
        let area = |id: &str, name: &str| Area {
            id: slug(id),
            name: name.into(),
            aliases: Vec::new(),
            floor: Some("upstairs".into()),
        };
        let device = |id: &str, kind: &str, area: &str| Device {
            area: Some(slug(area)),
            ..Device::new(slug(id), Kind::new(slug(kind)))
        };
        let devices = vec![
            device("stehlampe", "light", "living_room"),
            device("blinds", "cover", "office"),
            device("boiler", "climate", "cellar"),
        ];
        let areas = vec![
            area("living_room", "Living room"),
            area("office", "Office"),
            area("cellar", "Cellar"),
        ];
        Home::new(areas, devices, Rights::default(), "sayso").unwrap()
    }

    fn related(phrase: &str, area: Option<&str>, device: &str) -> bool {
        let phrase = Phrase::new(phrase, area, None);
        is_related(&phrase, &home(), [device].into_iter())
    }

    #[test]
    fn a_number_is_stated_in_digits_or_not_at_all() {
        let action = |op, number| Action {
            device: "blinds".into(),
            property: Property::Position,
            op,
            value: Some(Value::Number(number)),
        };
        let states = |text: &str, op, number| {
            states_numbers(&Phrase::new(text, None, None), &[action(op, number)])
        };
        assert!(states("blinds to 30 %, please", Op::Set, 30.0));
        assert!(states("heizung auf 20,5 grad", Op::Set, 20.5));
        assert!(states("a bit more", Op::Increase, 10.0));
        assert!(!states("blinds to a third", Op::Set, 33.0));
        assert!(!states("blinds to 30", Op::Set, 70.0));
    }

    #[test]
    fn a_long_phrase_is_compared_by_a_bounded_number_of_words() {
        let many: Vec<String> = (0..3000).map(|n| format!("word{n}")).collect();
        let home = home();
        let words = |text: &str| PhraseWords::of(&Phrase::new(text, None, None), &home);
        assert_eq!(words(&many.join(" ")).compared.len(), MAX_COMPARED);
        let repeated = words(&"lampe ".repeat(3000));
        assert_eq!(repeated.compared, ["lampe"]);
        let stehlampe = &home.devices()[0];
        let once = words("lampe").relevance(stehlampe);
        assert!(once > 0);
        assert_eq!(repeated.relevance(stehlampe), once);
    }

    #[test]
    fn words_kinds_and_areas_relate_a_device_to_a_phrase() {
        for (phrase, area, device) in [
            ("Lampe bitte heller", None, "stehlampe"),
            ("too dark in here", Some("Living room"), "stehlampe"),
            ("mach das licht im wohnzimmer aus", None, "stehlampe"),
            ("make the office gloomy", None, "blinds"),
            ("everything upstairs off", None, "boiler"),
            ("i'm freezing", None, "boiler"),
        ] {
            assert!(related(phrase, area, device), "{phrase}");
        }
        for (phrase, area, device) in [
            ("i'm freezing", None, "blinds"),
            ("what is the capital of France", None, "stehlampe"),
            ("order a pizza", Some("Office"), "boiler"),
        ] {
            assert!(!related(phrase, area, device), "{phrase}");
        }
    }
}
