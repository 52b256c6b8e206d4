//! Arguments that several subcommands share, and their parsers.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};

use crate::config::environment::Environment;
use crate::config::{ConfigLocation, Scope, units};
use crate::grammar::built_in_languages;

/// Options for the location of the config.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct FileArguments {
    /// Config file.
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        help = "Config file [default: $SAYSO_CONFIG, ./sayso.toml or /etc/sayso/sayso.toml]"
    )]
    pub(super) config: Option<PathBuf>,
}

impl FileArguments {
    pub(super) fn location(&self, needs: Scope) -> ConfigLocation {
        ConfigLocation {
            config: self.config.clone(),
            home: None,
            needs,
            environment: Environment::read(),
        }
    }
}

/// Returns the parser for language codes. Shells complete the codes of the shipped languages; other
/// codes are accepted, because a config may add languages.
pub(super) fn language() -> impl TypedValueParser<Value = String> {
    LanguageParser
}

/// See [`language`].
#[derive(Debug, Clone)]
struct LanguageParser;

impl TypedValueParser for LanguageParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(built_in_languages().map(PossibleValue::new)))
    }
}

/// Parses a duration such as `500ms` or `10s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text)
        .filter(|d| !d.is_zero() && *d <= Duration::from_hours(1))
        .ok_or_else(|| "expected a duration of at most one hour, such as 10s or 500ms".to_owned())
}

/// Parses a source: one level of a topic.
pub(super) fn source(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', '+', '#', '\0']) {
        Err("expected one level of a topic, without `/`, `+` and `#`".to_owned())
    } else {
        Ok(text.to_owned())
    }
}
