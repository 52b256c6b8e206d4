//! `sayso check`: everything that is wrong, or what is set up.

use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use crate::config::{Config, Scope, units};
use crate::grammar::When;
use crate::pipeline::CommandOrder;
use crate::provider;

use crate::cli::{Exit, Files, Stop};

/// What is to be checked.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 all is well, 77 a file may not be read, 78 the config is wrong: each fault with file, line and key."
)]
pub(super) struct Check {
    #[command(flatten)]
    files: Files,
    /// Leave keys and passwords aside: for one who may not read them
    #[arg(long)]
    no_keys: bool,
}

/// Reads the files as the daemon would, and tells what they come to.
pub(super) fn check(check: &Check, out: &mut impl Write) -> Result<Exit, Stop> {
    let config = Config::load(
        &check
            .files
            .place(if check.no_keys {
                Scope::Home
            } else {
                Scope::Everything
            })
            .of_the_service(),
    )?;
    let lines = [
        (
            "config",
            file(config.files.config.as_deref(), "none: the defaults hold"),
        ),
        ("home", home(&config)),
        ("broker", broker(&config)),
        ("finds", finds(&config)),
        ("sources", sources(&config)),
        ("local", local(&config)),
        ("store", store(&config)),
        ("daemon", daemon(&config)),
    ];
    for (what, says) in lines {
        writeln!(out, "{what:8} {says}")?;
    }
    let providers = &config.ask.providers;
    if providers.is_empty() {
        writeln!(
            out,
            "{:8} none: only what is understood locally is done",
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

/// `1 device`, `3 devices`.
fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn home(config: &Config) -> String {
    let (home, path) = (&config.home, file(config.files.home.as_deref(), "none"));
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

fn finds(config: &Config) -> String {
    let discovery = &config.discovery;
    let mut from: Vec<String> = discovery
        .homeassistant
        .iter()
        .map(|prefix| format!("Home Assistant's announcements below {prefix}/"))
        .collect();
    from.extend(
        discovery
            .zigbee2mqtt
            .iter()
            .map(|base| format!("Zigbee2MQTT's below {base}/")),
    );
    from.extend(discovery.tasmota.then(|| "Tasmota's".to_owned()));
    if from.is_empty() {
        "no devices but those of the home file".to_owned()
    } else {
        format!("devices by {}", from.join(", "))
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
        "none: a command under way is lost with the process; name a folder with `store.path`";
    file(config.store.path.as_deref(), none)
}

fn daemon(config: &Config) -> String {
    let order = match config.daemon.order {
        CommandOrder::Device => "each device hears what was said in order",
        CommandOrder::Source => "each source is answered in order",
    };
    format!(
        "{order}; up to {} to finish when stopped",
        units::show_duration(config.daemon.grace)
    )
}

fn model(provider: &provider::Settings) -> String {
    let key = if provider.key.is_some() {
        "with a key"
    } else {
        "no key"
    };
    let reach = if is_near(&provider.base_url) {
        "works without the internet"
    } else {
        "needs the internet"
    };
    format!(
        "{}: {} at {}, {key}, {reach}",
        provider.name, provider.model, provider.base_url
    )
}

/// True of a server on this machine or this network.
fn is_near(base_url: &str) -> bool {
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
        // A bare name, or one of the ends that only a local network answers to.
        Err(_) => host
            .rsplit_once('.')
            .is_none_or(|(_, end)| matches!(end, "local" | "lan" | "internal")),
    }
}

fn offline(config: &Config) -> String {
    let near: Vec<&str> = config
        .ask
        .providers
        .iter()
        .filter(|p| is_near(&p.base_url))
        .map(|p| p.name.as_str())
        .collect();
    let local = match config.local.when {
        When::Never => "everyday commands are not understood locally (`local.use`)",
        When::First | When::Last => "everyday commands are understood locally",
    };
    match near[..] {
        [] => format!("{local}; what is recalled is done, anything else is refused"),
        _ => format!(
            "{local}; what is recalled is done, anything else goes to {}",
            near.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_works_without_the_internet() {
        for near in [
            "http://localhost:1/v1",
            "http://127.0.0.1/v1",
            "http://[::1]:8080/v1",
            "http://192.168.1.5:11434/v1",
            "http://ollama.lan/v1",
            "http://gpu:80/v1",
        ] {
            assert!(is_near(near), "{near}");
        }
        for far in ["https://api.openai.com/v1", "https://8.8.8.8/v1"] {
            assert!(!is_near(far), "{far}");
        }
    }
}
