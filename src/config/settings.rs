//! The sections of `sayso.toml`, except providers and sources. Each function is one section; what is not written, or
//! written wrong, keeps its room's default.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem;

use crate::cache::settings::CacheSettings;
use crate::grammar::{LanguageError, LocalGrammar, When};
use crate::home::Home;
use crate::mqtt::tls::TlsError;
use crate::pipeline::CommandOrder;
use crate::pipeline::admission::AdmissionSettings;
use crate::provider::price::{Limits, Money};
use crate::router::settings;
use crate::router::settings::{RouterSettings, Streaming};
use crate::secret::Secret;
use crate::telemetry::{log, scrape};
use crate::{discovery, grammar, mqtt, store};

use crate::config::environment::Environment;
use crate::config::file::Table;
use crate::config::topics::level_or_topic;
use crate::config::{Config, DaemonSettings, Files, Folders, Scope, provider};

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

const DAY: u64 = 86_400;
/// The broker probes in whole seconds of 16 bits; under 5 s a slow uplink is taken for a dead one.
const KEEP_ALIVE: RangeInclusive<Duration> = s(5)..=s(65_535);
const COMMAND_TTL: RangeInclusive<Duration> = s(1)..=s(3_600);
const DRAFT_TTL: RangeInclusive<Duration> = s(60)..=s(3_650 * DAY);
const SHORT_TTL: RangeInclusive<Duration> = s(0)..=s(DAY);
const MEMORY: RangeInclusive<u64> = 64 << 10..=1 << 30;
const DEADLINE: RangeInclusive<Duration> = ms(500)..=s(600);
const PAUSE: RangeInclusive<Duration> = ms(10)..=s(60);
/// How long a provider may be silent before the next is asked beside it.
const PATIENCE: RangeInclusive<Duration> = ms(100)..=s(60);
const STREAMING: [(&str, Streaming); 3] = [
    ("auto", Streaming::Auto),
    ("always", Streaming::Always),
    ("never", Streaming::Never),
];
const GRACE: RangeInclusive<Duration> = s(1)..=s(300);
/// The folder beside the config from which systemd takes credentials: there the tools of an operator find them too.
pub const CREDENTIALS: &str = "credentials";
/// What to do where `[mqtt.tls]` names no authority and the system has none either.
const NO_AUTHORITIES: &str = "this machine trusts no certificate authority, so no broker could prove itself: name the file of the broker's own here, or `apt install ca-certificates`";
const QUEUE: RangeInclusive<u32> = 1..=65_536;
const CACHE: RangeInclusive<u64> = 1 << 20..=1 << 30;

/// Fills a config from its file, with an empty home.
pub(super) fn read(root: &Table<'_>, folders: &Folders<'_>) -> Config {
    let mqtt = mqtt(&root.table("mqtt"), folders);
    Config {
        files: Files::default(),
        home: Arc::new(Home::empty(&mqtt.prefix)),
        discovery: discovery(&root.table("discovery"), &mqtt.prefix),
        local: local(&root.table("local"), folders),
        store: store(&root.table("store"), folders),
        recall: recall(&root.table("recall")),
        admit: admit(&root.table("limits")),
        ask: ask(root, folders, mqtt.ttl),
        log: log(&root.table("log"), folders),
        metrics: metrics(&root.table("metrics")),
        daemon: daemon(&root.table("daemon")),
        mqtt,
    }
}

fn mqtt(table: &Table<'_>, folders: &Folders<'_>) -> mqtt::Settings {
    let usual = mqtt::Settings::default();
    let tls = tls(&table.table("tls"), folders);
    let port = if tls.is_some() { 8883 } else { usual.port };
    let prefix = table
        .text_as("prefix", level_or_topic)
        .unwrap_or(usual.prefix);
    mqtt::Settings {
        host: table.text_as("host", host).unwrap_or(usual.host),
        port: table
            .whole("port", 1..=65_535)
            .and_then(|n| u16::try_from(n).ok())
            .unwrap_or(port),
        tls,
        login: login(table, folders),
        client_id: table.name("client_id").unwrap_or(usual.client_id),
        keep_alive: table
            .duration("keep_alive", KEEP_ALIVE)
            .unwrap_or(usual.keep_alive),
        ttl: table.duration("ttl", COMMAND_TTL).unwrap_or(usual.ttl),
        queue: count(table, "queue", QUEUE).unwrap_or(usual.queue),
        outbox: count(table, "outbox", QUEUE).unwrap_or(usual.outbox),
        reply_prefixes: table
            .texts_as("reply_prefixes", |text| reply_prefix(text, &prefix))
            .unwrap_or_default(),
        prefix,
    }
}

fn host(text: &str) -> Result<String, &'static str> {
    let fits = !text.is_empty()
        && !text.contains("://")
        && !text.contains(|c: char| c.is_whitespace() || c == '/');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a name or address alone, such as \"broker.local\"; port and tls are keys of their own")
    }
}

/// Beginnings of topics that replies may go to; never one on which commands are heard, or a reply would become a command.
fn reply_prefix(text: &str, prefix: &str) -> Result<String, String> {
    level_or_topic(text.trim_end_matches('/'))
        .map_err(|_| "the beginning of topics, such as \"clients/\", without wildcards")?;
    let commands = format!("{prefix}/command/");
    if commands.starts_with(text) || text.starts_with(&commands) {
        return Err(format!(
            "the beginning of a topic outside `{commands}`, where a reply would be taken for a command"
        ));
    }
    Ok(text.to_owned())
}

fn tls(table: &Table<'_>, folders: &Folders<'_>) -> Option<mqtt::Tls> {
    let file = |key| {
        table.text(key).and_then(|name| {
            folders
                .existing(&name)
                .ok_or_else(|| table.wrong(key, "a PEM file that exists"))
                .ok()
        })
    };
    let (ca, cert, key) = (file("ca"), file("cert"), file("key"));
    match (table.has("cert"), table.has("key")) {
        (true, false) => table.say("cert", "a certificate wants its `key` beside it"),
        (false, true) => table.say("key", "a key wants its `cert` beside it"),
        _ => {}
    }
    let tls = mqtt::Tls {
        ca,
        client: cert.zip(key),
    };
    // Who may not read the keys is not asked to.
    if matches!(
        folders.needs,
        Scope::Everything | Scope::Broker | Scope::Announced
    ) {
        for fault in mqtt::tls::faults(&tls) {
            unusable(table, fault);
        }
        if table.exists() && !table.has("ca") && !mqtt::tls::system_has_authorities() {
            table.say("ca", NO_AUTHORITIES);
        }
    }
    table.exists().then_some(tls)
}

/// Notes that a file of TLS does not do, under the key that names it.
fn unusable(table: &Table<'_>, fault: TlsError) {
    match fault {
        TlsError::File {
            key,
            source: pem::Error::Io(error),
            ..
        } => table.wrong(key, format!("a file that can be read: {error}")),
        TlsError::File {
            key: key @ "key",
            source: pem::Error::NoItemsFound,
            ..
        } => {
            table.wrong(
                key,
                "a PEM file with a private key in it, and not an encrypted one",
            );
        }
        TlsError::File {
            key,
            source: pem::Error::NoItemsFound,
            ..
        } => table.wrong(key, "a PEM file with a certificate in it"),
        TlsError::File { key, source, .. } => table.wrong(key, format!("a PEM file: {source}")),
        TlsError::NoRoots { .. } => table.wrong(
            "ca",
            "a PEM file with the certificate of the broker's authority in it",
        ),
        TlsError::Authority { source, .. } => {
            table.wrong("ca", format!("the certificate of an authority: {source}"));
        }
        TlsError::Apart { .. } => table.wrong(
            "key",
            "the private key of the certificate in `cert`: this one belongs to another",
        ),
        TlsError::Unusable(error) => table.wrong(
            "cert",
            format!("a certificate and a key that can be used: {error}"),
        ),
    }
}

fn login(table: &Table<'_>, folders: &Folders<'_>) -> Option<mqtt::Login> {
    refuse_secrets(table, &["password"], "password_file");
    let username = table.text("username");
    let password = secret(
        table,
        "password_file",
        folders,
        &[Scope::Everything, Scope::Broker, Scope::Announced],
    );
    if table.has("password_file") && !table.has("username") {
        table.say("password_file", "a password wants a `username` beside it");
    }
    username.map(|username| mqtt::Login { username, password })
}

/// A secret does not belong in a file that is copied, shown and backed up.
pub(super) fn refuse_secrets<'f>(table: &Table<'f>, keys: &[&'f str], instead: &str) {
    for key in keys {
        if table.has(key) {
            table.say(key, format!("a secret must not stand in this file: put it in a file of its own, and name that with `{instead}`"));
            table.allow(key);
        }
    }
}

/// A secret from the file that `key` names, where it is among the `wanted`. What stands there is never repeated: it may
/// be the secret itself.
pub(super) fn secret<'f>(
    table: &Table<'f>,
    key: &'f str,
    folders: &Folders<'_>,
    wanted: &[Scope],
) -> Option<Secret> {
    let name = table.text(key)?;
    if !wanted.contains(&folders.needs) {
        return None;
    }
    let Some(path) = folders.existing(&name) else {
        match folders.closed(&name) {
            Some(error) => table.unreadable(key, &error),
            None => table.say(
                key,
                format!("there is no such file in {}", folders.looked_in()),
            ),
        }
        return None;
    };
    match Secret::from_file(&path) {
        Ok(secret) => Some(secret),
        Err(error) => {
            table.unreadable(key, &error);
            None
        }
    }
}

fn discovery(table: &Table<'_>, prefix: &str) -> discovery::Settings {
    let usual = discovery::Settings::default();
    // Where we speak we do not listen.
    let foreign = |text: &str| match level_or_topic(text)? {
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
            foreign(text).map(Some)
        }
    });
    discovery::Settings {
        homeassistant: homeassistant.unwrap_or(usual.homeassistant),
        zigbee2mqtt: table
            .texts_as("zigbee2mqtt", foreign)
            .unwrap_or(usual.zigbee2mqtt),
        tasmota: table.flag("tasmota").unwrap_or(usual.tasmota),
    }
}

fn local(table: &Table<'_>, folders: &Folders<'_>) -> grammar::Settings {
    let usual = grammar::Settings::default();
    let code = |text: &str| {
        let fits = (2..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase());
        if fits {
            Ok(text.to_owned())
        } else {
            Err("a language code such as \"en\"")
        }
    };
    let mut folder = table.text("folder").map(|name| folders.beside.join(name));
    if folder.take_if(|f| !f.is_dir()).is_some() {
        table.wrong("folder", "a folder that exists");
    }
    let beside = folders.beside.join("language");
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
            .unwrap_or(usual.when),
        language: table.text_as("language", code).unwrap_or(usual.language),
        folder: folder.or_else(|| beside.is_dir().then_some(beside)),
    };
    if folders.needs.of_interest().is_none() {
        languages(table, &settings);
    }
    settings
}

/// Notes what is wrong with the language files, and a language that there is not.
fn languages(table: &Table<'_>, settings: &grammar::Settings) {
    for fault in LocalGrammar::faults(settings) {
        match fault {
            LanguageError::Unknown { known, .. } => table.wrong(
                "language",
                format!("one of {known}, or a file of that name in `local.folder`"),
            ),
            LanguageError::Malformed { name, line, source } => {
                let what = source
                    .message()
                    .lines()
                    .next()
                    .unwrap_or("cannot be parsed");
                table.elsewhere(
                    name.into(),
                    line,
                    format!("not a language file: {what}"),
                    false,
                );
            }
            LanguageError::Unreadable { path, source } => {
                table.elsewhere(
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
        table.wrong(
            "path",
            format!("a folder, or nothing yet: `{}` is a file", path.display()),
        );
    }
    store::Settings {
        path: written.or(state),
        cache_bytes: table
            .size("cache", CACHE)
            .unwrap_or(store::Settings::default().cache_bytes),
        boot: folders.environment.boot.clone(),
    }
}

fn recall(table: &Table<'_>) -> CacheSettings {
    let usual = CacheSettings::default();
    CacheSettings {
        ttl: table.duration("ttl", DRAFT_TTL).unwrap_or(usual.ttl),
        speech_ttl: table
            .duration("speech_ttl", SHORT_TTL)
            .unwrap_or(usual.speech_ttl),
        negative_ttl: table
            .duration("negative_ttl", SHORT_TTL)
            .unwrap_or(usual.negative_ttl),
        memory_entries: count(table, "entries", 1..=100_000).unwrap_or(usual.memory_entries),
        memory_bytes: table
            .size("size", MEMORY)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(usual.memory_bytes),
        disk_entries: table
            .whole("disk_entries", 0..=10_000_000)
            .map_or(usual.disk_entries, |n| n as usize),
        disk_bytes: table
            .size("disk_size", 0..=4 << 30)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(usual.disk_bytes),
    }
}

fn admit(table: &Table<'_>) -> AdmissionSettings {
    let usual = AdmissionSettings::default();
    let some = |key| table.whole(key, 1..=100_000).and_then(NonZeroU32::new);
    AdmissionSettings {
        per_minute: some("per_minute").unwrap_or(usual.per_minute),
        burst: some("burst").unwrap_or(usual.burst),
    }
}

fn ask(root: &Table<'_>, folders: &Folders<'_>, ttl: Duration) -> RouterSettings {
    let (usual, table) = (RouterSettings::default(), root.table("ask"));
    let deadline = table.duration("deadline", DEADLINE);
    if deadline.is_some_and(|d| d > ttl) {
        table.wrong(
            "deadline",
            "no more than `mqtt.ttl`: past that a command is not acted on",
        );
    }
    let providers = provider::all(root, folders);
    // A model of one's own that has to be loaded is worth the wait: there is often nobody else.
    let usual_deadline = provider::longest_attempt(&providers)
        .map_or(usual.deadline, |attempt| attempt.max(usual.deadline))
        .min(ttl);
    RouterSettings {
        providers,
        deadline: deadline.unwrap_or(usual_deadline),
        attempts: table
            .whole("attempts", 1..=10)
            .and_then(NonZeroU32::new)
            .unwrap_or(usual.attempts),
        longest_pause: table
            .duration("longest_pause", PAUSE)
            .unwrap_or(usual.longest_pause),
        order: table
            .one_of(
                "order",
                &[
                    ("priority", settings::ProviderOrder::Priority),
                    ("fastest", settings::ProviderOrder::Fastest),
                ],
            )
            .unwrap_or_default(),
        hedge: table.flag("hedge").unwrap_or(usual.hedge),
        spend: spend(&table),
        stream: table.one_of("stream", &STREAMING).unwrap_or_default(),
        patience: table
            .duration("patience", PATIENCE)
            .unwrap_or(usual.patience),
    }
}

/// Dollars that may be spent in a day and a month.
pub(super) fn spend(table: &Table<'_>) -> Limits {
    let dollars = |key| {
        table
            .number(key, "dollars, from 0 to 1000000", |n| {
                (0.0..=1e6).contains(&n)
            })
            .map(Money::dollars)
    };
    Limits {
        per_day: dollars("spend_per_day"),
        per_month: dollars("spend_per_month"),
    }
}

fn log(table: &Table<'_>, folders: &Folders<'_>) -> log::Settings {
    let filter = table.text_as("filter", |text| match log::filter(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("a log filter such as \"warn,sayso=debug\""),
    });
    let usual = log::Settings::default();
    let filter = folders.environment.filter.clone().or(filter);
    log::Settings {
        filter: filter.unwrap_or(usual.filter),
        journald: table
            .flag("journald")
            .unwrap_or(folders.environment.journald),
    }
}

/// Metrics tell when somebody is at home: they are for this machine alone, which passes them on if it wants.
fn metrics(table: &Table<'_>) -> Option<scrape::Address> {
    table.text_as("listen", |text| match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(scrape::Address::Socket(PathBuf::from(path))),
        None if text.parse().is_ok_and(|port: SocketAddr| port.ip().is_loopback() && port.port() > 0) => {
            text.parse().map(scrape::Address::Port).map_err(|_| "an address")
        }
        _ => Err("a port of this machine alone, such as \"127.0.0.1:9464\", or a socket such as \"unix:/run/sayso/metrics\""),
    })
}

fn daemon(table: &Table<'_>) -> DaemonSettings {
    let usual = DaemonSettings::default();
    DaemonSettings {
        grace: table.duration("grace", GRACE).unwrap_or(usual.grace),
        order: table
            .one_of(
                "order",
                &[
                    ("device", CommandOrder::Device),
                    ("source", CommandOrder::Source),
                ],
            )
            .unwrap_or(usual.order),
    }
}

pub(super) fn count<'f>(
    table: &Table<'f>,
    key: &'f str,
    range: RangeInclusive<u32>,
) -> Option<NonZeroUsize> {
    table
        .whole(key, range)
        .and_then(|n| NonZeroUsize::new(n as usize))
}

impl Folders<'_> {
    /// The file of this name, wherever it is looked for.
    fn existing(&self, name: &str) -> Option<PathBuf> {
        candidates(self.environment, &self.beside, name).find(|path| path.is_file())
    }

    /// Why it cannot be told whether there is a file of this name: a folder may not be looked into.
    fn closed(&self, name: &str) -> Option<io::Error> {
        let looked = candidates(self.environment, &self.beside, name)
            .filter_map(|path| fs::metadata(path).err());
        looked
            .into_iter()
            .find(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    fn looked_in(&self) -> String {
        let beside = if self.beside.as_os_str().is_empty() {
            "the current folder".to_owned()
        } else {
            format!("`{}`", self.beside.display())
        };
        match &self.environment.credentials {
            None => format!("{beside} or its folder `{CREDENTIALS}`"),
            Some(folder) => {
                let later = format!(
                    "one put into its folder `{CREDENTIALS}` later is handed over at the next start: systemctl restart sayso"
                );
                format!("`{}` or {beside}; {later}", folder.display())
            }
        }
    }
}

/// Where a file that the config names may be: an absolute name as it is, a relative one among systemd's credentials, beside the
/// config, and where the credentials come from.
pub(super) fn candidates(
    environment: &Environment,
    beside: &Path,
    name: &str,
) -> impl Iterator<Item = PathBuf> {
    // `LoadCredential=key:/etc/sayso/credentials` hands over a whole folder, each file of it as `key_<name>`.
    let credential = environment
        .credentials
        .iter()
        .flat_map(|folder| [folder.join(name), folder.join(format!("key_{name}"))]);
    // Where systemd hands them over, the folder they come from is closed to us: looking there would only find that out.
    let source = environment
        .credentials
        .is_none()
        .then(|| beside.join(CREDENTIALS).join(name));
    credential
        .chain([beside.join(name)])
        .chain(source)
        .collect::<Vec<_>>()
        .into_iter()
}
