//! Phrase + home → draft: tries every combination of senses.
//!
//! There is a draft only if all combinations that form a sentence give the same one.

use std::collections::HashSet;

use smallvec::SmallVec;

use crate::grammar::antecedents::Remembered;
use crate::grammar::clause::{Clause, Head, QuestionType, Target};
use crate::grammar::disambiguate::question;
use crate::grammar::effect::{DeviceEffects, Effects};
use crate::grammar::intent::intent_of;
use crate::grammar::lexicon::{Lexicon, standard};
use crate::grammar::members::left_out;
use crate::grammar::names::Names;
use crate::grammar::parse::clauses;
use crate::grammar::resolve::{ClauseIntent, Resolution, Resolver};
use crate::grammar::sense::{Place, Sense, StateWord};
use crate::grammar::spans::Spans;
use crate::grammar::unable::Unable;
use crate::home::Home;
use crate::vocabulary::Property;
use crate::vocabulary::action::{Action, Choice, Draft, LeftOut, Op, StateQuery, TargetScope};

/// Most combinations of senses that are tried; with more, the sentence is too ambiguous.
const MOST_READINGS: usize = 1024;

/// Everything needed to interpret a phrase.
pub(super) struct Interpreter<'a> {
    pub(super) lexicon: &'a Lexicon,
    pub(super) names: &'a Names,
    pub(super) home: &'a Home,
    /// The area the command was given in.
    pub(super) here: Option<u16>,
    /// The last command of the source.
    pub(super) remembered: Remembered,
    /// The words of the command.
    pub(super) phrase: &'a str,
}

impl Interpreter<'_> {
    /// Returns the draft, if it is certain.
    pub(super) fn draft(&self, text: &str) -> Option<Draft> {
        let plain = self.lexicon.spelling.plain(text);
        self.draft_of(&Spans::of(&plain, self.lexicon, self.names)?)
    }

    /// Returns the draft of a sentence in spans, if it is certain.
    pub(super) fn draft_of(&self, spans: &Spans) -> Option<Draft> {
        let mut chosen: SmallVec<[Sense; 16]> = SmallVec::new();
        let mut agreed: Option<Draft> = None;
        for combination in 0..Self::combinations(spans)? {
            chosen.clear();
            chosen.extend(senses_of(spans, combination));
            let Some(draft) = self.one(&chosen, spans.asked) else {
                continue;
            };
            agreed = Some(match agreed {
                Some(other) => one_of(draft, other)?,
                None => draft,
            });
        }
        agreed
    }

    /// Returns the rules for effects on devices.
    pub(super) fn effects(&self) -> Effects<'_> {
        Effects {
            lexicon: self.lexicon,
            names: self.names,
        }
    }

    /// Returns the resolver for targets in this home.
    pub(super) fn resolver(&self) -> Resolver<'_> {
        Resolver {
            phrase: self.phrase,
            home: self.home,
            names: self.names,
            effects: self.effects(),
            here: self.here,
        }
    }

    /// Returns the number of combinations of senses, or `None` if there are too many.
    pub(super) fn combinations(spans: &Spans) -> Option<usize> {
        spans
            .iter()
            .try_fold(1_usize, |combinations, senses| {
                combinations.checked_mul(senses.len())
            })
            .filter(|combinations| *combinations <= MOST_READINGS)
    }

    /// Returns the draft of one combination of senses.
    pub(super) fn one(&self, senses: &[Sense], asked: bool) -> Option<Draft> {
        let is_ambiguous = |sense: &Sense| matches!(sense, Sense::Place(Place::OneOf(_)));
        if let Some(at) = senses.iter().position(is_ambiguous) {
            return self.in_one_of(senses, at, asked);
        }
        self.in_known_areas(senses, asked)
    }

    /// Returns the draft of one combination of senses whose places are known.
    fn in_known_areas(&self, senses: &[Sense], asked: bool) -> Option<Draft> {
        let (senses, referents) = self.remembered.resolve(senses)?;
        let mut previous: SmallVec<[u32; 4]> = SmallVec::from_slice(&referents);
        let mut clauses = clauses(&senses, asked, &self.lexicon.grammar).ok()?;
        let resolver = self.resolver();
        resolver.ask_for_any(&mut clauses);
        let mut actions: Vec<Action> = Vec::new();
        let mut unable: Vec<Unable> = Vec::new();
        let mut question = None;
        let mut are_listed = self.remembered.is_list;
        let mut said = self.remembered.said.clone();
        let mut unexcepted: SmallVec<[u32; 8]> = SmallVec::new();
        for clause in &clauses {
            let request = ClauseIntent {
                clause,
                intent: resolver.meant(clause, intent_of(clause)?),
                before: &previous,
                are_listed,
                said: &said,
            };
            // "all lights off and all blinds down except in the study" may be about the lights, too.
            let mut earlier = unexcepted.iter();
            if earlier.any(|&d| resolver.is_exception(&request, d)) {
                return None;
            }
            let mut current = SmallVec::new();
            for resolution in resolver.all(&request)? {
                match resolution {
                    Resolution::Devices { able, left_out } => {
                        for (device, effects) in able {
                            current.push(device);
                            self.add(&mut actions, device, effects);
                        }
                        unable.extend(left_out);
                    }
                    _ if question.is_some() => {}
                    Resolution::AskWhich(devices) => {
                        question = Some(self.ask_which(&resolver, &request, &devices));
                    }
                    Resolution::AskWhere { able, left_out } => {
                        question = Some(self.ask_where(&resolver, &request, (&able, &left_out)));
                    }
                }
            }
            if clauses.len() > 1 {
                resolver.note(&mut said, clause);
                unexcepted.extend_from_slice(&current);
            }
            are_listed = clause.targets.len() > 1;
            previous = current;
        }
        if let Some(question) = question {
            return Some(with_fitting_choices(question, &clauses));
        }
        draft_of_clauses(&resolver, &clauses, (actions, unable))
    }

    /// Adds the effects on a device to the actions, without duplicates.
    fn add(&self, actions: &mut Vec<Action>, device: u32, effects: DeviceEffects) {
        for (property, op, value) in effects {
            let action = Action {
                device: (&self.home.devices()[device as usize].id).into(),
                property,
                op,
                value,
            };
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
    }

    fn ask_which(
        &self,
        resolver: &Resolver<'_>,
        request: &ClauseIntent<'_>,
        devices: &[u32],
    ) -> Draft {
        Draft {
            question: Some(self.which(devices)),
            choices: self.device_choices(resolver, request, devices),
            ..Draft::default()
        }
    }

    fn ask_where(
        &self,
        resolver: &Resolver<'_>,
        request: &ClauseIntent<'_>,
        (able, left_out): (&[u32], &[Unable]),
    ) -> Draft {
        Draft {
            question: Some(self.r#where(able)),
            choices: self.area_choices(resolver, request, (able, left_out)),
            ..Draft::default()
        }
    }

    /// Returns one choice for each device.
    fn device_choices(
        &self,
        resolver: &Resolver<'_>,
        request: &ClauseIntent<'_>,
        devices: &[u32],
    ) -> Vec<Choice> {
        let one = |&d: &u32| {
            let device = &self.home.devices()[d as usize];
            let places = self.names.referents[d as usize]
                .area
                .map(|a| &self.home.areas()[usize::from(a)]);
            Some(Choice {
                names: std::iter::once(&device.name)
                    .chain(&device.aliases)
                    .cloned()
                    .collect(),
                places: places
                    .map(|area| area.names().cloned().collect())
                    .unwrap_or_default(),
                actions: self.actions_for(resolver, request, &[d])?,
                left_out: Vec::new(),
            })
        };
        devices
            .iter()
            .map(one)
            .collect::<Option<_>>()
            .unwrap_or_default()
    }

    /// Returns one choice for each area, and a last one for all of them.
    fn area_choices(
        &self,
        resolver: &Resolver<'_>,
        request: &ClauseIntent<'_>,
        (devices, unable): (&[u32], &[Unable]),
    ) -> Vec<Choice> {
        let one = |area: u16| {
            let is_there = |d: u32| self.names.referents[d as usize].area == Some(area);
            let there: Vec<u32> = devices.iter().copied().filter(|&d| is_there(d)).collect();
            let unable = unable.iter().filter(|(d, ..)| is_there(*d)).cloned();
            let place = &self.home.areas()[usize::from(area)];
            let names = std::iter::once(&place.name)
                .chain(&place.aliases)
                .cloned()
                .collect();
            Some(Choice {
                names,
                places: Vec::new(),
                actions: self.actions_for(resolver, request, &there)?,
                left_out: left_out(unable.collect(), resolver),
            })
        };
        let all = || {
            Some(Choice {
                names: Vec::new(),
                places: Vec::new(),
                actions: self.actions_for(resolver, request, devices)?,
                left_out: left_out(unable.to_vec(), resolver),
            })
        };
        self.areas_of(devices)
            .into_iter()
            .map(one)
            .chain(std::iter::once_with(all))
            .collect::<Option<_>>()
            .unwrap_or_default()
    }

    fn actions_for(
        &self,
        resolver: &Resolver<'_>,
        request: &ClauseIntent<'_>,
        devices: &[u32],
    ) -> Option<Vec<Action>> {
        let mut actions = Vec::new();
        for &device in devices {
            self.add(
                &mut actions,
                device,
                resolver.effects(request, device, None)?,
            );
        }
        Some(actions)
    }

    fn which(&self, devices: &[u32]) -> String {
        let all = self.home.devices();
        let name = |&d: &u32| {
            let device = &all[d as usize];
            let shared = devices.iter().any(|&other| {
                other != d && all[other as usize].name.eq_ignore_ascii_case(&device.name)
            });
            let area = device
                .area
                .as_ref()
                .and_then(|id| self.home.area(id))
                .filter(|_| shared);
            area.map_or_else(
                || device.name.clone(),
                |area| format!("{} ({})", device.name, area.name),
            )
        };
        question(
            self.lexicon,
            &self.lexicon.say.which,
            devices.iter().map(name).collect(),
        )
    }

    fn r#where(&self, devices: &[u32]) -> String {
        let names = self
            .areas_of(devices)
            .into_iter()
            .map(|a| self.home.areas()[usize::from(a)].name.clone())
            .collect();
        question(self.lexicon, &self.lexicon.say.r#where, names)
    }

    fn areas_of(&self, devices: &[u32]) -> Vec<u16> {
        let mut areas: Vec<u16> = devices
            .iter()
            .filter_map(|&d| self.names.referents[d as usize].area)
            .collect();
        areas.sort_unstable();
        areas.dedup();
        areas
    }
}

/// Returns one draft of two that mean the same, or `None` if they differ. "open" of a window is a
/// state and a value of its sensor: the state shows in which words the question was asked.
fn one_of(draft: Draft, other: Draft) -> Option<Draft> {
    if draft.does_the_same(&other) {
        return Some(other);
    }
    let (asked, plain) = if draft.state_query.is_some() {
        (draft, other)
    } else {
        (other, draft)
    };
    let is_question = plain.actions.iter().all(|action| action.op == Op::Query);
    let unasked = Draft {
        state_query: None,
        ..asked.clone()
    };
    (is_question && unasked.does_the_same(&plain)).then_some(asked)
}

/// Returns the combination of senses with that index: one sense of each span.
pub(super) fn senses_of(spans: &Spans, combination: usize) -> impl Iterator<Item = Sense> {
    let mut rest = combination;
    spans.iter().map(move |senses| {
        let sense = senses[rest % senses.len()];
        rest /= senses.len();
        sense
    })
}

/// Returns how far a sentence reaches: it is collective where it means more devices than it names.
fn scope_of(
    resolver: &Resolver<'_>,
    clauses: &[Clause],
    (actions, left_out): (&[Action], &[LeftOut]),
) -> TargetScope {
    let mut targets = clauses.iter().flat_map(|clause| &clause.targets);
    if targets.any(|target| resolver.is_everything(target)) {
        return TargetScope::Everything;
    }
    let named: usize = clauses.iter().map(|clause| clause.targets.len()).sum();
    let names_all = actions.len() <= named.max(1) || {
        let devices: HashSet<&str> = actions.iter().map(|a| a.device.as_str()).collect();
        devices.len() <= named.max(1)
    };
    if !names_all || !left_out.is_empty() {
        TargetScope::Group
    } else {
        TargetScope::Named
    }
}

/// Returns the form of a question about several devices.
fn about(resolver: &Resolver<'_>, clause: &Clause) -> Option<StateQuery> {
    let told = |state: &StateWord| !clause.either && !state.is_extent();
    let word = clause.state.filter(told)?.word();
    let asks_extent = clause.property.is_some() && clause.property == standard("position");
    if asks_extent && clause.question == Some(QuestionType::Open) && !clause.count {
        // "how far is the blind open" asks for its position.
        return None;
    }
    match clause.question? {
        QuestionType::Open if clause.count => Some(StateQuery::HowMany(word)),
        QuestionType::Open => Some(StateQuery::Which(word)),
        QuestionType::YesNo if clause.any || clause.targets.is_empty() => {
            Some(StateQuery::Any(word))
        }
        QuestionType::YesNo => {
            let mut targets = clause.targets.iter();
            let is_one = targets.all(|target| is_one(target) && !resolver.is_everything(target));
            Some(if is_one {
                StateQuery::Each(word)
            } else {
                StateQuery::All(word)
            })
        }
    }
}

/// Returns whether a question about a door is answered with the state of its lock, which is neither
/// a yes nor a no.
fn tells_by_lock(asked: &StateQuery, actions: &[Action]) -> bool {
    let is_about_door = matches!(asked.word(), "open" | "closed");
    is_about_door && actions.iter().any(|a| a.property == Property::Lock)
}

/// Returns whether a target is named as one thing, "the light", even if several are meant by it.
fn is_one(target: &Target) -> bool {
    matches!(target.head, Head::Noun(_, false) | Head::Area) && !target.all && !target.both
}

/// Returns the draft of clauses that mean these actions, and devices that cannot do them.
fn draft_of_clauses(
    resolver: &Resolver<'_>,
    clauses: &[Clause],
    (actions, unable): (Vec<Action>, Vec<Unable>),
) -> Option<Draft> {
    let asked = match clauses {
        [clause] => about(resolver, clause),
        _ => None,
    };
    let asked = asked.filter(|asked| !tells_by_lock(asked, &actions));
    let left_out = left_out(unable, resolver);
    (!actions.is_empty() && !contradicts(&actions)).then(|| Draft {
        scope: scope_of(resolver, clauses, (&actions, &left_out)),
        actions,
        state_query: asked,
        left_out,
        ..Draft::default()
    })
}

/// Returns a question with its choices if an answer can complete the sentence, which has one clause
/// and one target then.
fn with_fitting_choices(question: Draft, clauses: &[Clause]) -> Draft {
    let is_single = clauses.len() == 1 && clauses[0].targets.len() < 2;
    let choices = if is_single {
        question.choices
    } else {
        Vec::new()
    };
    Draft {
        choices,
        ..question
    }
}

/// Returns whether two actions change the same property.
fn contradicts(actions: &[Action]) -> bool {
    if actions.len() < 2 {
        return false;
    }
    let mut seen = HashSet::new();
    let mut changes = actions.iter().filter(|a| a.op != Op::Query);
    changes.any(|action| !seen.insert((&action.device, &action.property)))
}
