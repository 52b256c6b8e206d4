//! Dry runs: the messages that each action of a command would publish.

use crate::command::reply::{ActionIssue, ActionReport, MessagePreview};
use crate::home::permit::Step;
use crate::pipeline::handle::Pipeline;
use crate::pipeline::interpretation::{Interpretation, Request};
use crate::vocabulary::action::{Draft, Op};

impl Pipeline {
    /// Returns each action by itself, with the messages it would result in or the reason for none.
    pub(super) fn rehearse(
        &self,
        request: &Request<'_>,
        interpretation: &Interpretation,
    ) -> Vec<ActionReport> {
        let context = self.permit_context(request, interpretation.confirmed);
        let state = self.shared.state();
        let mut reports = Vec::with_capacity(interpretation.draft.actions.len());
        for action in &interpretation.draft.actions {
            let alone = Draft {
                actions: vec![action.clone()],
                ..Draft::default()
            };
            let mut report = ActionReport::from(action.clone());
            match request.home.permit(&alone, &state, context) {
                Ok(plan) if plan.steps().is_empty() => {
                    let text = if action.op == Op::Query {
                        "a question, answered from state"
                    } else {
                        "it would change nothing"
                    };
                    report.why = Some(ActionIssue::Text(text.to_owned()));
                }
                Ok(plan) => {
                    let messages = plan.steps().iter().map(Step::publication);
                    report.publish = Some(messages.map(MessagePreview::from).collect());
                }
                Err(denied) => {
                    let text = denied.sentence(context.speech);
                    report.why = Some(ActionIssue::Text(text));
                }
            }
            reports.push(report);
        }
        reports
    }
}
