//! The `[redis]` table.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::folders::Folders;
use crate::config::table::Table;
use crate::config::values::{is_plain_name, reject_inline_secrets, secret};
use crate::redis::settings::RedisSettings;
use crate::redis::{Redis, RedisFault};

/// The most nodes of a site.
const MOST_NODES: u32 = 1_000;

/// The longest time a command waits for one response.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(5)..=Duration::from_secs(1);

/// Reads the table; `None` if it does not exist or is not needed.
pub(super) fn read(table: &Table<'_>, folders: &Folders<'_>) -> Option<RedisSettings> {
    reject_inline_secrets(table, &["password"], "key_file");
    let url = address(table);
    let is_needed = folders.needs.has_redis_key();
    let password = secret(table, "key_file", folders, is_needed);
    let authority = table.text("ca").and_then(|name| {
        let path = folders.existing(&name);
        if path.is_none() {
            match folders.permission_error(&name) {
                Some(error) => table.report_unreadable("ca", &error),
                None => table.reject("ca", "a PEM file that exists"),
            }
        }
        path
    });
    let settings = RedisSettings {
        url: url.clone().unwrap_or_default(),
        password,
        authority,
        site: table.text_as("site", name).unwrap_or("sayso".to_owned()),
        node: table.text_as("node", name).unwrap_or_else(host_name),
        nodes: table.whole("nodes", 1..=MOST_NODES).unwrap_or(1),
        timeout: table
            .duration("timeout", TIMEOUT)
            .unwrap_or(RedisSettings::TIMEOUT),
    };
    if !table.exists() {
        return None;
    }
    if !Redis::IS_SUPPORTED {
        table.report_table(
            "this build has no support for Redis: install a build with the feature `redis`, or \
             remove this table",
        );
        return None;
    }
    if !table.has("url") {
        table.report(
            "url",
            "missing: the address, such as \"redis://redis.local:6379\"",
        );
    }
    url?;
    if is_needed && let Err(RedisFault::Unusable(why)) = Redis::check(&settings) {
        table.report("url", format!("cannot be used: {why}"));
    }
    is_needed.then_some(settings)
}

/// Reads the address. One with a password is not repeated in the message.
fn address(table: &Table<'_>) -> Option<String> {
    let text = table.text("url")?;
    let rest = text
        .strip_prefix("redis://")
        .or_else(|| text.strip_prefix("rediss://"));
    let login = rest.and_then(|rest| rest.split_once('@'));
    if login.is_some_and(|(login, _)| login.contains(':')) {
        table.report(
            "url",
            "a password must not be in this file: put it into a file of its own and name that \
             file with `key_file`",
        );
        return None;
    }
    let is_valid = rest.is_some_and(|rest| {
        !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    if !is_valid {
        table.reject(
            "url",
            "an address such as \"redis://redis.local:6379\", or \"rediss://..\" for TLS",
        );
        return None;
    }
    Some(text)
}

fn name(text: &str) -> Result<String, &'static str> {
    if is_plain_name(text, 64) {
        Ok(text.to_owned())
    } else {
        Err("a name of 1 to 64 letters, digits, `-`, `_` and `.`")
    }
}

/// Returns the name of this machine, without characters a node's name cannot have.
fn host_name() -> String {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let is_valid = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let host: String = host.chars().filter(is_valid).take(64).collect();
    if host.is_empty() {
        "node".to_owned()
    } else {
        host
    }
}
