//! A language is a file without code: a fixture with another sentence structure is understood and
//! answered in its own words.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value as Json;

const HOME: &str = r#"
[area.kueche]
name = "Küche"
[area.wohnzimmer]
[area.salon]
name = "Salon"
[area.entree]
name = "Entrée"
[device.kuechenlicht]
name = "Küchenlicht"
kind = "light"
area = "kueche"
[device.stehlampe]
kind = "light"
area = "wohnzimmer"
can = ["power", "brightness", "color"]
[device.wand]
name = "Wandleuchte"
kind = "light"
area = "wohnzimmer"
[device.rollo]
name = "Rollo"
kind = "cover"
class = "blind"
area = "kueche"
[device.heizung]
kind = "climate"
area = "wohnzimmer"
can = ["temperature", "hvac_mode"]
[device.heizung.property.hvac_mode]
options = ["heat", "off"]
[device.lampe_salon]
name = "Lampe Salon"
kind = "light"
area = "entree"
"#;

const STATE: &str = r#"{"kuechenlicht": {"power": "on", "brightness": 40}, "stehlampe": {"power": "off"}, "rollo": {"position": 0}}"#;

fn replies(lines: &[&str]) -> Vec<Json> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("language")).unwrap();
    let fixture = Path::new(crate::REPOSITORY).join("tests/fixtures/language/xx.toml");
    fs::copy(fixture, folder.path().join("language/xx.toml")).unwrap();
    let config = "[mqtt]\nhost = \"localhost\"\n[local]\nlanguage = \"xx\"\n";
    tried(folder.path(), [config, HOME, STATE], lines)
}

/// Returns the replies of `sayso try` to the lines, with the config, the home and its state written
/// to the folder. More options may precede the lines.
pub(crate) fn tried(folder: &Path, files: [&str; 3], lines: &[&str]) -> Vec<Json> {
    let [config, home, state] = ["sayso.toml", "home.toml", "state.json"].map(|n| folder.join(n));
    for (path, text) in [&config, &home, &state].into_iter().zip(files) {
        fs::write(path, text).unwrap();
    }
    let mut command = Command::new(crate::PROGRAM);
    command
        .args(["try", "--local-only", "--json", "--config"])
        .arg(config)
        .arg("--home")
        .arg(home)
        .arg("--state")
        .arg(state)
        .args(lines);
    let output = command.env_clear().stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // 1: a command is refused or unclear, which some of these are.
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `stehlampe power set "on"; ..`
fn actions(reply: &Json) -> String {
    let one = |a: &Json| {
        format!(
            "{} {} {} {}",
            a["device"].as_str().unwrap(),
            a["property"].as_str().unwrap(),
            a["op"].as_str().unwrap(),
            a["value"]
        )
    };
    reply["actions"]
        .as_array()
        .unwrap()
        .iter()
        .map(one)
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn another_sentence_structure_is_understood() {
    let expected = [
        (
            "Mach bitte das Küchenlicht an",
            r#"kuechenlicht power set "on""#,
        ),
        (
            "mach das kuechenlicht aus",
            r#"kuechenlicht power set "off""#,
        ),
        (
            "schalte das Licht in der Küche aus",
            r#"kuechenlicht power set "off""#,
        ),
        ("Kannst du das Rollo öffnen?", "rollo position set 100"),
        ("mach das rollo zu", "rollo position set 0"),
        ("fahr das küchenrollo hoch", "rollo position set 100"),
        (
            "stell die heizung auf 21,5 grad",
            "heizung temperature set 21.5",
        ),
        (
            "stell die Wohnzimmertemperatur auf einundzwanzig grad",
            "heizung temperature set 21",
        ),
        (
            "stell die heizung auf heizen",
            r#"heizung hvac_mode set "heat""#,
        ),
        ("mach die stehlampe rot", r#"stehlampe color set "red""#),
        (
            "mach die stehlampe heller",
            "stehlampe brightness increase null",
        ),
        (
            "mach alle lichter ausser in der küche aus",
            r#"lampe_salon power set "off"; stehlampe power set "off"; wand power set "off""#,
        ),
        (
            "allume la lumière de la kueche",
            r#"kuechenlicht power set "on""#,
        ),
        ("allume la lampe du salon", r#"lampe_salon power set "on""#),
        (
            "allume la lumière d'entree",
            r#"lampe_salon power set "on""#,
        ),
        ("mach die stehlampe nicht an", ""),
    ];
    for ((text, wanted), reply) in expected
        .iter()
        .zip(replies(&expected.map(|(text, _)| text)))
    {
        let mut got: Vec<String> = actions(&reply).split("; ").map(str::to_owned).collect();
        got.sort();
        assert_eq!(got.join("; "), *wanted, "{text}: {reply}");
    }
}

#[test]
fn the_reply_is_in_the_language_of_the_command() {
    let expected = [
        ("ist das küchenlicht an?", "Ja, Küchenlicht ist an."),
        ("ist das Rollo offen", "Nein, Rollo ist geschlossen."),
        (
            "welche lichter sind an",
            "An: Küchenlicht. Von Wandleuchte und Lampe Salon weiss ich nichts.",
        ),
        (
            "wie viele lichter sind aus",
            "1 von 2: Stehlampe. Von Wandleuchte und Lampe Salon weiss ich nichts.",
        ),
        (
            "mach die wandleuchte heller",
            "Wandleuchte: mehr Helligkeit.",
        ),
        ("erzähl mir was", "Das habe ich nicht verstanden."),
    ];
    for ((text, wanted), reply) in expected
        .iter()
        .zip(replies(&expected.map(|(text, _)| text)))
    {
        assert_eq!(reply["speech"], *wanted, "{text}: {reply}");
    }
}
