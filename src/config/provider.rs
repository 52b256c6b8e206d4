//! The `[[provider]]` tables: the models that may be asked, in order of priority.

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::provider::price::{Limits, Prices};
use crate::provider::{Api, Settings, Structure, Timeouts, anthropic, gemini, model};

use crate::config::file::Table;
use crate::config::settings::{count, refuse_secrets, secret, spend};
use crate::config::{Folders, Scope};

/// An API, and what holds where nothing else is written.
struct Service {
    api: Api,
    /// Where it lives, up to its version where that is not part of it.
    home: &'static str,
    /// A fast and cheap model of it, 23 November 2026; none for a server that has only what was put there.
    model: Option<&'static str>,
    version: Option<&'static str>,
    /// Calls at the same time: a model on a machine of one's own takes one after the other.
    concurrency: NonZeroUsize,
    timeouts: Timeouts,
}

/// A service of others is quick, or ill.
const QUICK: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    first_byte: Duration::from_secs(8),
    between_bytes: Duration::from_secs(5),
    total: Duration::from_secs(12),
};
/// A machine of one's own first loads the model, which takes a Pi half a minute, and says nothing before all of the prompt is read.
const PATIENT: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    first_byte: Duration::from_secs(45),
    between_bytes: Duration::from_secs(10),
    total: Duration::from_secs(55),
};
const MANY: NonZeroUsize = NonZeroUsize::new(16).expect("sixteen is not zero");
const OPENAI: Service = Service {
    api: Api::OpenAi,
    home: "https://api.openai.com/v1",
    model: Some("gpt-6-luna"),
    version: None,
    concurrency: MANY,
    timeouts: QUICK,
};
const ANTHROPIC: Service = Service {
    api: Api::Anthropic,
    home: "https://api.anthropic.com/v1",
    model: Some("claude-haiku-5-5"),
    version: Some(anthropic::VERSION),
    concurrency: MANY,
    timeouts: QUICK,
};
const GEMINI: Service = Service {
    api: Api::Gemini,
    home: "https://generativelanguage.googleapis.com",
    model: Some("gemini-3.5-flash-lite"),
    version: Some(gemini::VERSION),
    concurrency: MANY,
    timeouts: QUICK,
};
const OLLAMA: Service = Service {
    api: Api::Ollama,
    home: "http://localhost:11434",
    model: None,
    version: None,
    concurrency: NonZeroUsize::MIN,
    timeouts: PATIENT,
};

const APIS: [(&str, &Service); 4] = [
    ("openai", &OPENAI),
    ("anthropic", &ANTHROPIC),
    ("gemini", &GEMINI),
    ("ollama", &OLLAMA),
];
/// As many as any prompt asks for: each asks for what its home may take.
const MAX_OUTPUT_TOKENS: u32 = 8192;
const WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(10);
/// Headers that are written by us, or by the connection.
const OURS: [&str; 6] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];
/// Headers a key goes in.
const KEYS: [&str; 6] = [
    "api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
    "x-goog-api-key",
];
/// What a reply's `via` says when no provider was asked.
const TAKEN: [&str; 3] = ["local", "cache", "none"];

/// Reads every provider.
pub(super) fn all(root: &Table<'_>, folders: &Folders<'_>) -> Vec<Settings> {
    let mut providers: Vec<Settings> = Vec::new();
    for table in root.list("provider") {
        if let Some(provider) = one(&table, folders) {
            if providers.iter().any(|other| other.name == provider.name) {
                table.wrong("name", "a name no other provider has");
            }
            providers.push(provider);
        }
    }
    providers
}

/// Every key is read before anything is missed, so that all faults are told.
fn one(table: &Table<'_>, folders: &Folders<'_>) -> Option<Settings> {
    refuse_secrets(table, &["key", "api_key", "token", "password"], "key_file");
    let name = table.text_as("name", name);
    let service = table.one_of("api", &APIS);
    let mistyped = service.is_none() && table.has("api");
    let service = service.unwrap_or(&OPENAI);
    let version = version(table, service);
    let base_url = table.text_as("base_url", base_url);
    let at_home = !table.has("base_url");
    let sound_url = base_url.is_some() || at_home;
    let model = table.text("model").or_else(|| {
        service
            .model
            .filter(|_| at_home && !table.has("model"))
            .map(str::to_owned)
    });
    for (key, missing, needed) in [
        ("name", "what you call it", true),
        ("model", "the model's id", model.is_none()),
    ] {
        if needed && !table.has(key) {
            table.say(key, format!("missing: {missing}"));
        }
    }
    let key = secret(
        table,
        "key_file",
        folders,
        &[Scope::Everything, Scope::Models],
    );
    let per_minute = |key| table.whole(key, 1..=u32::MAX).and_then(NonZeroU32::new);
    let probe = probe(table, service, base_url.as_deref());
    let provider = Settings {
        probe,
        name: name.clone().unwrap_or_default(),
        api: service.api,
        base_url: base_url.unwrap_or_else(|| service.address(version.as_deref())),
        model: model.clone().unwrap_or_default(),
        key_header: table.text_as("key_header", header_name),
        headers: headers(table, service, version),
        structure: structure(table),
        reasoning_effort: table.text("reasoning_effort"),
        max_output_tokens: table
            .whole("max_output_tokens", 16..=1 << 20)
            .unwrap_or(MAX_OUTPUT_TOKENS),
        requests_per_minute: per_minute("requests_per_minute"),
        tokens_per_minute: per_minute("tokens_per_minute"),
        concurrency: count(table, "concurrency", 1..=256).unwrap_or(service.concurrency),
        timeouts: timeouts(&table.table("timeouts"), service.timeouts),
        prices: prices(&table.table("prices"))
            .or_else(|| model::prices(service.api, model.as_deref()?)),
        weight: table.whole("weight", 1..=1000).and_then(NonZeroU32::new),
        spend: spend(table),
        key,
    };
    if provider.spend != Limits::default() && provider.prices.is_none() {
        table.say(
            "prices",
            "missing: what is spent can only be limited where the prices are known",
        );
    }
    // Whoever has models of its own to offer wants to be paid for them.
    let wants_key = !mistyped
        && service.model.is_some()
        && sound_url
        && provider.base_url.starts_with(service.home);
    if wants_key && !table.has("key_file") {
        table.say(
            "key_file",
            format!(
                "missing: {} wants a key; name the file it stands in",
                provider.base_url
            ),
        );
    }
    (name.is_some() && model.is_some()).then_some(provider)
}

impl Service {
    /// The usual address, of a version that is part of it where one is written.
    fn address(&self, version: Option<&str>) -> String {
        match self.api {
            Api::Gemini => format!(
                "{}/{}",
                self.home,
                version.or(self.version).unwrap_or_default()
            ),
            Api::OpenAi | Api::Anthropic | Api::Ollama => self.home.to_owned(),
        }
    }
}

fn version(table: &Table<'_>, service: &Service) -> Option<String> {
    if table.has("api_version") && service.version.is_none() {
        table.say("api_version", "this API has none: leave it out");
        table.allow("api_version");
        return None;
    }
    if table.has("api_version") && table.has("base_url") && service.api == Api::Gemini {
        table.say(
            "api_version",
            "`base_url` ends with the version already: write one of them",
        );
    }
    table.text_as("api_version", |text| {
        let fits = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        if fits {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "a version such as \"{}\"",
                service.version.unwrap_or_default()
            ))
        }
    })
}

fn header_name(text: &str) -> Result<HeaderName, &'static str> {
    HeaderName::try_from(text).map_err(|_| "the name of a header, such as \"api-key\"")
}

fn headers(table: &Table<'_>, service: &Service, version: Option<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let written = table.table("headers");
    for (key, value) in written.pairs() {
        let name = key.to_lowercase();
        if KEYS.contains(&name.as_str()) {
            written.say(key, "a secret must not stand in this file: put it in a file of its own, and name that with `key_file`");
        } else if OURS.contains(&name.as_str()) {
            written.say(key, "this one cannot be changed");
        } else {
            match (
                header_name(key),
                value
                    .as_str()
                    .and_then(|text| HeaderValue::from_str(text).ok()),
            ) {
                (Ok(name), Some(value)) => _ = headers.insert(name, value),
                (Err(_), _) => written.say(key, "no name of a header"),
                (_, None) => written.wrong(key, "a text that can be sent in a header"),
            }
        }
    }
    if let Some(version) = version
        .filter(|_| service.api == Api::Anthropic)
        .and_then(|version| HeaderValue::try_from(version).ok())
    {
        headers.insert(anthropic::VERSION_HEADER, version);
    }
    headers
}

/// As providers list them: dollars per million tokens.
fn prices(table: &Table<'_>) -> Option<Prices> {
    let price = |key| {
        table.number(key, "dollars per million tokens, from 0 to 10000", |n| {
            (0.0..=10_000.0).contains(&n)
        })
    };
    let (input, cached, written, output) = (
        price("in"),
        price("cached_in"),
        price("cache_write"),
        price("out"),
    );
    if table.exists() {
        for key in ["in", "out"] {
            if !table.has(key) {
                table.say(key, "missing: dollars per million tokens");
            }
        }
    }
    Some(Prices::listed(input?, cached, written, output?))
}

fn structure(table: &Table<'_>) -> Structure {
    let words = [
        ("schema", Structure::Schema),
        ("json", Structure::Json),
        ("none", Structure::None),
    ];
    table.one_of("structure", &words).unwrap_or_default()
}

fn name(text: &str) -> Result<String, &'static str> {
    let fits = (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if TAKEN.contains(&text) {
        return Err("another name: `local`, `cache` and `none` mean that no provider was asked");
    }
    if fits {
        Ok(text.to_owned())
    } else {
        Err("a name of 1 to 32 letters, digits, `-`, `_` and `.`")
    }
}

fn base_url(text: &str) -> Result<String, &'static str> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let fits = rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty()
            && !host.contains('@')
            && !rest
                .contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#'))
    });
    if fits {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(
            "an http or https address up to and with the version, such as \"http://localhost:11434/v1\"",
        )
    }
}

/// Asking what models there are costs nothing, but is nobody else's business: a service of others is only asked where that is wanted.
fn probe(table: &Table<'_>, service: &Service, base_url: Option<&str>) -> bool {
    let written = table.flag("probe");
    match service.api {
        Api::Anthropic | Api::Gemini => {
            if written == Some(true) {
                table.say(
                    "probe",
                    "nothing of this API tells for certain that it is back: leave it out",
                );
            }
            false
        }
        Api::OpenAi | Api::Ollama => {
            written.unwrap_or_else(|| is_own(base_url.unwrap_or(service.home)))
        }
    }
}

/// An address on this machine or in its network, as far as the address itself tells.
fn is_own(base_url: &str) -> bool {
    let Some(host) = Url::parse(base_url)
        .ok()
        .and_then(|url| url.host_str().map(str::to_owned))
    else {
        return false;
    };
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
        Err(_) => {
            !host.contains('.')
                || [".local", ".lan", ".home.arpa", ".internal"]
                    .iter()
                    .any(|end| host.ends_with(end))
        }
    }
}

/// The time for one attempt at a model that may have to be loaded first.
pub(super) fn longest_attempt(providers: &[Settings]) -> Option<Duration> {
    providers
        .iter()
        .filter(|provider| provider.api == Api::Ollama)
        .map(|provider| provider.timeouts.total)
        .max()
}

fn timeouts(table: &Table<'_>, usual: Timeouts) -> Timeouts {
    let total = table.duration("total", WAIT);
    let part = |key, of: Duration| {
        let wait = table.duration(key, WAIT);
        if wait.is_some_and(|wait| wait > total.unwrap_or(usual.total)) {
            table.wrong(key, "no more than `total`");
        }
        wait.unwrap_or(of).min(total.unwrap_or(of))
    };
    let (connect, first_byte, between_bytes) = (
        part("connect", usual.connect),
        part("first_byte", usual.first_byte),
        part("between_bytes", usual.between_bytes),
    );
    Timeouts {
        connect,
        first_byte,
        between_bytes,
        total: total.unwrap_or(usual.total),
    }
}
