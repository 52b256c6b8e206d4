//! The broker and the program of one case, configured as on a gateway.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::SystemTime;

use sayso::testing::cache::DraftCache;
use sayso::testing::cache::disk::{DiskLimits, Drafts};
use sayso::testing::command::phrase::Phrase;
use sayso::testing::config::{Config, ConfigLocation};
use sayso::testing::prompt::Composer;
use sayso::testing::store::{Settings, open};
use sayso::testing::vocabulary::action::{Action, Draft, Op};
use sayso::testing::vocabulary::{Property, Value};

use crate::BenchError;
use crate::case::{Case, Dimension, draft_device, draft_text};
use crate::program::{Program, mosquitto};

/// The model that made the drafts. It is not called: no server listens on its port.
const MODEL: &str = "earlier-model";

/// A running program with a broker of its own.
pub(crate) struct Stage {
    // Fields are dropped in this order: the processes end before their folder is removed.
    pub(crate) program: Program,
    _broker: Program,
    _folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Stage {
    pub(crate) async fn start(case: Case, program: &Path) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("growth-bench-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let (broker, port) = mosquitto(folder.path()).await?;
        fs::write(folder.path().join("home.toml"), case.home())?;
        let config = folder.path().join("sayso.toml");
        let store = folder.path().join("store");
        fs::write(&config, settings(case, port, &store))?;
        if case.dimension == Dimension::Drafts {
            fill(&config, &store, case.size)?;
        }
        let mut command = Command::new(program);
        command.args(["run", "--config"]).arg(config);
        Ok(Self {
            program: Program::start(&mut command)?,
            _broker: broker,
            _folder: folder,
            port,
        })
    }
}

fn settings(case: Case, port: u16, store: &Path) -> String {
    let mut text = format!(
        "[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\n[discovery]\nhomeassistant = \"\"\n\
         zigbee2mqtt = []\ntasmota = false\n[store]\npath = '{}'\n[log]\nfilter = \"error\"\n",
        store.display()
    );
    if case.dimension == Dimension::Drafts {
        text.push_str("[recall]\ndisk_entries = 200000\ndisk_size = \"128MiB\"\n");
        text.push_str("[[provider]]\nname = \"earlier\"\nbase_url = \"http://127.0.0.1:9/v1\"\n");
        text.push_str("probe = false\nsmall = false\n");
        text.push_str("model = \"");
        text.push_str(MODEL);
        text.push_str("\"\n");
    }
    text
}

/// Writes drafts to the store, as the program would after answers of the model.
fn fill(config: &Path, store: &Path, drafts: u32) -> Result<(), BenchError> {
    let config = Config::load(&ConfigLocation::at(config))?;
    let store = open(&Settings::default(), store)?;
    let limits = DiskLimits {
        entries: config.recall.disk_entries,
        bytes: config.recall.disk_bytes,
    };
    let on_disk = Drafts::open(&store, limits, SystemTime::now())?;
    let models = config.ask.models();
    let cache = DraftCache::new(&config.recall, models, Some(on_disk), Arc::default());
    let fingerprint = Composer::default().fingerprint(&config.home);
    for draft in 0..drafts as usize {
        let phrase = Phrase::new(&draft_text(draft), None, None);
        let key = cache.key(&phrase, fingerprint, "*");
        let action = Action {
            device: draft_device(draft).into(),
            property: Property::Power,
            op: Op::Set,
            value: Some(Value::text("on")),
        };
        let answer = Draft {
            actions: vec![action],
            ..Draft::default()
        };
        cache.keep(&key, MODEL, &answer, true);
    }
    let disk = cache.tiers().disk;
    if disk.entries == drafts as usize {
        Ok(())
    } else {
        Err(format!("{} of {drafts} drafts were written", disk.entries).into())
    }
}
