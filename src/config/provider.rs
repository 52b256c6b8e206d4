//! The `[[provider]]` tables, in order of priority.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::provider::price::{Limits, Prices};
use crate::provider::{
    APIS, ApiSpec, ApiVersion, AptitudeTest, Settings, Structure, Timeouts, openai,
};

use crate::config::folders::Folders;
use crate::config::table::Table;
use crate::config::values::{
    count, is_plain_name, key_fault, reject_inline_secrets, secret, spend,
};

/// Default limit of output tokens; each prompt requests as many as its home may need, up to this.
const MAX_OUTPUT_TOKENS: u32 = 8192;
const WAIT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(10);
/// Headers set by sayso or by the HTTP connection.
const RESERVED_HEADERS: [&str; 6] = [
    "accept",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];
/// Headers that carry secrets at gateways, in addition to those of the APIs.
const SECRET_HEADERS: [&str; 5] = [
    "api-key",
    "authorization",
    "cookie",
    "proxy-authorization",
    "x-api-key",
];
/// Values of `via` in replies that do not come from a provider.
const RESERVED_NAMES: [&str; 3] = ["local", "cache", "none"];

/// Reads all providers.
pub(super) fn all(root: &Table<'_>, folders: &Folders<'_>) -> Vec<Settings> {
    let mut providers: Vec<Settings> = Vec::new();
    for table in root.list("provider") {
        if let Some(provider) = one(&table, folders) {
            if providers.iter().any(|other| other.name == provider.name) {
                table.reject("name", "a name that no other provider has");
            }
            providers.push(provider);
        }
    }
    providers
}

/// Reads one provider. All keys are read before the function returns, so that all faults are
/// reported.
fn one(table: &Table<'_>, folders: &Folders<'_>) -> Option<Settings> {
    reject_inline_secrets(table, &["key", "api_key", "token", "password"], "key_file");
    let name = table.text_as("name", name);
    let apis = APIS.map(|spec| (spec.name, spec));
    let chosen: Option<&'static ApiSpec> = table.one_of("api", &apis);
    let is_mistyped = chosen.is_none() && table.has("api");
    let spec = chosen.unwrap_or(&openai::SPEC);
    let version = version(table, spec);
    let base_url = table.text_as("base_url", base_url);
    let is_default_url = !table.has("base_url");
    let is_valid_url = base_url.is_some() || is_default_url;
    let model = table.text("model").or_else(|| {
        spec.default_model
            .filter(|_| is_default_url && !table.has("model"))
            .map(str::to_owned)
    });
    report_missing(table, model.is_none());
    let key = secret(
        table,
        "key_file",
        folders,
        folders.needs.has_provider_keys(),
    );
    if let Some(fault) = key.as_ref().and_then(key_fault) {
        table.report("key_file", fault);
    }
    let per_minute = |key| table.whole(key, 1..=u32::MAX).and_then(NonZeroU32::new);
    let probe = probe(table, spec, base_url.as_deref());
    let is_small = is_small(table, spec, base_url.as_deref());
    let provider = Settings {
        probe,
        is_small,
        trusted: table.flag("trusted").unwrap_or(false),
        aptitude_test: aptitude_test(table),
        name: name.clone().unwrap_or_default(),
        api: spec,
        base_url: base_url.unwrap_or_else(|| spec.address(version.as_deref())),
        model: model.clone().unwrap_or_default(),
        key_header: table.text_as("key_header", header_name),
        headers: headers(table, spec, version),
        structure: structure(table),
        reasoning_effort: table.text("reasoning_effort"),
        max_output_tokens: table
            .whole("max_output_tokens", 16..=1 << 20)
            .unwrap_or(MAX_OUTPUT_TOKENS),
        requests_per_minute: per_minute("requests_per_minute"),
        tokens_per_minute: per_minute("tokens_per_minute"),
        concurrency: count(table, "concurrency", 1..=256).unwrap_or(spec.concurrency),
        timeouts: timeouts(&table.table("timeouts"), spec.timeouts),
        prices: prices(&table.table("prices")).or_else(|| spec.prices(model.as_deref()?)),
        weight: table.whole("weight", 1..=1000).and_then(NonZeroU32::new),
        spend: spend(table),
        key,
    };
    check_spend(table, &provider);
    if !is_mistyped && is_valid_url {
        check_key(table, &provider);
    }
    (name.is_some() && model.is_some()).then_some(provider)
}

/// Reports required keys that are missing.
fn report_missing(table: &Table<'_>, is_model_missing: bool) {
    for (key, missing, is_required) in [
        ("name", "a name of your choice", true),
        ("model", "the model's id", is_model_missing),
    ] {
        if is_required && !table.has(key) {
            table.report(key, format!("missing: {missing}"));
        }
    }
}

/// Reports a spending limit without prices, which cannot be enforced.
fn check_spend(table: &Table<'_>, provider: &Settings) {
    if provider.spend != Limits::default() && provider.prices.is_none() {
        table.report(
            "prices",
            "missing: spending can only be limited if the prices are known",
        );
    }
}

/// Reports a missing key file for a hosted service, which is recognized by the API's default
/// address and model.
fn check_key(table: &Table<'_>, provider: &Settings) {
    let needs_key = provider.api.default_model.is_some()
        && provider.base_url.starts_with(provider.api.base_url);
    if needs_key && !table.has("key_file") {
        table.report(
            "key_file",
            format!(
                "missing: {} needs a key; name the file that contains it",
                provider.base_url
            ),
        );
    }
}

fn version(table: &Table<'_>, spec: &ApiSpec) -> Option<String> {
    if table.has("api_version") && spec.version.is_none() {
        table.report("api_version", "this API has no version: remove the key");
        table.mark_known("api_version");
        return None;
    }
    let is_in_path = matches!(spec.version, Some(ApiVersion::InPath(_)));
    if table.has("api_version") && table.has("base_url") && is_in_path {
        table.report(
            "api_version",
            "`base_url` ends with the version already: write only one of them",
        );
    }
    table.text_as("api_version", |text| {
        let is_valid = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        if is_valid {
            Ok(text.to_owned())
        } else {
            Err(format!(
                "a version such as \"{}\"",
                spec.version.as_ref().map_or("", ApiVersion::number)
            ))
        }
    })
}

fn header_name(text: &str) -> Result<HeaderName, &'static str> {
    HeaderName::try_from(text).map_err(|_| "the name of a header, such as \"api-key\"")
}

/// Returns whether a header, in lower case, carries a secret.
pub fn is_secret_header(header: &str) -> bool {
    SECRET_HEADERS.contains(&header) || APIS.iter().any(|spec| spec.key_header == header)
}

fn headers(table: &Table<'_>, spec: &ApiSpec, version: Option<String>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let written = table.table("headers");
    for (key, value) in written.pairs() {
        let name = key.to_lowercase();
        if is_secret_header(&name) {
            written.report(
                key,
                "a secret must not be in this file: put it into a file of its own \
                and name that file with `key_file`",
            );
        } else if RESERVED_HEADERS.contains(&name.as_str()) {
            written.report(key, "this header cannot be changed");
        } else {
            match (
                header_name(key),
                value
                    .as_str()
                    .and_then(|text| HeaderValue::from_str(text).ok()),
            ) {
                (Ok(name), Some(value)) => _ = headers.insert(name, value),
                (Err(_), _) => written.report(key, "not a valid header name"),
                (_, None) => written.reject(key, "a text that can be sent in a header"),
            }
        }
    }
    if let Some(ApiVersion::InHeader(name, _)) = spec.version
        && let Some(version) = version.and_then(|version| HeaderValue::try_from(version).ok())
    {
        headers.insert(HeaderName::from_static(name), version);
    }
    headers
}

/// Reads prices in dollars per million tokens, as providers list them.
fn prices(table: &Table<'_>) -> Option<Prices> {
    let price = |key| {
        table.number(
            key,
            "a number of dollars per million tokens, from 0 to 10000",
            |n| (0.0..=10_000.0).contains(&n),
        )
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
                table.report(key, "missing: dollars per million tokens");
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

fn aptitude_test(table: &Table<'_>) -> AptitudeTest {
    match table.flag("aptitude_test") {
        Some(false) => AptitudeTest::Never,
        Some(true) | None => AptitudeTest::IfSmall,
    }
}

fn name(text: &str) -> Result<String, &'static str> {
    if RESERVED_NAMES.contains(&text) {
        return Err(
            "another name: in replies `local`, `cache` and `none` mean that no provider was used",
        );
    }
    if is_plain_name(text, 32) {
        Ok(text.to_owned())
    } else {
        Err("a name of 1 to 32 letters, digits, `-`, `_` and `.`")
    }
}

fn base_url(text: &str) -> Result<String, &'static str> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_valid = rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !host.is_empty()
            && !host.contains('@')
            && !rest
                .contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#'))
    });
    if is_valid {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err("an http or https address up to and with the version, such \
             as \"http://localhost:11434/v1\"")
    }
}

/// Returns whether to probe the provider while its breaker is open. Listing the models is free, but
/// a hosted service is contacted only if configured.
fn probe(table: &Table<'_>, spec: &ApiSpec, base_url: Option<&str>) -> bool {
    let written = table.flag("probe");
    if spec.free_probe.is_some() {
        return written.unwrap_or_else(|| is_local(base_url.unwrap_or(spec.base_url)));
    }
    if written == Some(true) {
        table.report(
            "probe",
            "this API has no request that shows its availability: remove the key",
        );
    }
    false
}

/// Returns whether the model gets the narrow variant of prompts: by default one at a local address,
/// which is rarely large.
fn is_small(table: &Table<'_>, spec: &ApiSpec, base_url: Option<&str>) -> bool {
    let written = table.flag("small");
    written.unwrap_or_else(|| spec.is_local || is_local(base_url.unwrap_or(spec.base_url)))
}

/// Returns true for an address on this machine or in its network, as far as the address shows.
fn is_local(base_url: &str) -> bool {
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

/// Returns the longest time limit of the local providers, which may have to load the model first.
pub(super) fn longest_attempt(providers: &[Settings]) -> Option<Duration> {
    providers
        .iter()
        .filter(|provider| provider.api.is_local)
        .map(|provider| provider.timeouts.total)
        .max()
}

fn timeouts(table: &Table<'_>, default: Timeouts) -> Timeouts {
    let total = table.duration("total", WAIT);
    let part = |key, of: Duration| {
        let wait = table.duration(key, WAIT);
        if wait.is_some_and(|wait| wait > total.unwrap_or(default.total)) {
            table.reject(key, "at most `total`");
        }
        wait.unwrap_or(of).min(total.unwrap_or(of))
    };
    let connect = part("connect", default.connect);
    let first_byte = part("first_byte", default.first_byte);
    let between_bytes = part("between_bytes", default.between_bytes);
    Timeouts {
        connect,
        first_byte,
        between_bytes,
        total: total.unwrap_or(default.total),
    }
}
