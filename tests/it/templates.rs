//! Sentence templates: files in, drafts out.

use std::fs;
use std::path::Path;

use sayso::testing::command::phrase::Phrase;
use sayso::testing::home::Home;
use sayso::testing::home::device::{Area, Device, Kind};
use sayso::testing::home::rights::Rights;
use sayso::testing::templates::{Recognition, TemplateFolders, Templates};
use sayso::testing::vocabulary::Value;
use sayso::testing::vocabulary::action::{Draft, Op, StateQuery};
use sayso::testing::vocabulary::slug::Slug;

/// A small language of our own in the published format.
const LANGUAGE: &str = r#"{
  "language": "xx",
  "skip_words": ["bitte", "kannst du"],
  "lists": {
    "state_word": {"values": [{"in": "auf", "out": "open"}, {"in": "(zu|verschlossen)", "out": "closed"}]},
    "class": {"values": [{"in": "rollo[s]", "out": "blind"}, {"in": "tor[e]", "out": "garage"}]},
    "level": {"range": {"type": "percentage", "from": 0, "to": 100}},
    "song": {"wildcard": true}
  },
  "expansion_rules": {"artikel": "(der|die|das)", "licht": "(licht|lichter|lampe[n])", "prozent": "(%|prozent)"},
  "intents": {
    "HassTurnOn": {"data": [
      {"sentences": ["[schalte] [<artikel>] {name} (an;[jetzt])"], "requires_context": {"domain": ["light", "switch"]}},
      {"sentences": ["{area}[ ]<licht> an"], "slots": {"domain": "light"}},
      {"sentences": ["<licht> an"], "slots": {"domain": "light"}, "requires_context": {"area": {"slot": true}}},
      {"sentences": ["öffne {class:device_class} [im] {area}"], "slots": {"domain": "cover"}}
    ]},
    "HassLightSet": {"data": [
      {"sentences": ["{name} auf {level:brightness}[([ ]%)| prozent]"], "requires_context": {"domain": "light"}},
      {"sentences": ["{name} bei {level:brightness}[<prozent>]"], "requires_context": {"domain": "light"}}
    ]},
    "HassGetState": {"data": [
      {"sentences": ["(ist|sind) [ein] {class:device_class} {state_word:state}"], "slots": {"domain": "cover"}, "response": "any"}
    ]},
    "HassGetCurrentTime": {"data": [{"sentences": ["kannst du uhr", "[die] zeit[,] jetzt"]}]},
    "HassMediaSearchAndPlay": {"data": [{"sentences": ["spiele {song:search_query}"]}]}
  }
}"#;

const CUSTOM: &str = r#"
language: xx
intents:
  HassTurnOff:
    data:
      - sentences:
          - "{name} schlafen legen"
"#;

fn device(id: &str, kind: &str, name: &str, area: &str, class: Option<&str>) -> Device {
    let kind = Kind::new(Slug::new(kind).unwrap());
    let mut device = Device::new(Slug::new(id).unwrap(), kind);
    name.clone_into(&mut device.name);
    device.area = Some(Slug::new(area).unwrap());
    device.class = class.map(str::to_owned);
    device
}

fn home() -> Home {
    let area = |id: &str, name: &str| Area {
        id: Slug::new(id).unwrap(),
        name: name.to_owned(),
        aliases: Vec::new(),
        floor: None,
    };
    let devices = vec![
        device("desk", "light", "Schreibtischlampe", "study", None),
        device("ceiling", "light", "Deckenlicht", "study", None),
        device("oven", "switch", "Ofen", "kitchen", None),
        device("blind", "cover", "Rollo links", "study", Some("blind")),
        device("gate", "cover", "Einfahrt", "kitchen", Some("garage")),
        device("twin_a", "light", "Zwilling", "kitchen", None),
        device("twin_b", "light", "Zwilling", "study", None),
    ];
    let areas = vec![area("study", "Büro"), area("kitchen", "Küche")];
    Home::new(areas, devices, Rights::default(), "sayso").unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("published")).unwrap();
    fs::write(folder.path().join("published/xx.json"), LANGUAGE).unwrap();
    let custom = folder.path().join("custom_sentences/xx");
    fs::create_dir_all(&custom).unwrap();
    fs::write(custom.join("own.yaml"), CUSTOM).unwrap();
    folder
}

fn folders(folder: &Path) -> TemplateFolders {
    TemplateFolders {
        published: Some(folder.join("published")),
        custom: Some(folder.join("custom_sentences")),
        compiled: Some(folder.join("compiled")),
    }
}

fn recognize(text: &str, area: Option<&str>) -> Option<Recognition> {
    let folder = folder();
    let templates = Templates::open(&folders(folder.path())).unwrap();
    templates.prepare("xx").unwrap();
    templates.recognize(&Phrase::new(text, area, Some("xx")), "xx", &home())
}

fn draft(text: &str, area: Option<&str>) -> Draft {
    match recognize(text, area) {
        Some(Recognition {
            draft: Some(draft), ..
        }) => draft,
        other => panic!("{text:?}: {other:?}"),
    }
}

fn devices(draft: &Draft) -> Vec<&str> {
    draft
        .actions
        .iter()
        .map(|action| action.device.as_str())
        .collect()
}

#[test]
fn a_whole_sentence_becomes_a_draft() {
    let on = draft("Kannst du bitte die Schreibtischlampe jetzt an", None);
    assert_eq!(devices(&on), ["desk"]);
    assert_eq!(on.actions[0].value, Some(Value::text("on")));
    let dimmed = draft("Deckenlicht auf 40 %", None);
    assert_eq!(dimmed.actions[0].value, Some(Value::Number(40.0)));
    assert_eq!(draft("deckenlicht auf 40%", None), dimmed);
}

#[test]
fn a_name_may_be_part_of_a_longer_word() {
    assert_eq!(
        devices(&draft("Bürolicht an", None)),
        ["desk", "ceiling", "twin_b"]
    );
}

#[test]
fn the_area_of_the_speaker_counts_where_the_template_says_so() {
    assert_eq!(devices(&draft("Lampen an", Some("Küche"))), ["twin_a"]);
    assert_eq!(recognize("Lampen an", None), None);
}

#[test]
fn a_class_in_a_place_and_a_question_about_a_class_are_understood() {
    assert_eq!(devices(&draft("Öffne Rollos im Büro", None)), ["blind"]);
    let question = draft("Sind Tore auf?", None);
    assert_eq!(question.actions[0].op, Op::Query);
    assert_eq!(question.state_query, Some(StateQuery::Any("open")));
}

#[test]
fn one_word_too_many_is_silence() {
    for text in [
        "die Schreibtischlampe an oder aus",
        "nicht die Schreibtischlampe an",
        "Schreibtischlampe an um neun",
        "schreibtischlampean",
        "",
    ] {
        assert_eq!(recognize(text, None), None, "{text:?}");
    }
}

#[test]
fn two_devices_of_one_name_are_not_executed() {
    let twins = recognize("Zwilling an", None);
    assert!(
        matches!(twins, Some(Recognition { draft: None, .. })),
        "{twins:?}"
    );
}

#[test]
fn an_intent_without_a_device_is_recognized_and_not_executed() {
    let intent = "HassMediaSearchAndPlay".to_owned();
    assert_eq!(
        recognize("spiele irgendwas", None),
        Some(Recognition {
            intent,
            draft: None
        })
    );
}

#[test]
fn a_skip_word_may_belong_to_a_template() {
    let found = recognize("kannst du Uhr", None).unwrap();
    assert_eq!(found.intent, "HassGetCurrentTime");
    assert!(recognize("Uhr", None).is_none());
    assert_eq!(devices(&draft("kannst du Ofen an", None)), ["oven"]);
}

#[test]
fn a_sentence_in_parts_is_recognized_and_not_executed() {
    let found = recognize("Zeit, jetzt", None).unwrap();
    assert_eq!(found.intent, "HassGetCurrentTime");
    let found = recognize("schalte, Ofen an", None).unwrap();
    assert_eq!((found.intent.as_str(), found.draft), ("HassTurnOn", None));
}

#[test]
fn a_space_between_a_number_and_its_unit_has_no_meaning() {
    for text in [
        "Deckenlicht bei 30%",
        "Deckenlicht bei 30 %",
        "Deckenlicht bei 30 Prozent",
    ] {
        let draft = draft(text, None);
        assert_eq!(draft.actions[0].value, Some(Value::Number(30.0)), "{text}");
    }
    assert!(recognize("Deckenlicht bei 3 0", None).is_none());
}

#[test]
fn custom_sentences_are_read_beside_the_published_ones() {
    assert_eq!(devices(&draft("Ofen schlafen legen", None)), ["oven"]);
}

fn error_of(name: &str, text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
    let templates = Templates::open(&folders(folder.path())).unwrap();
    let error = templates.prepare("xx").unwrap_err();
    error
        .to_string()
        .replace(&folder.path().display().to_string(), "")
}

#[test]
fn a_broken_file_is_named_with_its_line_and_its_fault() {
    let broken = error_of("published/xx.json", "{\n\"intents\": [}");
    assert!(broken.contains("/published/xx.json`, line 2"), "{broken}");
    let template =
        "{\"intents\": {\"HassTurnOn\": {\"data\": [\n{\"sentences\": [\"an <alle\"]}]}}}";
    let unclosed = error_of("published/xx.json", template);
    assert!(
        unclosed.contains("/published/xx.json`, line 2: `an <alle`: `<` is not closed"),
        "{unclosed}"
    );
    let yaml = CUSTOM.replace("{name} schlafen", "{names} schlafen");
    let missing = error_of("custom_sentences/xx/own.yaml", &yaml);
    assert!(
        missing.contains("own.yaml`, line 7: ") && missing.contains("there is no list `names`"),
        "{missing}"
    );
    let yaml = "intents:\n  HassTurnOff:\n    data: 7\n";
    let malformed = error_of("custom_sentences/xx/own.yaml", yaml);
    assert!(malformed.contains("own.yaml`, line 3: "), "{malformed}");
}

#[test]
fn published_sentences_are_read_although_the_own_ones_are_at_fault() {
    let folder = folder();
    let own = folder.path().join("custom_sentences/xx/own.yaml");
    fs::write(own, "intents: 7").unwrap();
    let templates = Templates::open(&folders(folder.path())).unwrap();
    templates.prepare("xx").unwrap_err();
    let phrase = Phrase::new("schreibtischlampe an", None, Some("xx"));
    assert!(templates.recognize(&phrase, "xx", &home()).is_some());
}

#[test]
fn a_folder_that_is_not_there_has_no_languages() {
    let templates = Templates::open(&folders(Path::new("/nonexistent"))).unwrap();
    assert!(templates.is_empty() && !templates.has("xx"));
}

#[test]
fn a_damaged_or_foreign_compiled_form_is_replaced() {
    let folder = folder();
    let compiled = folder.path().join("compiled");
    let file = compiled.join("xx.compiled");
    let on = Phrase::new("schreibtischlampe an", None, Some("xx"));
    let understands = || {
        let templates = Templates::open(&folders(folder.path())).unwrap();
        templates.prepare("xx").unwrap();
        templates.recognize(&on, "xx", &home()).is_some()
    };
    assert!(understands());
    let written = fs::read(&file).unwrap();
    for other in [&b"not this"[..], &written[..written.len() / 2], b""] {
        fs::write(&file, other).unwrap();
        assert!(understands());
        assert!(fs::read(&file).unwrap().len() > 100, "it is written again");
    }
    // Another source is another language, also with the compiled form of the old one.
    let source = LANGUAGE.replace("[jetzt]", "[sofort]");
    fs::write(folder.path().join("published/xx.json"), source).unwrap();
    assert!(understands());
    let templates = Templates::open(&folders(folder.path())).unwrap();
    let now = Phrase::new("schreibtischlampe jetzt an", None, Some("xx"));
    assert_eq!(templates.recognize(&now, "xx", &home()), None);
}

#[test]
fn a_compiled_form_is_used_and_leaves_with_its_language() {
    let folder = folder();
    let file = folder.path().join("compiled/xx.compiled");
    let prepare = || {
        let templates = Templates::open(&folders(folder.path())).unwrap();
        templates.prepare("xx").unwrap();
    };
    prepare();
    // A compilation would write the file again.
    let written = fs::metadata(&file).unwrap().modified().unwrap();
    prepare();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), written);
    fs::remove_file(folder.path().join("published/xx.json")).unwrap();
    fs::remove_dir_all(folder.path().join("custom_sentences")).unwrap();
    prepare();
    assert!(!file.exists());
}

/// Runs `sayso language` with a folder of templates.
fn language(place: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let config = place.join("sayso.toml");
    if !config.exists() {
        let keys = "[local]\ntemplates = \"published\"\n";
        fs::write(&config, keys).unwrap();
    }
    let output = std::process::Command::new(crate::PROGRAM)
        .arg("language")
        .args(arguments)
        .arg("--config")
        .arg(&config)
        .current_dir(place)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[test]
fn languages_are_listed_added_and_removed() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    let (code, listed) = language(path, &["list"]);
    assert_eq!(code, Some(0), "{listed}");
    assert!(listed.contains("no templates are installed in"), "{listed}");
    assert!(
        listed.contains("en       yes      -          -    default"),
        "{listed}"
    );
    fs::write(path.join("xx.json"), LANGUAGE).unwrap();
    let (code, added) = language(path, &["add", "xx.json"]);
    assert_eq!(code, Some(0), "{added}");
    fs::create_dir(path.join("xx")).unwrap();
    fs::write(path.join("xx/own.yaml"), CUSTOM).unwrap();
    let (code, added) = language(path, &["add", "xx"]);
    assert_eq!(code, Some(0), "{added}");
    let (_, listed) = language(path, &["list"]);
    assert!(
        listed.contains("xx       -        yes        yes"),
        "{listed}"
    );
    let folders = TemplateFolders {
        published: Some(path.join("published")),
        custom: Some(path.join("custom_sentences")),
        compiled: None,
    };
    let templates = Templates::open(&folders).unwrap();
    let own = Phrase::new("ofen schlafen legen", None, Some("xx"));
    assert!(templates.recognize(&own, "xx", &home()).is_some());
    let (code, removed) = language(path, &["remove", "XX"]);
    assert_eq!(code, Some(0), "{removed}");
    assert!(!path.join("published/xx.json").exists());
}

#[test]
fn faulty_templates_are_not_added_and_the_language_of_the_home_stays() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    let template = "{\"intents\": {\"HassTurnOn\": {\"data\": [\n{\"sentences\": [\"an <a\"]}]}}}";
    fs::write(path.join("yy.json"), template).unwrap();
    let (code, fault) = language(path, &["add", "yy.json"]);
    assert_eq!(code, Some(1), "{fault}");
    assert!(fault.contains("yy.json`, line 2: `an <a`"), "{fault}");
    for (name, text, why) in [
        ("zz.json", "{}", "no `intents`"),
        ("polish.json", LANGUAGE, "does not name its language"),
        ("readme.txt", "", "has no sentence templates"),
    ] {
        fs::write(path.join(name), text).unwrap();
        let (code, fault) = language(path, &["add", name]);
        assert_eq!(code, Some(1), "{fault}");
        assert!(fault.contains(why), "{fault}");
    }
    let (code, fault) = language(path, &["add", "missing.json"]);
    assert_eq!(code, Some(1), "{fault}");
    assert!(!path.join("published").exists());
    let (code, fault) = language(path, &["remove", "pl"]);
    assert_eq!(code, Some(1), "{fault}");
    assert!(fault.contains("no templates of `pl`"), "{fault}");
    fs::write(path.join("xx.json"), LANGUAGE).unwrap();
    language(path, &["add", "xx.json"]);
    let keys = "[local]\ntemplates = \"published\"\nlanguage = \"xx\"\n";
    fs::write(path.join("sayso.toml"), keys).unwrap();
    let (code, fault) = language(path, &["remove", "xx"]);
    assert_eq!(code, Some(1), "{fault}");
    assert!(fault.contains("language of the home"), "{fault}");
}
