//! Places in sentences with several parts: a place that is said once holds for the others, and none
//! of several places is passed over in silence.

use serde_json::Value as Json;

use crate::follow_ups::meaning;
use crate::language::tried;
use crate::languages;

/// Names of the areas and devices of the home, in one language.
type Names = [&'static str; 7];

const ENGLISH: Names = [
    "Den",
    "Attic",
    "Radio",
    "Lamp",
    "Fan",
    "Attic radio",
    "Attic fan",
];

/// A den whose devices are called by their nouns alone, an attic, and a porch without devices.
fn home([den, attic, radio, lamp, fan, attic_radio, attic_fan]: Names) -> String {
    format!(
        r#"
[area.den]
name = "{den}"
[area.attic]
name = "{attic}"
[area.porch]
[device.d_radio]
kind = "media_player"
name = "{radio}"
area = "den"
[device.d_lamp]
kind = "light"
name = "{lamp}"
area = "den"
[device.d_fan]
kind = "fan"
name = "{fan}"
area = "den"
[device.a_radio]
kind = "media_player"
name = "{attic_radio}"
area = "attic"
[device.a_lamp]
kind = "light"
name = "Zeta"
area = "attic"
[device.a_fan]
kind = "fan"
name = "{attic_fan}"
area = "attic"
[device.a_window]
kind = "binary_sensor"
class = "window"
name = "Attic window"
area = "attic"
can = ["window"]
[device.a_window.property.window]
options = ["open", "closed"]
settable = false
"#
    )
}

const CONFIG: &str = "[mqtt]\nhost = \"localhost\"\n[confirm]\nwhole_home = false\n";

/// A home without areas: the first words of the names are the rooms.
const WITHOUT_AREAS: &str = r#"
[device.study_light]
kind = "light"
[device.study_left_lamp]
kind = "light"
[device.study_right_lamp]
kind = "light"
[device.cellar_light]
kind = "light"
[device.study_radio]
kind = "media_player"
"#;

/// An air conditioner with a fan of its own, and a ceiling fan in another room.
const COOLED: &str = r#"
[area.studio]
[area.loft]
[device.cooler]
kind = "climate"
name = "Air conditioner"
area = "loft"
[device.cooler.property.temperature]
range = [16, 30]
[device.cooler.property.hvac_mode]
options = ["off", "cool"]
[device.cooler.property.fan_mode]
options = ["low", "high"]
[device.ceiling]
kind = "fan"
name = "Ceiling fan"
area = "studio"
"#;

/// Returns the devices that each sentence is for, or the outcome where it does nothing.
fn devices_of(home: &str, options: &[&str], sentences: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let state = r#"{"a_window": {"window": "open"}}"#;
    let state = if home.contains("a_window") {
        state
    } else {
        "{}"
    };
    let lines = [options, sentences].concat();
    let replies = tried(folder.path(), [CONFIG, home, state], &lines);
    replies.iter().map(devices).collect()
}

fn devices(reply: &Json) -> String {
    let actions = reply["actions"].as_array().unwrap();
    let mut found: Vec<&str> = actions
        .iter()
        .map(|action| action["device"].as_str().unwrap())
        .collect();
    found.sort_unstable();
    found.dedup();
    if found.is_empty() {
        reply["outcome"].as_str().unwrap().to_owned()
    } else {
        found.join(" ")
    }
}

#[track_caller]
fn assert_devices(home: &str, options: &[&str], cases: &[(&str, &str)]) {
    let sentences: Vec<&str> = cases.iter().map(|(said, _)| *said).collect();
    let found = devices_of(home, options, &sentences);
    for ((said, expected), found) in cases.iter().zip(found) {
        assert_eq!(found, *expected, "{said}");
    }
}

#[test]
fn a_place_said_once_holds_for_the_other_parts_of_the_sentence() {
    let cases = [
        (
            "in the attic turn off the lamp and turn off the radio",
            "a_lamp a_radio",
        ),
        (
            "turn off the attic fan, radio and lamp",
            "a_fan a_lamp a_radio",
        ),
        ("turn off the lamp in the attic and the fan", "a_fan a_lamp"),
        (
            "turn on the radio in the attic then turn on the lamp",
            "a_lamp a_radio",
        ),
        ("turn on the attic fan and the den lamp", "a_fan d_lamp"),
        ("if the attic window is open turn off the fan", "a_fan"),
        ("turn off the lamp and the fan", "d_fan d_lamp"),
    ];
    assert_devices(&home(ENGLISH), &[], &cases);
    let spoken_here = [("turn off the attic fan and the radio", "unclear")];
    assert_devices(&home(ENGLISH), &["--area", "den"], &spoken_here);
}

/// A language, the names of a home in it, and sentences with the devices they mean.
type InLanguage = (&'static str, Names, &'static [(&'static str, &'static str)]);

#[test]
fn a_place_said_once_holds_in_every_language() {
    let cases: [InLanguage; 4] = [
        (
            "de",
            [
                "Stube",
                "Dachboden",
                "Radio",
                "Lampe",
                "Ventilator",
                "Dachboden Radio",
                "Dachboden Ventilator",
            ],
            &[
                (
                    "mach auf dem dachboden die lampe aus und mach das radio aus",
                    "a_lamp a_radio",
                ),
                (
                    "dachboden ventilator, radio und lampe aus",
                    "a_fan a_lamp a_radio",
                ),
                (
                    "mach das radio in der stube und auf dem dachboden aus",
                    "a_radio d_radio",
                ),
            ],
        ),
        (
            "fr",
            [
                "Salon",
                "Grenier",
                "Radio",
                "Lampe",
                "Ventilateur",
                "Radio grenier",
                "Ventilateur grenier",
            ],
            &[
                (
                    "dans le grenier éteins la lampe et éteins la radio",
                    "a_lamp a_radio",
                ),
                (
                    "éteins le ventilateur du grenier, la radio et la lampe",
                    "a_fan a_lamp a_radio",
                ),
                (
                    "éteins la radio dans le salon et le grenier",
                    "a_radio d_radio",
                ),
            ],
        ),
        (
            "es",
            [
                "Salón",
                "Desván",
                "Radio",
                "Lámpara",
                "Ventilador",
                "Radio desván",
                "Ventilador desván",
            ],
            &[
                (
                    "en el desván apaga la lámpara y apaga la radio",
                    "a_lamp a_radio",
                ),
                (
                    "apaga el ventilador del desván, la radio y la lámpara",
                    "a_fan a_lamp a_radio",
                ),
                ("apaga la radio del salón y del desván", "a_radio d_radio"),
            ],
        ),
        (
            "nl",
            [
                "Woonkamer",
                "Zolder",
                "Radio",
                "Lamp",
                "Ventilator",
                "Zolder radio",
                "Zolder ventilator",
            ],
            &[
                (
                    "doe op de zolder de lamp uit en doe de radio uit",
                    "a_lamp a_radio",
                ),
                (
                    "zolder ventilator, radio en lamp uit",
                    "a_fan a_lamp a_radio",
                ),
                (
                    "doe de radio in de woonkamer en de zolder uit",
                    "a_radio d_radio",
                ),
            ],
        ),
    ];
    for (language, names, cases) in cases {
        assert_devices(&home(names), &["--language", language], cases);
    }
}

#[test]
fn none_of_several_places_is_passed_over() {
    let cases = [
        (
            "turn off the radio in the den and the attic",
            "a_radio d_radio",
        ),
        ("turn off the fans in the attic and the porch", "refused"),
        (
            "turn off the lights in the den and the attic",
            "a_lamp d_lamp",
        ),
    ];
    assert_devices(&home(ENGLISH), &[], &cases);
}

#[test]
fn everything_in_a_room_without_devices_is_a_question() {
    let cases = [
        ("everything off", "unclear"),
        ("turn off everything except the radio", "unclear"),
    ];
    assert_devices(&home(ENGLISH), &["--area", "porch"], &cases);
    let in_attic = [
        ("turn everything off", "a_fan a_lamp a_radio"),
        ("turn off everything but the radio", "a_fan a_lamp"),
    ];
    assert_devices(&home(ENGLISH), &["--area", "attic"], &in_attic);
}

#[test]
fn a_plural_in_a_room_without_an_area_means_all_of_its_devices() {
    let lamps = "study_left_lamp study_right_lamp";
    let lights = "study_left_lamp study_light study_right_lamp";
    let cases = [
        ("turn on the study lamps", lamps),
        ("turn off all the study lights", lights),
        ("every study light off", lights),
        ("which study lights are on", lights),
        ("turn off the study light", "study_light"),
        (
            "turn off the study radio and light",
            "study_light study_radio",
        ),
        ("all cellar lights off", "cellar_light"),
    ];
    assert_devices(WITHOUT_AREAS, &[], &cases);
}

#[test]
fn the_fan_beside_an_air_conditioner_is_its_own() {
    let cases = [
        (
            "set the air conditioner to 21 and the fan to high",
            "cooler",
        ),
        (
            "turn on the air conditioner and set the fan to low",
            "cooler",
        ),
        ("set the fan to high", "ceiling"),
    ];
    assert_devices(COOLED, &[], &cases);
}

/// A lamp upstairs and a speaker downstairs.
const SPEAKER_ELSEWHERE: &str = r#"
[area.loft]
[area.den]
[device.candle]
kind = "light"
area = "loft"
[device.gramophone]
kind = "media_player"
area = "den"
"#;

#[track_caller]
fn assert_follow_ups(language: &str, home: &str, cases: &[(&str, &str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("home.toml");
    std::fs::write(&file, home).unwrap();
    let home = languages::home(file.to_str().unwrap());
    for (first, next, expected) in cases {
        let found = meaning(language, &home, first, next);
        assert_eq!(found, *expected, "{first} > {next}");
    }
}

#[test]
fn what_is_added_to_a_command_is_in_its_room() {
    let off = "turn off the lamp in the attic";
    let cases = [
        (off, "and the radio", "a_radio.power=off"),
        (off, "turn the fan off too", "a_fan.power=off"),
        (off, "turn off the fan in the den too", "d_fan.power=off"),
        (
            "turn off the lamp in the den",
            "and the radio",
            "d_radio.power=off",
        ),
    ];
    assert_follow_ups("en", &home(ENGLISH), &cases);
    let cooled = [(
        "set the air conditioner to 21",
        "and set the fan to high",
        "cooler.fan_mode=high",
    )];
    assert_follow_ups("en", COOLED, &cooled);
}

#[test]
fn louder_after_a_lamp_changes_no_speaker_in_another_room() {
    let cases = [
        ("en", "turn on the candle", "louder", "-"),
        ("de", "schalte candle ein", "lauter", "-"),
        // Said of a light, these words mean that it is to be brighter.
        ("fr", "allume candle", "plus fort", "candle.brightness+"),
        ("es", "enciende candle", "más fuerte", "-"),
        ("nl", "zet candle aan", "harder", "-"),
    ];
    for (language, first, next, meaning) in cases {
        assert_follow_ups(language, SPEAKER_ELSEWHERE, &[(first, next, meaning)]);
    }
    let own = [("turn on the gramophone", "louder", "gramophone.volume+")];
    assert_follow_ups("en", SPEAKER_ELSEWHERE, &own);
}
