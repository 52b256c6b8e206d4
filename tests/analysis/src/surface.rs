//! The public items of the library.

use std::collections::BTreeSet;

use crate::{SourceFile, after_visibility, identifier};

/// Words that begin an item.
const ITEMS: [&str; 11] = [
    "fn ", "const ", "async ", "unsafe ", "struct ", "enum ", "trait ", "type ", "static ",
    "union ", "use ",
];

/// Public items in modules that are public from the root of the crate on. Modules hidden from the
/// documentation and their children are left out.
pub fn public_items(files: &[SourceFile]) -> usize {
    let public = public_modules(files);
    let files = files.iter().filter(|file| public.contains(&file.module));
    let lines = files.flat_map(|file| file.text.lines());
    lines.filter(|line| is_public_item(line)).count()
}

fn is_public_item(line: &str) -> bool {
    let line = line.trim_start();
    let item = after_visibility(line);
    line.starts_with("pub ") && ITEMS.iter().any(|start| item.starts_with(start))
}

/// The modules reached from `lib.rs` by `pub mod` without `#[doc(hidden)]`.
fn public_modules(files: &[SourceFile]) -> BTreeSet<Vec<String>> {
    let mut public = BTreeSet::new();
    let mut open = vec![Vec::new()];
    while let Some(module) = open.pop() {
        let Some(file) = files.iter().find(|file| file.module == module) else {
            continue;
        };
        let mut before = "";
        for line in file.text.lines() {
            if let Some(rest) = line.strip_prefix("pub mod ")
                && before != "#[doc(hidden)]"
            {
                let mut child = module.clone();
                child.push(identifier(rest).to_owned());
                open.push(child);
            }
            before = line;
        }
        public.insert(module);
    }
    public
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_and_private_modules_do_not_count() {
        let file = |module: &[&str], text: &str| SourceFile {
            path: "x".into(),
            module: module.iter().map(|part| (*part).to_owned()).collect(),
            text: text.to_owned(),
        };
        let files = [
            file(&[], "pub mod a;\nmod b;\n#[doc(hidden)]\npub mod c;\n"),
            file(
                &["a"],
                "pub fn f() {}\npub(crate) fn g() {}\nimpl X {\n    pub const fn h() {}\n}\n",
            ),
            file(&["b"], "pub fn f() {}\n"),
            file(&["c"], "pub fn f() {}\n"),
        ];
        assert_eq!(public_items(&files), 2);
    }
}
