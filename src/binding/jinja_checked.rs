//! Conversions and comparisons of templates that fail where Python fails: for a value that is
//! missing, none, or of the wrong type.
//!
//! The engine takes a missing number for 0, and orders values of all types among one another. A
//! template that does so would turn a message without a temperature into `0`. Home Assistant raises
//! an error and ignores the message, and so do these. Source: Home Assistant's `helpers/template`
//! and Jinja's filters, November 2026.

use std::cmp::Ordering;

use minijinja::machinery::ast::BinOpKind;
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, State, filters};

use crate::binding::jinja_number::{invalid, number};

/// Filters that stand for the operators of order.
const BELOW: &str = "is_below";
const AT_MOST: &str = "is_at_most";
const ABOVE: &str = "is_above";
const AT_LEAST: &str = "is_at_least";

/// An order: its filter, its tests, and the results of a comparison for which it is true.
type Order = (&'static str, &'static [&'static str], fn(Ordering) -> bool);

const ORDERS: [Order; 4] = [
    (BELOW, &["lt", "lessthan", "<"], Ordering::is_lt),
    (AT_MOST, &["le", "<="], Ordering::is_le),
    (ABOVE, &["gt", "greaterthan", ">"], Ordering::is_gt),
    (AT_LEAST, &["ge", ">="], Ordering::is_ge),
];

/// Filters for the operands of a chain such as `5 < value < 9`. They fail for anything but a
/// number, or but a text.
pub(super) const NUMBER_OPERAND: &str = "number_operand";
pub(super) const TEXT_OPERAND: &str = "text_operand";

/// Returns the filter that stands for an operator, if that is one of order.
pub(super) fn order_filter(operator: BinOpKind) -> Option<&'static str> {
    match operator {
        BinOpKind::Lt => Some(BELOW),
        BinOpKind::Lte => Some(AT_MOST),
        BinOpKind::Gt => Some(ABOVE),
        BinOpKind::Gte => Some(AT_LEAST),
        _ => None,
    }
}

/// Installs the filters, tests and functions.
pub(super) fn install(engine: &mut Environment<'_>) {
    for (filter, tests, holds) in ORDERS {
        let compare =
            move |a: &Value, b: &Value| compared(a, b).map(|order| order.is_some_and(holds));
        engine.add_filter(filter, compare);
        for test in tests {
            engine.add_test(*test, compare);
        }
    }
    engine.add_filter(NUMBER_OPERAND, |value: Value| {
        operand(value, TypeClass::Number)
    });
    engine.add_filter(TEXT_OPERAND, |value: Value| operand(value, TypeClass::Text));
    engine.add_filter("float", float);
    engine.add_function("float", float);
    engine.add_filter("int", int);
    engine.add_function("int", int);
    engine.add_filter("bool", truth);
    engine.add_function("bool", truth);
    engine.add_filter("round", round);
    engine.add_filter("min", least);
    engine.add_filter("max", greatest);
    engine.add_filter("sort", sort);
    let is_multiple = |value: &Value, by: f64| Ok::<_, Error>(number(value)?.rem_euclid(by) == 0.0);
    engine.add_test("divisibleby", is_multiple);
    engine.add_test("even", move |value: &Value| is_multiple(value, 2.0));
    engine.add_test("odd", move |value: &Value| {
        is_multiple(value, 2.0).map(|even| !even)
    });
}

/// Types within which Python orders values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TypeClass {
    Number,
    Text,
    List,
}

impl TypeClass {
    fn of(value: &Value) -> Option<Self> {
        match value.kind() {
            ValueKind::Number | ValueKind::Bool => Some(Self::Number),
            ValueKind::String => Some(Self::Text),
            ValueKind::Seq => Some(Self::List),
            _ => None,
        }
    }
}

fn without_order(value: &Value) -> Error {
    invalid(format!("{} has no order", value.kind()))
}

/// Compares two values of one type; `None` for a number that is none.
fn compared(a: &Value, b: &Value) -> Result<Option<Ordering>, Error> {
    let class = TypeClass::of(a).ok_or_else(|| without_order(a))?;
    if TypeClass::of(b) != Some(class) {
        return Err(without_order(b));
    }
    // A flag counts as the number it is in Python.
    let plain = |value: &Value| match value.kind() {
        ValueKind::Bool => Value::from(i64::from(value.is_true())),
        _ => value.clone(),
    };
    Ok(plain(a).partial_cmp(&plain(b)))
}

fn operand(value: Value, class: TypeClass) -> Result<Value, Error> {
    if TypeClass::of(&value) == Some(class) {
        Ok(value)
    } else {
        Err(without_order(&value))
    }
}

/// Returns whether a value is undefined or `none`.
fn is_absent(value: &Value) -> bool {
    value.is_undefined() || value.is_none()
}

/// Returns the argument at this place, or with this name.
fn argument(
    positional: &[Value],
    named: &Kwargs,
    (at, name): (usize, &str),
) -> Result<Option<Value>, Error> {
    match positional.get(at) {
        Some(value) => Ok(Some(value.clone())),
        None => named.has(name).then(|| named.get(name)).transpose(),
    }
}

/// Arguments after the value, of which the first may be the result for a value that cannot be
/// converted. That result may be none.
struct Conversion {
    default: Option<Value>,
    second: Option<Value>,
}

impl Conversion {
    /// Reads the arguments; `name` is the second one.
    fn read(positional: &[Value], named: &Kwargs, name: &str) -> Result<Self, Error> {
        let arguments = Self {
            default: argument(positional, named, (0, "default"))?,
            second: argument(positional, named, (1, name))?,
        };
        named.assert_all_used()?;
        Ok(arguments)
    }

    fn or_default(self, converted: Result<Value, Error>) -> Result<Value, Error> {
        converted.or_else(|error| self.default.ok_or(error))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the arguments of a filter")]
fn float(value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let arguments = Conversion::read(&positional, &named, "")?;
    arguments.or_default(number(value).map(Value::from))
}

#[expect(clippy::needless_pass_by_value, reason = "the arguments of a filter")]
fn int(
    state: &State<'_, '_>,
    value: &Value,
    positional: Rest<Value>,
    named: Kwargs,
) -> Result<Value, Error> {
    let arguments = Conversion::read(&positional, &named, "base")?;
    let base = match &arguments.second {
        Some(base) => Some(u32::try_from(base.clone())?),
        None => None,
    };
    let trimmed = value.as_str().map(|text| Value::from(text.trim()));
    let converted = if is_absent(value) {
        Err(invalid("no number".to_owned()))
    } else {
        let value = trimmed.as_ref().unwrap_or(value);
        filters::int(
            state,
            value,
            None,
            base,
            Kwargs::from_iter::<[(&str, Value); 0]>([]),
        )
    };
    arguments.or_default(converted)
}

/// Returns Home Assistant's reading of a text or number as yes or no.
#[expect(clippy::needless_pass_by_value, reason = "the arguments of a filter")]
fn truth(value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let arguments = Conversion::read(&positional, &named, "")?;
    let word = value.to_string().trim().to_lowercase();
    let found = match word.as_str() {
        "true" | "yes" | "on" | "enable" | "1" => Ok(true),
        "false" | "no" | "off" | "disable" | "0" => Ok(false),
        _ => number(value).map(|n| n != 0.0),
    };
    arguments.or_default(found.map(Value::from))
}

/// Rounds numbers and texts with numbers, to a whole number without a precision.
#[expect(clippy::needless_pass_by_value, reason = "the arguments of a filter")]
fn round(value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let argument = |at, name| argument(&positional, &named, (at, name));
    let precision = argument(0, "precision")?.map(i32::try_from).transpose()?;
    let method = argument(1, "method")?;
    let default = argument(2, "default")?;
    named.assert_all_used()?;
    let rounded = number(value).and_then(|n| {
        let method = method.as_ref().and_then(Value::as_str);
        if method == Some("half") {
            return Ok((n * 2.0).round_ties_even() / 2.0);
        }
        let none = Kwargs::from_iter::<[(&str, Value); 0]>([]);
        number(&filters::round(Value::from(n), precision, method, none)?)
    });
    match rounded {
        Ok(n) if precision.unwrap_or(0) == 0 => whole(n),
        Ok(n) => Ok(Value::from(n)),
        Err(error) => default.ok_or(error),
    }
}

/// Returns a number that is whole as an integer.
fn whole(n: f64) -> Result<Value, Error> {
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    if n.abs() < 9e15 {
        Ok(Value::from(n as i64))
    } else {
        Err(invalid("the number is too large".to_owned()))
    }
}

fn least(state: &State<'_, '_>, list: Value, named: Kwargs) -> Result<Value, Error> {
    require_order(&list, &named)?;
    filters::min(state, list, named)
}

fn greatest(state: &State<'_, '_>, list: Value, named: Kwargs) -> Result<Value, Error> {
    require_order(&list, &named)?;
    filters::max(state, list, named)
}

fn sort(state: &State<'_, '_>, list: Value, named: Kwargs) -> Result<Value, Error> {
    require_order(&list, &named)?;
    filters::sort(state, list, named)
}

/// Fails where the items of a list, or those attributes of them, have no order among one another.
fn require_order(list: &Value, named: &Kwargs) -> Result<(), Error> {
    if list.is_undefined() {
        return Ok(());
    }
    let attributes = named.get::<Option<&str>>("attribute")?.unwrap_or_default();
    for attribute in attributes.split(',').map(str::trim) {
        let mut first = None;
        for item in list.try_iter()? {
            let key = attribute_of(item, attribute)?;
            let class = TypeClass::of(&key).ok_or_else(|| without_order(&key))?;
            if *first.get_or_insert(class) != class {
                return Err(without_order(&key));
            }
        }
    }
    Ok(())
}

/// Returns the part of a value with this dotted path, or the value itself for an empty one.
pub(super) fn attribute_of(value: Value, path: &str) -> Result<Value, Error> {
    let keys = path.split('.').filter(|key| !key.is_empty());
    keys.into_iter()
        .try_fold(value, |value, key| match key.parse::<usize>() {
            Ok(index) if value.kind() == ValueKind::Seq => value.get_item_by_index(index),
            _ => value.get_attr(key),
        })
}
