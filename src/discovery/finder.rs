//! Collection of announcements, and homes built from them and from the devices the operator
//! declared. Time is an argument.
//!
//! Receiving an announcement is quick; building a home is not, and can be done on another thread:
//! [`Finder::prepare`] takes a snapshot that [`HomeBuild::build`] turns into a home.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::home::capability::Capability;
use crate::home::{Home, HomeConflict};
use crate::vocabulary::slug::Slug;

use crate::discovery::postponed::PostponedAnnouncements;
use crate::discovery::registry::Registry;
use crate::discovery::{AnnouncedDevice, Announcement, Origin, Settings, names};

/// A home is built when nothing new was announced for this long, because retained announcements
/// arrive in floods.
const QUIET: Duration = Duration::from_millis(300);

/// A home is built after this time at the latest, however much is announced.
const MAX_DELAY: Duration = Duration::from_secs(2);

/// Largest total size of the announcements kept, in bytes. The largest homes known announce some 5
/// MB.
const MAX_BYTES: usize = 8 << 20;

/// Largest number of problems kept, and of topics logged as unusable.
const MAX_PROBLEMS: usize = 256;

/// Largest number of components of one announcement that are reported.
const MAX_FAULTS: usize = 32;

/// Longest topic or text of a problem, in characters.
const MAX_PROBLEM_CHARS: usize = 300;

/// The problem of an announcement that does not fit.
const NO_ROOM: &str = "there is no room for some of its devices: too much is announced already";

/// Collector of announcements.
#[derive(Debug)]
pub struct Finder {
    settings: Settings,
    registry: Registry,
    declared: Arc<Home>,
    prefix: String,
    /// Size of the announcement kept of each topic, in bytes.
    sizes: HashMap<String, usize>,
    total_size: usize,
    /// Hashes of the topics that were logged as unusable. A topic itself may be long.
    logged: HashSet<u64>,
    /// Unusable announcements, for people to read.
    unusable: Vec<Problem>,
    /// Hashes of the missing announcements that were logged, as of the last home.
    unmet: HashSet<u64>,
    /// Announcements that wait for room.
    postponed: PostponedAnnouncements,
    hasher: RandomState,
    /// Moments of the first and the last change that is in no home yet.
    pending: Option<(Instant, Instant)>,
}

/// Something announced that cannot be used, or not as announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the rest of the announcement is used.
    pub in_part: bool,
    /// Topic of the announcement, empty for a conflict between several.
    pub topic: String,
    /// Description.
    pub text: String,
}

/// A home, and where its devices are known from.
#[derive(Debug)]
pub struct BuiltHome {
    /// The home with all declared and announced devices.
    pub home: Home,
    /// Ecosystem that announced a device. A device that is only declared has none.
    pub origins: HashMap<Slug, Origin>,
    /// Value of `announced` that binds a table of the home file to a device, for devices whose name
    /// is not enough.
    pub bindings: HashMap<Slug, String>,
    /// Declared devices whose announcement is missing, announced options that are not carried out,
    /// and conflicts between devices.
    pub problems: Vec<Problem>,
    /// The declared devices whose announcement is missing, as sentences.
    unmet: Vec<String>,
}

/// Everything a home is built from. It can be sent to another thread.
#[derive(Debug, Clone)]
pub struct HomeBuild {
    registry: Registry,
    declared: Arc<Home>,
    prefix: String,
}

impl HomeBuild {
    /// Builds the home.
    ///
    /// # Errors
    /// With every conflict between the devices.
    pub fn build(&self) -> Result<BuiltHome, Vec<HomeConflict>> {
        let declared = self.declared.devices().to_vec();
        let declared_count = declared.len();
        let areas = self.declared.areas().to_vec();
        let assembled = self.registry.assemble(areas, declared);
        let home = Home::with_announced(
            assembled.areas,
            assembled.devices,
            declared_count,
            self.declared.rights().clone(),
            &self.prefix,
        )?;
        let mut problems = Vec::new();
        for text in &assembled.unmet {
            problems.push(Problem::of_home(text));
        }
        for (topic, text) in self.registry.limitations() {
            problems.push(Problem::in_part(topic, &text));
        }
        for text in assembled.conflicts {
            problems.push(Problem::of_home(&text));
        }
        problems.truncate(MAX_PROBLEMS);
        Ok(BuiltHome {
            home,
            origins: assembled.origins,
            bindings: assembled.bindings,
            problems,
            unmet: assembled.unmet,
        })
    }
}

impl Problem {
    fn new(topic: &str, text: &str) -> Self {
        let cut = |text: &str| text.chars().take(MAX_PROBLEM_CHARS).collect();
        Self {
            in_part: false,
            topic: cut(topic),
            text: cut(text),
        }
    }

    /// Returns a problem of an announcement whose rest is used.
    fn in_part(topic: &str, text: &str) -> Self {
        Self {
            in_part: true,
            ..Self::new(topic, text)
        }
    }

    /// Returns a problem that no single announcement has.
    fn of_home(text: &str) -> Self {
        Self::new("", text)
    }
}

impl Finder {
    /// Returns a finder without announcements. `declared` is the operator's home, `prefix` the
    /// first level of sayso's own topics.
    pub fn new(settings: Settings, declared: Arc<Home>, prefix: &str) -> Self {
        Self {
            settings,
            registry: Registry::new(prefix),
            declared,
            prefix: prefix.to_owned(),
            sizes: HashMap::new(),
            total_size: 0,
            logged: HashSet::new(),
            unusable: Vec::new(),
            unmet: HashSet::new(),
            postponed: PostponedAnnouncements::default(),
            hasher: RandomState::new(),
            pending: None,
        }
    }

    /// Returns whether a message on `topic` is an announcement, to be passed to
    /// [`receive`](Self::receive).
    pub fn is_announcement(&self, topic: &str) -> bool {
        self.settings.matches(topic)
    }

    /// Receives an announcement, and returns whether the devices may have changed. An announcement
    /// that cannot be used is logged once for each topic.
    pub fn receive(&mut self, topic: &str, payload: &[u8], now: Instant) -> bool {
        if !names::is_topic(topic) {
            self.report(
                topic,
                &"its topic is too long, too deep, or has characters no topic should have",
            );
            return false;
        }
        let announcement = match self.settings.parse(topic, payload) {
            Ok(Announcement::Ignored(why)) => {
                debug!(topic, why, "announcement ignored");
                return false;
            }
            Ok(Announcement::Announced(announced)) => {
                Announcement::Announced(self.without_loops(topic, announced))
            }
            Ok(Announcement::Partial(announced, invalid)) => {
                for component in invalid.iter().take(MAX_FAULTS) {
                    let key = (topic, &component.component);
                    let key = self.hasher.hash_one(key);
                    self.report_once(key, Problem::in_part(topic, &component.to_string()));
                }
                Announcement::Announced(self.without_loops(topic, announced))
            }
            Ok(Announcement::Removed) => Announcement::Removed,
            Err(invalid) => {
                self.report(topic, &invalid);
                return false;
            }
        };
        let size_before = self.sizes.get(topic).copied().unwrap_or_default();
        let is_addition = matches!(announcement, Announcement::Announced(_));
        self.postponed.remove(topic);
        if is_addition && self.total_size - size_before + payload.len() > MAX_BYTES {
            self.postpone(topic, payload);
            return false;
        }
        let change = self.registry.update(topic, announcement);
        if change.with_own_topic > 0 {
            self.report(topic, &"some of its devices would command sayso itself");
        }
        if change.without_room > 0 {
            self.postpone(topic, payload);
        }
        self.store_size(topic, payload.len());
        if change.changed {
            self.schedule_build(now);
        }
        change.changed
    }

    /// Keeps an announcement that was refused for lack of room, and reports it.
    fn postpone(&mut self, topic: &str, payload: &[u8]) {
        let is_first = self.postponed.is_empty();
        self.postponed.keep(topic, payload);
        let problem = Problem::in_part(topic, NO_ROOM);
        if is_first {
            let key = self.hasher.hash_one((topic, NO_ROOM));
            self.report_once(key, problem.clone());
        }
        // One that is refused again was logged before, and is a problem still.
        if self.unusable.len() < MAX_PROBLEMS && !self.unusable.contains(&problem) {
            self.unusable.push(problem);
        }
    }

    /// Receives the announcements again that were refused for lack of room, if there is room now.
    fn take_postponed(&mut self, now: Instant) {
        let has_room = self.registry.has_room() && self.total_size < MAX_BYTES;
        if self.postponed.is_empty() || !has_room {
            return;
        }
        self.unusable.retain(|problem| problem.text != NO_ROOM);
        for (topic, payload) in self.postponed.take() {
            self.receive(&topic, &payload, now);
        }
    }

    /// Removes devices that are commanded where devices announce themselves: commanding one would
    /// announce another.
    fn without_loops(
        &mut self,
        topic: &str,
        mut announced: Vec<AnnouncedDevice>,
    ) -> Vec<AnnouncedDevice> {
        let total = announced.len();
        announced.retain(|announced| {
            let capabilities = announced.device.capabilities.iter();
            let mut topics = capabilities.flat_map(Capability::command_topics);
            !topics.any(|topic| self.settings.matches(topic))
        });
        if announced.len() < total {
            self.report(
                topic,
                &"some of its devices would be commanded on a topic of announcements",
            );
        }
        announced
    }

    /// Schedules a build, also if nothing was announced: the broker is about to send its retained
    /// messages.
    pub fn schedule_build(&mut self, now: Instant) {
        let first = self.pending.map_or(now, |(first, _)| first);
        self.pending = Some((first, now));
    }

    /// Returns the moment at which a home should be built, or `None` if nothing has changed.
    pub fn build_due(&self) -> Option<Instant> {
        let (first, last) = self.pending?;
        Some((last + QUIET).min(first + MAX_DELAY))
    }

    /// Returns everything the next home is built from. The changes up to now count as built.
    pub fn prepare(&mut self) -> HomeBuild {
        if let Some((_, last_change)) = self.pending {
            self.take_postponed(last_change);
        }
        self.pending = None;
        HomeBuild {
            registry: self.registry.clone(),
            declared: Arc::clone(&self.declared),
            prefix: self.prefix.clone(),
        }
    }

    /// Builds the home with everything declared and announced up to now.
    ///
    /// # Errors
    /// With every conflict between the devices.
    pub fn build(&mut self) -> Result<BuiltHome, Vec<HomeConflict>> {
        let built = self.prepare().build()?;
        self.log_unmet(&built.unmet);
        Ok(built)
    }

    /// Logs the declared devices whose announcement is missing since the last home.
    fn log_unmet(&mut self, unmet: &[String]) {
        let before = std::mem::take(&mut self.unmet);
        for why in unmet.iter().take(MAX_PROBLEMS) {
            let hash = self.hasher.hash_one(why);
            if !before.contains(&hash) {
                warn!(why, "a declared device is not announced");
            }
            self.unmet.insert(hash);
        }
    }

    /// Returns the announcements that could not be used.
    pub fn unusable(&self) -> &[Problem] {
        &self.unusable
    }

    /// Replaces the operator's home and returns the previous one. The new one is part of the next
    /// home built.
    pub fn set_declared(&mut self, declared: Arc<Home>) -> Arc<Home> {
        std::mem::replace(&mut self.declared, declared)
    }

    /// Returns the topic filters of announcements, and the topics of the states of the devices in
    /// `home`.
    pub fn subscriptions(&self, home: &Home) -> Vec<String> {
        let mut topics = self.settings.filters();
        topics.extend(home.state_topics().map(str::to_owned));
        topics
    }

    /// Keeps account of the size of the announcement on `topic`.
    fn store_size(&mut self, topic: &str, size: usize) {
        if let Some(before) = self.sizes.remove(topic) {
            self.total_size -= before;
        }
        if self.registry.contains(topic) {
            self.sizes.insert(topic.to_owned(), size);
            self.total_size += size;
        }
    }

    fn report(&mut self, topic: &str, why: &dyn Display) {
        let key = self.hasher.hash_one(topic);
        self.report_once(key, Problem::new(topic, &why.to_string()));
    }

    /// Keeps a problem, and logs it unless that was done under the same key before.
    fn report_once(&mut self, key: u64, problem: Problem) {
        let is_new = self.logged.len() < MAX_PROBLEMS && self.logged.insert(key);
        let Problem {
            in_part,
            topic,
            text: why,
        } = &problem;
        match (is_new, in_part) {
            (false, _) => debug!(topic, why, "an announcement cannot be used"),
            (true, false) => warn!(topic, why, "an announcement cannot be used"),
            (true, true) => warn!(topic, why, "a part of an announcement cannot be used"),
        }
        if is_new {
            self.unusable.push(problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::registry;

    fn finder() -> Finder {
        Finder::new(Settings::default(), Arc::new(Home::empty("sayso")), "sayso")
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn switch(name: &str) -> String {
        format!(r#"{{"name": "{name}", "cmd_t": "{name}/set"}}"#)
    }

    fn devices(finder: &mut Finder) -> usize {
        finder.build().unwrap().home.devices().len()
    }

    #[test]
    fn a_flood_is_built_once_and_an_endless_one_is_built_all_the_same() {
        let mut finder = finder();
        let start = now();
        assert_eq!(finder.build_due(), None);
        for n in 0..10_u32 {
            assert!(finder.receive(
                &format!("homeassistant/switch/{n}/config"),
                switch(&format!("Plug {n}")).as_bytes(),
                start + n * Duration::from_millis(100)
            ));
        }
        assert_eq!(
            finder.build_due(),
            Some(start + Duration::from_millis(1200))
        );
        for n in 10..100_u32 {
            finder.receive(
                &format!("homeassistant/switch/{n}/config"),
                switch(&format!("Plug {n}")).as_bytes(),
                start + n * Duration::from_millis(100),
            );
        }
        assert_eq!(finder.build_due(), Some(start + MAX_DELAY));
        assert_eq!(devices(&mut finder), 100);
        assert_eq!(finder.build_due(), None);
    }

    #[test]
    fn an_announcement_without_a_change_schedules_no_build() {
        let mut finder = finder();
        let topic = "homeassistant/switch/a/config";
        assert!(!finder.receive(topic, b"{", now()));
        assert!(!finder.receive(topic, b"", now()));
        assert!(!finder.receive("homeassistant/camera/a/config", b"{}", now()));
        assert_eq!(finder.build_due(), None);
        assert!(finder.receive(topic, switch("Pump").as_bytes(), now()));
        assert_eq!(devices(&mut finder), 1);
        assert!(!finder.receive(topic, switch("Pump").as_bytes(), now()));
        assert!(
            !finder.receive(topic, b"{", now()),
            "an unreadable announcement removes nothing"
        );
        assert_eq!(finder.build_due(), None);
        assert!(finder.receive(topic, b"", now()));
        assert_eq!(devices(&mut finder), 0);
        assert_eq!(finder.total_size, 0);
    }

    #[test]
    fn announcements_are_bounded_in_bytes() {
        let mut finder = finder();
        let padded = format!(
            r#"{{"name": "Plug", "cmd_t": "a/set", "x": "{}"}}"#,
            "x".repeat(400_000)
        );
        let accepted = (0..100)
            .filter(|n| {
                finder.receive(
                    &format!("homeassistant/switch/{n}/config"),
                    padded.as_bytes(),
                    now(),
                )
            })
            .count();
        assert_eq!(accepted, MAX_BYTES / padded.len());
        assert!(finder.receive("homeassistant/switch/0/config", b"", now()));
        assert!(
            finder.receive("homeassistant/switch/99/config", padded.as_bytes(), now()),
            "a removed announcement no longer counts"
        );
    }

    #[test]
    fn an_announcement_refused_for_lack_of_room_is_taken_up_when_there_is_room() {
        let mut finder = finder();
        let topic = |n: usize| format!("homeassistant/switch/{n}/config");
        for n in 0..registry::MAX_DEVICES {
            finder.receive(&topic(n), switch(&format!("Plug {n}")).as_bytes(), now());
        }
        let late = "homeassistant/switch/late/config";
        finder.receive(late, switch("Late pump").as_bytes(), now());
        assert_eq!(devices(&mut finder), registry::MAX_DEVICES);
        assert_eq!(finder.unusable().len(), 1);
        assert!(finder.unusable()[0].text.contains("no room"));
        finder.receive(&topic(7), b"", now());
        let home = finder.build().unwrap().home;
        assert!(home.device("late_pump").is_some() && home.device("plug_7").is_none());
        assert!(finder.unusable().is_empty() && finder.postponed.is_empty());
    }

    #[test]
    fn an_announcement_refused_again_for_lack_of_room_remains_a_problem() {
        let mut finder = finder();
        let topic = |n: usize| format!("homeassistant/switch/{n}/config");
        for n in 0..registry::MAX_DEVICES {
            finder.receive(&topic(n), switch(&format!("Plug {n}")).as_bytes(), now());
        }
        let (first, second) = (topic(80_001), topic(80_002));
        for late in [&second, &first] {
            finder.receive(late, switch(late).as_bytes(), now());
        }
        finder.receive(&topic(7), b"", now());
        assert_eq!(devices(&mut finder), registry::MAX_DEVICES);
        let refused: Vec<&str> = finder.unusable().iter().map(|p| &*p.topic).collect();
        assert_eq!(refused, [&second]);
    }

    #[test]
    fn problems_are_reported_once_for_each_topic_up_to_a_limit() {
        let mut finder = finder();
        for n in 0..2 * MAX_PROBLEMS {
            for _ in 0..2 {
                finder.receive(&format!("homeassistant/switch/{n}/config"), b"[", now());
            }
            assert_eq!(finder.logged.len(), (n + 1).min(MAX_PROBLEMS));
        }
        assert!(!finder.receive(
            &format!("homeassistant/switch/{}/config", "x".repeat(60_000)),
            switch("Plug").as_bytes(),
            now()
        ));
        assert!(finder.registry.is_empty());
    }
}
