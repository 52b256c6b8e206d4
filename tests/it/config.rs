//! The files: what is shipped loads, what is wrong is told with the place and what to do, all at
//! once.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use sayso::testing::binding::Decoded;
use sayso::testing::config::{Config, ConfigLocation, Faults, Scope};
use sayso::testing::grammar::When;
use sayso::testing::home::capability::Risk;
use sayso::testing::pipeline::CommandOrder;
use sayso::testing::provider::price::Prices;
use sayso::testing::vocabulary::{Domain, Property, Value};

use crate::connection::certificates;

fn root() -> &'static Path {
    Path::new(crate::REPOSITORY)
}

fn fixtures(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/fixtures/config").join(folder)).unwrap();
    let mut found: Vec<_> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    found.sort();
    found
}

/// A fixture is a config, or where its name says so a home.
fn load(path: &Path) -> Result<Config, Faults> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let place = if name.starts_with("home") {
        let empty = root().join("tests/fixtures/config/valid/empty.toml");
        ConfigLocation {
            config: Some(empty),
            home: Some(path.to_owned()),
            ..ConfigLocation::default()
        }
    } else {
        ConfigLocation::at(path)
    };
    Config::load(&place)
}

fn written(text: &str) -> (tempfile::TempDir, ConfigLocation) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("sayso.toml"), text).unwrap();
    let place = ConfigLocation::at(folder.path().join("sayso.toml"));
    (folder, place)
}

#[test]
fn the_shipped_files_load_and_say_the_defaults() {
    let shipped = Config::load(&ConfigLocation::at(root().join("config/sayso.toml"))).unwrap();
    let (_folder, place) = written("");
    let empty = Config::load(&place).unwrap();
    assert_eq!(shipped.mqtt, empty.mqtt);
    assert_eq!(shipped.discovery, empty.discovery);
    assert_eq!(shipped.recall, empty.recall);
    assert_eq!(shipped.limits, empty.limits);
    assert_eq!(shipped.ask, empty.ask);
    assert_eq!(shipped.daemon, empty.daemon);
    assert_eq!(empty.home.devices().len(), 0);
    assert!(
        shipped.home.devices().len() > 10,
        "the example home is a home"
    );
}

/// The shipped config with every key it shows in force.
fn everything_shown() -> String {
    let text = fs::read_to_string(root().join("config/sayso.toml")).unwrap();
    let key = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| {
            key.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        })
    };
    let shown = |line: &str| {
        line.strip_prefix("# ")
            .filter(|rest| key(rest) || rest.starts_with('['))
            .map_or(line.to_owned(), str::to_owned)
    };
    text.lines().map(shown).collect::<Vec<_>>().join("\n")
}

/// Every example value of the shipped file is a value that loads: each is uncommented in turn.
#[test]
fn every_key_shown_in_the_shipped_config_is_one_that_exists() {
    let (folder, place) = written(&everything_shown());
    certificates(folder.path());
    for (made, named) in [("client.pem", "sayso.pem"), ("client.key", "sayso.key")] {
        fs::rename(folder.path().join(made), folder.path().join(named)).unwrap();
    }
    for file in [
        "mqtt-password",
        "openai-key",
        "anthropic-key",
        "redis.key",
        "redis-ca.pem",
    ] {
        fs::write(folder.path().join(file), "secret").unwrap();
    }
    fs::create_dir(folder.path().join("language")).unwrap();
    fs::write(folder.path().join("home.toml"), "[area.nursery]").unwrap();
    let config = Config::load(&place).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.ask.providers.len(), 3);
    assert_eq!(
        config
            .mqtt
            .tls
            .unwrap()
            .client
            .unwrap()
            .1
            .file_name()
            .unwrap(),
        "sayso.key"
    );
    assert_eq!(
        config.ask.providers[0].key.as_ref().unwrap().expose(),
        "secret"
    );
}

/// What `sayso check` and `sayso run` say of a config, and the code both end with.
fn checked_and_run(path: &Path) -> (String, Option<i32>) {
    let ended = |verb: &str| {
        let mut sayso = Command::new("timeout");
        let output = sayso
            .args(["20", crate::PROGRAM, verb, "--config"])
            .arg(path)
            .env_remove("SAYSO_CONFIG")
            .output()
            .unwrap();
        (
            String::from_utf8(output.stderr).unwrap(),
            output.status.code(),
        )
    };
    let checked = ended("check");
    assert_eq!(checked, ended("run"));
    checked
}

#[test]
fn files_of_tls_that_would_not_do_are_faults_before_the_start() {
    let (folder, place) = written("");
    let write = |text: &str| fs::write(place.config.as_ref().unwrap(), text).unwrap();
    certificates(folder.path());
    let ours = "[mqtt.tls]\nca = \"ca.pem\"\ncert = \"client.pem\"\nkey = \"client.key\"\n";
    write(ours);
    Config::load(&place).unwrap_or_else(|faults| panic!("{faults}"));
    fs::write(
        folder.path().join("torn.pem"),
        "-----BEGIN CERTIFICATE-----\nMIIB\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("hollow.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    for (from, to, says) in [
        (
            "client.key",
            "server.key",
            "mqtt.tls.key: found `\"server.key\"`, expected the private key of the certificate in `cert`",
        ),
        (
            "client.key",
            "client.pem",
            "mqtt.tls.key: found `\"client.pem\"`, expected a PEM file with an unencrypted private key",
        ),
        (
            "client.pem",
            "client.key",
            "mqtt.tls.cert: found `\"client.key\"`, expected a PEM file with a certificate",
        ),
        (
            "client.pem",
            "hollow.pem",
            "mqtt.tls.cert: found `\"hollow.pem\"`, expected a usable certificate",
        ),
        (
            "ca.pem",
            "torn.pem",
            "mqtt.tls.ca: found `\"torn.pem\"`, expected a PEM file: ",
        ),
        (
            "ca.pem",
            "hollow.pem",
            "mqtt.tls.ca: found `\"hollow.pem\"`, expected the certificate of an authority: ",
        ),
        (
            "ca.pem",
            "absent.pem",
            "mqtt.tls.ca: found `\"absent.pem\"`, expected a PEM file that exists",
        ),
    ] {
        write(&ours.replace(from, to));
        let (said, code) = checked_and_run(place.config.as_ref().unwrap());
        assert!(
            code == Some(78) && said.contains(says),
            "{code:?} {said}\nwanted {says}"
        );
        assert!(said.ends_with("sayso: 1 fault\n"), "{said}");
    }
}

/// A machine with no `ca-certificates` is played by the variables that name its store.
#[test]
fn tls_without_anybody_to_trust_is_a_fault_before_the_start() {
    let (folder, place) = written("");
    let nobody = folder.path().join("nobody.pem");
    fs::write(&nobody, "").unwrap();
    let ended = |verb: &str, table: &str| {
        fs::write(
            place.config.as_ref().unwrap(),
            format!("[mqtt]\nhost = \"127.0.0.1\"\nport = 9\n{table}"),
        )
        .unwrap();
        let mut sayso = Command::new("timeout");
        sayso
            .args(["20", crate::PROGRAM, verb, "--config"])
            .arg(place.config.as_ref().unwrap())
            .env_remove("SAYSO_CONFIG");
        let output = sayso
            .env("SSL_CERT_FILE", &nobody)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap();
        (
            String::from_utf8(output.stderr).unwrap(),
            output.status.code(),
        )
    };
    let checked = ended("check", "[mqtt.tls]\n");
    assert!(
        checked.1 == Some(78)
            && checked
                .0
                .contains("toml:4: mqtt.tls.ca: this machine trusts no certificate authority"),
        "{checked:?}"
    );
    assert_eq!(checked, ended("run", "[mqtt.tls]\n"));
    certificates(folder.path());
    for table in ["", "[mqtt.tls]\nca = \"ca.pem\"\n"] {
        assert_eq!(ended("check", table).1, Some(0), "{table}");
    }
}

#[test]
fn languages_that_would_not_do_are_faults_before_the_start() {
    for (name, says) in [
        ("local-language", "expected one of de, en, es, fr, nl"),
        ("local-folder", "languages/en.toml:1: not a language file: "),
    ] {
        let (said, code) =
            checked_and_run(&root().join(format!("tests/fixtures/config/invalid/{name}.toml")));
        assert!(code == Some(78) && said.contains(says), "{code:?} {said}");
    }
}

#[test]
fn a_config_that_is_not_there_is_told_with_who_named_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str], environment: &str| {
        let mut sayso = Command::new(crate::PROGRAM);
        let output = sayso
            .arg("check")
            .args(arguments)
            .env("SAYSO_CONFIG", environment)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78));
        String::from_utf8(output.stderr).unwrap()
    };
    let by_argument = said(&["--config", "nope.toml"], "other.toml");
    assert!(
        by_argument.contains(
            "nope.toml: there is no such file: it is given with --config; give the right path"
        ),
        "{by_argument}"
    );
    let by_environment = said(&[], "other.toml");
    assert!(
        by_environment.contains(
            "other.toml: there is no such file: it is set by $SAYSO_CONFIG; correct the variable"
        ),
        "{by_environment}"
    );
}

#[test]
fn every_valid_file_loads() {
    let files = fixtures("valid");
    assert!(files.len() >= 3, "found only {}", files.len());
    for file in files {
        load(&file).unwrap_or_else(|faults| panic!("{faults}"));
    }
}

/// Beside each invalid file stand the faults it has, one a line; the folder is left out, or stands
/// as FOLDER.
#[test]
fn every_invalid_file_is_refused_in_the_expected_words() {
    let files = fixtures("invalid");
    assert!(files.len() >= 20, "found only {}", files.len());
    let mut wrong = Vec::new();
    for file in files {
        let folder = file.parent().unwrap().display().to_string();
        let said = load(&file)
            .err()
            .map(|faults| faults.to_string())
            .unwrap_or_default();
        let said = said
            .replace(&format!("{folder}/"), "")
            .replace(&folder, "FOLDER");
        let expected = fs::read_to_string(file.with_extension("expect")).unwrap_or_default();
        if said.is_empty() || said.trim() != expected.trim() {
            wrong.push(format!(
                "\n{}\nsaid:\n{said}\nexpected:\n{expected}",
                file.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.concat());
}

#[test]
fn what_is_written_is_what_is_meant() {
    let (folder, place) = written(
        r#"
        [mqtt]
        host = "broker.local"
        tls = {}
        username = "me"
        password_file = "word"
        keep_alive = "10s"
        [local]
        use = "last"
        [ask]
        deadline = "5s"
        [daemon]
        order = "source"
        [[provider]]
        name = "here"
        base_url = "http://localhost:8080/v1/"
        model = "m"
        concurrency = 1
        timeouts = { total = "6s" }
        "#,
    );
    fs::write(folder.path().join("word"), "hush\n").unwrap();
    let config = Config::load(&place).unwrap();
    assert_eq!(
        (config.mqtt.host.as_str(), config.mqtt.port),
        ("broker.local", 8883)
    );
    assert_eq!(
        config.mqtt.login.unwrap().password.unwrap().expose(),
        "hush"
    );
    assert_eq!(config.mqtt.keep_alive, Duration::from_secs(10));
    assert_eq!(config.local.when, When::Last);
    assert_eq!(config.daemon.order, CommandOrder::Source);
    let provider = &config.ask.providers[0];
    assert_eq!(provider.base_url, "http://localhost:8080/v1");
    assert!(provider.key.is_none());
    assert_eq!(provider.timeouts.total, Duration::from_secs(6));
    assert_eq!(provider.timeouts.first_byte, Duration::from_secs(6));
    assert_eq!(config.store.path, None);
}

#[test]
fn a_model_that_has_to_be_loaded_is_given_the_time() {
    const OLLAMA: &str = "[[provider]]\nname = \"here\"\napi = \"ollama\"\nmodel = \"m\"\n";
    let seconds = |config: &str| {
        let (_folder, place) = written(config);
        let ask = Config::load(&place).unwrap().ask;
        [
            ask.deadline,
            ask.providers[0].timeouts.first_byte,
            ask.providers[0].timeouts.total,
        ]
        .map(|time| time.as_secs())
    };
    assert_eq!(
        seconds(
            "[[provider]]\nname = \"here\"\nbase_url = \"http://localhost/v1\"\nmodel = \"m\"\n"
        ),
        [15, 8, 12]
    );
    assert_eq!(seconds(OLLAMA), [55, 45, 55]);
    assert_eq!(
        seconds(&format!("{OLLAMA}timeouts = {{ total = \"20s\" }}\n")),
        [20, 20, 20]
    );
    assert_eq!(
        seconds(&format!("{OLLAMA}[mqtt]\nttl = \"30s\"\n")),
        [30, 45, 55]
    );
    assert_eq!(
        seconds(&format!("{OLLAMA}[ask]\ndeadline = \"9s\"\n")),
        [9, 45, 55]
    );
}

#[test]
fn only_a_server_of_ones_own_is_looked_after_unless_it_is_wanted() {
    for (base_url, own) in [
        ("http://localhost:8080/v1", true),
        ("http://192.168.1.20:8080/v1", true),
        ("http://[::1]:8080/v1", true),
        ("http://nas.local/v1", true),
        ("http://nas/v1", true),
        ("https://api.groq.com/openai/v1", false),
        ("http://9.9.9.9/v1", false),
    ] {
        let table =
            format!("[[provider]]\nname = \"m\"\nmodel = \"m\"\nbase_url = \"{base_url}\"\n");
        for (more, wanted) in [
            ("", own),
            ("probe = true\n", true),
            ("probe = false\n", false),
        ] {
            let (_folder, place) = written(&format!("{table}{more}"));
            assert_eq!(
                Config::load(&place).unwrap().ask.providers[0].probe,
                wanted,
                "{base_url} {more}"
            );
        }
    }
}

#[test]
fn a_provider_needs_no_more_than_its_name_api_and_key() {
    let all = ["openai", "anthropic", "gemini"].map(|api| {
        format!("[[provider]]\nname = \"{api}\"\napi = \"{api}\"\nkey_file = \"key\"\n")
    });
    let beta = "[[provider]]\nname = \"beta\"\napi = \"gemini\"\nkey_file = \"key\"\napi_version = \"v1beta\"\n";
    let local = "[[provider]]\nname = \"here\"\napi = \"ollama\"\nmodel = \"qwen3:4b\"\n";
    let (folder, place) = written(&(all.concat() + beta + local));
    fs::write(folder.path().join("key"), "secret").unwrap();
    let providers = Config::load(&place)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .ask
        .providers;
    let where_and_what: Vec<_> = providers
        .iter()
        .map(|p| (p.base_url.as_str(), p.model.as_str()))
        .collect();
    assert_eq!(
        where_and_what,
        [
            ("https://api.openai.com/v1", "gpt-6-luna"),
            ("https://api.anthropic.com/v1", "claude-haiku-5-5"),
            (
                "https://generativelanguage.googleapis.com/v1",
                "gemini-3.5-flash-lite"
            ),
            (
                "https://generativelanguage.googleapis.com/v1beta",
                "gemini-3.5-flash-lite"
            ),
            ("http://localhost:11434", "qwen3:4b"),
        ]
    );
    assert!(providers.iter().all(|p| p.prices.is_some()));
    assert_eq!(providers[4].prices, Some(Prices::FREE));
    assert_eq!(
        (
            providers[0].concurrency.get(),
            providers[4].concurrency.get()
        ),
        (16, 1)
    );
}

#[test]
fn prices_headers_and_versions_are_taken_as_written() {
    let (_folder, place) = written(
        r#"
        [[provider]]
        name = "gateway"
        api = "anthropic"
        base_url = "http://gateway.local/v1"
        model = "m"
        api_version = "2023-06-01"
        key_header = "X-Api-Key"
        headers = { "X-Team" = "home" }
        prices = { in = 1, out = 5.5 }
        "#,
    );
    let provider = Config::load(&place)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .ask
        .providers
        .remove(0);
    assert_eq!(provider.prices, Some(Prices::listed(1.0, None, None, 5.5)));
    assert_eq!(
        (
            &provider.headers["anthropic-version"],
            &provider.headers["x-team"]
        ),
        (&"2023-06-01".parse().unwrap(), &"home".parse().unwrap())
    );
    assert_eq!(provider.key_header.unwrap(), "x-api-key");
}

#[test]
fn systemd_gives_credentials_and_a_place_to_keep_things() {
    let (folder, mut place) = written(
        "[[provider]]\nname = \"a\"\nmodel = \"m\"\nkey_file = \"key\"\n[store]\npath = \"kept\"",
    );
    fs::write(folder.path().join("key"), "beside").unwrap();
    let credentials = tempfile::tempdir().unwrap();
    fs::write(credentials.path().join("key"), "credential").unwrap();
    place.environment.credentials = Some(credentials.path().to_owned());
    place.environment.state = Some("/var/lib/sayso".into());
    let config = Config::load(&place).unwrap();
    assert_eq!(
        config.ask.providers[0].key.as_ref().unwrap().expose(),
        "credential"
    );
    assert_eq!(config.store.path.unwrap(), Path::new("/var/lib/sayso/kept"));
    // As `LoadCredential=key:/etc/sayso/credentials` hands over a folder.
    fs::rename(
        credentials.path().join("key"),
        credentials.path().join("key_key"),
    )
    .unwrap();
    assert_eq!(
        Config::load(&place).unwrap().ask.providers[0]
            .key
            .as_ref()
            .unwrap()
            .expose(),
        "credential"
    );
    // What was not handed over yet is told as such, whether or not we may look where it comes from.
    fs::remove_file(credentials.path().join("key_key")).unwrap();
    fs::remove_file(folder.path().join("key")).unwrap();
    fs::create_dir(folder.path().join("credentials")).unwrap();
    fs::write(folder.path().join("credentials/key"), "later").unwrap();
    let faults = Config::load(&place).unwrap_err();
    assert!(
        faults.to_string().contains("systemctl restart sayso") && !faults.only_permission_denied(),
        "{faults}"
    );
}

#[test]
fn a_client_needs_no_keys_and_no_home() {
    let (_folder, mut place) = written(
        "home = \"absent.toml\"\n[mqtt]\nport = 2\n[ask]\nattempts = 0\n[[provider]]\nname = \"a\"\nmodel = \"m\"\nkey_file = \"absent\"",
    );
    place.needs = Scope::Broker;
    assert_eq!(Config::load(&place).unwrap().mqtt.port, 2);
    place.needs = Scope::Home;
    let faults = Config::load(&place).unwrap_err().to_string();
    assert!(
        faults.contains("absent.toml: there is no such file") && !faults.contains("key_file"),
        "{faults}"
    );
}

#[test]
fn a_file_anybody_may_write_is_refused() {
    let (_folder, place) = written("");
    let path = place.config.clone().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let faults = Config::load(&place).unwrap_err();
    assert!(faults.to_string().contains("chmod o-w"), "{faults}");
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let faults = Config::load(&ConfigLocation::at("/nowhere/sayso.toml")).unwrap_err();
    assert!(
        faults
            .to_string()
            .starts_with("/nowhere/sayso.toml: there is no such file"),
        "{faults}"
    );
    let (_folder, place) = written("home = \"other.toml\"");
    assert!(
        Config::load(&place)
            .unwrap_err()
            .to_string()
            .contains("other.toml: there is no such file")
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let (_folder, place) = written(
        "[[provider]]\nname = \"a\"\nmodel = \"m\"\nkey = \"sk-12345\"\nkey_file = \"sk-67890\"",
    );
    let faults = Config::load(&place).unwrap_err().to_string();
    assert!(faults.contains("put it into a file of its own"), "{faults}");
    assert!(faults.contains("there is no such file"), "{faults}");
    assert!(!faults.contains("sk-"), "{faults}");
}

#[test]
fn the_example_home_means_what_it_says() {
    let config = Config::load(&ConfigLocation::at(root().join("config/sayso.toml"))).unwrap();
    let device = |id: &str| config.home.device(id).unwrap();
    let lamp = device("kitchen_light");
    assert_eq!(lamp.name, "Kitchen light");
    assert_eq!(
        config
            .home
            .area(lamp.area.as_ref().unwrap())
            .unwrap()
            .floor
            .as_deref(),
        Some("downstairs")
    );
    assert_eq!(
        lamp.capability(&Property::Power)
            .unwrap()
            .binding
            .encode(&Value::text("on"))
            .unwrap()
            .topic,
        "zigbee2mqtt/Kitchen light/set"
    );

    let pump = device("pump").capability(&"flow".into()).unwrap();
    assert_eq!(
        pump.domain,
        Domain::Number {
            min: 0.0,
            max: 40.0,
            step: Some(0.5),
            unit: "l/min".into()
        }
    );
    assert_eq!(
        pump.binding.encode(&Value::Number(12.5)).unwrap().payload,
        r#"{"flow": 12.5}"#
    );
    assert!((pump.step - 4.0).abs() < 1e-9, "a tenth of the range");
    let heard = config.home.observe("garden/pump", br#"{"flow": 7}"#);
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].decoded, Decoded::Value(Value::Number(7.0)));

    let garage = device("garage_door")
        .capability(&Property::Position)
        .unwrap();
    assert_eq!(garage.guard.opening, Risk::Confirm);
    assert_eq!(garage.guard.otherwise, Risk::Auto);
    assert_eq!(
        garage
            .binding
            .encode(&Value::Number(100.0))
            .unwrap()
            .payload,
        "OPEN"
    );
    assert_eq!(garage.binding.stop.as_ref().unwrap().payload, "STOP");
    assert_eq!(
        config.home.observe("garage/door/state", b"CLOSED")[0].decoded,
        Decoded::Value(Value::Number(0.0))
    );
    assert!(
        !device("bedroom_climate")
            .capability(&Property::Temperature)
            .unwrap()
            .settable
    );
}

#[test]
fn the_operators_word_on_risk_wins_and_the_nearer_one_over_the_farther() {
    let (folder, place) = written("");
    let home = r#"
        [device.usual]
        kind = "lock"
        [device.trusted]
        kind = "lock"
        risk = "auto"
        [device.heater]
        kind = "water_heater"
        risk = "never"
        property.temperature = { risk = "confirm" }
    "#;
    fs::write(folder.path().join("home.toml"), home).unwrap();
    let config = Config::load(&place).unwrap();
    let opening = |id: &str, property| {
        config
            .home
            .device(id)
            .unwrap()
            .capability(&property)
            .unwrap()
            .guard
            .opening
    };
    assert_eq!(opening("usual", Property::Lock), Risk::Confirm);
    assert_eq!(opening("trusted", Property::Lock), Risk::Auto);
    assert_eq!(opening("heater", Property::Power), Risk::Never);
    assert_eq!(opening("heater", Property::Temperature), Risk::Confirm);
}

#[test]
fn a_source_may_do_what_its_rules_say() {
    let (folder, place) =
        written("[source.\"*\"]\ndeny = [\"kind:lock\"]\n[source.cli]\nallow = [\"*\"]");
    fs::write(
        folder.path().join("home.toml"),
        "[device.door]\nkind = \"lock\"",
    )
    .unwrap();
    let home = Config::load(&place).unwrap().home;
    let may = |source| {
        home.rights()
            .allow(source, home.device("door").unwrap(), &Property::Lock)
    };
    assert!(may("cli"));
    assert!(!may("tablet"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// A file damaged anywhere is refused or means something; it never ends the daemon.
    #[test]
    fn a_damaged_file_is_no_catastrophe(at in 0.0..1.0, cut in 0_usize..40, put in "[\\[\\]{}\"'=.,#a0\\n -]{0,3}") {
        let home = fs::read_to_string(root().join("config/home.toml")).unwrap();
        for (name, text) in [("sayso.toml", everything_shown()), ("home.toml", home)] {
            let mut text: Vec<char> = text.chars().collect();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in the file")]
            let from = (at * text.len() as f64) as usize;
            let to = (from + cut).min(text.len());
            text.splice(from..to, put.chars());
            let (folder, place) = written("");
            fs::write(folder.path().join(name), text.into_iter().collect::<String>()).unwrap();
            if let Err(faults) = Config::load(&place) {
                prop_assert!(faults.iter().len() > 0);
            }
        }
    }
}
