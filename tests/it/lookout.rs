//! A server of one's own that went away: looked after by a free question until it is back, and
//! shown in the health.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use sayso::testing::provider::{Settings, ollama, openai};
use sayso::testing::router::{ProviderState, Router};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::endpoint::{Endpoint, Script};
use crate::failover::{ask, asking, pass, provider};
use crate::scene::{PATIENCE, Scene};

/// A server that is away, or ill, or well, as the test wants it; and how many free questions it was
/// asked.
async fn own_server() -> (Endpoint, Arc<AtomicU8>, Arc<AtomicUsize>) {
    let (how, looks) = (Arc::new(AtomicU8::new(WELL)), Arc::<AtomicUsize>::default());
    let (is, looked) = (Arc::clone(&how), Arc::clone(&looks));
    let endpoint = Endpoint::answering(move |_, body| {
        let free = body.is_empty();
        looked.fetch_add(free.into(), Ordering::Relaxed);
        match (is.load(Ordering::Relaxed), free) {
            (AWAY, _) => Script::reset(),
            (_, true) => Script::status(200, "{\"models\":[]}"),
            (ILL, false) => Script::error(500, "server_error"),
            (_, false) => Script::turns_on("lamp"),
        }
    });
    (endpoint.await, how, looks)
}

/// Waits a moment for the first provider to stand so.
async fn stands(asked: &Router, state: ProviderState) {
    let until = Instant::now() + Duration::from_secs(5);
    while asked.health()[0].state != state {
        assert!(Instant::now() < until, "{:?}", asked.health()[0]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const WELL: u8 = 0;
const ILL: u8 = 1;
const AWAY: u8 = 2;

/// Lets time pass until so many free questions were asked.
async fn looked(looks: &AtomicUsize, times: usize) {
    for _ in 0..100 {
        if looks.load(Ordering::Relaxed) >= times {
            // The answer is still on its way.
            return tokio::time::sleep(Duration::from_millis(50)).await;
        }
        pass(Duration::from_secs(1)).await;
        // A free question on its way is not to be overtaken by the next second.
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    panic!(
        "{} of {times} free questions",
        looks.load(Ordering::Relaxed)
    );
}

#[tokio::test]
async fn a_server_of_ones_own_is_looked_after_only_while_it_is_away_and_no_command_pays() {
    for api in [&openai::SPEC, &ollama::SPEC] {
        let ((own, how, looks), other) = (
            own_server().await,
            Endpoint::start([Script::turns_on("lamp")]).await,
        );
        let looked_after = Settings {
            api,
            probe: true,
            ..provider("own", own.url_of(api))
        };
        let (asked, _) = asking(vec![looked_after, provider("other", other.url())]);
        let asked = Arc::new(asked);
        let mut lookout = JoinSet::new();
        lookout.spawn({
            let asked = Arc::clone(&asked);
            async move { asked.probe_providers().await }
        });
        assert_eq!(&*ask(&asked).await.unwrap().provider, "own");
        pass(Duration::from_hours(1)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(
            looks.load(Ordering::Relaxed),
            0,
            "while it answers it is left alone"
        );
        how.store(AWAY, Ordering::Relaxed);
        while asked.health()[0].state != ProviderState::Open {
            assert_eq!(&*ask(&asked).await.unwrap().provider, "other");
        }
        looked(&looks, 5).await;
        let paid = own.requests() - looks.load(Ordering::Relaxed);
        assert_eq!(
            asked.health()[0].state,
            ProviderState::Open,
            "long past the breaker's own time"
        );
        assert_eq!(&*ask(&asked).await.unwrap().provider, "other");
        assert_eq!(
            own.requests() - looks.load(Ordering::Relaxed),
            paid,
            "no command asks a server known to be away"
        );
        how.store(WELL, Ordering::Relaxed);
        let before = looks.load(Ordering::Relaxed);
        looked(&looks, before + 1).await;
        stands(&asked, ProviderState::HalfOpen).await;
        for state in [ProviderState::HalfOpen, ProviderState::Up] {
            assert_eq!(
                &*ask(&asked).await.unwrap().provider,
                "own",
                "the first command after the free question is answered"
            );
            assert_eq!(asked.health()[0].state, state);
        }
        pass(Duration::from_hours(1)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(looks.load(Ordering::Relaxed), before + 1);
        let path = if *api == ollama::SPEC {
            "get /api/tags http"
        } else {
            "get /v1/models http"
        };
        assert_eq!(
            own.heads()
                .iter()
                .filter(|head| head.starts_with(path))
                .count(),
            before + 1
        );
    }
}

#[tokio::test]
async fn a_server_that_is_there_and_fails_is_not_taken_for_mended() {
    let ((own, how, looks), other) = (
        own_server().await,
        Endpoint::start([Script::turns_on("lamp")]).await,
    );
    let (asked, _) = asking(vec![
        Settings {
            probe: true,
            ..provider("own", own.url())
        },
        provider("other", other.url()),
    ]);
    how.store(ILL, Ordering::Relaxed);
    for _ in 0..2 {
        ask(&asked).await.unwrap();
    }
    let asked = Arc::new(asked);
    let mut lookout = JoinSet::new();
    lookout.spawn({
        let asked = Arc::clone(&asked);
        async move { asked.probe_providers().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    looked(&looks, 1).await;
    assert_eq!(asked.health()[0].state, ProviderState::Open);
    pass(Duration::from_mins(10)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        (looks.load(Ordering::Relaxed), own.requests()),
        (1, 4),
        "one look, and then its breaker alone says when"
    );
}

#[tokio::test]
async fn the_daemon_shows_who_is_away_and_who_is_back_before_a_command_tells() {
    let ((own, how, _), other) = (
        own_server().await,
        Endpoint::start([Script::turns_on("radio")]).await,
    );
    let mut stage = Scene::new().endpoint(&own).endpoint(&other).start().await;
    how.store(AWAY, Ordering::Relaxed);
    for n in 0..2 {
        assert_eq!(
            stage.say(&format!("some music number {n}")).await["via"],
            "model2"
        );
    }
    let shows = |state: &'static str| {
        move |m: &crate::listener::Message| {
            m.topic == "sayso/health" && m.json()["providers"][0]["state"] == state
        }
    };
    let health = stage
        .listener
        .wait_for(shows("open"), PATIENCE)
        .await
        .expect("health tells that it is away")
        .json();
    assert_eq!(health["providers"][0]["failures"], 3, "{health}");
    // Long enough that the first free question finds it away.
    tokio::time::sleep(Duration::from_secs(3)).await;
    how.store(WELL, Ordering::Relaxed);
    stage.daemon.says("provider responds again", PATIENCE).await;
    stage
        .listener
        .wait_for(shows("half_open"), PATIENCE)
        .await
        .expect("health tells that it is back");
    let reply = stage.say("some music to end with").await;
    assert_ne!(reply["via"], "model2", "{reply}");
    let log = stage.daemon.log();
    println!(
        "{}",
        log.lines()
            .filter(|line| line.contains("provider="))
            .collect::<Vec<_>>()
            .join("\n")
    );
    for because in ["first in order", "the provider before it failed"] {
        assert!(log.contains(&format!("because=\"{because}\"")), "{log}");
    }
}

/// A server whose list of models fails is not taken for one that is away.
#[tokio::test]
async fn a_server_whose_list_of_models_fails_is_used_again_after_its_breaker() {
    for status in [404, 405, 500, 501, 502, 503] {
        let is_ill = Arc::new(AtomicU8::new(ILL));
        let how = Arc::clone(&is_ill);
        let own = Endpoint::answering(move |_, body| {
            if body.is_empty() {
                return Script::status(status, "<html>Unsupported method</html>");
            }
            match how.load(Ordering::Relaxed) {
                ILL => Script::error(500, "server_error"),
                _ => Script::turns_on("lamp"),
            }
        })
        .await;
        let other = Endpoint::start([Script::turns_on("lamp")]).await;
        let first = Settings {
            probe: true,
            ..provider("own", own.url())
        };
        let (asked, _) = asking(vec![first, provider("other", other.url())]);
        let asked = Arc::new(asked);
        for _ in 0..2 {
            ask(&asked).await.unwrap();
        }
        assert_eq!(asked.health()[0].state, ProviderState::Open, "{status}");
        let mut probes = JoinSet::new();
        probes.spawn({
            let asked = Arc::clone(&asked);
            async move { asked.probe_providers().await }
        });
        is_ill.store(WELL, Ordering::Relaxed);
        let mut waited = Duration::ZERO;
        while &*ask(&asked).await.unwrap().provider != "own" {
            assert!(
                waited < Duration::from_mins(6),
                "{status}: not after {waited:?}"
            );
            pass(Duration::from_secs(10)).await;
            waited += Duration::from_secs(10);
        }
    }
}
