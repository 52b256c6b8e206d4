//! The record of all commands, replies and messages to devices, and the checks over it. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::time::Instant;

/// How much later than its deadline an action may arrive: the broker keeps messages by whole
/// seconds, and this machine is busy.
const SLACK: Duration = Duration::from_secs(3);

/// How long after its time a command is still recognised: a copy that arrives later, because the
/// machine was too busy to take it in, is refused as late.
const MEMORY: Duration = Duration::from_secs(5);

/// How many earlier messages to a device are compared for their order.
const FAR_ENOUGH: usize = 400;

/// The type of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A level, understood at home.
    Level,
    /// The same, known by its correlation data alone.
    Correlated,
    /// A level that a model has to make out.
    AskedLevel,
    /// A lamp the other way round.
    Toggle,
    /// A dial a bit further.
    Relative,
    /// The next track: never twice.
    Next,
    /// The next track, by a model.
    AskedNext,
    /// A button: never twice.
    Press,
    /// A question about a state.
    Query,
}

impl Kind {
    fn is_once(self) -> bool {
        matches!(self, Self::Next | Self::AskedNext | Self::Press)
    }
}

/// One command.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) kind: Kind,
    pub(crate) device: &'static str,
    pub(crate) source: usize,
    pub(crate) payload: String,
    pub(crate) ttl: Duration,
    /// When it was created; its deadline counts from here.
    pub(crate) at: Instant,
    pub(crate) published: Vec<Instant>,
    /// When the broker took it, the first time.
    pub(crate) acknowledged: Option<Instant>,
    /// Its last answers: how it ended.
    pub(crate) answers: Vec<(Instant, String)>,
    /// How often its sender was asked to come back later.
    pub(crate) put_off: usize,
}

impl Said {
    pub(crate) fn deadline(&self) -> Instant {
        self.at + self.ttl
    }
}

/// A message as a device received it.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) n: usize,
    pub(crate) value: String,
    pub(crate) at: Instant,
}

/// A message to a device that is not commanded by numbered commands.
#[derive(Debug, Clone)]
pub(crate) struct OtherAction {
    pub(crate) device: String,
    /// The id of the command, where the message names it.
    pub(crate) command: String,
    pub(crate) value: String,
    pub(crate) at: Instant,
}

/// A time without a broker.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) from: Instant,
    /// When the broker was there again, and sayso, the devices and the speakers with it.
    pub(crate) to: Instant,
    /// It has not ended yet.
    pub(crate) lasts: bool,
    /// Whether it came back without its state.
    pub(crate) forgot: bool,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) said: Vec<Said>,
    pub(crate) heard: BTreeMap<String, Vec<Heard>>,
    pub(crate) outages: Vec<Outage>,
    pub(crate) dead: BTreeSet<String>,
    /// Messages to the devices that are not commanded by numbered commands.
    pub(crate) others: Vec<OtherAction>,
    pub(crate) faults: BTreeMap<&'static str, usize>,
}

/// One line of the judgement.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) must_be_zero: bool,
    pub(crate) offenders: Vec<usize>,
}

impl Ledger {
    pub(crate) fn unanswered(&self) -> usize {
        self.said
            .iter()
            .filter(|said| said.answers.is_empty())
            .count()
    }

    /// sayso is connected and has subscribed: an outage, where there is one, ends in a moment.
    pub(crate) fn is_back(&mut self) {
        for outage in self.outages.iter_mut().filter(|outage| outage.lasts) {
            (outage.lasts, outage.to) = (false, Instant::now() + Duration::from_secs(1));
        }
    }

    pub(crate) fn fault(&mut self, name: &'static str) {
        *self.faults.entry(name).or_default() += 1;
    }

    /// Returns the messages to devices of each command, in the order of their receipt.
    pub(crate) fn actions(&self) -> HashMap<usize, Vec<&Heard>> {
        let mut actions: HashMap<usize, Vec<&Heard>> = HashMap::new();
        for heard in self.heard.values().flatten() {
            actions.entry(heard.n).or_default().push(heard);
        }
        actions
    }

    pub(crate) fn judge(&self) -> Vec<Column> {
        let actions = self.actions();
        let times = |n: usize| actions.get(&n).map_or(0, Vec::len);
        let which = |test: &dyn Fn(usize, &Said) -> bool| -> Vec<usize> {
            self.said
                .iter()
                .enumerate()
                .filter(|(n, said)| test(*n, said))
                .map(|(n, _)| n)
                .collect()
        };
        let ends = |said: &Said| {
            let remembered = said.at + said.ttl + MEMORY;
            said.answers
                .iter()
                .filter(|(at, end)| end != "late" || *at < remembered || said.answers.len() == 1)
                .map(|(_, end)| end.clone())
                .collect::<BTreeSet<_>>()
        };
        let ended = |said: &Said, end: &str| said.answers.iter().any(|(_, e)| e == end);
        let must = |name, offenders| Column {
            name,
            must_be_zero: true,
            offenders,
        };
        let may = |name, offenders| Column {
            name,
            must_be_zero: false,
            offenders,
        };
        let denied = |said: &Said| {
            said.answers.first().is_some_and(|(_, end)| {
                !matches!(
                    end.as_str(),
                    "done" | "answered" | "uncertain" | "superseded" | "dead"
                )
            })
        };
        vec![
            must(
                "lost: never answered",
                which(&|_, said| said.answers.is_empty()),
            ),
            must(
                "answered in two ways",
                which(&|_, said| ends(said).len() > 1),
            ),
            must(
                "done twice, harmful twice",
                which(&|n, said| {
                    times(n) > 1
                        && (said.kind.is_once()
                            || actions[&n].iter().any(|h| !h.value.starts_with("set ")))
                }),
            ),
            must(
                "done again with another value",
                which(&|n, _| {
                    actions
                        .get(&n)
                        .is_some_and(|heard| heard.iter().any(|h| h.value != heard[0].value))
                }),
            ),
            must("heard by a device out of order", self.out_of_order()),
            must(
                "heard by a device too late",
                which(&|n, said| {
                    actions
                        .get(&n)
                        .is_some_and(|heard| heard.iter().any(|h| h.at > said.deadline() + SLACK))
                }),
            ),
            must(
                "refused, and done all the same",
                which(&|n, said| denied(said) && times(n) > 0),
            ),
            must(
                "told done, and never heard",
                which(&|n, said| {
                    said.kind != Kind::Query
                        && ended(said, "done")
                        && times(n) == 0
                        && !self.was_cut(said)
                }),
            ),
            may("told uncertain", which(&|_, said| ended(said, "uncertain"))),
            may(
                "told superseded",
                which(&|_, said| ended(said, "superseded")),
            ),
            may("told late", which(&|_, said| ended(said, "late"))),
            may(
                "given up after three deaths",
                which(&|_, said| ended(said, "dead")),
            ),
            may(
                "absolute, heard again with the same value",
                which(&|n, said| !said.kind.is_once() && times(n) > 1),
            ),
            may(
                "put off, and said again",
                which(&|_, said| said.put_off > 0),
            ),
            may(
                "said again because no answer came",
                which(&|_, said| said.published.len() > 1),
            ),
            may(
                "answered again, in the same way",
                which(&|_, said| said.answers.len() > 1 && ends(said).len() == 1),
            ),
        ]
    }

    /// The broker was away, or forgot, between saying and answering: then its own message to the
    /// device may be gone.
    pub(crate) fn was_cut(&self, said: &Said) -> bool {
        let margin = Duration::from_secs(3);
        let until = said.answers.first().map_or(said.at, |(at, _)| *at) + margin;
        self.outages
            .iter()
            .any(|outage| outage.from < until && outage.to + margin > said.at)
    }

    /// Returns whether the broker forgot all messages at some moment between these two.
    pub(crate) fn was_forgotten(&self, from: Instant, to: Instant) -> bool {
        let margin = Duration::from_secs(3);
        let forgot = self.outages.iter().filter(|outage| outage.forgot);
        let mut near = forgot.filter(|outage| outage.from < to + margin);
        near.any(|outage| outage.to + margin > from)
    }

    /// Returns the commands that a device received after a later one.
    fn out_of_order(&self) -> Vec<usize> {
        let all = self.heard.iter().flat_map(|(device, heard)| {
            heard
                .iter()
                .enumerate()
                .map(move |(i, earlier)| (device, i, earlier))
        });
        let offenders = all
            .filter(|(device, i, _)| !self.overtaken_by(device, *i).is_empty())
            .map(|(.., earlier)| earlier.n);
        offenders.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns the messages that this device received before its `i`th although their commands are
    /// later.
    pub(crate) fn overtaken_by(&self, device: &str, i: usize) -> Vec<&Heard> {
        let heard = self
            .heard
            .get(device)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let repeated = |n: usize, among: &[Heard]| among.iter().any(|other| other.n == n);
        // After a crash absolute values may be sent again, all in their order: then this is one of
        // a series.
        let in_series =
            |later: &Heard| repeated(heard[i].n, &heard[..i]) && repeated(later.n, &heard[i..]);
        let before = heard[i.saturating_sub(FAR_ENOUGH)..i].iter();
        before
            .filter(|later| self.surely_before(heard[i].n, later.n) && !in_series(later))
            .collect()
    }

    /// True where `a` was received before `b`, whatever happened: the broker had taken it before
    /// `b` was said, it did not have to be said again after `b` because the broker forgot it, or
    /// because it was put off, and the broker did not keep both over a restart: mosquitto 2.0 gives
    /// back what it kept in another order than it came.
    fn surely_before(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.said[a], &self.said[b]);
        let (Some(taken), Some(b_said)) = (a.acknowledged, b.published.first()) else {
            return false;
        };
        let said_again_after = a.published.last().is_some_and(|last| last > b_said);
        let forgotten = self.outages.iter().any(|outage| {
            outage.forgot
                && outage.to > a.at
                && a.published.last().is_some_and(|last| outage.from < *last)
        });
        let kept = |said: &Said, o: &Outage| {
            said.published.first().is_some_and(|at| *at < o.to)
                && said.answers.first().is_none_or(|(at, _)| *at > o.from)
        };
        let reordered = self
            .outages
            .iter()
            .any(|outage| kept(a, outage) && kept(b, outage));
        taken < *b_said && a.put_off == 0 && !(said_again_after && forgotten) && !reordered
    }
}
