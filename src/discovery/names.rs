//! Names, identifiers and topics as strangers write them, made safe: no control characters, no wildcards, no novels.

use crate::vocabulary::slug::Slug;
use crate::vocabulary::topic::Topic;

/// The longest name kept, in characters: it is read aloud and goes into prompts.
const LONGEST_NAME: usize = 60;

/// The longest identifier made, in bytes: leaves room for a number behind it.
const LONGEST_SLUG: usize = 56;

/// The longest topic taken, in bytes. MQTT allows 65,535; the longest met in the wild has 140.
const LONGEST_TOPIC: usize = 512;

/// The text as a name: control characters and runs of space become one space. `None` where nothing is left.
pub(super) fn clean(text: &str) -> Option<String> {
    // Cut before looking: a hostile name may have a megabyte.
    let cut = text.chars().take(LONGEST_NAME * 4).map(|c| {
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
        .take(LONGEST_NAME)
        .collect();
    let name = name.trim_end();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Characters that change how the text around them is shown, and have no business in a name.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}

/// The name as an identifier: `Büro: Lampe 2` → `buro_lampe_2`. `None` where it has no letter or digit we can write.
pub(super) fn slug(name: &str) -> Option<Slug> {
    let mut text = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        match plain(c) {
            Some(letters) => text.push_str(letters),
            None if c.is_ascii_alphanumeric() => text.push(c),
            // `don't` is one word; everything else that is no letter parts two.
            None if matches!(c, '\'' | '’') => {}
            None if !text.is_empty() && !text.ends_with('_') => text.push('_'),
            None => {}
        }
        if text.len() >= LONGEST_SLUG {
            break;
        }
    }
    text.truncate(LONGEST_SLUG);
    Slug::new(text.trim_end_matches('_')).ok()
}

/// The letters without their marks, for the languages sayso understands and their neighbours.
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

/// Returns whether brokers accept the text as a topic to publish to, and it is not one of the broker's own.
pub(super) fn is_topic(text: &str) -> bool {
    text.len() <= LONGEST_TOPIC && !text.starts_with('$') && Topic::new(text).is_ok()
}

/// Whether the text can stand as one of a device's options: it is said, shown, and sent as it is.
pub(super) fn is_option(text: &str) -> bool {
    clean(text).as_deref() == Some(text)
}

/// An address as every ecosystem spells it: lowercase, without what stands between the digits of a MAC.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_clean_line_of_bounded_length() {
        assert_eq!(
            clean(" Hall\u{0}\nlamp \t2 ").as_deref(),
            Some("Hall lamp 2")
        );
        assert_eq!(clean("lamp\u{202e}pmal").as_deref(), Some("lamp pmal"));
        assert_eq!(clean(" \u{7}\n"), None);
        assert_eq!(
            clean(&"x".repeat(1_000_000)).map(|n| n.len()),
            Some(LONGEST_NAME)
        );
    }

    #[test]
    fn a_name_gives_an_identifier_that_can_be_read() {
        let of = |name: &str| slug(name).map(|s| s.as_str().to_owned());
        assert_eq!(of("Büro: Lampe 2").as_deref(), Some("buro_lampe_2"));
        assert_eq!(of("Mum's Straße").as_deref(), Some("mums_strasse"));
        assert_eq!(of("灯"), None);
        assert_eq!(of(&"ß".repeat(100)).map(|s| s.len()), Some(LONGEST_SLUG));
    }

    #[test]
    fn wildcards_and_control_characters_are_no_topic() {
        assert!(is_topic("zigbee2mqtt/Küche/set"));
        for bad in ["", "a/+/b", "a/#", "a\u{0}b", "$SYS/x", &"x".repeat(600)] {
            assert!(!is_topic(bad), "{bad:?}");
        }
    }

    #[test]
    fn every_ecosystems_spelling_of_an_address_is_the_same() {
        assert_eq!(address("DC:4F:22:00:11:22"), "dc4f22001122");
        assert_eq!(address("dc4f22001122"), "dc4f22001122");
        assert_eq!(
            address("zigbee2mqtt_0x00158D0001A2B3C4"),
            "0x00158d0001a2b3c4"
        );
    }
}
