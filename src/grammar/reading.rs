//! Phrase + home → draft: tries every sense of what was said, and speaks only where all that make a sentence agree.

use crate::grammar::clause::{Clause, QueryVerb};
use crate::grammar::effect::Effects;
use crate::grammar::intent::wish;
use crate::grammar::lexicon::Lexicon;
use crate::grammar::names::Names;
use crate::grammar::parse::clauses;
use crate::grammar::resolve::{Resolution, Resolver, Sought};
use crate::grammar::sense::Sense;
use crate::grammar::spans::Spans;
use crate::home::Home;
use crate::vocabulary::action::{Action, Asked, Choice, Draft, Op};
use crate::vocabulary::speech::fill;

/// The most ways to take a phrase that are tried: past that it is not certain anyway.
const MOST_READINGS: usize = 1024;

/// The most choices that are named in a question.
const MOST_CHOICES: usize = 6;

/// What a phrase is read with.
pub(super) struct Reading<'a> {
    pub(super) lexicon: &'a Lexicon,
    pub(super) names: &'a Names,
    pub(super) home: &'a Home,
    /// The area the command was said in.
    pub(super) here: Option<u16>,
}

impl Reading<'_> {
    /// The draft, where it is certain.
    pub(super) fn draft(&self, text: &str) -> Option<Draft> {
        let spans = Spans::of(text, self.lexicon, self.names)?;
        let mut chosen = Vec::with_capacity(16);
        let mut agreed: Option<Draft> = None;
        for way in 0..Self::ways(&spans)? {
            chosen.clear();
            chosen.extend(way_of(&spans, way));
            match (self.one(&chosen, spans.asked), &agreed) {
                (Some(draft), Some(other)) if draft != *other => return None,
                (Some(draft), None) => agreed = Some(draft),
                _ => {}
            }
        }
        agreed
    }

    /// In how many ways it can be taken. `None` where those are too many.
    pub(super) fn ways(spans: &Spans) -> Option<usize> {
        spans
            .iter()
            .try_fold(1_usize, |ways, senses| ways.checked_mul(senses.len()))
            .filter(|ways| *ways <= MOST_READINGS)
    }

    /// The draft of one way to take it.
    pub(super) fn one(&self, senses: &[Sense], asked: bool) -> Option<Draft> {
        let clauses = clauses(senses, asked, &self.lexicon.grammar).ok()?;
        let finder = Resolver {
            home: self.home,
            names: self.names,
            deeds: Effects {
                lexicon: self.lexicon,
                names: self.names,
            },
            here: self.here,
        };
        let mut actions: Vec<Action> = Vec::new();
        let mut before: Vec<u32> = Vec::new();
        let (mut question, mut choices) = (None, Vec::new());
        for clause in &clauses {
            let wish = wish(clause)?;
            let mut now = Vec::new();
            let sought = Sought {
                clause,
                wish,
                before: &before,
            };
            for found in finder.all(&sought)? {
                match found {
                    Resolution::These(devices) => {
                        for (device, deeds) in devices {
                            now.push(device);
                            for (property, op, value) in deeds {
                                self.add(
                                    &mut actions,
                                    device,
                                    Action {
                                        device: String::new(),
                                        property,
                                        op,
                                        value,
                                    },
                                );
                            }
                        }
                    }
                    Resolution::Which(devices) if question.is_none() => {
                        question = Some(self.which(&devices));
                        choices = self.each(&finder, &sought, &devices);
                    }
                    Resolution::Where(devices) if question.is_none() => {
                        question = Some(self.r#where(&devices));
                        choices = self.each_place(&finder, &sought, &devices);
                    }
                    Resolution::Which(_) | Resolution::Where(_) => {}
                }
            }
            before = now;
        }
        if question.is_some() {
            // An answer says one thing of one question: with more clauses, all is to be said again.
            let alone = clauses.len() == 1 && clauses[0].targets.len() < 2;
            return Some(Draft {
                question,
                choices: if alone { choices } else { Vec::new() },
                ..Draft::default()
            });
        }
        let asked = if let [clause] = clauses.as_slice() {
            about(clause)
        } else {
            None
        };
        (!actions.is_empty() && !contradicts(&actions)).then_some(Draft {
            actions,
            asked,
            ..Draft::default()
        })
    }

    fn add(&self, actions: &mut Vec<Action>, device: u32, action: Action) {
        let action = Action {
            device: self.home.devices()[device as usize].id.as_str().to_owned(),
            ..action
        };
        if !actions.contains(&action) {
            actions.push(action);
        }
    }

    /// What each of the devices would be told.
    fn each(&self, finder: &Resolver<'_>, sought: &Sought<'_>, devices: &[u32]) -> Vec<Choice> {
        let one = |&d: &u32| {
            let device = &self.home.devices()[d as usize];
            let places = self.names.things[d as usize]
                .area
                .map(|a| &self.home.areas()[usize::from(a)]);
            Some(Choice {
                names: std::iter::once(&device.name)
                    .chain(&device.aliases)
                    .cloned()
                    .collect(),
                places: places
                    .map(|area| {
                        std::iter::once(&area.name)
                            .chain(&area.aliases)
                            .cloned()
                            .collect()
                    })
                    .unwrap_or_default(),
                actions: self.told(finder, sought, &[d])?,
            })
        };
        devices
            .iter()
            .map(one)
            .collect::<Option<_>>()
            .unwrap_or_default()
    }

    /// What the devices of each place would be told, and last those of all places.
    fn each_place(
        &self,
        finder: &Resolver<'_>,
        sought: &Sought<'_>,
        devices: &[u32],
    ) -> Vec<Choice> {
        let one = |area: u16| {
            let there: Vec<u32> = devices
                .iter()
                .copied()
                .filter(|&d| self.names.things[d as usize].area == Some(area))
                .collect();
            let place = &self.home.areas()[usize::from(area)];
            let names = std::iter::once(&place.name)
                .chain(&place.aliases)
                .cloned()
                .collect();
            Some(Choice {
                names,
                places: Vec::new(),
                actions: self.told(finder, sought, &there)?,
            })
        };
        let all = || {
            Some(Choice {
                names: Vec::new(),
                places: Vec::new(),
                actions: self.told(finder, sought, devices)?,
            })
        };
        self.areas_of(devices)
            .into_iter()
            .map(one)
            .chain(std::iter::once_with(all))
            .collect::<Option<_>>()
            .unwrap_or_default()
    }

    fn told(
        &self,
        finder: &Resolver<'_>,
        sought: &Sought<'_>,
        devices: &[u32],
    ) -> Option<Vec<Action>> {
        let mut actions = Vec::new();
        for &device in devices {
            for (property, op, value) in finder.deeds(sought, device, None)? {
                self.add(
                    &mut actions,
                    device,
                    Action {
                        device: String::new(),
                        property,
                        op,
                        value,
                    },
                );
            }
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
        self.question(&self.lexicon.say.which, devices.iter().map(name).collect())
    }

    fn r#where(&self, devices: &[u32]) -> String {
        let names = self
            .areas_of(devices)
            .into_iter()
            .map(|a| self.home.areas()[usize::from(a)].name.clone())
            .collect();
        self.question(&self.lexicon.say.r#where, names)
    }

    fn areas_of(&self, devices: &[u32]) -> Vec<u16> {
        let mut areas: Vec<u16> = devices
            .iter()
            .filter_map(|&d| self.names.things[d as usize].area)
            .collect();
        areas.sort_unstable();
        areas.dedup();
        areas
    }

    fn question(&self, form: &str, mut choices: Vec<String>) -> String {
        if choices.len() > MOST_CHOICES {
            choices.truncate(MOST_CHOICES);
            choices.push("…".to_owned());
        }
        let or = format!(" {} ", self.lexicon.say.or);
        let listed = match choices.split_last() {
            Some((last, front)) if !front.is_empty() && form == self.lexicon.say.which => {
                format!("{}{or}{last}", front.join(", "))
            }
            _ => choices.join(", "),
        };
        fill(form, &[("choices", &listed)])
    }
}

/// The senses of the way of that number: one of each span.
pub(super) fn way_of(spans: &Spans, way: usize) -> impl Iterator<Item = Sense> {
    let mut rest = way;
    spans.iter().map(move |senses| {
        let sense = senses[rest % senses.len()];
        rest /= senses.len();
        sense
    })
}

/// How a question about several is put.
fn about(clause: &Clause) -> Option<Asked> {
    let word = clause.state.filter(|_| !clause.either)?.word();
    match clause.ask? {
        QueryVerb::What if clause.count => Some(Asked::HowMany(word)),
        QueryVerb::What => Some(Asked::Which(word)),
        QueryVerb::Whether if clause.any => Some(Asked::Any(word)),
        QueryVerb::Whether => Some(Asked::All(word)),
    }
}

/// Whether one property is told two things.
fn contradicts(actions: &[Action]) -> bool {
    let mut seen = std::collections::HashMap::new();
    let mut changes = actions.iter().filter(|a| a.op != Op::Query);
    changes.any(|action| {
        seen.insert((&action.device, &action.property), action)
            .is_some()
    })
}
