//! A slow disk: a repeatable action does not wait for it, everything else does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::broker::Broker;
use crate::daemon::Daemon;
use crate::listener::Listener;
use crate::scene::{PATIENCE, Scene};

/// Stands between the program and the C library: a sync takes `SYNC_MS`, and nothing is written in
/// place or synced while the file `HOLD` exists.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
static void hold(void) {
    const char *file = getenv("HOLD");
    while (file && access(file, F_OK) == 0) usleep(5000);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    hold();
    return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(file, bytes, count, at);
}
int fdatasync(int file) {
    const char *ms = getenv("SYNC_MS");
    if (ms) usleep(1000 * atoi(ms));
    hold();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}
"#;

fn library(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("slow.c"), folder.join("slow.so"));
    std::fs::write(&source, LIBRARY).unwrap();
    // The program may be another machine's than this one, and run under qemu.
    let own = format!("{}-linux-gnu-gcc", std::env::consts::ARCH);
    let compile = |compiler: &str| {
        Command::new(compiler)
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
    };
    let built = compile(&own)
        .or_else(|_| compile("cc"))
        .expect("a C compiler is needed for this test");
    assert!(built.success());
    library
}

/// Starts a program whose syncs take this long; returns it with a listener and the file that holds
/// syncs.
async fn stage(sync: Duration) -> (Broker, Listener, Daemon, crate::daemon::Place, PathBuf) {
    let broker = Broker::mosquitto().await;
    let place = Scene::new().place(broker.port());
    let mut listener = Listener::connect(broker.port());
    listener.subscribe("#").await;
    let hold = place.path().join("hold");
    let mut program = place.sayso();
    program
        .env("LD_PRELOAD", library(place.path()))
        .env("HOLD", &hold)
        .env("SYNC_MS", sync.as_millis().to_string());
    let daemon = Daemon::start_as(&place, program);
    daemon.says("connected to the broker", PATIENCE).await;
    (broker, listener, daemon, place, hold)
}

#[tokio::test]
async fn an_absolute_action_does_not_wait_for_the_disk_and_one_that_is_harmful_twice_does() {
    let (_broker, mut listener, daemon, _place, hold) = stage(Duration::ZERO).await;
    std::fs::write(&hold, "").unwrap();
    listener
        .publish("sayso/command/a", "next track on the radio")
        .await;
    for (text, topic) in [
        ("turn on the kitchen light", "zigbee2mqtt/Kitchen light/set"),
        ("close the bedroom blind", "zigbee2mqtt/Bedroom blind/set"),
    ] {
        listener.publish("sayso/command/b", text).await;
        listener.expect(topic, PATIENCE).await;
        assert_eq!(
            listener.expect("sayso/reply/b", PATIENCE).await.json()["outcome"],
            "done",
            "{}",
            daemon.log()
        );
    }
    assert_eq!(
        listener.count("sayso/action/radio").await,
        0,
        "it is not in the journal yet"
    );
    assert_eq!(listener.count("sayso/reply/a").await, 0);
    std::fs::remove_file(&hold).unwrap();
    listener.expect("sayso/action/radio", PATIENCE).await;
    assert_eq!(
        listener.expect("sayso/reply/a", PATIENCE).await.json()["outcome"],
        "done"
    );
}

#[tokio::test]
async fn a_command_that_is_not_on_disk_is_sent_again_by_the_broker() {
    let (_broker, mut listener, mut daemon, place, hold) = stage(Duration::ZERO).await;
    std::fs::write(&hold, "").unwrap();
    listener
        .publish("sayso/command/a", "next track on the radio")
        .await;
    // It waits for the disk. Another reply would hand it to the kernel, where it survives.
    tokio::time::sleep(Duration::from_millis(300)).await;
    daemon.signal("KILL");
    daemon.ended(PATIENCE).await;
    drop(daemon);
    let daemon = Daemon::start(&place);
    assert_eq!(
        listener.expect("sayso/reply/a", PATIENCE).await.json()["outcome"],
        "done",
        "{}",
        daemon.log()
    );
    assert_eq!(listener.count("sayso/action/radio").await, 1);
}

#[tokio::test]
async fn a_slow_disk_is_reported_and_everything_is_served() {
    let (_broker, mut listener, daemon, _place, _) = stage(Duration::from_millis(250)).await;
    for text in [
        "turn on the kitchen light",
        "next track on the radio",
        "toggle the kitchen light",
    ] {
        listener.publish("sayso/command/a", text).await;
        assert_eq!(
            listener.expect("sayso/reply/a", PATIENCE).await.json()["outcome"],
            "done",
            "{}",
            daemon.log()
        );
    }
    daemon.says("the disk is slow", PATIENCE).await;
    let slow = listener
        .wait_for(
            |m| m.topic == "sayso/health" && m.json()["journal"]["slow"] == true,
            PATIENCE,
        )
        .await;
    assert!(
        slow.is_some_and(|health| health.json()["journal"]["safe"] == true),
        "{}",
        daemon.log()
    );
}

#[tokio::test]
async fn a_disk_that_hangs_suspends_the_journal_and_commands_are_served_without_it() {
    let (_broker, mut listener, mut daemon, _place, hold) = stage(Duration::ZERO).await;
    std::fs::write(&hold, "").unwrap();
    for n in 0..40 {
        // Both wait for the disk: one is not harmless twice, the other is a change from a state.
        let text = ["next track on the radio", "toggle the kitchen light"][n % 2];
        listener.publish("sayso/command/a", text).await;
    }
    daemon.says("a sync has not ended", PATIENCE).await;
    daemon.says("the store takes nothing", PATIENCE).await;
    for _ in 0..40 {
        let reply = listener.expect("sayso/reply/a", PATIENCE).await.json();
        assert_eq!(reply["outcome"], "done", "{reply}\n{}", daemon.log());
    }
    let health = listener
        .wait_for(
            |m| m.topic == "sayso/health" && m.json()["journal"]["safe"] == false,
            PATIENCE,
        )
        .await;
    assert!(health.is_some(), "{}", daemon.log());
    std::fs::remove_file(&hold).unwrap();
    daemon.says("the store works again", PATIENCE).await;
    daemon.signal("TERM");
    assert!(daemon.ended(PATIENCE).await.success());
}

#[tokio::test]
async fn a_stop_is_bounded_although_the_disk_hangs() {
    let (_broker, mut listener, mut daemon, _place, hold) = stage(Duration::ZERO).await;
    std::fs::write(&hold, "").unwrap();
    for _ in 0..20 {
        listener
            .publish("sayso/command/a", "next track on the radio")
            .await;
    }
    daemon.signal("TERM");
    daemon.ended(PATIENCE).await;
}
