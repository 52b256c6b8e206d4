//! State of the pipeline that outlives a reload: devices, open questions, order and requests in
//! flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore, watch};

use crate::cache::Key;
use crate::home::Home;
use crate::home::state::State;
use crate::pipeline::aptitude::AptitudeTests;
use crate::pipeline::confirmation::PendingConfirmations;
use crate::pipeline::device_order::DeviceOrder;
use crate::pipeline::dialogue::Dialogue;
use crate::pipeline::model_waiters::ModelWaiters;
use crate::pipeline::publish::PublishFn;
use crate::pipeline::rule_states::RuleStates;
use crate::pipeline::shared_result::SharedResult;
use crate::pipeline::single_flight::SingleFlight;
use crate::pipeline::source_order::SourceOrder;
use crate::pipeline::state_budget::StateBudget;
use crate::pipeline::timer_writes::TimerWrites;
use crate::pipeline::unfinished_commands::UnfinishedCommands;
use crate::schedule::timers::Timers;

/// The most model requests in flight. One more is refused as busy; commands understood locally or
/// from the cache do not count.
pub(super) const MAX_MODEL_REQUESTS: usize = 64;

/// The most commands that wait for the states of their devices. Those beyond it have no event.
const MAX_REPORT_WAITS: usize = 256;

/// State shared by all pipelines from the first one to the one after the last reload.
pub(super) struct Shared {
    /// The current snapshot of the home.
    home: Mutex<Arc<Home>>,
    state: Mutex<State>,
    state_budget: Mutex<StateBudget>,
    confirmations: Mutex<PendingConfirmations>,
    device_order: Mutex<DeviceOrder>,
    unfinished: Mutex<UnfinishedCommands>,
    dialogue: Mutex<Dialogue>,
    timers: Mutex<Timers>,
    rule_states: Mutex<RuleStates>,
    /// Whether the timers of an earlier run have been read.
    pub(super) timers_restored: AtomicBool,
    pub(super) timer_writes: TimerWrites,
    /// Notified when a timer was added, changed or removed.
    pub(super) timers_changed: Notify,
    /// Number of times that timers were kept from firing, because the other node of a pair leads.
    pub(super) timer_stops: AtomicU64,
    /// True once timers may fire.
    pub(super) timers_started: watch::Sender<bool>,
    /// Notified when a command has a result that later ones may refer to.
    pub(super) turn_ended: Notify,
    /// Notified when a plan leaves the queue of its devices.
    pub(super) dequeued: Notify,
    pub(super) source_order: SourceOrder,
    /// Model requests in flight by cache key: equal ones share one answer.
    pub(super) in_flight: SingleFlight<Key, SharedResult>,
    /// Permits for model requests in flight.
    pub(super) model_requests: Semaphore,
    /// The aptitude of small models.
    pub(super) aptitude: AptitudeTests,
    /// Commands that wait for a model, including those that share a request.
    pub(super) model_waiters: ModelWaiters,
    /// Notified when a device has reported its state.
    pub(super) reported: Notify,
    /// Permits for commands that wait for the states of their devices.
    pub(super) report_waits: Arc<Semaphore>,
    /// True once no command may wait for a model any more.
    pub(super) stopping: watch::Sender<bool>,
    /// Hands messages to the broker connection.
    pub(super) publish: PublishFn,
}

impl Shared {
    pub(super) fn new(home: Arc<Home>, publish: PublishFn) -> Self {
        Self {
            home: Mutex::new(home),
            state: Mutex::default(),
            state_budget: Mutex::default(),
            confirmations: Mutex::default(),
            device_order: Mutex::default(),
            unfinished: Mutex::default(),
            dialogue: Mutex::default(),
            timers: Mutex::default(),
            rule_states: Mutex::default(),
            timers_restored: AtomicBool::new(false),
            timer_writes: TimerWrites::default(),
            timers_changed: Notify::new(),
            timer_stops: AtomicU64::new(0),
            timers_started: watch::Sender::new(false),
            turn_ended: Notify::new(),
            dequeued: Notify::new(),
            source_order: SourceOrder::default(),
            in_flight: SingleFlight::default(),
            model_requests: Semaphore::new(MAX_MODEL_REQUESTS),
            aptitude: AptitudeTests::default(),
            model_waiters: ModelWaiters::default(),
            reported: Notify::new(),
            report_waits: Arc::new(Semaphore::new(MAX_REPORT_WAITS)),
            stopping: watch::Sender::new(false),
            publish,
        }
    }

    pub(super) fn home(&self) -> MutexGuard<'_, Arc<Home>> {
        self.home.lock()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn state_budget(&self) -> MutexGuard<'_, StateBudget> {
        self.state_budget.lock()
    }

    pub(super) fn confirmations(&self) -> MutexGuard<'_, PendingConfirmations> {
        self.confirmations.lock()
    }

    pub(super) fn timers(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock()
    }

    pub(super) fn rule_states(&self) -> MutexGuard<'_, RuleStates> {
        self.rule_states.lock()
    }

    pub(super) fn dialogue(&self) -> MutexGuard<'_, Dialogue> {
        self.dialogue.lock()
    }

    pub(super) fn device_order(&self) -> MutexGuard<'_, DeviceOrder> {
        self.device_order.lock()
    }

    pub(super) fn unfinished(&self) -> MutexGuard<'_, UnfinishedCommands> {
        self.unfinished.lock()
    }

    /// Waits until no command may wait for a model any more.
    pub(super) async fn stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives in `self`, so this cannot fail.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}
