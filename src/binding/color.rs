//! Conversion of colours between the forms that devices use: `#rrggbb`, `r,g,b`, hue and
//! saturation, CIE x and y.

use serde_json::{Value as Json, json};

/// A colour space in which a device lists the components of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorSpace {
    /// Red, green, blue, each 0–255.
    Rgb,
    /// Hue 0–360 and saturation 0–100.
    HueSaturation,
    /// CIE 1931 chromaticity, each 0–1.
    Xy,
}

impl ColorSpace {
    /// Returns the components of a colour in this space.
    pub fn components(self, color: [u8; 3]) -> Json {
        match self {
            Self::Rgb => json!(color),
            Self::HueSaturation => {
                let (hue, saturation) = hue_saturation(color);
                json!([hue.round(), saturation.round()])
            }
            Self::Xy => {
                let (x, y) = xy(color);
                json!([(x * 1e4).round() / 1e4, (y * 1e4).round() / 1e4])
            }
        }
    }

    fn color(self, parts: &[f64]) -> Option<[u8; 3]> {
        match (self, parts) {
            (Self::Rgb, [r, g, b, ..]) => Some([byte(*r), byte(*g), byte(*b)]),
            (Self::HueSaturation, [hue, saturation, ..]) => {
                Some(from_hue_saturation(*hue, *saturation))
            }
            (Self::Xy, [x, y, ..]) => from_xy(*x, *y),
            _ => None,
        }
    }
}

/// Parses the colour a device reported, in any form. A list without keys is read as `space`.
pub fn value_on_wire(wire: &Json, space: ColorSpace) -> Option<[u8; 3]> {
    match wire {
        Json::String(text) => from_text(text.trim(), space),
        Json::Array(list) => {
            space.color(&list.iter().map(Json::as_f64).collect::<Option<Vec<_>>>()?)
        }
        Json::Object(map) => {
            let part = |names: [&str; 2]| names.iter().find_map(|name| map.get(*name)?.as_f64());
            let parts = |names: &[[&str; 2]]| {
                names
                    .iter()
                    .map(|pair| part(*pair))
                    .collect::<Option<Vec<f64>>>()
            };
            let rgb = parts(&[["r", "red"], ["g", "green"], ["b", "blue"]])
                .and_then(|p| ColorSpace::Rgb.color(&p));
            let hue = || {
                parts(&[["h", "hue"], ["s", "saturation"]])
                    .and_then(|p| ColorSpace::HueSaturation.color(&p))
            };
            let xy = || parts(&[["x", "x"], ["y", "y"]]).and_then(|p| ColorSpace::Xy.color(&p));
            let hex = || from_text(map.get("hex")?.as_str()?, space);
            rgb.or_else(hue).or_else(xy).or_else(hex)
        }
        _ => None,
    }
}

/// Reads a color as devices report it: `#ff0000`, `FF0000`, `FF0000` with two digits more per white
/// channel, `255,0,0`, or a name.
fn from_text(text: &str, space: ColorSpace) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    if matches!(digits.len(), 6 | 8 | 10) && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return rgb(&format!("#{}", &digits[..6]));
    }
    if text.contains(',') {
        let parts: Option<Vec<f64>> = text
            .split(',')
            .map(|part| part.trim().parse().ok().filter(|n: &f64| n.is_finite()))
            .collect();
        if let Some(parts) = parts {
            return space.color(&parts);
        }
    }
    rgb(text)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to the range of a byte"
)]
fn byte(n: f64) -> u8 {
    n.round().clamp(0.0, 255.0) as u8
}

fn hue_saturation(color: [u8; 3]) -> (f64, f64) {
    let [r, g, b] = color.map(f64::from);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let span = most - least;
    if span == 0.0 {
        return (0.0, 0.0);
    }
    let sixth = match most {
        m if (m - r).abs() < f64::EPSILON => ((g - b) / span).rem_euclid(6.0),
        m if (m - g).abs() < f64::EPSILON => (b - r) / span + 2.0,
        _ => (r - g) / span + 4.0,
    };
    (sixth * 60.0, span / most * 100.0)
}

fn from_hue_saturation(hue: f64, saturation: f64) -> [u8; 3] {
    let (hue, saturation) = (
        hue.rem_euclid(360.0) / 60.0,
        (saturation / 100.0).clamp(0.0, 1.0),
    );
    [5.0, 3.0, 1.0].map(|shift: f64| {
        let k = (shift + hue) % 6.0;
        byte(255.0 * (1.0 - saturation * k.min(4.0 - k).clamp(0.0, 1.0)))
    })
}

/// Converts sRGB to CIE xy. Source: IEC 61966-2-1, D65.
fn xy(color: [u8; 3]) -> (f64, f64) {
    const TO_XYZ: [[f64; 3]; 3] = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ];
    let linear = color.map(|c| {
        let c = f64::from(c) / 255.0;
        if c <= 0.040_45 {
            c / 12.92
        } else {
            ((c + 0.055) / 1.055).powf(2.4)
        }
    });
    let [x, y, z] = TO_XYZ.map(|row| row.iter().zip(linear).map(|(a, b)| a * b).sum::<f64>());
    let sum = x + y + z;
    // Black has no chromaticity: the white point stands for it.
    if sum == 0.0 {
        (0.3127, 0.3290)
    } else {
        (x / sum, y / sum)
    }
}

/// Returns the brightest sRGB color of this chromaticity, or `None` if the coordinates are out of
/// range.
fn from_xy(x: f64, y: f64) -> Option<[u8; 3]> {
    if y <= 0.0 || !(0.0..=1.0).contains(&x) || y > 1.0 {
        return None;
    }
    let (big_x, big_z) = (x / y, (1.0 - x - y) / y);
    let linear = [
        3.2406 * big_x - 1.5372 - 0.4986 * big_z,
        -0.9689 * big_x + 1.8758 + 0.0415 * big_z,
        0.0557 * big_x - 0.2040 + 1.0570 * big_z,
    ]
    .map(|c: f64| c.max(0.0));
    let most = linear.iter().fold(0.0_f64, |a, b| a.max(*b));
    (most > 0.0).then(|| {
        linear.map(|c| {
            let c = c / most;
            byte(
                255.0
                    * if c <= 0.003_130_8 {
                        12.92 * c
                    } else {
                        1.055 * c.powf(1.0 / 2.4) - 0.055
                    },
            )
        })
    })
}

/// Returns red, green and blue of a CSS colour name or `#rrggbb`. Hexadecimal digits need the `#`:
/// `bed` and `cafe` are words, not colours. `transparent` is no colour of a lamp.
pub fn rgb(color: &str) -> Option<[u8; 3]> {
    let is_hex = color
        .strip_prefix('#')
        .is_some_and(|digits| digits.len() == 6);
    let is_name = !color.eq_ignore_ascii_case("transparent")
        && color.bytes().all(|b| b.is_ascii_alphabetic())
        && !color.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex && !is_name {
        return None;
    }
    let [r, g, b, _] = csscolorparser::parse(color).ok()?.to_rgba8();
    Some([r, g, b])
}

/// The largest difference of one component, of 255, that counts as the same colour. Lamps report
/// colours in spaces of other precision.
const NEAR: u8 = 25;

/// Colours that people have a word for, and that the languages translate.
const COMMON: [&str; 10] = [
    "white",
    "red",
    "orange",
    "yellow",
    "green",
    "turquoise",
    "blue",
    "purple",
    "violet",
    "pink",
];

/// Returns the common name of a colour: `#ff0803` is `red`.
pub fn common_name(color: &str) -> Option<&'static str> {
    let is_it = |name: &&str| is_near(color, name);
    COMMON.into_iter().find(is_it)
}

/// Returns whether a lamp cannot show the difference between two colors. Their brightness is not
/// compared, because it is a property of its own.
pub fn is_near(one: &str, other: &str) -> bool {
    let (Some(one), Some(other)) = (rgb(one), rgb(other)) else {
        return false;
    };
    let mut pairs = at_full_brightness(one)
        .into_iter()
        .zip(at_full_brightness(other));
    pairs.all(|(a, b)| a.abs_diff(b) <= NEAR)
}

fn at_full_brightness(color: [u8; 3]) -> [u8; 3] {
    let most = u16::from(color.into_iter().max().unwrap_or_default().max(1));
    color.map(|c| u8::try_from(u16::from(c) * 255 / most).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLORS: [[u8; 3]; 6] = [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 255],
        [255, 128, 0],
        [255, 0, 170],
    ];

    #[test]
    fn a_full_colour_survives_every_colour_space() {
        for color in COLORS {
            for space in [ColorSpace::Rgb, ColorSpace::HueSaturation, ColorSpace::Xy] {
                let back = value_on_wire(&space.components(color), space).unwrap();
                assert!(
                    color.iter().zip(back).all(|(a, b)| a.abs_diff(b) <= 3),
                    "{space:?} {color:?} {back:?}"
                );
            }
        }
    }

    #[test]
    fn common_colours_have_names() {
        for (color, name) in [
            ("#ff0803", Some("red")),
            ("#00ff00", Some("green")),
            ("#000080", Some("blue")),
            ("#fffaf5", Some("white")),
            ("#7f3bc4", None),
        ] {
            assert_eq!(common_name(color), name, "{color}");
        }
    }

    #[test]
    fn every_form_of_red_is_red() {
        let wires = [
            json!("#ff0000"),
            json!("FF0000"),
            json!("FF00000000"),
            json!("red"),
            json!("255,0,0"),
            json!([255, 0, 0]),
            json!({"r": 255, "g": 0, "b": 0}),
            json!({"hue": 0, "saturation": 100}),
            json!({"hex": "#FF0000"}),
        ];
        for wire in wires {
            assert_eq!(
                value_on_wire(&wire, ColorSpace::Rgb),
                Some([255, 0, 0]),
                "{wire}"
            );
        }
    }

    #[test]
    fn words_and_malformed_values_are_no_colours() {
        for wire in [
            json!(null),
            json!("no colour"),
            json!("cafe"),
            json!("bed"),
            json!("transparent"),
            json!("#abc"),
            json!([1]),
            json!({"x": 0.3, "y": 0.0}),
            json!("1,2"),
            json!("ééé"),
        ] {
            assert_eq!(value_on_wire(&wire, ColorSpace::Rgb), None, "{wire}");
        }
    }
}
