//! What the pages say is true: their configuration loads, their commands are read, their words are
//! the program's.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sayso::testing::command::reply::RefusalCode;
use sayso::testing::config::{Config, ConfigLocation};
use sayso::testing::provider::APIS;
use sayso::testing::vocabulary::properties::PROPERTIES;

use crate::connection::certificates;
use crate::daemon::Daemon;
use crate::doctor::{doctor, with_access_list, with_login};
use crate::listener::Listener;
use crate::scene::PATIENCE;

fn root() -> PathBuf {
    PathBuf::from(crate::REPOSITORY)
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The pages for people, by their names.
fn pages() -> Vec<(String, String)> {
    let docs = fs::read_dir(root().join("docs"))
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    let names = docs.chain([
        "README.md".to_owned(),
        "SECURITY.md".to_owned(),
        "deploy/README.md".to_owned(),
    ]);
    names.map(|name| (name.clone(), read(&name))).collect()
}

/// The fenced blocks of a page: what stands behind the fence, and what is inside.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let (mut found, mut open): (Vec<(&str, String)>, _) = (Vec::new(), false);
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(kind) if !open => {
                open = true;
                found.push((kind, String::new()));
            }
            Some(_) => open = false,
            None if open => found.last_mut().unwrap().1.extend([line, "\n"]),
            None => {}
        }
    }
    found
}

#[test]
fn the_configuration_of_the_pages_loads() {
    let mut loaded = 0;
    for (name, page) in pages() {
        for (kind, text) in blocks(&page) {
            let mut words = kind.split(' ');
            let (Some("toml"), Some(what @ ("config" | "home"))) = (words.next(), words.next())
            else {
                continue;
            };
            let folder = tempfile::tempdir().unwrap();
            let config = folder.path().join("sayso.toml");
            fs::write(&config, if what == "config" { &text } else { "" }).unwrap();
            fs::write(
                folder.path().join("home.toml"),
                if what == "home" {
                    &text
                } else {
                    "[area.kitchen]\n"
                },
            )
            .unwrap();
            for file in words.filter_map(|word| word.split_once('=')) {
                if file.1 == "ca.pem" {
                    certificates(folder.path());
                } else {
                    fs::write(folder.path().join(file.1), "x").unwrap();
                }
            }
            Config::load(&ConfigLocation::at(config))
                .unwrap_or_else(|faults| panic!("{name}:\n{text}\n{faults}"));
            loaded += 1;
        }
    }
    assert!(loaded >= 12, "only {loaded} blocks");
}

#[test]
fn the_containers_have_files_that_exist_and_configs_that_load() {
    let compose = read("deploy/compose.yaml");
    let mut mounted = 0;
    for line in compose.lines() {
        let Some(mount) = line.trim().strip_prefix("- ./") else {
            continue;
        };
        let (file, _) = mount.split_once(':').expect("a place in the container");
        // The operator makes the passwords.
        if !file.starts_with("compose/secrets/") {
            assert!(root().join("deploy").join(file).is_file(), "{file}");
            mounted += 1;
        }
    }
    assert!(mounted >= 8, "only {mounted} files");
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("sayso.key");
    fs::write(&key, "x").unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    let source = root().join("deploy/compose");
    fs::copy(source.join("home.toml"), folder.path().join("home.toml")).unwrap();
    for node in ["a", "b"] {
        let config = folder.path().join("sayso.toml");
        fs::copy(source.join(format!("sayso-{node}.toml")), &config).unwrap();
        let output = Command::new(crate::PROGRAM)
            .arg("check")
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        assert!(output.status.success(), "{node}: {output:?}");
        let loaded = Config::load(&ConfigLocation::at(config)).unwrap();
        assert_eq!(loaded.pair.unwrap().node, node);
    }
}

/// The words of a line of a shell, for the quotes we use.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate().flat_map(|(n, part)| {
        if n % 2 == 1 {
            vec![part.to_owned()]
        } else {
            part.split_whitespace().map(str::to_owned).collect()
        }
    });
    quoted
        .take_while(|word| !["|", "<", ">", "#", "&&"].contains(&word.as_str()))
        .collect()
}

#[test]
fn the_commands_of_the_pages_are_read() {
    let mut tried = 0;
    for (name, page) in pages() {
        let lines = blocks(&page)
            .into_iter()
            .filter(|(kind, _)| *kind == "sh")
            .flat_map(|(_, text)| text.lines().map(str::to_owned).collect::<Vec<_>>());
        let inline = page
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| !code.contains('\n') && !code.contains(".."))
            .map(str::to_owned);
        for line in lines.chain(inline) {
            let Some(arguments) = line
                .strip_prefix("sudo ")
                .unwrap_or(&line)
                .strip_prefix("sayso ")
            else {
                continue;
            };
            let output = Command::new(crate::PROGRAM)
                .args(words(arguments))
                .arg("--help")
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{name}: `{line}`: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            tried += 1;
        }
    }
    assert!(tried >= 25, "only {tried} commands");
}

#[test]
fn links_lead_somewhere() {
    for (name, page) in pages() {
        let beside = root().join(Path::new(&name).parent().unwrap());
        for link in page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|link| !link.contains("://"))
        {
            assert!(
                beside.join(link.split('#').next().unwrap()).exists(),
                "{name}: {link}"
            );
        }
    }
}

#[test]
fn every_refusal_has_a_row_in_the_docs() {
    let troubles = read("docs/troubles.md");
    assert!(!RefusalCode::ALL.is_empty());
    for code in RefusalCode::ALL {
        assert!(
            troubles.contains(&format!("| `{code}` |")),
            "docs/troubles.md lacks `{code}`"
        );
    }
}

#[test]
fn every_api_is_in_the_docs_and_the_shipped_configuration() {
    let models = read("docs/models.md");
    let shipped = read("config/sayso.toml");
    let (setup, readme) = (read("docs/providers.md"), read("README.md"));
    let (_, in_readme) = readme.split_once("\napi = ").unwrap();
    let (_, in_readme) = in_readme.split_once("\napi = ").unwrap();
    let in_readme = in_readme.lines().next().unwrap();
    assert!(!APIS.is_empty());
    for api in APIS {
        let name = api.name;
        assert!(
            setup.contains(&format!("\"{name}\"")) && in_readme.contains(name),
            "docs/providers.md or the example of README.md lacks `{name}`"
        );
        assert!(
            models.contains(&format!("| `{name}` |")),
            "docs/models.md lacks `{name}`"
        );
        assert!(
            shipped.contains(&format!("\"{name}\": ")),
            "config/sayso.toml does not explain `api = \"{name}\"`"
        );
        let header = Some(api.key_header).filter(|header| *header != "authorization");
        let defaults = [Some(api.base_url), api.default_model, header];
        for default in defaults.into_iter().flatten() {
            assert!(
                shipped.contains(&format!("\"{default}")),
                "config/sayso.toml lacks `{default}`, a default of `{name}`"
            );
        }
    }
}

#[test]
fn every_property_is_in_the_docs_of_the_payload() {
    let page = read("docs/mqtt.md");
    let (_, section) = page.split_once("## Actions and properties").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let home = read("config/home.toml");
    assert!(!PROPERTIES.is_empty());
    for property in &PROPERTIES {
        let name = property.name;
        assert!(
            section.contains(&format!("`{name}`")),
            "docs/mqtt.md lacks `{name}`"
        );
        assert!(
            !property.own_options || home.contains(name),
            "config/home.toml lacks `{name}`, which has options of its own"
        );
    }
}

/// Adds the source files of a folder, without their unit tests, to a text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            sources(&entry.path(), text);
        } else {
            let source = fs::read_to_string(entry.path()).unwrap();
            let program = source.split("#[cfg(test)]\nmod tests {").next();
            text.push_str(&joined(program.unwrap_or_default()));
        }
    }
}

/// The text of a source file with the texts in it that continue on another line joined.
fn joined(source: &str) -> String {
    let mut parts = source.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start())
}

/// The beginnings of the log lines that the page explains.
fn explained_lines(troubles: &str) -> Vec<&str> {
    let section = troubles.split("## What the log says").nth(1).unwrap();
    let tables = section.split("\n## ").next().unwrap();
    tables
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect()
}

/// The arguments of a macro call: the text up to its closing parenthesis.
fn arguments(call: &str) -> &str {
    let (mut depth, mut is_text, mut is_escaped) = (1_usize, false, false);
    for (at, char) in call.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_text = !is_text,
            '(' if !is_text => depth += 1,
            ')' if !is_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &call[..at];
        }
    }
    panic!("a call without an end: {call:.100}")
}

/// The messages of the warnings and errors in a source text: the last text of each `warn!` and
/// `error!`. One that consists of a variable alone is left out.
fn warnings(source: &str) -> Vec<&str> {
    let calls = source.split("warn!(").skip(1);
    calls
        .chain(source.split("error!(").skip(1))
        .filter_map(|rest| arguments(rest).rsplit('"').nth(1))
        .filter(|message| !message.starts_with('{'))
        .collect()
}

#[test]
fn the_log_lines_explained_are_those_of_the_program() {
    let (mut source, troubles) = (String::new(), read("docs/troubles.md"));
    sources(&root().join("src"), &mut source);
    let explained = explained_lines(&troubles);
    for line in &explained {
        assert!(
            source.contains(&format!("\"{line}")),
            "the program does not log `{line}`"
        );
    }
    let warnings = warnings(&source);
    assert!(warnings.len() > 60, "{warnings:?}");
    let is_explained = |message: &&str| explained.iter().any(|line| message.starts_with(line));
    let missing: Vec<&str> = warnings.into_iter().filter(|m| !is_explained(m)).collect();
    assert!(
        missing.is_empty(),
        "docs/troubles.md does not explain {missing:#?}"
    );
}

/// The access list of the page lets sayso work and the kiosk speak as itself, and nothing else.
#[tokio::test]
async fn the_access_list_of_the_page_does() {
    let install = read("docs/install.md");
    let acl = blocks(&install)
        .into_iter()
        .find(|(_, text)| text.starts_with("user kiosk"))
        .unwrap()
        .1;
    let broker = with_access_list(&acl).await;
    let place = with_login(&broker, Some("secret"));
    let daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    let mut kiosk = Listener::connect_as(broker.port(), "kiosk", "secret");
    let mut witness = Listener::connect_as(broker.port(), "witness", "secret");
    kiosk.subscribe("sayso/reply/kiosk").await;
    witness.subscribe("zigbee2mqtt/#").await;
    for topic in ["zigbee2mqtt/Front door/set", "sayso/command/owner"] {
        kiosk.publish(topic, "unlock the front door").await;
    }
    kiosk
        .publish("sayso/command/kiosk", "turn on the kitchen light")
        .await;
    assert_eq!(
        kiosk.expect("sayso/reply/kiosk", PATIENCE).await.json()["outcome"],
        "done"
    );
    tokio::time::sleep(Duration::from_millis(300)).await;
    let told: Vec<String> = witness.so_far().into_iter().map(|m| m.topic).collect();
    assert_eq!(told, ["zigbee2mqtt/Kitchen light/set"]);
    let report = doctor(&place, &[]).await;
    assert_eq!(report["counts"]["fault"], 0, "{report:#}");
}

#[test]
fn every_counter_is_incremented() {
    let mut source = String::new();
    sources(&root().join("src"), &mut source);
    let source: String = source.split_whitespace().collect();
    let counters = sayso::testing::telemetry::counters::Counters::default();
    for count in counters.counts() {
        let name = count.metric.strip_prefix("sayso_").unwrap();
        let name = name.strip_suffix("_total").unwrap();
        let field = format!(".{name}");
        let uses = source.split(&field).skip(1);
        let mut ends = uses.filter_map(|rest| rest.chars().next());
        // The field, not the end of a longer name, nor its row in the table.
        let is_used = ends.any(|next| ['.', ',', ')', '}'].contains(&next));
        assert!(is_used, "`{name}` is never incremented");
    }
}

#[test]
fn every_metric_is_in_the_documentation() {
    let page = read("docs/upgrading.md");
    let names = sayso::testing::telemetry::metrics::METRICS
        .iter()
        .map(|metric| (metric.name, metric.help));
    let counters = sayso::testing::telemetry::counters::Counters::default();
    let counts: Vec<_> = counters
        .counts()
        .map(|count| (count.metric, count.help))
        .collect();
    let mut checked = 0;
    for (name, help) in names
        .chain(counts)
        .filter(|(name, _)| name.starts_with("sayso_"))
    {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{name}` | ")));
        let row = row.unwrap_or_else(|| panic!("docs/upgrading.md lacks `{name}`"));
        assert!(row.contains(help), "{row}\nhelp: {help}");
        checked += 1;
    }
    assert!(checked >= 40, "only {checked} metrics");
}
