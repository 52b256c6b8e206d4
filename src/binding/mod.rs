//! Bindings of capabilities to MQTT: topics, payloads, and the translation of values.
//!
//! Pure data and pure functions. `home.toml` and discovery both produce a [`Binding`], so the rest
//! of the program does not know where a device comes from. Knows no devices, rights or risks.

pub mod address;
mod codec;
pub mod color;
mod jinja;
mod jinja_checked;
mod jinja_number;
mod jinja_values;
mod measured_functions;
mod ports;
mod presets;
mod publication;
pub mod template;
mod template_rewriter;
mod template_sandbox;

pub use crate::binding::codec::{Codec, Scale};
pub use crate::binding::ports::{Binding, Decoded, Form, Port, PowerOn, Reversion, StatusWords};
pub use crate::binding::presets::{own, tasmota, zigbee2mqtt};
pub use crate::binding::publication::Publication;
