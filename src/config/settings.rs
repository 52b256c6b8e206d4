//! The sections of `sayso.toml`, except providers and sources. Each function reads one section.
//! Keys that are missing or wrong keep their default.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::settings::CacheSettings;
use crate::grammar::{LanguageError, LocalGrammar, When};
use crate::home::Home;
use crate::pair::PairSettings;
use crate::pipeline::CommandOrder;
use crate::pipeline::admission::AdmissionSettings;
use crate::redis::settings::RedisSettings;
use crate::router::settings;
use crate::router::settings::{RouterSettings, Streaming};
use crate::telemetry::gateway::GatewayNames;
use crate::telemetry::{log, scrape};
use crate::templates::{TemplateError, TemplateFolders};
use crate::{discovery, grammar, mqtt, store};

use crate::config::folders::Folders;
use crate::config::table::Table;
use crate::config::topics::{overlaps, topic_prefix};
use crate::config::validated::{Config, DaemonSettings, Files, ReplySettings};
use crate::config::values::{count, reject_inline_secrets, secret, spend};
use crate::config::{pair, provider, redis, tls, topics};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

const DAY: u64 = 86_400;
/// MQTT has whole seconds of 16 bits. Below 5 s a slow network would be taken for a broken
/// connection.
const KEEP_ALIVE: RangeInclusive<Duration> = s(5)..=s(65_535);
const COMMAND_TTL: RangeInclusive<Duration> = s(1)..=s(3_600);
const DRAFT_TTL: RangeInclusive<Duration> = s(60)..=s(3_650 * DAY);
const SHORT_TTL: RangeInclusive<Duration> = s(0)..=s(DAY);
const MEMORY: RangeInclusive<u64> = 64 << 10..=1 << 30;
const DEADLINE: RangeInclusive<Duration> = ms(500)..=s(600);
const RETRY_DELAY: RangeInclusive<Duration> = ms(10)..=s(60);
/// Silence of a provider after which the next one is called in parallel.
const PATIENCE: RangeInclusive<Duration> = ms(100)..=s(60);
const STREAMING: [(&str, Streaming); 3] = [
    ("auto", Streaming::Auto),
    ("always", Streaming::Always),
    ("never", Streaming::Never),
];
const GRACE: RangeInclusive<Duration> = s(1)..=s(300);
const QUEUE: RangeInclusive<u32> = 1..=65_536;
const CACHE: RangeInclusive<u64> = 1 << 20..=1 << 30;

/// Reads the config from its file, with an empty home.
pub(super) fn read(root: &Table<'_>, folders: &Folders<'_>) -> Config {
    let broker = root.table("mqtt");
    let mut mqtt = mqtt(&broker, folders);
    let pair = pair::read(&root.table("pair"), &broker, &mut mqtt);
    let discovery = discovery(&root.table("discovery"), &mqtt.prefix);
    topics::check_reply_prefixes(&broker, &mqtt.reply_prefixes, &discovery);
    drop(broker);
    let redis = redis::read(&root.table("redis"), folders);
    let log = log::Settings {
        names: gateway_names(pair.as_ref(), redis.as_ref()),
        ..log(&root.table("log"), folders)
    };
    Config {
        files: Files::default(),
        home: Arc::new(Home::empty(&mqtt.prefix)),
        location: Arc::default(),
        discovery,
        local: local(&root.table("local"), folders),
        store: store(&root.table("store"), folders),
        recall: recall(&root.table("recall")),
        limits: admission_limits(&root.table("limits")),
        ask: ask(root, folders, mqtt.ttl),
        redis,
        pair,
        log,
        metrics: metrics(&root.table("metrics")),
        replies: ReplySettings {
            confirm: root.table("replies").flag("confirm").unwrap_or(true),
        },
        daemon: daemon(&root.table("daemon")),
        mqtt,
    }
}

fn mqtt(table: &Table<'_>, folders: &Folders<'_>) -> mqtt::Settings {
    let default = mqtt::Settings::default();
    let tls = tls::read(&table.table("tls"), folders);
    let port = if tls.is_some() { 8883 } else { default.port };
    let prefix = table
        .text_as("prefix", topic_prefix)
        .unwrap_or(default.prefix);
    mqtt::Settings {
        host: table.text_as("host", broker_host).unwrap_or(default.host),
        port: table
            .whole("port", 1..=65_535)
            .and_then(|n| u16::try_from(n).ok())
            .unwrap_or(port),
        tls,
        login: login(table, folders),
        client_id: table.name("client_id").unwrap_or(default.client_id),
        keep_alive: table
            .duration("keep_alive", KEEP_ALIVE)
            .unwrap_or(default.keep_alive),
        ttl: table.duration("ttl", COMMAND_TTL).unwrap_or(default.ttl),
        queue: count(table, "queue", QUEUE).unwrap_or(default.queue),
        outbox: count(table, "outbox", QUEUE).unwrap_or(default.outbox),
        reply_prefixes: table
            .texts_as("reply_prefixes", |text| reply_prefix(text, &prefix))
            .unwrap_or_default(),
        prefix,
    }
}

/// Accepts the name or address of a broker. A port or a scheme belongs into other keys.
///
/// # Errors
/// With the text to write instead.
pub fn broker_host(text: &str) -> Result<String, String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(text.to_owned());
    }
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let bare = bare.trim_end_matches('/');
    let (name, port) = match bare.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match bare.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (bare, None),
        },
    };
    let port = port.and_then(|port| port.parse::<u16>().ok());
    if let Some(port) = port.filter(|_| name != text) {
        return Err(format!(
            "a host name or address only: \"{name}\", and the port {port} by itself"
        ));
    }
    if name != text && !name.is_empty() && !name.contains('/') {
        return Err(format!(
            "a host name or address only, such as \"{name}\"; the port and TLS have their own keys"
        ));
    }

    let is_valid =
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "/:[]@".contains(c));
    if is_valid {
        Ok(text.to_owned())
    } else {
        Err(
            "a host name or address only, such as \"broker.local\"; the port and TLS have their \
             own keys"
                .to_owned(),
        )
    }
}

/// Accepts the beginning of topics for replies. It must not include command topics, or a reply
/// would be received as a command.
fn reply_prefix(text: &str, prefix: &str) -> Result<String, String> {
    topic_prefix(text.trim_end_matches('/'))
        .map_err(|_| "the beginning of topics, such as \"clients/\", without wildcards")?;
    let (own, replies) = (format!("{prefix}/"), format!("{prefix}/reply/"));
    if overlaps(text, &own) && !text.starts_with(&replies) {
        return Err(format!(
            "the beginning of a topic outside `{own}`, or below `{replies}`: a reply elsewhere \
             would be received as a command, a request or a state"
        ));
    }
    Ok(text.to_owned())
}

fn login(table: &Table<'_>, folders: &Folders<'_>) -> Option<mqtt::Login> {
    reject_inline_secrets(table, &["password"], "password_file");
    let username = table.text("username");
    let password = secret(
        table,
        "password_file",
        folders,
        folders.needs.has_broker_secrets(),
    );
    if table.has("password_file") && !table.has("username") {
        table.report("password_file", "a password needs a `username` as well");
    }
    username.map(|username| mqtt::Login { username, password })
}

fn discovery(table: &Table<'_>, prefix: &str) -> discovery::Settings {
    let default = discovery::Settings::default();
    // sayso must not read its own messages as announcements.
    let foreign_prefix = |text: &str| match topic_prefix(text)? {
        text if text == prefix
            || text
                .strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with('/')) =>
        {
            Err("topic levels outside sayso's own (`mqtt.prefix`)")
        }
        text => Ok(text),
    };
    let homeassistant = table.text_as("homeassistant", |text| {
        if text.is_empty() {
            Ok(None)
        } else {
            foreign_prefix(text).map(Some)
        }
    });
    discovery::Settings {
        homeassistant: homeassistant.unwrap_or(default.homeassistant),
        zigbee2mqtt: table
            .texts_as("zigbee2mqtt", foreign_prefix)
            .unwrap_or(default.zigbee2mqtt),
        tasmota: table.flag("tasmota").unwrap_or(default.tasmota),
    }
}

/// The folder in which the package installs sentence templates.
const TEMPLATES: &str = "/usr/share/sayso/templates";

fn local(table: &Table<'_>, folders: &Folders<'_>) -> grammar::Settings {
    let default = grammar::Settings::default();
    let mut folder = table.text("folder").map(|name| folders.beside.join(name));
    if folder.take_if(|f| !f.is_dir()).is_some() {
        table.reject("folder", "a folder that exists");
    }
    let beside = |name: &str| Some(folders.beside.join(name)).filter(|folder| folder.is_dir());
    let templates = table.text("templates");
    let templates = templates.as_deref().unwrap_or(TEMPLATES);
    let settings = grammar::Settings {
        when: table
            .one_of(
                "use",
                &[
                    ("first", When::First),
                    ("last", When::Last),
                    ("never", When::Never),
                ],
            )
            .unwrap_or(default.when),
        language: table
            .text_as("language", language_code)
            .unwrap_or(default.language),
        folder: folder.or_else(|| beside("language")),
        templates: TemplateFolders {
            published: Some(folders.beside.join(templates)),
            custom: beside("custom_sentences"),
            compiled: folders
                .environment
                .state
                .as_ref()
                .map(|state| state.join("templates")),
        },
    };
    if folders.needs.only_section().is_none() {
        languages(table, &settings);
    }
    settings
}

/// Reads a code such as `de` or `pt-BR`.
fn language_code(text: &str) -> Result<String, &'static str> {
    let (language, region) = text.split_once('-').unwrap_or((text, ""));
    let is_language = (2..=3).contains(&language.len());
    let is_region = region.len() <= 4 && region.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_language && is_region && language.bytes().all(|b| b.is_ascii_lowercase()) {
        Ok(text.to_owned())
    } else {
        Err("a language code such as \"en\" or \"pt-BR\"")
    }
}

/// Reports faults in the language files, and an unknown language.
fn languages(table: &Table<'_>, settings: &grammar::Settings) {
    for fault in LocalGrammar::faults(settings) {
        match fault {
            LanguageError::Unknown { known, .. } => table.reject(
                "language",
                format!("one of {known}, or a file of that name in `local.folder`"),
            ),
            LanguageError::Malformed { name, line, source } => {
                let reason = source
                    .message()
                    .lines()
                    .next()
                    .unwrap_or("cannot be parsed");
                table.report_other_file(
                    name.into(),
                    line,
                    format!("not a language file: {reason}"),
                    false,
                );
            }
            LanguageError::Templates(TemplateError::Invalid { path, line, reason }) => {
                table.report_other_file(path, line, reason, false);
            }
            LanguageError::Unreadable { path, source }
            | LanguageError::Templates(TemplateError::Unreadable { path, source }) => {
                table.report_other_file(
                    path,
                    None,
                    format!("cannot be read: {source}"),
                    source.kind() == io::ErrorKind::PermissionDenied,
                );
            }
        }
    }
}

fn store(table: &Table<'_>, folders: &Folders<'_>) -> store::Settings {
    let state = folders.environment.state.clone();
    let base = state.clone().unwrap_or_else(|| folders.beside.clone());
    let written = table.text("path").map(|name| base.join(name));
    if let Some(path) = written.as_deref().filter(|p| p.exists() && !p.is_dir()) {
        table.reject(
            "path",
            format!(
                "a folder, or a path that does not exist yet: `{}` is a file",
                path.display()
            ),
        );
    }
    store::Settings {
        // Below the folder that systemd gives: a damaged store is renamed, and the parent of that
        // folder is not writable.
        path: written.or_else(|| state.map(|folder| folder.join("store"))),
        cache_bytes: table
            .size("cache", CACHE)
            .unwrap_or(store::Settings::default().cache_bytes),
        boot: folders.environment.boot.clone(),
    }
}

fn recall(table: &Table<'_>) -> CacheSettings {
    let default = CacheSettings::default();
    CacheSettings {
        ttl: table.duration("ttl", DRAFT_TTL).unwrap_or(default.ttl),
        speech_ttl: table
            .duration("speech_ttl", SHORT_TTL)
            .unwrap_or(default.speech_ttl),
        negative_ttl: table
            .duration("negative_ttl", SHORT_TTL)
            .unwrap_or(default.negative_ttl),
        memory_entries: count(table, "entries", 1..=100_000).unwrap_or(default.memory_entries),
        memory_bytes: table
            .size("size", MEMORY)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default.memory_bytes),
        disk_entries: table
            .whole("disk_entries", 0..=10_000_000)
            .map_or(default.disk_entries, |n| n as usize),
        disk_bytes: table
            .size("disk_size", 0..=4 << 30)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default.disk_bytes),
    }
}

fn admission_limits(table: &Table<'_>) -> AdmissionSettings {
    let default = AdmissionSettings::default();
    let limit = |key| table.whole(key, 1..=100_000).and_then(NonZeroU32::new);
    AdmissionSettings {
        per_minute: limit("per_minute").unwrap_or(default.per_minute),
        burst: limit("burst").unwrap_or(default.burst),
    }
}

fn ask(root: &Table<'_>, folders: &Folders<'_>, ttl: Duration) -> RouterSettings {
    let default = RouterSettings::default();
    let table = root.table("ask");
    let deadline = table.duration("deadline", DEADLINE);
    if deadline.is_some_and(|d| d > ttl) {
        table.reject(
            "deadline",
            "at most `mqtt.ttl`: a command is not acted on after that",
        );
    }
    let providers = provider::all(root, folders);
    // A local model may have to be loaded first, and is often the only one.
    let default_deadline = provider::longest_attempt(&providers)
        .map_or(default.deadline, |attempt| attempt.max(default.deadline))
        .min(ttl);
    RouterSettings {
        providers,
        deadline: deadline.unwrap_or(default_deadline),
        attempts: table
            .whole("attempts", 1..=10)
            .and_then(NonZeroU32::new)
            .unwrap_or(default.attempts),
        longest_pause: table
            .duration("longest_pause", RETRY_DELAY)
            .unwrap_or(default.longest_pause),
        order: table
            .one_of(
                "order",
                &[
                    ("priority", settings::ProviderOrder::Priority),
                    ("fastest", settings::ProviderOrder::Fastest),
                ],
            )
            .unwrap_or_default(),
        hedge: table.flag("hedge").unwrap_or(default.hedge),
        spend: spend(&table),
        stream: table.one_of("stream", &STREAMING).unwrap_or_default(),
        patience: table
            .duration("patience", PATIENCE)
            .unwrap_or(default.patience),
    }
}

/// Returns the names that distinguish this gateway from others.
fn gateway_names(pair: Option<&PairSettings>, redis: Option<&RedisSettings>) -> GatewayNames {
    let node = pair.map(|pair| &pair.node);
    GatewayNames {
        site: redis.map(|redis| redis.site.clone()),
        node: node.or(redis.map(|redis| &redis.node)).cloned(),
    }
}

fn log(table: &Table<'_>, folders: &Folders<'_>) -> log::Settings {
    let filter = table.text_as("filter", |text| match log::filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a log filter such as \"warn,sayso=debug\""),
    });
    let default = log::Settings::default();
    let filter = folders.environment.filter.clone().or(filter);
    log::Settings {
        filter: filter.unwrap_or(default.filter),
        journald: table
            .flag("journald")
            .unwrap_or(folders.environment.journald),
        names: GatewayNames::default(),
    }
}

/// Reads the address of the metrics. They reveal when somebody is at home, so they are served to
/// this machine only.
fn metrics(table: &Table<'_>) -> Option<scrape::MetricsAddress> {
    table.text_as("listen", |text| match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => {
            Ok(scrape::MetricsAddress::Socket(PathBuf::from(path)))
        }
        None if text
            .parse()
            .is_ok_and(|port: SocketAddr| port.ip().is_loopback() && port.port() > 0) =>
        {
            text.parse()
                .map(scrape::MetricsAddress::Port)
                .map_err(|_| "an address")
        }
        _ => Err(
            "an address of this machine only, such as \"127.0.0.1:9464\", or a socket such \
            as \"unix:/run/sayso/metrics\"",
        ),
    })
}

fn daemon(table: &Table<'_>) -> DaemonSettings {
    let default = DaemonSettings::default();
    DaemonSettings {
        grace: table.duration("grace", GRACE).unwrap_or(default.grace),
        order: table
            .one_of(
                "order",
                &[
                    ("device", CommandOrder::Device),
                    ("source", CommandOrder::Source),
                ],
            )
            .unwrap_or(default.order),
    }
}
