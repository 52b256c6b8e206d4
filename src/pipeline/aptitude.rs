//! The aptitude of small models, as far as it is known: before a draft of a model below four
//! billion parameters is executed, the model must have answered the questions of
//! `prompt::aptitude`. Until then, and after a test that it did not pass, its drafts are asked
//! back. `aptitude_run` makes the tests.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::backoff::Backoff;
use crate::clock::now;
use crate::prompt::aptitude::{AptitudeScore, version};
use crate::provider::Settings;

/// The first pause after a test without a result; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_mins(1);

/// The longest pause after a test without a result.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The most models whose results are kept in memory.
const MOST_MODELS: usize = 64;

/// The results by model, kept over reloads.
#[derive(Debug, Default)]
pub(super) struct AptitudeTests {
    by_model: Mutex<HashMap<String, Aptitude>>,
    /// Notified when a model has to be tested.
    pub(super) wanted: Notify,
}

/// The result of a model, as far as it is known.
#[derive(Debug, Clone)]
pub(super) enum Aptitude {
    /// It is large, or its size is not known.
    NotRequired,
    /// It is not known before the next test.
    NotYet(NextTest),
    Tested {
        score: AptitudeScore,
        until: Instant,
    },
}

/// A test to be made.
#[derive(Debug, Clone)]
pub(super) struct NextTest {
    pub(super) at: Instant,
    pub(super) backoff: Backoff,
}

impl NextTest {
    pub(super) fn at_once() -> Self {
        Self {
            at: now(),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }
}

/// Returns the key of a result: another address, model, prompt or test has another one.
pub(super) fn key(settings: &Settings) -> String {
    let Settings {
        base_url, model, ..
    } = settings;
    format!("{base_url}\n{model}\n{:016x}", version())
}

impl AptitudeTests {
    pub(super) fn known(&self, key: &str) -> Option<Aptitude> {
        let known = self.by_model.lock().get(key).cloned();
        known.filter(|known| match known {
            Aptitude::Tested { until, .. } => *until > now(),
            Aptitude::NotRequired | Aptitude::NotYet(_) => true,
        })
    }

    pub(super) fn keep(&self, key: &str, aptitude: Aptitude) {
        let mut by_model = self.by_model.lock();
        if by_model.len() >= MOST_MODELS && !by_model.contains_key(key) {
            by_model.clear();
        }
        let is_wanted = matches!(aptitude, Aptitude::NotYet(_));
        by_model.insert(key.to_owned(), aptitude);
        drop(by_model);
        if is_wanted {
            self.wanted.notify_one();
        }
    }

    /// Forgets the results of these providers: each is tested again.
    pub(super) fn forget<'a>(&self, providers: impl Iterator<Item = &'a Settings>) {
        let mut by_model = self.by_model.lock();
        for settings in providers {
            by_model.remove(&key(settings));
        }
    }

    /// Returns the state of a provider's model for `sayso/health`; `None` where no test is needed.
    pub(super) fn state(&self, settings: &Settings) -> Option<&'static str> {
        if !settings.may_need_aptitude_test() {
            return None;
        }
        match self.known(&key(settings))? {
            Aptitude::NotRequired => None,
            Aptitude::NotYet(_) => Some("not yet"),
            Aptitude::Tested { score, .. } if score.passes() => Some("passed"),
            Aptitude::Tested { .. } => Some("failed"),
        }
    }

    /// Returns the models to test, each with the time of its test.
    pub(super) fn due(&self) -> HashMap<String, NextTest> {
        let by_model = self.by_model.lock();
        let due = by_model
            .iter()
            .filter_map(|(key, aptitude)| match aptitude {
                Aptitude::NotYet(next) => Some((key.clone(), next.clone())),
                Aptitude::NotRequired | Aptitude::Tested { .. } => None,
            });
        due.collect()
    }
}
