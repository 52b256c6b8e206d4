//! The queue of packets from the session to the client below the poll loop.

use rumqttc::v5::Request;
use rumqttc::v5::mqttbytes::v5::{Filter, PubAck, Publish, Subscribe, Unsubscribe};
use tokio::sync::mpsc;

/// The sending end of the queue. Each function returns whether the queue had room.
#[derive(Debug, Clone)]
pub struct RequestSender(mpsc::Sender<Request>);

impl RequestSender {
    /// Creates a queue for `capacity` packets, and returns its two ends.
    pub(super) fn with_capacity(capacity: usize) -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Self(sender), receiver)
    }

    /// Queues a message.
    pub(super) fn publish(&self, publish: Publish) -> bool {
        self.queue(Request::Publish(publish))
    }

    /// Queues the acknowledgement of packet `pkid`.
    pub(super) fn acknowledge(&self, pkid: u16) -> bool {
        self.queue(Request::PubAck(PubAck::new(pkid, None)))
    }

    /// Queues one packet with these subscriptions.
    pub(super) fn subscribe(&self, filters: Vec<Filter>) -> bool {
        self.queue(Request::Subscribe(Subscribe::new_many(filters, None)))
    }

    /// Queues the end of a subscription.
    pub(super) fn unsubscribe(&self, filter: &str) -> bool {
        self.queue(Request::Unsubscribe(Unsubscribe::new(filter, None)))
    }

    /// Queues a DISCONNECT.
    pub(super) fn disconnect(&self) -> bool {
        self.queue(Request::Disconnect)
    }

    fn queue(&self, request: Request) -> bool {
        self.0.try_send(request).is_ok()
    }
}
