//! What the way of a command leads through, and what it remembers between two commands.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedMutexGuard, Semaphore, watch};

use crate::cache::{DraftCache, Key};
use crate::clock::now;
use crate::command::phrase::Phrase;
use crate::command::reply::{Done, Outcome, Piece, Refusal, Reply};
use crate::command::{Command, ReplyTo, Source};
use crate::grammar::explain::Explanation;
use crate::grammar::{LocalGrammar, When};
use crate::home::Home;
use crate::home::permit::Plan;
use crate::home::state::State;
use crate::pipeline::Interpretation;
use crate::pipeline::admission::Admission;
use crate::pipeline::confirmation::PendingConfirmations;
use crate::pipeline::device_order::DeviceOrder;
use crate::pipeline::dispatch::PublishFn;
use crate::pipeline::single_flight::SingleFlight;
use crate::prompt::Composer;
use crate::router::answer_stream::AnswerStream;
use crate::router::settings::Streaming;
use crate::router::{RoutedAnswer, Router};
use crate::store::journal::{Journal, Seq};
use crate::telemetry::counters::Counters;
use crate::vocabulary::action::Action;
use crate::vocabulary::slug::Slug;
use crate::vocabulary::speech::Speech;

/// Questions to models that may wait at once; one more is refused as busy. Commands that are known do not count.
pub(super) const MOST_QUESTIONS: usize = 64;

/// In what order commands are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommandOrder {
    /// What a device hears is in the order of what was said; commands for other devices do not wait.
    #[default]
    Device,
    /// Each command of a source waits for the one before it.
    Source,
}

/// What a command goes through. Each room is shared, so that a reload exchanges only those it must.
#[derive(Clone)]
pub struct Services {
    /// The reading without a network.
    pub local: Arc<LocalGrammar>,
    /// What was said before.
    pub recall: Arc<DraftCache>,
    /// Who is within his quota.
    pub admit: Arc<Admission>,
    /// The question, as data.
    pub composer: Arc<Composer>,
    /// The providers.
    pub ask: Arc<Router>,
    /// What was heard, and how it was answered.
    pub journal: Arc<Journal>,
    /// What happened.
    pub counters: Arc<Counters>,
}

impl Services {
    /// Why it was not understood, where there is no model to ask.
    pub(super) fn no_model(&self, phrase: &Phrase) -> Refusal {
        let others = self
            .local
            .unknown_language(phrase)
            .filter(|_| self.local.when() != When::Never);
        match (phrase.language(), others) {
            (Some(language), Some(known)) => Refusal::UnknownLanguage {
                language: language.to_owned(),
                known,
            },
            _ => Refusal::NoModel,
        }
    }
}

/// The way of a command. What it remembers is shared with the one that takes its place after a reload: commands under way end in
/// the rooms they began in.
pub struct Pipeline {
    pub(super) rooms: Services,
    home: Mutex<Arc<Home>>,
    state: Arc<Mutex<State>>,
    consent: Arc<Mutex<PendingConfirmations>>,
    turns: Arc<Mutex<DeviceOrder>>,
    /// Wakes those that stand in line at a device.
    pub(super) moved: Arc<Notify>,
    /// Equal questions in flight share one answer.
    pub(super) flight: Arc<SingleFlight<Key, Result<RoutedAnswer, Refusal>>>,
    /// Bounds what may wait for models.
    pub(super) questions: Arc<Semaphore>,
    /// How long a command may wait for a model.
    pub(super) patience: Duration,
    /// Becomes true when the grace period is nearly over: nobody waits for a model any more.
    closing: watch::Sender<bool>,
    /// With `order = "source"`, the last command of each source.
    sources: Option<Arc<Mutex<SourceQueues>>>,
    pub(super) deliver: Arc<PublishFn>,
    /// Where long answers go out in pieces.
    speak: Option<Speak>,
}

/// Takes a piece of an answer at once.
pub type Speak = Arc<dyn Fn(Piece, &ReplyTo) + Send + Sync>;

/// The last command of each source: the next waits for it.
type SourceQueues = HashMap<Source, Arc<tokio::sync::Mutex<()>>>;

impl Pipeline {
    /// Puts the way together. `patience` is how long a command may wait for a model.
    pub fn new(
        rooms: Services,
        home: Arc<Home>,
        order: CommandOrder,
        patience: Duration,
        deliver: PublishFn,
    ) -> Self {
        Self {
            rooms,
            home: Mutex::new(home),
            state: Arc::default(),
            consent: Arc::default(),
            turns: Arc::default(),
            moved: Arc::default(),
            flight: Arc::default(),
            questions: Arc::new(Semaphore::new(MOST_QUESTIONS)),
            patience,
            closing: watch::Sender::new(false),
            sources: (order == CommandOrder::Source).then(Arc::default),
            deliver: Arc::new(deliver),
            speak: None,
        }
    }

    /// The same way through other rooms: what is known, promised and waited for goes on.
    #[must_use]
    pub fn renewed(&self, rooms: Services, order: CommandOrder, patience: Duration) -> Self {
        Self {
            rooms,
            home: Mutex::new(self.home()),
            state: Arc::clone(&self.state),
            consent: Arc::clone(&self.consent),
            turns: Arc::clone(&self.turns),
            moved: Arc::clone(&self.moved),
            flight: Arc::clone(&self.flight),
            questions: Arc::clone(&self.questions),
            patience,
            closing: self.closing.clone(),
            sources: (order == CommandOrder::Source)
                .then(|| self.sources.clone().unwrap_or_default()),
            deliver: Arc::clone(&self.deliver),
            speak: self.speak.clone(),
        }
    }

    /// The rooms it leads through.
    pub fn rooms(&self) -> &Services {
        &self.rooms
    }

    /// Long answers go out in pieces too.
    #[must_use]
    pub fn speaking(mut self, speak: Speak) -> Self {
        self.speak = Some(speak);
        self
    }

    /// The voice of a command whose answer is to go out in pieces: where it, or the config, says so, or by `is_long`.
    pub(super) fn voice(
        &self,
        command: &Command,
        is_long: impl FnOnce() -> bool,
    ) -> Option<Arc<AnswerStream>> {
        let wanted = match self.rooms.ask.streaming() {
            Streaming::Never => false,
            Streaming::Always => command.stream.unwrap_or(true),
            Streaming::Auto => command.stream.unwrap_or_else(is_long),
        };
        let (speak, to) = (
            self.speak.clone().filter(|_| wanted)?,
            command.reply_to.clone(),
        );
        Some(Arc::new(AnswerStream::new(
            command.id.clone(),
            Box::new(move |piece| speak(piece, &to)),
        )))
    }

    /// The home as it is now.
    pub fn home(&self) -> Arc<Home> {
        Arc::clone(&self.home.lock())
    }

    /// From now on this is the home. What is known of the devices that stay is kept; commands under way end in the home they began in.
    pub fn furnish(&self, home: Arc<Home>) {
        let old = self.home();
        let moved = self.state().moved(&old, &home);
        *self.state() = moved;
        self.turns()
            .retain(|device| home.device(device.as_str()).is_some());
        // A yes must not reach another device than the one that was asked about.
        let stays = |action: &Action| old.device(&action.device) == home.device(&action.device);
        self.consent().retain(|draft| {
            draft
                .actions
                .iter()
                .chain(draft.choices.iter().flat_map(|choice| &choice.actions))
                .all(stays)
        });
        *self.home.lock() = home;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn consent(&self) -> MutexGuard<'_, PendingConfirmations> {
        self.consent.lock()
    }

    pub(super) fn turns(&self) -> MutexGuard<'_, DeviceOrder> {
        self.turns.lock()
    }

    /// A message came on a state topic.
    pub fn observe(&self, topic: &str, payload: &[u8]) {
        let heard = self.home().observe(topic, payload);
        if heard.is_empty() {
            return;
        }
        tracing::debug!(topic, properties = heard.len(), "state heard");
        let mut state = self.state();
        for (device, property, value) in heard {
            state.heard(&device, &property, value, now());
        }
    }

    /// What the local reading takes each word for.
    pub fn explain(&self, phrase: &Phrase) -> Option<Explanation> {
        self.rooms.local.explain(phrase, &self.home())
    }

    /// In an earlier life these devices heard something for these commands: what was said before that must not reach them any more.
    pub fn remember(&self, heard: Vec<(String, Seq)>) {
        let mut turns = self.turns();
        for (device, mark) in heard {
            if let Ok(device) = Slug::new(&device) {
                turns.take(&device, mark.turn());
            }
        }
    }

    /// What is known of the devices from elsewhere, such as a file: replaces all that was known.
    pub fn assume(&self, known: State) {
        *self.state() = known;
    }

    /// No command waits for a model any more: those that do are answered `stopping`.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(super) async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // The sender lives in self, so this cannot fail.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// Waits for the source's earlier command, where the order says so.
    pub(super) async fn in_order(&self, source: &Source) -> Option<OwnedMutexGuard<()>> {
        let turn = {
            let mut sources = self.sources.as_ref()?.lock();
            sources.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(sources.entry(source.clone()).or_default())
        };
        Some(turn.lock_owned().await)
    }

    pub(super) fn too_many_questions(&self) -> Refusal {
        self.rooms.counters.commands_rejected.increment();
        // A place is free when the longest-waiting question gives up, at the latest.
        Refusal::Busy {
            retry_after: self.patience / 2,
        }
    }

    /// A little tidying: to be called now and then.
    pub fn sweep(&self) {
        let rooms = self.rooms();
        rooms.recall.sweep(rooms.composer.edition(&self.home()));
    }
}

/// What can be told about a command so far: the makings of its reply.
#[derive(Default)]
pub(super) struct ReplyBuilder {
    pub(super) actions: Vec<Done>,
    via: Option<String>,
    pub(super) speech: String,
    answered: bool,
    /// True where a crash must find it in the journal: it would not come to the same a second time.
    pub(super) once: bool,
    /// True where a power cut must find it there too: done a second time it does harm, or something else than the first time.
    pub(super) delicate: bool,
    /// Who tells the answer piece by piece, where somebody does.
    pub(super) voice: Option<Arc<AnswerStream>>,
}

impl ReplyBuilder {
    /// One action was not done, or may not have been.
    pub(super) fn not_done(&mut self, action: &Action, why: &str) {
        if let Some(done) = self.actions.iter_mut().find(|done| done.action == *action) {
            done.why = Some(why.to_owned());
        }
    }

    pub(super) fn understood(&mut self, understood: &Interpretation) {
        self.via = Some(understood.via.clone());
        self.actions = understood
            .draft
            .actions
            .iter()
            .cloned()
            .map(Done::from)
            .collect();
        // A model may say something else the second time, and a yes is good once.
        self.once = understood.keep.is_some() || understood.confirmed;
        self.delicate = understood.confirmed;
    }

    pub(super) fn planned(&mut self, plan: &Plan) {
        plan.speech().clone_into(&mut self.speech);
        self.answered = plan.steps().is_empty();
    }

    /// The one reply.
    pub(super) fn reply(
        self,
        command: &Command,
        result: Result<(), Refusal>,
        speech: &Speech,
        now: Instant,
    ) -> Reply {
        let micros = u32::try_from(now.saturating_duration_since(command.heard_at).as_micros())
            .unwrap_or(u32::MAX);
        let (ms, via) = (
            f64::from(micros) / 1000.0,
            self.via.unwrap_or_else(|| "none".to_owned()),
        );
        match result {
            Err(refusal) => {
                let form = speech.refused.get(refusal.form());
                let refused = Reply::refused(command.id.clone(), command.text.clone(), &refusal);
                let speech =
                    form.map_or_else(|| refused.speech.clone(), |form| refusal.sentence_as(form));
                Reply {
                    actions: self.actions,
                    via,
                    ms,
                    speech,
                    ..refused
                }
            }
            Ok(()) => Reply {
                id: command.id.clone(),
                text: command.text.clone(),
                outcome: if self.answered {
                    Outcome::Answered
                } else {
                    Outcome::Done
                },
                actions: self.actions,
                speech: self.speech,
                via,
                ms,
                why: None,
                retry_after: None,
            },
        }
    }
}
