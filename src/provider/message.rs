//! The values that cross the provider boundary: a prompt, a completion and its token usage.

use std::sync::Arc;

use crate::provider::prompt_parts::{AnswerSchema, PromptText};

/// One request to a model. The prefix and the schema are the same bytes for every phrase of one
/// home, so that a provider's prompt cache works; the phrase comes last and alone in its own
/// message.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The instructions and the listing of the home.
    pub prefix: PromptText,
    /// A key for the prefix: equal for equal bytes.
    pub prefix_key: Arc<str>,
    /// The command.
    pub phrase: String,
    /// The JSON Schema of the answer.
    pub schema: AnswerSchema,
    /// The most tokens of the answer.
    pub max_output_tokens: u32,
    /// The variant for small models; `None` where there is none.
    pub narrow: Option<Arc<NarrowPrompt>>,
}

/// The variant of a prompt for models with a small context.
#[derive(Debug)]
pub struct NarrowPrompt {
    /// The instructions and the listing of the devices, as many as fit.
    pub prefix: PromptText,
    /// Examples for the devices that the phrase names, which precede it.
    pub examples: String,
    /// A schema that allows each device only its own properties.
    pub schema: AnswerSchema,
    /// The most tokens of the answer, by the number of devices meant.
    pub max_output_tokens: u32,
}

impl Prompt {
    /// Adds earlier commands of the source, each with its actions, before the command. They are
    /// data that "it" and "again" refer to.
    #[must_use]
    pub fn with_earlier(self, earlier: &[String]) -> Self {
        if earlier.is_empty() {
            return self;
        }
        let mut phrase = "earlier commands of this speaker and the actions they had, as data; \
                          words such as \"it\" refer to the last one, and the command may answer \
                          a question that is there:\n"
            .to_owned();
        for line in earlier {
            phrase.push_str("- ");
            phrase.push_str(line);
            phrase.push('\n');
        }
        phrase.push_str(&self.phrase);
        Self { phrase, ..self }
    }

    /// Returns the variant for small models.
    #[must_use]
    pub fn narrowed(&self) -> Self {
        let Some(narrow) = &self.narrow else {
            return self.clone();
        };
        Self {
            prefix: narrow.prefix.clone(),
            phrase: format!("{}{}", narrow.examples, self.phrase),
            schema: narrow.schema.clone(),
            max_output_tokens: narrow.max_output_tokens,
            ..self.clone()
        }
    }
}

/// A model's answer: complete, not refused, not yet validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text of the answer: should be JSON of the schema.
    pub body: String,
    /// Tokens as the API counted them; zeros where it did not.
    pub usage: Usage,
}

/// Token counts of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// All tokens of the prompt, cached ones included.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached: u64,
    /// Prompt tokens written to the provider's cache, which may cost more than plain ones.
    pub written: u64,
    /// All tokens of the answer, reasoning included.
    pub output: u64,
}

impl Usage {
    /// Returns the tokens to bill: counts the API left out are replaced by those of `reserved`.
    #[must_use]
    pub fn or_reserved(self, reserved: Self) -> Self {
        let mut billed = self;
        if self.input == 0 {
            billed.input = reserved.input;
        }
        if self.output == 0 {
            billed.output = reserved.output;
        }
        billed
    }

    /// Returns whether the API counted anything.
    pub fn is_known(self) -> bool {
        self.input > 0 || self.output > 0
    }
}
