//! Explanations for people: the senses of each word, and the reason if a phrase is not understood.

use std::fmt;

use crate::grammar::clause::{Clause, Head, Target};
use crate::grammar::dissect::{Adjunct, Dissected};
use crate::grammar::intent::intent_of;
use crate::grammar::interpreter::{Interpreter, senses_of};
use crate::grammar::parse::clauses;
use crate::grammar::resolve::ClauseIntent;
use crate::grammar::said_places::SaidPlaces;
use crate::grammar::sense::{Place, Sense};
use crate::grammar::spans::{SpanError, Spans, TriedSpans};
use crate::vocabulary::action::Draft;

/// The interpretation of a phrase, span by span.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Words of each span with their senses; none where the word is unknown.
    pub spans: Vec<(String, Vec<String>)>,
    /// The intent of the sentence template that the phrase matches.
    pub template: Option<String>,
    /// The draft, or the reason there is none.
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
                "?  unknown word".to_owned()
            } else {
                senses.join(" | ")
            };
            writeln!(f, "  {words:width$}  {senses}")?;
        }
        if let Some(intent) = &self.template {
            writeln!(f, "  sentence template: {intent}")?;
        }
        match &self.verdict {
            Err(why) => write!(f, "  not understood: {why}"),
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

/// The stage one combination of senses reached.
#[derive(PartialEq, PartialOrd)]
enum ParseProgress {
    /// It failed at this span.
    Span(usize),
    /// It reached the end, but is not a complete sentence.
    End,
    /// A clause has parts that do not fit together.
    Clause,
    /// No device matches.
    Devices(String),
    /// It has a draft.
    Through,
}

impl Interpreter<'_> {
    /// Explains the interpretation of `text`.
    pub(super) fn explain(&self, text: &str) -> Explanation {
        let plain = self.lexicon.spelling.plain(text);
        if self.draft(text).is_none()
            && let Some(dissected) = self.dissected(&plain)
        {
            return self.explain_parts(text, &dissected);
        }
        let tried = Spans::try_of(&plain, self.lexicon, self.names);
        let input = tried
            .runs()
            .zip(
                tried
                    .spans
                    .iter()
                    .map(|senses| senses.iter().map(|&sense| self.describe(sense)).collect()),
            )
            .collect();
        let verdict = match &tried.error {
            Some(error) => Err(error.to_string()),
            None => self.draft(text).ok_or_else(|| self.why_silent(&tried)),
        };
        Explanation {
            spans: input,
            template: None,
            verdict,
        }
    }

    /// Explains a sentence with a time or a condition: that part as a whole, and the command.
    fn explain_parts(&self, text: &str, dissected: &Dissected) -> Explanation {
        let name = match dissected.adjunct {
            Adjunct::Time => "time",
            Adjunct::Condition => "condition",
        };
        let command = self.explain(&dissected.command);
        let meaning = || {
            let timed = self.draft_with_time(text);
            timed.or_else(|| self.conditional_or_compared(text))
        };
        let (sense, verdict) = if !dissected.is_understood {
            let unknown = format!("?  {name}, not understood");
            (unknown, Err(format!("the {name} `{}`", dissected.words)))
        } else if dissected.is_command {
            let unclear = || format!("the {name} and the command do not fit together");
            (name.to_owned(), meaning().ok_or_else(unclear))
        } else {
            (name.to_owned(), command.verdict)
        };
        let mut spans = command.spans;
        spans.insert(0, (dissected.words.clone(), vec![sense]));
        Explanation {
            spans,
            template: None,
            verdict,
        }
    }

    fn why_silent(&self, tried: &TriedSpans<'_>) -> String {
        let spans = &tried.spans;
        let Some(combinations) = Self::combinations(spans) else {
            return "the sentence has too many possible meanings".to_owned();
        };
        let mut furthest = ParseProgress::Span(0);
        let mut through = Vec::new();
        for combination in 0..combinations {
            let senses: Vec<Sense> = senses_of(spans, combination).collect();
            let progress = self.progress(&senses, spans.asked);
            if progress == ParseProgress::Through {
                through.extend(self.one(&senses, spans.asked));
            }
            if progress > furthest {
                furthest = progress;
            }
        }
        match furthest {
            ParseProgress::Span(at) => format!(
                "`{}` does not fit after the words before it",
                tried.runs().nth(at).unwrap_or_default()
            ),
            ParseProgress::End if spans.asked => {
                "a question, but not about the state of a device".to_owned()
            }
            ParseProgress::End => "the sentence is not complete".to_owned(),
            ParseProgress::Clause => {
                "a verb, a state or a value is missing, or they do not fit together".to_owned()
            }
            ParseProgress::Devices(why) => why,
            ParseProgress::Through if through.len() > 1 => {
                "the sentence has several possible meanings that differ".to_owned()
            }
            ParseProgress::Through => {
                "the sentence asks two different things of one device, or nothing".to_owned()
            }
        }
    }

    fn progress(&self, senses: &[Sense], asked: bool) -> ParseProgress {
        let clauses = match clauses(senses, asked, &self.lexicon.grammar) {
            Ok(clauses) => clauses,
            Err(at) if at < senses.len() => return ParseProgress::Span(at),
            Err(_) => return ParseProgress::End,
        };
        let resolver = self.resolver();
        for clause in &clauses {
            let Some(intent) = intent_of(clause) else {
                return ParseProgress::Clause;
            };
            if !clause.repeats
                && resolver
                    .all(&ClauseIntent {
                        clause,
                        intent,
                        before: &[],
                        are_listed: false,
                        said: &SaidPlaces::default(),
                    })
                    .is_none()
            {
                return ParseProgress::Devices(self.why_no_device(clause));
            }
        }
        ParseProgress::Through
    }

    /// Explains why no device matches the clause.
    fn why_no_device(&self, clause: &Clause) -> String {
        let here = |place: &Place| *place == Place::Here && self.here.is_none();
        if clause
            .places
            .iter()
            .chain(clause.targets.iter().flat_map(|t| &t.places))
            .any(here)
        {
            return "\"here\" is unknown: the command has no area".to_owned();
        }
        let spoken: Vec<String> = clause
            .targets
            .iter()
            .map(|target| self.describe_target(target))
            .collect();
        let of = if spoken.is_empty() {
            "the devices meant".to_owned()
        } else {
            spoken.join(", ")
        };
        format!(
            "{of}: no device there can do that or accepts that value, or the choice is not certain"
        )
    }

    fn describe_target(&self, target: &Target) -> String {
        let what = match target.head {
            Head::Name(id, _) => self.describe(Sense::Name(id, None)),
            Head::Noun(noun, many) => self.describe(Sense::Noun(noun, many)),
            Head::Area => String::new(),
            Head::It | Head::Them => "the previous devices".to_owned(),
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

    /// Describes a sense in words.
    fn describe(&self, sense: Sense) -> String {
        let names = self.names;
        match sense {
            Sense::Filler | Sense::Hesitation | Sense::Still => "filler".to_owned(),
            Sense::Indefinite(_) => "article".to_owned(),
            Sense::Place(Place::Area(area)) => {
                format!("area {}", self.home.areas()[usize::from(area)].name)
            }
            Sense::Place(Place::Floor(floor)) => {
                format!("floor {}", names.floors[usize::from(floor)])
            }
            Sense::Place(Place::OneOf(areas)) => {
                let areas = names.alternatives[usize::from(areas)].iter();
                let areas = areas.map(|&area| self.home.areas()[usize::from(area)].name.as_str());
                format!("one of {}", areas.collect::<Vec<_>>().join(", "))
            }
            Sense::Place(place) => format!("place {place:?}").to_lowercase(),
            Sense::Verb(verb) => format!("do {verb:?}").to_lowercase(),
            Sense::SplitVerb(verb, _) => {
                format!("do {verb:?}, first part of the verb").to_lowercase()
            }
            Sense::Particle(_) => "second part of the verb".to_owned(),
            Sense::Gerund(verb) => format!("doing {verb:?}").to_lowercase(),
            Sense::Request(verb) => format!("asks to {verb:?}").to_lowercase(),
            Sense::Indicative(verb) => format!("states that it does {verb:?}").to_lowercase(),
            Sense::State(state) => format!("state {}", state.word()),
            Sense::Participle(state) => format!("being {}", state.word()),
            Sense::Asking(state) => format!("asks whether {}", state.word()),
            Sense::Complaint(wish) => format!("complaint {wish:?}").to_lowercase(),
            Sense::Comparative(more) => format!("comparative {more:?}").to_lowercase(),
            Sense::Property(p) => format!("property {}", names.properties[usize::from(p)]),
            Sense::Target(p) => format!("target {}", names.properties[usize::from(p)]),
            Sense::How(p) | Sense::HowSet(p) => {
                format!("question for {}", names.properties[usize::from(p)])
            }
            Sense::Number(n) => format!("number {n}"),
            Sense::Unit(unit) => format!("unit {}", names.units[usize::from(unit)]),
            Sense::Level(level) => format!("level {level:?}").to_lowercase(),
            Sense::Color(color) => format!("color {}", self.lexicon.colors[usize::from(color)]),
            Sense::Hex([r, g, b]) => format!("color #{r:02x}{g:02x}{b:02x}"),
            Sense::White(kelvin) => format!("white {kelvin} K"),
            Sense::Noun(noun, plural) => self.describe_noun(noun, plural),
            Sense::Name(id, noun) => self.describe_name(id, noun),
            Sense::OptionName(option) => format!("option {}", names.options[option as usize]),
            plain => format!("{plain:?}").to_lowercase(),
        }
    }

    fn describe_noun(&self, noun: u16, plural: bool) -> String {
        let noun = &self.names.nouns[usize::from(noun)];
        let forms = if plural { &noun.many } else { &noun.one };
        let form = forms.first().or(noun.one.first());
        format!("noun {}", form.map_or("", String::as_str))
    }

    fn describe_name(&self, id: u32, noun: Option<(u16, bool)>) -> String {
        let entry = &self.names.entries[id as usize];
        let whole = entry.devices.iter().any(|(_, whole)| *whole);
        let devices: Vec<&str> = entry
            .devices
            .iter()
            .filter(|(_, is_whole)| *is_whole || !whole)
            .map(|(device, _)| self.home.devices()[*device as usize].id.as_str())
            .collect();
        let mut text = if whole {
            "name of "
        } else {
            "part of the name of "
        }
        .to_owned();
        text.push_str(&devices.join(", "));
        if let Some((noun, plural)) = noun {
            text.push_str(", ");
            text.push_str(&self.describe_noun(noun, plural));
        }
        text
    }
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there are no words"),
            Self::TooLong => f.write_str("the sentence is too long for a command"),
            Self::Unknown(word) => write!(f, "the word `{word}` is unknown"),
        }
    }
}
