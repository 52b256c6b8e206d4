//! Evidence in the words of a phrase for and against actions that a model made of it. Unknown words
//! are passed over, so that it works for sentences the grammar does not understand.
//!
//! The grammar decides what a word can mean in the language of the phrase: a property, a number, a
//! direction. An action that such a word contradicts, or that sets a number which is not stated, is
//! not executed without asking. The brightness of a light may be chosen freely.

use crate::grammar::lexicon::{Lexicon, UnsupportedMeaning};
use crate::grammar::names::Names;
use crate::grammar::sense::{Comparative, Level, Sense, StateWord, Verb};
use crate::grammar::spans::Spans;
use crate::grammar::tokens::words;
use crate::home::Home;
use crate::home::device::Device;
use crate::vocabulary::action::{Action, Op};
use crate::vocabulary::{Domain, Property, Value};

/// Deviation of a value from a part of the range in words, in percent: a third is 33 or 34.
const NEARLY: f64 = 1.5;

/// Properties that a command can be about without a word for them: the main ones of all kinds.
const USUAL: [Property; 13] = [
    Property::Power,
    Property::Brightness,
    Property::Position,
    Property::Volume,
    Property::Speed,
    Property::Temperature,
    Property::Humidity,
    Property::Lock,
    Property::Vacuum,
    Property::Mower,
    Property::Scene,
    Property::Script,
    Property::Press,
];

/// Shortest beginning of a comparative that is the same word: "loud" of "louder".
const SHORTEST_STEM: usize = 4;

/// Whether the devices and states that a phrase names are those of a change.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stance {
    #[default]
    Affirmed,
    /// Something is negated: "don't turn on".
    Negated,
    /// The phrase has an exception or a question: it names devices that are not to be changed.
    OfOthers,
}

/// The words of a phrase that say something about a change, without those that name devices.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    numbers: Vec<f64>,
    levels: Vec<Level>,
    /// Properties that a word means, one list for each word.
    properties: Vec<Vec<Property>>,
    /// Directions of the verbs: up, on, open or more is `true`.
    by_verb: Vec<bool>,
    /// Directions of the states, some of which are prepositions as well: "on".
    by_state: Vec<bool>,
    /// Directions of words for more and less: "up", "lower", "louder".
    by_degree: Vec<bool>,
    /// Complaints, as the properties and whether there is too much of them: "loud", "cold".
    complaints: Vec<(Vec<Property>, bool)>,
    /// Options of devices that are named.
    options: Vec<String>,
    /// Colours that are named.
    colors: Vec<String>,
    /// Whether what the phrase names is to be changed.
    stance: Stance,
    /// Whether a small change is asked for: "a bit".
    is_slight: bool,
    /// Whether something is to be opened or closed, which gives a position without a number.
    moves: bool,
}

impl Evidence {
    /// Collects the evidence in a text.
    pub(super) fn of(text: &str, lexicon: &Lexicon, names: &Names) -> Self {
        let plain = lexicon.spelling.plain(text);
        let tried = Spans::try_of(&plain, lexicon, names);
        let spans = &tried.spans;
        let is_said = |sense: &Sense| match sense {
            // The first part of a separable verb means nothing without the second.
            Sense::SplitVerb(_, particle) => {
                let particle = Sense::Particle(*particle);
                spans.iter().any(|senses| senses.contains(&particle))
            }
            _ => true,
        };
        let negation = lexicon.unsupported_in(&words(&plain), UnsupportedMeaning::Negation);
        let mut evidence = Self {
            stance: match negation {
                Some(_) => Stance::Negated,
                None => Stance::Affirmed,
            },
            ..Self::default()
        };
        for (senses, run) in spans.iter().zip(tried.runs()) {
            let is_target = |sense: &Sense| {
                matches!(sense, Sense::Name(..) | Sense::Noun(..) | Sense::Place(_))
            };
            if senses.iter().any(is_target) {
                continue;
            }
            if senses.is_empty() {
                evidence.complaints.extend(complaint(&run, lexicon));
            }
            let said = || senses.iter().filter(|sense| is_said(sense));
            evidence.add(said(), names);
            if said().any(is_exception_or_question) {
                evidence.stance = Stance::OfOthers;
            }
            let colors = said().filter_map(|sense| match sense {
                Sense::Color(color) => lexicon.colors.get(usize::from(*color)),
                _ => None,
            });
            evidence.colors.extend(colors.map(ToString::to_string));
        }
        let complained = evidence.complaints.iter().map(|(about, _)| about.clone());
        evidence.properties.extend(complained);
        evidence
    }

    /// Adds the senses of one run of words.
    fn add<'s>(&mut self, senses: impl Iterator<Item = &'s Sense>, names: &Names) {
        let property = |id: &u16| names.properties.get(usize::from(*id)).cloned();
        let mut meant = Vec::new();
        let (mut by_verb, mut by_state, mut by_degree) = (Vec::new(), Vec::new(), Vec::new());
        for sense in senses {
            match sense {
                Sense::Number(number) => self.numbers.push(*number),
                Sense::Level(level) => self.levels.push(*level),
                Sense::Slightly => self.is_slight = true,
                Sense::OptionName(id) => {
                    self.options
                        .extend(names.options.get(*id as usize).cloned());
                }
                Sense::Property(id) | Sense::Target(id) | Sense::How(id) | Sense::HowSet(id) => {
                    meant.extend(property(id));
                }
                Sense::Color(_) | Sense::Hex(_) => meant.push(Property::Color),
                Sense::White(_) => meant.extend([Property::Color, Property::ColorTemp]),
                Sense::Verb(verb)
                | Sense::SplitVerb(verb, _)
                | Sense::Gerund(verb)
                | Sense::Request(verb)
                | Sense::Indicative(verb) => {
                    meant.extend_from_slice(properties_of_verb(*verb));
                    by_verb.extend(direction_of_verb(*verb));
                    by_degree.extend(direction_of_verb(*verb).filter(|_| is_of_degree(*verb)));
                    self.moves |= is_movement(*verb);
                }
                Sense::State(state) | Sense::Participle(state) => {
                    by_state.push(direction_of_state(*state));
                    let is_of_degree = matches!(state, StateWord::Up | StateWord::Down);
                    by_degree.extend(is_of_degree.then_some(direction_of_state(*state)));
                    meant.extend_from_slice(properties_of_state(*state));
                    self.moves |=
                        matches!(state, StateWord::Open | StateWord::Closed) || state.is_extent();
                }
                // "One more thing" has no direction.
                Sense::Comparative(Comparative::More | Comparative::Less) => {}
                Sense::Comparative(comparative) => {
                    let (properties, up) = compared(*comparative);
                    meant.extend_from_slice(properties);
                    by_verb.push(up);
                    by_degree.push(up);
                }
                _ => {}
            }
        }
        if !meant.is_empty() {
            self.properties.push(meant);
        }
        // A word with both directions, such as the German "auf", shows neither.
        for (found, all) in [
            (by_verb, &mut self.by_verb),
            (by_state, &mut self.by_state),
            (by_degree, &mut self.by_degree),
        ] {
            let is_certain = found.windows(2).all(|pair| pair[0] == pair[1]);
            all.extend(found.first().filter(|_| is_certain).copied());
        }
    }

    /// Returns whether no word contradicts the actions, and each number in them is stated.
    pub(super) fn supports(&self, home: &Home, actions: &[Action]) -> bool {
        let mut acting = actions.iter().filter(|action| action.op != Op::Query);
        if acting.clone().next().is_none() {
            return true;
        }
        self.stance != Stance::OfOthers
            && self.uses_all_numbers(actions)
            && acting.all(|action| {
                // An unknown device is refused elsewhere.
                let device = home.device(&action.device);
                device.is_none_or(|device| self.supports_one(device, action))
            })
    }

    fn supports_one(&self, device: &Device, action: &Action) -> bool {
        self.states(action)
            && self.has_color_of(action)
            && self.means(device, action)
            && self.is_strong(device, action)
            && self.has_direction_of(action)
    }

    /// Returns whether the number of an action is stated in digits or words. A brightness may be
    /// chosen by the model where the phrase has no number at all: "make it cosy".
    fn states(&self, action: &Action) -> bool {
        let Some(Value::Number(number)) = &action.value else {
            return true;
        };
        if action.property == Property::Brightness && action.op == Op::Set {
            let is_open = self.numbers.is_empty() && self.levels.is_empty();
            if is_open && *number > 0.0 {
                return true;
            }
        }
        let is_same = |stated: &f64| (stated - number).abs() < 0.01;
        let is_level = |level: &&Level| level_is(**level, *number);
        let is_end = action.property == Property::Position && (*number <= 0.0 || *number >= 100.0);
        self.numbers.iter().any(is_same)
            || self.levels.iter().any(|level| is_level(&level))
            || (is_end && self.moves)
    }

    /// Returns whether a colour in words is one of those that are named, if any is.
    fn has_color_of(&self, action: &Action) -> bool {
        let Some(Value::Text(color)) = &action.value else {
            return true;
        };
        let is_named = || self.colors.iter().any(|named| *named == color.as_str());
        action.property != Property::Color
            || self.colors.is_empty()
            || color.as_str().starts_with('#')
            || is_named()
    }

    /// Returns whether each number and part of a range in the phrase is the value of an action.
    fn uses_all_numbers(&self, actions: &[Action]) -> bool {
        let numbers = || {
            actions.iter().filter_map(|action| match &action.value {
                Some(Value::Number(number)) => Some(*number),
                _ => None,
            })
        };
        let turns_on = actions.iter().any(|a| a.value == Some(Value::text("on")));
        self.numbers
            .iter()
            .all(|stated| numbers().any(|n| (n - stated).abs() < 0.01))
            && self.levels.iter().all(|level| {
                (*level == Level::Full && turns_on) || numbers().any(|n| level_is(*level, n))
            })
    }

    /// Returns whether no word means another property that the device has. A property that few
    /// commands are about must be meant by a word, or by the name of its value.
    fn means(&self, device: &Device, action: &Action) -> bool {
        let settable = |other: &Property| {
            let capability = device.capability(other);
            capability.is_some_and(|capability| capability.settable)
        };
        let is_about = |meant: &Vec<Property>| meant.contains(&action.property);
        if self.properties.iter().any(is_about) {
            return true;
        }
        let word = action.value.as_ref().map(ToString::to_string);
        let is_named = |option: &String| {
            let word = word.as_ref();
            word.is_some_and(|word| word.eq_ignore_ascii_case(option))
        };
        if self.options.iter().any(is_named) {
            return true;
        }
        let mut others = device.capabilities.iter();
        let is_only = !others.any(|c| c.settable && c.property != action.property);
        let is_usual = USUAL.contains(&action.property) || is_only;
        is_usual && !self.properties.iter().flatten().any(settable)
    }

    /// Returns whether a small change is one: "a bit" does not switch off a device with a range.
    fn is_strong(&self, device: &Device, action: &Action) -> bool {
        let has_range = device
            .capabilities
            .iter()
            .any(|c| c.settable && matches!(c.domain, Domain::Number { .. }));
        let is_number = matches!(action.value, Some(Value::Number(_)));
        !self.is_slight || !has_range || action.op != Op::Set || is_number
    }

    /// Returns whether the phrase may mean the direction of the action: it is false if all words
    /// with a direction mean the opposite one. Verbs decide before states. A change by degrees
    /// needs a word for its direction: a complaint that there is too much of something asks for
    /// less of it.
    fn has_direction_of(&self, action: &Action) -> bool {
        let Some(direction) = direction_of(action) else {
            return true;
        };
        // "Don't turn it on" asks for neither direction; "nobody cares for it" may ask for less.
        let has_words = !(self.by_verb.is_empty() && self.by_state.is_empty());
        if self.stance == Stance::Negated && (direction || has_words) {
            return false;
        }
        if matches!(action.op, Op::Increase | Op::Decrease) {
            let asks = |(about, too_much): &(Vec<Property>, bool)| {
                about.contains(&action.property) && *too_much != direction
            };
            return self.by_degree.contains(&direction) || self.complaints.iter().any(asks);
        }
        let words = if self.by_verb.is_empty() {
            &self.by_state
        } else {
            &self.by_verb
        };
        words.is_empty() || words.contains(&direction)
    }
}

fn is_exception_or_question(sense: &Sense) -> bool {
    matches!(
        sense,
        Sense::Except
            | Sense::What
            | Sense::HowMany
            | Sense::Who
            | Sense::Whether
            | Sense::BeAny
            | Sense::Inverted
            | Sense::Asking(_)
            | Sense::How(_)
            | Sense::HowSet(_)
    )
}

/// Returns whether a number is the level: an end of the range is full in either direction.
fn level_is(level: Level, number: f64) -> bool {
    match level {
        Level::Full | Level::SpeedHigh => number >= 100.0 || number <= 0.0,
        Level::Low => number <= 10.0,
        level => level
            .percent()
            .is_some_and(|percent| (percent - number).abs() < NEARLY),
    }
}

/// Returns the direction of a change: up, on, open or more is `true`.
fn direction_of(action: &Action) -> Option<bool> {
    let word = match (&action.op, &action.value) {
        (Op::Increase, _) => return Some(true),
        (Op::Decrease, _) => return Some(false),
        (Op::Set, Some(Value::Text(word))) => word.as_str(),
        (Op::Set, Some(Value::Number(number))) if action.property == Property::Position => {
            return match *number {
                n if n >= 100.0 => Some(true),
                n if n <= 0.0 => Some(false),
                _ => None,
            };
        }
        _ => return None,
    };
    let is_on = match word {
        "on" | "unlocked" | "playing" | "cleaning" | "mowing" => true,
        "off" | "locked" | "paused" | "stopped" | "docked" => false,
        _ => return None,
    };
    let is_mute = action.property == Property::Mute;
    Some(is_on != is_mute)
}

/// Returns the properties of a comparative that begins with the word, and its direction: "loud" of
/// "louder". In a statement such a word is a complaint.
fn complaint(word: &str, lexicon: &Lexicon) -> Option<(Vec<Property>, bool)> {
    if word.chars().count() < SHORTEST_STEM {
        return None;
    }
    let endings = ["er", "r", "ter"];
    endings.iter().find_map(|ending| {
        let longer = format!("{word}{ending}");
        let input = [longer.as_str()];
        let mut senses = lexicon.senses(&input);
        senses.find_map(|(_, sense)| match sense {
            Sense::Comparative(comparative) => {
                let (about, up) = compared(comparative);
                Some((about.to_vec(), up))
            }
            _ => None,
        })
    })
}

/// Returns the properties of a comparative, and whether it means more.
fn compared(comparative: Comparative) -> (&'static [Property], bool) {
    use Comparative as C;
    use Property as P;
    match comparative {
        C::Brighter => (&[P::Brightness], true),
        C::Darker => (&[P::Brightness], false),
        C::Warmer => (&[P::Temperature, P::ColorTemp], true),
        C::Cooler => (&[P::Temperature, P::ColorTemp], false),
        C::Louder => (&[P::Volume], true),
        C::Quieter => (&[P::Volume], false),
        C::Faster => (&[P::Speed], true),
        C::Slower => (&[P::Speed], false),
        C::Higher | C::More => (&[], true),
        C::Lower | C::Less => (&[], false),
    }
}

/// Returns the properties that a verb changes, if it does not change most of them.
fn properties_of_verb(verb: Verb) -> &'static [Property] {
    use Property as P;
    match verb {
        Verb::Dim | Verb::Darken | Verb::Brighten => &[P::Brightness],
        Verb::Warm | Verb::Cool => &[P::Temperature, P::ColorTemp, P::HvacMode],
        Verb::Hasten | Verb::Slow => &[P::Speed],
        Verb::Mute | Verb::Unmute => &[P::Mute, P::Volume],
        Verb::Play | Verb::Pause | Verb::Next | Verb::Previous => {
            &[P::Playback, P::Vacuum, P::Mower]
        }
        Verb::Lock | Verb::Unlock | Verb::LockUp => &[P::Lock],
        Verb::Open | Verb::Close | Verb::Extend | Verb::Retract => &[P::Position, P::Tilt, P::Lock],
        _ => &[],
    }
}

/// Returns the properties whose value a state is, if there are few.
fn properties_of_state(state: StateWord) -> &'static [Property] {
    use Property as P;
    match state {
        StateWord::Playing | StateWord::Paused => &[P::Playback, P::Vacuum, P::Mower],
        StateWord::Muted => &[P::Mute, P::Volume],
        StateWord::Locked | StateWord::Unlocked => &[P::Lock],
        StateWord::Cleaning => &[P::Vacuum],
        StateWord::Mowing => &[P::Mower],
        StateWord::Docked => &[P::Vacuum, P::Mower],
        _ => &[],
    }
}

/// Returns whether the verb means more or less of something.
fn is_of_degree(verb: Verb) -> bool {
    use Verb as V;
    let steps = matches!(
        verb,
        V::Raise | V::Lower | V::Increase | V::Decrease | V::Hasten | V::Slow
    );
    let named = matches!(
        verb,
        V::Dim | V::Darken | V::Brighten | V::Warm | V::Cool | V::Open | V::Close
    );
    steps || named
}

fn is_movement(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Open | Verb::Close | Verb::Extend | Verb::Retract
    )
}

fn direction_of_verb(verb: Verb) -> Option<bool> {
    use Verb as V;
    let up = [
        V::On,
        V::TurnUp,
        V::PutOn,
        V::Open,
        V::Extend,
        V::Unlock,
        V::Raise,
        V::Increase,
        V::Hasten,
        V::Illuminate,
        V::Enlighten,
        V::Brighten,
        V::Warm,
        V::Start,
        V::Play,
        V::Perform,
        V::Unmute,
        V::Arm,
        V::Clean,
        V::Mow,
    ];
    let down = [
        V::Off,
        V::TakeOff,
        V::Shut,
        V::Close,
        V::Retract,
        V::Lock,
        V::LockUp,
        V::Lower,
        V::Decrease,
        V::Slow,
        V::Dim,
        V::Cool,
        V::Stop,
        V::Pause,
        V::Mute,
        V::Dock,
        V::Disarm,
    ];
    if up.contains(&verb) {
        return Some(true);
    }
    down.contains(&verb).then_some(false)
}

fn direction_of_state(state: StateWord) -> bool {
    use StateWord as S;
    matches!(
        state,
        S::On | S::Up | S::Open | S::Unlocked | S::Playing | S::Cleaning
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::device::Kind;
    use crate::home::rights::Rights;
    use crate::vocabulary::slug::Slug;

    fn home() -> Home {
        let device = |id: &str, kind: &str| {
            let slug = |text: &str| Slug::new(text).unwrap();
            Device::new(slug(id), Kind::new(slug(kind)))
        };
        let devices = vec![
            device("fern_lamp", "light"),
            device("gramophone", "media_player"),
            device("propeller", "fan"),
            device("west_blind", "cover"),
            device("kettle", "switch"),
            device("stove", "climate"),
        ];
        Home::new(Vec::new(), devices, Rights::default(), "sayso").unwrap()
    }

    fn action(text: &str) -> Action {
        let mut parts = text.split(' ');
        let mut next = || parts.next().unwrap_or_default();
        let (device, property, word) = (next().to_owned(), Property::from(next()), next());
        let (op, value) = match word {
            "more" => (Op::Increase, None),
            "less" => (Op::Decrease, None),
            word => match word.parse() {
                Ok(number) => (Op::Set, Some(Value::Number(number))),
                Err(_) => (Op::Set, Some(Value::text(word))),
            },
        };
        Action {
            device: device.into(),
            property,
            op,
            value,
        }
    }

    const ENGLISH: &str = include_str!("../../config/language/en.toml");
    const GERMAN: &str = include_str!("../../config/language/de.toml");
    const SPANISH: &str = include_str!("../../config/language/es.toml");
    const FRENCH: &str = include_str!("../../config/language/fr.toml");
    const DUTCH: &str = include_str!("../../config/language/nl.toml");

    fn supports(language: &str, phrase: &str, draft: &str) -> bool {
        let lexicon: Lexicon = language.parse().unwrap();
        let home = home();
        let names = Names::of(&home, &lexicon);
        Evidence::of(phrase, &lexicon, &names).supports(&home, &[action(draft)])
    }

    /// Phrases with a word that contradicts the draft.
    const CONTRADICTED: [(&str, &str, &str); 15] = [
        (
            ENGLISH,
            "some daylight through the west blind",
            "west_blind position 50",
        ),
        (
            ENGLISH,
            "let the fern lamp have a third of its might",
            "fern_lamp power off",
        ),
        (
            ENGLISH,
            "the gramophone deserves seventy percent",
            "gramophone power off",
        ),
        (
            ENGLISH,
            "the fern lamp wants to be a bit calmer",
            "fern_lamp power off",
        ),
        (
            ENGLISH,
            "that gramophone is awfully loud",
            "gramophone power off",
        ),
        (
            ENGLISH,
            "that gramophone is awfully loud",
            "gramophone volume more",
        ),
        (
            ENGLISH,
            "my toes are cold, dear stove",
            "stove temperature less",
        ),
        (
            ENGLISH,
            "kindly get that west blind closed",
            "west_blind position 100",
        ),
        (
            ENGLISH,
            "kindly get that kettle switched off",
            "kettle power on",
        ),
        (ENGLISH, "enough of the propeller", "propeller speed less"),
        (ENGLISH, "enough of the gramophone", "gramophone mute on"),
        (
            GERMAN,
            "das gramophone ist ja furchtbar laut",
            "gramophone power off",
        ),
        (
            SPANISH,
            "que el propeller vaya al treinta",
            "propeller power on",
        ),
        (
            FRENCH,
            "que la fern lamp soit à cinquante",
            "fern_lamp brightness 80",
        ),
        (
            DUTCH,
            "de west blind mag wel eens dicht",
            "west_blind position 100",
        ),
    ];

    #[test]
    fn words_that_mean_something_else_contradict() {
        for (language, phrase, draft) in CONTRADICTED {
            assert!(!supports(language, phrase, draft), "{phrase}: {draft}");
        }
    }

    #[test]
    fn a_negation_supports_neither_direction() {
        for (language, phrase) in [
            (ENGLISH, "don't turn on the kettle"),
            (ENGLISH, "i'd rather not switch the kettle on"),
            (ENGLISH, "the kettle should never be on"),
            (GERMAN, "schalte den kettle nicht ein"),
            (GERMAN, "nie wieder den kettle anmachen"),
            (FRENCH, "n'allume pas le kettle"),
            (SPANISH, "no enciendas el kettle"),
            (DUTCH, "doe de kettle niet aan"),
        ] {
            assert!(!supports(language, phrase, "kettle power on"), "{phrase}");
        }
        for phrase in ["don't turn on the kettle", "the kettle should never be on"] {
            assert!(!supports(ENGLISH, phrase, "kettle power off"), "{phrase}");
        }
    }

    #[test]
    fn exceptions_and_questions_support_no_action() {
        for (language, phrase) in [
            (ENGLISH, "turn off everything but the kettle"),
            (ENGLISH, "everything except the kettle should rest"),
            (ENGLISH, "what would the kettle be doing on"),
            (GERMAN, "alles außer dem kettle soll schlafen"),
            (FRENCH, "tout sauf le kettle doit dormir"),
            (SPANISH, "todo menos el kettle a dormir"),
            (DUTCH, "alles behalve de kettle mag slapen"),
        ] {
            assert!(!supports(language, phrase, "kettle power off"), "{phrase}");
        }
    }

    #[test]
    fn another_color_than_the_one_named_contradicts() {
        let phrase = "i want the fern lamp in a nice red tone";
        assert!(!supports(ENGLISH, phrase, "fern_lamp color blue"));
        assert!(supports(ENGLISH, phrase, "fern_lamp color red"));
    }

    #[test]
    fn words_that_fit_and_unknown_words_do_not_contradict() {
        for (language, phrase, draft) in [
            (
                ENGLISH,
                "let the fern lamp have a third of its might",
                "fern_lamp brightness 33",
            ),
            (
                ENGLISH,
                "the fern lamp could do with a cosy glow",
                "fern_lamp brightness 37",
            ),
            (
                ENGLISH,
                "the gramophone deserves seventy percent",
                "gramophone volume 70",
            ),
            (
                ENGLISH,
                "the stove ought to sit at twenty-one",
                "stove temperature 21",
            ),
            (
                ENGLISH,
                "that gramophone is awfully loud",
                "gramophone volume less",
            ),
            (
                ENGLISH,
                "my toes are cold, dear stove",
                "stove temperature more",
            ),
            (
                ENGLISH,
                "nobody cares for the kettle any longer",
                "kettle power off",
            ),
            (
                ENGLISH,
                "the pond is green, so wake the kettle",
                "kettle power on",
            ),
            (
                ENGLISH,
                "kindly get that west blind closed",
                "west_blind position 0",
            ),
            (
                GERMAN,
                "das gramophone ist ja furchtbar laut",
                "gramophone volume less",
            ),
        ] {
            assert!(supports(language, phrase, draft), "{phrase}: {draft}");
        }
    }
}
