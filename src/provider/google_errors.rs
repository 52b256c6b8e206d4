//! The details of an error as Google's services state them (`google.rpc`): of Gemini's own API and
//! of its copy of Chat Completions. Pure.

use std::time::Duration;

use serde_json::Value as Json;

use crate::provider::error::{ErrorCause, ProviderFault};
use crate::provider::headers;
use crate::provider::json::{list, text};

/// Returns the cause that the details tell.
pub(super) fn cause(error: &Json) -> Option<ErrorCause> {
    let details = list(error, "details");
    let names = |name: &str| {
        text(error, "status") == Some(name) || details.iter().any(|detail| detail["reason"] == name)
    };
    let is_daily = details
        .iter()
        .flat_map(|detail| list(detail, "violations"))
        .any(|violation| text(violation, "quotaId").is_some_and(|id| id.contains("PerDay")));
    if names("API_KEY_INVALID") {
        Some(ErrorCause::Fault(ProviderFault::Key))
    } else if names("FAILED_PRECONDITION") {
        Some(ErrorCause::Fault(ProviderFault::Forbidden))
    } else if is_daily {
        // The delay stated beside it is that of another limit.
        Some(ErrorCause::Fault(ProviderFault::DailyQuota))
    } else {
        None
    }
}

/// Returns the wait of a `RetryInfo`.
pub(super) fn retry_delay(error: &Json) -> Option<Duration> {
    let details = list(error, "details");
    details
        .iter()
        .find_map(|detail| headers::go_duration(text(detail, "retryDelay")?))
}
