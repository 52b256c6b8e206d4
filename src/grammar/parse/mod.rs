//! One sense for each span → clauses, from left to right. Knows no devices.

mod join;
mod mood;
mod targets;

use smallvec::SmallVec;

use crate::grammar::clause::{Amount, Clause, Preposition, QuestionType};
use crate::grammar::lexicon::Grammar;
use crate::grammar::part_open::{HOURS, is_part};
use crate::grammar::sense::{Comparative, Place, Sense, StateWord, Verb};

/// Most clauses of one sentence.
const MOST_CLAUSES: usize = 5;

/// The clauses of a sentence; nearly every one has a single clause.
pub(super) type Clauses = SmallVec<[Clause; 1]>;

/// Parses one sense for each span.
///
/// # Errors
/// The index of the span at which the senses cease to form a sentence.
pub(super) fn clauses(senses: &[Sense], asked: bool, grammar: &Grammar) -> Result<Clauses, usize> {
    let mut parser = Parser::new(senses, asked, grammar);
    for (at, &sense) in senses.iter().enumerate() {
        if at + 1 == senses.len() && parser.ends_a_question(sense) {
            break;
        }
        parser.take(at, sense).ok_or(at)?;
        if !sense.is_filler() && !sense.is_article() {
            parser.last = Some(sense);
        }
    }
    if parser.pending != Pending::default() || matches!(parser.last, Some(Sense::And | Sense::Or)) {
        return Err(senses.len());
    }
    parser.finish().ok_or(senses.len())?;
    parser.share_exception();
    let explained = !asked || parser.polite || parser.done.iter().all(is_question);
    (explained && parser.done.len() <= MOST_CLAUSES)
        .then_some(parser.done)
        .ok_or(senses.len())
}

/// Returns whether the clause may end with a question mark. "where is the robot?" locates it.
fn is_question(clause: &Clause) -> bool {
    clause.question.is_some() || clause.verb == Some(Verb::Locate)
}

/// Words that have been read and await the word they belong to.
#[derive(Debug, Default, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word that was said or not"
)]
struct Pending {
    all: bool,
    both: bool,
    after_in: bool,
    preposition: Option<Preposition>,
    or: bool,
    /// "schliess .. [ab]"
    particle: Option<u16>,
    /// "brightness of [50]"
    of_property: bool,
    /// Places before their noun: "kitchen [lights]".
    places: Vec<Place>,
}

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what has been passed on the way, each by itself"
)]
struct Parser<'a> {
    senses: &'a [Sense],
    /// Whether the sentence ends with a question mark.
    asked: bool,
    grammar: &'a Grammar,
    now: Clause,
    pending: Pending,
    excepting: bool,
    /// Whether the list of targets has ended.
    closed: bool,
    /// Whether the list of targets or places continues.
    joined: bool,
    /// Whether a colour stands beside a name and may select the device.
    coloured: bool,
    last: Option<Sense>,
    polite: bool,
    whether: bool,
    /// Whether the question is for persons.
    asks_who: bool,
    /// Whether a complaint is all that the sentence says.
    only_complains: bool,
    done: Clauses,
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
            asks_who: false,
            only_complains: senses.iter().all(is_part_of_complaint),
            done: Clauses::new(),
        }
    }

    /// Accepts the next sense. Returns `None` if it does not fit.
    fn take(&mut self, at: usize, sense: Sense) -> Option<()> {
        match sense {
            Sense::Filler | Sense::Article => Some(()),
            Sense::Indefinite(which) => self.indefinite(at, which),
            Sense::Still => self.still(at),
            Sense::Hesitation => self.hesitation(at),
            Sense::Reason => self.senses.contains(&Sense::Comma).then_some(()),
            Sense::Polite => self.politeness(at),
            Sense::All | Sense::Any | Sense::Both => self.quantifier(sense),
            Sense::Except => {
                self.flush_places();
                self.excepting = true;
                (!self.now.targets.is_empty()).then_some(())
            }
            Sense::And | Sense::Comma => self.join(at, sense),
            Sense::Or => {
                self.pending.or = true;
                self.now.state.map(|_| ())
            }
            Sense::In => self.after_in(),
            Sense::To | Sense::At | Sense::By => self.preposition(sense),
            Sense::Share => {
                self.now.is_share = true;
                self.preposition(Sense::To)
            }
            Sense::Possessive => self.possessive(at),
            Sense::Be
            | Sense::What
            | Sense::HowMany
            | Sense::Who
            | Sense::Whether
            | Sense::Ensure
            | Sense::How(_)
            | Sense::HowSet(_) => self.question(sense),
            Sense::BeAny => self.be_any(),
            Sense::Inverted => self.inverted(),
            Sense::Asking(state) => self.asking(state),
            Sense::Place(place) => self.place(at, place),
            Sense::Name(..) | Sense::Noun(..) | Sense::It | Sense::Them => self.target(at, sense),
            Sense::Verb(verb) => self.verb(verb),
            Sense::Gerund(verb) if self.polite => self.verb(verb),
            Sense::Request(verb) if self.asked => self.request(verb),
            Sense::Indicative(verb) => self.indicative(at, verb),
            Sense::Veto | Sense::Other | Sense::Gerund(_) | Sense::Request(_) => None,
            Sense::SplitVerb(verb, particle) => {
                self.verb(verb)?;
                fill(&mut self.pending.particle, particle)
            }
            Sense::Particle(particle) => self.particle(particle),
            Sense::Shall => self.shall(),
            Sense::Should => self.should(),
            Sense::May => (!self.now.targets.is_empty()).then_some(()),
            Sense::Formal => self.formal(),
            Sense::Number(_) if self.is_a_bound(at) => None,
            Sense::State(StateWord::On) | Sense::Participle(StateWord::On)
                if self.asks_what_is_on(at) =>
            {
                fill(&mut self.now.state, StateWord::On)
            }
            _ => self.take_value(sense),
        }
    }

    /// Accepts a state, a property or a value.
    fn take_value(&mut self, sense: Sense) -> Option<()> {
        match sense {
            Sense::State(state) => self.state(state),
            Sense::Participle(state) => {
                let is_expected = self.now.question.is_some() || self.now.ensure || self.asked;
                self.state(state).filter(|()| is_expected)
            }
            Sense::Comparative(comparative) => self.comparative(comparative),
            Sense::Complaint(wish) => self.complaint(wish),
            Sense::Slightly => set(&mut self.now.slightly),
            Sense::Mode => set(&mut self.now.mode),
            Sense::Status | Sense::SetAt | Sense::Property(_) | Sense::Target(_) => {
                self.property(sense)
            }
            Sense::Unit(unit) => self.unit(unit),
            Sense::Number(_)
            | Sense::Level(_)
            | Sense::Color(_)
            | Sense::Hex(_)
            | Sense::White(_)
            | Sense::OptionName(_) => self.amount(sense),
            _ => None,
        }
    }

    /// Returns whether the last word is a preposition that belongs to the question word: "what mode
    /// is the fan in".
    fn ends_a_question(&self, sense: Sense) -> bool {
        self.now.question == Some(QuestionType::Open)
            && !self.now.targets.is_empty()
            && self.now.property.is_some()
            && sense.is_preposition()
    }

    /// Accepts "all", "any" or "both" before a target.
    fn quantifier(&mut self, sense: Sense) -> Option<()> {
        match sense {
            Sense::Both => set(&mut self.pending.both),
            // "any windows open" is a question.
            Sense::Any if self.now == Clause::default() && self.pending == Pending::default() => {
                self.now.question = Some(QuestionType::YesNo);
                self.quantifier(Sense::Any)
            }
            Sense::Any if self.now.question.is_none() => None,
            Sense::Any => {
                self.now.any = true;
                set(&mut self.pending.all)
            }
            _ => set(&mut self.pending.all),
        }
    }

    /// Accepts "um" where no other name, value or verb takes the place of one before it: "turn off
    /// the oven, um, the kettle". Behind "and" it is one more.
    fn hesitation(&self, at: usize) -> Option<()> {
        let is_pause = |sense: &&Sense| sense.is_filler() || **sense == Sense::Comma;
        let before = self.senses[..at].iter().rev().find(|s| !is_pause(s));
        let behind = self.senses[at..].iter().find(|s| !is_pause(s));
        let is_apart = before.is_none_or(|sense| *sense == Sense::And || sense.is_article())
            || matches!(behind, None | Some(Sense::And));
        let begins = self.done.is_empty()
            && self.now.targets.is_empty()
            && self.now.places.is_empty()
            && self.now.amount.is_none()
            && self.pending.places.is_empty();
        let replaces = behind.is_some_and(|sense| {
            matches!(
                sense,
                Sense::Name(..)
                    | Sense::Noun(..)
                    | Sense::Place(_)
                    | Sense::It
                    | Sense::Them
                    | Sense::Article
                    | Sense::Indefinite(_)
                    | Sense::Verb(_)
                    | Sense::SplitVerb(..)
                    | Sense::In
                    | Sense::To
                    | Sense::Number(_)
                    | Sense::Level(_)
            )
        });
        (is_apart || begins || !replaces).then_some(())
    }

    /// Accepts "in" before a place.
    fn after_in(&mut self) -> Option<()> {
        self.flush_places();
        self.pending.of_property = matches!(self.last, Some(Sense::Property(_)));
        if let Some(Sense::Level(level)) = self.last
            && self.now.targets.is_empty()
            && self.now.property.is_none()
            && (self.now.verb.is_some() || level.is_part())
        {
            // "half of the lights" selects devices and gives no amount.
            return None;
        }
        set(&mut self.pending.after_in)
    }

    /// Accepts "'s" between a name or place and a noun.
    fn possessive(&self, at: usize) -> Option<()> {
        let has_owner = matches!(
            self.last,
            Some(Sense::Place(_) | Sense::Name(..) | Sense::Noun(..))
        );
        (has_owner && self.names_follow(at)).then_some(())
    }

    /// Accepts "Sie" after a verb.
    fn formal(&self) -> Option<()> {
        let after_verb = matches!(
            self.last,
            Some(Sense::Verb(_) | Sense::SplitVerb(..) | Sense::Indicative(_))
        );
        after_verb.then_some(())
    }

    fn comparative(&mut self, comparative: Comparative) -> Option<()> {
        // "i would like it to be brighter"
        if self.pending.preposition == Some(Preposition::To)
            && (self.now.ensure || self.now.verb == Some(Verb::Set))
        {
            self.pending.preposition = None;
        }
        self.close()?;
        self.now.leads = self.now.targets.is_empty();
        fill(&mut self.now.comparative, comparative)
    }

    /// Accepts "it is too dark", which is about the area of the command where no place is named.
    fn complaint(&mut self, wish: Comparative) -> Option<()> {
        if !self.only_complains {
            return Some(());
        }
        if !self.senses.iter().any(|s| matches!(s, Sense::Place(_))) {
            self.now.places.push(Place::Here);
        }
        fill(&mut self.now.comparative, wish)
    }

    /// Accepts a property, its set point, or "status".
    fn property(&mut self, sense: Sense) -> Option<()> {
        self.places_of_property()?;
        match sense {
            Sense::Property(property) => fill(&mut self.now.property, property),
            Sense::Target(property) => {
                self.now.set_point = true;
                fill(&mut self.now.property, property)
            }
            Sense::SetAt => {
                self.now.set_point = true;
                set(&mut self.now.status)
            }
            _ => set(&mut self.now.status),
        }
    }

    fn verb(&mut self, verb: Verb) -> Option<()> {
        // "the door open" may be a statement; "blinds down", "tv mute" are commands.
        let after_a_name = !self.now.targets.is_empty() || !self.pending.places.is_empty();
        let misplaced = after_a_name
            && self.last != Some(Sense::Comma)
            && !self.is_complete()
            && (self.grammar.verb_first || (verb == Verb::Open && !self.grammar.verb_last));
        if self.now.question.is_some()
            || self.pending.after_in
            || self.pending.preposition.is_some()
            || misplaced
        {
            return None;
        }
        if self.now.verb.is_some() && self.is_complete() {
            // "turn on the kitchen light turn off the hall light". Not behind a bare noun, which
            // may be a song with this title, nor before "para la película", which may be a purpose.
            if matches!(verb, Verb::Stop | Verb::Pause) || self.may_have_a_title() {
                return None;
            }
            self.finish()?;
            return fill(&mut self.now.verb, verb);
        }
        self.flush_places();
        if after_a_name {
            self.closed = true;
        }
        fill(&mut self.now.verb, verb)
    }

    /// Returns whether the last word is a noun alone: "put on the song".
    fn may_have_a_title(&self) -> bool {
        let target = self.now.targets.last();
        let is_alone = target.is_some_and(|target| target.places.is_empty() && !target.all);
        is_alone && matches!(self.last, Some(Sense::Noun(_, false)))
    }

    /// Accepts the second part of a separable verb: "schliess die tür [ab]".
    fn particle(&mut self, particle: u16) -> Option<()> {
        let misplaced = self.pending.after_in
            || self.pending.preposition.is_some()
            || self.pending.particle.take() != Some(particle);
        self.close()?;
        (!misplaced).then_some(())
    }

    fn state(&mut self, state: StateWord) -> Option<()> {
        if std::mem::take(&mut self.pending.or) {
            self.now.either = true;
            return Some(());
        }
        let preposition = self.pending.preposition.take();
        if self.pending.after_in || !matches!(preposition, None | Some(Preposition::To)) {
            return None;
        }
        // "the door locked" may be a statement; only "lights on" and "blinds down" need no verb.
        let said_how = matches!(
            state,
            StateWord::On | StateWord::Off | StateWord::Up | StateWord::Down
        );
        // "70 percent closed" needs none either.
        let is_amount = self.now.amount.is_some_and(is_part);
        if !(said_how || is_amount)
            && self.now.question.is_none()
            && self.now.verb.is_none()
            && !self.now.ensure
            && !self.asked
        {
            return None;
        }
        // "on" is a preposition after a value ("to netflix on the tv") and before a name without a
        // verb ("what is on the tv").
        let before_a_name = self.now.targets.is_empty() && self.pending.places.is_empty();
        let without_verb =
            self.now.verb.is_none() && self.now.question != Some(QuestionType::YesNo);
        let of_option = matches!(self.now.amount, Some(Amount::Choice(_)));
        if self.grammar.verb_last
            && of_option
            && state == StateWord::On
            && !before_a_name
            && self.now.verb == Some(Verb::Turn)
        {
            // "mach netflix auf dem fernseher an"
            return self.close();
        }
        if state == StateWord::On && (self.now.amount.is_some() || (before_a_name && without_verb))
        {
            return None;
        }
        // "set up the tv" is not "turn up the tv", and "set off the siren" is not "turn off the
        // siren".
        if self.last == Some(Sense::Verb(Verb::Set)) && preposition.is_none() {
            return None;
        }
        // "are there any open windows", "gibt es offene fenster"
        let before_what_is_asked =
            self.now.question == Some(QuestionType::YesNo) && self.now.targets.is_empty();
        if before_what_is_asked && self.now.state == Some(state) {
            // "is there any light on"
            return Some(());
        }
        if !before_what_is_asked {
            self.close()?;
        }
        fill(&mut self.now.state, state)
    }

    /// Returns whether "on" is what a question asks for: "what is on in the kitchen". Before a name
    /// it is a preposition: "what is on the tv".
    fn asks_what_is_on(&self, at: usize) -> bool {
        let asks = Clause {
            question: Some(QuestionType::Open),
            places: self.now.places.clone(),
            ..Clause::default()
        };
        let is_end = matches!(self.after(at), None | Some(Sense::In | Sense::Place(_)));
        // "what is on" asks for the programme of the television.
        let is_certain = matches!(self.senses[at], Sense::Participle(_))
            || self.grammar.verb_last
            || !self.now.places.is_empty()
            || self.after(at).is_some();
        self.now == asks && self.pending == Pending::default() && is_end && is_certain
    }

    /// Accepts "is there a" and "are there any", in "which lights are there" as well.
    fn be_any(&mut self) -> Option<()> {
        let is_open = self.now.question == Some(QuestionType::Open);
        self.question(Sense::Be)?;
        if is_open {
            return Some(());
        }
        self.quantifier(Sense::Any)
    }

    /// Accepts "est-elle", which needs no question mark.
    fn inverted(&mut self) -> Option<()> {
        self.flush_places();
        if self.now.is_only_named() && self.pending == Pending::default() {
            return fill(&mut self.now.question, QuestionType::YesNo);
        }
        self.question(Sense::Be)
    }

    /// Accepts a verb that asks for a state: "brennt noch licht", "which lights burn".
    fn asking(&mut self, state: StateWord) -> Option<()> {
        if !self.now.ensure {
            self.question(Sense::Be)?;
        }
        fill(&mut self.now.state, state)
    }

    fn question(&mut self, sense: Sense) -> Option<()> {
        let begun = !self.now.targets.is_empty()
            || !self.pending.places.is_empty()
            || self.now.verb.is_some()
            || self.now.state.is_some()
            || self.now.amount.is_some();
        match sense {
            // "which lights are on", "tell me if the door is locked", "make sure the door is
            // locked".
            Sense::Be
                if self.now.question == Some(QuestionType::Open)
                    || self.now.ensure
                    || std::mem::take(&mut self.whether) =>
            {
                self.flush_places();
                Some(())
            }
            // "the front door is locked?"
            Sense::Be
                if self.asked
                    && self.now.is_only_named()
                    && self.pending
                        == (Pending {
                            places: self.pending.places.clone(),
                            ..Pending::default()
                        }) =>
            {
                self.flush_places();
                fill(&mut self.now.question, QuestionType::YesNo)
            }
            _ if begun || self.now.ensure || self.pending != Pending::default() => None,
            Sense::Be => fill(&mut self.now.question, QuestionType::YesNo),
            Sense::Whether => {
                self.whether = true;
                fill(&mut self.now.question, QuestionType::YesNo)
            }
            Sense::What => fill(&mut self.now.question, QuestionType::Open),
            Sense::Who => {
                self.asks_who = true;
                fill(&mut self.now.question, QuestionType::Open)
            }
            Sense::HowMany => {
                self.now.count = true;
                fill(&mut self.now.question, QuestionType::Open)
            }
            Sense::How(property) | Sense::HowSet(property) => {
                self.now.set_point |= matches!(sense, Sense::HowSet(_));
                self.now.question = Some(QuestionType::Open);
                fill(&mut self.now.property, property)
            }
            _ => {
                self.now.ensure = true;
                self.now.question.is_none().then_some(())
            }
        }
    }

    fn preposition(&mut self, sense: Sense) -> Option<()> {
        self.flush_places();
        let preposition = match sense {
            Sense::To => Preposition::To,
            Sense::At => Preposition::At,
            _ => Preposition::By,
        };
        if self.pending.after_in {
            return None;
        }
        fill(&mut self.pending.preposition, preposition)
    }

    fn amount(&mut self, sense: Sense) -> Option<()> {
        let amount = match sense {
            Sense::Number(n) => Amount::Number(n),
            Sense::Level(level) => Amount::Level(level),
            Sense::Color(color) => Amount::Color(color),
            Sense::Hex(rgb) => Amount::Hex(rgb),
            Sense::White(kelvin) => Amount::White(kelvin),
            Sense::OptionName(option) => Amount::Choice(option),
            _ => return None,
        };
        // "in red" and "in eco mode" are values; "in ten" is a time.
        let preposition = self.pending.preposition.take().unwrap_or_default();
        if self.now.amount.is_some_and(|input| {
            input.is_color() != amount.is_color() && !self.now.targets.is_empty()
        }) && !self.pending.after_in
        {
            // "40 percent red": two values for one lamp.
            self.next_of_same()?;
        }
        // "put the tv on netflix": here "on" is a preposition.
        if matches!(amount, Amount::Choice(_))
            && self.last == Some(Sense::State(StateWord::On))
            && !self.now.targets.is_empty()
        {
            self.now.state = None;
        }
        let beside = matches!(self.last, Some(Sense::Name(..) | Sense::Noun(..)))
            && preposition == Preposition::Bare
            && !self.pending.after_in;
        self.coloured |= self.grammar.head_first && beside && amount.is_color();
        let of_property = std::mem::take(&mut self.pending.of_property);
        if std::mem::take(&mut self.pending.after_in)
            && !of_property
            && matches!(amount, Amount::Number(_) | Amount::Level(_))
        {
            return None;
        }
        self.close()?;
        self.now.preposition = if preposition == Preposition::At && !self.may_be_an_hour(amount) {
            Preposition::To
        } else {
            preposition
        };
        fill(&mut self.now.amount, amount)
    }

    /// Returns whether an amount behind "at" may be a time of the clock.
    fn may_be_an_hour(&self, amount: Amount) -> bool {
        let last = self.grammar.last_hour.map_or(HOURS, f64::from);
        matches!(amount, Amount::Number(n) if n <= last)
    }

    /// Returns whether the number is a bound: the Dutch "beneden de 20 graden" is "below 20
    /// degrees", though the word means "downstairs" as well.
    fn is_a_bound(&self, at: usize) -> bool {
        let mut before = self.senses[..at].iter().rev();
        let before = before.find(|sense| !sense.is_article());
        matches!(before, Some(Sense::Place(Place::Floor(_))))
    }

    fn unit(&mut self, unit: u16) -> Option<()> {
        let (Some(Sense::Number(_)), Some(Amount::Number(n))) = (self.last, self.now.amount) else {
            return None;
        };
        self.now.amount = Some(Amount::Measured(n, unit));
        // "until 8" may be a time, "until 8 percent" may not.
        if self.now.preposition == Preposition::At {
            self.now.preposition = Preposition::To;
        }
        Some(())
    }

    /// Returns whether the clause names both an effect and a target, so that another one may follow
    /// without a comma or "and" between them.
    fn is_complete(&self) -> bool {
        let clause = &self.now;
        let does_something = clause.state.is_some()
            || clause.amount.is_some()
            || clause.comparative.is_some()
            || !matches!(
                clause.verb,
                None | Some(Verb::Turn | Verb::Set | Verb::Send)
            );
        let is_plain = clause.question.is_none()
            && !clause.ensure
            && clause.except.is_empty()
            && !self.excepting
            && !self.polite;
        let awaits = Pending {
            places: self.pending.places.clone(),
            ..Pending::default()
        };
        does_something && is_plain && !clause.targets.is_empty() && self.pending == awaits
    }

    /// Ends the list of targets.
    fn close(&mut self) -> Option<()> {
        self.flush_places();
        self.end_exceptions()?;
        self.closed |= !self.now.targets.is_empty() || self.now.property.is_some();
        (!self.pending.all && !self.pending.both).then_some(())
    }

    /// Ends the exceptions. Fails if there are none: "but not now".
    fn end_exceptions(&mut self) -> Option<()> {
        let of_nothing = std::mem::take(&mut self.excepting) && self.now.except.is_empty();
        (!of_nothing).then_some(())
    }

    /// Assigns the places before a property to the clause: "the bedroom temperature".
    fn places_of_property(&mut self) -> Option<()> {
        let places = std::mem::take(&mut self.pending.places);
        self.now.places.extend(places);
        let all = std::mem::take(&mut self.pending.all) && !self.now.any;
        (!self.excepting && !self.pending.after_in && !all).then_some(())
    }
}

/// Returns whether the sense can stand beside a complaint that is a wish: "it is too dark in here".
fn is_part_of_complaint(sense: &Sense) -> bool {
    matches!(
        sense,
        Sense::Complaint(_)
            | Sense::Place(_)
            | Sense::In
            | Sense::Filler
            | Sense::Hesitation
            | Sense::Still
            | Sense::Article
            | Sense::Indefinite(_)
    )
}

/// Sets a flag.
#[expect(clippy::unnecessary_wraps, reason = "an arm of `take` like the others")]
fn set(flag: &mut bool) -> Option<()> {
    *flag = true;
    Some(())
}

/// Fills a slot. Fails if it has a value already.
fn fill<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}
