//! The measured cases: which part of a gateway grows, its sizes, and the commands of each case.

use std::fmt::{self, Display, Formatter, Write};

/// Devices of a home that does not grow.
const USUAL_DEVICES: usize = 60;
/// Devices in each room.
const THINGS: [(&str, &str); 5] = [
    ("lamp", "light"),
    ("spot", "light"),
    ("fan", "fan"),
    ("socket", "switch"),
    ("heater", "switch"),
];
/// The distance between the numbers of two successive commands: a prime, so that it visits all
/// numbers of any size, and far enough that neighbours on disk are not read one after the other.
const STRIDE: usize = 7919;

/// The part of a gateway that grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// Devices in the home file.
    Devices,
    /// Drafts of a model in the cache, which answer the commands.
    Drafts,
    /// Topics from which commands arrive.
    Sources,
}

impl Dimension {
    /// In the order of the table.
    pub(crate) const ALL: [Self; 3] = [Self::Devices, Self::Drafts, Self::Sources];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Devices => "devices",
            Self::Drafts => "cached drafts",
            Self::Sources => "sources",
        }
    }

    fn sizes(self) -> &'static [u32] {
        match self {
            Self::Devices => &[60, 300, 1_000, 3_000],
            Self::Drafts => &[10, 1_000, 100_000],
            Self::Sources => &[1, 10, 100, 1_000],
        }
    }

    pub(crate) fn cases(self) -> Vec<Case> {
        let case = |&size| Case {
            dimension: self,
            size,
        };
        self.sizes().iter().map(case).collect()
    }

    /// The field `via` of a reply to one of its commands.
    pub(crate) fn via(self) -> &'static str {
        match self {
            Self::Devices | Self::Sources => "local",
            Self::Drafts => "cache",
        }
    }

    /// The commands before a measurement: as many as there are devices or sources at most, so that
    /// each was used, and for a cache twice as many as it keeps in memory.
    pub(crate) fn warm_up(self) -> u32 {
        match self {
            Self::Devices => 3_000,
            Self::Drafts | Self::Sources => 1_000,
        }
    }
}

/// One size of one dimension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) dimension: Dimension,
    pub(crate) size: u32,
}

impl Display for Case {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.dimension.name(), thousands(self.size))
    }
}

/// A command, before it is published.
#[derive(Debug)]
pub(crate) struct Sentence {
    pub(crate) source: String,
    pub(crate) text: String,
}

impl Case {
    /// The command with this number.
    pub(crate) fn sentence(self, number: usize) -> Sentence {
        let size = self.size as usize;
        let source = match self.dimension {
            Dimension::Sources => format!("panel{}", number * STRIDE % size),
            Dimension::Devices | Dimension::Drafts => "panel".to_owned(),
        };
        let text = if self.dimension == Dimension::Drafts {
            draft_text(number * STRIDE % size)
        } else {
            let devices = self.devices();
            // All devices on in turn, then all off.
            let is_on = (number / devices).is_multiple_of(2);
            let name = name(number * STRIDE % devices);
            format!("turn {} the {name}", if is_on { "on" } else { "off" })
        };
        Sentence { source, text }
    }

    fn devices(self) -> usize {
        match self.dimension {
            Dimension::Devices => self.size as usize,
            Dimension::Drafts | Dimension::Sources => USUAL_DEVICES,
        }
    }

    /// The home file.
    pub(crate) fn home(self) -> String {
        let mut text = String::new();
        for device in 0..self.devices() {
            let (room, (_, kind)) = (device / THINGS.len(), THINGS[device % THINGS.len()]);
            // Writing to a `String` does not fail.
            if device % THINGS.len() == 0 {
                let _ = writeln!(text, "[area.room_{room}]");
            }
            let (id, name) = (device_id(device), name(device));
            let _ = writeln!(
                text,
                "[device.{id}]\nname = \"{name}\"\nkind = \"{kind}\"\narea = \"room_{room}\"\n\
                 can = [\"power\"]\nzigbee2mqtt = \"{name}\""
            );
        }
        text
    }
}

/// A sentence that only a model understands.
pub(crate) fn draft_text(draft: usize) -> String {
    format!("zap number {draft}")
}

/// The identifier of the device that a draft turns on.
pub(crate) fn draft_device(draft: usize) -> String {
    device_id(draft % USUAL_DEVICES)
}

fn name(device: usize) -> String {
    let (room, (thing, _)) = (device / THINGS.len(), THINGS[device % THINGS.len()]);
    format!("room {room} {thing}")
}

fn device_id(device: usize) -> String {
    name(device).replace(' ', "_")
}

/// A number with commas between its thousands.
pub(crate) fn thousands(number: u32) -> String {
    if number < 1_000 {
        number.to_string()
    } else {
        format!("{},{:03}", number / 1_000, number % 1_000)
    }
}
