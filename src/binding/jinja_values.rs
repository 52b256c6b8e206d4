//! More filters and functions of Home Assistant's dialect of Jinja: numbers, lists, Base64 and
//! points in time. None of them reads a clock or the state of an entity. Source: Home Assistant's
//! templating documentation, November 2026.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned, civil};
use minijinja::value::{Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};

use crate::binding::jinja_number::{invalid, number};

/// The longest format of a time, in bytes.
const LONGEST_FORMAT: usize = 64;

/// The longest text that is encoded or decoded, in bytes.
const LONGEST_TEXT: usize = 16 * 1024;

/// The most items of a list.
const MOST_ITEMS: usize = 256;

/// The fuel that an operation on two lists consumes beside its instruction.
const SET_FUEL: u64 = 200;

/// The most lists that are joined item by item.
const MOST_LISTS: usize = 8;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The filters of this module. Those that are functions as well are in [`FUNCTIONS`].
pub(super) const FILTERS: [&str; 21] = [
    "acos",
    "as_timestamp",
    "asin",
    "atan",
    "atan2",
    "base64_decode",
    "base64_encode",
    "clamp",
    "cos",
    "difference",
    "flatten",
    "intersect",
    "median",
    "remap",
    "sin",
    "symmetric_difference",
    "tan",
    "timestamp_custom",
    "timestamp_local",
    "timestamp_utc",
    "union",
];

/// The functions of this module.
pub(super) const FUNCTIONS: [&str; 21] = [
    "acos",
    "as_timestamp",
    "asin",
    "atan",
    "atan2",
    "average",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "bool",
    "clamp",
    "cos",
    "log",
    "max",
    "median",
    "min",
    "remap",
    "sin",
    "sqrt",
    "tan",
    "zip",
];

/// Installs the filters, functions and constants.
pub(super) fn install(engine: &mut Environment<'_>) {
    for (name, value) in [
        ("pi", std::f64::consts::PI),
        ("e", std::f64::consts::E),
        ("tau", std::f64::consts::TAU),
    ] {
        engine.add_global(name, value);
    }
    install_numbers(engine);
    install_lists(engine);
    install_sets(engine);
    install_times(engine);
    engine.add_filter("base64_encode", |text: &str| encode(text.as_bytes()));
    engine.add_filter("base64_decode", |text: &str| {
        let bytes = decode(text.trim()).ok_or_else(|| invalid("not Base64".to_owned()))?;
        String::from_utf8(bytes).map_err(|_| invalid("no text in this Base64".to_owned()))
    });
}

/// A function of one number.
type NumberFunction = (&'static str, fn(f64) -> f64);

fn install_numbers(engine: &mut Environment<'_>) {
    let functions: [NumberFunction; 7] = [
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("asin", f64::asin),
        ("acos", f64::acos),
        ("atan", f64::atan),
        ("sqrt", f64::sqrt),
    ];
    for (name, function) in functions {
        let apply = move |value: &Value| finite(function(number(value)?));
        engine.add_filter(name, apply);
        engine.add_function(name, apply);
    }
    let atan2 = |y: &Value, x: &Value| finite(number(y)?.atan2(number(x)?));
    engine.add_filter("atan2", atan2);
    engine.add_function("atan2", atan2);
    engine.add_function("log", |value: &Value, base: Option<f64>| {
        finite(number(value)?.log(base.unwrap_or(std::f64::consts::E)))
    });
    engine.add_function("bitwise_and", |a: i64, b: i64| a & b);
    engine.add_function("bitwise_or", |a: i64, b: i64| a | b);
    engine.add_function("bitwise_xor", |a: i64, b: i64| a ^ b);
    let clamp = |value: &Value, low: f64, high: f64| {
        if low > high {
            return Err(invalid("the ends of the range are exchanged".to_owned()));
        }
        finite(number(value)?.clamp(low, high))
    };
    engine.add_filter("clamp", clamp);
    engine.add_function("clamp", clamp);
    let remap = |value: &Value, from: f64, to: f64, low: f64, high: f64| {
        finite(low + (number(value)? - from) / (to - from) * (high - low))
    };
    engine.add_filter("remap", remap);
    engine.add_function("remap", remap);
}

fn install_lists(engine: &mut Environment<'_>) {
    engine.add_function("min", |values: Rest<Value>| {
        extreme(&values, f64::min, false)
    });
    engine.add_function("max", |values: Rest<Value>| {
        extreme(&values, f64::max, true)
    });
    engine.add_function("average", |values: Rest<Value>| {
        let numbers = numbers(&items(&values)?)?;
        let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        finite(numbers.iter().sum::<f64>() / f64::from(count))
    });
    engine.add_function("median", |values: Rest<Value>| median(&items(&values)?));
    engine.add_filter("median", |list: &Value| median(&items_of(list)?));
    engine.add_function("zip", |lists: Rest<Value>| {
        let lists: Vec<Vec<Value>> = lists.iter().map(items_of).collect::<Result<_, Error>>()?;
        let shortest = lists.iter().map(Vec::len).min().unwrap_or_default();
        let row = |at: usize| lists.iter().map(|list| list[at].clone()).collect::<Value>();
        if lists.len() > MOST_LISTS {
            return Err(invalid("too many lists".to_owned()));
        }
        Ok((0..shortest).map(row).collect::<Vec<Value>>())
    });
    engine.add_filter("flatten", |list: &Value| {
        let mut flat = Vec::new();
        for item in items_of(list)? {
            if item.kind() == ValueKind::Seq {
                flat.extend(items_of(&item)?);
            } else {
                flat.push(item);
            }
            if flat.len() > MOST_ITEMS {
                return Err(invalid("the list is too long".to_owned()));
            }
        }
        Ok(flat)
    });
}

/// Installs the operations on lists as sets.
fn install_sets(engine: &mut Environment<'_>) {
    engine.add_filter(
        "intersect",
        |state: &State<'_, '_>, a: &Value, b: &Value| {
            state.consume_fuel(SET_FUEL)?;
            let (a, b) = (items_of(a)?, items_of(b)?);
            Ok::<_, Error>(unique(a.into_iter().filter(|item| b.contains(item))))
        },
    );
    engine.add_filter(
        "difference",
        |state: &State<'_, '_>, a: &Value, b: &Value| {
            state.consume_fuel(SET_FUEL)?;
            let (a, b) = (items_of(a)?, items_of(b)?);
            Ok::<_, Error>(unique(a.into_iter().filter(|item| !b.contains(item))))
        },
    );
    engine.add_filter("union", |state: &State<'_, '_>, a: &Value, b: &Value| {
        state.consume_fuel(SET_FUEL)?;
        Ok::<_, Error>(unique(items_of(a)?.into_iter().chain(items_of(b)?)))
    });
    engine.add_filter(
        "symmetric_difference",
        |state: &State<'_, '_>, a: &Value, b: &Value| {
            state.consume_fuel(SET_FUEL)?;
            let (a, b) = (items_of(a)?, items_of(b)?);
            let only = |of: &[Value], other: &[Value]| {
                let of = of.iter().filter(|item| !other.contains(item));
                of.cloned().collect::<Vec<_>>()
            };
            Ok::<_, Error>(unique(only(&a, &b).into_iter().chain(only(&b, &a))))
        },
    );
}

fn install_times(engine: &mut Environment<'_>) {
    let as_timestamp = |value: &Value, default: Option<Value>| {
        let seconds = seconds(value).map(Value::from);
        seconds.or_else(|error| default.ok_or(error))
    };
    engine.add_filter("as_timestamp", as_timestamp);
    engine.add_function("as_timestamp", as_timestamp);
    engine.add_filter(
        "timestamp_custom",
        |value: &Value, format: &str, local: Option<bool>| {
            let zone = if local.unwrap_or(true) {
                TimeZone::system()
            } else {
                TimeZone::UTC
            };
            if format.len() > LONGEST_FORMAT {
                return Err(invalid("the format is too long".to_owned()));
            }
            let moment = moment(value, zone)?;
            jiff::fmt::strtime::format(format, &moment).map_err(|error| invalid(error.to_string()))
        },
    );
    engine.add_filter("timestamp_local", |value: &Value| {
        iso(value, TimeZone::system())
    });
    engine.add_filter("timestamp_utc", |value: &Value| iso(value, TimeZone::UTC));
}

/// Returns a point in time as ISO 8601 with its offset, as Python writes it.
fn iso(value: &Value, zone: TimeZone) -> Result<String, Error> {
    let moment = moment(value, zone)?;
    jiff::fmt::strtime::format("%Y-%m-%dT%H:%M:%S%:z", &moment)
        .map_err(|error| invalid(error.to_string()))
}

fn moment(value: &Value, zone: TimeZone) -> Result<Zoned, Error> {
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates")]
    let millis = (number(value)? * 1000.0).round() as i64;
    let timestamp = Timestamp::from_millisecond(millis);
    let timestamp = timestamp.map_err(|error| invalid(error.to_string()))?;
    Ok(timestamp.to_zoned(zone))
}

/// Returns the seconds since 1970 of a text in ISO 8601, or a number as it is. Without an offset
/// the text is in the time zone of the machine.
fn seconds(value: &Value) -> Result<f64, Error> {
    let Some(text) = value.as_str() else {
        return number(value);
    };
    let text = text.trim();
    let timestamp = text.parse::<Timestamp>().ok().or_else(|| {
        let local = text.parse::<civil::DateTime>().ok()?;
        Some(local.to_zoned(TimeZone::system()).ok()?.timestamp())
    });
    let timestamp = timestamp.ok_or_else(|| invalid("not a date and time".to_owned()))?;
    Ok(timestamp.as_duration().as_secs_f64())
}

fn finite(n: f64) -> Result<f64, Error> {
    if n.is_finite() {
        Ok(n)
    } else {
        Err(invalid("no finite number".to_owned()))
    }
}

/// Returns the items of one list, or the values themselves where there are several.
fn items(values: &[Value]) -> Result<Vec<Value>, Error> {
    match values {
        [list] => items_of(list),
        several => Ok(several.to_vec()),
    }
}

fn items_of(list: &Value) -> Result<Vec<Value>, Error> {
    let items: Vec<Value> = list.try_iter()?.take(MOST_ITEMS + 1).collect();
    if items.len() > MOST_ITEMS {
        return Err(invalid("the list is too long".to_owned()));
    }
    Ok(items)
}

fn numbers(items: &[Value]) -> Result<Vec<f64>, Error> {
    if items.is_empty() {
        return Err(invalid("an empty list".to_owned()));
    }
    items.iter().map(number).collect()
}

/// Returns the least or greatest item: of numbers, or of texts.
fn extreme(values: &[Value], of: fn(f64, f64) -> f64, greatest: bool) -> Result<Value, Error> {
    let items = items(values)?;
    let is_text = |item: &Value| item.as_str().is_some();
    if !items.is_empty() && items.iter().all(is_text) {
        let found = if greatest {
            items.iter().max()
        } else {
            items.iter().min()
        };
        return Ok(found.cloned().unwrap_or_default());
    }
    if items.iter().any(is_text) {
        return Err(invalid("numbers and texts cannot be compared".to_owned()));
    }
    let numbers = numbers(&items)?;
    let found = numbers.iter().copied().reduce(of).unwrap_or_default();
    // The item itself, so that a whole number stays one.
    let item = items
        .iter()
        .zip(&numbers)
        .find(|(_, n)| n.total_cmp(&found).is_eq());
    Ok(item.map_or_else(|| Value::from(found), |(item, _)| item.clone()))
}

fn median(items: &[Value]) -> Result<f64, Error> {
    let mut numbers = numbers(items)?;
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    finite(if numbers.len() % 2 == 1 {
        numbers[middle]
    } else {
        f64::midpoint(numbers[middle - 1], numbers[middle])
    })
}

fn unique(items: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

fn encode(bytes: &[u8]) -> Result<String, Error> {
    if bytes.len() > LONGEST_TEXT {
        return Err(Error::new(
            ErrorKind::InvalidOperation,
            "the text is too long",
        ));
    }
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * at) & 63).unwrap_or_default();
            let is_padding = at > u32::try_from(chunk.len()).unwrap_or_default();
            out.push(if is_padding {
                '='
            } else {
                char::from(BASE64[index])
            });
        }
    }
    Ok(out)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    if text.len() > LONGEST_TEXT || !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut out = Vec::with_capacity(digits.len() * 3 / 4);
    for digit in digits.bytes() {
        let value = BASE64.iter().position(|known| *known == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}
