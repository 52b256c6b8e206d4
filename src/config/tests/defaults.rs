//! The defaults that comments state, in the form `Default 1883; with TLS 8883.`, `Defaults "10m",
//! "1m".` for the keys below, or `Default: ..` for one that no value expresses.

use std::fs;

use crate::config::change::Changes;
use crate::config::{Config, ConfigLocation, Scope};
use crate::provider::{APIS, ApiVersion};

/// The word for a key that has to be given.
const NO_DEFAULT: &str = "none";

/// Default of one key.
#[derive(Debug, PartialEq)]
pub(super) enum StatedDefault {
    /// Values in the situations named, which are compared with the program.
    Values(Vec<(Situation, String)>),
    /// In words; the value shown is an example.
    Described,
}

/// Circumstances in which a default holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Situation {
    Usual,
    /// In a `[[provider]]` of this API.
    Api(&'static str),
    Tls,
    Pair,
    /// With a provider of this API in the same file.
    BesideProvider(&'static str),
}

impl Situation {
    /// Reads the situation at the beginning of a text, and returns the rest.
    pub(super) fn parse(text: &str) -> (Self, &str) {
        for api in APIS {
            let name = api.name;
            if let Some(rest) = text.strip_prefix(&format!("for \"{name}\" ")) {
                return (Self::Api(name), rest);
            }
            if let Some(rest) = text.strip_prefix(&format!("with a provider of api \"{name}\" ")) {
                return (Self::BesideProvider(name), rest);
            }
        }
        for (words, situation) in [("with TLS ", Self::Tls), ("in a pair ", Self::Pair)] {
            if let Some(rest) = text.strip_prefix(words) {
                return (situation, rest);
            }
        }
        (Self::Usual, text)
    }

    /// Returns tables that make the situation.
    fn tables(self) -> String {
        match self {
            Self::Usual | Self::Api(_) => String::new(),
            Self::Tls => "[mqtt.tls]\n".to_owned(),
            Self::Pair => "[pair]\nnode = \"a\"\n".to_owned(),
            Self::BesideProvider(api) => {
                format!("[[provider]]\nname = \"p\"\nmodel = \"m\"\napi = \"{api}\"\n")
            }
        }
    }
}

impl StatedDefault {
    /// Reads the default of each of the keys that share a comment; `None` if it states none.
    pub(super) fn of(comment: &str, keys: usize) -> Option<Vec<Self>> {
        let Some((_, stated)) = comment.split_once("Default") else {
            let is_required = comment.contains("Required");
            return is_required.then(|| (0..keys).map(|_| Self::Described).collect());
        };
        if stated.starts_with(": ") {
            return Some((0..keys).map(|_| Self::Described).collect());
        }
        let mut rest = stated.trim_start_matches('s').trim_start();
        let mut values: Vec<Vec<(Situation, String)>> = vec![Vec::new(); keys];
        loop {
            let (situation, text) = Situation::parse(rest);
            rest = text;
            for (n, values) in values.iter_mut().enumerate() {
                if n > 0 {
                    rest = rest.strip_prefix(", ")?;
                }
                let (value, after) = rest.split_at(value_length(rest)?);
                values.push((situation, value.to_owned()));
                rest = after;
            }
            let sentence = &rest[..rest.find(". ")?];
            match sentence.find("; ") {
                Some(at) => rest = &rest[at + 2..],
                None => return Some(values.into_iter().map(Self::Values).collect()),
            }
        }
    }
}

/// Returns the length of the value at the beginning of a text.
fn value_length(text: &str) -> Option<usize> {
    let closing = match text.chars().next()? {
        '"' => Some('"'),
        '[' => Some(']'),
        _ => None,
    };
    if let Some(closing) = closing {
        return Some(text[1..].find(closing)? + 2);
    }
    let words = ["true", "false", NO_DEFAULT];
    if let Some(word) = words.iter().find(|word| text.starts_with(**word)) {
        return Some(word.len());
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then_some(digits)
}

/// Returns whether `value` is the default of the key: with it the config is the one without it.
pub(super) fn is_default(path: &str, situation: Situation, value: &str) -> bool {
    let without = loaded(path, situation, "");
    if value == NO_DEFAULT {
        return without.is_none();
    }
    if let Some(own) = default_of_api(path, situation) {
        return value == format!("\"{own}\"");
    }
    let (_, key) = path.split_once('.').unwrap_or(("", path));
    let with = loaded(path, situation, &format!("{key} = {value}\n"));
    match (without, with) {
        (Some(without), Some(with)) => without.changes(&with) == Changes::default(),
        _ => false,
    }
}

/// Returns a default that the settings do not have, because they only state its replacement.
fn default_of_api(path: &str, situation: Situation) -> Option<&'static str> {
    let api = APIS
        .iter()
        .find(|api| situation == Situation::Api(api.name))?;
    match path {
        "provider.key_header" => Some(api.key_header),
        "provider.api_version" => api.version.as_ref().map(ApiVersion::number),
        _ => None,
    }
}

/// Loads a config that has the table of `path`, with this line in it.
fn loaded(path: &str, situation: Situation, line: &str) -> Option<Config> {
    let (table, key) = path.split_once('.').unwrap_or(("", path));
    let heading = match table {
        "" => String::new(),
        "provider" => provider(situation, key),
        "redis" => "[redis]\nurl = \"redis://localhost\"\n".to_owned(),
        _ => format!("[{table}]\n"),
    };
    let text = format!("{heading}{line}{}", situation.tables());
    let home = "[device.lamp]\nkind = \"light\"\nzigbee2mqtt = \"Lamp\"\n";
    let is_home = table == "zigbee2mqtt";
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("key", "secret");
    write("sayso.toml", if is_home { "" } else { &text });
    write(
        "home.toml",
        &if is_home {
            text.clone() + home
        } else {
            home.to_owned()
        },
    );
    let location = ConfigLocation {
        // Certificates are not needed to know the port.
        needs: if situation == Situation::Tls {
            Scope::BrokerAddress
        } else {
            Scope::Everything
        },
        ..ConfigLocation::at(folder.path().join("sayso.toml"))
    };
    Config::load(&location).ok()
}

/// Returns the beginning of a provider of the situation's API, without the key that is added.
fn provider(situation: Situation, key: &str) -> String {
    let api = match situation {
        Situation::Api(api) => api,
        _ => APIS[0].name,
    };
    let given = [
        ("name", "p"),
        ("api", api),
        ("model", "m"),
        ("key_file", "key"),
    ];
    let given = given.iter().filter(|(name, _)| *name != key);
    let lines = given.map(|(name, value)| format!("{name} = \"{value}\"\n"));
    "[[provider]]\n".to_owned() + &lines.collect::<String>()
}
