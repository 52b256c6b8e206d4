//! Function words, such as "and" and "the", by the names they have in a language file.

use serde::Deserialize;

use crate::grammar::sense::{Indefinite, Place, Sense};

/// Function words: they structure a sentence and name no device, state or value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FunctionWord {
    #[serde(rename = "silence")]
    Veto,
    #[serde(rename = "skip")]
    Filler,
    #[serde(rename = "hesitate")]
    Hesitation,
    Reason,
    Polite,
    Article,
    Indefinite,
    Some,
    Pointing,
    All,
    Any,
    Both,
    Except,
    And,
    Or,
    In,
    To,
    Share,
    At,
    By,
    Here,
    House,
    It,
    Them,
    Be,
    BeAny,
    Inverted,
    What,
    HowMany,
    Who,
    Whether,
    Ensure,
    Shall,
    Should,
    Still,
    May,
    /// The pronoun of a formal request, directly after the verb: "schalten Sie".
    Formal,
    Mode,
    Status,
    SetAt,
    #[serde(rename = "much")]
    Slightly,
    Possessive,
}

impl FunctionWord {
    pub(super) fn sense(self) -> Sense {
        match self {
            Self::Veto => Sense::Veto,
            Self::Filler => Sense::Filler,
            Self::Hesitation => Sense::Hesitation,
            Self::Reason => Sense::Reason,
            Self::Polite => Sense::Polite,
            Self::Article => Sense::Article,
            Self::Indefinite => Sense::Indefinite(Indefinite::One),
            Self::Some => Sense::Indefinite(Indefinite::Some),
            Self::Pointing => Sense::Indefinite(Indefinite::Pointing),
            Self::All => Sense::All,
            Self::Any => Sense::Any,
            Self::Both => Sense::Both,
            Self::Except => Sense::Except,
            Self::And => Sense::And,
            Self::Or => Sense::Or,
            Self::In => Sense::In,
            Self::To => Sense::To,
            Self::Share => Sense::Share,
            Self::At => Sense::At,
            Self::By => Sense::By,
            Self::Here => Sense::Place(Place::Here),
            Self::House => Sense::Place(Place::House),
            Self::It => Sense::It,
            Self::Them => Sense::Them,
            Self::Be => Sense::Be,
            Self::BeAny => Sense::BeAny,
            Self::Inverted => Sense::Inverted,
            Self::What => Sense::What,
            Self::HowMany => Sense::HowMany,
            Self::Who => Sense::Who,
            Self::Whether => Sense::Whether,
            Self::Ensure => Sense::Ensure,
            Self::Shall => Sense::Shall,
            Self::Should => Sense::Should,
            Self::Still => Sense::Still,
            Self::May => Sense::May,
            Self::Formal => Sense::Formal,
            Self::Mode => Sense::Mode,
            Self::Status => Sense::Status,
            Self::SetAt => Sense::SetAt,
            Self::Slightly => Sense::Slightly,
            Self::Possessive => Sense::Possessive,
        }
    }
}
