//! SIGHUP: the files are read anew while commands are served; what is wrong with them changes
//! nothing.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::json;

use crate::broker::Broker;
use crate::daemon::Daemon;
use crate::endpoint::{Endpoint, Script};
use crate::scene::{HOME, PATIENCE, Scene, Stage};

const ATTIC: &str = "[device.attic_light]\nkind = \"light\"\n";

fn water() -> Script {
    let action = json!({"device": "pump", "property": "flow", "op": "set", "value": 5});
    Script::says(&json!({"actions": [action], "speech": null, "question": null}).to_string())
}

impl Stage {
    /// Puts other words into one of its files.
    fn rewrite(&self, file: &str, text: &str) {
        fs::write(self.place.path().join(file), text).unwrap();
    }

    fn config(&self) -> String {
        fs::read_to_string(self.place.config()).unwrap()
    }

    /// Sends SIGHUP and waits for these words in what is logged from now on.
    async fn reload(&self, words: &str) -> String {
        let before = self.daemon.log().len();
        self.daemon.signal("HUP");
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            let said = self.daemon.log().split_off(before);
            if said.contains(words) {
                return said;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "the log never said {words:?} after the reload:\n{said}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_reload_takes_up_the_home_the_rules_and_the_log_and_says_what_changed() {
    let mut stage = Scene::new().start().await;
    assert_ne!(
        stage.say("turn on the attic light").await["outcome"],
        "done"
    );
    stage.rewrite(
        "home.toml",
        &HOME.replace(
            "[device.radio]\nkind = \"media_player\"\narea = \"kitchen\"\n",
            ATTIC,
        ),
    );
    stage.rewrite(
        "sayso.toml",
        &format!(
            "{}\n[source.test]\ndeny = [\"kind:cover\"]\n",
            stage.config()
        ),
    );
    let said = stage.reload("config reloaded").await;
    assert!(
        said.contains("devices added: attic_light; devices removed: radio; rules for sources"),
        "{said}"
    );
    assert_eq!(
        stage.say("turn on the attic light").await["outcome"],
        "done"
    );
    assert_eq!(
        stage.say("open the bedroom blind").await["why"],
        "not_permitted"
    );
    assert!(
        stage
            .reload("config reloaded")
            .await
            .contains("changed=\"nothing\"")
    );
}

#[tokio::test]
async fn a_reload_of_wrong_files_names_every_fault_and_keeps_what_was_read_before() {
    let mut stage = Scene::new().start().await;
    let good = stage.config();
    stage.rewrite(
        "sayso.toml",
        &good.replace("[store]", "[store]\ncache = \"huge\"\n"),
    );
    stage.rewrite(
        "home.toml",
        "[device.lamp]\nkind = \"light\"\narea = \"nowhere\"\n",
    );
    let said = stage.reload("not reloaded").await;
    assert!(
        said.contains("store.cache") && said.contains("nowhere") && said.contains("faults=2"),
        "{said}"
    );
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
    fs::remove_file(stage.place.path().join("home.toml")).unwrap();
    stage.rewrite("sayso.toml", &format!("home = \"gone.toml\"\n{good}"));
    assert!(stage.reload("not reloaded").await.contains("gone.toml"));
    stage.rewrite("home.toml", HOME);
    stage.rewrite(
        "sayso.toml",
        &format!("{good}\n[local]\nlanguage = \"xx\"\n"),
    );
    assert!(
        stage
            .reload("not reloaded")
            .await
            .contains("expected one of de, en, es, fr, nl")
    );
    assert_eq!(
        stage.say("turn off the kitchen light").await["outcome"],
        "done"
    );
    stage.rewrite("sayso.toml", &good);
    stage.reload("config reloaded").await;
}

#[tokio::test]
async fn a_reload_takes_a_new_key_and_asks_the_provider_that_was_out() {
    let model = Endpoint::start(vec![
        Script::error(401, "invalid_api_key"),
        water(),
        Script::error(401, "invalid_api_key"),
        water(),
    ])
    .await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    assert_eq!(
        stage.say("a little water for the roses").await["why"],
        "nobody_answered"
    );
    assert_eq!(model.requests(), 1);
    let disabled = "provider is disabled until the next try";
    stage.daemon.says(disabled, PATIENCE).await;
    stage.rewrite("key", "sk-another-9876543210");
    let said = stage.reload("config reloaded").await;
    assert!(said.contains("the key of provider model1"), "{said}");
    assert_eq!(
        stage.say("a little water for the tulips").await["outcome"],
        "done"
    );
    assert!(
        model.heads()[1].contains("sk-another-9876543210"),
        "the new key is used"
    );
    assert!(
        !stage.daemon.log().contains("sk-another"),
        "and told to nobody"
    );
    // The same files: whoever mended his account reloads, and that is enough.
    assert_eq!(
        stage.say("a little water for the lilies").await["why"],
        "nobody_answered"
    );
    stage.reload("config reloaded").await;
    assert_eq!(
        stage.say("a little water for the asters").await["outcome"],
        "done"
    );
    assert!(
        !stage
            .daemon
            .log()
            .contains("although this one is not available"),
        "each reload enabled it; it was not called as a last resort"
    );
}

#[tokio::test]
async fn what_cannot_change_while_serving_is_said_to_want_a_restart() {
    let mut stage = Scene::new().start().await;
    let changed = stage
        .config()
        .replace("path = \"store\"", "path = \"elsewhere\"")
        .replace("[mqtt]", "[mqtt]\nprefix = \"house\"\nttl = \"20s\"");
    stage.rewrite("sayso.toml", &changed);
    stage.rewrite("home.toml", &format!("{HOME}{ATTIC}"));
    for _ in 0..2 {
        let said = stage.reload("need a restart").await;
        assert!(said.contains("mqtt.prefix, mqtt.ttl, store.path"), "{said}");
    }
    assert_eq!(
        stage.say("turn on the kitchen light").await["outcome"],
        "done"
    );
    assert!(
        stage
            .actions()
            .await
            .iter()
            .all(|(topic, _)| !topic.starts_with("house/"))
    );
    assert!(!stage.place.path().join("elsewhere").exists());
}

#[tokio::test]
async fn a_command_under_way_outlives_a_reload_and_later_ones_still_win() {
    let model = Endpoint::start(vec![water().after(Duration::from_millis(1500))]).await;
    let mut stage = Scene::new().endpoint(&model).start().await;
    let slow = stage.send("a little water for the roses").await;
    while model.requests() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stage.rewrite("home.toml", &format!("{HOME}{ATTIC}"));
    stage.reload("config reloaded").await;
    assert_eq!(
        stage.say("set the pump flow to 20").await["outcome"],
        "done"
    );
    assert_eq!(stage.reply_to(&slow).await["why"], "superseded");
}

#[tokio::test]
async fn a_reload_keeps_what_is_known_of_the_providers_that_did_not_change() {
    let failing = Endpoint::start(vec![Script::error(500, "server_error")]).await;
    let slow = Endpoint::start(vec![
        water(),
        water(),
        water().after(Duration::from_millis(1500)),
        water(),
    ])
    .await;
    let mut stage = Scene::new()
        .endpoint(&failing)
        .endpoint(&slow)
        .start()
        .await;
    for flower in ["roses", "tulips"] {
        assert_eq!(
            stage.say(&format!("a little water for the {flower}")).await["via"],
            "model2"
        );
    }
    assert_eq!(failing.requests(), 3, "its breaker is open");
    let under_way = stage.send("a little water for the lilies").await;
    while slow.requests() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let another = "\n[[provider]]\nname = \"another\"\nbase_url = \"http://127.0.0.1:9/v1\"\nmodel = \"scripted\"\n";
    stage.rewrite(
        "sayso.toml",
        &format!("{}{another}\n[ask]\npatience = \"1s\"\n", stage.config()),
    );
    assert!(stage.reload("config reloaded").await.contains("another"));
    let joined = stage.send("a little water for the lilies").await;
    // The two are equal, so that the later one may be done first.
    let replies = [
        stage.reply_to(&under_way).await,
        stage.reply_to(&joined).await,
    ];
    assert!(
        replies.iter().any(|reply| reply["outcome"] == "done"),
        "{replies:?}"
    );
    assert_eq!(
        (failing.requests(), slow.requests()),
        (3, 3),
        "nobody is asked again who is known to fail, and nothing twice"
    );
    // What a model said before is not asked again, whoever else is asked now.
    assert_eq!(
        stage.say("a little water for the roses").await["via"],
        "cache"
    );
    // Another key is another chance.
    stage.rewrite("key", "sk-another-9876543210");
    stage.reload("config reloaded").await;
    assert_eq!(
        stage.say("a little water for the asters").await["via"],
        "model2"
    );
    assert!(failing.requests() > 3);
}

/// What systemd would hear of a daemon.
struct Systemd(UnixDatagram);

impl Systemd {
    fn listen(stage: &crate::daemon::Place) -> Self {
        let socket = UnixDatagram::bind(stage.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message that has these words.
    fn hears(&self, words: &str) -> String {
        let mut heard = [0; 2048];
        loop {
            let n = self
                .0
                .recv(&mut heard)
                .unwrap_or_else(|_| panic!("systemd never heard {words:?}"));
            let text = String::from_utf8_lossy(&heard[..n]).into_owned();
            if text.contains(words) {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn systemd_hears_of_the_start_the_reload_the_broker_and_the_end() {
    let mut broker = Broker::mosquitto().await;
    let place = Scene::new()
        .endpoint(&Endpoint::start(vec![water()]).await)
        .place(broker.port());
    let systemd = Systemd::listen(&place);
    let mut command = place.sayso();
    command
        .env("NOTIFY_SOCKET", place.path().join("notify"))
        .env("WATCHDOG_USEC", "400000");
    let mut daemon = Daemon::start_as(&place, command);
    assert!(systemd.hears("READY=1").contains(&format!(
        "STATUS=serving at 127.0.0.1:{}; 5 devices in 2 areas; models: model1 up",
        broker.port()
    )));
    systemd.hears("WATCHDOG=1");
    let home = place.path().join("home.toml");
    fs::write(&home, format!("{HOME}{ATTIC}")).unwrap();
    daemon.signal("HUP");
    assert!(systemd.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    assert!(systemd.hears("READY=1").contains("6 devices in 2 areas"));
    fs::write(&home, "not TOML").unwrap();
    daemon.signal("HUP");
    systemd.hears("RELOADING=1");
    assert!(systemd.hears("READY=1").contains(
        "6 devices in 2 areas; models: model1 up; NOT RELOADED: 1 fault in the config, see the log"
    ));
    broker.stop().await;
    systemd.hears("STATUS=waiting for the broker");
    systemd.hears("WATCHDOG=1");
    broker.start().await;
    assert!(systemd.hears("READY=1").contains("STATUS=serving"));
    daemon.signal("TERM");
    systemd.hears("STOPPING=1");
    assert_eq!(daemon.ended(PATIENCE).await.code(), Some(0));
}

#[tokio::test]
async fn devices_announced_stay_over_a_reload() {
    let mut stage = Scene::new().start().await;
    stage
        .listener
        .publish_retained(
            "homeassistant/switch/fan/config",
            r#"{"name": "Ceiling fan", "cmd_t": "fan/set"}"#,
        )
        .await;
    stage.daemon.says("devices found", PATIENCE).await;
    stage.rewrite("home.toml", &format!("{HOME}{ATTIC}"));
    stage.reload("config reloaded").await;
    assert_eq!(
        stage.say("turn on the ceiling fan").await["outcome"],
        "done"
    );
    assert_eq!(
        stage.say("turn on the attic light").await["outcome"],
        "done"
    );
}

#[tokio::test]
async fn a_reload_with_another_prefix_applies_the_rules_it_names() {
    let mut stage = Scene::new().start().await;
    let changed = stage
        .config()
        .replace("[mqtt]", "[mqtt]\nprefix = \"house\"")
        + "\n[source.test]\ndeny = [\"device:kitchen_light\"]\n";
    stage.rewrite("sayso.toml", &changed);
    stage.rewrite("home.toml", &format!("{HOME}{ATTIC}risk = \"never\"\n"));
    let said = stage.reload("need a restart").await;
    assert!(said.contains("mqtt.prefix"), "{said}");
    for text in ["turn on the kitchen light", "turn on the attic light"] {
        let reply = stage.say(text).await;
        assert_eq!(reply["outcome"], "refused", "{reply}");
    }
    assert!(stage.actions().await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_gone_at_a_reload_changes_nothing() {
    let mut stage = Scene::new().start().await;
    let home = stage.place.path().join("home.toml");
    fs::remove_file(&home).unwrap();
    let said = stage.reload("not reloaded").await;
    assert!(said.contains("home.toml: there is no such file"), "{said}");
    let reply = stage.say("turn on the kitchen light").await;
    assert_eq!(reply["outcome"], "done", "{reply}");
}

#[tokio::test]
async fn a_command_that_waits_for_a_model_is_permitted_by_the_rules_of_its_answer() {
    let model = Endpoint::start(vec![
        Script::turns_on("radio").after(Duration::from_secs(2)),
        Script::turns_on("radio").after(Duration::from_secs(2)),
    ])
    .await;
    for change in ["[source.test]\ndeny = [\"*\"]\n", "risk"] {
        let mut stage = Scene::new().endpoint(&model).start().await;
        let before = model.requests();
        let waiting = stage.send("some tunes from the radio would be fine").await;
        while model.requests() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if change == "risk" {
            let radio = "[device.radio]\n";
            let never = format!("{radio}risk = \"never\"\n");
            stage.rewrite("home.toml", &HOME.replace(radio, &never));
        } else {
            stage.rewrite("sayso.toml", &format!("{}\n{change}", stage.config()));
        }
        stage.reload("config reloaded").await;
        let reply = stage.reply_to(&waiting).await;
        assert_eq!(reply["why"], "not_permitted", "{change}: {reply}");
        assert!(stage.actions().await.is_empty());
    }
}
