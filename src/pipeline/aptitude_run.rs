//! Makes the aptitude tests of small models: in the background, at the first need, one question at
//! a time. The result is kept for 30 days. A test without a result, because of the network or a
//! limit, is made again later.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info, warn};

use crate::clock::{now, wall};
use crate::command::reply::Refusal;
use crate::pipeline::aptitude::{Aptitude, NextTest, key};
use crate::pipeline::handle::Pipeline;
use crate::prompt::aptitude::{AptitudeScore, is_required, questions};
use crate::provider::Settings;
use crate::router::Router;
use crate::store::Store;
use crate::store::aptitude::{LONGEST_AGE, StoredScore, StoredScores};

/// The longest wait for the results on disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Returns whether the drafts of this provider's model may be executed without a question, as
    /// far as its aptitude is concerned.
    pub(super) async fn is_apt(&self, provider: &str) -> bool {
        let router = &self.services.router;
        let Some(settings) = router.settings_of(provider) else {
            return true;
        };
        if !settings.may_need_aptitude_test() {
            return true;
        }
        let key = key(settings);
        let tests = &self.shared.aptitude;
        let aptitude = if let Some(known) = tests.known(&key) {
            known
        } else {
            let Some(found) = self.aptitude_of(provider, &key).await else {
                return true;
            };
            tests.keep(&key, found.clone());
            found
        };
        match aptitude {
            Aptitude::NotRequired => true,
            Aptitude::NotYet(_) => false,
            Aptitude::Tested { score, .. } => score.passes(),
        }
    }

    /// Finds whether a model has to be tested, and its result on disk; `None` where its server does
    /// not list its models now.
    async fn aptitude_of(&self, provider: &str, key: &str) -> Option<Aptitude> {
        let size = self.services.router.model_size(provider).await;
        let size = size.inspect_err(|error| debug!(provider, %error, "the models are not listed"));
        if !size.ok()?.is_some_and(is_required) {
            return Some(Aptitude::NotRequired);
        }
        let stored = match self.services.journal.store() {
            Some(store) => stored(store, key.to_owned()).await,
            None => None,
        };
        let aptitude = stored.and_then(|stored| {
            Some(Aptitude::Tested {
                score: AptitudeScore::stored(stored.right),
                until: now() + stored.time_left(wall())?,
            })
        });
        Some(aptitude.unwrap_or_else(|| Aptitude::NotYet(NextTest::at_once())))
    }

    /// Makes the tests that are needed, one after the other. Never returns.
    pub async fn run_aptitude_tests(&self) {
        let tests = &self.shared.aptitude;
        loop {
            let due = tests.due();
            let providers = self.services.router.settings().providers.iter();
            let next = providers
                .filter_map(|settings| Some((settings, due.get(&key(settings))?)))
                .min_by_key(|(_, next)| next.at);
            let Some((settings, next)) = next else {
                tests.wanted.notified().await;
                continue;
            };
            tokio::select! {
                () = sleep_until(next.at.into()) => self.test(settings, next.clone()).await,
                () = tests.wanted.notified() => {}
            }
        }
    }

    /// Makes one test, and keeps its result.
    async fn test(&self, settings: &Settings, next: NextTest) {
        let key = key(settings);
        let tests = &self.shared.aptitude;
        let score = match score(&self.services.router, &settings.name).await {
            Ok(score) => score,
            Err(refusal) => {
                let NextTest { mut backoff, .. } = next;
                let pause = backoff.next_delay();
                debug!(provider = settings.name, why = ?refusal, ?pause, "no aptitude test now");
                let at = now() + pause;
                return tests.keep(&key, Aptitude::NotYet(NextTest { at, backoff }));
            }
        };
        let AptitudeScore { right, of } = score;
        let Settings { name, model, .. } = settings;
        if score.passes() {
            info!(
                provider = name,
                model, right, of, "the model passed the aptitude test"
            );
        } else {
            warn!(
                provider = name,
                model,
                right,
                of,
                "the model did not pass the aptitude test, its actions are asked back: use a \
                 larger one, or set `trusted = true`"
            );
        }
        let until = now() + LONGEST_AGE;
        tests.keep(&key, Aptitude::Tested { score, until });
        if let Some(store) = self.services.journal.store() {
            let at = wall();
            let right = u8::try_from(right).unwrap_or_default();
            let written = spawn_blocking(move || {
                StoredScores::open(&store)?.write(&key, StoredScore { at, right })
            });
            if let Ok(Ok(Err(error))) = timeout(DISK_TIMEOUT, written).await {
                warn!(%error, "the aptitude of a model cannot be written to disk");
            }
        }
    }
}

/// Sends the questions to one provider.
async fn score(router: &Arc<Router>, provider: &str) -> Result<AptitudeScore, Refusal> {
    let mut answers: Vec<Option<String>> = Vec::new();
    for question in questions() {
        let answer = router.complete_at(provider, &question, |text| Ok(text.to_owned()));
        answers.push(match answer.await {
            Ok(answer) => Some(answer.answer),
            // Its answer was no answer.
            Err(Refusal::NotUnderstood { .. } | Refusal::Declined) => None,
            Err(refusal) => return Err(refusal),
        });
    }
    Ok(AptitudeScore::of(&answers))
}

/// Reads a result from disk.
async fn stored(store: Arc<Store>, key: String) -> Option<StoredScore> {
    let read = spawn_blocking(move || StoredScores::open(&store)?.read(&key));
    match timeout(DISK_TIMEOUT, read).await {
        Ok(Ok(Ok(stored))) => stored,
        Ok(Ok(Err(error))) => {
            warn!(%error, "the aptitude of a model cannot be read, it is tested again");
            None
        }
        Ok(Err(_)) | Err(_) => None,
    }
}
