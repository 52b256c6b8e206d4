//! Collects facts the compiler does not have: the language files in `config/language/`, so that a
//! new language needs no code, and the parts of the program for `sayso --version --verbose`
//! (target, compiler, crates). Without a usable cargo the list of parts is empty, and the build
//! continues.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    write_languages();
    set_version_variables();
}

/// Writes `languages.rs`: a constant with the code and the text of every language file.
fn write_languages() {
    println!("cargo::rerun-if-changed=config/language");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/language");
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
        "/// The built-in languages: code and text.\nconst BUILT_IN: [(&str, &str); {}] = [\n",
        files.len()
    );
    for path in &files {
        let stem = path
            .file_stem()
            .expect("a file with an extension has a stem");
        let code = stem.display().to_string();
        let path = format!("/config/language/{code}.toml");
        // The folder is resolved when the list is compiled: a target folder shared by two
        // checkouts must not lead from one to the files of the other.
        let _ = writeln!(
            list,
            "    ({code:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {path:?}))),"
        );
    }
    list.push_str("];\n");
    let folder = env::var_os("OUT_DIR").expect("cargo sets OUT_DIR");
    fs::write(Path::new(&folder).join("languages.rs"), list).expect("OUT_DIR is writable");
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
