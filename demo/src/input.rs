//! A line typed at the demo's prompt: one of the demo's own commands, a near miss of one, or a
//! sentence for sayso.

use strsim::osa_distance;

/// The demo's own commands, by their first word.
const COMMANDS: [&str; 6] = ["help", "devices", "fail", "heal", "quit", "exit"];
/// Words other programs use for a command of the demo.
const SYNONYMS: [(&str, &str); 8] = [
    ("?", "help"),
    ("h", "help"),
    ("q", "quit"),
    ("bye", "quit"),
    ("list", "devices"),
    ("device", "devices"),
    ("state", "devices"),
    ("recover", "heal"),
];
/// The HTTP statuses a scripted model can be made to fail with.
const STATUSES: std::ops::RangeInclusive<u16> = 400..=599;

/// The meaning of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    /// Nothing was typed.
    Empty,
    /// Print the help text.
    Help,
    /// Print the last state of every device.
    Devices,
    /// Make the first model fail with this HTTP status.
    Fail(u16),
    /// Make the first model answer again.
    Heal,
    /// End the demo.
    Quit,
    /// A line meant for the demo that it cannot carry out; the text says what to type instead.
    Unclear(String),
    /// A sentence for sayso.
    Sentence(String),
}

impl Input {
    /// Reads a line. A word that resembles a command is never taken for a sentence.
    pub(crate) fn parse(line: &str) -> Self {
        let line = line.trim();
        let lowercase = line.to_lowercase();
        let mut words = lowercase.split_whitespace();
        let Some(first) = words.next() else {
            return Self::Empty;
        };
        let arguments: Vec<&str> = words.collect();
        let marked = first.len() > 1 && first.starts_with(['/', ':', '\\', '-']);
        let word = first
            .trim_start_matches(['/', ':', '\\', '-'])
            .trim_end_matches(['.', '!', ',', ';']);
        match (named(word), near_miss(word)) {
            (Some("fail"), _) => fail(&arguments),
            (Some(command), _) if arguments.is_empty() => match command {
                "help" => Self::Help,
                "devices" => Self::Devices,
                "heal" => Self::Heal,
                _ => Self::Quit,
            },
            (Some(command), _) if COMMANDS.contains(&word) => Self::Unclear(format!(
                "`{command}` is a command of the demo and takes nothing after it. {SENT}"
            )),
            (None, Some(command)) if arguments.is_empty() || is_status(&arguments) => {
                Self::Unclear(format!("did you mean `{command}`? {SENT}"))
            }
            _ if marked => Self::Unclear(format!("`{first}` is no command: see `help`. {SENT}")),
            _ => Self::Sentence(line.to_owned()),
        }
    }
}

/// The end of every refusal to send a line.
const SENT: &str = "Nothing was sent to sayso.";

fn fail(arguments: &[&str]) -> Input {
    let status = match arguments {
        [status] => status
            .parse()
            .ok()
            .filter(|status| STATUSES.contains(status)),
        _ => None,
    };
    status.map_or_else(
        || {
            Input::Unclear(format!(
                "`fail` takes one HTTP status from {} to {}, such as `fail 429`. {SENT}",
                STATUSES.start(),
                STATUSES.end()
            ))
        },
        Input::Fail,
    )
}

/// The command of this name, or of this synonym.
fn named(word: &str) -> Option<&'static str> {
    let command = COMMANDS.into_iter().find(|command| *command == word);
    let synonym = SYNONYMS.iter().find(|(synonym, _)| *synonym == word);
    command.or(synonym.map(|(_, command)| *command))
}

/// The command that `word` is one slip of the finger away from.
fn near_miss(word: &str) -> Option<&'static str> {
    if word.chars().count() < 3 {
        return None;
    }
    COMMANDS
        .into_iter()
        .find(|command| osa_distance(word, command) == 1)
}

/// True of a single argument that is a number: no sentence begins with a near miss of `fail` and
/// ends there.
fn is_status(arguments: &[&str]) -> bool {
    matches!(arguments, [status] if status.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read_in_any_case() {
        for (line, input) in [
            ("", Input::Empty),
            ("  help ", Input::Help),
            ("?", Input::Help),
            ("/help", Input::Help),
            ("Devices", Input::Devices),
            ("fail 429", Input::Fail(429)),
            ("FAIL 503", Input::Fail(503)),
            ("heal", Input::Heal),
            (":q", Input::Quit),
            ("Quit.", Input::Quit),
        ] {
            assert_eq!(Input::parse(line), input, "{line}");
        }
    }

    #[test]
    fn what_resembles_a_command_is_not_sent_as_a_sentence() {
        for line in [
            "fail",
            "fail it",
            "fail 200",
            "fail 42900",
            "fial 429",
            "fail 429 twice",
            "heall",
            "hael",
            "hlep",
            "devcies",
            "quti",
            "exti",
            "heal the model",
            "/lights",
            "--version",
        ] {
            let input = Input::parse(line);
            assert!(matches!(input, Input::Unclear(_)), "{line}: {input:?}");
        }
    }

    #[test]
    fn sentences_are_sent_as_typed() {
        for line in [
            "turn on the kitchen light",
            "yes",
            "stop",
            "Hall light on",
            "hell is a hot place, heat the sauna",
            "state of the front door?",
            "list the lights",
        ] {
            assert_eq!(Input::parse(line), Input::Sentence(line.to_owned()));
        }
    }
}
