//! What things in one home are called: every name, and the shorter forms people use for it, found by their first word.
//! Made once for each revision of the home.

use std::collections::HashMap;

use crate::command::phrase::Phrase;
use crate::grammar::lexicon::{Lexicon, Noun, index};
use crate::grammar::phrase_index::PhraseIndex;
use crate::grammar::sense::{Place, Sense, State};
use crate::grammar::tokens::words;
use crate::home::Home;
use crate::home::device::Device;
use crate::vocabulary::{Domain, Property};

/// The most nouns a language and a home may have together: one bit each.
const MOST_NOUNS: usize = 128;

/// The names of one home, in one language.
#[derive(Debug)]
pub(super) struct Names {
    runs: PhraseIndex,
    /// By [`Sense::Called`].
    pub(super) called: Vec<Called>,
    /// By [`Sense::Property`]: the vocabulary, then what the home declares.
    pub(super) properties: Vec<Property>,
    /// By [`Sense::Unit`]: the language's, then the home's own.
    pub(super) units: Vec<String>,
    /// By [`Sense::Noun`]: the language's, then the home's own kinds.
    pub(super) nouns: Vec<Noun>,
    /// By [`Sense::Choice`]: the options of the devices, as they write them.
    pub(super) options: Vec<String>,
    /// By [`Place::Floor`].
    pub(super) floors: Vec<String>,
    /// By position among the home's devices.
    pub(super) things: Vec<Referent>,
    /// The words of five letters or more that a mistyped word may stand for.
    meant: Vec<String>,
}

/// What is called by one run of words.
#[derive(Debug, Default)]
pub(super) struct Called {
    /// The devices, and whether that is the whole name.
    pub(super) devices: Vec<(u32, bool)>,
    /// All of them are meant: "bedside lamps".
    pub(super) many: bool,
}

/// Where a device is, and which nouns its name has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Referent {
    pub(super) area: Option<u16>,
    pub(super) floor: Option<u16>,
    /// One bit for each noun.
    pub(super) nouns: u128,
}

impl Names {
    /// The names of `home`, with the nouns of `lexicon`.
    pub(super) fn of(home: &Home, lexicon: &Lexicon) -> Self {
        let names = Self {
            runs: PhraseIndex::default(),
            called: Vec::new(),
            properties: Property::standard().collect(),
            units: lexicon.units.clone(),
            nouns: lexicon.nouns.iter().take(MOST_NOUNS).cloned().collect(),
            options: Vec::new(),
            floors: Vec::new(),
            things: Vec::new(),
            meant: Vec::new(),
        };
        let mut builder = Builder {
            names,
            lexicon,
            ids: HashMap::new(),
            rooms: Vec::new(),
            fronts: HashMap::new(),
        };
        builder.areas(home);
        builder.kinds(home);
        builder.fronts(home);
        for (i, device) in home.devices().iter().enumerate() {
            builder.device(i, device, home);
        }
        builder.finish()
    }

    /// What the words from the first of `said` on can stand for, with how many words each takes.
    pub(super) fn senses<'a>(
        &'a self,
        said: &'a [&str],
    ) -> impl Iterator<Item = (usize, Sense)> + 'a {
        self.runs.senses(said)
    }

    /// The area and the thing in a compound such as "küchenlicht".
    pub(super) fn compound<'w>(&self, word: &'w str, lexicon: &Lexicon) -> Option<[&'w str; 2]> {
        let is_place = |part: &str| {
            self.runs
                .senses(&[part])
                .any(|(length, sense)| length == 1 && matches!(sense, Sense::Place(_)))
        };
        let is_thing = |part: &str| {
            let said = [part];
            let mut senses = self.runs.senses(&said).chain(lexicon.senses(&said));
            senses.any(|(length, sense)| {
                length == 1
                    && matches!(
                        sense,
                        Sense::Noun(..) | Sense::Property(_) | Sense::Called(..)
                    )
            })
        };
        lexicon.spelling.parts(word, is_place, is_thing)
    }

    /// Whether the word occurs in any name.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.runs.known.contains(word)
    }

    /// Whether something is called exactly so.
    pub(super) fn calls(&self, run: &[&str]) -> bool {
        self.runs
            .senses(run)
            .any(|(length, sense)| length == run.len() && matches!(sense, Sense::Called(..)))
    }

    /// The forms of a noun by which things may be called: itself and, of many, the one.
    pub(super) fn forms_of<'w>(&'w self, word: &'w str, lexicon: &Lexicon) -> [Option<&'w str>; 2] {
        let many = lexicon.senses(&[word]).find_map(|(_, sense)| {
            if let Sense::Noun(noun, true) = sense {
                Some(noun)
            } else {
                None
            }
        });
        [
            Some(word),
            many.and_then(|noun| self.nouns[usize::from(noun)].one.first())
                .map(String::as_str),
        ]
    }

    /// The one word that `said` may be a slip of.
    pub(super) fn slip_of(&self, said: &str) -> Option<&str> {
        let mut near = self
            .meant
            .iter()
            .filter(|word| crate::grammar::tokens::one_slip(said, word));
        let first = near.next()?;
        near.next().is_none().then_some(first)
    }

    /// Whether the device at `device` is at `place`; `here` is where the command was said.
    pub(super) fn is_at(&self, device: u32, place: Place, here: Option<u16>) -> bool {
        let thing = self.things[device as usize];
        match place {
            Place::Area(area) => thing.area == Some(area),
            Place::Floor(floor) => thing.floor == Some(floor),
            Place::Here => here.is_some() && thing.area == here,
            Place::House => true,
        }
    }
}

struct Builder<'a> {
    names: Names,
    lexicon: &'a Lexicon,
    /// Run of words → its position in `called`.
    ids: HashMap<String, u32>,
    /// The words of each area's names.
    rooms: Vec<Vec<Vec<String>>>,
    /// What names of several words begin with, up to their last word → whose: "bedside" of "bedside left" and "bedside right".
    fronts: HashMap<Vec<String>, Vec<usize>>,
}

impl Builder<'_> {
    /// The words of a name, without the article before it.
    fn words(&self, name: &str) -> Vec<String> {
        let canonical = Phrase::new(name, None, None);
        let plain = self.lexicon.spelling.plain(canonical.text());
        let mut all = words(&plain);
        while all.len() > 1
            && self
                .lexicon
                .senses(&all[..1])
                .any(|(_, sense)| sense == Sense::Article)
        {
            all.remove(0);
        }
        all.into_iter().map(str::to_owned).collect()
    }

    /// The words of a device's name, with compounds taken apart as they are when said.
    fn name(&self, name: &str) -> Vec<String> {
        let known = |word: &str| self.lexicon.knows(word) || self.names.knows(word);
        let apart = |word: String| match self.names.compound(&word, self.lexicon) {
            Some(parts) if !known(&word) => parts.map(str::to_owned).to_vec(),
            _ => vec![word],
        };
        self.words(name).into_iter().flat_map(apart).collect()
    }

    fn add(&mut self, sense: Sense, run: &[String]) {
        let run: Vec<&str> = run.iter().map(String::as_str).collect();
        self.names.runs.add_words(sense, &run);
    }

    fn areas(&mut self, home: &Home) {
        for (i, area) in home.areas().iter().enumerate() {
            let spoken = area.id.spoken();
            let all = std::iter::once(area.name.as_str())
                .chain(area.aliases.iter().map(String::as_str))
                .chain([spoken.as_str()]);
            let runs: Vec<Vec<String>> = all
                .map(|name| self.words(name))
                .filter(|run| !run.is_empty())
                .collect();
            for run in &runs {
                self.add(Sense::Place(Place::Area(index(i))), run);
                self.add(Sense::Place(Place::Area(index(i))), &[run.concat()]);
            }
            self.rooms.push(runs);
            let Some(floor) = &area.floor else { continue };
            if !self.names.floors.contains(floor) {
                let run = self.words(floor);
                self.add(
                    Sense::Place(Place::Floor(index(self.names.floors.len()))),
                    &run,
                );
                self.names.floors.push(floor.clone());
            }
        }
    }

    /// Kinds that are the operator's own words: `pump`.
    fn kinds(&mut self, home: &Home) {
        for device in home.devices() {
            let kind = device.kind.as_str();
            let known = self
                .names
                .nouns
                .iter()
                .any(|noun| noun.kinds.iter().any(|k| k == kind));
            if known || self.names.nouns.len() >= MOST_NOUNS {
                continue;
            }
            let one = kind.replace('_', " ");
            let many = format!("{one}{}", self.lexicon.grammar.plural);
            let id = index(self.names.nouns.len());
            self.names.runs.add(Sense::Noun(id, false), &one);
            self.names.runs.add(Sense::Noun(id, true), &many);
            self.names.nouns.push(Noun {
                one: vec![one],
                many: vec![many],
                kinds: vec![kind.to_owned()],
                ..Noun::default()
            });
        }
    }

    fn fronts(&mut self, home: &Home) {
        if self.lexicon.grammar.head_first {
            // There it is the noun: "luz del ..".
            return;
        }
        for (i, device) in home.devices().iter().enumerate() {
            for name in std::iter::once(&device.name).chain(&device.aliases) {
                let mut run = self.name(name);
                if run.pop().is_some() && !run.is_empty() {
                    let whose = self.fronts.entry(run).or_default();
                    whose.extend((!whose.contains(&i)).then_some(i));
                }
            }
        }
        let kind = |i: usize| &home.devices()[i].kind;
        self.fronts
            .retain(|_, whose| whose.len() > 1 && whose.iter().all(|&i| kind(i) == kind(whose[0])));
    }

    /// Whether several of one kind are called so, but for the last word.
    fn is_shared(&self, front: &[String]) -> bool {
        self.fronts.contains_key(front)
    }

    fn device(&mut self, i: usize, device: &Device, home: &Home) {
        let area = device
            .area
            .as_ref()
            .and_then(|id| home.areas().iter().position(|a| a.id == *id));
        let floor = area
            .and_then(|a| home.areas()[a].floor.as_ref())
            .and_then(|f| self.names.floors.iter().position(|known| known == f));
        let mut thing = Referent {
            area: area.map(index),
            floor: floor.map(index),
            nouns: 0,
        };
        for name in std::iter::once(&device.name).chain(&device.aliases) {
            let run = self.name(name);
            thing.nouns |= self.nouns_in(&run);
            let last = run
                .last()
                .filter(|_| matches!(device.kind.as_str(), "scene" | "script" | "button"));
            // "the night" is no way to say the scene "movie night".
            let says_little =
                |form: &[String]| form.len() == 1 && run.len() > 1 && form.first() == last;
            for (form, whole) in self
                .forms(&run, area)
                .into_iter()
                .filter(|(form, _)| !says_little(form))
            {
                let plural = self
                    .plural(&form)
                    .filter(|_| !whole && !self.begins_with_a_room(&form));
                self.call(i, &form, whole);
                if let Some(id) = plural.and_then(|plural| self.call(i, &plural, false)) {
                    self.names.called[id].many = true;
                }
            }
        }
        self.names.things.push(thing);
        for capability in &device.capabilities {
            self.property(&capability.property);
            match &capability.takes {
                Domain::Choice(options) if !is_fixed(&capability.property) => {
                    options
                        .iter()
                        .filter(|o| !matches!(o.as_str(), "on" | "off"))
                        .for_each(|option| self.option(option));
                }
                Domain::Number { unit, .. } if !self.names.units.contains(unit) => self.unit(unit),
                _ => {}
            }
        }
    }

    /// Calls a device by a form of its name, and says where that is kept.
    fn call(&mut self, device: usize, form: &[String], whole: bool) -> Option<usize> {
        let device = u32::try_from(device).ok()?;
        let next = u32::try_from(self.names.called.len()).unwrap_or(u32::MAX);
        let id = *self.ids.entry(form.join(" ")).or_insert(next);
        if id == next {
            self.names.called.push(Called::default());
            self.add(Sense::Called(id, None), form);
        }
        let here = &mut self.names.called[id as usize].devices;
        match here.iter_mut().find(|(d, _)| *d == device) {
            Some((_, known)) => *known |= whole,
            None => here.push((device, whole)),
        }
        Some(id as usize)
    }

    /// "bedside lamp" → "bedside lamps".
    fn plural(&self, run: &[String]) -> Option<Vec<String>> {
        let mut form = run.to_vec();
        let last = form.last_mut()?;
        match self.noun_at_end(run) {
            Some((noun, many)) if run.len() > 1 => last.clone_from(
                self.lexicon.nouns[usize::from(noun)]
                    .many
                    .first()
                    .filter(|_| !many)?,
            ),
            None if run.len() == 1 && !self.lexicon.grammar.plural.is_empty() => {
                last.push_str(&self.lexicon.grammar.plural);
            }
            _ => return None,
        }
        Some(form)
    }

    fn property(&mut self, property: &Property) {
        if self.names.properties.contains(property) {
            return;
        }
        let id = index(self.names.properties.len());
        let run = self.words(&property.name().replace('_', " "));
        let said: Vec<&str> = run.iter().map(String::as_str).collect();
        // A sensor's `open` is what "open" says anyway.
        let is_state = self.lexicon.senses(&said).any(|(length, sense)| {
            length == said.len() && matches!(sense, Sense::State(State::Open | State::Closed))
        });
        if !is_state {
            self.add(Sense::Property(id), &run);
        }
        self.names.properties.push(property.clone());
    }

    fn option(&mut self, option: &str) {
        let run = self.words(&option.replace('_', " "));
        if self.names.options.iter().any(|known| known == option) || run.is_empty() {
            return;
        }
        let sense = Sense::Choice(u32::try_from(self.names.options.len()).unwrap_or(u32::MAX));
        self.add(sense, &run);
        let plain = option.replace([' ', '-'], "_").to_lowercase();
        for spoken in self.lexicon.options.get(&plain).into_iter().flatten() {
            let run = self.words(spoken);
            self.add(sense, &run);
        }
        self.names.options.push(option.to_owned());
    }

    fn unit(&mut self, unit: &str) {
        let run = self.words(unit);
        if unit.is_empty() || run.is_empty() {
            return;
        }
        self.add(Sense::Unit(index(self.names.units.len())), &run);
        self.names.units.push(unit.to_owned());
    }

    /// The nouns that end last in a name: a "window blind" is a blind, and no window. In some languages those that stand first.
    fn nouns_in(&self, run: &[String]) -> u128 {
        let run: Vec<&str> = run.iter().map(String::as_str).collect();
        let head_first = self.lexicon.grammar.head_first;
        let (mut bits, mut last, mut first) = (0, 0, None);
        for at in 0..run.len() {
            for (length, sense) in self
                .lexicon
                .senses(&run[at..])
                .chain(self.names.runs.senses(&run[at..]))
            {
                let Sense::Noun(noun, _) = sense else {
                    continue;
                };
                if head_first && first.is_some_and(|first| first < at) {
                    continue;
                }
                if at + length > last {
                    (bits, last, first) = (0, at + length, Some(at));
                }
                if at + length == last && usize::from(noun) < MOST_NOUNS {
                    bits |= 1 << noun;
                }
            }
        }
        if last < run.len() && self.lexicon.spelling.compounds() {
            bits | self.nouns_grown_to(run[run.len() - 1])
        } else {
            bits
        }
    }

    /// The nouns a compound ends with: a "stehlampe" is a lamp.
    fn nouns_grown_to(&self, word: &str) -> u128 {
        let ends = |noun: &Noun| {
            noun.one
                .iter()
                .chain(&noun.many)
                .any(|form| form.len() > 3 && word.ends_with(form.as_str()))
        };
        self.names
            .nouns
            .iter()
            .enumerate()
            .filter(|(_, noun)| ends(noun))
            .fold(0, |bits, (i, _)| bits | 1 << i)
    }

    fn noun_at_end(&self, run: &[String]) -> Option<(u16, bool)> {
        let last = [run.last()?.as_str()];
        self.lexicon.senses(&last).find_map(|(_, sense)| {
            if let Sense::Noun(noun, many) = sense {
                Some((noun, many))
            } else {
                None
            }
        })
    }

    /// The name and the shorter forms of it; true of those that are the whole name.
    fn forms(&self, run: &[String], area: Option<usize>) -> Vec<(Vec<String>, bool)> {
        let mut whole = vec![run.to_vec()];
        whole.extend(self.other_digits(run));
        let mut forms: Vec<(Vec<String>, bool)> = Vec::new();
        for name in whole.clone() {
            let rooms = area.map_or(&[][..], |a| self.rooms[a].as_slice());
            let bare = rooms
                .iter()
                .filter_map(|room| without_room(&name, room))
                .map(|rest| self.unjoined(rest))
                .filter(|rest| !rest.is_empty());
            for form in std::iter::once(name.clone()).chain(bare) {
                forms.extend(self.shorter(&form).into_iter().map(|f| (f, false)));
                if form != name && self.stands_alone(&form) {
                    forms.push((form, false));
                }
            }
        }
        forms.extend(self.turned(run).map(|form| (form, false)));
        let whole = whole
            .into_iter()
            .chain(self.joined(run))
            .filter(|name| !name.is_empty());
        forms.extend(whole.map(|name| (name, true)));
        forms
    }

    /// "garage door left" as "left garage door", and the other way round.
    fn turned(&self, run: &[String]) -> Option<Vec<String>> {
        let (first, last) = (run.first()?, run.last()?);
        let says_which = |word: &String| {
            word.chars().all(char::is_alphabetic)
                && self.noun_at_end(std::slice::from_ref(word)).is_none()
        };
        let mut turned = run.to_vec();
        match run {
            [front @ .., _]
                if front.len() > 1 && self.noun_at_end(front).is_some() && says_which(last) =>
            {
                turned.rotate_right(1);
            }
            [front @ .., _]
                if self.is_shared(front) && self.stands_alone(front) && says_which(last) =>
            {
                turned.rotate_right(1);
            }
            [_, rest @ ..]
                if !rest.is_empty() && self.noun_at_end(run).is_some() && says_which(first) =>
            {
                turned.rotate_left(1);
            }
            _ => return None,
        }
        Some(turned)
    }

    /// "lampe du [salon]" → "lampe".
    fn unjoined(&self, run: &[String]) -> Vec<String> {
        let joins = |word: &String| {
            self.lexicon
                .grammar
                .joins
                .iter()
                .any(|join| words(join).contains(&word.as_str()))
        };
        let last = run
            .iter()
            .rposition(|word| !joins(word))
            .map_or(0, |last| last + 1);
        run[..last].to_vec()
    }

    /// "lampe salon" as "lampe du salon", and the other way round.
    fn joined(&self, run: &[String]) -> Vec<Vec<String>> {
        let joins: Vec<Vec<&str>> = self
            .lexicon
            .grammar
            .joins
            .iter()
            .map(|join| words(join))
            .collect();
        let bare: Vec<String> = run
            .iter()
            .filter(|word| !joins.iter().flatten().any(|join| join == word))
            .cloned()
            .collect();
        if joins.is_empty() || bare.len() < 2 {
            return Vec::new();
        }
        let with = |join: &Vec<&str>| {
            [
                &bare[..1],
                &join.iter().map(ToString::to_string).collect::<Vec<_>>(),
                &bare[1..],
            ]
            .concat()
        };
        joins
            .iter()
            .map(with)
            .chain([bare.clone()])
            .filter(|form| form != run)
            .collect()
    }

    /// "lamp 2" as "lamp two", and the other way round.
    fn other_digits(&self, run: &[String]) -> Option<Vec<String>> {
        let last = run.last()?;
        let other = if let Ok(n) = last.parse::<f64>() {
            self.lexicon
                .numbers
                .iter()
                .filter(|(_, value)| (**value - n).abs() < f64::EPSILON)
                .map(|(word, _)| word.to_string())
                .min()?
        } else {
            self.lexicon.numbers.get(last.as_str())?.to_string()
        };
        let mut form = run.to_vec();
        *form.last_mut()? = other;
        Some(form)
    }

    /// Forms that leave something out at either end, of two words or more, or of one that means nothing else.
    fn shorter(&self, run: &[String]) -> Vec<Vec<String>> {
        let mut forms = Vec::new();
        let Some((last, front)) = run.split_last() else {
            return forms;
        };
        let numbered =
            last.parse::<f64>().is_ok() || self.lexicon.numbers.contains_key(last.as_str());
        if (numbered && front.len() > 1)
            || (self.stands_alone(front)
                && (numbered || (self.noun_at_end(run).is_none() && self.is_shared(front))))
        {
            forms.push(front.to_vec());
        }
        // "tom 's" of "tom 's bedside lamp": said with another noun, it still tells whose.
        if let Some(owner) = front
            .iter()
            .position(|word| word == "'s")
            .map(|at| &run[..=at])
            .filter(|owner| owner.len() > 1)
        {
            forms.push(owner.to_vec());
        }
        let Some((noun, many)) = self.noun_at_end(run) else {
            // "the fence" for "electric fence": the last word says what it is, in this home's own words.
            let last = std::slice::from_ref(last);
            if !front.is_empty() && self.stands_alone(last) {
                forms.push(last.to_vec());
            }
            return forms;
        };
        let noun = &self.lexicon.nouns[usize::from(noun)];
        if noun.drops && self.stands_alone(front) {
            forms.push(front.to_vec());
        }
        if let Some(one) = noun.one.first().filter(|_| many && run.len() > 1) {
            let mut form = front.to_vec();
            form.push(one.clone());
            forms.push(form);
        }
        let ends = (1..run.len().saturating_sub(1)).map(|from| &run[from..]);
        forms.extend(
            ends.filter(|end| !self.begins_with_a_room(end))
                .map(<[String]>::to_vec),
        );
        forms
    }

    /// "kitchen light", the end of "old kitchen light", is the light of the kitchen, and not that one.
    fn begins_with_a_room(&self, run: &[String]) -> bool {
        self.rooms
            .iter()
            .flatten()
            .any(|room| run.starts_with(room))
    }

    /// Whether a form of a name says which device is meant, and nothing else: no area, and no word of the language.
    fn stands_alone(&self, run: &[String]) -> bool {
        let is_room = self.rooms.iter().flatten().any(|room| room == run);
        let has_letters = run
            .iter()
            .any(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 2);
        let is_word = run.len() == 1 && run.first().is_some_and(|word| self.lexicon.knows(word));
        !run.is_empty() && !is_room && has_letters && !is_word
    }

    fn finish(self) -> Names {
        let mut names = self.names;
        let nouns = names
            .nouns
            .iter()
            .flat_map(|noun| noun.one.iter().chain(&noun.many))
            .flat_map(|form| words(form))
            .map(str::to_owned);
        let mut meant: Vec<String> = nouns
            .chain(names.runs.known.iter().map(ToString::to_string))
            .filter(|word| word.chars().count() >= 5)
            .collect();
        meant.sort_unstable();
        meant.dedup();
        names.meant = meant;
        names
    }
}

/// Properties whose words the language has: their options are not names.
pub(super) fn is_fixed(property: &Property) -> bool {
    matches!(
        property,
        Property::Power
            | Property::Lock
            | Property::Mute
            | Property::Playback
            | Property::Vacuum
            | Property::Mower
            | Property::Scene
            | Property::Script
    )
}

/// What is left of a name without the area at its start or end.
fn without_room<'a>(name: &'a [String], room: &[String]) -> Option<&'a [String]> {
    let rest = name
        .strip_prefix(room)
        .or_else(|| name.strip_suffix(room))?;
    (!rest.is_empty()).then_some(rest)
}
