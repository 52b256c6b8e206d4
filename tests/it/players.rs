//! Several players in one place: the one that plays is meant.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::scene::{Scene, Stage};

const HOUSE: &str = r#"
[area.lounge]
[device.tv]
name = "Television"
kind = "media_player"
area = "lounge"
class = "tv"
can = ["playback", "volume"]
[device.shelf]
name = "Shelf speaker"
kind = "media_player"
area = "lounge"
class = "speaker"
can = ["playback", "volume"]
[device.window]
name = "Window speaker"
kind = "media_player"
area = "lounge"
class = "speaker"
can = ["playback", "volume"]
"#;

async fn reports(stage: &mut Stage, device: &str, playback: &str) {
    let payload = json!({"playback": playback}).to_string();
    let topic = format!("sayso/state/{device}");
    stage.listener.publish(&topic, payload).await;
}

/// The reply to a command, once the reports sent before are taken in.
async fn until_done(stage: &mut Stage, text: &str) -> Value {
    for _ in 0..200 {
        let reply = stage.say(text).await;
        if reply["outcome"] == "done" {
            return reply;
        }
        sleep(Duration::from_millis(25)).await;
    }
    unreachable!("{text} is never done");
}

/// The device and the value of each action since the last look.
async fn done(stage: &mut Stage) -> Vec<(String, Value)> {
    let actions = stage.actions().await.into_iter();
    let device = |topic: &str| topic.rsplit('/').next().unwrap().to_owned();
    actions
        .map(|(topic, payload)| (device(&topic), serde_json::from_str(&payload).unwrap()))
        .collect()
}

#[tokio::test]
async fn the_player_that_plays_is_meant() {
    let mut stage = Scene::new().home(HOUSE).start().await;
    let unknown = stage.say("skip this song in the lounge").await;
    assert_eq!(unknown["outcome"], "unclear", "{unknown}");
    for (device, playback) in [("tv", "paused"), ("shelf", "playing"), ("window", "paused")] {
        reports(&mut stage, device, playback).await;
    }
    let skipped = until_done(&mut stage, "skip this song in the lounge").await;
    assert_eq!(skipped["actions"][0]["device"], "shelf", "{skipped}");
    // The television is paused as well, but does not play music.
    let resumed = stage.say("resume the music in the lounge").await;
    assert_eq!(resumed["actions"][0]["device"], "window", "{resumed}");
    // Both speakers play now.
    let skipped = stage.say("skip this song in the lounge").await;
    assert_eq!(skipped["outcome"], "unclear", "{skipped}");
    // A pause does no harm to the others, and a movie is for the screen.
    let movie = stage.say("pause the movie in the lounge").await;
    assert_eq!(movie["actions"].as_array().unwrap().len(), 1, "{movie}");
    assert_eq!(movie["actions"][0]["device"], "tv", "{movie}");
    let paused = stage.say("pause the music in the lounge").await;
    assert_eq!(paused["actions"].as_array().unwrap().len(), 2, "{paused}");
    let devices: Vec<String> = done(&mut stage).await.into_iter().map(|(d, _)| d).collect();
    assert_eq!(devices, ["shelf", "window", "tv", "shelf", "window"]);
}
