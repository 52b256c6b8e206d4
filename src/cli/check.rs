//! `sayso check`: reports all faults of the config and the home, or a summary of the configuration.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use crate::config::{Config, Scope, units};
use crate::grammar::When;
use crate::pipeline::CommandOrder;
use crate::provider;

use crate::cli::arguments::FileArguments;
use crate::cli::doctor;
use crate::cli::exit::{Exit, Failure};
use crate::cli::plural::count;

/// Arguments of `sayso check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 no fault, 77 a file may not be read, 78 the config is wrong: each \
        fault with file, line and key."
)]
pub(super) struct Check {
    #[command(flatten)]
    files: FileArguments,
    /// Do not read keys and passwords, for users who may not read them
    #[arg(long)]
    no_keys: bool,
}

/// Reads the files as the daemon does, and prints a summary.
pub(super) fn check(check: &Check, out: &mut impl Write) -> Result<Exit, Failure> {
    let scope = if check.no_keys {
        Scope::Home
    } else {
        Scope::Everything
    };
    let location = check.files.location(scope).of_the_service();
    let config = Config::load(&location)?;
    // The daemon would start with these, but they are as serious as a fault of the config.
    let faults = doctor::file_faults(&location);
    if !faults.is_empty() {
        return Err(Failure::new(Exit::Config, faults.join("\nsayso: ")));
    }
    let lines = [
        (
            "config",
            file(config.files.config.as_deref(), "none: the defaults apply"),
        ),
        ("home", home(&config)),
        ("broker", broker(&config)),
        ("devices", discovery(&config)),
        ("sources", sources(&config)),
        ("local", local(&config)),
        ("store", store(&config)),
        ("daemon", daemon(&config)),
    ];
    for (section, summary) in lines {
        writeln!(out, "{section:8} {summary}")?;
    }
    let providers = &config.ask.providers;
    if providers.is_empty() {
        writeln!(
            out,
            "{:8} none: only locally understood commands are done",
            "models"
        )?;
    }
    for (n, provider) in providers.iter().enumerate() {
        writeln!(
            out,
            "{:8} {}. {}",
            if n == 0 { "models" } else { "" },
            n + 1,
            model(provider)
        )?;
    }
    writeln!(out, "{:8} {}", "offline", offline(&config))?;
    Ok(Exit::Done)
}

fn file(path: Option<&Path>, none: &str) -> String {
    path.map_or_else(|| none.to_owned(), |path| path.display().to_string())
}

fn home(config: &Config) -> String {
    let home = &config.home;
    let path = file(config.files.home.as_deref(), "none");
    format!(
        "{path}: {} in {}",
        count(home.devices().len(), "device"),
        count(home.areas().len(), "area")
    )
}

fn broker(config: &Config) -> String {
    let mqtt = &config.mqtt;
    let tls = if mqtt.tls.is_some() { "TLS" } else { "no TLS" };
    let login = mqtt.login.as_ref().map_or_else(
        || "no login".to_owned(),
        |login| format!("as {}", login.username),
    );
    format!(
        "{}:{}, {tls}, {login}; commands on {}/command/<source>",
        mqtt.host, mqtt.port, mqtt.prefix
    )
}

fn discovery(config: &Config) -> String {
    let discovery = &config.discovery;
    let mut protocols = Vec::new();
    if let Some(prefix) = &discovery.homeassistant {
        protocols.push(format!("Home Assistant ({prefix}/)"));
    }
    for base in &discovery.zigbee2mqtt {
        protocols.push(format!("Zigbee2MQTT ({base}/)"));
    }
    if discovery.tasmota {
        protocols.push("Tasmota (tasmota/discovery/)".to_owned());
    }
    if protocols.is_empty() {
        "only those of the home file: discovery is off".to_owned()
    } else {
        format!("discovery by {}", protocols.join(", "))
    }
}

fn sources(config: &Config) -> String {
    let rules = &config.home.rights().by_source;
    let mut named: Vec<&str> = rules
        .keys()
        .map(String::as_str)
        .filter(|name| *name != "*")
        .collect();
    named.sort_unstable();
    let others = if rules.contains_key("*") {
        "the rules of \"*\""
    } else {
        "everything allowed"
    };
    if named.is_empty() {
        format!("all: {others}")
    } else {
        format!("rules for {}; all others: {others}", named.join(", "))
    }
}

fn local(config: &Config) -> String {
    let when = match config.local.when {
        When::First => "used first",
        When::Last => "used when no model can be reached",
        When::Never => "never used",
    };
    format!("{when}, language {}", config.local.language)
}

fn store(config: &Config) -> String {
    let none =
        "none: commands in flight are lost if the process ends; set a folder with `store.path`";
    file(config.store.path.as_deref(), none)
}

fn daemon(config: &Config) -> String {
    let order = match config.daemon.order {
        CommandOrder::Device => "commands for one device are done in order",
        CommandOrder::Source => "commands of one source are answered in order",
    };
    format!(
        "{order}; up to {} to finish them when the daemon stops",
        units::show_duration(config.daemon.grace)
    )
}

fn model(provider: &provider::Settings) -> String {
    let key = if provider.key.is_some() {
        "with a key"
    } else {
        "no key"
    };
    let reach = if is_local(&provider.base_url) {
        "works without the internet"
    } else {
        "needs the internet"
    };
    format!(
        "{}: {} at {}, {key}, {reach}",
        provider.name, provider.model, provider.base_url
    )
}

/// Returns true for a server on this machine or in its network.
fn is_local(base_url: &str) -> bool {
    let authority = base_url
        .split_once("://")
        .map_or(base_url, |(_, rest)| rest)
        .split('/')
        .next()
        .unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    match host.parse() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        // A name without domain, or with a domain that only exists in local networks.
        Err(_) => host
            .rsplit_once('.')
            .is_none_or(|(_, end)| matches!(end, "local" | "lan" | "internal")),
    }
}

fn offline(config: &Config) -> String {
    let local_providers: Vec<&str> = config
        .ask
        .providers
        .iter()
        .filter(|p| is_local(&p.base_url))
        .map(|p| p.name.as_str())
        .collect();
    let local = match config.local.when {
        When::Never => "common commands are not understood locally (`local.use`)",
        When::First | When::Last => "common commands are understood locally",
    };
    match local_providers[..] {
        [] => format!("{local}; cached ones are done, all others are refused"),
        _ => format!(
            "{local}; cached ones are done, all others go to {}",
            local_providers.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_in_the_local_network_are_recognised() {
        for url in [
            "http://localhost:1/v1",
            "http://127.0.0.1/v1",
            "http://[::1]:8080/v1",
            "http://192.168.1.5:11434/v1",
            "http://ollama.lan/v1",
            "http://gpu:80/v1",
        ] {
            assert!(is_local(url), "{url}");
        }
        for url in ["https://api.openai.com/v1", "https://8.8.8.8/v1"] {
            assert!(!is_local(url), "{url}");
        }
    }
}
