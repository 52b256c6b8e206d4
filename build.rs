//! Lists the languages of `config/language/`, so that a new one is a file and no code.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=config/language");
    let root = env!("CARGO_MANIFEST_DIR");
    let out = env::var_os("OUT_DIR").expect("cargo says where to write");
    let folder = Path::new(root).join("config/language");
    let entries = fs::read_dir(&folder).expect("the languages are in config/language");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file of config/language").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    let mut list = format!("/// The languages that come with the program.\nconst BUILT_IN: [(&str, &str); {}] = [\n", files.len());
    for path in &files {
        let code = path.file_stem().expect("it has an end, so it has a name").display();
        let _ = writeln!(list, "    ({:?}, include_str!({:?})),", code.to_string(), path.display().to_string());
    }
    list.push_str("];\n");
    fs::write(Path::new(&out).join("languages.rs"), list).expect("cargo's own folder can be written");
}
