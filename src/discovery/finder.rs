//! From announcements to homes: gathers what devices say of themselves, and joins it with what the operator declared.
//! The time is an argument.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::home::capability::Capability;
use crate::home::{Home, HomeConflict};
use crate::vocabulary::slug::Slug;

use crate::discovery::registry::{AssembledHome, Registry};
use crate::discovery::{Found, Message, Origin, Settings, names};

/// A home is made when nothing new was announced for this long: retained announcements come in floods.
const QUIET: Duration = Duration::from_millis(300);

/// It is made after this long at the latest, however much is announced.
const PATIENCE: Duration = Duration::from_secs(2);

/// The most bytes of announcements kept, of all topics together. The largest homes known announce some 5 MB.
const MOST_BYTES: usize = 16 << 20;

/// The most topics whose announcements are complained about.
const MOST_COMPLAINTS: usize = 256;

/// The ear for announcements.
#[derive(Debug)]
pub struct Finder {
    settings: Settings,
    registry: Registry,
    declared: Arc<Home>,
    prefix: String,
    /// How many bytes are kept of which topic.
    kept: HashMap<String, usize>,
    bytes: usize,
    /// Hashes of the topics that were complained about: a topic itself may be long.
    complained: HashSet<u64>,
    /// The same, to be read by people.
    complaints: Vec<(String, String)>,
    hasher: RandomState,
    /// When the first and the last of the changes were heard that are in no home yet.
    gathered: Option<(Instant, Instant)>,
}

impl Finder {
    /// A finder that has heard nothing yet. `declared` is the operator's home, `prefix` the first level of sayso's own topics.
    pub fn new(settings: Settings, declared: Arc<Home>, prefix: &str) -> Self {
        Self {
            settings,
            registry: Registry::new(prefix),
            declared,
            prefix: prefix.to_owned(),
            kept: HashMap::new(),
            bytes: 0,
            complained: HashSet::new(),
            complaints: Vec::new(),
            hasher: RandomState::new(),
            gathered: None,
        }
    }

    /// Whether a message on `topic` is an announcement, to be handed to [`hear`](Self::hear).
    pub fn listens(&self, topic: &str) -> bool {
        self.settings.hears(topic)
    }

    /// Takes in an announcement; true where the devices may be others now. What cannot be used is told once for each topic.
    pub fn hear(&mut self, topic: &str, payload: &[u8], now: Instant) -> bool {
        if !names::is_topic(topic) {
            self.complain(
                topic,
                &"its topic is too long, or has characters no topic should have",
            );
            return false;
        }
        let message = match self.settings.read(topic, payload) {
            Ok(Message::Ignored(why)) => {
                debug!(topic, why, "an announcement not for us");
                return false;
            }
            Ok(Message::Announced(found)) => Message::Announced(self.modest(topic, found)),
            Ok(message) => message,
            Err(malformed) => {
                self.complain(topic, &malformed);
                return false;
            }
        };
        let before = self.kept.get(topic).copied().unwrap_or_default();
        if matches!(message, Message::Announced(_))
            && self.bytes - before + payload.len() > MOST_BYTES
        {
            self.complain(topic, &"too much is announced already");
            return false;
        }
        let heard = self.registry.hear(topic, message);
        if heard.refused > 0 {
            self.complain(
                topic,
                &"some of it would command sayso itself, or too many devices are announced already",
            );
        }
        self.weigh(topic, payload.len());
        if heard.changed {
            self.expect(now);
        }
        heard.changed
    }

    /// Those that are not commanded where devices announce themselves: commanding one would announce another.
    fn modest(&mut self, topic: &str, mut found: Vec<Found>) -> Vec<Found> {
        let all = found.len();
        found.retain(|found| {
            !found
                .device
                .capabilities
                .iter()
                .flat_map(Capability::command_topics)
                .any(|topic| self.settings.hears(topic))
        });
        if found.len() < all {
            self.complain(
                topic,
                &"some of it would be commanded on a topic of announcements",
            );
        }
        found
    }

    /// The broker is about to tell what it kept: a home is due once it has, whatever it tells.
    pub fn expect(&mut self, now: Instant) {
        let first = self.gathered.map_or(now, |(first, _)| first);
        self.gathered = Some((first, now));
    }

    /// When what was heard should become a home; `None` where nothing was.
    pub fn due(&self) -> Option<Instant> {
        self.gathered
            .map(|(first, last)| (last + QUIET).min(first + PATIENCE))
    }

    /// The home with everything declared and announced up to now.
    ///
    /// # Errors
    /// With every clash between them.
    pub fn home(&mut self) -> Result<Home, Vec<HomeConflict>> {
        self.gathered = None;
        let AssembledHome { areas, devices, .. } = self.furnished();
        Home::new(areas, devices, self.declared.rights().clone(), &self.prefix)
    }

    /// Who announced which device of the [`home`](Self::home).
    pub fn origins(&self) -> HashMap<Slug, Origin> {
        self.furnished().origins
    }

    /// What was complained about: the topic, and why.
    pub fn complaints(&self) -> &[(String, String)] {
        &self.complaints
    }

    fn furnished(&self) -> AssembledHome {
        self.registry.furnish(
            self.declared.areas().to_vec(),
            self.declared.devices().to_vec(),
        )
    }

    /// From now on the operator declares this home; gives what was declared before. It becomes part of the next home made.
    pub fn declare(&mut self, declared: Arc<Home>) -> Arc<Home> {
        std::mem::replace(&mut self.declared, declared)
    }

    /// The filters and topics to follow in `home`: those of announcements, and those of its devices' states.
    pub fn topics(&self, home: &Home) -> Vec<String> {
        self.settings
            .filters()
            .into_iter()
            .chain(home.state_topics().map(str::to_owned))
            .collect()
    }

    fn weigh(&mut self, topic: &str, bytes: usize) {
        let holds = self.registry.holds(topic);
        match self.kept.entry(topic.to_owned()) {
            Entry::Occupied(mut kept) if holds => {
                self.bytes = self.bytes - kept.insert(bytes) + bytes;
            }
            Entry::Occupied(kept) => self.bytes -= kept.remove(),
            Entry::Vacant(kept) if holds => {
                kept.insert(bytes);
                self.bytes += bytes;
            }
            Entry::Vacant(_) => {}
        }
    }

    fn complain(&mut self, topic: &str, why: &dyn Display) {
        let shown: String = topic.chars().take(200).collect();
        if self.complained.len() < MOST_COMPLAINTS
            && self.complained.insert(self.hasher.hash_one(topic))
        {
            warn!(topic = shown, %why, "an announcement cannot be used");
            self.complaints
                .push((shown, why.to_string().chars().take(200).collect()));
        } else {
            debug!(topic = shown, %why, "an announcement cannot be used");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::now;

    fn finder() -> Finder {
        Finder::new(Settings::default(), Arc::new(Home::empty("sayso")), "sayso")
    }

    fn switch(name: &str) -> String {
        format!(r#"{{"name": "{name}", "cmd_t": "{name}/set"}}"#)
    }

    #[test]
    fn a_flood_becomes_one_home_and_an_endless_one_becomes_a_home_all_the_same() {
        let (mut finder, start) = (finder(), now());
        assert_eq!(finder.due(), None);
        for n in 0..10_u32 {
            assert!(finder.hear(
                &format!("homeassistant/switch/{n}/config"),
                switch("Plug").as_bytes(),
                start + n * Duration::from_millis(100)
            ));
        }
        assert_eq!(finder.due(), Some(start + Duration::from_millis(1200)));
        for n in 10..100_u32 {
            finder.hear(
                &format!("homeassistant/switch/{n}/config"),
                switch("Plug").as_bytes(),
                start + n * Duration::from_millis(100),
            );
        }
        assert_eq!(finder.due(), Some(start + PATIENCE));
        assert_eq!(finder.home().unwrap().devices().len(), 100);
        assert_eq!(finder.due(), None);
    }

    #[test]
    fn what_changes_nothing_makes_no_home() {
        let mut finder = finder();
        let topic = "homeassistant/switch/a/config";
        assert!(!finder.hear(topic, b"{", now()));
        assert!(
            !finder.hear(topic, b"", now()),
            "what was never there is not missed"
        );
        assert!(!finder.hear("homeassistant/camera/a/config", b"{}", now()));
        assert_eq!(finder.due(), None);
        assert!(finder.hear(topic, switch("Pump").as_bytes(), now()));
        finder.home().unwrap();
        assert!(!finder.hear(topic, switch("Pump").as_bytes(), now()));
        assert!(
            !finder.hear(topic, b"{", now()),
            "what cannot be read takes nothing away"
        );
        assert_eq!(finder.due(), None);
        assert!(finder.hear(topic, b"", now()));
        assert_eq!(finder.home().unwrap().devices().len(), 0);
        assert_eq!(finder.bytes, 0);
    }

    #[test]
    fn what_is_kept_of_a_flood_is_bounded_in_bytes_as_well() {
        let mut finder = finder();
        let padded = format!(
            r#"{{"name": "Plug", "cmd_t": "a/set", "x": "{}"}}"#,
            "x".repeat(400_000)
        );
        let taken = (0..100)
            .filter(|n| {
                finder.hear(
                    &format!("homeassistant/switch/{n}/config"),
                    padded.as_bytes(),
                    now(),
                )
            })
            .count();
        assert_eq!(taken, MOST_BYTES / padded.len());
        assert!(finder.hear("homeassistant/switch/0/config", b"", now()));
        assert!(
            finder.hear("homeassistant/switch/99/config", padded.as_bytes(), now()),
            "what is gone makes room"
        );
    }

    #[test]
    fn complaints_come_once_for_each_topic_and_end() {
        let mut finder = finder();
        for n in 0..2 * MOST_COMPLAINTS {
            for _ in 0..2 {
                finder.hear(&format!("homeassistant/switch/{n}/config"), b"[", now());
            }
            assert_eq!(finder.complained.len(), (n + 1).min(MOST_COMPLAINTS));
        }
        assert!(!finder.hear(
            &format!("homeassistant/switch/{}/config", "x".repeat(60_000)),
            switch("Plug").as_bytes(),
            now()
        ));
        assert!(finder.registry.is_empty());
    }
}
