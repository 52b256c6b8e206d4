//! Collects facts the compiler does not have: the language files in `config/language/`, so that a
//! new language needs no code, and the parts of the program for `sayso --version --verbose`
//! (target, compiler, crates). Without a usable cargo the list of parts is empty, and the build
//! continues.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use flate2::Compression;
use flate2::write::DeflateEncoder;

fn main() {
    write_languages();
    set_version_variables();
}

/// Writes `languages.rs`: a constant with the code and the compressed text of every language file.
/// The five texts would be a thirtieth of the program, and a command needs one of them.
fn write_languages() {
    println!("cargo::rerun-if-changed=config/language");
    let folder = folder_in("CARGO_MANIFEST_DIR").join("config/language");
    let output = folder_in("OUT_DIR");
    let entries = fs::read_dir(&folder).expect("config/language is part of the repository");
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("config/language can be listed").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    let mut list = format!(
        "/// The built-in languages: code and compressed text.\n\
         const BUILT_IN: [(&str, &[u8]); {}] = [\n",
        files.len()
    );
    // A target folder shared by two checkouts must not lead from one to the files of the other.
    let mut lengths = String::new();
    for path in &files {
        let stem = path
            .file_stem()
            .expect("a file with an extension has a stem");
        let code = stem.display().to_string();
        let text = fs::read(path).expect("a language file can be read");
        let compressed = output.join(format!("{code}.toml.deflate"));
        fs::write(compressed, compress(&text)).expect("OUT_DIR is writable");
        let _ = writeln!(
            list,
            "    ({code:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{code}.toml.deflate\"))),"
        );
        let _ = writeln!(
            lengths,
            "const _: () = assert!(include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \
             \"/config/language/{code}.toml\")).len() == {} * 1_000 + {}, \"run the build script again\");",
            text.len() / 1_000,
            text.len() % 1_000
        );
    }
    list.push_str("];\n");
    list.push_str(&lengths);
    fs::write(output.join("languages.rs"), list).expect("OUT_DIR is writable");
}

/// The folder that cargo names in an environment variable.
fn folder_in(variable: &str) -> PathBuf {
    env::var_os(variable)
        .expect("cargo sets its variables")
        .into()
}

fn compress(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let compressed = encoder.write_all(text).and_then(|()| encoder.finish());
    compressed.expect("memory can be written to")
}

/// Sets `SAYSO_TARGET`, `SAYSO_RUSTC` and `SAYSO_CRATES` for the compilation.
fn set_version_variables() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=SAYSO_COMMIT");
    let [target, cargo, rustc] = ["TARGET", "CARGO", "RUSTC"].map(|name| {
        let value = env::var_os(name);
        value
            .and_then(|text| text.into_string().ok())
            .unwrap_or_default()
    });
    let arguments = "tree --package sayso --locked --offline --edges normal --prefix none \
                     --format {p} --target";
    let mut arguments: Vec<&str> = arguments.split_whitespace().collect();
    arguments.push(&target);
    let tree = output(&cargo, &arguments);
    let mut crates: Vec<String> = tree.lines().filter_map(name_and_version).collect();
    crates.sort_unstable();
    crates.dedup();
    let compiler = output(&rustc, &["--version"]);
    println!("cargo::rustc-env=SAYSO_TARGET={target}");
    println!("cargo::rustc-env=SAYSO_RUSTC={}", compiler.trim());
    println!("cargo::rustc-env=SAYSO_CRATES={}", crates.join(","));
}

/// `serde v1.0.0 (proc-macro)` as `serde 1.0.0`; `None` for sayso itself.
fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let version = words.next()?.strip_prefix('v')?;
    (name != "sayso").then(|| format!("{name} {version}"))
}

/// The standard output of a program; empty if it fails.
fn output(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => String::new(),
    }
}
