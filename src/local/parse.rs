//! One sense for each span → clauses, from the first span to the last. `None` where they make no sentence. Knows no devices.

use super::clause::{Amount, Ask, Clause, Link, Target, What};
use super::lexicon::Grammar;
use super::sense::{Act, Place, Sense, State};

/// The most clauses of one phrase.
const MOST_CLAUSES: usize = 5;

/// Reads one sense for each span. `None` where they make no sentence.
pub(super) fn clauses(senses: &[Sense], asked: bool, grammar: &Grammar) -> Option<Vec<Clause>> {
    let mut parser = Parser { senses, asked, verb_last: grammar.verb_last, ..Parser::default() };
    for (at, &sense) in senses.iter().enumerate() {
        parser.take(at, sense)?;
        if !matches!(sense, Sense::Skip | Sense::Article) {
            parser.last = Some(sense);
        }
    }
    if parser.pending != Pending::default() || matches!(parser.last, Some(Sense::And | Sense::Or)) {
        return None;
    }
    parser.finish()?;
    let explained = !asked || parser.polite || parser.done.iter().all(|clause| clause.ask.is_some());
    (explained && parser.done.len() <= MOST_CLAUSES).then_some(parser.done)
}

/// What was said that waits for what it belongs to.
#[derive(Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that was said or not")]
struct Pending {
    all: bool,
    both: bool,
    place: bool,
    link: Option<Link>,
    or: bool,
    /// "brightness of [50]"
    of_property: bool,
    /// Places before what is there: "kitchen [lights]".
    rooms: Vec<Place>,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "what has been passed on the way, each by itself")]
struct Parser<'a> {
    senses: &'a [Sense],
    /// There was a question mark at the end.
    asked: bool,
    verb_last: bool,
    now: Clause,
    pending: Pending,
    excepting: bool,
    /// Something came after the targets that ends their list.
    closed: bool,
    /// The list of targets, or of places, goes on.
    joined: bool,
    last: Option<Sense>,
    polite: bool,
    whether: bool,
    done: Vec<Clause>,
}

impl Parser<'_> {
    fn take(&mut self, at: usize, sense: Sense) -> Option<()> {
        match sense {
            Sense::Skip | Sense::Article => Some(()),
            Sense::Polite => set(&mut self.polite),
            Sense::All => set(&mut self.pending.all),
            Sense::Any if self.now.ask.is_some() => {
                self.now.any = true;
                set(&mut self.pending.all)
            }
            Sense::Any => None,
            Sense::Both => set(&mut self.pending.both),
            Sense::Except => {
                self.flush_rooms();
                self.excepting = true;
                (!self.now.targets.is_empty()).then_some(())
            }
            Sense::And | Sense::Comma => self.join(at, sense),
            Sense::Or => {
                self.pending.or = true;
                self.now.state.map(|_| ())
            }
            Sense::In => {
                self.flush_rooms();
                self.pending.of_property = matches!(self.last, Some(Sense::Property(_)));
                let half_of = matches!(self.last, Some(Sense::Level(_))) && self.now.targets.is_empty() && self.now.property.is_none();
                if half_of && self.now.act.is_some() {
                    return None;
                }
                set(&mut self.pending.place)
            }
            Sense::To | Sense::At | Sense::By => self.link(sense),
            Sense::Possessive => (matches!(self.last, Some(Sense::Place(_) | Sense::Called(..) | Sense::Noun(..))) && self.names_follow(at)).then_some(()),
            Sense::Be | Sense::What | Sense::HowMany | Sense::Whether | Sense::Ensure | Sense::How(_) => self.ask(sense),
            Sense::Place(place) => self.place(at, place),
            Sense::Called(..) | Sense::Noun(..) | Sense::It | Sense::Them => self.target(sense),
            Sense::Act(act) => self.act(act),
            Sense::State(state) => self.state(state),
            Sense::Participle(state) => self.state(state).filter(|()| self.now.ask.is_some() || self.now.ensure),
            Sense::More(more) => self.close().and_then(|()| fill(&mut self.now.more, more)),
            Sense::Much => set(&mut self.now.much),
            Sense::Mode => set(&mut self.now.mode),
            Sense::Status => self.of_property().and_then(|()| set(&mut self.now.status)),
            Sense::Property(property) => self.of_property().and_then(|()| fill(&mut self.now.property, property)),
            Sense::Unit(unit) => self.unit(unit),
            Sense::Number(_) | Sense::Level(_) | Sense::Color(_) | Sense::Hex(_) | Sense::White(_) | Sense::Choice(_) => self.amount(sense),
        }
    }

    fn act(&mut self, act: Act) -> Option<()> {
        // "the door open" may be a statement; "blinds down", "tv mute" are wishes.
        let after_a_name = !self.now.targets.is_empty() || !self.pending.rooms.is_empty();
        if self.now.ask.is_some() || self.pending.place || self.pending.link.is_some() || (after_a_name && act == Act::Open && !self.verb_last) {
            return None;
        }
        self.flush_rooms();
        if after_a_name {
            self.closed = true;
        }
        fill(&mut self.now.act, act)
    }

    fn state(&mut self, state: State) -> Option<()> {
        if std::mem::take(&mut self.pending.or) {
            self.now.either = true;
            return Some(());
        }
        let link = self.pending.link.take();
        if self.pending.place || !matches!(link, None | Some(Link::To)) {
            return None;
        }
        // "the door locked" may be a statement; only "lights on" and "blinds down" are wishes without a verb.
        let said_how = matches!(state, State::On | State::Off | State::Up | State::Down);
        if !said_how && self.now.ask.is_none() && self.now.act.is_none() && !self.now.ensure {
            return None;
        }
        // "to netflix on the tv": after a value it is where. "on the tv", "what is on the tv": so it is before a name without a verb.
        let before_a_name = self.now.targets.is_empty() && self.pending.rooms.is_empty();
        let without_verb = self.now.act.is_none() && self.now.ask != Some(Ask::Whether);
        if state == State::On && (self.now.amount.is_some() || (before_a_name && without_verb)) {
            return None;
        }
        // "set up the tv" is another thing than "turn up the tv".
        if matches!(state, State::Up | State::Down) && self.last == Some(Sense::Act(Act::Set)) {
            return None;
        }
        self.close()?;
        fill(&mut self.now.state, state)
    }

    fn ask(&mut self, sense: Sense) -> Option<()> {
        let begun =
            !self.now.targets.is_empty() || !self.pending.rooms.is_empty() || self.now.act.is_some() || self.now.state.is_some() || self.now.amount.is_some();
        match sense {
            // "which lights are on", "tell me if the door is locked", "make sure the door is locked".
            Sense::Be if self.now.ask == Some(Ask::What) || self.now.ensure || std::mem::take(&mut self.whether) => {
                self.flush_rooms();
                Some(())
            }
            // "the front door is locked?"
            Sense::Be if self.asked && self.now.is_only_named() && self.pending == (Pending { rooms: self.pending.rooms.clone(), ..Pending::default() }) => {
                self.flush_rooms();
                fill(&mut self.now.ask, Ask::Whether)
            }
            _ if begun || self.now.ensure || self.pending != Pending::default() => None,
            Sense::Be => fill(&mut self.now.ask, Ask::Whether),
            Sense::Whether => {
                self.whether = true;
                fill(&mut self.now.ask, Ask::Whether)
            }
            Sense::What => fill(&mut self.now.ask, Ask::What),
            Sense::HowMany => {
                self.now.count = true;
                fill(&mut self.now.ask, Ask::What)
            }
            Sense::How(property) => {
                self.now.ask = Some(Ask::What);
                fill(&mut self.now.property, property)
            }
            _ => {
                self.now.ensure = true;
                self.now.ask.is_none().then_some(())
            }
        }
    }

    fn link(&mut self, sense: Sense) -> Option<()> {
        self.flush_rooms();
        let link = match sense {
            Sense::To => Link::To,
            Sense::At => Link::At,
            _ => Link::By,
        };
        if self.pending.place {
            return None;
        }
        fill(&mut self.pending.link, link)
    }

    fn amount(&mut self, sense: Sense) -> Option<()> {
        let amount = match sense {
            Sense::Number(n) => Amount::Number(n),
            Sense::Level(level) => Amount::Level(level),
            Sense::Color(color) => Amount::Color(color),
            Sense::Hex(rgb) => Amount::Hex(rgb),
            Sense::White(kelvin) => Amount::White(kelvin),
            Sense::Choice(option) => Amount::Choice(option),
            _ => return None,
        };
        // "in red", "in eco mode"; but "in ten" is a time.
        let link = self.pending.link.take().unwrap_or_default();
        let of_property = std::mem::take(&mut self.pending.of_property);
        if std::mem::take(&mut self.pending.place) && !of_property && matches!(amount, Amount::Number(_) | Amount::Level(_)) {
            return None;
        }
        self.close()?;
        self.now.link = link;
        fill(&mut self.now.amount, amount)
    }

    fn unit(&mut self, unit: u16) -> Option<()> {
        let (Some(Sense::Number(_)), Some(Amount::Number(n))) = (self.last, self.now.amount) else { return None };
        self.now.amount = Some(Amount::Measured(n, unit));
        Some(())
    }

    /// The list of targets ends.
    fn close(&mut self) -> Option<()> {
        self.flush_rooms();
        self.end_exceptions()?;
        self.closed |= !self.now.targets.is_empty() || self.now.property.is_some();
        (!self.pending.all && !self.pending.both).then_some(())
    }

    /// "all but" of nothing is no sentence: "but not now".
    fn end_exceptions(&mut self) -> Option<()> {
        let of_nothing = std::mem::take(&mut self.excepting) && self.now.except.is_empty();
        (!of_nothing).then_some(())
    }

    /// Places said before a property are where it is: "the bedroom temperature".
    fn of_property(&mut self) -> Option<()> {
        let rooms = std::mem::take(&mut self.pending.rooms);
        self.now.places.extend(rooms);
        (!self.excepting && !self.pending.place && !std::mem::take(&mut self.pending.all)).then_some(())
    }

    fn names_follow(&self, at: usize) -> bool {
        matches!(self.after(at), Some(Sense::Noun(..) | Sense::Called(..) | Sense::Property(_) | Sense::Status | Sense::Mode))
    }

    /// The next sense that says something.
    fn after(&self, at: usize) -> Option<Sense> {
        self.senses[at + 1..].iter().copied().find(|s| !matches!(s, Sense::Skip | Sense::Polite | Sense::Article | Sense::All | Sense::Both | Sense::Any))
    }

    fn place(&mut self, at: usize, place: Place) -> Option<()> {
        if self.pending.link.is_some() {
            return None;
        }
        let all = std::mem::take(&mut self.pending.all);
        let before_a_name = matches!(self.after(at), Some(Sense::Noun(..) | Sense::Called(..) | Sense::Possessive));
        let said_in = std::mem::take(&mut self.pending.place);
        self.pending.of_property = false;
        let joined = std::mem::take(&mut self.joined);
        if before_a_name && said_in && self.only_turned() {
            return None;
        }
        if before_a_name && (!said_in || (self.now.targets.is_empty() && !self.excepting)) {
            // "kitchen lights", "in the kitchen the lights ..".
            self.joined = joined;
            self.pending.all = all;
            self.pending.rooms.push(place);
            return Some(());
        }
        if self.excepting {
            return self.place_excepted(place, said_in);
        }
        match self.now.targets.last_mut() {
            Some(target) if joined => {
                // "lights in the kitchen and the hall"; but "kitchen lights and the hall" says nothing sure.
                target.places.push(place);
                (target.trailing || target.what == What::Room).then_some(())
            }
            Some(target) => {
                let alone = target.places.is_empty();
                target.trailing = true;
                target.places.push(place);
                alone.then_some(())
            }
            None if said_in || matches!(place, Place::House | Place::Here) || self.now.property.is_some() => {
                self.now.places.push(place);
                Some(())
            }
            None => {
                self.now.targets.push(Target { places: vec![place], all, ..Target::new(What::Room) });
                Some(())
            }
        }
    }

    /// "except the kitchen", "except the tv in the kitchen".
    fn place_excepted(&mut self, place: Place, said_in: bool) -> Option<()> {
        if let Some(target) = self.now.except.last_mut().filter(|_| said_in) {
            let alone = target.places.is_empty();
            target.places.push(place);
            return alone.then_some(());
        }
        self.now.except.push(Target { places: vec![place], ..Target::new(What::Room) });
        Some(())
    }

    /// Places that waited for a name, and got none, are what is spoken of.
    fn flush_rooms(&mut self) {
        let rooms = std::mem::take(&mut self.pending.rooms);
        if !rooms.is_empty() {
            self.now.targets.push(Target { places: rooms, ..Target::new(What::Room) });
        }
    }

    fn target(&mut self, sense: Sense) -> Option<()> {
        let what = match sense {
            Sense::Called(id, noun) => What::Called(id, noun),
            Sense::Noun(noun, many) => What::Noun(noun, many),
            Sense::It => What::It,
            _ => What::Them,
        };
        // "the red lamp" says which, and not that it shall be red.
        if matches!(self.last, Some(Sense::Color(_) | Sense::White(_) | Sense::Hex(_))) && !self.pending.place {
            return None;
        }
        // "half the lights", "the brightest lamp": which of them, and not how much.
        if matches!(self.last, Some(Sense::Level(_))) && self.now.act.is_some() {
            return None;
        }
        let beside = matches!(self.last, Some(Sense::Called(..) | Sense::Noun(..)));
        if self.pending.link.is_some() || (self.pending.or) {
            return None;
        }
        if beside && !self.pending.place {
            return self.merge(what);
        }
        let joined = std::mem::take(&mut self.joined);
        let said_in = std::mem::take(&mut self.pending.place);
        self.pending.of_property = false;
        if said_in && self.only_turned() {
            return None;
        }
        if joined && !self.excepting && self.shares_noun() {
            return self.rooms_before(what);
        }
        if !self.now.targets.is_empty() && (said_in || !joined) && !self.excepting {
            // "turn on the lamp the fan", "the lamp on the desk".
            return None;
        }
        let mut target = Target::new(what);
        target.all = std::mem::take(&mut self.pending.all);
        target.both = std::mem::take(&mut self.pending.both);
        target.places = std::mem::take(&mut self.pending.rooms);
        if self.excepting {
            self.now.except.push(target);
        } else {
            self.now.targets.push(target);
        }
        Some(())
    }

    /// "turn on the lamp": here "on" is what it shall be, and not where.
    fn only_turned(&self) -> bool {
        let clause = &self.now;
        matches!(clause.act, Some(Act::Turn | Act::Set))
            && clause.targets.is_empty()
            && clause.property.is_none()
            && clause.state.is_none()
            && clause.amount.is_none()
    }

    fn shares_noun(&self) -> bool {
        !self.pending.rooms.is_empty() && self.now.targets.last().is_some_and(|target| target.what == What::Room)
    }

    /// "kitchen and hall lights": the rooms before share the noun of the last.
    fn rooms_before(&mut self, what: What) -> Option<()> {
        let last = self.now.targets.last_mut()?;
        last.what = what;
        last.places.append(&mut self.pending.rooms);
        last.all |= std::mem::take(&mut self.pending.all);
        Some(())
    }

    /// "movie scene", "the switch coffee machine": a name and a noun are one thing.
    fn merge(&mut self, what: What) -> Option<()> {
        let list = if self.excepting { &mut self.now.except } else { &mut self.now.targets };
        let target = list.last_mut()?;
        match (target.what, what) {
            (What::Called(..), What::Noun(noun, _)) if target.also.is_none() => target.also = Some(noun),
            (What::Noun(noun, false), What::Called(..)) if target.also.is_none() => {
                target.also = Some(noun);
                target.what = what;
            }
            _ => return None,
        }
        Some(())
    }

    fn join(&mut self, at: usize, sense: Sense) -> Option<()> {
        if self.pending.place || self.pending.link.is_some() || self.pending.or {
            return None;
        }
        let Some(next) = self.after(at) else { return (sense == Sense::Comma).then_some(()) };
        let begun = self.now != Clause::default();
        match next {
            _ if !begun => Some(()),
            Sense::And | Sense::Comma | Sense::Polite | Sense::Except => Some(()),
            Sense::Act(_) | Sense::What | Sense::HowMany | Sense::Whether | Sense::Ensure | Sense::How(_)
                if sense == Sense::Comma && self.is_only_a_place() =>
            {
                Some(())
            }
            Sense::Act(_) | Sense::Be | Sense::What | Sense::HowMany | Sense::Whether | Sense::Ensure | Sense::How(_) => self.finish(),
            Sense::In | Sense::Place(_) if self.is_trailing() && !self.is_named_later(at) => set(&mut self.joined),
            Sense::Called(..) | Sense::Noun(..) | Sense::It | Sense::Them | Sense::Place(_) if !self.closed || self.excepting => set(&mut self.joined),
            _ => self.next_of_same(),
        }
    }

    fn is_trailing(&self) -> bool {
        !self.excepting && self.now.targets.last().is_some_and(|target| target.trailing)
    }

    /// Whether the place that comes belongs to a name after it: "and the hall lights".
    fn is_named_later(&self, at: usize) -> bool {
        let mut coming = self.senses[at + 1..].iter().skip_while(|s| !matches!(s, Sense::Place(_))).skip(1);
        coming.find(|s| !matches!(s, Sense::Skip | Sense::Article)).is_some_and(|s| !matches!(s, Sense::And | Sense::Comma | Sense::Except | Sense::Polite))
    }

    /// "in the kitchen, turn ..".
    fn is_only_a_place(&self) -> bool {
        self.now == Clause { places: self.now.places.clone(), ..Clause::default() }
    }

    /// A clause that goes on with the verb of the one before: "set the lamp to 20 and the fan to 50".
    fn next_of_same(&mut self) -> Option<()> {
        self.finish()?;
        let before = self.done.last()?;
        self.now = Clause { act: before.act, ask: before.ask, ensure: before.ensure, ..Clause::default() };
        Some(())
    }

    fn finish(&mut self) -> Option<()> {
        self.flush_rooms();
        if self.pending != Pending::default() {
            return None;
        }
        self.end_exceptions()?;
        let mut clause = std::mem::take(&mut self.now);
        self.closed = false;
        self.whether = false;
        self.joined = false;
        clause.again = clause.targets.is_empty() && clause.property.is_none() && !self.done.is_empty();
        if let Some((last, before)) = clause.targets.split_last_mut()
            && last.trailing
        {
            before.iter_mut().filter(|t| t.places.is_empty()).for_each(|t| t.maybe.clone_from(&last.places));
        }
        self.done.push(clause);
        Some(())
    }
}

/// Notes that a word was said.
#[expect(clippy::unnecessary_wraps, reason = "an arm of `take` like the others")]
fn set(flag: &mut bool) -> Option<()> {
    *flag = true;
    Some(())
}

/// Fills a slot that may be filled once.
fn fill<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}
