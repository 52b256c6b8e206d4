//! The mapping from HTTP statuses and error bodies to errors, the same for all APIs. Pure.

use std::time::SystemTime;

use reqwest::header::HeaderMap;
use serde_json::Value as Json;

use crate::provider::error::{Cause, ErrorBody, ProviderError, without_bom};
use crate::provider::headers;
use crate::provider::spec::ApiSpec;

/// Who reports the error: the API, and the model of the provider.
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
        // What is not JSON comes from a proxy in between, unless there is no body at all.
        if json.is_none() && (matches!(status, 403..=405) || status == 407) {
            return ProviderError::ServerError {
                status,
                why: ": not the API's own answer: a proxy is in between, or `base_url` is wrong"
                    .to_owned(),
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
        let unusable = |remedy: &str| ProviderError::Unusable {
            why: format!("{remedy} (status {status}{words})"),
        };
        if let Some(cause) = error.cause {
            return unusable(cause.remedy());
        }
        match status {
            401 => unusable(Cause::Key.remedy()),
            402 => unusable(Cause::Credit.remedy()),
            403 => unusable(Cause::Forbidden.remedy()),
            404 => {
                let remedy = self.spec.missing_model.replace("{model}", self.model);
                unusable(&format!("no such model or address: {remedy}"))
            }
            300..=399 => unusable("it redirects elsewhere: correct `base_url`"),
            429 => ProviderError::Limited {
                retry_after: *retry_after,
            },
            200 => ProviderError::ServerError {
                status,
                why: format!(": an error in place of an answer{words}"),
                retry_after: None,
            },
            408 | 409 | 425 | 500.. => ProviderError::ServerError {
                status,
                why: words.clone(),
                retry_after: *retry_after,
            },
            _ => ProviderError::Rejected {
                why: format!("status {status}{words}"),
            },
        }
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
