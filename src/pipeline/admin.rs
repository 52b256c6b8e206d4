//! Requests of operators to the running daemon: about the cache, the timers of all sources, and the
//! providers. Only this process has the store open.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::cache::Trace;
use crate::clock::now;
use crate::command::phrase::Phrase;
use crate::grammar::When;
use crate::home::permit::{Denied, PermitRequest};
use crate::pipeline::handle::Pipeline;
use crate::schedule::timer::TimerId;
use crate::vocabulary::action::Draft;

/// The payload of a request; its first key tells what it is about.
enum ControlRequest {
    Cache(CacheRequest),
    Timers(TimersRequest),
    Providers(ProvidersRequest),
}

/// A request about the cache.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CacheRequest {
    cache: CacheRequestAction,
    /// The phrase. A `clear` without it removes all phrases.
    text: Option<String>,
    /// The source whose rights apply; by default that of the request.
    source: Option<String>,
    area: Option<String>,
    language: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CacheRequestAction {
    Stats,
    Show,
    Clear,
}

/// A request about the timers of all sources.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimersRequest {
    timers: TimersRequestAction,
    /// The number of the timer to cancel; `None` for all.
    timer: Option<TimerId>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TimersRequestAction {
    List,
    Cancel,
}

/// A request about providers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProvidersRequest {
    providers: ProvidersAction,
    /// The provider; `None` for all.
    name: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ProvidersAction {
    /// Call it again at once, whatever prevents that.
    Reset,
}

impl ControlRequest {
    fn parse(payload: &[u8]) -> Result<Self, serde_json::Error> {
        let object: Map<String, Json> = serde_json::from_slice(payload)?;
        let has_timers = object.contains_key("timers");
        let has_providers = object.contains_key("providers");
        let object = Json::Object(object);
        if has_timers {
            serde_json::from_value(object).map(Self::Timers)
        } else if has_providers {
            serde_json::from_value(object).map(Self::Providers)
        } else {
            serde_json::from_value(object).map(Self::Cache)
        }
    }
}

impl Pipeline {
    fn manage_timers(&self, who: &str, request: &TimersRequest) -> Json {
        if let TimersRequestAction::List = request.timers {
            return json!({"ok": true, "timers": self.timers_document()});
        }
        let cancelled = self.cancel_timers(request.timer);
        if let (Some(timer), true) = (request.timer, cancelled.is_empty()) {
            return refused(&format!("there is no timer {timer}"));
        }
        tracing::info!(who, ?cancelled, "timers were cancelled by an operator");
        json!({"ok": true, "cancelled": cancelled.len()})
    }

    fn reset_providers(&self, who: &str, request: &ProvidersRequest) -> Json {
        let ProvidersAction::Reset = request.providers;
        let reset = self.services.router.reset(request.name.as_deref());
        if let (Some(name), true) = (&request.name, reset.is_empty()) {
            return refused(&format!("there is no provider `{name}`"));
        }
        let providers = self.services.router.settings().providers.iter();
        let meant = providers.filter(|settings| reset.contains(&settings.name));
        self.shared.aptitude.forget(meant);
        tracing::info!(
            who,
            providers = reset.join(", "),
            "providers were reset by an operator"
        );
        json!({"ok": true, "reset": reset})
    }

    /// Returns the answer to a request of `who`: `ok` and the result, or the reason for the
    /// refusal. Blocks while the disk is read.
    pub fn admin(&self, who: &str, request: &[u8]) -> Json {
        match ControlRequest::parse(request) {
            Ok(ControlRequest::Cache(request)) => self.manage_cache(who, &request),
            Ok(ControlRequest::Timers(request)) => self.manage_timers(who, &request),
            Ok(ControlRequest::Providers(request)) => self.reset_providers(who, &request),
            Err(error) => refused(&format!(
                "wanted {{\"cache\": \"stats\"}}, \"show\" or \"clear\", the last two with a \
                 \"text\"; {{\"timers\": \"list\"}} or \"cancel\"; or {{\"providers\": \
                 \"reset\"}}: {error}"
            )),
        }
    }

    fn manage_cache(&self, who: &str, request: &CacheRequest) -> Json {
        let source = request.source.as_deref().unwrap_or(who);
        let phrase = request
            .text
            .as_deref()
            .map(|text| Phrase::new(text, request.area.as_deref(), request.language.as_deref()));
        match (request.cache, phrase) {
            (CacheRequestAction::Stats, _) => json!({"ok": true, "cache": self.cache_figures()}),
            (CacheRequestAction::Show, Some(phrase)) => self.cache_show(&phrase, source),
            (CacheRequestAction::Show, None) => refused("`show` wants a \"text\": the phrase"),
            (CacheRequestAction::Clear, phrase) => {
                match self.services.cache.forget(phrase.as_ref()) {
                    Ok(_) if self.services.cache.forget_shared(phrase.as_ref()).is_none() => {
                        refused(
                            "redis does not answer, and its drafts are still used by every node: try again \
                     when `sayso doctor` reaches it",
                        )
                    }
                    Ok(removed) => {
                        tracing::info!(
                            removed,
                            who,
                            one_phrase = phrase.is_some(),
                            "the cache was cleared by an operator"
                        );
                        json!({"ok": true, "removed": removed})
                    }
                    Err(error) => refused(&format!("the store cannot be written: {error}")),
                }
            }
        }
    }

    /// Returns the size, the limits and the hits of the cache.
    pub(super) fn cache_figures(&self) -> Json {
        let counters = &self.services.counters;
        let mut figures = json!({
            "hits": counters.cache_hits.value(),
            "misses": counters.cache_misses.value(),
            "redis_hits": counters.redis_cache_hits.value(),
        });
        for (name, tier) in self.services.cache.tiers().named() {
            figures[name] = json!(tier);
        }
        figures
    }

    fn cache_show(&self, phrase: &Phrase, source: &str) -> Json {
        let home = self.home();
        let services = &self.services;
        let key = self.draft_key(phrase, &home, source);
        let kept = match services.cache.trace(&key) {
            Ok(kept) => kept,
            Err(error) => return refused(&format!("the store cannot be read: {error}")),
        };
        let is_understood_locally = services.grammar.when() == When::First
            && services.grammar.draft(phrase, &home).is_some();
        let first = kept.first();
        let (used, why) = match first {
            _ if is_understood_locally => (
                false,
                "it is understood locally: the cache is not used".to_owned(),
            ),
            None => (
                false,
                "nothing is kept: the phrase was not used lately, or its answer may not be kept"
                    .to_owned(),
            ),
            Some(Trace {
                unused: Some(why), ..
            }) => (false, format!("something is kept, but {why}")),
            Some(Trace {
                draft: None,
                good_for,
                ..
            }) => (
                true,
                format!("a model would not answer it, and is not asked again for {good_for} s"),
            ),
            Some(Trace {
                draft: Some(draft), ..
            }) => (true, self.permission_of(draft, phrase, source)),
        };
        json!({"ok": true, "phrase": phrase.text(), "source": source, "used": used, "why": why, "kept": kept})
    }

    /// Describes the verdict of the permission gate on a cached draft.
    fn permission_of(&self, draft: &Draft, phrase: &Phrase, source: &str) -> String {
        if let Some(question) = &draft.question {
            return format!("it would be asked back: {question}");
        }
        let context = PermitRequest {
            source,
            command: "show",
            confirmed: false,
            now: now(),
            speech: self.services.grammar.speech(phrase),
        };
        match self.home().permit(draft, &self.shared.state(), context) {
            Ok(plan) if plan.steps().is_empty() => {
                "it would be answered, without a model".to_owned()
            }
            Ok(_) => "it would be done, without a model".to_owned(),
            Err(Denied::Unconfirmed { question }) => format!("it would ask for a yes: {question}"),
            Err(denied) => format!("it would be used, and the gate would refuse it: {denied}"),
        }
    }
}

fn refused(why: &str) -> Json {
    json!({"ok": false, "why": why})
}
