//! Functions and filters of templates in place of the engine's own, with bounded work and memory.
//!
//! They know nothing of the template that calls them. A value that is too large is an error.

use std::collections::BTreeMap;

use minijinja::value::{Kwargs, Rest, Tuple as Several, Value, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State};

use crate::binding::jinja_checked;

/// The largest value: a byte of text weighs one, any part of a list or map [`PART`].
pub(super) const LARGEST: usize = 64 * 1024;
pub(super) const PART: usize = 16;

/// Lists in lists.
const DEEPEST: usize = 64;

/// Returns the value with all its parts evaluated. `left` is the weight it may still have (see
/// [`LARGEST`]), and the evaluation fails as soon as that is exceeded.
pub(super) fn made(value: Value, left: &mut usize, depth: usize) -> Result<Value, Error> {
    let too_large = || Error::new(ErrorKind::InvalidOperation, "too large");
    let weight = value
        .as_str()
        .map_or_else(|| value.as_bytes().map_or(0, <[u8]>::len), str::len);
    let weight = if depth > 0 { weight + PART } else { weight };
    *left = left
        .checked_sub(weight)
        .filter(|_| depth <= DEEPEST)
        .ok_or_else(too_large)?;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let all = value
                .try_iter()?
                .map(|part| made(part, left, depth + 1))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(if value.is_tuple() {
                Several::from(all).into()
            } else {
                all.into()
            })
        }
        ValueKind::Map => {
            let pair = |key: Value| {
                let held = value.get_item(&key)?;
                Ok((made(key, left, depth + 1)?, made(held, left, depth + 1)?))
            };
            let all = value
                .try_iter()?
                .map(pair)
                .collect::<Result<BTreeMap<Value, Value>, Error>>()?;
            Ok(Value::from_object(all))
        }
        // A function or the like, which is called and no value; or what a list failed to make.
        ValueKind::Plain | ValueKind::Invalid => {
            Err(Error::new(ErrorKind::InvalidOperation, "not a value"))
        }
        _ => Ok(value),
    }
}

/// Counts like the engine's own `range`, which overflows at the limits of `i64`.
pub(super) fn range(lower: i64, upper: Option<i64>, step: Option<i64>) -> Result<Vec<i64>, Error> {
    let (from, to) = upper.map_or((0, lower), |upper| (lower, upper));
    let step = step.unwrap_or(1);
    let within = |n: &i64| if step > 0 { *n < to } else { *n > to };
    let all: Vec<i64> = std::iter::successors(Some(from), |n| n.checked_add(step))
        .take_while(within)
        .take(LARGEST / PART + 1)
        .collect();
    if step == 0 || all.len() > LARGEST / PART {
        Err(ErrorKind::InvalidOperation.into())
    } else {
        Ok(all)
    }
}

/// Adds numbers only: a sum of lists copies the first ones over and over.
pub(super) fn sum(
    state: &State<'_, '_>,
    values: Value,
    attribute: Option<&str>,
    start: Option<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let start = start.map_or_else(
        || named.get::<Option<Value>>("start"),
        |start| Ok(Some(start)),
    )?;
    if start.as_ref().is_some_and(|start| !start.is_number()) {
        return Err(ErrorKind::InvalidOperation.into());
    }
    let path = attribute.map_or_else(|| named.get::<Option<&str>>("attribute"), |a| Ok(Some(a)))?;
    if !values.is_undefined() {
        for item in values.try_iter()? {
            // The engine leaves out what is missing.
            if jinja_checked::attribute_of(item, path.unwrap_or_default())?.is_undefined() {
                return Err(ErrorKind::UndefinedError.into());
            }
        }
    }
    minijinja::filters::sum(state, values, attribute, start, named)
}

/// Serializes like the engine's own `tojson`, which accepts an indentation of any width.
pub(super) fn tojson(value: &Value, indent: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let indent = indent.map_or_else(
        || named.get::<Option<Value>>("indent"),
        |indent| Ok(Some(indent)),
    )?;
    if indent
        .as_ref()
        .and_then(Value::as_i64)
        .is_some_and(|spaces| spaces > 8)
    {
        return Err(ErrorKind::InvalidOperation.into());
    }
    minijinja::filters::tojson(value, indent, named)
}

/// Formats like the engine's own `format`, which panics at a width or precision above 65,535; a
/// panic ends the process.
pub(super) fn format(
    state: &mut State<'_, '_>,
    text: &Value,
    arguments: Rest<ValueOrKwargs>,
) -> Result<Value, Error> {
    let numbers = |field: &str| {
        field
            .split(|c: char| !c.is_ascii_digit())
            .any(|number| number.len() > 4)
    };
    if text
        .as_str()
        .is_some_and(|text| text.split('%').skip(1).any(numbers))
    {
        return Err(ErrorKind::InvalidOperation.into());
    }
    minijinja::filters::format(state, text, arguments)
}
