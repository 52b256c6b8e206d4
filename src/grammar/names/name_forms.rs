//! The forms of a name that still identify the device: without the area, shorter, or in another
//! order.
//!
//! In: the words of a name and the area of the device. Out: the forms, each with whether it is the
//! whole name. Which of them become names is decided in `device_names`.

use crate::grammar::names::builder::Builder;
use crate::grammar::tokens::words;

impl Builder<'_> {
    /// Returns the name and its shorter forms, each with whether it is the whole name.
    pub(super) fn forms(&self, run: &[String], area: Option<usize>) -> Vec<(Vec<String>, bool)> {
        let mut whole = vec![run.to_vec()];
        whole.extend(self.digit_variants(run));
        whole.extend(self.spoken_variants(run));
        let mut forms: Vec<(Vec<String>, bool)> = Vec::new();
        for name in whole.clone() {
            let places = area.map_or(&[][..], |a| self.places[a].as_slice());
            let bare = places
                .iter()
                .filter_map(|area_name| without_area(&name, area_name))
                .map(|rest| self.unjoined(rest))
                .filter(|rest| !rest.is_empty());
            for form in std::iter::once(name.clone()).chain(bare) {
                forms.extend(self.shorter(&form).into_iter().map(|f| (f, false)));
                if form != name && self.stands_alone(&form) {
                    forms.push((form, false));
                }
            }
        }
        forms.extend(self.rotated(run).map(|form| (form, false)));
        forms.extend(self.sided(run, area).into_iter().map(|form| (form, false)));
        let whole = whole
            .into_iter()
            .chain(self.joined(run))
            .filter(|name| !name.is_empty());
        forms.extend(whole.map(|name| (name, true)));
        forms
    }

    /// Returns forms that omit words at either end and still identify the device.
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
        // "tom 's" of "tom 's bedside lamp" identifies the owner even with another noun.
        if let Some(owner) = front
            .iter()
            .position(|word| word == "'s")
            .map(|at| &run[..=at])
            .filter(|owner| owner.len() > 1)
        {
            forms.push(owner.to_vec());
        }
        let Some((noun, many)) = self.noun_at_end(run) else {
            // "the fence" for "electric fence": the last word is a noun of this home.
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
            ends.filter(|end| !self.begins_with_area(end))
                .map(<[String]>::to_vec),
        );
        forms
    }

    /// Returns "garage door left" as "left garage door", and vice versa.
    fn rotated(&self, run: &[String]) -> Option<Vec<String>> {
        let (first, last) = (run.first()?, run.last()?);
        let says_which = |word: &String| {
            word.chars().all(char::is_alphabetic)
                && self.noun_at_end(std::slice::from_ref(word)).is_none()
        };
        let mut rotated = run.to_vec();
        match run {
            [front @ .., _]
                if front.len() > 1 && self.noun_at_end(front).is_some() && says_which(last) =>
            {
                rotated.rotate_right(1);
            }
            [front @ .., _]
                if self.is_shared(front) && self.stands_alone(front) && says_which(last) =>
            {
                rotated.rotate_right(1);
            }
            [_, rest @ ..]
                if !rest.is_empty() && self.noun_at_end(run).is_some() && says_which(first) =>
            {
                rotated.rotate_left(1);
            }
            _ => return None,
        }
        Some(rotated)
    }

    /// Removes trailing linking words: "lampe du" → "lampe".
    pub(super) fn unjoined(&self, run: &[String]) -> Vec<String> {
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

    /// Returns "lampe salon" as "lampe du salon", and vice versa.
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

    /// Returns whether the words start with an area: "kitchen light" does not name the "old kitchen
    /// light".
    pub(super) fn begins_with_area(&self, run: &[String]) -> bool {
        self.places
            .iter()
            .flatten()
            .any(|area_name| run.starts_with(area_name))
    }

    /// Returns whether a form of a name identifies a device: it is neither an area nor a word of
    /// the language.
    pub(super) fn stands_alone(&self, run: &[String]) -> bool {
        let is_area = self
            .places
            .iter()
            .flatten()
            .any(|area_name| area_name == run);
        let has_letters = run
            .iter()
            .any(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 2);
        let is_word = run.len() == 1 && run.first().is_some_and(|word| self.lexicon.knows(word));
        !run.is_empty() && !is_area && has_letters && !is_word
    }
}

/// Returns a name without the area at its start or end.
fn without_area<'a>(name: &'a [String], area_name: &[String]) -> Option<&'a [String]> {
    let rest = name
        .strip_prefix(area_name)
        .or_else(|| name.strip_suffix(area_name))?;
    (!rest.is_empty()).then_some(rest)
}
