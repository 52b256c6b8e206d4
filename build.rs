//! What the program cannot know by itself: the languages of `config/language/`, so that a new one is a file and no code; and what it
//! is built of, for `sayso --version --verbose`: target, compiler and every crate. Where cargo cannot tell these, the list is empty, and the build goes on.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    languages();
    parts();
}

fn languages() {
    println!("cargo::rerun-if-changed=config/language");
    let root = env!("CARGO_MANIFEST_DIR");
    let out = env::var_os("OUT_DIR").expect("cargo says where to write");
    let folder = Path::new(root).join("config/language");
    let entries = fs::read_dir(&folder).expect("the languages are in config/language");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a file of config/language").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    let mut list = format!(
        "/// The languages that come with the program.\nconst BUILT_IN: [(&str, &str); {}] = [\n",
        files.len()
    );
    for path in &files {
        let code = path
            .file_stem()
            .expect("it has an end, so it has a name")
            .display();
        let _ = writeln!(
            list,
            "    ({:?}, include_str!({:?})),",
            code.to_string(),
            path.display().to_string()
        );
    }
    list.push_str("];\n");
    fs::write(Path::new(&out).join("languages.rs"), list)
        .expect("cargo's own folder can be written");
}

fn parts() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-env-changed=SAYSO_COMMIT");
    let [target, cargo, rustc] = ["TARGET", "CARGO", "RUSTC"].map(|name| {
        env::var_os(name)
            .and_then(|text| text.into_string().ok())
            .unwrap_or_default()
    });
    let tree = [
        "tree",
        "--package",
        "sayso",
        "--locked",
        "--offline",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--target",
        &target,
    ];
    let mut crates: Vec<String> = said(&cargo, &tree)
        .lines()
        .filter_map(name_and_version)
        .collect();
    crates.sort_unstable();
    crates.dedup();
    println!("cargo::rustc-env=SAYSO_TARGET={target}");
    println!(
        "cargo::rustc-env=SAYSO_RUSTC={}",
        said(&rustc, &["--version"]).trim()
    );
    println!("cargo::rustc-env=SAYSO_CRATES={}", crates.join(","));
}

/// `serde v1.0.0 (proc-macro)`: `serde 1.0.0`. Ourselves are no crate of ours.
fn name_and_version(line: &str) -> Option<String> {
    let mut words = line.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    (name != "sayso").then(|| format!("{name} {version}"))
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .ok()
        .filter(|output| output.status.success());
    output.map_or_else(String::new, |output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}
