//! Names, identifiers and topics of announcements, made safe: without control characters and
//! wildcards, and of bounded length.

use crate::vocabulary::slug::Slug;
use crate::vocabulary::topic::{Filter, Topic};

/// Longest name, in characters: it is read aloud and sent to models.
const MAX_NAME_CHARS: usize = 60;

/// Longest identifier, in bytes: shorter than the limit of identifiers, so that a number can be
/// appended.
const MAX_SLUG_BYTES: usize = 56;

/// Longest topic, in bytes. MQTT allows 65,535; the longest met in the wild has 140.
const MAX_TOPIC_BYTES: usize = 512;

/// Returns the text as a name, with control characters and runs of spaces replaced by one space;
/// `None` if nothing is left.
pub(super) fn clean(text: &str) -> Option<String> {
    // It is cut first, because a hostile name may have a megabyte.
    let cut = text.chars().take(MAX_NAME_CHARS * 4).map(|c| {
        if c.is_control() || is_invisible(c) {
            ' '
        } else {
            c
        }
    });
    let spaced: String = cut.collect();
    let name: String = spaced
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(MAX_NAME_CHARS)
        .collect();
    let name = name.trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Returns whether the character is not visible itself, or changes how the text around it is shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{3164}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}

/// Returns the name as an identifier: `Büro: Lampe 2` → `buro_lampe_2`; `None` if it has no letter
/// or digit of ASCII or near it.
pub(super) fn slug(name: &str) -> Option<Slug> {
    let mut text = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match plain(c) {
            Some(letters) => text.push_str(letters),
            None if c.is_ascii_alphanumeric() => text.push(c),
            // An apostrophe stands within a word; everything else that is no letter separates two.
            None if matches!(c, '\'' | '’') => {}
            None if !text.is_empty() && !text.ends_with('_') => text.push('_'),
            None => {}
        }
        if text.len() >= MAX_SLUG_BYTES {
            break;
        }
    }
    text.truncate(MAX_SLUG_BYTES);
    Slug::new(text.trim_end_matches('_')).ok()
}

/// Words before a name that do not distinguish it from another one.
const ARTICLES: [&str; 18] = [
    "the", "a", "an", "der", "die", "das", "dem", "den", "el", "la", "los", "las", "le", "les",
    "l", "de", "het", "my",
];

/// Letters of other scripts, and the Latin ones that look the same.
const LOOK_ALIKE: [(&str, &str); 3] = [
    (
        "аеорсухіјѕһԁԛԝвкмнтАВЕКМНОРСТУХІЈЅ",
        "aeopcyxijshdqwbkmhtabekmhopctyxijs",
    ),
    ("αοινρτυχκβεηΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aoivptuxkbenabezhikmnoptyx"),
    ("ıɡɑ", "iga"),
];

/// Returns the form in which two names are compared: those that sound or look alike have one.
/// Case, accents, articles, hyphens and letters of other scripts that look the same do not count.
pub(super) fn comparable(name: &str) -> String {
    let latin: String = name.chars().map(latin_letter).collect();
    let Some(slug) = slug(&latin) else {
        return name.to_lowercase();
    };
    let mut words: Vec<&str> = slug.as_str().split('_').collect();
    while words.len() > 1 && ARTICLES.contains(&words[0]) {
        words.remove(0);
    }
    words.concat()
}

/// Returns the Latin letter that looks like this one, or the letter itself.
fn latin_letter(c: char) -> char {
    if let '\u{ff01}'..='\u{ff5e}' = c {
        return char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c);
    }
    let mut pairs = LOOK_ALIKE
        .iter()
        .flat_map(|(other, latin)| other.chars().zip(latin.chars()));
    pairs
        .find_map(|(other, latin)| (other == c).then_some(latin))
        .unwrap_or(c)
}

/// Returns a letter without its marks, for the languages sayso understands and their neighbours.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'č' => "c",
        'ď' | 'đ' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ě' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ł' => "l",
        'ñ' | 'ń' | 'ň' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' => "o",
        'œ' => "oe",
        'ř' => "r",
        'ś' | 'š' | 'ş' => "s",
        'ß' => "ss",
        'ť' => "t",
        'ù' | 'ú' | 'û' | 'ü' | 'ů' | 'ű' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

/// Returns whether brokers accept the text as a topic to publish to, and it is none of the broker's
/// own topics, which begin with `$`.
pub(super) fn is_topic(text: &str) -> bool {
    text.len() <= MAX_TOPIC_BYTES && !text.starts_with('$') && Topic::new(text).is_ok()
}

/// Returns whether the text can be the topic of a state: a topic, or a filter such as
/// `+/+/BTtoMQTT/A4C138C5C21F` that has at least one named level. A filter that receives all
/// messages is refused, and so is one that begins with `+` and ends with `#`.
pub(super) fn is_state_topic(text: &str) -> bool {
    if is_topic(text) {
        return true;
    }
    let levels: Vec<&str> = text.split('/').collect();
    let names_something = levels.iter().any(|level| !matches!(*level, "" | "+" | "#"));
    let is_wide = levels.first() == Some(&"+") && levels.last() == Some(&"#");
    let is_filter = text.len() <= MAX_TOPIC_BYTES && Filter::new(text).is_ok();
    is_filter && names_something && !is_wide && !text.starts_with('$')
}

/// Returns whether the text can be an option of a device: options are spoken, shown and sent
/// unchanged.
pub(super) fn is_option(text: &str) -> bool {
    clean(text).as_deref() == Some(text)
}

/// Returns an address or identifier in one spelling for all ecosystems: lowercase, a MAC address
/// without separators.
pub(super) fn address(text: &str) -> String {
    let text = text.trim();
    let bare = text.strip_prefix("zigbee2mqtt_").unwrap_or(text);
    let digits: String = bare.chars().filter(|c| !matches!(c, ':' | '-')).collect();
    let is_mac = digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if is_mac {
        digits.to_ascii_lowercase()
    } else {
        bare.chars()
            .filter(|c| !c.is_control())
            .take(128)
            .collect::<String>()
            .to_lowercase()
    }
}

/// Returns whether an identifier is the address of a device: a MAC address, or a Zigbee address.
pub(super) fn is_address(text: &str) -> bool {
    let address = address(text);
    let digits = address.strip_prefix("0x").unwrap_or(&address);
    let length = if address.starts_with("0x") { 16 } else { 12 };
    digits.len() == length && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_single_lines_of_bounded_length() {
        assert_eq!(
            clean(" Hall\u{0}\nlamp \t2 ").as_deref(),
            Some("Hall lamp 2")
        );
        assert_eq!(clean("lamp\u{202e}pmal").as_deref(), Some("lamp pmal"));
        assert_eq!(clean(" \u{7}\n"), None);
        assert_eq!(
            clean(&"x".repeat(1_000_000)).map(|n| n.len()),
            Some(MAX_NAME_CHARS)
        );
    }

    #[test]
    fn identifiers_are_readable() {
        let of = |name: &str| slug(name).map(|s| s.as_str().to_owned());
        assert_eq!(of("Büro: Lampe 2").as_deref(), Some("buro_lampe_2"));
        assert_eq!(of("Mum's Straße").as_deref(), Some("mums_strasse"));
        assert_eq!(of("灯"), None);
        assert_eq!(of(&"ß".repeat(100)).map(|s| s.len()), Some(MAX_SLUG_BYTES));
    }

    #[test]
    fn topics_have_no_wildcards_and_control_characters() {
        assert!(is_topic("zigbee2mqtt/Küche/set"));
        for bad in ["", "a/+/b", "a/#", "a\u{0}b", "$SYS/x", &"x".repeat(600)] {
            assert!(!is_topic(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_state_topic_may_have_wildcards_unless_it_receives_everything() {
        for good in [
            "a/b",
            "+/+/BTtoMQTT/A4C138C5C21F",
            "home/+/x",
            "home/#",
            "+/x",
        ] {
            assert!(is_state_topic(good), "{good:?}");
        }
        for bad in [
            "#", "+", "+/#", "+/+", "+/x/#", "a/#/b", "a+/b", "$SYS/#", "/#",
        ] {
            assert!(!is_state_topic(bad), "{bad:?}");
        }
    }

    #[test]
    fn addresses_have_one_spelling_for_all_ecosystems() {
        assert_eq!(address("DC:4F:22:00:11:22"), "dc4f22001122");
        assert_eq!(address("dc4f22001122"), "dc4f22001122");
        assert_eq!(
            address("zigbee2mqtt_0x00158D0001A2B3C4"),
            "0x00158d0001a2b3c4"
        );
    }
}
