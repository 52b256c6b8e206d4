//! Numbers in digits and in words: "21.5", "twenty one and a half", "a hundred and ten".

use crate::grammar::lexicon::Lexicon;
use crate::grammar::tokens::phrase;

/// Most words of a number below a hundred: "quatre-vingt-dix-sept".
const MOST_WORDS: usize = 4;

/// Returns the number at the start of `input`, and its number of words.
pub(super) fn number(lexicon: &Lexicon, input: &[&str]) -> Option<(f64, usize)> {
    let negative = input
        .first()
        .is_some_and(|word| lexicon.counting.minus.iter().any(|m| m == word));
    let reader = NumberReader {
        lexicon,
        input: &input[usize::from(negative)..],
    };
    let (whole, taken) = reader
        .digits()
        .or_else(|| reader.words())
        .or_else(|| Some((compound_half(lexicon, reader.word(0)?)?, 1)))?;
    let (fraction, more) = reader.fraction(taken).unwrap_or((0.0, 0));
    let value = whole + if whole < 0.0 { -fraction } else { fraction };
    Some((
        if negative { -value } else { value },
        usize::from(negative) + taken + more,
    ))
}

/// Returns the number of a word with a half in it: "neunzehneinhalb".
fn compound_half(lexicon: &Lexicon, word: &str) -> Option<f64> {
    if !lexicon.spelling.compounds() {
        return None;
    }
    let wholes = lexicon.counting.half.iter();
    let mut wholes = wholes.filter_map(|half| lexicon.numbers.get(word.strip_suffix(&**half)?));
    wholes.next().map(|whole| whole + 0.5)
}

/// Returns whether a number may begin with the word.
pub(super) fn may_begin_number(lexicon: &Lexicon, word: &str) -> bool {
    let is_in = |list: &[String]| list.iter().any(|known| known == word);
    word.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        || lexicon.numbers.contains_key(word)
        || is_in(&lexicon.counting.minus)
        || is_in(&lexicon.counting.one)
        || compound_half(lexicon, word).is_some()
}

struct NumberReader<'a> {
    lexicon: &'a Lexicon,
    input: &'a [&'a str],
}

impl NumberReader<'_> {
    fn word(&self, at: usize) -> Option<&str> {
        self.input.get(at).copied()
    }

    fn value(&self, at: usize) -> Option<f64> {
        self.lexicon.numbers.get(self.word(at)?).copied()
    }

    fn times(&self, at: usize) -> Option<f64> {
        self.lexicon.counting.times.get(self.word(at)?).copied()
    }

    fn digits(&self) -> Option<(f64, usize)> {
        let word = self.word(0)?;
        let is_number = word
            .trim_start_matches('-')
            .starts_with(|c: char| c.is_ascii_digit());
        let decimal = self
            .lexicon
            .counting
            .decimal
            .filter(|mark| word.contains(*mark));
        let value = is_number.then(|| {
            decimal
                .map_or_else(|| word.parse(), |mark| word.replace(mark, ".").parse())
                .ok()
        })?;
        value.map(|n| (n, 1))
    }

    /// Reads parts of decreasing size: "twenty one hundred and five".
    fn words(&self) -> Option<(f64, usize)> {
        let stands_for_one = self
            .word(0)
            .is_some_and(|w| self.lexicon.counting.one.iter().any(|one| one == w))
            && self.times(1).is_some();
        let (mut total, mut taken) = if stands_for_one {
            (1.0, 1)
        } else {
            self.below_hundred(0)?
        };
        let mut last = f64::INFINITY;
        while let Some(times) = self.times(taken).filter(|t| *t < last) {
            total *= times;
            taken += 1;
            last = times;
            let joined = usize::from(
                self.word(taken)
                    .is_some_and(|w| self.lexicon.counting.joins.iter().any(|join| join == w)),
            );
            if let Some((rest, more)) = self.below_hundred(taken + joined) {
                total += rest;
                taken += joined + more;
                break;
            }
        }
        Some((total, taken))
    }

    /// Reads "seven", "seventeen", "seventy seven", "treinta y cinco".
    fn below_hundred(&self, at: usize) -> Option<(f64, usize)> {
        let first = self.value(at)?;
        if let Some(found) = self.of_several_words(at) {
            return Some(found);
        }
        let tens = (20.0..100.0).contains(&first) && first % 10.0 == 0.0;
        match self
            .value(at + 1)
            .filter(|ones| tens && (1.0..10.0).contains(ones))
        {
            Some(ones) => Some((first + ones, 2)),
            None => Some((first, 1)),
        }
    }

    /// Reads a number below a hundred that is listed with all its words: "vingt et un".
    fn of_several_words(&self, at: usize) -> Option<(f64, usize)> {
        let end = self.input.len().min(at + MOST_WORDS);
        let mut joined = self.input[at..end].join(" ");
        for length in (2..=end - at).rev() {
            if let Some(value) = self.lexicon.numbers.get(joined.as_str())
                && *value < 100.0
            {
                return Some((*value, length));
            }
            joined.truncate(joined.rfind(' ')?);
        }
        None
    }

    /// Reads "point five", "and a half".
    fn fraction(&self, at: usize) -> Option<(f64, usize)> {
        let counting = &self.lexicon.counting;
        if let Some(length) = phrase(&counting.half, &self.input[at..]) {
            return Some((0.5, length));
        }
        let point = self.word(at)?;
        counting.point.iter().find(|p| *p == point)?;
        let digits: Vec<f64> = (at + 1..self.input.len())
            .map_while(|i| self.digit(i))
            .collect();
        let value = digits
            .iter()
            .rev()
            .fold(0.0, |sum, digit| (sum + digit) / 10.0);
        (!digits.is_empty()).then_some((value, 1 + digits.len()))
    }

    fn digit(&self, at: usize) -> Option<f64> {
        let value = self.value(at).or_else(|| self.word(at)?.parse().ok());
        value.filter(|n| (0.0..10.0).contains(n) && n.fract() == 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::tokens::words;

    #[test]
    fn numbers_in_words_and_digits_are_read() {
        let lexicon: Lexicon = include_str!("../../config/language/en.toml")
            .parse()
            .unwrap();
        for (text, value, taken) in [
            ("21", 21.0, 1),
            ("21.5 degrees", 21.5, 1),
            ("-5", -5.0, 1),
            ("minus five", -5.0, 2),
            ("twenty one", 21.0, 2),
            ("twenty-one and a half degrees", 21.5, 5),
            ("21 and a half", 21.5, 4),
            ("two point seven five", 2.75, 4),
            ("a hundred", 100.0, 2),
            ("one hundred and ten", 110.0, 4),
            ("four thousand", 4000.0, 2),
            ("twenty seven hundred", 2700.0, 3),
            ("twenty and the fan", 20.0, 1),
            ("thirty forty", 30.0, 1),
        ] {
            assert_eq!(
                number(&lexicon, &words(text)),
                Some((value, taken)),
                "{text}"
            );
        }
        for text in [
            "",
            "a lamp",
            "and a half",
            "7:30",
            "10-20",
            "1/2",
            "1,000",
            "lamp",
            "minus",
        ] {
            assert_eq!(number(&lexicon, &words(text)), None, "{text}");
        }
    }

    #[test]
    fn numbers_with_words_between_their_parts_are_read() {
        let spanish: &str = include_str!("../../config/language/es.toml");
        let french: &str = include_str!("../../config/language/fr.toml");
        for (language, text, value, taken) in [
            (spanish, "treinta y cinco minutos", 35.0, 3),
            (spanish, "treinta y media", 30.5, 3),
            (spanish, "cinco y la luz", 5.0, 1),
            (french, "vingt et une minutes", 21.0, 3),
            (french, "soixante-dix minutes", 70.0, 2),
            (french, "quatre-vingt-dix-sept minutes", 97.0, 4),
            (french, "vingt et la lampe", 20.0, 1),
        ] {
            let lexicon: Lexicon = language.parse().unwrap();
            let input = words(text);
            assert_eq!(number(&lexicon, &input), Some((value, taken)), "{text}");
        }
    }
}
