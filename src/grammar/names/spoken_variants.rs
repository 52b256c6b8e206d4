//! A name as it is spoken where that differs from the spelling: "lamp number two" for "Lamp #2",
//! "abigails window", "tv and radio" for "TV & radio".
//!
//! In: the words of a name. Out: the same name in other words. Nothing is left out of it.

use crate::grammar::names::builder::Builder;

/// Abbreviations of "number" in names, as they are split into words.
const ABBREVIATIONS: [&str; 3] = ["no", "nr", "№"];

impl Builder<'_> {
    /// Returns a name as it is spoken where that differs from the spelling: without apostrophes and
    /// signs ("abigails window", "tv and radio" for "TV & radio", "lamp number 2" for "Lamp #2").
    pub(super) fn spoken_variants(&self, run: &[String]) -> Vec<Vec<String>> {
        let mut variants = vec![joined_possessive(run)];
        variants.extend(separated_possessive(run));
        let is_and = |word: &String| matches!(word.as_str(), "&" | "+");
        if run.iter().any(is_and) {
            for and in &self.lexicon.ands {
                let spoken = |word: &String| {
                    if is_and(word) {
                        and.clone()
                    } else {
                        word.clone()
                    }
                };
                variants.push(run.iter().map(spoken).collect());
            }
        }
        let has_letter = |word: &&String| word.contains(char::is_alphanumeric);
        let plain: Vec<String> = run
            .iter()
            .filter(has_letter)
            .flat_map(|word| word.trim_start_matches('#').split('/'))
            .map(str::to_owned)
            .collect();
        if let Some(numbered) = without_abbreviation(&plain) {
            variants.extend(self.numbered_variants(&numbered));
            variants.push(numbered);
        }
        variants.extend(self.numbered_variants(&plain));
        variants.push(plain);
        variants.retain(|variant| !variant.is_empty() && variant != run);
        variants
    }

    /// Returns "lamp 2" as "lamp number 2", "lamp number two" and "lamp two".
    fn numbered_variants(&self, run: &[String]) -> Vec<Vec<String>> {
        let mut variants = Vec::new();
        let Some((last, front)) = run.split_last() else {
            return variants;
        };
        if front.is_empty() || !last.bytes().all(|b| b.is_ascii_digit()) {
            return variants;
        }
        for number in &self.lexicon.grammar.number {
            let numbered = [front, &[number.clone(), last.clone()]].concat();
            variants.extend(self.digit_variants(&numbered));
            variants.push(numbered);
        }
        variants.extend(self.digit_variants(run));
        variants
    }

    /// Returns "lamp 2" as "lamp two", and vice versa.
    pub(super) fn digit_variants(&self, run: &[String]) -> Option<Vec<String>> {
        let last = run.last()?;
        let other = if let Ok(n) = last.parse::<f64>() {
            self.lexicon
                .numbers
                .iter()
                .filter(|(_, value)| (**value - n).abs() < f64::EPSILON)
                .map(|(word, _)| word.to_string())
                .min()?
        } else {
            self.lexicon.numbers.get(last.as_str())?.to_string()
        };
        let mut form = run.to_vec();
        *form.last_mut()? = other;
        Some(form)
    }
}

/// Returns "lamp 3" for "Lamp No. 3".
fn without_abbreviation(run: &[String]) -> Option<Vec<String>> {
    let [front @ .., abbreviation, last] = run else {
        return None;
    };
    let is_number = last.bytes().all(|b| b.is_ascii_digit());
    let is_abbreviated = ABBREVIATIONS.contains(&abbreviation.as_str());
    (!front.is_empty() && is_number && is_abbreviated)
        .then(|| [front, std::slice::from_ref(last)].concat())
}

/// Returns a name with the possessive joined to its word: "abigails window".
fn joined_possessive(run: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for word in run {
        match joined.last_mut() {
            Some(owner) if word == "'s" => owner.push('s'),
            _ => joined.push(word.clone()),
        }
    }
    joined
}

/// Returns a name with the possessive apart, where its first word may be one: "oscar 's lamp" for
/// "Oscars lamp".
fn separated_possessive(run: &[String]) -> Option<Vec<String>> {
    let (first, rest) = run.split_first()?;
    let owner = first.strip_suffix('s')?;
    if rest.is_empty() || owner.chars().count() < 3 || owner.ends_with('s') {
        return None;
    }
    let mut apart = vec![owner.to_owned(), "'s".to_owned()];
    apart.extend_from_slice(rest);
    Some(apart)
}
