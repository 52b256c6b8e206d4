//! The mapping from HTTP statuses and error bodies to errors, the same for all APIs. Pure.

use std::time::SystemTime;

use reqwest::header::HeaderMap;
use serde_json::Value as Json;

use crate::provider::error::{ErrorBody, ErrorCause, ProviderError, ProviderFault, without_bom};
use crate::provider::headers;
use crate::provider::spec::ApiSpec;

/// Words of a 403 by which a filter refused the text: of xAI, `OpenRouter`'s guardrails, and
/// gateways. Their bodies state no code that says so.
const FILTER_WORDS: [&str; 10] = [
    "usage guidelines",
    "safety_check",
    "guardrail",
    "prompt injection",
    "prompt blocked",
    "content policy",
    "content filter",
    "content violates",
    "moderation",
    "was flagged",
];

/// Words of a 403 that is about the key, its rights, or the place of the caller.
const RIGHTS_WORDS: [&str; 17] = [
    "permission",
    "forbidden",
    "key",
    "credential",
    "unauthorized",
    "authorized",
    "authentication",
    "have access",
    "no access",
    "region",
    "country",
    "location",
    "ip address",
    "account",
    "organization",
    "project",
    "billing",
];

/// Source of an error: the API, and the model of the provider.
#[derive(Debug, Clone, Copy)]
pub(super) struct ErrorSource<'a> {
    pub(super) spec: &'a ApiSpec,
    pub(super) model: &'a str,
}

impl ErrorSource<'_> {
    /// Returns the error of a response whose status is not 2xx. `now` is used for dates where the
    /// server sent no clock.
    pub(super) fn of_response(
        self,
        status: u16,
        headers: &HeaderMap,
        body: &[u8],
        now: SystemTime,
    ) -> ProviderError {
        let json: Option<Json> = serde_json::from_slice(without_bom(body)).ok();
        let mut error = match &json {
            Some(json) => (self.spec.read_error)(error_in(json).unwrap_or(json)),
            None => ErrorBody::default(),
        };
        error.retry_after = error
            .retry_after
            .or_else(|| headers::retry_after(headers, now));
        let may_retry = headers::text(headers, "x-should-retry") != Some("false");
        if status == 429 && error.retry_after.is_none() && may_retry {
            error.retry_after = (self.spec.read_limits)(headers).exhausted_for();
        }
        // What is not JSON comes from a proxy in between, or from another server.
        let foreign = match status {
            _ if json.is_some() => None,
            403..=405 | 407 => {
                Some(": not the API's own answer: a proxy is in between, or `base_url` is wrong")
            }
            511 => Some(": the network wants a login: sign in there with a browser"),
            _ => None,
        };
        if let Some(why) = foreign {
            return ProviderError::ServerError {
                status,
                why: why.to_owned(),
                retry_after: error.retry_after,
            };
        }
        self.by_status(status, &error)
    }

    /// Returns the error found in a 2xx body, whole or in a part of a stream; `None` where there is
    /// none.
    pub(super) fn in_answer(self, message: &Json) -> Option<ProviderError> {
        let error = (self.spec.read_error)(error_in(message)?);
        Some(self.of_body(&error))
    }

    /// Returns the error that a body of status 200 stands for.
    pub(super) fn of_body(self, error: &ErrorBody) -> ProviderError {
        self.by_status(error.status.unwrap_or(200), error)
    }

    fn by_status(self, status: u16, error: &ErrorBody) -> ProviderError {
        let ErrorBody {
            words, retry_after, ..
        } = error;
        let server_error = |why: String| ProviderError::ServerError {
            status,
            why,
            retry_after: *retry_after,
        };
        let fault = match error.cause {
            Some(ErrorCause::Filter) => {
                return ProviderError::Filtered {
                    status,
                    why: words.clone(),
                };
            }
            Some(ErrorCause::Chance) => return server_error(words.clone()),
            Some(ErrorCause::Fault(fault)) => Some(fault),
            None if status == 403 => return self.denial(words),
            None => fault_of(status),
        };
        if let Some(fault) = fault {
            return ProviderError::Unusable {
                why: format!("{} (status {status}{words})", self.remedy(fault)),
            };
        }
        match status {
            429 => ProviderError::Limited {
                retry_after: *retry_after,
            },
            200 => server_error(format!(": an error in place of an answer{words}")),
            // Groq answers 498 when it has no capacity.
            408 | 409 | 425 | 498 | 500.. => server_error(words.clone()),
            _ => ProviderError::Rejected {
                why: format!("status {status}{words}"),
            },
        }
    }

    /// Returns the error of a 403 by the words of its body: most are about the key or the region,
    /// and others about the text.
    fn denial(self, words: &str) -> ProviderError {
        let lowercase = words.to_lowercase();
        let has_any = |all: &[&str]| all.iter().any(|part| lowercase.contains(part));
        if has_any(&FILTER_WORDS) {
            return ProviderError::Filtered {
                status: 403,
                why: words.to_owned(),
            };
        }
        if has_any(&RIGHTS_WORDS) {
            let remedy = self.remedy(ProviderFault::Forbidden);
            return ProviderError::Unusable {
                why: format!("{remedy} (status 403{words})"),
            };
        }
        ProviderError::Denied {
            why: format!("access was denied (status 403{words})"),
        }
    }

    fn remedy(self, fault: ProviderFault) -> String {
        let remedy = match fault {
            ProviderFault::Key => "the key was refused: correct its key file",
            ProviderFault::Credit => "no credit left: see its billing page",
            ProviderFault::Forbidden => "not allowed with this key or from this region",
            ProviderFault::SpendingLimit => "the spending limit is reached: see its billing page",
            ProviderFault::DailyQuota => "the quota of the day is used up: see its billing page",
            ProviderFault::Setting => {
                "the model does not know a setting: correct `structure` or `reasoning_effort`"
            }
            ProviderFault::Model => {
                let remedy = self.spec.missing_model.replace("{model}", self.model);
                return format!("no such model or address: {remedy}");
            }
            ProviderFault::Redirect => "it redirects elsewhere: correct `base_url`",
            ProviderFault::Memory => {
                "the model does not fit into the memory of its machine: use a smaller `model`, or \
                 free memory there"
            }
        };
        remedy.to_owned()
    }
}

/// Returns the fault that a status stands for.
fn fault_of(status: u16) -> Option<ProviderFault> {
    match status {
        300..=399 => Some(ProviderFault::Redirect),
        401 => Some(ProviderFault::Key),
        402 => Some(ProviderFault::Credit),
        404 => Some(ProviderFault::Model),
        _ => None,
    }
}

/// Returns the `error` value of a body, which may be in a list of one; `None` where it is missing
/// or empty.
fn error_in(json: &Json) -> Option<&Json> {
    let error = json
        .get("error")
        .or_else(|| json.get(0).and_then(|first| first.get("error")))?;
    let is_empty = match error {
        Json::Null => true,
        Json::Bool(is_error) => !is_error,
        Json::String(text) => text.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        _ => false,
    };
    (!is_empty).then_some(error)
}
