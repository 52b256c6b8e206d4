//! Home Assistant's dialect of Jinja, as far as MQTT payloads use it: its filters, tests and
//! functions, and Python's methods on strings, lists and maps.
//!
//! Functions that need a clock or the states of other entities do not exist here. [`is_filter`] and
//! its siblings list the existing ones, so that a template with anything else is rejected when it
//! is announced and not at the first command. Source: Home Assistant's templating documentation,
//! November 2026.

use minijinja::value::{Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use regex_lite::{Captures, Regex, RegexBuilder};

use crate::binding::jinja_checked;
use crate::binding::jinja_number::{invalid, number};
use crate::binding::jinja_values;

/// The longest regular expression, in bytes.
const LONGEST_PATTERN: usize = 256;

/// The largest compiled regular expression, in bytes. Compiling one of this size takes well below a
/// millisecond.
const LARGEST_PATTERN: usize = 64 * 1024;

/// The longest text that is searched with a regular expression, in bytes.
const LONGEST_SEARCHED: usize = 4 * 1024;

/// The fuel that compiling a regular expression consumes; searching consumes one per byte.
const PATTERN_FUEL: u64 = 500;

/// Filters of the engine that templates may use. Those that can escape or format for HTML are left
/// out.
const ENGINE_FILTERS: [&str; 43] = [
    "abs",
    "attr",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "format",
    "groupby",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "pprint",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "select",
    "selectattr",
    "slice",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
];

/// More filters of the engine, and those of Home Assistant.
const FILTERS: [&str; 27] = [
    "upper",
    "urlencode",
    "zip",
    "safe",
    "add",
    "average",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "contains",
    "from_json",
    "iif",
    "is_defined",
    "is_number",
    "log",
    "multiply",
    "ord",
    "regex_findall",
    "regex_findall_index",
    "regex_match",
    "regex_replace",
    "regex_search",
    "slugify",
    "sqrt",
    "to_json",
    "e",
    "escape",
];

/// Tests of the engine and of Home Assistant.
const TESTS: [&str; 45] = [
    "undefined",
    "defined",
    "none",
    "safe",
    "escaped",
    "boolean",
    "odd",
    "even",
    "divisibleby",
    "number",
    "integer",
    "int",
    "float",
    "string",
    "sequence",
    "iterable",
    "mapping",
    "startingwith",
    "endingwith",
    "lower",
    "upper",
    "sameas",
    "eq",
    "equalto",
    "==",
    "ne",
    "!=",
    "lt",
    "lessthan",
    "<",
    "le",
    "<=",
    "gt",
    "greaterthan",
    ">",
    "ge",
    ">=",
    "in",
    "true",
    "false",
    "match",
    "search",
    "contains",
    "is_number",
    "list",
];

/// Functions of the engine and of Home Assistant, and the name of a recursive loop.
const FUNCTIONS: [&str; 8] = [
    "range",
    "dict",
    "namespace",
    "iif",
    "is_number",
    "float",
    "int",
    "loop",
];

/// Methods of Python's strings, lists and maps, and of loops.
const METHODS: [&str; 28] = [
    "lower",
    "upper",
    "title",
    "capitalize",
    "replace",
    "split",
    "strip",
    "lstrip",
    "rstrip",
    "startswith",
    "endswith",
    "isdigit",
    "isnumeric",
    "isalpha",
    "isalnum",
    "find",
    "count",
    "zfill",
    "removeprefix",
    "removesuffix",
    "splitlines",
    "join",
    "get",
    "keys",
    "values",
    "items",
    "cycle",
    "changed",
];

/// Returns the reason why a filter, test or function of Home Assistant does not exist here.
pub(super) fn absence(name: &str) -> Option<&'static str> {
    match name {
        "now" | "utcnow" | "today_at" | "relative_time" | "time_since" | "time_until" => {
            Some("sayso renders templates without a clock")
        }
        "as_datetime" | "as_local" | "strptime" | "timedelta" | "as_timedelta" | "timestamp"
        | "strftime" | "isoformat" | "total_seconds" => Some("dates are texts and numbers here"),
        "pack" | "unpack" => Some("binary payloads are not supported"),
        "random" | "shuffle" => Some("a command must be the same when it is sent again"),
        "md5" | "sha1" | "sha256" | "sha512" => Some("hashes are not supported"),
        "states"
        | "is_state"
        | "state_attr"
        | "is_state_attr"
        | "has_value"
        | "expand"
        | "state_translated"
        | "area_name"
        | "area_id"
        | "device_attr"
        | "device_id"
        | "area_entities"
        | "integration_entities"
        | "closest"
        | "distance"
        | "is_hidden_entity" => Some("it needs the states of Home Assistant"),
        _ => None,
    }
}

/// Returns whether templates may use a filter of this name.
pub(super) fn is_filter(name: &str) -> bool {
    ENGINE_FILTERS.contains(&name)
        || FILTERS.contains(&name)
        || jinja_values::FILTERS.contains(&name)
}

/// Returns whether templates may use a test of this name.
pub(super) fn is_test(name: &str) -> bool {
    TESTS.contains(&name)
}

/// Returns whether templates may call a function of this name.
pub(super) fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name) || jinja_values::FUNCTIONS.contains(&name)
}

/// Returns whether templates may call a method of this name.
pub(super) fn is_method(name: &str) -> bool {
    METHODS.contains(&name)
}

/// Installs the dialect in the engine.
pub(super) fn install(engine: &mut Environment<'_>) {
    install_numbers(engine);
    install_patterns(engine);
    jinja_values::install(engine);
    jinja_checked::install(engine);
    engine.add_filter("iif", iif);
    engine.add_function("iif", iif);
    engine.add_filter("is_defined", |value: Value| {
        if value.is_undefined() {
            Err(Error::from(ErrorKind::UndefinedError))
        } else {
            Ok(value)
        }
    });
    engine.add_filter("from_json", from_json);
    engine.add_filter("to_json", |value: &Value| {
        serde_json::to_string(value).map_err(|_| Error::from(ErrorKind::BadSerialization))
    });
    engine.add_filter("slugify", slugify);
    engine.add_filter("ord", |text: &str| text.chars().next().map(u32::from));
    engine.add_filter("contains", contains);
    engine.add_test("contains", contains);
    engine.add_test("list", |value: &Value| value.kind() == ValueKind::Seq);
    engine.set_unknown_method_callback(method);
}

fn install_numbers(engine: &mut Environment<'_>) {
    engine.add_filter("multiply", |value: &Value, by: f64| {
        Ok::<_, Error>(number(value)? * by)
    });
    engine.add_filter("add", |value: &Value, more: f64| {
        Ok::<_, Error>(number(value)? + more)
    });
    engine.add_filter("log", |value: &Value, base: Option<f64>| {
        Ok::<_, Error>(number(value)?.log(base.unwrap_or(std::f64::consts::E)))
    });
    engine.add_filter("average", average);
    engine.add_filter("bitwise_and", |value: i64, mask: i64| value & mask);
    engine.add_filter("bitwise_or", |value: i64, mask: i64| value | mask);
    engine.add_filter("bitwise_xor", |value: i64, mask: i64| value ^ mask);
    engine.add_filter("is_number", |value: &Value| number(value).is_ok());
    engine.add_test("is_number", |value: &Value| number(value).is_ok());
    engine.add_function("is_number", |value: &Value| number(value).is_ok());
}

fn install_patterns(engine: &mut Environment<'_>) {
    let is_match = |state: &State<'_, '_>, text: &Value, find: Option<&str>, fold: Option<bool>| {
        let (pattern, text) = prepare(state, text, find, fold)?;
        Ok::<_, Error>(pattern.find(&text).is_some_and(|found| found.start() == 0))
    };
    let search = |state: &State<'_, '_>, text: &Value, find: Option<&str>, fold: Option<bool>| {
        let (pattern, text) = prepare(state, text, find, fold)?;
        Ok::<_, Error>(pattern.is_match(&text))
    };
    engine.add_filter("regex_match", is_match);
    engine.add_test("match", is_match);
    engine.add_filter("regex_search", search);
    engine.add_test("search", search);
    engine.add_filter("regex_replace", regex_replace);
    engine.add_filter(
        "regex_findall",
        |state: &State<'_, '_>, text: &Value, find: Option<&str>, fold: Option<bool>| {
            let (pattern, text) = prepare(state, text, find, fold)?;
            Ok::<_, Error>(find_all(&pattern, &text).collect::<Vec<Value>>())
        },
    );
    engine.add_filter("regex_findall_index", regex_findall_index);
}

fn regex_replace(
    state: &State<'_, '_>,
    text: &Value,
    find: Option<&str>,
    replacement: Option<&str>,
    fold: Option<bool>,
) -> Result<String, Error> {
    let (pattern, text) = prepare(state, text, find, fold)?;
    let replacement = replacement.unwrap_or_default();
    if replacement.len() > LONGEST_PATTERN {
        return Err(invalid("the replacement is too long".to_owned()));
    }
    // Python writes `\1` and `\g<1>` where the crate writes `${1}`, and a dollar sign means itself.
    let mut to = String::new();
    let mut rest = replacement.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, rest.peek().copied()) {
            ('$', _) => to.push_str("$$"),
            ('\\', Some(digit)) if digit.is_ascii_digit() => {
                rest.next();
                to.extend(["${", &digit.to_string(), "}"]);
            }
            ('\\', Some('g')) => {
                let group: String = rest
                    .by_ref()
                    .skip_while(|c| *c != '<')
                    .skip(1)
                    .take_while(|c| *c != '>')
                    .collect();
                to.extend(["${", &group, "}"]);
            }
            (c, _) => to.push(c),
        }
    }
    let (mut replaced, mut end) = (String::new(), 0);
    for found in pattern.captures_iter(&text) {
        let Some(whole) = found.get(0) else { continue };
        replaced.push_str(&text[end..whole.start()]);
        found.expand(&to, &mut replaced);
        end = whole.end();
        if replaced.len() > LARGEST_PATTERN {
            return Err(invalid("the text is too long".to_owned()));
        }
    }
    replaced.push_str(&text[end..]);
    Ok(replaced)
}

fn regex_findall_index(
    state: &State<'_, '_>,
    text: &Value,
    find: Option<&str>,
    index: Option<usize>,
    fold: Option<bool>,
) -> Result<Value, Error> {
    let (pattern, text) = prepare(state, text, find, fold)?;
    find_all(&pattern, &text)
        .nth(index.unwrap_or_default())
        .ok_or_else(|| invalid("no match with this index".to_owned()))
}

/// Finds all matches as Python's `findall` returns them: the whole match where the pattern has no
/// group, the group where it has one, and a list where it has several.
fn find_all<'a>(pattern: &'a Regex, text: &'a str) -> impl Iterator<Item = Value> + 'a {
    let group = |found: &Captures<'_>, nth: usize| {
        Value::from(found.get(nth).map_or("", |group| group.as_str()))
    };
    pattern
        .captures_iter(text)
        .map(move |found| match found.len() {
            1 => group(&found, 0),
            2 => group(&found, 1),
            groups => (1..groups).map(|nth| group(&found, nth)).collect(),
        })
}

/// Compiles a regular expression and takes the text to search. Both are bounded and consume fuel;
/// the engine is linear in time, so that no pattern can stall the program.
fn prepare(
    state: &State<'_, '_>,
    text: &Value,
    pattern: Option<&str>,
    ignore_case: Option<bool>,
) -> Result<(Regex, String), Error> {
    let (text, pattern) = (text.to_string(), pattern.unwrap_or_default());
    state.consume_fuel(PATTERN_FUEL + text.len() as u64)?;
    if pattern.len() > LONGEST_PATTERN || text.len() > LONGEST_SEARCHED {
        return Err(invalid("too long for a regular expression".to_owned()));
    }
    let regex = RegexBuilder::new(pattern)
        .case_insensitive(ignore_case.unwrap_or(false))
        .size_limit(LARGEST_PATTERN)
        .build()
        .map_err(|error| invalid(error.to_string()))?;
    Ok((regex, text))
}

fn iif(value: &Value, yes: Option<Value>, no: Option<Value>) -> Value {
    if value.is_true() {
        yes.unwrap_or_else(|| Value::from(true))
    } else {
        no.unwrap_or_else(|| Value::from(false))
    }
}

fn average(values: &Value) -> Result<f64, Error> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values.try_iter()? {
        sum += number(&value)?;
        count += 1;
    }
    if count == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "an empty list"));
    }
    Ok(sum / f64::from(count))
}

fn from_json(text: &str) -> Result<Value, Error> {
    serde_json::from_str::<serde_json::Value>(text)
        .map(|json| Value::from(Serde(&json)))
        .map_err(|_| Error::from(ErrorKind::BadSerialization))
}

fn slugify(text: &str, separator: Option<&str>) -> String {
    let words = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(str::to_lowercase).collect();
    words.join(separator.unwrap_or("_"))
}

fn contains(value: &Value, part: &Value) -> bool {
    if let (Some(text), Some(part)) = (value.as_str(), part.as_str()) {
        return text.contains(part);
    }
    value
        .try_iter()
        .is_ok_and(|mut items| items.any(|item| item == *part))
}

/// Calls a method of Python's. Methods with an equivalent filter call it, because filters consume
/// fuel.
fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return string_method(state, (value, text), name, arguments);
    }
    let argument = arguments.first();
    match (value.kind(), name) {
        (ValueKind::Map, "get") => {
            let found = argument.map(|key| value.get_item(key)).transpose()?;
            Ok(found
                .filter(|v| !v.is_undefined())
                .or_else(|| arguments.get(1).cloned())
                .unwrap_or(Value::from(())))
        }
        (ValueKind::Map, "keys") => Ok(value.try_iter()?.collect()),
        (ValueKind::Map, "values") => {
            let values = value.try_iter()?.map(|key| value.get_item(&key));
            Ok(values.collect::<Result<Vec<Value>, Error>>()?.into())
        }
        (ValueKind::Map, "items") => state.apply_filter("items", std::slice::from_ref(value)),
        (ValueKind::Seq, "count") => {
            let same = value.try_iter()?.filter(|item| Some(item) == argument);
            Ok(Value::from(same.count()))
        }
        _ => Err(unknown_method(name)),
    }
}

fn unknown_method(name: &str) -> Error {
    Error::new(ErrorKind::UnknownMethod, name.to_owned())
}

fn string_method(
    state: &mut State<'_, '_>,
    (value, text): (&Value, &str),
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let argument = arguments.first().and_then(Value::as_str);
    let required = || argument.ok_or_else(|| unknown_method(name));
    // Without an argument, Python strips white space; with one, each of its characters.
    let stripped = |c: char| argument.map_or(c.is_whitespace(), |set| set.contains(c));
    let all = |test: fn(&char) -> bool| !text.is_empty() && text.chars().all(|c| test(&c));
    Ok(match name {
        "lower" | "upper" | "title" | "capitalize" | "replace" | "split" => {
            let all: Vec<Value> = std::iter::once(value.clone())
                .chain(arguments.iter().cloned())
                .collect();
            return state.apply_filter(name, &all);
        }
        "join" => {
            let list = arguments.first().cloned().unwrap_or_default();
            return state.apply_filter("join", &[list, value.clone()]);
        }
        "splitlines" => return state.apply_filter("lines", std::slice::from_ref(value)),
        "strip" => Value::from(text.trim_matches(stripped)),
        "lstrip" => Value::from(text.trim_start_matches(stripped)),
        "rstrip" => Value::from(text.trim_end_matches(stripped)),
        "startswith" => Value::from(text.starts_with(required()?)),
        "endswith" => Value::from(text.ends_with(required()?)),
        "removeprefix" => Value::from(text.strip_prefix(required()?).unwrap_or(text)),
        "removesuffix" => Value::from(text.strip_suffix(required()?).unwrap_or(text)),
        "isdigit" | "isnumeric" => Value::from(all(char::is_ascii_digit)),
        "isalpha" => Value::from(all(|c| c.is_alphabetic())),
        "isalnum" => Value::from(all(|c| c.is_alphanumeric())),
        "count" => Value::from(text.matches(required()?).count()),
        "find" => {
            let at = text.find(required()?);
            let chars = at.map(|at| text[..at].chars().count());
            chars.map_or(Value::from(-1), Value::from)
        }
        "zfill" => {
            let width = arguments.first().and_then(Value::as_usize).unwrap_or(0);
            let missing = width.min(64).saturating_sub(text.chars().count());
            Value::from(format!("{}{text}", "0".repeat(missing)))
        }
        _ => return Err(unknown_method(name)),
    })
}
