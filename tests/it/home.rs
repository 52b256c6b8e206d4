//! `sayso home`, through the real binary and real mosquitto: what it tells is so, and what it
//! proposes to say is understood.

use std::collections::BTreeSet;
use std::fs;
use std::process::Output;

use serde_json::{Value as Json, json};
use tokio::process::Command;

use crate::broker::Broker;
use crate::daemon::Place;
use crate::discovery::{expected, fixtures, home_of, registry_of, snapshot};
use crate::listener::Listener;
use crate::scene::{Scene, Stage};

/// Everything the fixtures announce, each topic once.
fn announcements() -> Vec<(String, String)> {
    let mut all: Vec<(String, Json)> = Vec::new();
    for (path, messages) in fixtures() {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for (topic, payload) in messages {
            let (topic, payload) = (
                topic.replace("/n1/", &format!("/{name}/")),
                serde_json::from_str::<Json>(&payload).unwrap(),
            );
            match (all.iter_mut().find(|(known, _)| *known == topic), payload) {
                // A bridge's list is one message.
                (Some((_, Json::Array(list))), Json::Array(more)) => list.extend(more),
                (_, payload) => all.push((topic, payload)),
            }
        }
    }
    all.into_iter()
        .map(|(topic, payload)| (topic, payload.to_string()))
        .collect()
}

async fn announce(broker: &Broker) {
    let mut early = Listener::connect(broker.port());
    for (topic, payload) in announcements() {
        early.publish_retained(&topic, payload).await;
    }
}

async fn home(place: &Place, arguments: &[&str]) -> Output {
    let mut command = Command::new(crate::PROGRAM);
    command
        .arg("home")
        .args(arguments)
        .arg("--config")
        .arg(place.config())
        .env_clear()
        .kill_on_drop(true);
    command.output().await.unwrap()
}

fn said(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

async fn devices(place: &Place) -> Vec<Json> {
    let all: Json = serde_json::from_str(&said(&home(place, &["--json"]).await)).unwrap();
    all["devices"].as_array().unwrap().clone()
}

/// Whether another device of the same area has the name of `device`.
fn shares_name(device: &Json, devices: &[Json]) -> bool {
    let name = |device: &Json| device["name"].as_str().unwrap().to_lowercase();
    devices.iter().any(|other| {
        other["id"] != device["id"]
            && other["area"] == device["area"]
            && name(other) == name(device)
    })
}

#[tokio::test]
async fn every_sentence_it_proposes_is_understood_by_the_daemon() {
    let broker = Broker::mosquitto().await;
    announce(&broker).await;
    let mut stage: Stage = Scene::new()
        .home("[area.hall]\n[device.lamp]\nkind = \"light\"\narea = \"hall\"\n")
        .start_with(broker)
        .await;
    let devices = devices(&stage.place).await;
    assert!(devices.len() > 40, "{}", devices.len());
    let (mut tried, mut properties) = (0, 0);
    for device in &devices {
        for property in device["properties"].as_array().unwrap() {
            let Some(sentence) = property["say"].as_str() else {
                // A sentence that names two devices is asked about.
                properties += i32::from(!shares_name(device, &devices));
                continue;
            };
            properties += 1;
            tried += 1;
            let id = format!("try-{tried}");
            stage
                .listener
                .publish(
                    "sayso/command/test",
                    json!({"text": sentence, "id": id, "dry_run": true}).to_string(),
                )
                .await;
            let reply = stage.reply_to(&id).await;
            let outcome = reply["outcome"].as_str().unwrap();
            let fits = match property["risk"].as_str().unwrap() {
                "confirm" => ["done", "answered", "unclear"].contains(&outcome),
                // An announced scene does not say what it changes, and this home has locks.
                _ if device["kind"] == "scene" => ["done", "unclear"].contains(&outcome),
                _ => ["done", "answered"].contains(&outcome),
            };
            assert!(fits && reply["via"] == "local", "{sentence}: {reply}");
            for action in reply["actions"].as_array().unwrap() {
                assert_eq!(
                    (&action["device"], &action["property"]),
                    (&device["id"], &property["property"]),
                    "{sentence}"
                );
            }
        }
    }
    println!("{tried} of {properties} properties have a sentence that is understood here");
    assert!(tried * 10 > properties * 9, "only {tried} of {properties}");
}

/// A device as it would be alone: without its identifier, and without the number by which it is
/// told from another of its name.
fn alone(mut device: Json) -> String {
    device.as_object_mut().unwrap().remove("id");
    let name = device["name"].as_str().unwrap();
    device["name"] = json!(name.strip_suffix(" 2").unwrap_or(name));
    device.to_string()
}

#[tokio::test]
async fn all_announced_at_once_is_the_home_of_each() {
    let whole = snapshot(&home_of(&registry_of(&announcements())));
    let found: Vec<String> = whole
        .as_array()
        .unwrap()
        .iter()
        .cloned()
        .map(alone)
        .collect();
    let mut wanted: Vec<String> = fixtures()
        .iter()
        .flat_map(|(path, _)| expected(path))
        .map(alone)
        .collect();
    let mut strange = found.clone();
    strange.retain(|device| {
        wanted
            .iter()
            .position(|other| other == device)
            .map(|at| wanted.remove(at))
            .is_none()
    });
    assert!(
        wanted.is_empty() && strange.is_empty(),
        "missing: {wanted:#?}\nnot expected: {strange:#?}"
    );

    let broker = Broker::mosquitto().await;
    announce(&broker).await;
    let place = Scene::new().home("").place(broker.port());
    // A broker keeps no order between topics.
    let ids = |devices: &[Json]| -> BTreeSet<String> {
        let ids = devices.iter().map(|device| device["id"].to_string());
        ids.collect()
    };
    assert_eq!(ids(&devices(&place).await), ids(whole.as_array().unwrap()));
}

#[tokio::test]
async fn it_tells_what_is_known_and_from_where() {
    let broker = Broker::mosquitto().await;
    announce(&broker).await;
    let mut early = Listener::connect(broker.port());
    early
        .publish_retained("zigbee2mqtt/Desk lamp", json!({"state": "ON"}).to_string())
        .await;
    early
        .publish_retained("homeassistant/switch/broken/config", "{".to_owned())
        .await;
    let place = Scene::new().home("[device.lamp]\nkind = \"light\"\n[device.desk_lamp]\nkind = \"light\"\naliases = [\"bookworm\"]\n").place(broker.port());
    let text = said(&home(&place, &[]).await);
    for part in [
        "Lamp  (lamp, light; from home.toml)",
        "Desk lamp  (desk_lamp, light; from home.toml and Home Assistant discovery)",
        "also bookworm",
        "on, off, now on",
        "\"turn on the bookworm\"",
        "kitchen ceiling lamp  (kitchen_ceiling_lamp, light; from Zigbee2MQTT)",
        "Blind  (blind_2, cover; from Tasmota)",
        "asks for confirmation",
        "Not usable: homeassistant/switch/broken/config: ",
        " devices in ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let some = said(&home(&place, &["bookworm"]).await);
    assert!(
        some.contains("Desk lamp  (") && !some.contains("Blind  ("),
        "{some}"
    );
    let none = home(&place, &["nobody"]).await;
    assert_eq!(none.status.code(), Some(1));
    let error = String::from_utf8_lossy(&none.stderr);
    assert!(
        error.contains("no device and no area is called `nobody`"),
        "{error}"
    );
}

#[tokio::test]
async fn the_home_file_it_writes_loads_and_gives_the_same_identifiers() {
    let broker = Broker::mosquitto().await;
    announce(&broker).await;
    let place = Scene::new().home("").place(broker.port());
    let written = said(&home(&place, &["--toml"]).await);
    let found = devices(&place).await;
    fs::write(place.path().join("home.toml"), &written).unwrap();
    let declared = devices(&place).await;
    let known = |devices: &[Json]| {
        let mut all: Vec<String> = devices
            .iter()
            .map(|d| {
                // The file tells devices of one name apart by a number.
                let name = d["name"].as_str().unwrap();
                let properties: Vec<&Json> = d["properties"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|p| &p["property"])
                    .collect();
                json!([
                    d["id"],
                    name.strip_suffix(" 2").unwrap_or(name),
                    d["aliases"],
                    d["area"],
                    d["kind"],
                    d["class"],
                    properties,
                    d["properties"][0]["command_topics"]
                ])
                .to_string()
            })
            .collect();
        all.sort();
        all
    };
    assert_eq!(known(&found), known(&declared));
    assert!(
        declared.iter().all(|device| device["from"]
            .as_str()
            .unwrap()
            .starts_with("home.toml and ")),
        "{written}"
    );
}

#[tokio::test]
async fn without_a_broker_it_says_what_to_do() {
    let place = Scene::new().home("").place(1);
    let output = home(&place, &[]).await;
    assert_eq!(output.status.code(), Some(75));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.contains("nobody listens at 127.0.0.1:1")
            && complaint.contains("start the broker"),
        "{complaint}"
    );
}
