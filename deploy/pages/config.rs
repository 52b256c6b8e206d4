//! Manual page of a config file: tables become sections, and each key is shown with the comment above it.

use std::fmt::Write as _;

/// Returns the page `name`(5).
pub(crate) fn page(name: &str, what: &str, text: &str) -> String {
    let mut page = format!(
        ".TH {name} 5 \"\" \"sayso {}\" sayso\n.SH NAME\n{} \\- {what}\n.SH DESCRIPTION\n",
        env!("CARGO_PKG_VERSION"),
        escaped(name)
    );
    let mut prose: Vec<&str> = Vec::new();
    let mut in_example = false;
    for line in text.lines().chain([""]) {
        if let Some(row) = table_row(line) {
            // Rows of a table or list keep their columns, even if they look like a key.
            prose.push(row);
            continue;
        }
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
            // The comment above a table describes it.
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
            for text in prose.drain(..) {
                write_line(&mut page, text);
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

/// Returns the row of a table or list in a comment, which is indented by three spaces or more.
fn table_row(line: &str) -> Option<&str> {
    let row = line.strip_prefix("#   ")?;
    (!row.trim().is_empty()).then_some(&line[1..])
}

/// Returns true for `key = value`, also in a comment.
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
    for text in prose.drain(..) {
        write_line(page, text);
    }
}

/// Writes one line of text. Rows of tables are not wrapped.
fn write_line(page: &mut String, text: &str) {
    if text.starts_with("   ") {
        let _ = writeln!(page, ".nf\n{}\n.fi", escaped(text));
    } else {
        let _ = writeln!(page, "{}", escaped(text));
    }
}

fn close(page: &mut String, in_example: &mut bool) {
    if std::mem::take(in_example) {
        page.push_str(".fi\n");
    }
}

/// Returns the text with all characters that are special in troff escaped.
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
