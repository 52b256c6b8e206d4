//! Command and value templates in Home Assistant's dialect of Jinja.
//!
//! A template may come from an announcement, so it is checked when it is parsed and rendered within
//! a budget. Most templates have one of three simple shapes, which are rendered without the engine.

use std::sync::LazyLock;

use minijinja::value::{Serde, Value as Engine};
use minijinja::{Environment, UndefinedBehavior, context};
use serde_json::Value as Json;

use crate::binding::template_sandbox;

/// Instructions per rendering. The longest templates seen in the wild take under 2,000; an endless
/// loop stops after some milliseconds.
const FUEL: u64 = 20_000;

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut engine = Environment::new();
    engine.set_fuel(Some(FUEL));
    engine.set_recursion_limit(50);
    engine.set_undefined_behavior(UndefinedBehavior::Lenient);
    crate::binding::jinja::install(&mut engine);
    template_sandbox::install(&mut engine);
    engine.set_formatter(|out, state, value| {
        template_sandbox::check_output(value)?;
        minijinja::escape_formatter(out, state, value)
    });
    engine
});

/// A template that parses and uses only filters, tests and functions that exist.
#[derive(Debug, Clone, PartialEq)]
pub struct Template(Shape);

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    /// Text without markup: `ON`.
    Literal(String),
    /// The payload itself: `{{ value }}`.
    Value,
    /// `{{ value_json.a.b }}`
    Path(Vec<String>),
    /// Any other template, rendered by the engine.
    Jinja(String),
}

/// The reason why a text is not a usable template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a Jinja template: {why}")]
pub struct BadTemplate {
    why: String,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// When it does not parse, or uses a filter, test or function that does not exist.
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

    /// Parses a template that may use these variables only.
    ///
    /// # Errors
    /// When it does not parse, or uses another variable, a filter, test or function that does not
    /// exist.
    pub fn parse_using(text: &str, variables: &[&str]) -> Result<Self, BadTemplate> {
        let template = Self::parse(text)?;
        let Some(unknown) = template.unknown_variable(variables) else {
            return Ok(template);
        };
        Err(BadTemplate {
            why: format!("it uses `{unknown}`, which is not available"),
        })
    }

    /// Returns a name the template uses that is neither one of `variables` nor a function.
    fn unknown_variable(&self, variables: &[&str]) -> Option<String> {
        let names = match &self.0 {
            Shape::Literal(_) => return None,
            Shape::Value => vec!["value".to_owned()],
            Shape::Path(_) => vec!["value_json".to_owned()],
            Shape::Jinja(text) => {
                let parsed = ENGINE.template_from_str(text).ok()?;
                let mut names: Vec<String> =
                    parsed.undeclared_variables(false).into_iter().collect();
                names.sort();
                names
            }
        };
        let is_function = |name: &str| ENGINE.globals().any(|(global, _)| global == name);
        names
            .into_iter()
            .find(|name| !variables.contains(&name.as_str()) && !is_function(name))
    }

    /// Renders a value template for a received payload; `None` where it fails, exceeds its budget
    /// or is empty.
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
                let variables = context! { value => raw, value_json => Engine::from(Serde(value)) };
                let rendered = evaluate(text, variables)?;
                let trimmed = rendered.trim();
                (!trimmed.is_empty()).then(|| trimmed.to_owned())
            }
        }
    }

    /// Renders a command template; `value` keeps its type, so that templates can calculate with it.
    /// `None` where the template fails, or where its payload cannot be right: empty, `nan`, or
    /// broken JSON.
    pub fn render_command(&self, value: &Json) -> Option<String> {
        let payload = match &self.0 {
            Shape::Jinja(text) => {
                let rendered = evaluate(text, context! { value => Engine::from(Serde(value)) })?;
                rendered.trim().to_owned()
            }
            Shape::Literal(text) => return Some(text.clone()),
            Shape::Value | Shape::Path(_) => self.render(value)?,
        };
        is_plausible(&payload).then_some(payload)
    }
}

/// Renders with the engine; `None` where that fails or the text is too long.
fn evaluate(text: &str, variables: Engine) -> Option<String> {
    template_sandbox::render(&ENGINE, text, variables)
        .ok()
        .filter(|written| written.len() <= LONGEST)
}

/// The longest rendered text, in bytes. The payload of a light's effect has some hundred.
const LONGEST: usize = 64 * 1024;

/// Returns whether a rendered payload may be published: it is not empty, is no text for a missing
/// value or number, and is valid JSON where it starts like JSON.
fn is_plausible(payload: &str) -> bool {
    let lower = payload.to_ascii_lowercase();
    if matches!(
        lower.as_str(),
        "" | "none" | "nan" | "inf" | "-inf" | "undefined"
    ) {
        return false;
    }
    let starts_as_json =
        payload.starts_with('{') || (payload.starts_with('[') && !payload.starts_with("[["));
    !starts_as_json || serde_json::from_str::<serde::de::IgnoredAny>(payload).is_ok()
}

/// Writes a JSON value as a bare payload: strings without quotes.
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
    fn command_templates_calculate_with_the_value() {
        let template = Template::parse("{{ (value * 2.54) | round | int }}").unwrap();
        assert_eq!(template.render_command(&json!(100)).as_deref(), Some("254"));
    }

    #[test]
    fn text_is_formatted_with_the_operator_of_python() {
        let value = json!({"t": 21.57, "c": [255, 0, 10]});
        for (template, expected) in [
            ("{{ '%.1f' % value_json.t }}", "21.6"),
            ("{{ '%.1f' % (value_json.t) }}", "21.6"),
            (
                "{{ '#%02x%02x%02x' % (value_json.c[0], value_json.c[1], value_json.c[2]) }}",
                "#ff000a",
            ),
            (
                "{{ '#%02x%02x%02x' | format(value_json.c[0], 0, 10) }}",
                "#ff000a",
            ),
            ("{{ 7 % 4 }}", "3"),
        ] {
            assert_eq!(
                render(template, &value).as_deref(),
                Some(expected),
                "{template}"
            );
        }
    }

    #[test]
    fn filters_of_home_assistant_and_methods_of_python_work() {
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
    fn functions_of_home_assistant_give_its_results() {
        let value = json!({"t": "21.57", "list": [3, 1, 2], "b": "T0s=", "at": "2026-11-28T10:00:00+01:00"});
        for (template, expected) in [
            ("{{ min(value_json.list) }}", "1"),
            ("{{ max(value_json.list) }}", "3"),
            ("{{ max(value_json.t | float, 30) }}", "30"),
            ("{{ min(100, [value_json.t | int, 0] | max) }}", "21"),
            ("{{ median(1, 2, 9) }} {{ average([1, 2, 3]) }}", "2.0 2.0"),
            ("{{ value_json.b | base64_decode }}", "OK"),
            ("{{ 'OK!' | base64_encode }}", "T0sh"),
            (
                "{{ 'any carnal pleas' | base64_encode }}",
                "YW55IGNhcm5hbCBwbGVhcw==",
            ),
            ("{{ as_timestamp(value_json.at) | int }}", "1795856400"),
            (
                "{{ value_json.at | as_timestamp | timestamp_utc }}",
                "2026-11-28T09:00:00+00:00",
            ),
            (
                "{{ 1795856400 | timestamp_custom('%H:%M', false) }}",
                "09:00",
            ),
            ("{{ as_timestamp('never', 5) }}", "5"),
            ("{{ (sin(pi / 2) + cos(0)) | int }}", "2"),
            (
                "{{ bitwise_and(12, 10) }} {{ 255 | bitwise_and(15) }}",
                "8 15",
            ),
            (
                "{{ clamp(120, 0, 100) | int }} {{ remap(50, 0, 100, 0, 255) }}",
                "100 127.5",
            ),
            ("{{ [1, [2, 3]] | flatten | join(',') }}", "1,2,3"),
            ("{{ [1, 2] | union([2, 3]) | join(',') }}", "1,2,3"),
            ("{{ bool('on') }}", "True"),
        ] {
            let rendered = render(template, &value);
            assert_eq!(rendered.as_deref(), Some(expected), "{template}");
        }
    }

    /// Templates that fail for the values of their test.
    const FAILING: &[&str] = &[
        "{{ value_json.t | float | round(1) }}",
        "{{ value_json.t | int }}",
        "{{ value_json.none | int }}",
        "{{ value_json.text | float }}",
        "{{ value_json.text | int }}",
        "{{ float(value_json.t) }}",
        "{{ int(value_json.none) }}",
        "{{ int(value_json.text) }}",
        "{{ value_json.t | round(1) }}",
        "{{ value_json.none | round }}",
        "{{ value_json.none | bool }}",
        "{{ bool(value_json.t) }}",
        "{{ value_json.none | abs }}",
        "{{ value_json.t | abs }}",
        "{{ -value_json.t }}",
        "{{ value_json.none * 2 }}",
        "{{ value_json.t + 1 }}",
        "{{ 1 - value_json.none }}",
        "{{ value_json.a / value_json.none }}",
        "{{ value_json.none % 2 }}",
        "{{ value_json.none | multiply(2) }}",
        "{{ 2 | multiply(value_json.t) }}",
        "{{ value_json.t | add(1) }}",
        "{{ (value_json.a | float) + (value_json.b | float) }}",
        "{{ 'LOCKED' if value_json.bolt | int == 0 else 'UNLOCKED' }}",
        "{{ 'open' if value_json.t | int > 30 else 'closed' }}",
        "{{ 'ON' if value_json.angle > 5 else 'OFF' }}",
        "{{ 'ON' if 5 < value_json.angle else 'OFF' }}",
        "{{ 'ON' if value_json.t <= 5 else 'OFF' }}",
        "{{ 'ON' if value_json.text > 5 else 'OFF' }}",
        "{{ 'ON' if value_json.a >= '3' else 'OFF' }}",
        "{{ 'ON' if 1 < value_json.none < 5 else 'OFF' }}",
        "{{ 'ON' if 1 < value_json.text < 5 else 'OFF' }}",
        "{{ 'ON' if not value_json.none > 5 else 'OFF' }}",
        "{{ 'ON' if value_json.none is lt 5 else 'OFF' }}",
        "{{ [value_json.none] | select('>', 5) | list | length }}",
        "{{ 'ON' if value_json.none is odd else 'OFF' }}",
        "{{ 'ON' if value_json.none is divisibleby 3 else 'OFF' }}",
        "{{ {0: 'disarmed', 1: 'armed_away'}[value_json.s | int] }}",
        "{{ [value_json.t, 10] | max }}",
        "{{ [value_json.none, 10] | min }}",
        "{{ max(value_json.t, 10) }}",
        "{{ min(value_json.none, 10) }}",
        "{{ [3, value_json.t] | sort | first }}",
        "{{ value_json.list | max(attribute='v') }}",
        "{{ value_json.list | sum(attribute='v') }}",
        "{{ [1, value_json.none] | sum }}",
        "{{ [1, value_json.t] | sum }}",
        "{{ average(1, value_json.none) }}",
        "{{ [1, value_json.t] | average }}",
        "{{ [1, value_json.none] | median }}",
        "{{ '%.1f' % value_json.t }}",
        "{{ '%d' | format(value_json.none) }}",
        "{{ value_json.none | log }}",
        "{{ value_json.t | sqrt }}",
        "{{ sqrt(value_json.none) }}",
        "{{ value_json.t | bitwise_and(1) }}",
        "{{ bitwise_and(value_json.none, 1) }}",
        "{{ clamp(value_json.none, 0, 100) }}",
        "{{ remap(value_json.t, 0, 1, 0, 100) }}",
        "{{ value_json.t | timestamp_custom('%H') }}",
        "{{ as_timestamp(value_json.none) }}",
        "{{ range(value_json.none) | length }}",
        "{{ value_json.none | is_defined }}",
        "{{ value_json.none.more }}",
    ];

    #[test]
    fn a_template_fails_for_a_value_that_is_missing_or_of_the_wrong_type() {
        let value = json!({"t": null, "a": 3, "text": "n/a", "list": [{"v": 1}, {}], "f": true});
        for template in FAILING {
            assert_eq!(render(template, &value), None, "{template}");
        }
    }

    /// Templates with a substitute for a missing value, with their result.
    const SUBSTITUTED: &[(&str, &str)] = &[
        ("{{ value_json.t | float(0) }}", "0"),
        ("{{ value_json.none | int(5) }}", "5"),
        ("{{ value_json.none | int(default=5) }}", "5"),
        ("{{ value_json.text | float(default=1.5) }}", "1.5"),
        ("{{ float(value_json.t, 7) }}", "7"),
        ("{{ value_json.t | float(none) }}", "None"),
        ("{{ int(value_json.t, none) }}", "None"),
        ("{{ value_json.none | default(4) | int }}", "4"),
        ("{{ value_json.t | default(4, true) | int }}", "4"),
        ("{{ value_json.none | round(1, 'common', 2) }}", "2"),
        ("{{ value_json.none | bool(false) }}", "False"),
        ("{{ value_json.d | float }}", "21.57"),
        ("{{ value_json.d | int }}", "21"),
        ("{{ value_json.d | round(1) }}", "21.6"),
        ("{{ value_json.d | round }}", "22"),
        ("{{ 7.25 | round(0, 'half') }}", "7"),
        (
            "{{ 21.2 | round(1, 'ceil') }} {{ 21.2 | round(0, 'ceil') }}",
            "21.2 22",
        ),
        (
            "{{ '0x1F' | int(0, 16) }} {{ 'ff' | int(base=16) }}",
            "31 255",
        ),
        ("{{ value_json.f | int }} {{ 'on' | bool }}", "1 True"),
        (
            "{{ value_json.none == 'y' }} {{ value_json.none != 'y' }}",
            "False True",
        ),
        (
            "{{ value_json.none == 0 }} {{ value_json.t == 0 }}",
            "False False",
        ),
        (
            "{{ value_json.none == false }} {{ value_json.t == false }}",
            "False False",
        ),
        ("{{ 'yes' if value_json.none is defined else 'no' }}", "no"),
        ("{{ 'yes' if value_json.none else 'no' }}", "no"),
        ("{{ value_json.t is none }}", "True"),
        ("{{ 'x' in value_json.none }}", "False"),
        (
            "{{ value_json.none | length }}{{ value_json.none | list | length }}",
            "00",
        ),
        (
            "{{ value_json.a > 2 }} {{ 2 < value_json.a <= 3 }}",
            "True True",
        ),
        (
            "{{ 'b' > 'a' }} {{ 'a' < 'b' < 'c' }} {{ true > 0 }}",
            "True True True",
        ),
        (
            "{{ [1, 2] < [1, 3] }} {{ 3 is gt 2 }} {{ 3 is odd }}",
            "True True True",
        ),
        ("{{ [1, 5, 3] | select('>', 2) | list | length }}", "2"),
        (
            "{{ [1, 5.5, true] | max }} {{ ['b', 'a'] | sort | first }}",
            "5.5 a",
        ),
        ("{{ [{'v': 2}, {'v': 1}] | sum(attribute='v') }}", "3"),
    ];

    #[test]
    fn a_template_may_say_what_a_missing_value_is() {
        let value = json!({"t": null, "a": 3, "text": "n/a", "d": " 21.57 ", "f": true});
        for (template, expected) in SUBSTITUTED {
            let rendered = render(template, &value);
            assert_eq!(rendered.as_deref(), Some(*expected), "{template}");
        }
    }

    #[test]
    fn what_templates_cannot_use_is_rejected_with_its_reason() {
        for (template, reason) in [
            ("{{ now() }}", "without a clock"),
            ("{{ value.strftime('%H') }}", "dates are texts"),
            ("{{ states('sensor.x') }}", "states of Home Assistant"),
            ("{{ pack(value, '>B') }}", "binary payloads"),
            ("{{ value | unpack('>B') }}", "binary payloads"),
            ("{{ value | no_such_filter }}", "does not exist here"),
        ] {
            let error = Template::parse(template).unwrap_err().to_string();
            assert!(error.contains(reason), "{template}: {error}");
        }
    }

    #[test]
    fn functions_on_lists_are_bounded() {
        for endless in [
            "{{ ([[value] * 200] * 200) | flatten | length }}",
            "{{ (range(9999) | list) | union(range(9999) | list) | length }}",
            "{{ max(range(99999)) }}",
        ] {
            assert_eq!(render(endless, &json!("x")), None, "{endless}");
        }
    }

    #[test]
    fn a_doubling_template_renders_nothing_and_takes_no_memory() {
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
    fn an_endless_list_is_not_rendered() {
        for endless in [
            "{{ [value] * 9 ** 12 }}",
            "{{ [[value] * 9 ** 12] }}",
            "{{ {'a': [value] * 9 ** 12} }}",
        ] {
            assert_eq!(render(endless, &json!("\u{6}x")), None);
        }
    }

    #[test]
    fn an_endless_loop_stops_and_renders_nothing() {
        assert_eq!(
            render(
                "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
                &json!(1)
            ),
            None
        );
    }

    #[test]
    fn a_malformed_template_is_rejected_by_the_parser() {
        assert!(Template::parse("{{ value").is_err());
        assert!(Template::parse("{% if %}").is_err());
    }
}
