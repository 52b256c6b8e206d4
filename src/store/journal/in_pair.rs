//! The commands of a node of a pair. The broker sends one that is not finished again, to either
//! node, so that the journal sets it aside when the node does not lead any more. It stays on disk:
//! it shows a later run which commands had begun.

use crate::command::Redelivery;
use crate::store::journal::entry::JournalEntry;
use crate::store::journal::index::Reception;
use crate::store::journal::index::duplicate::EarlierEntry;
use crate::store::journal::packed_reply::PackedReply;
use crate::store::journal::received::Received;
use crate::store::journal::record::JournalRecord;
use crate::store::journal::recovered::{IdentifiedCommand, Recovered};
use crate::store::journal::seq::Seq;
use crate::store::journal::state::Journal;

/// Number of the connection of commands that are recognised by their identity alone. That of an
/// earlier run is 0.
const ANY_CONNECTION: u64 = 1;

impl Journal {
    /// Records a command of a pair, or recognises it by its identity: with [`Redelivery::Possible`]
    /// its client may have sent it again, with [`Redelivery::Certain`] the broker does.
    pub fn receive_in_pair(&self, mut received: Received, redelivery: Redelivery) -> JournalEntry {
        let now = self.clock.now();
        let mut index = self.lock();
        index.forget_old(now);
        let earlier = index.earlier_in_pair(&received, redelivery);
        let mut crashes = 0;
        match earlier {
            Some(EarlierEntry::Known(entry)) => return entry,
            Some(EarlierEntry::PutOff { until }) => received.limit(until),
            Some(EarlierEntry::SetAside { crashes: counted }) => crashes = counted,
            None => {}
        }
        let mut record = JournalRecord::new(received, now);
        record.crashes = crashes;
        let reception = Reception {
            connection: ANY_CONNECTION,
            may_be_suspect: false,
            is_written: false,
            is_logged: false,
        };
        let keys = record.keys();
        JournalEntry::New(self.enter(&mut index, record, keys, reception))
    }

    /// Sets the commands without a delivered reply aside, because the other node may finish them:
    /// each is remembered until its time is over, or until it is received again. Returns how many
    /// there were.
    pub fn set_aside(&self) -> usize {
        self.lock().set_aside(false)
    }

    /// Sets the commands of an earlier run aside.
    pub fn set_earlier_aside(&self) {
        self.lock().set_aside(true);
    }

    /// Takes back the commands that were set aside: the broker does not send them again.
    pub fn take_back(&self) -> Recovered {
        let now = self.clock.now();
        let mut recovered = Recovered::default();
        for (number, record) in self.lock().take_back() {
            recovered.add(Seq(number), &record, now);
        }
        self.dirty.notify_one();
        recovered
    }

    /// Returns the commands with an identity, oldest first.
    pub fn identified(&self) -> Vec<IdentifiedCommand> {
        let index = self.lock();
        let mut numbers: Vec<u64> = index.known.keys().copied().collect();
        numbers.sort_unstable();
        let commands = numbers.iter().filter_map(|number| index.known.get(number));
        let identified = commands.filter_map(|known| {
            let open = known.open().map(|open| &open.record);
            let sending = open.filter(|record| record.answer.is_none());
            let reply = known.reply().filter(|_| known.is_finished());
            Some(IdentifiedCommand {
                identity: known.identity()?.to_owned(),
                sending: sending.and_then(|record| record.sending.clone()),
                reply: reply.and_then(PackedReply::reply),
            })
        });
        identified.collect()
    }
}
