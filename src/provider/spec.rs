//! Everything that differs from one API to the next, as one table per API, and the settings of one
//! configured provider.
//!
//! Each API module fills one [`ApiSpec`]. No other code asks which API it deals with: it reads the
//! table.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::Value as Json;

use crate::provider::allowance::Remaining;
use crate::provider::api::{Provider, UnsendableKey};
use crate::provider::error::{ErrorBody, ProviderError};
use crate::provider::gathered::Gathered;
use crate::provider::price::{Limits, Prices};
use crate::provider::prompt_parts::SchemaLimits;
use crate::secret::Secret;

/// Creates the request encoder of one provider from its settings and parsed base URL.
pub type BuildEncoder = fn(&Settings, &Url) -> Result<Box<dyn Provider>, UnsendableKey>;

/// One API: its defaults, its abilities, and the functions that translate it.
#[derive(Debug)]
pub struct ApiSpec {
    /// The value of `api` in the configuration.
    pub name: &'static str,
    /// The address of the service, without a version that `ApiVersion::InPath` adds.
    pub base_url: &'static str,
    /// A fast and cheap model of the service; `None` for a server that has only the models put
    /// there.
    pub default_model: Option<&'static str>,
    /// The version the module was written for, where the API has versions.
    pub version: Option<ApiVersion>,
    /// The header that carries the key; in `authorization` it is sent as a bearer token.
    pub key_header: &'static str,
    /// Default number of calls at the same time.
    pub concurrency: NonZeroUsize,
    /// Default time limits.
    pub timeouts: Timeouts,
    /// A path whose GET costs nothing and shows that the server answers.
    pub free_probe: Option<&'static str>,
    /// Whether the rate limits count tokens read from the prompt cache.
    pub counts_cached: bool,
    /// Whether the model runs on the operator's machine: it costs nothing and may have to be loaded
    /// first.
    pub is_local: bool,
    /// The limits for the schema of an answer.
    pub schema: SchemaLimits,
    /// The reaction to a 404 in the API's own form.
    pub missing_model: &'static str,
    /// Known families of models, longer ids before those they begin with.
    pub families: &'static [Family],
    /// Creates the request encoder of one provider.
    pub build: BuildEncoder,
    /// Adds one message of an answer, whole or a part of a stream, to the parts before it.
    pub read_message: fn(&Json, &mut Gathered) -> Result<(), ProviderError>,
    /// Reads the `error` value of a body.
    pub read_error: fn(&Json) -> ErrorBody,
    /// Reads the rest of the service's own limits.
    pub read_limits: fn(&HeaderMap) -> Remaining,
}

/// Place in a request where an API expects its version.
#[derive(Debug, Clone)]
pub enum ApiVersion {
    /// The last segment of the base URL.
    InPath(&'static str),
    /// A header of its own.
    InHeader(&'static str, &'static str),
}

impl ApiVersion {
    /// Returns the version without the place where it is sent.
    pub fn number(&self) -> &'static str {
        match self {
            Self::InPath(number) | Self::InHeader(_, number) => number,
        }
    }
}

/// A specification is identified by its name.
impl PartialEq for ApiSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ApiSpec {}

impl ApiSpec {
    /// Returns the default base URL, with `version` in place of the API's own where one is given.
    pub fn address(&self, version: Option<&str>) -> String {
        match &self.version {
            Some(ApiVersion::InPath(own)) => {
                format!("{}/{}", self.base_url, version.unwrap_or(own))
            }
            _ => self.base_url.to_owned(),
        }
    }

    /// Returns the family of a model, where it is known.
    pub fn family_of(&self, model: &str) -> Option<&'static Family> {
        self.families.iter().find(|family| {
            let rest = model.strip_prefix(family.id);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    }

    /// Returns the prices of a model, where they are known: a local one is free.
    pub fn prices(&self, model: &str) -> Option<Prices> {
        if self.is_local {
            return Some(Prices::FREE);
        }
        self.family_of(model)?.prices
    }
}

/// A family of models: all ids that are `id`, or `id` followed by a date or revision.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The beginning of the ids.
    pub id: &'static str,
    /// The reasoning effort that answers soonest, in the API's words; `None` sends nothing.
    pub effort: Option<&'static str>,
    /// Whether the model reasons unless it is switched off.
    pub thinks: bool,
    /// Whether the model accepts a mark in the prompt up to which it is cached.
    pub marks: bool,
    /// List prices; `None` where the provider's page does not state them.
    pub prices: Option<Prices>,
}

impl Family {
    /// Creates a family with prices in thousandths of a dollar per million tokens: input, cached,
    /// written to the cache, output.
    pub(super) const fn priced(id: &'static str, prices: [u64; 4]) -> Self {
        Self {
            id,
            effort: None,
            thinks: false,
            marks: false,
            prices: Some(Prices::per_million(prices)),
        }
    }

    /// Creates a family whose prices are not known.
    pub(super) const fn unpriced(id: &'static str) -> Self {
        Self {
            prices: None,
            ..Self::priced(id, [0; 4])
        }
    }
}

/// Means by which the answer is held to the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Structure {
    /// A strict JSON schema: the decoder cannot leave it.
    #[default]
    Schema,
    /// Any JSON, for servers without schemas; the instructions describe the shape.
    Json,
    /// No constraint: the instructions alone.
    None,
}

/// Models that are given the aptitude test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AptitudeTest {
    /// Those of few parameters.
    #[default]
    IfSmall,
    /// None.
    Never,
}

/// One configured provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The operator's name for it: in logs, replies and `sayso/health`.
    pub name: String,
    /// The API it speaks.
    pub api: &'static ApiSpec,
    /// The address up to and with the version: `https://api.openai.com/v1`.
    pub base_url: String,
    /// The model's id.
    pub model: String,
    /// The key; `None` for a server without one.
    pub key: Option<Secret>,
    /// The header that carries the key unchanged; `None` for the API's usual one.
    pub key_header: Option<HeaderName>,
    /// Extra headers, in place of the API's own of the same names.
    pub headers: HeaderMap,
    /// Means by which the answer is held to the schema.
    pub structure: Structure,
    /// Reasoning effort in the API's words; `None` for the usual one of the model's family.
    pub reasoning_effort: Option<String>,
    /// The most tokens of an answer.
    pub max_output_tokens: u32,
    /// Requests per minute; `None` for no limit on our side.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens per minute, prompt and answer together; `None` for no limit on our side.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Calls at the same time.
    pub concurrency: NonZeroUsize,
    /// Time limits of one call.
    pub timeouts: Timeouts,
    /// Prices of its tokens; `None` where they are not known.
    pub prices: Option<Prices>,
    /// Share of the work among neighbours of the same API and model that have a weight too.
    pub weight: Option<NonZeroU32>,
    /// Spending limits of this provider.
    pub spend: Limits,
    /// Whether the model is small: it gets the narrow variant of prompts.
    pub is_small: bool,
    /// Whether drafts are executed even where their devices have nothing to do with the phrase.
    pub trusted: bool,
    /// Condition under which a model of few parameters has to pass a test before its drafts are
    /// executed.
    pub aptitude_test: AptitudeTest,
    /// Whether a free request checks if it is back while its breaker is open or it is disabled.
    pub probe: bool,
}

impl Settings {
    /// Returns the reasoning effort for a model of this family, in the API's words; `None` sends
    /// nothing.
    pub(super) fn effort(&self, family: Option<&Family>) -> Option<String> {
        if self.reasoning_effort.is_some() {
            return self.reasoning_effort.clone();
        }
        family?.effort.map(str::to_owned)
    }

    /// Returns whether the model has to pass an aptitude test if it has few parameters.
    pub fn may_need_aptitude_test(&self) -> bool {
        self.is_small && !self.trusted && self.aptitude_test == AptitudeTest::IfSmall
    }

    /// Returns the origin under which drafts of this provider are cached: the model, and the
    /// checks that they have passed. After a change of `trusted` or `small`, and on another gateway
    /// that checks differently, a draft must not be used without the checks of there.
    pub fn draft_origin(&self) -> String {
        let checks = match (self.trusted, self.is_small) {
            (true, _) => " (trusted)",
            (false, true) => " (small)",
            (false, false) => "",
        };
        format!("{}{checks}", self.model)
    }
}

/// Time limits of one call. No wait is unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the connection, TLS included.
    pub connect: Duration,
    /// From the request to the first byte of the answer's headers.
    pub first_byte: Duration,
    /// Between two chunks of the body.
    pub between_bytes: Duration,
    /// For the whole call.
    pub total: Duration,
}

impl Timeouts {
    /// For a hosted service, which answers quickly or is in trouble.
    pub const HOSTED: Self = Self {
        connect: Duration::from_secs(3),
        first_byte: Duration::from_secs(8),
        between_bytes: Duration::from_secs(5),
        total: Duration::from_secs(12),
    };

    /// For a local server: loading a model takes a Raspberry Pi half a minute, and nothing is sent
    /// before the prompt is read.
    pub const LOCAL: Self = Self {
        connect: Duration::from_secs(3),
        first_byte: Duration::from_secs(45),
        between_bytes: Duration::from_secs(10),
        total: Duration::from_secs(55),
    };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::HOSTED
    }
}

/// Default concurrency of hosted services.
pub(super) const HOSTED_CONCURRENCY: NonZeroUsize =
    NonZeroUsize::new(16).expect("sixteen is not zero");
