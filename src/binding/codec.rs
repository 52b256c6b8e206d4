//! Translation between the values of the vocabulary and those of a device.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::binding::color::{self, ColorSpace, rgb};
use crate::binding::template::plain;
use crate::vocabulary::Value;

/// Translation between the vocabulary's values and the device's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Codec {
    /// Values with a wire value of their own, such as `on` and `"ON"`; they take precedence over
    /// `scale`. Several wire values may stand for one value: the first is sent, all are recognized.
    pub words: Vec<(Value, Json)>,
    /// Translation of all other values.
    pub scale: Scale,
}

/// Translation of values without a wire value of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Scale {
    /// No translation.
    #[default]
    Same,
    /// From the first range to the second, rounded to whole numbers on the wire: `[0, 100] → [0,
    /// 254]`.
    Linear {
        /// The range of the vocabulary.
        from: (f64, f64),
        /// The range of the device.
        to: (f64, f64),
    },
    /// Percent to the nearest of the steps of a device, of which the lowest is above 0 %: a third
    /// is step 1 of 3, and so is anything less.
    Steps {
        /// The number of the lowest step.
        lowest: f64,
        /// The number of the highest step, which is 100 %.
        highest: f64,
    },
    /// Kelvin to mired (10⁶ / K).
    Mired,
    /// °C to °F.
    Fahrenheit {
        /// The device's resolution in °F: 0.1, 0.5 or 1.
        grain: f64,
    },
    /// No other values exist.
    MappedOnly,
    /// Other numbers are reported, but cannot be sent.
    ReportedOnly,
    /// A colour as a list of numbers.
    Components(ColorSpace),
    /// A colour as `#rrggbb`.
    Hex,
    /// A colour as `r,g,b`, each 0–255.
    Rgb,
}

impl Codec {
    /// Translates a value to the device's; `None` where the device has no such value.
    pub fn to_wire(&self, value: &Value) -> Option<Cow<'_, Json>> {
        if let Some((_, wire)) = self.words.iter().find(|(ours, _)| ours == value) {
            return Some(Cow::Borrowed(wire));
        }
        let wire = match (self.scale, value) {
            (Scale::Same, other) => serde_json::to_value(other).ok()?,
            (Scale::Linear { from, to }, Value::Number(n)) => whole(interpolate(*n, from, to))?,
            (Scale::Steps { lowest, highest }, Value::Number(n)) => {
                let off = lowest - 1.0;
                let step = interpolate(*n, (0.0, 100.0), (off, highest)).round();
                whole(if *n > 0.0 { step.max(lowest) } else { off })?
            }
            (Scale::Mired, Value::Number(kelvin)) if *kelvin > 0.0 => whole(1e6 / kelvin)?,
            (Scale::Fahrenheit { grain }, Value::Number(celsius)) => {
                tenth(((celsius * 1.8 + 32.0) / grain).round() * grain)?
            }
            (Scale::Components(space), Value::Text(color)) => space.components(rgb(color)?),
            (Scale::Hex, Value::Text(color)) => Json::String(hex(rgb(color)?)),
            (Scale::Rgb, Value::Text(color)) => {
                let [r, g, b] = rgb(color)?;
                Json::String(format!("{r},{g},{b}"))
            }
            _ => return None,
        };
        Some(Cow::Owned(wire))
    }

    /// Translates a device's value; `None` where it stands for no value of the vocabulary.
    pub fn value_on_wire(&self, wire: &Json) -> Option<Value> {
        let mapped = self
            .words
            .iter()
            .find(|(_, theirs)| same_on_wire(theirs, wire));
        if let Some((ours, _)) = mapped {
            return Some(ours.clone());
        }
        match self.scale {
            Scale::Same | Scale::ReportedOnly => same_value(wire),
            Scale::Linear { from, to } => {
                number(wire).map(|n| Value::Number(interpolate(n, to, from).round()))
            }
            Scale::Steps { lowest, highest } => {
                let percent = |n| interpolate(n, (lowest - 1.0, highest), (0.0, 100.0)).round();
                number(wire).map(|n| Value::Number(percent(n)))
            }
            Scale::Mired => {
                let mired = number(wire).filter(|n| *n > 0.0)?;
                Some(Value::Number((1e6 / mired).round()))
            }
            Scale::Fahrenheit { .. } => {
                let fahrenheit = number(wire)?;
                Some(Value::Number(
                    (((fahrenheit - 32.0) / 1.8) * 10.0).round() / 10.0,
                ))
            }
            Scale::MappedOnly => None,
            Scale::Hex | Scale::Rgb => {
                color::value_on_wire(wire, ColorSpace::Rgb).map(|color| Value::text(&hex(color)))
            }
            Scale::Components(space) => {
                color::value_on_wire(wire, space).map(|color| Value::text(&hex(color)))
            }
        }
    }
}

/// Returns the codec of a percentage that must not round down to "off": the smallest level above
/// 0 % is 1 on the wire.
pub(super) fn percent_to(top: f64) -> Scale {
    Scale::Linear {
        from: (0.0, 100.0),
        to: (0.0, top),
    }
}

/// Returns pairs of a vocabulary word and the word on the wire.
pub(super) fn words(pairs: &[(&str, &str)]) -> Vec<(Value, Json)> {
    pairs
        .iter()
        .map(|(ours, theirs)| (Value::text(ours), Json::from(*theirs)))
        .collect()
}

fn same_value(wire: &Json) -> Option<Value> {
    match wire {
        Json::Bool(flag) => Some(Value::Flag(*flag)),
        Json::Number(n) => n.as_f64().map(Value::Number),
        Json::String(text) => Some(number(wire).map_or_else(|| Value::text(text), Value::Number)),
        _ => None,
    }
}

fn whole(n: f64) -> Option<Json> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "device ranges are far below 2^53; a float cast saturates"
    )]
    n.is_finite().then(|| Json::from(n.round() as i64))
}

fn tenth(n: f64) -> Option<Json> {
    let tenths = (n * 10.0).round();
    if tenths % 10.0 == 0.0 {
        whole(tenths / 10.0)
    } else {
        Some(Json::from(tenths / 10.0))
    }
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Maps `n` from one range to another. A level above the lower end never maps to the lower end
/// itself when both ranges start at 0: 0.1 % of 254 is 1, because 0 means off.
fn interpolate(n: f64, from: (f64, f64), to: (f64, f64)) -> f64 {
    let span = from.1 - from.0;
    if span == 0.0 {
        return to.0;
    }
    let mapped = to.0 + (n - from.0) / span * (to.1 - to.0);
    let starts_at_zero = from.0 == 0.0 && to.0 == 0.0;
    if starts_at_zero && n > 0.0 && to.1 >= 1.0 && mapped < 1.0 {
        1.0
    } else {
        mapped
    }
}

fn number(wire: &Json) -> Option<f64> {
    wire.as_f64()
        .or_else(|| wire.as_str()?.trim().parse().ok())
        .filter(|n| n.is_finite())
}

/// Compares without case, and across JSON types: a device may send `"1"` or `"on"` where 1 or
/// `"ON"` is declared.
pub(super) fn same_on_wire(declared: &Json, received: &Json) -> bool {
    declared == received || plain(declared).eq_ignore_ascii_case(&plain(received))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fahrenheit_is_sent_at_the_resolution_of_the_device() {
        let codec = Codec {
            words: vec![],
            scale: Scale::Fahrenheit { grain: 0.1 },
        };
        assert_eq!(
            codec.to_wire(&Value::Number(20.0)).as_deref(),
            Some(&json!(68))
        );
        assert_eq!(
            codec.to_wire(&Value::Number(21.5)).as_deref(),
            Some(&json!(70.7))
        );
        assert_eq!(
            codec.value_on_wire(&json!("70.7")),
            Some(Value::Number(21.5))
        );
        let whole = Codec {
            words: vec![],
            scale: Scale::Fahrenheit { grain: 1.0 },
        };
        assert_eq!(
            whole.to_wire(&Value::Number(21.5)).as_deref(),
            Some(&json!(71))
        );
    }

    #[test]
    fn the_nearest_step_of_a_fan_is_sent_and_never_none() {
        for (speeds, percent, step) in [
            (3.0, 33.0, 1),
            (6.0, 33.0, 2),
            (4.0, 33.0, 1),
            (3.0, 67.0, 2),
            (4.0, 10.0, 1),
            (3.0, 1.0, 1),
            (3.0, 100.0, 3),
            (100.0, 33.0, 33),
        ] {
            let scale = |lowest| Codec {
                words: vec![],
                scale: Scale::Steps {
                    lowest,
                    highest: lowest + speeds - 1.0,
                },
            };
            for lowest in [0.0, 1.0, 5.0] {
                let codec = scale(lowest);
                let wire = codec.to_wire(&Value::Number(percent));
                let wire = wire.and_then(|wire| wire.as_f64());
                let expected = f64::from(step) + lowest - 1.0;
                assert_eq!(
                    wire,
                    Some(expected),
                    "{percent} % of {speeds} from {lowest}"
                );
            }
        }
        let three = Scale::Steps {
            lowest: 1.0,
            highest: 3.0,
        };
        let codec = Codec {
            words: vec![],
            scale: three,
        };
        assert_eq!(codec.value_on_wire(&json!("2")), Some(Value::Number(67.0)));
    }

    #[test]
    fn a_level_above_zero_is_never_sent_as_zero() {
        for top in [3.0, 100.0, 254.0, 255.0] {
            let codec = Codec {
                words: vec![],
                scale: percent_to(top),
            };
            for percent in [0.05, 0.1, 0.3, 1.0] {
                let wire = codec.to_wire(&Value::Number(percent)).unwrap();
                assert!(wire.as_i64() >= Some(1), "{percent} % of {top} is {wire}");
            }
            assert_eq!(
                codec.to_wire(&Value::Number(0.0)).as_deref(),
                Some(&json!(0))
            );
        }
    }
}
