//! Forms of a name that would hide a command: a device called "turn on" must not make that verb
//! unreadable.
//!
//! In: a form of a device's name. Out: whether commands to other devices could not be read if it
//! were a name.

use crate::grammar::names::builder::Builder;
use crate::grammar::sense::Sense;
use crate::home::Home;

impl Builder<'_> {
    /// Returns whether commands to other devices could not be read if the words were a name of this
    /// device. A scene or button may be called by a verb.
    pub(super) fn hides_others(
        &self,
        (device, is_pressed): (usize, bool),
        form: &[String],
    ) -> bool {
        (!is_pressed && self.is_of_verbs(form))
            || self.is_another_with_article(device, form)
            || self.commands_another(device, form)
    }

    /// Returns whether the words are an article and the name of another device: "the front door"
    /// where another device is called "front door".
    fn is_another_with_article(&self, device: usize, form: &[String]) -> bool {
        let [first, rest @ ..] = form else {
            return false;
        };
        let article = [first.as_str()];
        let mut senses = self.lexicon.senses(&article);
        let other = self.full_names.get(&rest.join(" "));
        other.is_some_and(|other| *other != device) && senses.any(|(_, sense)| sense.is_article())
    }

    /// Returns whether the words are verbs and their particles, without a thing: "turn on". As a
    /// name they would hide the verb from every command. A single word hides nothing, because each
    /// of its senses is tried: a French wall lamp is called "applique", which is a verb as well.
    /// Only a pronoun such as "it" is refused as a single word.
    fn is_of_verbs(&self, form: &[String]) -> bool {
        if let [word] = form {
            let word = [word.as_str()];
            let mut senses = self.lexicon.senses(&word);
            return senses.any(|(_, sense)| matches!(sense, Sense::It | Sense::Them));
        }
        let is_thing = |sense: &Sense| matches!(sense, Sense::Noun(..) | Sense::Property(_));
        let is_of_verb = |sense: &Sense| {
            matches!(
                sense,
                Sense::Verb(_)
                    | Sense::SplitVerb(..)
                    | Sense::Particle(_)
                    | Sense::State(_)
                    | Sense::It
            )
        };
        form.iter().all(|word| {
            let word = [word.as_str()];
            let senses: Vec<Sense> = self.lexicon.senses(&word).map(|(_, sense)| sense).collect();
            senses.iter().any(is_of_verb) && !senses.iter().any(is_thing)
        })
    }

    /// Returns whether the words are a command to another device, which such a name must not hide:
    /// "unlock the front door".
    fn commands_another(&self, device: usize, form: &[String]) -> bool {
        let input: Vec<&str> = form.iter().map(String::as_str).collect();
        let is_small = |word: &&str| {
            let word = [*word];
            let mut senses = self.lexicon.senses(&word);
            senses.any(|(_, sense)| sense.is_article() || matches!(sense, Sense::Particle(_)))
        };
        let mut senses = self.lexicon.senses(&input);
        senses.any(|(length, sense)| {
            if !matches!(sense, Sense::Verb(_) | Sense::SplitVerb(..)) {
                return false;
            }
            let rest = &input[length..];
            let begin = rest.iter().take_while(|word| is_small(word)).count();
            let rest = rest[begin..].join(" ");
            let named = self.full_names.get(&rest);
            named.is_some_and(|other| *other != device)
        })
    }

    pub(super) fn full_names(&mut self, home: &Home) {
        for (i, device) in home.devices().iter().enumerate() {
            for name in std::iter::once(&device.name).chain(&device.aliases) {
                let run = self.name(name).join(" ");
                self.full_names.entry(run).or_insert(i);
            }
        }
    }
}
