//! The interface to the broker connection: a message to a device, and the function that queues it.

use std::time::Instant;

use crate::binding::Publication;
use crate::delivery::Delivery;
use crate::home::permit::Step;
use crate::store::journal::PlannedPublish;
use crate::vocabulary::shared_str::SharedStr;

/// One message to a device.
#[derive(Debug, Clone)]
pub struct OutboundAction {
    /// The topic and the payload.
    pub publication: Publication,
    /// The device it commands.
    pub device: SharedStr,
    /// The sequence number of the command.
    pub seq: u64,
    /// The moment after which it must not be sent.
    pub deadline: Instant,
    /// True where it may be sent again after a broken connection.
    pub repeatable: bool,
    /// The number of times the text passed through a sayso, this one included.
    pub hops: u8,
}

/// Queues a message at once, in order of the calls; the delivery ends when the broker has it.
pub type PublishFn = Box<dyn Fn(OutboundAction) -> Delivery + Send + Sync>;

/// Returns the entry of a step in the journal, and in the mark of a pair.
pub(super) fn planned_publish(step: &Step) -> PlannedPublish {
    let publication = step.publication();
    PlannedPublish {
        action: step.action().clone(),
        becomes: step.target_value().cloned(),
        topic: publication.topic.clone(),
        payload: publication.payload.clone(),
        repeatable: step.repeatable(),
    }
}
