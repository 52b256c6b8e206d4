//! Why a phrase is read as it is, or not at all: what each word was taken for, and the first reason for staying silent. For people.

use std::fmt;

use crate::grammar::clause::{Clause, Target, What};
use crate::grammar::effect::Effects;
use crate::grammar::intent::wish;
use crate::grammar::parse::clauses;
use crate::grammar::reading::{Reading, way_of};
use crate::grammar::resolve::{Resolver, Sought};
use crate::grammar::sense::{Place, Sense};
use crate::grammar::spans::{Silence, Spans};
use crate::vocabulary::action::Draft;

/// What became of a phrase, span by span.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Runs of words, and what each can stand for; nothing, where a run is unknown.
    pub spans: Vec<(String, Vec<String>)>,
    /// What was understood, or why nothing.
    pub verdict: Result<Draft, String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self
            .spans
            .iter()
            .map(|(words, _)| words.chars().count())
            .max()
            .unwrap_or_default();
        for (words, senses) in &self.spans {
            let senses = if senses.is_empty() {
                "?  stands for nothing".to_owned()
            } else {
                senses.join(" | ")
            };
            writeln!(f, "  {words:width$}  {senses}")?;
        }
        match &self.verdict {
            Err(why) => write!(f, "  silent: {why}"),
            Ok(Draft {
                question: Some(question),
                ..
            }) => write!(f, "  asks: {question}"),
            Ok(draft) => {
                let mut between = "";
                for action in &draft.actions {
                    let op = format!("{:?}", action.op).to_lowercase();
                    write!(f, "{between}  = {} {} {op}", action.device, action.property)?;
                    if let Some(value) = &action.value {
                        write!(f, " {value}")?;
                    }
                    between = "\n";
                }
                Ok(())
            }
        }
    }
}

/// How far one way to take the phrase came.
#[derive(PartialEq, PartialOrd)]
enum TokenUse {
    /// To this span, which does not fit behind those before it.
    Span(usize),
    /// To its end, but it is no whole sentence.
    End,
    /// To a clause whose parts do not go together.
    Clause,
    /// To devices: none does that.
    Devices(String),
    /// All the way.
    Through,
}

impl Reading<'_> {
    /// What each word of `text` was taken for, and what came of it.
    pub(super) fn explain(&self, text: &str) -> Explanation {
        let plain = self.lexicon.spelling.plain(text);
        let (spans, silence) = Spans::try_of(&plain, self.lexicon, self.names);
        let said = spans
            .runs()
            .zip(
                spans
                    .iter()
                    .map(|senses| senses.iter().map(|&sense| self.describe(sense)).collect()),
            )
            .collect();
        let verdict = match silence {
            Some(silence) => Err(silence.to_string()),
            None => self.draft(text).ok_or_else(|| self.why_silent(&spans)),
        };
        Explanation {
            spans: said,
            verdict,
        }
    }

    fn why_silent(&self, spans: &Spans) -> String {
        let Some(ways) = Self::ways(spans) else {
            return "it can be taken in too many ways".to_owned();
        };
        let mut furthest = TokenUse::Span(0);
        let mut through = Vec::new();
        for way in 0..ways {
            let senses: Vec<Sense> = way_of(spans, way).collect();
            let came = self.came(&senses, spans.asked);
            if came == TokenUse::Through {
                through.extend(self.one(&senses, spans.asked));
            }
            if came > furthest {
                furthest = came;
            }
        }
        match furthest {
            TokenUse::Span(at) => format!("`{}` does not fit behind what comes before it", spans.runs().nth(at).unwrap_or_default()),
            TokenUse::End if spans.asked => "a question, but not one about how a device is".to_owned(),
            TokenUse::End => "it is no whole sentence: something is missing, or something is open".to_owned(),
            TokenUse::Clause => "its parts do not say one thing to do: a verb, a state or a value is missing, or they do not go together".to_owned(),
            TokenUse::Devices(why) => why,
            TokenUse::Through if through.len() > 1 => "it can be taken in several ways that do different things".to_owned(),
            TokenUse::Through => "it tells one device two different things, or nothing".to_owned(),
        }
    }

    fn came(&self, senses: &[Sense], asked: bool) -> TokenUse {
        let clauses = match clauses(senses, asked, &self.lexicon.grammar) {
            Ok(clauses) => clauses,
            Err(at) if at < senses.len() => return TokenUse::Span(at),
            Err(_) => return TokenUse::End,
        };
        let finder = Resolver {
            home: self.home,
            names: self.names,
            deeds: Effects {
                lexicon: self.lexicon,
                names: self.names,
            },
            here: self.here,
        };
        for clause in &clauses {
            let Some(wish) = wish(clause) else {
                return TokenUse::Clause;
            };
            if !clause.again
                && finder
                    .all(&Sought {
                        clause,
                        wish,
                        before: &[],
                    })
                    .is_none()
            {
                return TokenUse::Devices(self.nobody(clause));
            }
        }
        TokenUse::Through
    }

    /// Why no device was found that does what the clause wants.
    fn nobody(&self, clause: &Clause) -> String {
        let here = |place: &Place| *place == Place::Here && self.here.is_none();
        if clause
            .places
            .iter()
            .chain(clause.targets.iter().flat_map(|t| &t.places))
            .any(here)
        {
            return "\"here\" is not known: the command has no area".to_owned();
        }
        let spoken: Vec<String> = clause
            .targets
            .iter()
            .map(|target| self.spoken_of(target))
            .collect();
        let of = if spoken.is_empty() {
            "what is spoken of".to_owned()
        } else {
            spoken.join(", ")
        };
        format!("{of}: none that is there does that, takes that value, or is surely meant")
    }

    fn spoken_of(&self, target: &Target) -> String {
        let what = match target.what {
            What::Called(id, _) => self.describe(Sense::Called(id, None)),
            What::Noun(noun, many) => self.describe(Sense::Noun(noun, many)),
            What::Room => String::new(),
            What::It | What::Them => "what was spoken of before".to_owned(),
        };
        let places: Vec<String> = target
            .places
            .iter()
            .map(|&place| self.describe(Sense::Place(place)))
            .collect();
        [vec![what], places]
            .concat()
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join(" in ")
    }

    /// A sense in words.
    fn describe(&self, sense: Sense) -> String {
        let names = self.names;
        match sense {
            Sense::Skip => "filler".to_owned(),
            Sense::Place(Place::Area(area)) => {
                format!("area {}", self.home.areas()[usize::from(area)].name)
            }
            Sense::Place(Place::Floor(floor)) => {
                format!("floor {}", names.floors[usize::from(floor)])
            }
            Sense::Place(place) => format!("place {place:?}").to_lowercase(),
            Sense::Act(act) => format!("do {act:?}").to_lowercase(),
            Sense::Split(act, _) => {
                format!("do {act:?}, with its other part to come").to_lowercase()
            }
            Sense::Particle(_) => "other part of the verb".to_owned(),
            Sense::Gerund(act) => format!("doing {act:?}").to_lowercase(),
            Sense::State(state) => format!("state {}", state.word()),
            Sense::Participle(state) => format!("being {}", state.word()),
            Sense::More(more) => format!("more or less: {more:?}").to_lowercase(),
            Sense::Property(p) => format!("property {}", names.properties[usize::from(p)]),
            Sense::Target(p) => format!("target {}", names.properties[usize::from(p)]),
            Sense::How(p) => format!("question after {}", names.properties[usize::from(p)]),
            Sense::Number(n) => format!("number {n}"),
            Sense::Unit(unit) => format!("unit {}", names.units[usize::from(unit)]),
            Sense::Level(level) => format!("level {level:?}").to_lowercase(),
            Sense::Color(color) => format!("color {}", self.lexicon.colors[usize::from(color)]),
            Sense::Hex([r, g, b]) => format!("color #{r:02x}{g:02x}{b:02x}"),
            Sense::White(kelvin) => format!("white {kelvin} K"),
            Sense::Noun(noun, many) => {
                let noun = &names.nouns[usize::from(noun)];
                let forms = if many { &noun.many } else { &noun.one };
                format!(
                    "noun {}",
                    forms
                        .first()
                        .or(noun.one.first())
                        .map_or("", String::as_str)
                )
            }
            Sense::Called(id, noun) => {
                let mut devices: Vec<&str> = Vec::new();
                let whole = names.called[id as usize]
                    .devices
                    .iter()
                    .any(|(_, whole)| *whole);
                for (device, is_whole) in &names.called[id as usize].devices {
                    if *is_whole || !whole {
                        devices.push(self.home.devices()[*device as usize].id.as_str());
                    }
                }
                let as_well = noun
                    .map(|(noun, many)| format!(", {}", self.describe(Sense::Noun(noun, many))))
                    .unwrap_or_default();
                format!(
                    "{} {}{as_well}",
                    if whole {
                        "name of"
                    } else {
                        "part of the name of"
                    },
                    devices.join(", ")
                )
            }
            Sense::Choice(option) => format!("option {}", names.options[option as usize]),
            plain => format!("{plain:?}").to_lowercase(),
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is nothing to read"),
            Self::TooLong => f.write_str("it is longer than a command is"),
            Self::Unknown(word) => write!(
                f,
                "`{word}` stands for nothing known, and one unexplained word is left to a model"
            ),
        }
    }
}
