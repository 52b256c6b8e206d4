//! Commands for groups: the reply names the members that cannot do it, and a group or scene of the
//! home file is judged by its members.

use serde_json::Value as Json;

use crate::language::tried;

const HOME: &str = r#"
[area.kitchen]
[area.hall]
[device.strip]
kind = "light"
area = "kitchen"
can = ["power", "brightness", "color"]
[device.spot]
kind = "light"
area = "kitchen"
can = ["power", "brightness"]
[device.lantern]
kind = "light"
area = "hall"
can = ["power"]
[device.oven_heating]
kind = "climate"
name = "Oven heater"
area = "kitchen"
[device.oven_heating.property.temperature]
range = [5, 25]
[device.hall_heating]
kind = "climate"
name = "Hall heater"
area = "hall"
[device.blind]
kind = "cover"
class = "blind"
area = "kitchen"
[device.tap]
kind = "valve"
area = "kitchen"
[device.skylight]
kind = "binary_sensor"
class = "window"
area = "hall"
can = ["window"]
[device.skylight.property.window]
options = ["open", "closed"]
settable = false
[device.hatch]
kind = "binary_sensor"
class = "window"
area = "kitchen"
can = ["window"]
[device.hatch.property.window]
options = ["open", "closed"]
settable = false
[device.garage_door]
kind = "cover"
class = "garage"
[device.safe]
kind = "lock"
risk = "never"
[device.leaving]
kind = "scene"
members = ["strip", "garage_door"]
[device.sealing]
kind = "scene"
members = ["strip", "safe"]
[device.film]
kind = "scene"
members = ["strip", "blind"]
"#;

/// "Everything" is done without asking, so that the reply of the command itself is read.
const CONFIG: &str = "[mqtt]\nhost = \"localhost\"\n[confirm]\nwhole_home = false\n";

const STATE: &str = r#"{"strip": {"power": "on", "brightness": 40}, "spot": {"power": "off"},
    "skylight": {"window": "open"}, "hatch": {"window": "closed"}, "tap": {"position": 40}}"#;

/// Returns the replies of `sayso try` to sentences of a language.
fn replies(language: &str, sentences: &[&str]) -> Vec<Json> {
    let folder = tempfile::tempdir().unwrap();
    let lines = [&["--language", language], sentences].concat();
    tried(folder.path(), [CONFIG, HOME, STATE], &lines)
}

fn speech(reply: &Json) -> String {
    reply["speech"].as_str().unwrap_or_default().to_owned()
}

fn count(reply: &Json) -> usize {
    reply["actions"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_group_command_names_the_members_that_cannot_do_it_in_every_language() {
    let cases = [
        (
            "en",
            "set all lights to red",
            "left out, because it cannot do that: ",
        ),
        (
            "de",
            "stell alle lichter auf rot",
            "ausgelassen, weil es das nicht kann: ",
        ),
        (
            "es",
            "pon todas las luces en rojo",
            "omitido, porque no puede hacerlo: ",
        ),
        (
            "fr",
            "mets toutes les lumières en rouge",
            "laissé de côté, car ce n'est pas possible : ",
        ),
        (
            "nl",
            "zet alle lampen op rood",
            "overgeslagen, want het kan dat niet: ",
        ),
    ];
    for (language, sentence, form) in cases {
        let reply = &replies(language, &[sentence])[0];
        assert_eq!(reply["outcome"], "done", "{language}: {reply}");
        assert_eq!(count(reply), 1, "{language}: {reply}");
        let speech = speech(reply);
        let left_out = speech.split(". ").last().unwrap().to_lowercase();
        assert!(left_out.starts_with(form), "{language}: {speech}");
        assert!(
            left_out.contains("spot") && left_out.contains("lantern"),
            "{language}: {speech}"
        );
        assert!(!left_out.contains("strip"), "{language}: {speech}");
    }
}

#[test]
fn the_time_of_a_timer_stands_before_the_members_that_are_left_out() {
    let sentence = "set all the lights in the kitchen to red in ten minutes";
    let reply = &replies("en", &[sentence])[0];
    let said = speech(reply);
    let (scheduled, left_out) = said.split_once(". ").unwrap_or_default();
    assert!(scheduled.starts_with("Strip: color red, at "), "{reply}");
    assert_eq!(left_out, "Left out, because it cannot do that: Spot.");
}

#[test]
fn devices_of_which_none_can_do_it_are_named() {
    let sentences = ["set the lights in the hall to red", "make the lantern blue"];
    for reply in replies("en", &sentences) {
        assert_eq!(reply["why"], "incapable", "{reply}");
        assert_eq!(speech(&reply), "Lantern cannot do that.", "{reply}");
    }
    let known = &replies("en", &["please recite a poem about the hall"])[0];
    assert_eq!(known["why"], "no_model", "{known}");
}

#[test]
fn the_reason_for_leaving_a_member_out_is_its_own() {
    let said = replies(
        "en",
        &[
            "set all the heaters to 28 degrees",
            "dim all the lights",
            "dim everything",
            "set the kitchen lights to red",
            "set the lights to red",
        ],
    );
    let [range, dim, everything, kitchen, question] = said.as_slice() else {
        panic!("{said:?}");
    };
    assert!(
        speech(range).contains("the value is out of its range: Oven heater"),
        "{range}"
    );
    for dimmed in [dim, everything] {
        assert_eq!(dimmed["outcome"], "done", "{dimmed}");
        let speech = speech(dimmed);
        assert!(speech.contains("left as it is: Spot"), "{speech}");
        assert!(speech.contains("it cannot do that: Lantern"), "{speech}");
    }
    assert!(
        speech(kitchen).contains("cannot do that: Spot"),
        "{kitchen}"
    );
    assert!(!speech(kitchen).contains("Lantern"), "{kitchen}");
    // Without a place only one lamp can be red, which is in one place: the others are named.
    assert!(speech(question).contains("cannot do that"), "{question}");
}

#[test]
fn close_everything_names_what_stays_open() {
    let reply = &replies("en", &["close everything"])[0];
    let speech = speech(reply);
    assert_eq!(reply["outcome"], "done", "{reply}");
    assert!(speech.contains("it cannot do that: Skylight"), "{speech}");
    assert!(
        !speech.contains("Hatch"),
        "a closed window is not named: {speech}"
    );
    assert!(speech.contains("left as it is: Tap"), "{speech}");
}

#[test]
fn a_scene_is_judged_by_the_members_that_the_home_file_gives_it() {
    let said = replies(
        "en",
        &["activate leaving", "activate sealing", "activate film"],
    );
    assert_eq!(
        said[0]["outcome"], "unclear",
        "a garage door moves: {said:?}"
    );
    assert_eq!(
        said[1]["outcome"], "refused",
        "a member is never moved: {said:?}"
    );
    assert_eq!(said[2]["outcome"], "done", "{said:?}");
}

#[test]
fn a_mower_is_asked_about_in_every_language() {
    const GARDEN: &str = "[device.robot]\nname = \"Rasenroboter\"\nkind = \"lawn_mower\"\n";
    let cases = [
        ("en", "is the rasenroboter mowing", "Yes"),
        ("en", "is the rasenroboter docked", "No"),
        ("de", "mäht der rasenroboter", "Ja"),
        ("de", "ist der rasenroboter am mähen", "Ja"),
        (
            "fr",
            "est-ce que le rasenroboter est en train de tondre",
            "Oui",
        ),
        ("es", "está cortando el césped el rasenroboter", "Sí"),
        ("nl", "is de rasenroboter aan het maaien", "Ja"),
    ];
    for (language, sentence, answer) in cases {
        let folder = tempfile::tempdir().unwrap();
        let files = [CONFIG, GARDEN, r#"{"robot": {"mower": "mowing"}}"#];
        let reply = &tried(folder.path(), files, &["--language", language, sentence])[0];
        assert!(speech(reply).starts_with(answer), "{sentence}: {reply}");
    }
}
