//! Language models behind one interface: a [`Prompt`] in, a [`Completion`] out, for every API.
//!
//! Knows nothing of homes, commands or devices. Each API is one module with one table, its `SPEC`;
//! `http` is the one client. To add an API, write its module and list its table in [`APIS`].

mod allowance;
pub mod anthropic;
mod api;
mod connect_error;
mod decompress;
mod envelope;
mod error;
#[cfg(test)]
mod fixture;
mod frames;
mod gathered;
pub mod gemini;
mod google_errors;
mod headers;
pub mod http;
mod json;
mod message;
pub mod model_size;
pub mod ollama;
pub mod openai;
pub mod price;
mod prompt_parts;
mod redact;
pub mod responses;
pub mod spec;
mod status;
pub mod stream;
#[cfg(test)]
mod tests;

pub use crate::provider::allowance::{Allowance, Remaining};
pub use crate::provider::envelope::object_in;
pub(crate) use crate::provider::envelope::{end_of_reasoning, may_be_reasoning};
pub use crate::provider::error::{Disposition, ProviderError};
pub use crate::provider::message::{Completion, NarrowPrompt, Prompt, Usage};
pub use crate::provider::prompt_parts::{AnswerSchema, PromptText};
pub use crate::provider::spec::{ApiSpec, ApiVersion, AptitudeTest, Settings, Structure, Timeouts};

/// All APIs, the usual one first.
pub const APIS: [&ApiSpec; 5] = [
    &openai::SPEC,
    &responses::SPEC,
    &anthropic::SPEC,
    &gemini::SPEC,
    &ollama::SPEC,
];
