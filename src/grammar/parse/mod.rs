//! One sense for each span → clauses, from the first span to the last. `None` where they make no sentence. Knows no devices.

mod join;
mod targets;

use crate::grammar::clause::{Amount, Clause, Preposition, QueryVerb};
use crate::grammar::lexicon::Grammar;
use crate::grammar::sense::{Act, Place, Sense, State};

/// The most clauses of one phrase.
const MOST_CLAUSES: usize = 5;

/// Reads one sense for each span. Where they make no sentence, at which span that was seen.
pub(super) fn clauses(
    senses: &[Sense],
    asked: bool,
    grammar: &Grammar,
) -> Result<Vec<Clause>, usize> {
    let mut parser = Parser::new(senses, asked, grammar);
    for (at, &sense) in senses.iter().enumerate() {
        parser.take(at, sense).ok_or(at)?;
        if !matches!(sense, Sense::Skip | Sense::Article) {
            parser.last = Some(sense);
        }
    }
    if parser.pending != Pending::default() || matches!(parser.last, Some(Sense::And | Sense::Or)) {
        return Err(senses.len());
    }
    parser.finish().ok_or(senses.len())?;
    let explained =
        !asked || parser.polite || parser.done.iter().all(|clause| clause.ask.is_some());
    (explained && parser.done.len() <= MOST_CLAUSES)
        .then_some(parser.done)
        .ok_or(senses.len())
}

/// What was said that waits for what it belongs to.
#[derive(Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that was said or not"
)]
struct Pending {
    all: bool,
    both: bool,
    place: bool,
    link: Option<Preposition>,
    or: bool,
    /// "schliess .. [ab]"
    particle: Option<u16>,
    /// "brightness of [50]"
    of_property: bool,
    /// Places before what is there: "kitchen [lights]".
    rooms: Vec<Place>,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what has been passed on the way, each by itself"
)]
struct Parser<'a> {
    senses: &'a [Sense],
    /// There was a question mark at the end.
    asked: bool,
    grammar: &'a Grammar,
    now: Clause,
    pending: Pending,
    excepting: bool,
    /// Something came after the targets that ends their list.
    closed: bool,
    /// The list of targets, or of places, goes on.
    joined: bool,
    /// A colour stood beside a name, where that may say which is meant.
    coloured: bool,
    last: Option<Sense>,
    polite: bool,
    whether: bool,
    done: Vec<Clause>,
}

impl<'a> Parser<'a> {
    fn new(senses: &'a [Sense], asked: bool, grammar: &'a Grammar) -> Self {
        Self {
            senses,
            asked,
            grammar,
            now: Clause::default(),
            pending: Pending::default(),
            excepting: false,
            closed: false,
            joined: false,
            coloured: false,
            last: None,
            polite: false,
            whether: false,
            done: Vec::new(),
        }
    }

    fn take(&mut self, at: usize, sense: Sense) -> Option<()> {
        match sense {
            Sense::Skip | Sense::Article => Some(()),
            Sense::Polite => set(&mut self.polite),
            Sense::All => set(&mut self.pending.all),
            Sense::Any if self.now.ask.is_some() => {
                self.now.any = true;
                set(&mut self.pending.all)
            }
            Sense::Gerund(act) if self.polite => self.act(act),
            Sense::Silence | Sense::Any | Sense::Gerund(_) => None,
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
                let half_of = matches!(self.last, Some(Sense::Level(_)))
                    && self.now.targets.is_empty()
                    && self.now.property.is_none();
                if half_of
                    && (self.now.act.is_some()
                        || matches!(self.last, Some(Sense::Level(level)) if level.is_part()))
                {
                    return None;
                }
                set(&mut self.pending.place)
            }
            Sense::To | Sense::At | Sense::By => self.link(sense),
            Sense::Possessive => (matches!(
                self.last,
                Some(Sense::Place(_) | Sense::Called(..) | Sense::Noun(..))
            ) && self.names_follow(at))
            .then_some(()),
            Sense::Be
            | Sense::What
            | Sense::HowMany
            | Sense::Whether
            | Sense::Ensure
            | Sense::How(_) => self.ask(sense),
            Sense::Place(place) => self.place(at, place),
            Sense::Called(..) | Sense::Noun(..) | Sense::It | Sense::Them => self.target(at, sense),
            Sense::Act(act) => self.act(act),
            Sense::Split(act, particle) => self
                .act(act)
                .and_then(|()| fill(&mut self.pending.particle, particle)),
            Sense::Particle(particle) => self.particle(particle),
            Sense::State(state) => self.state(state),
            Sense::Participle(state) => {
                let told = self.now.ask.is_some() || self.now.ensure;
                self.state(state).filter(|()| told)
            }
            Sense::More(more) => {
                // "i would like it to be brighter"
                if self.pending.link == Some(Preposition::To)
                    && (self.now.ensure || self.now.act == Some(Act::Set))
                {
                    self.pending.link = None;
                }
                self.close().and_then(|()| fill(&mut self.now.more, more))
            }
            Sense::Much => set(&mut self.now.much),
            Sense::Mode => set(&mut self.now.mode),
            Sense::Status => self.of_property().and_then(|()| set(&mut self.now.status)),
            Sense::Property(property) => self
                .of_property()
                .and_then(|()| fill(&mut self.now.property, property)),
            Sense::Target(property) => self.of_property().and_then(|()| {
                self.now.target = true;
                fill(&mut self.now.property, property)
            }),
            Sense::Unit(unit) => self.unit(unit),
            Sense::Number(_)
            | Sense::Level(_)
            | Sense::Color(_)
            | Sense::Hex(_)
            | Sense::White(_)
            | Sense::Choice(_) => self.amount(sense),
        }
    }

    fn act(&mut self, act: Act) -> Option<()> {
        // "the door open" may be a statement; "blinds down", "tv mute" are wishes.
        let after_a_name = !self.now.targets.is_empty() || !self.pending.rooms.is_empty();
        let misplaced = after_a_name
            && (self.grammar.verb_first || (act == Act::Open && !self.grammar.verb_last));
        if self.now.ask.is_some() || self.pending.place || self.pending.link.is_some() || misplaced
        {
            return None;
        }
        self.flush_rooms();
        if after_a_name {
            self.closed = true;
        }
        fill(&mut self.now.act, act)
    }

    /// The rest of a verb in two parts: "schliess die tür [ab]".
    fn particle(&mut self, particle: u16) -> Option<()> {
        let misplaced = self.pending.place
            || self.pending.link.is_some()
            || self.pending.particle.take() != Some(particle);
        self.close()?;
        (!misplaced).then_some(())
    }

    fn state(&mut self, state: State) -> Option<()> {
        if std::mem::take(&mut self.pending.or) {
            self.now.either = true;
            return Some(());
        }
        let link = self.pending.link.take();
        if self.pending.place || !matches!(link, None | Some(Preposition::To)) {
            return None;
        }
        // "the door locked" may be a statement; only "lights on" and "blinds down" are wishes without a verb.
        let said_how = matches!(state, State::On | State::Off | State::Up | State::Down);
        if !said_how && self.now.ask.is_none() && self.now.act.is_none() && !self.now.ensure {
            return None;
        }
        // "to netflix on the tv": after a value it is where. "on the tv", "what is on the tv": so it is before a name without a verb.
        let before_a_name = self.now.targets.is_empty() && self.pending.rooms.is_empty();
        let without_verb = self.now.act.is_none() && self.now.ask != Some(QueryVerb::Whether);
        if state == State::On && (self.now.amount.is_some() || (before_a_name && without_verb)) {
            return None;
        }
        // "set up the tv" is another thing than "turn up the tv", and "set off the siren" another than "turn off the siren".
        if self.last == Some(Sense::Act(Act::Set)) && link.is_none() {
            return None;
        }
        // "are there any open windows"
        let before_what_is_asked =
            self.now.ask.is_some() && self.now.any && self.now.targets.is_empty();
        if !before_what_is_asked {
            self.close()?;
        }
        fill(&mut self.now.state, state)
    }

    fn ask(&mut self, sense: Sense) -> Option<()> {
        let begun = !self.now.targets.is_empty()
            || !self.pending.rooms.is_empty()
            || self.now.act.is_some()
            || self.now.state.is_some()
            || self.now.amount.is_some();
        match sense {
            // "which lights are on", "tell me if the door is locked", "make sure the door is locked".
            Sense::Be
                if self.now.ask == Some(QueryVerb::What)
                    || self.now.ensure
                    || std::mem::take(&mut self.whether) =>
            {
                self.flush_rooms();
                Some(())
            }
            // "the front door is locked?"
            Sense::Be
                if self.asked
                    && self.now.is_only_named()
                    && self.pending
                        == (Pending {
                            rooms: self.pending.rooms.clone(),
                            ..Pending::default()
                        }) =>
            {
                self.flush_rooms();
                fill(&mut self.now.ask, QueryVerb::Whether)
            }
            _ if begun || self.now.ensure || self.pending != Pending::default() => None,
            Sense::Be => fill(&mut self.now.ask, QueryVerb::Whether),
            Sense::Whether => {
                self.whether = true;
                fill(&mut self.now.ask, QueryVerb::Whether)
            }
            Sense::What => fill(&mut self.now.ask, QueryVerb::What),
            Sense::HowMany => {
                self.now.count = true;
                fill(&mut self.now.ask, QueryVerb::What)
            }
            Sense::How(property) => {
                self.now.ask = Some(QueryVerb::What);
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
            Sense::To => Preposition::To,
            Sense::At => Preposition::At,
            _ => Preposition::By,
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
        if self.now.amount.is_some_and(|said| {
            said.is_color() != amount.is_color() && !self.now.targets.is_empty()
        }) && !self.pending.place
        {
            // "40 percent red": two things of one lamp.
            self.next_of_same()?;
        }
        // "put the tv on netflix": here "on" is to what.
        if matches!(amount, Amount::Choice(_))
            && self.last == Some(Sense::State(State::On))
            && !self.now.targets.is_empty()
        {
            self.now.state = None;
        }
        let beside = matches!(self.last, Some(Sense::Called(..) | Sense::Noun(..)))
            && link == Preposition::Bare
            && !self.pending.place;
        self.coloured |= self.grammar.head_first && beside && amount.is_color();
        let of_property = std::mem::take(&mut self.pending.of_property);
        if std::mem::take(&mut self.pending.place)
            && !of_property
            && matches!(amount, Amount::Number(_) | Amount::Level(_))
        {
            return None;
        }
        self.close()?;
        self.now.link = if link == Preposition::At && !matches!(amount, Amount::Number(_)) {
            Preposition::To
        } else {
            link
        };
        fill(&mut self.now.amount, amount)
    }

    fn unit(&mut self, unit: u16) -> Option<()> {
        let (Some(Sense::Number(_)), Some(Amount::Number(n))) = (self.last, self.now.amount) else {
            return None;
        };
        self.now.amount = Some(Amount::Measured(n, unit));
        // "until 8" may be a time, "until 8 percent" is none.
        if self.now.link == Preposition::At {
            self.now.link = Preposition::To;
        }
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
        let all = std::mem::take(&mut self.pending.all) && !self.now.any;
        (!self.excepting && !self.pending.place && !all).then_some(())
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
