//! `sayso cache`, through the real binary, a real broker and the running daemon.

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::broker::Broker;
use crate::daemon::{Daemon, Place};
use crate::endpoint::{Endpoint, Script};
use crate::listener::Message;
use crate::scene::{PATIENCE, Scene, Stage};

const COSY: &str = "make the kitchen cosy";

async fn cache(place: &Place, arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(place.sayso());
    command
        .arg("cache")
        .args(arguments)
        .arg("--config")
        .arg(place.config())
        .stdin(Stdio::null());
    tokio::time::timeout(Duration::from_secs(30), command.output())
        .await
        .unwrap()
        .unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

async fn json(place: &Place, arguments: &[&str]) -> Json {
    let output = cache(place, &[arguments, &["--json"]].concat()).await;
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)))
}

#[tokio::test]
async fn what_is_kept_can_be_seen_and_forgotten() {
    let model = Endpoint::start([Script::turns_on("kitchen_light")]).await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    assert_eq!(stage.say(COSY).await["via"], "model1");
    assert_eq!(stage.say(COSY).await["via"], "cache");

    let stats = json(&stage.place, &["stats"]).await;
    assert_eq!(
        (
            &stats["ok"],
            &stats["cache"]["hits"],
            &stats["cache"]["misses"]
        ),
        (&json!(true), &json!(1), &json!(1))
    );
    assert_eq!(
        (
            &stats["cache"]["memory"]["entries"],
            &stats["cache"]["disk"]["entries"]
        ),
        (&json!(1), &json!(1))
    );
    let text = printed(&cache(&stage.place, &["stats"]).await);
    assert!(
        text.contains("1 of 512 entries") && text.contains("1 hits, 1 misses"),
        "{text}"
    );

    let shown = printed(&cache(&stage.place, &["show", "Make the kitchen COSY!"]).await);
    assert!(
        shown.contains("\"make the kitchen cosy\" from cli\n✓ it would be done, without a model"),
        "{shown}"
    );
    assert!(shown.contains("\"device\":\"kitchen_light\""), "{shown}");
    let elsewhere = json(&stage.place, &["show", "--area", "bedroom", COSY]).await;
    assert_eq!(
        (
            &elsewhere["used"],
            elsewhere["kept"].as_array().unwrap().len()
        ),
        (&json!(false), 1)
    );
    assert_eq!(
        elsewhere["why"],
        "something is kept, but it came from another area"
    );
    let local = json(&stage.place, &["show", "turn on the kitchen light"]).await;
    assert!(
        local["why"]
            .as_str()
            .unwrap()
            .contains("understood locally"),
        "{local}"
    );
    let unknown = json(&stage.place, &["show", "make it rain"]).await;
    assert!(
        unknown["why"]
            .as_str()
            .unwrap()
            .starts_with("nothing is kept"),
        "{unknown}"
    );

    assert_eq!(
        json(&stage.place, &["clear", "make it rain"]).await["removed"],
        0
    );
    assert_eq!(
        printed(&cache(&stage.place, &["clear", COSY]).await),
        "✓ removed: 1\n"
    );
    stage
        .listener
        .publish(
            "zigbee2mqtt/Kitchen light",
            json!({"state": "ON", "brightness": 200}).to_string(),
        )
        .await;
    assert_eq!(stage.say(COSY).await["via"], "model1", "it is asked anew");
    let asked = model.bodies();
    assert_eq!(
        asked[0], asked[1],
        "a question holds no state, no time and nothing said before: so its answer can be kept"
    );
    assert_eq!(json(&stage.place, &["clear", "--all"]).await["removed"], 1);
    assert_eq!(
        json(&stage.place, &["stats"]).await["cache"]["disk"]["entries"],
        0
    );
    assert_eq!(
        cache(&stage.place, &["clear"]).await.status.code(),
        Some(2),
        "everything is forgotten only by its name"
    );
    assert_eq!(model.requests(), 2);
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_what_was_wanted() {
    let mut stage = Scene::new().start().await;
    for (payload, why) in [
        ("{\"cache\":\"burn\"}", "burn"),
        ("no json", "wanted"),
        ("{\"timers\":\"burn\"}", "expected `list` or `cancel`"),
        ("{\"cancel\":7}", "{\\\"timers\\\": \\\"list\\\"}"),
        ("{\"cache\":\"show\"}", "the phrase"),
    ] {
        stage.listener.publish("sayso/control/me", payload).await;
        let answer = stage
            .listener
            .wait_for(
                |m: &Message| m.topic == "sayso/control/me/answer" && m.text().contains(why),
                PATIENCE,
            )
            .await;
        assert_eq!(answer.expect(why).json()["ok"], false, "{payload}");
    }
    let health = stage
        .listener
        .wait_for(|m: &Message| m.topic == "sayso/health", PATIENCE)
        .await
        .unwrap()
        .json();
    assert_eq!(health["cache"]["memory"]["most_entries"], 512, "{health}");
}

/// The access list of `deploy/README.md`: who may only speak commands sees nothing of what others
/// said.
#[tokio::test]
async fn who_may_only_speak_commands_does_not_reach_the_cache() {
    let rules = "user kiosk\ntopic write sayso/command/kiosk\ntopic read sayso/reply/kiosk\n\
                 user operator\ntopic write sayso/control/operator\ntopic read sayso/control/operator/answer\n\
                 user sayso\ntopic readwrite #\n";
    let broker = Broker::mosquitto_with(|folder| {
        let path = folder.path().join("acl");
        std::fs::write(&path, rules).unwrap();
        format!("acl_file {}\n", path.display())
    });
    let broker = broker.await;
    let place = |user: &str| {
        Place::new(
            &format!(
                "[mqtt]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"{user}\"\n",
                broker.port()
            ),
            "",
        )
    };
    let (daemon_place, admin, kiosk) = (place("sayso"), place("operator"), place("kiosk"));
    let daemon = Daemon::start(&daemon_place);
    daemon.says("connected to the broker", PATIENCE).await;
    let allowed = cache(&admin, &["stats", "--source", "operator"]).await;
    assert!(allowed.status.success(), "{}", printed(&allowed));
    let denied = cache(&kiosk, &["stats", "--timeout", "3s"]).await;
    let as_other = cache(
        &kiosk,
        &["stats", "--source", "operator", "--timeout", "3s"],
    )
    .await;
    assert!(
        !as_other.status.success() && !printed(&as_other).contains("entries"),
        "{}",
        printed(&as_other)
    );
    assert!(
        !denied.status.success() && !printed(&denied).contains("entries"),
        "{}",
        printed(&denied)
    );
    assert!(
        printed(&denied).contains("does not allow it to publish to `sayso/control/cli`"),
        "{}",
        printed(&denied)
    );
}

fn light(id: &str, name: &str, state: &str) -> (String, String) {
    let config = json!({"name": null, "cmd_t": format!("{id}/set"), "stat_t": state, "dev": {"ids": [id], "name": name}});
    (
        format!("homeassistant/light/{id}/config"),
        config.to_string(),
    )
}

/// Announces a device, retained, and waits until the home is another one for it.
async fn announce(stage: &mut Stage, (topic, payload): (String, String)) {
    let revision =
        |m: &Message| (m.topic == "sayso/health").then(|| m.json()["home"]["revision"].clone());
    let heard = stage.listener.heard().await;
    let before = heard.iter().rev().find_map(revision);
    stage.listener.publish_retained(&topic, payload).await;
    let changed = stage.listener.wait_for(
        |m: &Message| {
            revision(m)
                .is_some_and(|now| !heard.iter().any(|old| revision(old).as_ref() == Some(&now)))
        },
        PATIENCE,
    );
    assert!(
        changed.await.is_some(),
        "the home never was another one than {before:?}\n{}",
        stage.daemon.log()
    );
}

#[tokio::test]
async fn a_draft_outlives_restarts_and_what_no_model_can_tell_and_not_a_new_device() {
    let model = Endpoint::start([Script::turns_on("desk_lamp")]).await;
    let mut stage = Scene::new().home("").endpoint(&model).start().await;
    announce(&mut stage, light("desk", "Desk lamp", "desk/state")).await;
    assert_eq!(stage.say("make it cosy").await["via"], "model1");
    announce(&mut stage, light("desk", "Desk lamp", "desk/moved")).await;
    assert_eq!(
        stage.say("make it cosy").await["via"],
        "cache",
        "where it tells its state is nothing a model knows"
    );

    // What is kept may be half a second on its way to the disk.
    tokio::time::sleep(Duration::from_millis(700)).await;
    stage.daemon.signal("TERM");
    stage.daemon.ended(PATIENCE).await;
    stage.daemon = Daemon::start(&stage.place);
    stage.daemon.says("devices found", PATIENCE).await;
    assert_eq!(
        stage.say("make it cosy").await["via"],
        "cache",
        "the same home, found anew"
    );

    announce(&mut stage, light("shelf", "Shelf lamp", "shelf/state")).await;
    assert_eq!(
        stage.say("make it cosy").await["via"],
        "model1",
        "with another lamp it may mean something else"
    );
    assert_eq!(model.requests(), 2);
}

#[tokio::test]
async fn what_came_to_nothing_is_not_asked_again_at_once() {
    let question = json!({"actions": [], "question": "Which one?", "speech": null}).to_string();
    let cases = [
        (Script::says(&question), "unclear"),
        (Script::turns_on("no_such_lamp"), "refused"),
        (
            Script::completion(
                &json!({"role": "assistant", "content": null, "refusal": "I will not."}),
                "stop",
            ),
            "refused",
        ),
    ];
    for (script, outcome) in cases {
        let model = Endpoint::start([script]).await;
        let mut stage = Scene::new().endpoint(&model).start().await;
        let (first, second) = (stage.say(COSY).await, stage.say(COSY).await);
        assert_eq!(
            (&first["outcome"], &second["outcome"]),
            (&json!(outcome), &json!(outcome)),
            "{first} {second}"
        );
        assert_eq!(first["speech"], second["speech"]);
        assert_eq!(model.requests(), 1, "{first}");
        assert!(stage.actions().await.is_empty());
    }
}
