//! Bounds the work and memory of templates from the network: a template is rewritten so that every
//! value it makes, looks up or passes on is measured at once.
//!
//! The engine counts its steps, but the cost of a step is not bounded: `[1] * 99999999` is one
//! step, and the next operator or filter walks the whole list; each step that puts a list twice
//! into another one doubles the length of its text; a namespace put into itself has no end.
//! Therefore, a value that is too large stops the template where it is made, and the next step has
//! a small input: its time is bounded, and the fuel bounds the number of steps. Values that are
//! evaluated later (ranges, slices, sums of lists) are evaluated at once, so that none can contain
//! another one unmeasured.

use std::collections::BTreeMap;

use minijinja::machinery::{CodeGenerator, Instructions, make_string_output, parse, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

use crate::binding::measured_functions::{LARGEST, format, made, range, sum, tojson};
use crate::binding::template_rewriter::{FENCE, LOW_FENCE, Rewriter, STEP, too_long};

/// The largest argument of a filter that applies another one to each item of a list.
const SLIGHT: usize = 2 * 1024;

/// The weight of one unit of fuel: as much as the engine's own measure.
const PER_FUEL: u64 = 64;

/// The longest template, in bytes and in words and signs. The longest of the announcements kept as
/// tests has 300 bytes.
const LONGEST: usize = 16 * 1024;
const MOST_TOKENS: usize = 2_000;

/// Adds measured functions to the engine, and removes those that cannot be measured.
pub(super) fn install(engine: &mut Environment<'_>) {
    engine.add_filter(FENCE, |state: &State<'_, '_>, value: Value| {
        fenced(state, value, LARGEST)
    });
    engine.add_filter(LOW_FENCE, |state: &State<'_, '_>, value: Value| {
        fenced(state, value, SLIGHT)
    });
    engine.add_function("range", range);
    engine.add_filter("sum", sum);
    engine.add_filter("tojson", tojson);
    engine.add_filter("format", format);
    engine.add_filter(STEP, |step: Value| {
        if step.as_i64() == Some(i64::MIN) {
            Err(Error::from(ErrorKind::InvalidOperation))
        } else {
            Ok(step)
        }
    });
}

/// Renders a template from the network with bounded work and memory.
///
/// # Errors
/// When it does not parse, fails, runs out of fuel or makes something too large.
pub(super) fn render(
    engine: &Environment<'static>,
    text: &str,
    variables: Value,
) -> Result<String, Error> {
    let (instructions, blocks) = compiled(text)?;
    let mut written = String::new();
    minijinja::machinery::eval(
        engine,
        &instructions,
        variables,
        &blocks,
        &mut make_string_output(&mut written),
        AutoEscape::None,
    )?;
    Ok(written)
}

/// Checks that the template can be compiled.
///
/// # Errors
/// When it does not parse or is too long.
pub(super) fn check(text: &str) -> Result<(), Error> {
    compiled(text).map(|_| ())
}

type SandboxedTemplate<'a> = (Instructions<'a>, BTreeMap<&'a str, Instructions<'a>>);

fn compiled(text: &str) -> Result<SandboxedTemplate<'_>, Error> {
    let syntax = SyntaxConfig::default();
    if text.len() > LONGEST
        || tokenize(text, false, syntax.clone())
            .take(MOST_TOKENS + 1)
            .count()
            > MOST_TOKENS
    {
        return Err(too_long());
    }
    let fencing = Rewriter::default();
    let fenced = fencing.statement(&parse(text, "template", syntax)?)?;
    if fencing.too_deep.get() {
        return Err(too_long());
    }
    if let Some(unknown) = fencing.unknown.take() {
        return Err(Error::new(ErrorKind::SyntaxError, unknown));
    }
    let mut code = CodeGenerator::new("template", text);
    code.compile_stmt(&fenced);
    Ok(code.finish())
}

fn fenced(state: &State<'_, '_>, value: Value, largest: usize) -> Result<Value, Error> {
    let mut left = largest;
    let value = made(value, &mut left, 0)?;
    state.consume_fuel((largest - left) as u64 / PER_FUEL)?;
    Ok(value)
}

/// Refuses to write values that are too large.
pub(super) fn check_output(value: &Value) -> Result<(), Error> {
    made(value.clone(), &mut { LARGEST }, 0).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::{Value as Json, json};

    use super::*;
    use crate::binding::measured_functions::PART;
    use crate::binding::template::Template;

    fn render(template: &str, value: &Json) -> Option<String> {
        Template::parse(template).ok()?.render(value)
    }

    /// Each of these would be walked for minutes at least, or fill the memory, or end the process
    /// by a panic.
    const HOSTILE: [&str; 47] = [
        "{{ '%.99999f' | format(1) | length }}",
        "{{ '%(a)99999.99999d' | format(a=1) | length }}",
        "{{ 'abc'[::-9223372036854775807 - 1] }}",
        "{{ ([value] * 99999999) | length }}",
        "{{ ([value] * 99999999) | join | length }}",
        "{{ ([1] * 99999999) | sum }}",
        "{{ ([1] * 99999999) | sort | first }}",
        "{{ ([1] * 99999999) | tojson | length }}",
        "{{ ([1] * 99999999) | string | length }}",
        "{{ ([1] * 99999999) | upper | length }}",
        "{{ ([1] * 99999999)[-1] }}",
        "{{ 2 in [1] * 99999999 }}",
        "{{ [1] * 99999999 == [1] * 99999999 }}",
        "{{ ([1] * 99999999 ~ '') | length }}",
        "{{ 99999999 * value_json }}",
        "{{ 99999999 * value_json.a }}",
        "{{ value.split(',') * 99999999 }}",
        "{% for a in [[1] * 99999999] %}{{ a == [1] * 99999999 }}{% endfor %}",
        "{% for a in ([1] * 99999999)[::-1] %}{% endfor %}",
        "{% if [1] * 99999999 %}{% for a in [1] * 99999999 %}{% endfor %}x{% endif %}",
        "{% set a = [1] %}DOUBLE{% set a = a + a %}END{{ a | length }}",
        "{% set a = [1] %}DOUBLE{% set a = [a, a] %}END{{ a | tojson | length }}",
        "{% set a = [1] %}DOUBLE{% set a = {'a': a, 'b': a} %}END{{ a == a }}{{ a ~ '' }}",
        "{% set a = [1] %}DOUBLE{% set a = (a, a) %}END{{ a | string | length }}",
        "{% set a = [1] %}DOUBLE{% set a = a | chain(a) %}END{{ a | length }}",
        "{% set a = [1] %}DOUBLE{% set a = a | zip(a) | list %}END{{ a ~ '' }}",
        "{% set a = [1] %}DOUBLE{% set a = [a, a] | list %}END{{ a in [a] }}{{ a | unique }}",
        "{% set a = {'a': 1} %}DOUBLE{% set a = dict(a=a, b=a) %}END{{ a | pprint | length }}",
        "{% set a = 'xxxxxxxx' %}DOUBLE{% set a = a * 2 %}END{{ a | length }}",
        "{% set n = namespace(a=[1]) %}{% for i in range(60) %}{% set n.a = [n.a, n.a] %}{% endfor \
         %}{{ n.a | tojson }}",
        "{% set n = namespace(a=[1]) %}{% for i in range(4000) %}{% set n.a = [n.a] %}{% endfor \
         %}{{ n.a | tojson | length }}",
        "{% set n = namespace(a=[1]) %}{% for i in range(4000) %}{% set n.a = n.a + n.a %}{% \
         endfor %}{{ n.a | length }}",
        "{{ 'a' * 99999999 }}",
        "{{ ('a' * 99999999) | length }}",
        "{{ (value ~ 'a') * 99999999 }}",
        "{{ range(10 ** 9) | length }}",
        "{{ range(0, -9223372036854775808, -1) | length }}",
        "{{ range(9223372036854775807, -9223372036854775807, -1) | length }}",
        "{{ [1] | batch(10 ** 9, 1) | list | length }}",
        "{{ [1] | slice(10 ** 9) | list | length }}",
        "{{ [[[1]]] | tojson(indent=10 ** 9) | length }}",
        "{{ 'x' | indent(10 ** 9, true) | length }}",
        "{{ '%99999999d' | format(1) | length }}",
        "{{ 'aaaaaaaaaaaaaaaaaaaaaaaa' | replace('', 'a' * 9999999) | length }}",
        "{{ range(4000) | map('replace', range(4000), '') | list | length }}",
        "{{ [(1, 2)] | sum(start=()) }}",
        "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m(value) }}",
    ];

    #[test]
    fn what_grows_without_end_gives_nothing() {
        for hostile in HOSTILE {
            let step = hostile
                .split_once("DOUBLE")
                .and_then(|(_, rest)| rest.split_once("END"))
                .map_or("", |(step, _)| step);
            let template = hostile.replace(&format!("DOUBLE{step}END"), &step.repeat(60));
            assert_eq!(render(&template, &json!({"a": [1, 2]})), None, "{hostile}");
            assert_eq!(render(&template, &json!([1, 2])), None, "{hostile}");
            assert_eq!(render(&template, &json!("a,b")), None, "{hostile}");
        }
    }

    #[test]
    fn a_value_is_walked_no_further_than_is_allowed() {
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&seen);
        let endless = Value::make_iterable(move || {
            let counted = Arc::clone(&counted);
            (0u64..).map(move |n| n + (counted.fetch_add(1, Ordering::Relaxed) as u64))
        });
        assert!(made(endless, &mut { LARGEST }, 0).is_err());
        assert!(
            seen.load(Ordering::Relaxed) <= LARGEST / PART + 1,
            "{seen:?}"
        );
    }

    #[test]
    fn nothing_comes_to_hold_itself() {
        let namespace = "{% set n = namespace() %}{% set n.n = n %}{% set n.l = [n] %}{{ n.n.n \
            }}{{ n.l | length }}";
        assert_eq!(render(namespace, &json!(1)).as_deref(), Some("1"));
        assert_eq!(
            render(
                "{% for a in [1, 2] %}{{ loop.changed(loop) }}{% endfor %}",
                &json!(1)
            )
            .as_deref(),
            Some("TrueTrue")
        );
    }

    #[test]
    fn a_template_as_long_as_allowed_ends_on_a_small_stack() {
        for (first, more) in [
            ("value", "+1"),
            ("value", "|e"),
            ("value", ".a"),
            ("value", "()"),
            ("value", "[0]"),
            ("value", "~1"),
            ("1", "<1"),
            ("1", " in 1"),
        ] {
            for count in [990, 660, 140, 70] {
                render(
                    &format!("{{{{ {first}{} }}}}", more.repeat(count)),
                    &json!(1),
                );
            }
        }
        for (nested, end) in [
            ("{% elif value == 8 %}", ""),
            ("{% if value %}", "{% endif %}"),
            ("{% for a in [1] %}", "{% endfor %}"),
        ] {
            for count in [300, 140, 70] {
                render(
                    &format!(
                        "{{% if value == 1 %}}x{}{}{{% endif %}}",
                        nested.repeat(count),
                        end.repeat(count)
                    ),
                    &json!(1),
                );
            }
        }
        let words = (0..100)
            .map(|n| format!("{{% elif value == '{n}' %}}word {n}"))
            .collect::<Vec<_>>()
            .concat();
        assert_eq!(
            render(
                &format!("{{% if value == 'x' %}}{words}{{% endif %}}"),
                &json!(99)
            )
            .as_deref(),
            Some("word 99")
        );
        assert!(Template::parse(&format!("{{{{ 1 }}}}{}", " ".repeat(LONGEST))).is_err());
        assert!(Template::parse(&format!("{{{{ 1{} }}}}", "+1".repeat(MOST_TOKENS / 2))).is_err());
    }

    /// Templates as devices announce them, and their output.
    const USUAL_TEMPLATES: &[(&str, &str)] = &[
        ("{{ value_json.brightness * 2.55 }}", "254.99999999999997"),
        ("{{ value_json.a * value_json.b }}", "12"),
        (
            "{{ value_json.l[-1] }}{{ value_json.l[1:] | join }}{{ (value_json.l + ['w']) | \
                 length }}",
            "zyz4",
        ),
        ("{{ [value_json.a, value_json.b] | max }}", "4"),
        (
            "{{ value_json.m.k | sum }}{{ value_json.m.k | tojson }}{{ 2 in value_json.m.k }}",
            "3[1, 2]True",
        ),
        (
            "{% for k, v in value_json.m.items() %}{{ k }}{{ v[0] }}{% endfor %}",
            "k1",
        ),
        (
            "{% for k in value_json.l %}{{ loop.index }}{{ loop.cycle('o', 'e') }}{{ loop.last \
                 }}{% endfor %}",
            "1oFalse2eFalse3oTrue",
        ),
        (
            "{% set n = namespace(t=0) %}{% for i in range(4) %}{% set n.t = n.t + i %}{% \
                 endfor %}{{ n.t }}",
            "6",
        ),
        (
            "{% set a, b = value_json.s.split(',') %}{{ b }}{{ a * 3 }}{{ '-' * 4 }}",
            "baaa----",
        ),
        (
            "{{ {'ON': 1}.get('ON') }}{{ {'a': 2}['a'] }}{{ (1, 2) }}",
            "12(1, 2)",
        ),
        (
            "{{ value_json.none.x is defined }}{{ value_json.none is defined }}{{ \
                 value_json.none | default('d') }}",
            "",
        ),
        (
            "{{ value_json.none is defined }}{{ value_json.none | default('d') }}{{ 'x' if \
                 value_json.a > 2 else 'y' }}",
            "Falsedx",
        ),
        (
            "{% for a in [[1], [2, [3]]] recursive %}{% if a is iterable %}{{ loop(a) }}{% \
                 else %}{{ a }}{% endif %}{% endfor %}",
            "123",
        ),
        (
            "{{ value_json.l | map('upper') | join('-') }}{{ value_json.l | select('in', ['x', \
                 'z']) | list | length }}",
            "X-Y-Z2",
        ),
        (
            "{% filter upper %}a{{ value_json.a }}{% endfilter %}{% set c %}b{% endset %}{{ c \
                 }}",
            "A3b",
        ),
    ];

    #[test]
    fn what_templates_of_devices_do_works_as_before() {
        let value = json!({"brightness": 100, "a": 3, "b": 4, "l": ["x", "y", "z"], "m": {"k": [1, 2]}, "s": "a,b"});
        for &(template, given) in USUAL_TEMPLATES {
            assert_eq!(
                render(template, &value).unwrap_or_default(),
                given,
                "{template}"
            );
        }
    }
}
