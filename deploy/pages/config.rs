//! A manual page from a commented configuration file: tables become sections, and each key follows
//! its comment.

use std::fmt::Write as _;

/// The page `name`(5).
pub(crate) fn page(name: &str, what: &str, text: &str) -> String {
    let mut page = format!(
        ".TH {name} 5 \"\" \"sayso {}\" sayso\n.SH NAME\n{} \\- {what}\n.SH DESCRIPTION\n",
        env!("CARGO_PKG_VERSION"),
        escaped(name)
    );
    let mut prose: Vec<&str> = Vec::new();
    let mut in_example = false;
    for line in text.lines().chain([""]) {
        let bare = line
            .strip_prefix('#')
            .map_or(line, str::trim_start)
            .trim_end();
        if bare.is_empty() {
            flush(&mut page, &mut prose);
            close(&mut page, &mut in_example);
        } else if bare.starts_with('[')
            && bare
                .split(" #")
                .next()
                .is_some_and(|table| table.trim_end().ends_with(']'))
        {
            // A comment above a table describes the table.
            close(&mut page, &mut in_example);
            let table = bare.split(" #").next().unwrap_or(bare).trim_end();
            let _ = writeln!(page, ".SH \"{}\"", escaped(table));
            flush(&mut page, &mut prose);
        } else if is_key(bare) {
            close(&mut page, &mut in_example);
            let _ = writeln!(page, ".TP\n.B {}", escaped(bare));
            if prose.is_empty() {
                page.push_str("\\&\n");
            }
            for said in prose.drain(..) {
                tell(&mut page, said);
            }
            page.push_str(".PP\n");
        } else if line.starts_with('#') {
            prose.push(bare);
        } else {
            // Further lines of a value.
            if !in_example {
                page.push_str(".nf\n");
                in_example = true;
            }
            let _ = writeln!(page, "{}", escaped(bare));
        }
    }
    page.push_str(
        ".SH FILES\n.I /etc/sayso/sayso.toml\n.br\n.I /etc/sayso/home.toml\n.SH \"SEE ALSO\"\n.BR sayso (1),\n.BR sayso.toml (5),\n.BR sayso-home.toml (5)\n",
    );
    page
}

/// A line `key = value`, also one that is commented out.
fn is_key(line: &str) -> bool {
    let Some((key, _)) = line.split_once(" = ") else {
        return false;
    };
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'"'))
}

fn flush(page: &mut String, prose: &mut Vec<&str>) {
    if !prose.is_empty() {
        page.push_str(".PP\n");
    }
    for said in prose.drain(..) {
        tell(page, said);
    }
}

/// One line of prose; columns are kept.
fn tell(page: &mut String, said: &str) {
    if said.contains("   ") {
        page.push_str(".br\n");
    }
    let _ = writeln!(page, "{}", escaped(said));
}

fn close(page: &mut String, in_example: &mut bool) {
    if std::mem::take(in_example) {
        page.push_str(".fi\n");
    }
}

/// Text with the special characters of troff escaped.
fn escaped(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('"', "\\(dq");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}
