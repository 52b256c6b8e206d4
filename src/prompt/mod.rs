//! The prompt of a command: instructions and a listing of the home, the same bytes as long as the
//! home looks the same to a model, and the command, last and alone. No state, no time, no history,
//! so that the draft can be cached.
//!
//! Small models get another variant, which `narrow` makes.

pub mod answer;
pub mod aptitude;
pub mod home_listing;
mod instructions;
mod narrow;
mod relevance;
mod schema;
mod when;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::command::phrase::Phrase;
use crate::home::Home;
use crate::home::device::Device;
use crate::home::rights::Rights;
use crate::prompt::home_listing::{listing, put, standard, word};
use crate::prompt::instructions::{RULES, examples};
use crate::prompt::schema::schema;
use crate::provider::{AnswerSchema, Prompt, PromptText};
use crate::vocabulary::Property;

pub use crate::prompt::relevance::{is_related, states_numbers};

/// Tokens of an answer in words, or of some forty actions.
const SPEECH_TOKENS: u32 = 1024;

/// Tokens added for each device of the home: an action on every fourth one, which takes 20 to 24.
const TOKENS_PER_DEVICE: u32 = 6;

/// The largest answer requested.
const MOST_OUTPUT_TOKENS: u32 = 8192;

/// The most prefixes kept: one per class of rights.
const MOST_PREFIXES: usize = 16;

/// A fingerprint of everything a model sees: instructions, schema, vocabulary, and the home
/// with the rights to its devices. It changes with anything a model could distinguish and with
/// nothing else: neither with states nor with topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PromptFingerprint(u64);

impl PromptFingerprint {
    /// Returns the fingerprint for a home.
    pub fn of(home: &Home) -> Self {
        // In order: a map's own order differs from start to start.
        let rules: BTreeMap<_, _> = home.rights().by_source.iter().collect();
        let words: Vec<String> = Property::standard()
            .map(|property| standard(&property))
            .collect();
        Self(hash(&(
            RULES,
            schema(&[]).to_string(),
            words,
            examples(home, |_, _| true),
            listing(home, |_, _| true),
            format!("{rules:?}"),
        )))
    }
}

impl fmt::Display for PromptFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Returns the class of a source: sources that may command the same devices share one. It is part
/// of the key of prompts and cached drafts.
pub fn rights_class<'a>(rights: &Rights, source: &'a str) -> &'a str {
    if rights.by_source.contains_key(source) {
        source
    } else {
        "*"
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The part of a prompt that is the same for every phrase, and the home and rights it was made for.
#[derive(Debug, Clone)]
struct Prefix {
    revision: u64,
    class: String,
    text: PromptText,
    /// The same for small models, with rules of their own.
    narrow: PromptText,
    key: Arc<str>,
    schema: AnswerSchema,
}

/// Composes prompts, and keeps the prefixes of the present home.
#[derive(Debug, Default)]
pub struct Composer {
    prefixes: Mutex<Vec<Prefix>>,
    /// The fingerprint of the home of this revision.
    fingerprint: Mutex<Option<(u64, PromptFingerprint)>>,
}

impl Composer {
    /// Returns the prompt for `phrase`, with the devices `source` may command and with the variant
    /// for small models.
    pub fn compose(&self, phrase: &Phrase, home: &Home, source: &str) -> Prompt {
        let prefix = self.prefix(home, source);
        let prompt = wide(&prefix, phrase, home);
        let narrow = narrow::narrow(phrase, home, source, &prefix.narrow, &prompt.phrase);
        Prompt {
            narrow: Some(Arc::new(narrow)),
            ..prompt
        }
    }

    /// Returns the prompt as [`Composer::compose`] does, without the variant for small models.
    pub fn compose_wide(&self, phrase: &Phrase, home: &Home, source: &str) -> Prompt {
        wide(&self.prefix(home, source), phrase, home)
    }

    /// Returns the fingerprint of `home`, computed once for each revision.
    pub fn fingerprint(&self, home: &Home) -> PromptFingerprint {
        let known = *self.fingerprint.lock();
        match known {
            Some((revision, fingerprint)) if revision == home.revision() => fingerprint,
            _ => {
                // Computed without the lock: it takes a while for a large home.
                let fingerprint = PromptFingerprint::of(home);
                *self.fingerprint.lock() = Some((home.revision(), fingerprint));
                fingerprint
            }
        }
    }

    fn prefix(&self, home: &Home, source: &str) -> Prefix {
        let class = rights_class(home.rights(), source);
        let mut prefixes = self.prefixes.lock();
        prefixes.retain(|prefix| prefix.revision == home.revision());
        if let Some(known) = prefixes.iter().find(|prefix| prefix.class == class) {
            return known.clone();
        }
        let prefix = Prefix::of(home, source, class);
        if prefixes.len() == MOST_PREFIXES {
            prefixes.remove(0);
        }
        prefixes.push(prefix.clone());
        prefix
    }
}

impl Prefix {
    fn of(home: &Home, source: &str, class: &str) -> Self {
        let allowed =
            |device: &Device, property: &Property| home.rights().allow(source, device, property);
        let listing = listing(home, allowed);
        let text = format!("{RULES}{}{listing}", examples(home, allowed));
        let devices = home.devices().iter();
        let mut ids: Vec<&str> = devices
            .filter(|device| {
                let mut capabilities = device.capabilities.iter();
                capabilities.any(|capability| allowed(device, &capability.property))
            })
            .map(|device| device.id.as_str())
            .collect();
        ids.sort_unstable();
        Self {
            revision: home.revision(),
            class: class.to_owned(),
            key: format!("sayso-{:016x}", hash(&text)).into(),
            text: text.into(),
            narrow: format!("{}{listing}", narrow::RULES).into(),
            schema: schema(&ids).into(),
        }
    }
}

/// Returns the most tokens of an answer about this home.
fn max_output_tokens(home: &Home) -> u32 {
    let devices = u32::try_from(home.devices().len()).unwrap_or(u32::MAX);
    devices
        .saturating_mul(TOKENS_PER_DEVICE)
        .saturating_add(SPEECH_TOKENS)
        .min(MOST_OUTPUT_TOKENS)
}

/// Returns the prompt without the variant for small models.
fn wide(prefix: &Prefix, phrase: &Phrase, home: &Home) -> Prompt {
    Prompt {
        narrow: None,
        prefix: prefix.text.clone(),
        prefix_key: Arc::clone(&prefix.key),
        phrase: message(phrase, home),
        schema: prefix.schema.clone(),
        max_output_tokens: max_output_tokens(home),
    }
}

/// Returns the message with the command, its area and its language.
fn message(phrase: &Phrase, home: &Home) -> String {
    let mut out = String::new();
    if let Some(area) = phrase.area() {
        let known = home.area_named(area).map(|area| area.id.as_str());
        put(
            &mut out,
            format_args!(
                "area: {}\n",
                known.map_or_else(|| word(area), str::to_owned)
            ),
        );
    }
    if let Some(language) = phrase.language() {
        put(&mut out, format_args!("language: {}\n", word(language)));
    }
    put(&mut out, format_args!("command: {}", phrase.text()));
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::home::device::{Area, Device, Kind};
    use crate::home::rights::{Rules, Selector};
    use crate::prompt::narrow::{
        ACTION_TOKENS, BASE_TOKENS, BYTES_PER_TOKEN, SMALL_CONTEXT,
        SPEECH_TOKENS as NARROW_SPEECH_TOKENS,
    };
    use crate::provider::NarrowPrompt;
    use crate::vocabulary::slug::Slug;

    fn slug(text: &str) -> Slug {
        Slug::new(text).unwrap()
    }

    fn device(id: &str, kind: &str, area: &str) -> Device {
        Device {
            area: Some(slug(area)),
            ..Device::new(slug(id), Kind::new(slug(kind)))
        }
    }

    fn home(devices: Vec<Device>, rights: Rights) -> Home {
        let area = Area {
            id: slug("kitchen"),
            name: "Kitchen".into(),
            aliases: vec!["Küche".into()],
            floor: Some("downstairs".into()),
        };
        Home::new(vec![area], devices, rights, "sayso").unwrap()
    }

    fn small() -> Home {
        home(
            vec![
                device("ceiling", "light", "kitchen"),
                device("door", "lock", "kitchen"),
            ],
            Rights::default(),
        )
    }

    #[test]
    fn the_prefix_and_the_schema_are_the_same_bytes_for_every_phrase() {
        let (composer, home) = (Composer::default(), small());
        let one = composer.compose(
            &Phrase::new("lamp on", Some("Küche"), Some("de")),
            &home,
            "panel",
        );
        let other = composer.compose(&Phrase::new("lock up", None, None), &home, "phone");
        assert_eq!(
            (&one.prefix, &one.prefix_key, &one.schema),
            (&other.prefix, &other.prefix_key, &other.schema)
        );
        assert_eq!(
            Composer::default()
                .compose(&Phrase::new("x", None, None), &small(), "a")
                .prefix,
            one.prefix,
            "another process"
        );
        assert_eq!(one.phrase, "area: kitchen\nlanguage: de\ncommand: lamp on");
        assert_eq!(other.phrase, "command: lock up");
        assert!(!one.prefix.contains("lamp on"));
    }

    #[test]
    fn the_output_limit_allows_all_the_lights() {
        let limits = [0, 10, 300].map(|n| {
            let devices = (0..n)
                .map(|n| device(&format!("light_{n}"), "light", "kitchen"))
                .collect();
            Composer::default()
                .compose(
                    &Phrase::new("everything off", None, None),
                    &home(devices, Rights::default()),
                    "a",
                )
                .max_output_tokens
        });
        assert_eq!(limits, [1024, 1084, 2824]);
    }

    #[test]
    fn another_home_has_another_prefix_and_key() {
        let composer = Composer::default();
        let phrase = Phrase::new("lamp on", None, None);
        let one = composer.compose(&phrase, &small(), "panel");
        let other = composer.compose(
            &phrase,
            &home(
                vec![device("ceiling", "light", "kitchen")],
                Rights::default(),
            ),
            "panel",
        );
        assert_ne!(one.prefix_key, other.prefix_key);
    }

    #[test]
    fn a_source_sees_only_what_it_may_command() {
        let rules = Rules {
            allow: Vec::new(),
            deny: vec![Selector::parse("kind:lock").unwrap()],
        };
        let rights = Rights {
            by_source: [("child".to_owned(), rules)].into(),
            ..Rights::default()
        };
        let home = home(
            vec![
                device("ceiling", "light", "kitchen"),
                device("door", "lock", "kitchen"),
            ],
            rights,
        );
        let composer = Composer::default();
        let phrase = Phrase::new("unlock the door", None, None);
        let (child, parent) = (
            composer.compose(&phrase, &home, "child"),
            composer.compose(&phrase, &home, "parent"),
        );
        assert!(!child.prefix.contains("\ndoor ") && child.prefix.contains("\nceiling "));
        assert_ne!(child.prefix_key, parent.prefix_key);
    }

    /// Checks the keywords strict modes accept (`maxItems` is removed where it is not), and their
    /// rules: `additionalProperties: false`, everything required.
    #[test]
    fn the_schema_keeps_to_what_all_strict_modes_share() {
        fn check(schema: &Json, depth: usize) {
            assert!(depth <= 5);
            let schema = schema.as_object().unwrap();
            for key in schema.keys() {
                assert!(
                    [
                        "type",
                        "properties",
                        "required",
                        "items",
                        "enum",
                        "anyOf",
                        "maxItems",
                        "additionalProperties"
                    ]
                    .contains(&key.as_str()),
                    "{key}"
                );
            }
            if schema.get("type").is_some_and(|t| t == "object") {
                assert_eq!(schema["additionalProperties"], false);
                let properties: Vec<&String> =
                    schema["properties"].as_object().unwrap().keys().collect();
                let required: Vec<&str> = schema["required"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|r| r.as_str().unwrap())
                    .collect();
                assert_eq!(properties, required, "in the same order");
            }
            let below = schema
                .get("properties")
                .and_then(Json::as_object)
                .into_iter()
                .flat_map(|p| p.values());
            let any = schema
                .get("anyOf")
                .and_then(Json::as_array)
                .into_iter()
                .flatten();
            below
                .chain(any)
                .chain(schema.get("items"))
                .for_each(|s| check(s, depth + 1));
        }
        let prompt =
            Composer::default().compose(&Phrase::new("lamp on", None, None), &small(), "panel");
        check(&prompt.schema, 0);
        check(&prompt.narrow.unwrap().schema, 0);
        assert_eq!(prompt.schema["type"], "object");
    }

    fn many(count: usize) -> Home {
        let devices = (0..count).map(|n| {
            let kind = ["light", "cover", "switch", "lock"][n % 4];
            Device {
                name: format!("Room {} {kind} {n}", n % 7),
                ..device(&format!("room_{}_{kind}_{n}", n % 7), kind, "kitchen")
            }
        });
        home(devices.collect(), Rights::default())
    }

    fn narrow_of(phrase: &str, home: &Home) -> Arc<NarrowPrompt> {
        let phrase = Phrase::new(phrase, None, None);
        let prompt = Composer::default().compose(&phrase, home, "panel");
        prompt.narrow.unwrap()
    }

    #[test]
    fn no_prompt_has_a_placeholder_and_its_examples_name_devices_of_the_home() {
        let home = small();
        let phrase = Phrase::new("lamp on", None, None);
        let prompt = Composer::default().compose(&phrase, &home, "panel");
        assert!(!prompt.prefix.contains(['<', '>']), "{}", prompt.prefix);
        assert!(
            prompt
                .prefix
                .contains(r#"{"device":"ceiling","op":"increase""#)
        );
        assert!(prompt.prefix.contains(r#"{"device":"door","op":"query""#));
        let ids = &prompt.schema["properties"]["actions"]["items"]["properties"]["device"]["enum"];
        assert_eq!(*ids, serde_json::json!(["ceiling", "door"]));
    }

    #[test]
    fn a_home_of_30_devices_fits_a_context_of_2048_tokens() {
        let home = many(30);
        let narrow = narrow_of("room 3 light 3 on", &home);
        let output = narrow.max_output_tokens as usize;
        let bytes = narrow.prefix.len() + narrow.examples.len();
        assert!(bytes / BYTES_PER_TOKEN + output <= SMALL_CONTEXT);
        for device in home.devices() {
            assert!(narrow.prefix.contains(device.id.as_str()), "{}", device.id);
        }
    }

    #[test]
    fn a_large_home_is_narrowed_to_the_devices_the_words_point_to() {
        let home = many(300);
        let narrow = narrow_of("switch off switch 222", &home);
        let output = narrow.max_output_tokens as usize;
        let bytes = narrow.prefix.len() + narrow.examples.len();
        assert!(bytes / BYTES_PER_TOKEN + output <= SMALL_CONTEXT);
        assert!(narrow.prefix.contains("\nroom_5_switch_222"));
        let whole = Composer::default().compose(&Phrase::new("x", None, None), &home, "panel");
        assert!(
            whole.prefix.lines().count() > 300,
            "hosted models see all devices"
        );
    }

    #[test]
    fn the_answer_of_a_small_model_is_limited_by_the_devices_meant() {
        let home = small();
        let one = narrow_of("open the door", &home);
        assert_eq!(one.max_output_tokens, BASE_TOKENS + ACTION_TOKENS);
        assert_eq!(one.schema["properties"]["actions"]["maxItems"], 1);
        let two = narrow_of("open the door and the ceiling", &home);
        assert_eq!(two.schema["properties"]["actions"]["maxItems"], 4);
        let all = narrow_of("everything off", &home);
        assert_eq!(all.max_output_tokens, BASE_TOKENS + 2 * ACTION_TOKENS);
        let door = narrow_of("open the door all the way", &home);
        assert_eq!(door.schema["properties"]["actions"]["maxItems"], 1);
        let unclear = narrow_of("the room is gloomy", &many(60));
        let most = &unclear.schema["properties"]["actions"]["maxItems"];
        assert!(most.as_u64().is_some_and(|most| most <= 6), "{most}");
        let none = narrow_of("tell me a joke", &home);
        assert_eq!(none.max_output_tokens, NARROW_SPEECH_TOKENS);
    }

    #[test]
    fn a_small_model_is_shown_and_allowed_only_the_devices_that_the_phrase_names() {
        let narrow = narrow_of("is the door locked?", &small());
        let schema = narrow.schema.to_string();
        assert!(
            schema.contains(r#""door""#) && !schema.contains("ceiling"),
            "{schema}"
        );
        assert!(schema.contains(r#""state""#));
        let examples = &narrow.examples;
        assert!(
            examples.contains("did somebody lock \"door\"\n"),
            "{examples}"
        );
        assert!(examples.ends_with("\nNow answer\n"), "{examples}");
        assert!(!examples.contains("ceiling") && !narrow.prefix.contains("Examples"));
        let statement = narrow_of("the door must be locked", &small());
        assert!(!statement.schema.to_string().contains(r#""state""#));
        let shape = &statement.schema["properties"];
        assert!(
            shape.get("speech").is_none(),
            "a named device needs no words"
        );
        assert_eq!(
            statement.prefix, narrow.prefix,
            "a server keeps it in its cache"
        );
    }

    #[test]
    fn a_small_model_can_give_each_device_only_what_it_has() {
        let narrow = narrow_of("somewhat darker please", &small());
        let variants = narrow.schema["properties"]["actions"]["items"]["anyOf"].clone();
        let of = |device: &str| -> Vec<String> {
            let variants = variants.as_array().unwrap().iter();
            let own = variants.filter(|variant| {
                let ids = variant["properties"]["device"]["enum"].as_array().unwrap();
                ids.iter().any(|id| id == device)
            });
            own.map(|variant| {
                variant["properties"]["property"]["enum"][0]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
        };
        assert_eq!(of("door"), ["lock"]);
        assert!(of("ceiling").contains(&"brightness".to_owned()));
        assert_eq!(of("none"), ["none"]);
    }
}
