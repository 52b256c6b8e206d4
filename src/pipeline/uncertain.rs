//! Commands of an earlier run whose effect is uncertain: that run may have published their absolute
//! actions, which leave before anything of them is written. They claim their devices, so that no
//! older command reaches these. Once their time is over they are not carried out again, and their
//! reply says that the effect is uncertain.

use crate::command::Command;
use crate::command::phrase::Phrase;
use crate::grammar::When;
use crate::pipeline::delivery::InProgress;
use crate::pipeline::dispatch::durability_of;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::Request;
use crate::pipeline::reply::Handled;
use crate::store::journal::{Durability, Seq};
use crate::vocabulary::action::{Action, Draft};

impl Pipeline {
    /// Registers a command that an earlier run received, and may have carried out. To be called
    /// before it is started.
    pub fn begin_again(&self, command: &Command, seq: Seq) -> InProgress {
        self.shared.unfinished().begin(command, seq.number());
        self.begin(seq)
    }

    /// Lets the commands of an earlier run behind this one claim their devices, where they may not
    /// be carried out behind it: the device would end in the older state.
    pub(super) fn claim_for_short(&self, seq: u64) {
        let short = self.shared.unfinished().take_short(seq);
        for command in short {
            self.claim_unwritten(&command);
        }
    }

    /// Ends a command that an earlier run received, whose time is over, and of which no plan was
    /// written: an absolute message may have been published before anything of it was. Returns the
    /// payload of the reply.
    pub async fn report_uncertain(&self, command: &Command, seq: Seq) -> Vec<u8> {
        let actions = self.claim_unwritten(command);
        let handled = Handled::uncertain(&actions);
        self.end_without_plan(command, seq, handled).await
    }

    /// Makes a command that an earlier run received uncertain, where its time was over when its
    /// turn came: that run may have carried it out.
    pub(super) fn uncertain_where_late(&self, command: &Command, handled: Handled) -> Handled {
        if !handled.is_late() || !self.shared.unfinished().contains(command.seq) {
            return handled;
        }
        Handled::uncertain(&self.claim_unwritten(command))
    }

    /// Keeps older commands from the devices of the actions that an earlier run may have published;
    /// returns these actions.
    fn claim_unwritten(&self, command: &Command) -> Vec<Action> {
        let actions = self.unwritten(command);
        let devices = actions.iter().map(|action| action.device.to_string());
        self.claim_devices(&devices.collect::<Vec<_>>(), command.seq);
        actions
    }

    /// Returns the actions of a command if they leave before anything of them is written.
    fn unwritten(&self, command: &Command) -> Vec<Action> {
        let (home, phrase) = (self.home(), Phrase::of(command));
        let request = Request {
            command,
            phrase: &phrase,
            home: &home,
        };
        let Some(draft) = self.known_draft(&request) else {
            return Vec::new();
        };
        let is_later = draft.timing.is_some() || draft.condition.is_some();
        if command.dry_run || is_later || draft.question.is_some() {
            return Vec::new();
        }
        let context = self.permit_context(&request, false);
        let permitted = home.permit(&draft, &self.shared.state(), context);
        let Ok(plan) = permitted else {
            return Vec::new();
        };
        let steps = plan.steps();
        if steps
            .iter()
            .any(|step| durability_of(step) > Durability::None)
        {
            return Vec::new();
        }
        steps.iter().map(|step| step.action().clone()).collect()
    }

    /// Returns the meaning of a command, if it is known without a model.
    fn known_draft(&self, request: &Request<'_>) -> Option<Draft> {
        let Request {
            command,
            phrase,
            home,
        } = *request;
        let services = &self.services;
        if services.grammar.when() == When::First
            && let Some(draft) = services.grammar.draft(phrase, home)
        {
            return Some(draft);
        }
        let key = self.draft_key(phrase, home, command.source.as_str());
        services.cache.said(&key)?.ok()
    }
}
