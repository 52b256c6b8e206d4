//! Payload and value templates: Home Assistant's Jinja, parsed once to see that it is sound, rendered with a fuel limit
//! because it may come from a device. Most are one of three simple shapes, which are rendered without an engine.

use std::sync::LazyLock;

use minijinja::value::{Serde, Value as Engine};
use minijinja::{Environment, UndefinedBehavior, context};
use serde_json::Value as Json;

use crate::binding::template_sandbox;

/// Instructions one rendering may take. The longest of the templates met in the wild take under 2,000;
/// a runaway loop ends after some milliseconds.
const FUEL: u64 = 20_000;

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(50);
    engine.set_undefined_behavior(UndefinedBehavior::Lenient);
    crate::binding::jinja::teach(&mut engine);
    template_sandbox::teach(&mut engine);
    engine.set_formatter(|out, state, value| {
        template_sandbox::writable(value)?;
        minijinja::escape_formatter(out, state, value)
    });
    engine
});

/// A template that parses.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Shape);

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// No markup at all: `ON`.
    Literal(String),
    /// `{{ value }}`
    Value,
    /// `{{ value_json.a.b }}`
    Path(Vec<String>),
    /// Anything else.
    Jinja(String),
}

/// The text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a Jinja template: {why}")]
pub struct BadTemplate {
    why: String,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it does not parse.
    pub fn parse(text: &str) -> Result<Self, BadTemplate> {
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            return Ok(Self(Shape::Literal(text.to_owned())));
        }
        if let Some(shape) = simple(text) {
            return Ok(Self(shape));
        }
        template_sandbox::check(text).map_err(|e| BadTemplate { why: e.to_string() })?;
        Ok(Self(Shape::Jinja(text.to_owned())))
    }

    /// The text for `value`; `None` where the template fails, runs out of fuel or finds nothing.
    pub fn render(&self, value: &Json) -> Option<String> {
        match &self.0 {
            Shape::Literal(text) => Some(text.clone()),
            Shape::Value => Some(plain(value)),
            Shape::Path(path) => path
                .iter()
                .try_fold(value, |json, key| json.get(key))
                .map(plain),
            Shape::Jinja(text) => {
                let raw = plain(value);
                let rendered = rendered(
                    text,
                    context! { value => raw, value_json => Engine::from(Serde(value)) },
                )?;
                let trimmed = rendered.trim();
                (!trimmed.is_empty()).then(|| trimmed.to_owned())
            }
        }
    }

    /// The text for a value to be sent: `value` is the value itself, so that arithmetic on it works.
    pub fn fill(&self, value: &Json) -> Option<String> {
        match &self.0 {
            Shape::Jinja(text) => {
                let rendered = rendered(text, context! { value => Engine::from(Serde(value)) })?;
                Some(rendered.trim().to_owned())
            }
            _ => self.render(value),
        }
    }
}

/// What the engine makes of it, if it is not too long.
fn rendered(text: &str, variables: Engine) -> Option<String> {
    template_sandbox::render(&ENGINE, text, variables)
        .ok()
        .filter(|written| written.len() <= LONGEST)
}

/// The longest text made, in bytes. A payload of a light's effect has some hundred.
const LONGEST: usize = 64 * 1024;

/// A JSON value as a device would write it alone: strings without quotes.
pub(crate) fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn simple(text: &str) -> Option<Shape> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    if inside == "value" {
        return Some(Shape::Value);
    }
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let path: Vec<String> = inside
        .strip_prefix("value_json.")?
        .split('.')
        .map(str::to_owned)
        .collect();
    path.iter().all(|w| word(w)).then_some(Shape::Path(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(template: &str, value: &Json) -> Option<String> {
        Template::parse(template).unwrap().render(value)
    }

    #[test]
    fn simple_shapes_and_jinja_agree() {
        let value = json!({"a": {"b": 21.5}, "state": "ON"});
        assert_eq!(
            render("{{ value_json.a.b }}", &value).as_deref(),
            Some("21.5")
        );
        assert_eq!(
            render("{{ value_json['a']['b'] }}", &value).as_deref(),
            Some("21.5")
        );
        assert_eq!(
            render("{{value_json.state}}", &value).as_deref(),
            Some("ON")
        );
        assert_eq!(
            render("{% if value_json.state == 'ON' %}yes{% endif %}", &value).as_deref(),
            Some("yes")
        );
        assert_eq!(render("{{ value }}", &json!("ON")).as_deref(), Some("ON"));
        assert_eq!(render("{{ value_json.absent }}", &value), None);
    }

    #[test]
    fn arithmetic_works_on_what_is_sent() {
        let template = Template::parse("{{ (value * 2.54) | round | int }}").unwrap();
        assert_eq!(template.fill(&json!(100)).as_deref(), Some("254"));
    }

    #[test]
    fn home_assistants_filters_and_pythons_methods_work() {
        let value = json!({"t": "21.57", "on": true, "m": {"k": 3}, "s": "Auto Mode"});
        assert_eq!(
            render(
                "{{ value_json.t | float | multiply(2) | round(1) }}",
                &value
            )
            .as_deref(),
            Some("43.1")
        );
        assert_eq!(
            render("{{ value_json.nothing | float(7) | int }}", &value).as_deref(),
            Some("7")
        );
        assert_eq!(
            render("{{ iif(value_json.on, 'yes', 'no') }}", &value).as_deref(),
            Some("yes")
        );
        assert_eq!(
            render(
                "{{ value_json.m.get('k') }} {{ value_json.m.get('z', 5) }}",
                &value
            )
            .as_deref(),
            Some("3 5")
        );
        assert_eq!(
            render("{{ value_json.s.lower().replace(' ', '_') }}", &value).as_deref(),
            Some("auto_mode")
        );
        assert_eq!(
            render("{{ value.split(',')[1] }}", &json!("a,b")).as_deref(),
            Some("b")
        );
    }

    #[test]
    fn a_doubling_template_gives_nothing_and_takes_no_memory() {
        let doubling = format!(
            "{{% set a = 'xxxxxxxx' %}}{}{{{{ a }}}}",
            "{% set a = a ~ a %}".repeat(60)
        );
        assert_eq!(render(&doubling, &json!(1)), None);
        let squaring = format!(
            "{{% set a = 'xxxxxxxx' %}}{}{{{{ a }}}}",
            "{% set a = a.replace('x', a) %}".repeat(9)
        );
        assert_eq!(render(&squaring, &json!(1)), None);
    }

    #[test]
    fn a_list_repeated_without_end_is_not_written() {
        let start = tokio::time::Instant::now();
        for endless in [
            "{{ [value] * 9 ** 12 }}",
            "{{ [[value] * 9 ** 12] }}",
            "{{ {'a': [value] * 9 ** 12} }}",
        ] {
            assert_eq!(render(endless, &json!("\u{6}x")), None);
        }
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }

    #[test]
    fn a_runaway_template_ends_and_gives_nothing() {
        assert_eq!(
            render(
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                &json!(1)
            ),
            None
        );
    }

    #[test]
    fn a_broken_template_is_refused_when_read() {
        assert!(Template::parse("{{ value").is_err());
        assert!(Template::parse("{% if %}").is_err());
    }
}
