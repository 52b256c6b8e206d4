//! One request to each provider; `sayso providers` shows more details.

use crate::config::Config;

use crate::cli::doctor::finding::DoctorReport;
use crate::cli::provider_test;

/// Sends one request to each provider.
pub(super) async fn check(config: &Config, report: &mut DoctorReport) {
    let wanted = &config.ask.providers;
    if wanted.is_empty() {
        return report.ok(
            "models",
            "none is configured: only locally understood commands are done",
        );
    }
    match provider_test::test(wanted).await {
        Err(invalid) => report.fault("models", invalid.to_string(), "correct it in the config"),
        Ok(found) => {
            for finding in &found {
                match finding.verdict() {
                    Ok(took) => report.ok(
                        "models",
                        format!("{} answered after {} ms", finding.name(), took.as_millis()),
                    ),
                    Err(why) => report.fault(
                        "models",
                        format!("{}: {why}", finding.name()),
                        "`sayso providers` shows more",
                    ),
                }
            }
            if let Some(clock) = found.iter().find_map(provider_test::ProviderFinding::clock) {
                report.warn("clock", clock, crate::cli::doctor::tls::SET_CLOCK);
            }
        }
    }
}
