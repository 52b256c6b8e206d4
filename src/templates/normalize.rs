//! Normalization of commands, names and skip words, so that they can be compared.

/// Punctuation without meaning. A point or comma between two digits stays.
const PUNCTUATION: &[char] = &[
    '.', '。', '،', ',', '，', '、', '?', '¿', '？', '؟', '!', '¡', '！', ';', '；', ':', '：',
    '"', '“', '”', '„', '«', '»', '।', '…',
];

/// Returns `text` in lower case, with single spaces and without punctuation.
pub(super) fn normalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let chars: Vec<char> = text.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        let between_digits = || {
            let before = at.checked_sub(1).map(|before| chars[before]);
            let after = chars.get(at + 1);
            before.is_some_and(|c| c.is_ascii_digit()) && after.is_some_and(char::is_ascii_digit)
        };
        if c.is_whitespace() || (PUNCTUATION.contains(&c) && !between_digits()) {
            if !out.is_empty() && !out.ends_with(' ') {
                out.push(' ');
            }
            continue;
        }
        match c {
            '’' | '‘' | '`' | '´' => out.push('\''),
            c => out.extend(c.to_lowercase()),
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Returns whether the text ends as a question.
pub(super) fn is_question(text: &str) -> bool {
    text.trim_end().ends_with(['?', '？', '؟', ';', '՞'])
}

/// Returns whether commas split the text into several parts that are more than skip words. A comma
/// between two numbers is none: "21,5 degrees", "5 minutes, 30 seconds".
pub(super) fn has_parts(text: &str, skip_words: &[String]) -> bool {
    if !text.contains([',', ';']) {
        return false;
    }
    let splits = text.match_indices([',', ';']).map(|(at, _)| at);
    let splits = splits.filter(|&at| !is_between_numbers(text, at));
    let mut ends: Vec<usize> = splits.collect();
    ends.push(text.len());
    let mut begin = 0;
    let mut parts = 0;
    for end in ends {
        let part = without(&normalize(&text[begin..end]), skip_words);
        parts += usize::from(!part.is_empty());
        begin = (end + 1).min(text.len());
    }
    parts > 1
}

/// Returns whether the comma at `at` continues a number, or an amount of several units: "21,5",
/// "5 minutes, 30 seconds". The number before it may have a unit of one word.
fn is_between_numbers(text: &str, at: usize) -> bool {
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let after = text[at + 1..].trim_start();
    let mut before = text[..at].split_whitespace().rev().take(2);
    is_number(after) && before.any(is_number)
}

/// Returns the text without the skip words, each of which counts only as a whole word.
pub(super) fn without(text: &str, skip_words: &[String]) -> String {
    let mut text = format!("{text} ");
    for word in skip_words {
        let mut begin = 0;
        while begin < text.len() {
            let rest = &text[begin..];
            let is_here = rest
                .strip_prefix(word.as_str())
                .is_some_and(|after| after.starts_with(' '));
            if is_here {
                text.replace_range(begin..=begin + word.len(), "");
                // The words around it may form it again.
                begin = 0;
            } else {
                begin += rest.find(' ').map_or(rest.len(), |end| end + 1);
            }
        }
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_goes_and_decimals_stay() {
        assert_eq!(normalize("  What’s  on, please?! "), "what's on please");
        assert_eq!(normalize("21.5 °C."), "21.5 °c");
        assert_eq!(normalize("打开灯。"), "打开灯");
    }

    #[test]
    fn commas_split_unless_only_skip_words_remain() {
        let skip = ["please".to_owned()];
        assert!(has_parts("turn, on", &skip));
        assert!(!has_parts("please, turn on, please.", &skip));
        assert!(!has_parts("heat to 21,5", &skip));
        assert!(!has_parts("a timer of 5 minutes , 30 seconds", &skip));
        assert!(has_parts("heat to 21, light off", &skip));
        assert!(has_parts("5 minutes from now, light 30", &skip));
    }

    #[test]
    fn skip_words_are_removed_only_as_whole_words() {
        let skip = ["could you".to_owned(), "please".to_owned()];
        assert_eq!(
            without("could you turn on please the pleaser", &skip),
            "turn on the pleaser"
        );
    }
}
