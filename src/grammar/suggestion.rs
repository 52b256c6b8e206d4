//! Shortened names: "turn off the samsung" for the only device with that word in its name.
//!
//! In: a sentence with an unknown word. Out: a draft that asks whether that device is meant, and
//! acts only after a yes. There is none where several devices have the word.

use crate::grammar::interpreter::Interpreter;
use crate::grammar::lexicon::UnsupportedMeaning;
use crate::grammar::spans::Spans;
use crate::grammar::tokens::words;
use crate::home::device::Device;
use crate::vocabulary::action::{Choice, Draft};
use crate::vocabulary::speech::fill;

/// Most unknown words of a sentence with a shortened name.
const MOST_UNKNOWN: usize = 3;

impl Interpreter<'_> {
    /// Returns the question whether the device with the unknown words in its name is meant.
    pub(super) fn suggestion(&self, text: &str) -> Option<Draft> {
        let plain = self.lexicon.spelling.plain(text);
        let input = words(&plain);
        let is_unsupported = [
            UnsupportedMeaning::Negation,
            UnsupportedMeaning::Condition,
            UnsupportedMeaning::Time,
        ]
        .into_iter()
        .any(|meaning| self.lexicon.unsupported_in(&input, meaning).is_some());
        if is_unsupported || self.dissected(&plain).is_some() {
            return None;
        }
        let tried = Spans::try_of(&plain, self.lexicon, self.names);
        tried.error.as_ref()?;
        let runs: Vec<String> = tried.runs().collect();
        let is_unknown = |at: &usize| tried.spans.iter().nth(*at).is_some_and(<[_]>::is_empty);
        let unknown: Vec<usize> = (0..runs.len()).filter(is_unknown).collect();
        let (Some(&first), Some(&last)) = (unknown.first(), unknown.last()) else {
            return None;
        };
        if unknown.len() > MOST_UNKNOWN {
            return None;
        }
        let named = |device: &Device| self.in_full(device, &runs, (first, last));
        let mut found = self.home.devices().iter().filter_map(|device| {
            let full = named(device)?;
            Some((device, full))
        });
        let (Some((device, full)), None) = (found.next(), found.next()) else {
            return None;
        };
        let draft = self.draft(&full)?;
        let is_of_device = draft.actions.iter().all(|a| a.device == device.id.as_str());
        if draft.question.is_some() || draft.actions.is_empty() || !is_of_device {
            return None;
        }
        let choice = Choice {
            names: vec![device.name.clone()],
            places: Vec::new(),
            actions: draft.actions,
            left_out: draft.left_out,
        };
        Some(Draft {
            question: Some(fill(&self.lexicon.say.suggest, &[("device", &device.name)])),
            choices: vec![choice],
            ..Draft::default()
        })
    }

    /// Returns the sentence with a name of the device in place of the unknown words and of those
    /// beside them, if the name has all of these.
    fn in_full(&self, device: &Device, runs: &[String], range: (usize, usize)) -> Option<String> {
        let names = std::iter::once(&device.name).chain(&device.aliases);
        names.into_iter().find_map(|name| {
            let lower = name.to_lowercase();
            let plain = self.lexicon.spelling.plain(&lower);
            let own = words(&plain);
            let is_own = |run: &String| run.split(' ').all(|word| own.contains(&word));
            let (mut first, mut last) = range;
            if !runs[first..=last].iter().all(is_own) {
                return None;
            }
            while first > 0 && is_own(&runs[first - 1]) {
                first -= 1;
            }
            while last + 1 < runs.len() && is_own(&runs[last + 1]) {
                last += 1;
            }
            let whole = [plain.into_owned()];
            Some(
                [&runs[..first], &whole, &runs[last + 1..]]
                    .concat()
                    .join(" "),
            )
        })
    }
}
