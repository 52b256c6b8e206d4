//! Removes secrets from the texts of a support archive: those in secret files, those written into
//! a config, and those in addresses. Also from a config that cannot be parsed.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value as Json;

use crate::config::{ConfigLocation, is_secret_header};
use crate::secret::address::{REMOVED, without_credentials};

/// Keys of secrets, in addition to the headers of secrets and the keys that end with
/// [`SECRET_ENDINGS`].
const SECRET_KEYS: [&str; 2] = ["key", "pass"];

/// Endings of keys whose values may be secrets.
const SECRET_ENDINGS: [&str; 7] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
];

/// Keys that name the file of a secret.
const FILE_KEYS: [&str; 2] = ["key_file", "password_file"];

/// Length in bytes from which a secret is removed wherever it appears. A shorter one, such as a
/// number in the query of an address, may be part of any word.
const MIN_LENGTH: usize = 6;

/// The secrets to remove.
#[derive(Debug, Default)]
pub(super) struct Redaction {
    /// Secrets that are removed wherever they appear.
    everywhere: BTreeSet<String>,
    /// All secrets that were found.
    found: BTreeSet<String>,
}

impl Redaction {
    /// Adds the content of a secret file.
    pub(super) fn add_secret(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.found.insert(secret.to_owned());
            self.everywhere.insert(secret.to_owned());
        }
    }

    /// Adds secrets that were removed from a text.
    fn add_removed(&mut self, removed: Vec<String>) {
        for secret in removed {
            if secret.len() >= MIN_LENGTH {
                self.everywhere.insert(secret.clone());
            }
            self.found.insert(secret);
        }
    }

    /// Returns the number of secrets found.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// Returns a config without the values that may be secrets, and adds them. The files it names
    /// are searched for at `location` and beside the config.
    pub(super) fn config(
        &mut self,
        text: &str,
        location: &ConfigLocation,
        beside: &Path,
    ) -> String {
        let mut scrubber = ConfigScrubber::default();
        for line in text.lines() {
            scrubber.line(line);
        }
        let mut clean = scrubber.clean;
        self.add_removed(scrubber.removed);
        for name in scrubber.files {
            match location.existing(beside, &name) {
                Some(path) => {
                    // Of a file that cannot be read no text is a copy.
                    let content = std::fs::read_to_string(path).unwrap_or_default();
                    self.add_secret(content.trim());
                }
                // The secret itself may stand in place of the name of its file.
                None if !is_file_name(&name) => {
                    clean = clean.replace(&name, REMOVED);
                    self.add_secret(&name);
                }
                None => {}
            }
        }
        self.addresses(&clean)
    }

    /// Removes the secrets in addresses, and adds them.
    pub(super) fn addresses(&mut self, text: &str) -> String {
        let redacted = without_credentials(text);
        self.add_removed(redacted.removed);
        redacted.text
    }

    /// Removes every secret that was added before.
    pub(super) fn text(&self, text: &str) -> String {
        let mut secrets: Vec<&String> = self.everywhere.iter().collect();
        // One may be the beginning of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), REMOVED)
        })
    }

    /// Removes the secrets in addresses from all texts of a document, and adds them.
    pub(super) fn json_addresses(&mut self, json: &mut Json) {
        self.each_text(json, &mut |redaction, text| redaction.addresses(text));
    }

    /// Removes every secret that was added before from all texts of a document.
    pub(super) fn json(&mut self, json: &mut Json) {
        self.each_text(json, &mut |redaction, text| redaction.text(text));
    }

    fn each_text(&mut self, json: &mut Json, replace: &mut impl FnMut(&mut Self, &str) -> String) {
        match json {
            Json::String(text) => *text = replace(self, text),
            Json::Array(items) => {
                for item in items {
                    self.each_text(item, replace);
                }
            }
            Json::Object(fields) => {
                for field in fields.values_mut() {
                    self.each_text(field, replace);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
}

/// Returns whether a text looks like the name of a file and not like a key.
fn is_file_name(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || matches!(c, '-' | '_');
    let has_extension = text
        .rsplit_once('.')
        .is_some_and(|(name, end)| !name.is_empty() && (1..=8).contains(&end.len()));
    text.contains('/') || (has_extension && text.len() <= 40) || text.chars().all(is_word)
}

/// Removes the values of secret keys from a config, line by line.
#[derive(Debug, Default)]
struct ConfigScrubber {
    clean: String,
    removed: Vec<String>,
    /// Names of secret files.
    files: Vec<String>,
    /// Heading of the present table.
    heading: String,
    /// Quotes that end a secret value of several lines.
    open: Option<&'static str>,
}

impl ConfigScrubber {
    fn line(&mut self, line: &str) {
        if let Some(quotes) = self.open {
            let (inside, behind) = line.split_once(quotes).map_or((line, None), |(inside, _)| {
                self.open = None;
                (inside, Some(quotes))
            });
            if !inside.trim().is_empty() {
                self.removed.push(inside.trim().to_owned());
            }
            self.clean.push_str(behind.unwrap_or_default());
        } else {
            let content = line.trim_start_matches(['#', ' ', '\t']);
            if content.starts_with('[') {
                content.clone_into(&mut self.heading);
            }
            self.entries(line);
        }
        self.clean.push('\n');
    }

    /// Appends a line with its keys, of which an inline table has several.
    fn entries(&mut self, line: &str) {
        let mut rest = line;
        let mut is_in_headers = self.heading.contains("headers");
        while let Some(equals) = unquoted_equals(rest) {
            let (before, value) = rest.split_at(equals + 1);
            self.clean.push_str(before);
            let start = value.len() - value.trim_start().len();
            let (space, value) = value.split_at(start);
            self.clean.push_str(space);
            let path = key_path(&before[..equals]);
            is_in_headers |= path.split('.').any(|part| part == "headers");
            let key = path.rsplit('.').next().unwrap_or_default();
            if let Some(inside) = value.strip_prefix('{') {
                self.clean.push('{');
                rest = inside;
                continue;
            }
            let end = value_end(value);
            let (value, behind) = value.split_at(end);
            self.value(key, value, is_in_headers);
            rest = behind;
        }
        self.clean.push_str(rest);
    }

    fn value(&mut self, key: &str, value: &str, is_in_headers: bool) {
        let quotes = ["\"\"\"", "'''"]
            .into_iter()
            .find(|quotes| value.starts_with(quotes));
        let inner = value.trim().trim_matches(['"', '\'']);
        if FILE_KEYS.contains(&key) {
            self.files.push(inner.to_owned());
        }
        if !is_in_headers && !is_secret_key(key) {
            return self.clean.push_str(value);
        }
        if let Some(quotes) = quotes
            && !value[3..].contains(quotes)
        {
            self.open = Some(quotes);
        }
        self.clean.extend(["\"", REMOVED, "\""]);
        // `key` in [mqtt.tls] is a path.
        if key == "key" && self.heading.contains("tls") || inner.is_empty() {
            return;
        }
        self.removed.push(inner.to_owned());
        // The value of a header may be "Bearer" and the secret.
        if is_in_headers && let Some((_, secret)) = inner.rsplit_once(' ') {
            self.removed.push(secret.to_owned());
        }
    }
}

fn is_secret_key(key: &str) -> bool {
    SECRET_KEYS.contains(&key)
        || is_secret_header(key)
        || SECRET_ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// Returns the position of the first `=` that is not in quotes.
fn unquoted_equals(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '=') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    // Quotes that are not closed quote nothing.
    quote.and_then(|_| text.find('='))
}

/// Returns the dotted key at the end of a text, in lower case and without quotes.
fn key_path(text: &str) -> String {
    let key = text.rsplit(['{', ',', '#', '[']).next().unwrap_or_default();
    let plain = key.trim().replace(['"', '\''], "");
    plain.to_lowercase().replace(' ', "")
}

/// Returns the length of the value at the beginning of a text.
fn value_end(text: &str) -> usize {
    for quotes in ["\"\"\"", "'''", "\"", "'"] {
        if let Some(inner) = text.strip_prefix(quotes) {
            let mut is_escaped = false;
            let end = inner.char_indices().find(|(at, c)| {
                let is_end = !is_escaped && inner[*at..].starts_with(quotes);
                is_escaped = quotes.starts_with('"') && *c == '\\' && !is_escaped;
                is_end
            });
            return end.map_or(text.len(), |(at, _)| quotes.len() + at + quotes.len());
        }
    }
    text.find([',', '}', '#']).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use crate::provider::APIS;

    use super::*;

    fn clean(text: &str) -> (String, Redaction) {
        let mut redaction = Redaction::default();
        let clean = redaction.config(text, &ConfigLocation::default(), Path::new("/nowhere"));
        (clean, redaction)
    }

    #[test]
    fn secrets_are_removed_wherever_they_are_written() {
        for text in [
            "password = \"SECRET_1\"",
            "  # api_key='SECRET_1' # note",
            "mqtt.password = \"SECRET_1\"",
            "mqtt = { host = \"h\", password = \"SECRET_1\" }",
            "mqtt = { \"password\"=\"SECRET_1\", host = \"h\" }",
            "password = \"SECRET_1",
            "password = SECRET_1",
            "password = \"a\\\"SECRET_1\"",
            "password = \"\"\"\na\nSECRET_1\n\"\"\"",
            "[provider.headers]\nx-anything = \"Bearer SECRET_1\"",
            "headers = { x-anything = \"Bearer SECRET_1\" }",
            "[[provider]\nbase_url = \"http://u:SECRET_1@h/v1\"",
            "base_url = \"http://h/v1?key=SECRET_1\"",
            "key_file = \"sk-SECRET_1\"",
            "my_token = \"SECRET_1\"",
            "name = \"it's\" password = \"SECRET_1\"",
        ] {
            let (clean, redaction) = clean(text);
            assert!(!clean.contains("SECRET_1"), "{text}: {clean}");
            assert!(redaction.count() > 0, "{text}");
            let elsewhere = redaction.text("SECRET_1, sk-SECRET_1, a\\\"SECRET_1");
            let is_part = text.contains("sk-") || text.contains("a\\\"");
            assert!(
                is_part || !elsewhere.contains("SECRET_1"),
                "{text}: {elsewhere}"
            );
            assert!(elsewhere.contains(REMOVED), "{text}: {elsewhere}");
        }
    }

    #[test]
    fn values_of_every_key_header_are_removed() {
        let others = ["api-key", "proxy-authorization"];
        for header in APIS.map(|spec| spec.key_header).into_iter().chain(others) {
            let (clean, _) = clean(&format!("{header} = \"sk-1\"\n"));
            assert!(!clean.contains("sk-1"), "{clean}");
        }
    }

    #[test]
    fn all_else_remains() {
        let text = "[mqtt]\nhost = \"h\" # a=b\nkey_file = \"cloud.key\"\n\
            password_file = \"mqtt-password\"\n[[provider]]\nbase_url = \"http://h:1/v1\"\n\
            tokens_per_minute = 1000\nmax_output_tokens = 100\ntimeouts = { total = \"3s\" }\n\
            name = 'it\"s'\n";
        let (clean, redaction) = clean(text);
        assert_eq!(clean, text);
        assert_eq!(redaction.count(), 0);
    }

    #[test]
    fn the_shipped_configs_are_not_changed() {
        for name in ["config/sayso.toml", "config/home.toml"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
            let text = std::fs::read_to_string(path).unwrap();
            for (before, after) in text.lines().zip(clean(&text).0.lines()) {
                let is_same = before == after || after.contains(REMOVED);
                assert!(is_same, "{before} became {after}");
            }
        }
    }
}
