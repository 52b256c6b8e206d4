//! Common mistakes in TOML, each with what to do. The errors of the parser name what it expected,
//! in the words of its grammar. A line is never repeated: it may have a secret in it.

/// Quotation marks that word processors and chat programs write in place of straight ones.
const CURLY_QUOTES: [char; 10] = ['“', '”', '„', '‟', '‘', '’', '‚', '«', '»', '″'];

/// Characters that look like a space, or like nothing.
const INVISIBLE: [char; 6] = [
    '\u{a0}', '\u{2007}', '\u{202f}', '\u{200b}', '\u{2060}', '\u{feff}',
];

/// The characters that TOML takes for white space.
const BLANKS: [char; 2] = [' ', '\t'];

/// Words for true and false of other formats.
const FLAGS: [&str; 10] = [
    "True", "False", "TRUE", "FALSE", "yes", "no", "Yes", "No", "on", "off",
];

/// Returns what to do about a line that is not TOML, if the mistake is a common one. `line` is
/// counted from 1.
pub(super) fn remedy(text: &str, line: usize) -> Option<String> {
    let is_json = text.trim_start().starts_with('{');
    let content = text.lines().nth(line.checked_sub(1)?)?.trim_matches(BLANKS);
    if is_json {
        return Some("the file is JSON: write it as TOML, as in the shipped example".to_owned());
    }
    if content.contains('\r') {
        return Some("the lines end with carriage returns: save them with line feeds".to_owned());
    }
    if content.starts_with("//") {
        return Some("a comment begins with `#`".to_owned());
    }
    if content.starts_with('[') && !content.contains('=') {
        return heading(content);
    }
    match content.split_once('=') {
        Some((key, value)) => {
            key_fault(key).or_else(|| value_fault(value.trim_matches(BLANKS)))
        },
        None if content.contains(':') => {
            Some("write `key = value`, with `=` in place of `:`".to_owned())
        }
        None => Some(
            "a line is `key = value`, a heading such as `[mqtt]`, or a comment that begins with `#`"
                .to_owned(),
        ),
    }
}

fn heading(heading: &str) -> Option<String> {
    if heading.contains(INVISIBLE) {
        return Some(invisible());
    }
    if !heading.contains(']') {
        return Some("the heading lacks its `]`".to_owned());
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "[]-_.\"' #".contains(c);
    (!heading.chars().all(is_plain)).then(|| {
        "a heading has only letters a-z, digits, `-` and `_`: write other letters into `name`"
            .to_owned()
    })
}

fn key_fault(key: &str) -> Option<String> {
    if let Some(quote) = key.chars().find(|c| CURLY_QUOTES.contains(c)) {
        return Some(curly(quote));
    }
    key.contains(INVISIBLE).then(invisible)
}

fn value_fault(value: &str) -> Option<String> {
    let begin = value.trim_start_matches(['[', ' ']);
    let first = begin.chars().next();
    // Within straight quotes they are text.
    if let Some(quote) = first.filter(|first| CURLY_QUOTES.contains(first)) {
        return Some(curly(quote));
    }
    if value.starts_with(INVISIBLE) {
        return Some(invisible());
    }
    if value.contains(|c: char| c.is_control() && c != '\t') {
        return Some("the value has a control character: type it again".to_owned());
    }
    let word = value.split([' ', '#', ';']).next().unwrap_or_default();
    if FLAGS.contains(&word) {
        return Some("write `true` or `false`".to_owned());
    }
    if let Some(end) = value
        .chars()
        .next_back()
        .filter(|end| [';', ','].contains(end))
    {
        return Some(format!("remove the `{end}` at the end of the line"));
    }
    if is_decimal_comma(value) {
        return Some("write a number with a decimal point, such as 52.5".to_owned());
    }
    if value.starts_with('"') {
        return quoted(value);
    }
    let is_word = first.is_some_and(|c| c.is_alphabetic() || "/~$".contains(c));
    is_word.then(|| "put the value in quotes: `key = \"value\"`".to_owned())
}

/// Returns the fault of a value in double quotes.
fn quoted(value: &str) -> Option<String> {
    if value.contains('\\') {
        let text = "`\\` has a meaning of its own in double quotes: put the value in single quotes";
        return Some(text.to_owned());
    }
    let is_open = value.matches('"').count() == 1;
    is_open.then(|| "the value lacks its closing quote `\"`".to_owned())
}

fn is_decimal_comma(value: &str) -> bool {
    let is_number = |text: &str| {
        let digits = text.trim_start_matches('-');
        !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
    };
    value
        .split_once(',')
        .is_some_and(|(whole, part)| is_number(whole) && is_number(part))
}

fn curly(quote: char) -> String {
    format!("it has the typographic quote `{quote}`: write the straight quotes `\"`")
}

fn invisible() -> String {
    "it has a character that is not visible, such as a no-break space: type the line again"
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_mistake_has_its_remedy() {
        for (line, expected) in [
            ("host = “a”", "typographic quote `“`"),
            ("bases = [“a”]", "typographic quote"),
            ("“host” = \"a\"", "typographic quote"),
            ("host\u{a0}= \"a\"", "not visible"),
            ("host: \"a\"", "in place of `:`"),
            ("host = localhost", "in quotes"),
            ("folder = /var/lib", "in quotes"),
            ("tasmota = yes", "`true` or `false`"),
            ("tasmota = True # all", "`true` or `false`"),
            ("host = \"a\";", "remove the `;`"),
            ("latitude = 52,5", "decimal point"),
            ("ca = \"C:\\users\\ca.pem\"", "single quotes"),
            ("host = \"a", "closing quote"),
            ("// host", "begins with `#`"),
            ("[mqtt", "lacks its `]`"),
            ("[device.Küche]", "letters a-z"),
            ("host", "a line is"),
        ] {
            let text = format!("# first\n{line}\n");
            let remedy = remedy(&text, 2).unwrap_or_default();
            assert!(remedy.contains(expected), "{line}: {remedy}");
            assert!(!remedy.contains("localhost"), "{remedy}");
        }
        assert!(remedy("{\"mqtt\": {}}", 1).unwrap().contains("JSON"));
    }
}
