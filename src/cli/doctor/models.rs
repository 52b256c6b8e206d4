//! Whether each model would answer: what `sayso providers` tells at length.

use crate::config::Config;

use crate::cli::doctor::finding::Report;
use crate::cli::providers;

/// Asks each of them once.
pub(super) async fn look(config: &Config, report: &mut Report) {
    let wanted = &config.ask.providers;
    if wanted.is_empty() {
        return report.ok(
            "models",
            "none is configured: only what is understood here is done",
        );
    }
    match providers::ask(wanted).await {
        Err(unfit) => report.fault("models", unfit.to_string(), "mend it in the config"),
        Ok(found) => {
            for finding in &found {
                match finding.verdict() {
                    Ok(took) => report.ok(
                        "models",
                        format!("{} answers, after {} ms", finding.name(), took.as_millis()),
                    ),
                    Err(why) => report.fault(
                        "models",
                        format!("{}: {why}", finding.name()),
                        "`sayso providers` tells more",
                    ),
                }
            }
            if let Some(clock) = found.iter().find_map(providers::ProviderFinding::clock) {
                report.warn("clock", clock, crate::cli::doctor::tls::SET_CLOCK);
            }
        }
    }
}
