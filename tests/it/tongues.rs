//! End to end in German, Spanish, French and Dutch: results, questions, answers and refusals are in
//! the language of the command.

use serde_json::{Value, json};

use crate::scene::{PATIENCE, Scene, Stage};

/// A home with names of one language.
fn home([kitchen, bedroom, kitchen_light, bedroom_light, door, oven]: [&str; 6]) -> String {
    format!(
        r#"
[area.kitchen]
name = "{kitchen}"
[area.bedroom]
name = "{bedroom}"
[device.kitchen_light]
name = "{kitchen_light}"
kind = "light"
area = "kitchen"
zigbee2mqtt = "kitchen"
[device.bedroom_light]
name = "{bedroom_light}"
kind = "light"
area = "bedroom"
zigbee2mqtt = "bedroom"
[device.front_door]
name = "{door}"
kind = "lock"
zigbee2mqtt = "door"
[device.oven]
name = "{oven}"
kind = "switch"
risk = "never"
"#
    )
}

/// A command with the expected outcome and reply.
type Said = (&'static str, &'static str, &'static str);

/// Sends the commands to a home with a locked door, and checks the replies and the published
/// actions.
async fn play(language: &str, names: [&str; 6], dialogue: &[Said], told: &[(&str, &str)]) {
    let mut stage: Stage = Scene::new()
        .home(&home(names))
        .with(&format!("[local]\nlanguage = \"{language}\""))
        .start()
        .await;
    stage
        .listener
        .publish(
            "zigbee2mqtt/door",
            json!({"state": "LOCK", "lock_state": "locked"}).to_string(),
        )
        .await;
    let known = stage
        .listener
        .wait_for(|m| m.topic == "zigbee2mqtt/door", PATIENCE)
        .await;
    assert!(known.is_some());
    for (text, outcome, speech) in dialogue {
        let reply: Value = stage.say(text).await;
        assert_eq!(
            (reply["outcome"].as_str(), reply["speech"].as_str()),
            (Some(*outcome), Some(*speech)),
            "{text}: {reply}"
        );
    }
    let told: Vec<_> = told
        .iter()
        .map(|(topic, payload)| ((*topic).to_owned(), (*payload).to_owned()))
        .collect();
    assert_eq!(stage.actions().await, told);
}

const UNLOCKED_AND_LIT: [(&str, &str); 2] = [
    ("zigbee2mqtt/door/set", r#"{"state":"UNLOCK"}"#),
    ("zigbee2mqtt/kitchen/set", r#"{"state":"ON"}"#),
];

#[tokio::test]
async fn german() {
    let dialogue = [
        (
            "Ist die Haustür abgeschlossen?",
            "answered",
            "Ja, Haustür: abgeschlossen.",
        ),
        (
            "Schließ die Haustür auf",
            "unclear",
            "Haustür aufschließen? Sag innerhalb von 30 s Ja.",
        ),
        ("Ja", "done", "Haustür: aufgeschlossen."),
        (
            "Schließ die Haustür auf",
            "unclear",
            "Haustür aufschließen? Sag innerhalb von 30 s Ja.",
        ),
        ("Nein", "answered", "Es bleibt, wie es ist."),
        (
            "Mach das Licht an",
            "unclear",
            "Was davon: Küchenlicht oder Nachttischlampe?",
        ),
        ("in der Küche", "done", "Küchenlicht: an."),
        (
            "Schalte den Backofen ein",
            "refused",
            "Backofen darf nie durch Sprache oder Text gesteuert werden (Strom).",
        ),
        (
            "Wenn es regnet, mach das Licht aus",
            "refused",
            "Ich habe nichts getan, denn die Bedingung verstehe ich nicht (es regnet).",
        ),
    ];
    play(
        "de",
        [
            "Küche",
            "Schlafzimmer",
            "Küchenlicht",
            "Nachttischlampe",
            "Haustür",
            "Backofen",
        ],
        &dialogue,
        &UNLOCKED_AND_LIT,
    )
    .await;
}

#[tokio::test]
async fn spanish() {
    let dialogue = [
        (
            "¿Está cerrada con llave la puerta principal?",
            "answered",
            "Sí, Puerta principal: con llave.",
        ),
        (
            "Abre la puerta principal con llave",
            "unclear",
            "¿Desbloqueo Puerta principal? Di que sí en 30 s.",
        ),
        ("Sí", "done", "Puerta principal: sin llave."),
        (
            "Desbloquea la puerta principal",
            "unclear",
            "¿Desbloqueo Puerta principal? Di que sí en 30 s.",
        ),
        ("No", "answered", "Se queda como está."),
        (
            "Enciende la luz",
            "unclear",
            "¿Cuál: Luz de la cocina o Lámpara de noche?",
        ),
        ("en la cocina", "done", "Luz de la cocina: encendido."),
        (
            "Enciende el horno",
            "refused",
            "Horno no se controla nunca por voz o texto (encendido).",
        ),
        (
            "Si llueve, apaga la luz",
            "refused",
            "No he hecho nada, porque no entiendo la condición (llueve).",
        ),
    ];
    play(
        "es",
        [
            "Cocina",
            "Dormitorio",
            "Luz de la cocina",
            "Lámpara de noche",
            "Puerta principal",
            "Horno",
        ],
        &dialogue,
        &UNLOCKED_AND_LIT,
    )
    .await;
}

#[tokio::test]
async fn french() {
    let dialogue = [
        (
            "La porte d'entrée est verrouillée ?",
            "answered",
            "Oui, Porte d'entrée : verrouillé.",
        ),
        (
            "Déverrouille la porte d'entrée",
            "unclear",
            "Déverrouiller Porte d'entrée ? Dites oui dans les 30 s.",
        ),
        ("Oui", "done", "Porte d'entrée : déverrouillé."),
        (
            "Déverrouille la porte d'entrée",
            "unclear",
            "Déverrouiller Porte d'entrée ? Dites oui dans les 30 s.",
        ),
        ("Non", "answered", "Rien n'a été changé."),
        (
            "Allume la lumière",
            "unclear",
            "Lequel : Lumière de la cuisine ou Lampe de chevet ?",
        ),
        ("dans la cuisine", "done", "Lumière de la cuisine : allumé."),
        (
            "Allume le four",
            "refused",
            "Four ne doit jamais être commandé par la voix ou par écrit (alimentation).",
        ),
        (
            "S'il pleut, éteins la lumière",
            "refused",
            "Je n'ai rien fait, car je ne comprends pas la condition (s'il).",
        ),
    ];
    play(
        "fr",
        [
            "Cuisine",
            "Chambre",
            "Lumière de la cuisine",
            "Lampe de chevet",
            "Porte d'entrée",
            "Four",
        ],
        &dialogue,
        &UNLOCKED_AND_LIT,
    )
    .await;
}

#[tokio::test]
async fn dutch() {
    let dialogue = [
        (
            "Is de voordeur op slot?",
            "answered",
            "Ja, Voordeur: op slot.",
        ),
        (
            "Haal de voordeur van het slot",
            "unclear",
            "Voordeur van het slot halen? Zeg binnen 30 s ja.",
        ),
        ("Ja", "done", "Voordeur: van het slot."),
        (
            "Ontgrendel de voordeur",
            "unclear",
            "Voordeur van het slot halen? Zeg binnen 30 s ja.",
        ),
        ("Nee", "answered", "Het blijft zoals het is."),
        (
            "Doe het licht aan",
            "unclear",
            "Welke bedoel je: Keukenlamp of Nachtlampje?",
        ),
        ("in de keuken", "done", "Keukenlamp: aan."),
        (
            "Zet de oven aan",
            "refused",
            "Oven mag nooit met spraak of tekst worden bediend (stroom).",
        ),
        (
            "Als het regent, doe het licht uit",
            "refused",
            "Ik heb niets gedaan, want de voorwaarde begrijp ik niet (het regent).",
        ),
    ];
    play(
        "nl",
        [
            "Keuken",
            "Slaapkamer",
            "Keukenlamp",
            "Nachtlampje",
            "Voordeur",
            "Oven",
        ],
        &dialogue,
        &UNLOCKED_AND_LIT,
    )
    .await;
}
