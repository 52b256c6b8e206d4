//! Example commands: for each property a sentence that the local grammar understands as exactly
//! that. Every sentence is tested before it is shown.

use crate::command::phrase::Phrase;
use crate::grammar::LocalGrammar;
use crate::home::Home;
use crate::home::capability::Capability;
use crate::home::device::Device;
use crate::home::setpoint::is_selected_by_mode;
use crate::vocabulary::action::Op;
use crate::vocabulary::speech::within_sentence;
use crate::vocabulary::{Domain, Property};

/// Source of example commands for a home.
pub(super) struct Examples<'a> {
    pub(super) local: &'a LocalGrammar,
    pub(super) home: &'a Home,
}

impl Examples<'_> {
    /// Returns a sentence for this property of this device only; `None` if only a model understands
    /// one.
    pub(super) fn example(&self, device: &Device, capability: &Capability) -> Option<String> {
        if is_selected_by_mode(device, capability) {
            return None;
        }
        let mut names: Vec<String> = std::iter::once(&device.name)
            .chain(&device.aliases)
            .map(|name| format!("the {}", within_sentence(name)))
            .collect();
        if let Some(area) = device.area.as_ref().and_then(|id| self.home.area(id)) {
            names.push(format!(
                "the {} in the {}",
                within_sentence(&device.name),
                within_sentence(&area.name)
            ));
        }
        let sentences = names.iter().flat_map(|name| {
            if capability.settable {
                orders(name, capability)
            } else {
                questions(name, capability)
            }
        });
        sentences
            .into_iter()
            .find(|sentence| self.is_understood(sentence, device, capability))
    }

    fn is_understood(&self, sentence: &str, device: &Device, capability: &Capability) -> bool {
        let Some(draft) = self
            .local
            .draft(&Phrase::new(sentence, None, Some("en")), self.home)
        else {
            return false;
        };
        let [action] = draft.actions.as_slice() else {
            return false;
        };
        let fits = if capability.settable {
            action.op != Op::Query
        } else {
            action.op == Op::Query
        };
        fits && action.device == device.id.as_str() && action.property == capability.property
    }
}

fn orders(the: &str, capability: &Capability) -> Vec<String> {
    use Property as P;
    let called = capability.property.name().replace('_', " ");
    let fixed: &[&str] = match &capability.property {
        P::Power => &["turn on {}", "switch on {}"],
        P::Brightness => &["dim {} to 40 percent", "set {} to 40 percent"],
        P::Color => &["make {} red", "set {} to red"],
        P::ColorTemp => &[
            "make {} warm white",
            "set {} to 3000 kelvin",
            "set {} to 4000 kelvin",
        ],
        P::Position => &["open {}", "set {} to 50 percent"],
        P::Tilt => &["tilt {} to 50 percent", "set the tilt of {} to 50 percent"],
        P::Lock => &["lock {}"],
        P::Temperature => &[
            "set {} to 21 degrees",
            "set the temperature of {} to 21 degrees",
            "set {} to 45 degrees",
        ],
        P::Humidity => &[
            "set {} to 50 percent",
            "set the humidity of {} to 50 percent",
        ],
        P::Volume => &["set the volume of {} to 30 percent", "set {} to 30 percent"],
        P::Mute => &["mute {}"],
        P::Playback => &["pause {}"],
        P::Vacuum => &["start {}", "send {} home", "stop {}"],
        P::Mower => &["start {}", "send {} home"],
        P::Press => &["press {}"],
        P::Scene => &["activate {}", "turn on {}"],
        P::Script => &["run {}"],
        P::Speed => &["set the speed of {} to 50 percent", "set {} to 50 percent"],
        _ => &[],
    };
    let mut all: Vec<String> = fixed.iter().map(|form| form.replace("{}", the)).collect();
    for value in values(&capability.domain) {
        let (short, long) = (
            format!("set {the} to {value}"),
            format!("set the {called} of {the} to {value}"),
        );
        // A property that only this device has is named.
        let first = if capability.property.is_standard() {
            [short, long]
        } else {
            [long, short]
        };
        all.extend(first);
        all.push(format!("set {the} {called} to {value}"));
    }
    if let Domain::Choice(words) = &capability.domain
        && words.iter().any(|word| word == "on")
    {
        all.extend([
            format!("turn on the {called} of {the}"),
            format!("turn on {the} {called}"),
        ]);
    }
    all
}

fn values(takes: &Domain) -> Vec<String> {
    match takes {
        Domain::Choice(words) => {
            let (off, telling): (Vec<_>, Vec<_>) = words
                .iter()
                .map(|word| word.replace('_', " "))
                .partition(|word| word.eq_ignore_ascii_case("off"));
            telling.into_iter().take(4).chain(off).collect()
        }
        Domain::Number {
            min,
            max,
            step,
            unit,
        } => {
            let grain = step.unwrap_or(1.0);
            let middle = min + ((f64::midpoint(*min, *max) - min) / grain).round() * grain;
            let unit = match unit.as_str() {
                "%" => " percent",
                "°C" => " degrees",
                _ => "",
            };
            vec![format!("{middle}{unit}")]
        }
        Domain::Boolean => vec!["on".to_owned()],
        Domain::Color | Domain::Trigger => Vec::new(),
    }
}

fn questions(the: &str, capability: &Capability) -> Vec<String> {
    let called = capability.property.name().replace('_', " ");
    let short = called
        .strip_prefix("current ")
        .unwrap_or(&called)
        .to_owned();
    let mut all = vec![
        format!("what is the {short} of {the}?"),
        format!("what is the {called} of {the}?"),
    ];
    if let Domain::Choice(words) = &capability.domain {
        all.extend(words.iter().take(2).map(|word| format!("is {the} {word}?")));
    }
    all
}

#[cfg(test)]
mod tests {
    use crate::vocabulary::speech::within_sentence;

    #[test]
    fn only_a_name_of_common_words_is_lowercased_within_a_sentence() {
        for (name, said) in [
            ("Desk lamp", "desk lamp"),
            ("TV", "TV"),
            ("IKEA Bedroom Fan", "IKEA Bedroom Fan"),
            ("Büro", "büro"),
        ] {
            assert_eq!(within_sentence(name), said);
        }
    }
}
