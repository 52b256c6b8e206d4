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

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use minijinja::machinery::ast::{
    BinOp, BinOpKind, Call, CallArg, Compare, CompareOp, CompareOpKind, Const, Do, EmitExpr,
    EmitRaw, Expr, Filter, FilterBlock, ForLoop, GetAttr, GetItem, IfCond, IfExpr, List, Map, Set,
    SetBlock, Slice, Spanned, Stmt, Template, Test, Tuple, UnaryOp, UnaryOpKind, Var, WithBlock,
};
use minijinja::machinery::{
    CodeGenerator, Instructions, Span, make_string_output, parse, tokenize,
};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, Tuple as Several, Value, ValueKind, ValueOrKwargs};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

use crate::binding::jinja;
use crate::binding::jinja_checked;

/// The largest value: a byte of text weighs one, any part of a list or map [`PART`].
const LARGEST: usize = 64 * 1024;
const PART: usize = 16;
/// The largest argument of a filter that applies another one to each item of a list.
const SLIGHT: usize = 2 * 1024;
/// Lists in lists.
const DEEPEST: usize = 64;
/// The weight of one unit of fuel: as much as the engine's own measure.
const PER_FUEL: u64 = 64;

/// The longest template, in bytes and in words and signs. The longest of the announcements kept as
/// tests has 300 bytes.
const LONGEST: usize = 16 * 1024;
const MOST_TOKENS: usize = 2_000;
/// Expressions and blocks in one another. The engine's compiler goes as deep as a sum is long, on
/// the stack.
const MOST_LEVELS: usize = 150;

/// The filters that measure. Templates may use them as well; it does nothing to them.
const FENCE: &str = "fenced";
const LOW_FENCE: &str = "fenced_low";
/// Keeps from a slice the one step that the engine cannot turn round.
const STEP: &str = "fenced_step";

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

fn too_long() -> Error {
    Error::new(ErrorKind::SyntaxError, "it is too long or too deep")
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

/// Returns the value with all its parts evaluated. `left` is the weight it may still have (see
/// [`LARGEST`]), and the evaluation fails as soon as that is exceeded.
fn made(value: Value, left: &mut usize, depth: usize) -> Result<Value, Error> {
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
fn range(lower: i64, upper: Option<i64>, step: Option<i64>) -> Result<Vec<i64>, Error> {
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
fn sum(
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
fn tojson(value: &Value, indent: Option<Value>, named: Kwargs) -> Result<Value, Error> {
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
fn format(
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

fn span<T>(node: T, like: Span) -> Spanned<T> {
    Spanned::new(node, like)
}

/// Copies the target of an assignment, which is not looked up and therefore not measured.
fn target<'a>(expr: &Expr<'a>) -> Result<Expr<'a>, Error> {
    let all = |items: &[Expr<'a>]| items.iter().map(target).collect::<Result<Vec<_>, _>>();
    Ok(match expr {
        Expr::Var(e) => Expr::Var(span(Var { id: e.id }, e.span())),
        Expr::List(e) => Expr::List(span(
            List {
                items: all(&e.items)?,
            },
            e.span(),
        )),
        Expr::Tuple(e) => Expr::Tuple(span(
            Tuple {
                items: all(&e.items)?,
            },
            e.span(),
        )),
        Expr::GetAttr(e) => Expr::GetAttr(span(
            GetAttr {
                expr: target(&e.expr)?,
                name: e.name,
            },
            e.span(),
        )),
        _ => return Err(Error::new(ErrorKind::SyntaxError, "cannot assign to this")),
    })
}

fn measured<'a>(expr: Expr<'a>, fence: &'static str) -> Expr<'a> {
    let like = expr.span();
    Expr::Filter(span(
        Filter {
            name: fence,
            expr: Some(expr),
            args: Vec::new(),
        },
        like,
    ))
}

/// Rewrites a template; keeps the present depth, and the first unknown name.
#[derive(Default)]
struct Rewriter {
    level: Rc<Cell<usize>>,
    too_deep: Cell<bool>,
    /// The first filter, test, function or method that does not exist.
    unknown: RefCell<Option<String>>,
}

/// One level, left when dropped.
struct LoopLevel(Rc<Cell<usize>>);

impl Drop for LoopLevel {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Rewriter {
    fn down(&self) -> Option<LoopLevel> {
        if self.level.get() >= MOST_LEVELS {
            self.too_deep.set(true);
            return None;
        }
        self.level.set(self.level.get() + 1);
        Some(LoopLevel(Rc::clone(&self.level)))
    }

    fn statements<'a>(&self, all: &[Stmt<'a>]) -> Result<Vec<Stmt<'a>>, Error> {
        all.iter().map(|each| self.statement(each)).collect()
    }

    fn statement<'a>(&self, stmt: &Stmt<'a>) -> Result<Stmt<'a>, Error> {
        let _level = self.down().ok_or_else(too_long)?;
        Ok(match stmt {
            Stmt::Template(s) => {
                let children = self.statements(&s.children)?;
                Stmt::Template(span(Template { children }, s.span()))
            }
            // What is written is measured by the formatter, and a loop that calls itself is no
            // value.
            Stmt::EmitExpr(s) => {
                let expr = self.bare(&s.expr);
                Stmt::EmitExpr(span(EmitExpr { expr }, s.span()))
            }
            Stmt::EmitRaw(s) => Stmt::EmitRaw(span(EmitRaw { raw: s.raw }, s.span())),
            Stmt::ForLoop(s) => Stmt::ForLoop(span(self.for_loop(s)?, s.span())),
            Stmt::IfCond(s) => Stmt::IfCond(span(self.condition(s)?, s.span())),
            Stmt::WithBlock(s) => Stmt::WithBlock(span(self.with_block(s)?, s.span())),
            Stmt::Set(s) => {
                let node = Set {
                    target: target(&s.target)?,
                    expr: self.assigned(&s.expr),
                };
                Stmt::Set(span(node, s.span()))
            }
            Stmt::SetBlock(s) => {
                let node = SetBlock {
                    target: target(&s.target)?,
                    filter: s.filter.as_ref().map(|each| self.bare(each)),
                    body: self.statements(&s.body)?,
                };
                Stmt::SetBlock(span(node, s.span()))
            }
            Stmt::FilterBlock(s) => {
                let node = FilterBlock {
                    filter: self.bare(&s.filter),
                    filter_span: s.filter_span,
                    body: self.statements(&s.body)?,
                };
                Stmt::FilterBlock(span(node, s.span()))
            }
            Stmt::Do(s) => {
                let call = span(self.call(&s.call), s.call.span());
                Stmt::Do(span(Do { call }, s.span()))
            }
            Stmt::AutoEscape(_) => {
                return Err(Error::new(
                    ErrorKind::SyntaxError,
                    "`autoescape` is of no use here",
                ));
            }
        })
    }

    fn for_loop<'a>(&self, s: &ForLoop<'a>) -> Result<ForLoop<'a>, Error> {
        Ok(ForLoop {
            target: target(&s.target)?,
            iter: self.expression(&s.iter),
            filter_expr: self.optional(s.filter_expr.as_ref()),
            recursive: s.recursive,
            body: self.statements(&s.body)?,
            else_body: self.statements(&s.else_body)?,
        })
    }

    fn condition<'a>(&self, s: &IfCond<'a>) -> Result<IfCond<'a>, Error> {
        Ok(IfCond {
            expr: self.expression(&s.expr),
            true_body: self.statements(&s.true_body)?,
            false_body: self.statements(&s.false_body)?,
        })
    }

    fn with_block<'a>(&self, s: &WithBlock<'a>) -> Result<WithBlock<'a>, Error> {
        let assignments = s
            .assignments
            .iter()
            .map(|(to, value)| Ok((target(to)?, self.assigned(value))))
            .collect::<Result<_, Error>>()?;
        Ok(WithBlock {
            assignments,
            body: self.statements(&s.body)?,
        })
    }

    /// Rewrites a value that is assigned. The value of `namespace()` is not measured, because
    /// measuring copies it into a plain map. Whatever else holds a namespace holds such a copy, so
    /// none contains itself.
    fn assigned<'a>(&self, expr: &Expr<'a>) -> Expr<'a> {
        match expr {
            Expr::Call(e) if matches!(&e.expr, Expr::Var(function) if function.id == "namespace") => {
                self.bare(expr)
            }
            _ => self.expression(expr),
        }
    }

    /// Rewrites an expression so that its value is measured.
    fn expression<'a>(&self, expr: &Expr<'a>) -> Expr<'a> {
        match expr {
            // Numbers, truth, and text as long as the template at most; of the last three, what is
            // given has been measured.
            Expr::Const(_)
            | Expr::UnaryOp(_)
            | Expr::Compare(_)
            | Expr::Test(_)
            | Expr::IfExpr(_) => self.bare(expr),
            _ => measured(self.bare(expr), FENCE),
        }
    }

    /// Rewrites an expression so that only its parts are measured.
    fn bare<'a>(&self, expr: &Expr<'a>) -> Expr<'a> {
        let Some(_level) = self.down() else {
            return Expr::Const(span(Const { value: ().into() }, expr.span()));
        };
        match expr {
            Expr::Var(e) => Expr::Var(span(Var { id: e.id }, e.span())),
            Expr::Const(e) => {
                let value = e.value.clone();
                Expr::Const(span(Const { value }, e.span()))
            }
            Expr::Slice(e) => Expr::Slice(span(self.slice(e), e.span())),
            Expr::UnaryOp(e) => Expr::UnaryOp(span(self.unary(e), e.span())),
            Expr::BinOp(e) if formats_text(e) => Expr::Filter(span(self.formatting(e), e.span())),
            Expr::BinOp(e) => self.operation(e, e.span()),
            Expr::Compare(e) => Expr::Compare(span(self.comparison(e), e.span())),
            Expr::IfExpr(e) => {
                let node = IfExpr {
                    test_expr: self.expression(&e.test_expr),
                    true_expr: self.expression(&e.true_expr),
                    false_expr: self.optional(e.false_expr.as_ref()),
                };
                Expr::IfExpr(span(node, e.span()))
            }
            Expr::Filter(e) => Expr::Filter(span(self.filter(e), e.span())),
            Expr::Test(e) => Expr::Test(span(self.test(e), e.span())),
            Expr::GetAttr(e) => {
                let node = GetAttr {
                    expr: self.looked_into(&e.expr),
                    name: e.name,
                };
                Expr::GetAttr(span(node, e.span()))
            }
            Expr::GetItem(e) => {
                let node = GetItem {
                    expr: self.looked_into(&e.expr),
                    subscript_expr: self.expression(&e.subscript_expr),
                };
                Expr::GetItem(span(node, e.span()))
            }
            Expr::Call(e) => Expr::Call(span(self.call(e), e.span())),
            Expr::List(_) | Expr::Tuple(_) | Expr::Map(_) => self.collection(expr),
        }
    }

    /// Rewrites a list, tuple or map so that its items are measured, but not the collection as a
    /// whole.
    fn collection<'a>(&self, expr: &Expr<'a>) -> Expr<'a> {
        match expr {
            Expr::List(e) => {
                let items = self.expressions(&e.items);
                Expr::List(span(List { items }, e.span()))
            }
            Expr::Tuple(e) => {
                let items = self.expressions(&e.items);
                Expr::Tuple(span(Tuple { items }, e.span()))
            }
            Expr::Map(e) => {
                let node = Map {
                    keys: self.expressions(&e.keys),
                    values: self.expressions(&e.values),
                };
                Expr::Map(span(node, e.span()))
            }
            _ => self.expression(expr),
        }
    }

    fn expressions<'a>(&self, items: &[Expr<'a>]) -> Vec<Expr<'a>> {
        items.iter().map(|each| self.expression(each)).collect()
    }

    fn optional<'a>(&self, item: Option<&Expr<'a>>) -> Option<Expr<'a>> {
        item.map(|each| self.expression(each))
    }

    fn slice<'a>(&self, e: &Slice<'a>) -> Slice<'a> {
        let step = e.step.as_ref().map(|step| measured(self.bare(step), STEP));
        Slice {
            expr: self.expression(&e.expr),
            start: self.optional(e.start.as_ref()),
            stop: self.optional(e.stop.as_ref()),
            step,
        }
    }

    fn unary<'a>(&self, e: &UnaryOp<'a>) -> UnaryOp<'a> {
        let op = if matches!(e.op, UnaryOpKind::Not) {
            UnaryOpKind::Not
        } else {
            UnaryOpKind::Neg
        };
        UnaryOp {
            op,
            expr: self.expression(&e.expr),
        }
    }

    /// Rewrites an operation. Operators of order become a filter, which fails for values without an
    /// order.
    fn operation<'a>(&self, e: &BinOp<'a>, at: Span) -> Expr<'a> {
        let (left, right) = (self.expression(&e.left), self.expression(&e.right));
        if let Some(name) = jinja_checked::order_filter(e.op) {
            let node = Filter {
                name,
                expr: Some(left),
                args: vec![CallArg::Pos(right)],
            };
            return Expr::Filter(span(node, at));
        }
        let node = BinOp {
            op: e.op,
            left,
            right,
        };
        Expr::BinOp(span(node, at))
    }

    /// Rewrites a chain of comparisons. If one of them is of order, its operands are checked.
    fn comparison<'a>(&self, e: &Compare<'a>) -> Compare<'a> {
        let operand = chain_operand(e);
        let checked = |expr: &Expr<'a>| match operand {
            Some(filter) => measured(self.expression(expr), filter),
            None => self.expression(expr),
        };
        let ops = e.ops.iter().map(|next| CompareOp {
            op: next.op,
            expr: checked(&next.expr),
        });
        Compare {
            expr: checked(&e.expr),
            ops: ops.collect(),
        }
    }

    fn filter<'a>(&self, e: &Filter<'a>) -> Filter<'a> {
        // `select (attr)` is read as one name too.
        let name: String = e.name.split_whitespace().collect();
        self.require(jinja::is_filter(&name), "filter", &name);
        let each = matches!(
            name.as_str(),
            "map" | "select" | "reject" | "selectattr" | "rejectattr"
        );
        Filter {
            name: e.name,
            expr: self.optional(e.expr.as_ref()),
            args: self.arguments(&e.args, if each { LOW_FENCE } else { FENCE }),
        }
    }

    /// Returns Python's `'#%02x' % red` as the filter that does the same.
    fn formatting<'a>(&self, e: &BinOp<'a>) -> Filter<'a> {
        let values = match &e.right {
            Expr::Tuple(tuple) => self.expressions(&tuple.items),
            value => vec![self.expression(value)],
        };
        Filter {
            name: "format",
            expr: Some(self.expression(&e.left)),
            args: values.into_iter().map(CallArg::Pos).collect(),
        }
    }

    fn test<'a>(&self, e: &Test<'a>) -> Test<'a> {
        self.require(jinja::is_test(e.name), "test", e.name);
        Test {
            name: e.name,
            expr: self.expression(&e.expr),
            args: self.arguments(&e.args, FENCE),
        }
    }

    /// Rewrites a value of which only a part is accessed. It is not measured as a whole, because
    /// the payload may be large.
    fn looked_into<'a>(&self, expr: &Expr<'a>) -> Expr<'a> {
        if matches!(expr, Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_)) {
            self.bare(expr)
        } else {
            self.expression(expr)
        }
    }

    /// Notes a name that does not exist.
    fn require(&self, exists: bool, what: &str, name: &str) {
        if !exists {
            let message = || {
                let why = jinja::absence(name).map_or(String::new(), |why| format!(": {why}"));
                format!("the {what} `{name}` does not exist here{why}")
            };
            self.unknown.borrow_mut().get_or_insert_with(message);
        }
    }

    fn call<'a>(&self, call: &Call<'a>) -> Call<'a> {
        match &call.expr {
            Expr::Var(function) => {
                self.require(jinja::is_function(function.id), "function", function.id);
            }
            Expr::GetAttr(method) => {
                self.require(jinja::is_method(method.name), "method", method.name);
            }
            _ => {}
        }
        // A method of a variable may be one of the loop, which is no value.
        let expr = match &call.expr {
            Expr::GetAttr(e) if !matches!(e.expr, Expr::Var(_)) => Expr::GetAttr(span(
                GetAttr {
                    expr: self.expression(&e.expr),
                    name: e.name,
                },
                e.span(),
            )),
            other => self.bare(other),
        };
        Call {
            expr,
            args: self.arguments(&call.args, FENCE),
        }
    }

    fn arguments<'a>(&self, all: &[CallArg<'a>], fence: &'static str) -> Vec<CallArg<'a>> {
        let value = |expr: &Expr<'a>| {
            if matches!(expr, Expr::Const(_)) && fence == FENCE {
                self.bare(expr)
            } else {
                measured(self.bare(expr), fence)
            }
        };
        let argument = |arg: &CallArg<'a>| match arg {
            CallArg::Pos(expr) => CallArg::Pos(value(expr)),
            CallArg::Kwarg(name, expr) => CallArg::Kwarg(name, value(expr)),
            CallArg::PosSplat(expr) => CallArg::PosSplat(value(expr)),
            CallArg::KwargSplat(expr) => CallArg::KwargSplat(value(expr)),
        };
        all.iter().map(argument).collect()
    }
}

/// Returns the filter for the operands of a chain of comparisons, if one of them is of order. All
/// must be of one type: texts where the template has one of them, as in `'08:00' < value <
/// '20:00'`.
fn chain_operand(e: &Compare<'_>) -> Option<&'static str> {
    let is_order = |next: &CompareOp<'_>| {
        matches!(
            next.op,
            CompareOpKind::Lt | CompareOpKind::Lte | CompareOpKind::Gt | CompareOpKind::Gte
        )
    };
    if !e.ops.iter().any(is_order) {
        return None;
    }
    let mut operands = std::iter::once(&e.expr).chain(e.ops.iter().map(|next| &next.expr));
    Some(if operands.any(is_text) {
        jinja_checked::TEXT_OPERAND
    } else {
        jinja_checked::NUMBER_OPERAND
    })
}

fn is_text(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Const(text) if text.value.kind() == ValueKind::String)
}

/// Returns whether the operator is `%` behind a text, where it formats and is not a remainder.
fn formats_text(e: &BinOp<'_>) -> bool {
    matches!(e.op, BinOpKind::Rem) && is_text(&e.left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binding::template::Template;
    use serde_json::{Value as Json, json};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

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
