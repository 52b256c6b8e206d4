//! Brightness, color and color temperature of a light, alike in all schemas.

use crate::binding::color::ColorSpace;
use crate::binding::{Binding, Port, Publication, Scale};
use crate::home::capability::Capability;
use crate::vocabulary::{Domain, Property, Value};

use crate::discovery::capabilities::{linear, number, percent, scaled, setting};
use crate::discovery::homeassistant::config::EntityConfig;

/// Color temperatures Home Assistant assumes, in kelvin.
const DEFAULT_KELVIN: (f64, f64) = (2000.0, 6535.0);

/// Highest brightness Home Assistant assumes.
pub(super) const DEFAULT_BRIGHTNESS_SCALE: f64 = 255.0;

/// Topics on which one property is sent and reported.
pub(super) struct Ports {
    pub(super) command: Port,
    pub(super) state: Vec<Port>,
}

/// Returns the brightness. Not every light takes a brightness of 0 for off, so that 0 is sent as
/// `off` where there is one.
pub(super) fn brightness(
    config: &EntityConfig,
    ports: Ports,
    off: Option<Publication>,
) -> Capability {
    let scale = config.number("brightness_scale").filter(|top| *top > 0.0);
    let binding = Binding {
        command: Some(ports.command),
        state: ports.state,
        codec: linear((0.0, scale.unwrap_or(DEFAULT_BRIGHTNESS_SCALE))),
        fixed: off
            .map(|off| vec![(Value::Number(0.0), off)])
            .unwrap_or_default(),
        ..Binding::default()
    };
    setting(Property::Brightness, percent(), binding)
}

pub(super) fn color_temperature(config: &EntityConfig, ports: Ports) -> Capability {
    let (min, max) = kelvin_range(config);
    let scale = if config.bool("color_temp_kelvin", false) {
        Scale::Linear {
            from: (0.0, 1.0),
            to: (0.0, 1.0),
        }
    } else {
        Scale::Mired
    };
    let binding = Binding {
        command: Some(ports.command),
        state: ports.state,
        codec: scaled(scale),
        ..Binding::default()
    };
    setting(Property::ColorTemp, number(min, max, "K"), binding)
}

/// Returns the announced range in kelvin; the default one if the announced limits are in the wrong
/// order.
fn kelvin_range(config: &EntityConfig) -> (f64, f64) {
    let limit = |kelvin_key: &str, mired_key: &str, default: f64| {
        let kelvin = config.number(kelvin_key).filter(|k| *k > 0.0);
        let mired = config.number(mired_key).filter(|m| *m > 0.0);
        kelvin
            .or(mired.map(|mired| (1e6 / mired).round()))
            .unwrap_or(default)
    };
    let min = limit("min_kelvin", "max_mireds", DEFAULT_KELVIN.0);
    let max = limit("max_kelvin", "min_mireds", DEFAULT_KELVIN.1);
    if min < max {
        (min, max)
    } else {
        DEFAULT_KELVIN
    }
}

pub(super) fn color(ports: Ports, space: ColorSpace) -> Capability {
    let binding = Binding {
        command: Some(ports.command),
        state: ports.state,
        codec: scaled(Scale::Components(space)),
        ..Binding::default()
    };
    setting(Property::Color, Domain::Color, binding)
}

/// Adds the white mode to a color: white is a mode of its own, with channels that a color does not
/// use.
pub(super) fn add_white(color: &mut Capability, message: &Publication) {
    for name in ["white", "#ffffff"] {
        color
            .binding
            .fixed
            .push((Value::text(name), message.clone()));
    }
}
