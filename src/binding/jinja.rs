//! Home Assistant's dialect of Jinja, as far as MQTT payloads use it: its filters, tests and functions, and Python's
//! methods on strings and maps. Functions that need a clock or the states of other entities do not exist here, so a
//! template that uses them is rejected when it is parsed.

use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

/// Installs the dialect in the engine.
pub(super) fn install(engine: &mut Environment<'_>) {
    engine.add_filter("multiply", |value: &Value, by: f64| {
        Ok::<_, Error>(number(value)? * by)
    });
    engine.add_filter("add", |value: &Value, more: f64| {
        Ok::<_, Error>(number(value)? + more)
    });
    engine.add_filter("bitwise_and", |value: i64, mask: i64| value & mask);
    engine.add_filter("bitwise_or", |value: i64, mask: i64| value | mask);
    engine.add_filter(
        "iif",
        |value: &Value, yes: Option<Value>, no: Option<Value>| iif(value, yes, no),
    );
    engine.add_function(
        "iif",
        |value: &Value, yes: Option<Value>, no: Option<Value>| iif(value, yes, no),
    );
    engine.add_filter("is_number", |value: &Value| number(value).is_ok());
    engine.add_function("is_number", |value: &Value| number(value).is_ok());
    engine.add_filter("is_defined", |value: Value| {
        if value.is_undefined() {
            Err(Error::from(ErrorKind::UndefinedError))
        } else {
            Ok(value)
        }
    });
    engine.add_filter("from_json", |text: &str| from_json(text));
    engine.add_filter("to_json", |value: &Value| {
        serde_json::to_string(value).map_err(|_| Error::from(ErrorKind::BadSerialization))
    });
    engine.add_function("float", |value: &Value, or: Option<Value>| {
        number(value).map(Value::from).or_else(|e| or.ok_or(e))
    });
    engine.add_function("int", |value: &Value, or: Option<Value>| {
        number(value)
            .map(|n| whole(n.trunc()))
            .or_else(|e| or.ok_or(e))
    });
    engine.set_unknown_method_callback(method);
}

fn iif(value: &Value, yes: Option<Value>, no: Option<Value>) -> Value {
    if value.is_true() {
        yes.unwrap_or_else(|| Value::from(true))
    } else {
        no.unwrap_or_else(|| Value::from(false))
    }
}

fn number(value: &Value) -> Result<f64, Error> {
    let found = value.as_str().map_or_else(
        || f64::try_from(value.clone()).ok(),
        |text| text.trim().parse().ok(),
    );
    found
        .filter(|n: &f64| n.is_finite())
        .ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "not a number"))
}

#[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
fn whole(n: f64) -> Value {
    Value::from(n as i64)
}

fn from_json(text: &str) -> Result<Value, Error> {
    serde_json::from_str::<serde_json::Value>(text)
        .map(|json| Value::from(Serde(&json)))
        .map_err(|_| Error::from(ErrorKind::BadSerialization))
}

/// Calls a method of Python's. Methods with an equivalent filter call it, because filters consume fuel.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let unknown = || Error::new(ErrorKind::UnknownMethod, name.to_owned());
    let text = |index: usize| {
        arguments
            .get(index)
            .and_then(Value::as_str)
            .ok_or_else(unknown)
    };
    if let Some(this) = value.as_str() {
        return match name {
            "lower" | "upper" | "title" | "capitalize" | "replace" | "split" => {
                let all: Vec<Value> = std::iter::once(value.clone())
                    .chain(arguments.iter().cloned())
                    .collect();
                state.apply_filter(name, &all)
            }
            "strip" => Ok(Value::from(this.trim())),
            "startswith" => Ok(Value::from(this.starts_with(text(0)?))),
            "endswith" => Ok(Value::from(this.ends_with(text(0)?))),
            "isdigit" | "isnumeric" => Ok(Value::from(
                !this.is_empty() && this.bytes().all(|b| b.is_ascii_digit()),
            )),
            _ => Err(unknown()),
        };
    }
    match (value.kind(), name) {
        (ValueKind::Map, "get") => {
            let found = arguments
                .first()
                .map(|key| value.get_item(key))
                .transpose()?
                .filter(|v| !v.is_undefined());
            Ok(found
                .or_else(|| arguments.get(1).cloned())
                .unwrap_or(Value::from(())))
        }
        (ValueKind::Map, "keys") => Ok(value.try_iter()?.collect()),
        (ValueKind::Map, "items") => state.apply_filter("items", std::slice::from_ref(value)),
        _ => Err(unknown()),
    }
}
