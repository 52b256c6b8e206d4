//! Rewrites a parsed template so that every value it makes, looks up or passes on is measured at
//! once.
//!
//! It knows the syntax of templates, not values: a statement enters, and the same statement with
//! measuring filters leaves. It also reports names of filters, tests and functions that do not
//! exist.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use minijinja::machinery::Span;
use minijinja::machinery::ast::{
    BinOp, BinOpKind, Call, CallArg, Compare, CompareOp, CompareOpKind, Const, Do, EmitExpr,
    EmitRaw, Expr, Filter, FilterBlock, ForLoop, GetAttr, GetItem, IfCond, IfExpr, List, Map, Set,
    SetBlock, Slice, Spanned, Stmt, Template, Test, Tuple, UnaryOp, UnaryOpKind, Var, WithBlock,
};
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind};

use crate::binding::{jinja, jinja_checked};

/// Expressions and blocks in one another. The engine's compiler goes as deep as a sum is long, on
/// the stack.
const MOST_LEVELS: usize = 150;

/// The filters that measure. Templates may use them as well; it does nothing to them.
pub(super) const FENCE: &str = "fenced";
pub(super) const LOW_FENCE: &str = "fenced_low";
/// Keeps from a slice the one step that the engine cannot turn round.
pub(super) const STEP: &str = "fenced_step";

pub(super) fn too_long() -> Error {
    Error::new(ErrorKind::SyntaxError, "it is too long or too deep")
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
pub(super) struct Rewriter {
    level: Rc<Cell<usize>>,
    pub(super) too_deep: Cell<bool>,
    /// The first filter, test, function or method that does not exist.
    pub(super) unknown: RefCell<Option<String>>,
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

    pub(super) fn statement<'a>(&self, stmt: &Stmt<'a>) -> Result<Stmt<'a>, Error> {
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
